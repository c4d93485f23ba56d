/* What the parts of own_data share. Heads are counted over the whole batch: tensors are dense, so entry b's head h is
 * head b H + h, and its keys' head is that / group, as within an entry. */
#ifndef VERIFY_OWN_WORK_H
#define VERIFY_OWN_WORK_H

#include "own_data.h"

enum { OWN_FEATURES = 64 << (VERIFY_OWN_SIZES - 1) }; /* the largest m; the others are its first rows */

typedef struct own_work {
    const verify_own_options *o;
    verify_own_result *r;
    char *error; /* of 512 bytes */
    bool bad_input;
    uint64_t heads, heads_kv, group;
    uint64_t row_step;     /* between compared rows */
    uint64_t sample_step;  /* between sampled rows, in compared ones */
    uint64_t sample_first; /* the first of them */
    uint64_t key_step;     /* between sampled keys */
    uint64_t kernel_step;  /* between the rows of the kernel's figures */
    uint64_t kernel_first; /* the first of them */
    cl_mem v, signs;       /* signs: made here; v: that or the caller's */
    double done, total;    /* work, in multiply-adds */
} own_work;

/* A sampled (query, key) pair. */
typedef struct own_pair {
    uint32_t row, key; /* indices among those of the kernel's figures */
    double log_k, s;   /* x.y and |x+y|^2 */
} own_pair;

/* One plan and the memory that it needs. */
typedef struct own_plan {
    clfavor_plan *plan;
    cl_mem workspace;
} own_plan;

/* own_data.c. Each returns false after setting error. */
bool own_fail(own_work *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool own_check(own_work *w, clfavor_status status, const char *doing);
bool own_check_cl(own_work *w, cl_int code, const char *call);
void own_advance(own_work *w, double work);
void *own_alloc(own_work *w, uint64_t count, size_t size); /* zeroed */
bool own_buffer(own_work *w, uint64_t floats, cl_mem *out);
bool own_plan_open(own_work *w, const clfavor_plan_desc *desc, own_plan *out);
void own_plan_close(own_plan *plan);
clfavor_weights *own_weights(own_work *w, uint32_t features, uint64_t seed); /* NULL for false */
double own_median(double *values, size_t count);                             /* sorts them; NaN above all numbers */

/* own_scan.c: reads everything once. Checks that all is finite, fills mean_s and makes the signs. */
bool own_scan(own_work *w);
double own_scan_work(const own_work *w);
/* Queries or keys of one head: every step-th token from this one on, as [count, d]. */
void own_read(const own_work *w, verify_own_array array, uint64_t head, uint64_t token, uint64_t step, uint64_t count,
              float *out);
/* count values of the K/V head from this token on. */
void own_read_values(const own_work *w, uint64_t head_kv, uint64_t token, uint64_t count, float *out);

/* own_pairs.c: what needs no device. keys: the sampled ones, [keys, d]. Fills effective_keys and the kernel's predicted
 * figures; pairs: room for kernel_rows * VERIFY_OWN_PAIRS, all of which are filled. normals: own_normals. */
bool own_pairs(own_work *w, uint64_t head, const float *keys, const double *normals, own_pair *pairs);
double own_pairs_work(const own_work *w);
double *own_normals(own_work *w);

/* own_features.c: figures of the kernel and the effective number of features. */
bool own_features(own_work *w);
double own_features_work(const own_work *w);

/* own_output.c: figures of the output. */
bool own_output(own_work *w);
double own_output_work(const own_work *w);

#endif
