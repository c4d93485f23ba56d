/** @file own_data.h
 *  What plain positive features (FAVOR+, orthogonal rows) do for a user's own queries and keys: for each head and each
 *  m the error of the kernel and of the output, predicted and measured through the device's kernels.
 * docs/verify-data.md says what every figure means. Over the library's public functions only. */
#ifndef VERIFY_OWN_DATA_H
#define VERIFY_OWN_DATA_H

#include <stdbool.h>

#include <clfavor/clfavor.h>

enum {
    VERIFY_OWN_SIZES = 7,         /* m = 64, 128, ..., 4096 */
    VERIFY_OWN_DRAWS = 3,         /* of W, for what is predicted, and as many others for what is measured */
    VERIFY_OWN_ROWS = 4096,       /* query rows whose outputs are compared with exact attention, at most */
    VERIFY_OWN_SAMPLES = 64,      /* and those that the output's predictions look at */
    VERIFY_OWN_KEYS = 16384,      /* keys that the kernel's figures and the numbers of keys and features look at */
    VERIFY_OWN_KERNEL_ROWS = 512, /* query rows of the same, at most */
    VERIFY_OWN_SCORES = 1 << 22,  /* and so few rows that there are no more pairs of rows and keys */
    VERIFY_OWN_PAIRS = 4          /* sampled of each of these rows */
};

typedef enum verify_own_array { VERIFY_OWN_Q = 0, VERIFY_OWN_K = 1, VERIFY_OWN_V = 2 } verify_own_array;

typedef struct verify_own_options {
    cl_context cl;
    cl_command_queue queue; /* in order */
    clfavor_context *context;
    uint64_t batch, heads, heads_kv, n, n_k; /* none 0; n_k = n when causal */
    uint32_t dim, value_dim;
    bool causal;
    uint64_t seed;  /* measured draws are those of the seeds S, S+1 and S+2, predicting ones of the next three */
    cl_mem q, k, v; /* dense; v NULL: random signs, value_dim = dim */
    /* The same values on the host: elements first .. first + count - 1. Not called for V where v is NULL. */
    void (*read)(void *user, verify_own_array array, uint64_t first, size_t count, float *out);
    void (*progress)(void *user, double done, double total); /* in units of work; may be NULL */
    void *user;
} verify_own_options;

/* One head and one m. K is the exact kernel of a pair, K^ its estimate; pairs are sampled by their attention. */
typedef struct verify_own_point {
    uint32_t features;
    double kernel_rms;  /* median over pairs of sqrt((e^s - 1)/m): relative standard deviation of K^, closed form */
    double kernel_lost; /* share of pairs where that is above 1 */
    double kernel_predicted;               /* median over pairs of |K^/K - 1| by its law, for independent rows */
    double kernel_measured;                /* the same of the device's features, over the draws */
    double output_predicted;               /* |O - E|/|E| of the sampled rows, mean of the draws */
    double output_measured;                /* of all compared rows, mean of the draws */
    double output_draws[VERIFY_OWN_DRAWS]; /* and of each */
    double effective_features; /* (sum a)^2 / sum a^2 of the features' shares a of a row's sum, median over rows */
} verify_own_point;

typedef struct verify_own_head {
    double mean_s;           /* mean |x+y|^2 over all pairs, whether a row sees them or not */
    double effective_keys;   /* exp of the mean entropy of the rows' softmax */
    double mean_value_error; /* |M - E|/|E| of answering the mean of the values that a row sees */
    verify_own_point points[VERIFY_OWN_SIZES];
} verify_own_head;

typedef struct verify_own_result {
    uint64_t head_count; /* batch x heads, batch outermost */
    verify_own_head *heads;
    uint64_t rows, samples;     /* query rows of a head whose outputs were compared, and that predictions looked at */
    uint64_t kernel_rows, keys; /* rows and keys of a head behind the kernel's figures, effective keys and features */
} verify_own_result;

/* false: error says why in one line, and *bad_input tells whether the data are to blame (not finite). Free the result
 * either way. */
bool verify_own_run(const verify_own_options *options, verify_own_result *result, char error[512], bool *bad_input);
void verify_own_free(verify_own_result *result);

#endif
