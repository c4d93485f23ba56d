/** @file bench.h
 *  The benchmark: what `clfavor bench` runs. Times of the library's operations, measured in turns with what the device
 *  can do at most, since machines are shared and noisy and a ratio of best times holds where a time does not.
 *  docs/bench.md says what every figure means. Over the library's public functions only. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include <clfavor/clfavor.h>

#define BENCH_ERROR 512 /* bytes that an error message takes at most */
#define BENCH_TEXT  256

enum { BENCH_LOOPS = 3 }; /* FMA loops: 8, 12 and 16 chains */

typedef struct bench_shape {
    uint64_t heads, n;
    uint32_t dim, features; /* d = dv, m */
} bench_shape;

/* One operation at one shape. */
typedef struct bench_work {
    clfavor_operation operation;
    clfavor_map map;
    bench_shape shape;
    bool causal;
    uint32_t exact_keys; /* of the rows m, bidirectional attention only */
    clfavor_backend backend;
} bench_work;

/* Of repeated measurements. Of times the smallest is best, of rates the largest; NaN where nothing was measured. */
typedef struct bench_spread {
    double best, median;
} bench_spread;

/* What the device can do at most, each in units a second. */
typedef struct bench_ceilings {
    bench_spread loops[BENCH_LOOPS], sgemm; /* flops */
    bench_spread peak;                      /* of the one of these whose best is largest */
    int winner;                             /* its loop, or BENCH_LOOPS for sgemm */
    bench_spread exponentials, bandwidth;   /* evaluations; bytes */
    double cpu_over_wall;                   /* of the process, during the loops */
    uint64_t bandwidth_bytes, cache_bytes;  /* of the three arrays together; of the device's last cache */
    char sgemm_library[BENCH_TEXT];         /* "" where there is none */
} bench_ceilings;

typedef struct bench_figures {
    bench_work work;
    char skipped[BENCH_TEXT]; /* why it was not run; "" if it was, and all below is 0 if not */
    uint32_t rounds, samples;
    bench_spread seconds;  /* of one run, host's clock from the enqueue to the end of clFinish */
    bench_spread peak;     /* flops a second that it is compared with: the neighbouring rounds' */
    bench_spread fraction; /* useful flops a second over that: best over best, median over median; NaN without flops */
    double flops;          /* useful ones of one run */
    double bound;          /* the fraction that the roofline leaves */
    bool bytes_bound;      /* the bound is the memory's */
    bench_spread over_plain; /* time over that of plain features in the same rounds; NaN where these were not run */
    double plan_cold, plan_second, first_run; /* s */
    double cpu_over_wall;                     /* of the process, while timed runs went on */
    uint64_t workspace;                       /* bytes */
    uint32_t chunk, pieces, programs;         /* programs: built by the first plan */
    clfavor_backend backend;                  /* what was used; AUTO where there is no choice */
    double build_seconds;
} bench_figures;

/* A peer beside our own kernels at one shape. */
typedef struct bench_comparison {
    bench_shape shape;
    bool causal;
    char name[BENCH_TEXT];
    bool exact;                     /* it computes softmax attention, not features */
    bool failed;                    /* a run failed, or the error is above an enforced tolerance */
    bool enforced;                  /* false: it computes something slightly different, so the error is only shown */
    bench_spread seconds;           /* the peer's */
    bench_spread linear, own_exact; /* ours, in the same rounds */
    double error, tolerance;        /* |peer - ours| / |ours| (Frobenius) against the kernel that computes the same */
} bench_comparison;

typedef struct bench_result {
    char device[BENCH_TEXT], platform[BENCH_TEXT], driver[BENCH_TEXT], version[32], device_class[8];
    uint32_t compute_units, vector_width;
    bool sweep;
    double wall_seconds;
    bench_ceilings ceilings;
    bench_figures *figures;
    size_t count;
    size_t worst; /* of the figures, by fraction.best; count where there is none */
    bench_comparison *comparisons;
    size_t comparison_count;
} bench_result;

typedef struct bench_options {
    cl_context cl;
    cl_device_id device;
    cl_command_queue queue; /* in order */
    clfavor_context *context;
    const bench_work *work; /* measured in turns; a sweep takes operation and map of the first */
    size_t count;
    bool sweep, peers;
    uint32_t repeats; /* rounds; 0: BENCH_REPEATS, or BENCH_SWEEP_REPEATS at most */
    void (*progress)(void *user, double done, double total); /* may be NULL */
    void (*note)(void *user, const char *line);              /* what a person should know; may be NULL */
    void *user;
} bench_options;

#define BENCH_REPEATS       30u
#define BENCH_SWEEP_REPEATS 12u

/* false: it could not be run, and error says why in one line. Free the result either way. */
bool bench_run(const bench_options *options, bench_result *result, char error[BENCH_ERROR]);
void bench_free(bench_result *result);

/* Everything, by the schema of docs/bench.md. NULL: memory is exhausted. */
json_t *bench_json(const bench_result *result);
/* One self-contained page with plots. Expects a "C" locale. false: memory is exhausted, or the stream failed. */
bool bench_write_html(const bench_result *result, FILE *to);

const char *bench_operation_name(clfavor_operation operation);
const char *bench_map_name(clfavor_map map);
const char *bench_backend_name(clfavor_backend backend);
/* "8,4096,64,256 causal". Returns text. */
const char *bench_work_name(const bench_work *work, char text[BENCH_TEXT]);

#endif
