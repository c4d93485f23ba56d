/* Looks for sizes that suit a device: times variants of a tuning row in turns with the row that the library has, each
 * checked against the double reference before it counts. docs/gpus.md tells how. */
#ifndef BENCH_TUNE_H
#define BENCH_TUNE_H

#include "bench.h"

#define BENCH_TUNE_GAIN 0.03 /* less than that is no reason to leave the library's row */

/* A variant that was looked at. */
typedef struct bench_variant {
    clfavor_tuning row;       /* its strings are NULL */
    char skipped[BENCH_TEXT]; /* why it does not count; "" if it does */
    double build_seconds;     /* of plans and first runs, all works together */
    double error;             /* against double, the largest of all works */
    double ratio;             /* time over that of the library's row: geometric mean over the works; NaN when skipped */
} bench_variant;

/* What the row that was chosen gains at one work. */
typedef struct bench_tuned {
    bench_work work;
    double base_seconds, seconds; /* best of */
} bench_tuned;

typedef struct bench_tune_result {
    char vendor[64], device[BENCH_TEXT], architecture[64], driver[BENCH_TEXT];
    clfavor_device_class device_class;
    clfavor_tuning base, row; /* the library's, and the one to use; strings are NULL */
    bool kept;                /* the latter is the former */
    double gain;              /* base's time over row's, geometric mean */
    bench_variant *variants;
    size_t count;
    bench_tuned *works;
    size_t work_count;
    double wall_seconds;
} bench_tune_result;

typedef struct bench_tune_options {
    cl_context cl;
    cl_device_id device;
    cl_command_queue queue; /* in order */
    clfavor_device_class device_class;
    const bench_shape *shapes; /* bidirectional and causal each; NULL: shapes that suit the device */
    size_t shape_count;
    bool quick;                                              /* few variants and rounds, under a minute */
    void (*progress)(void *user, double done, double total); /* may be NULL */
    void (*note)(void *user, const char *line);              /* what became of each variant; may be NULL */
    void *user;
} bench_tune_options;

/* false: it could not be run, and error says why in one line. Free the result either way. */
bool bench_tune(const bench_tune_options *options, bench_tune_result *result, char error[BENCH_ERROR]);
void bench_tune_free(bench_tune_result *result);

/* "fused, group 64, tiles 32 x 32 x 32, step 8, chunk 128". Returns text. */
const char *bench_row_name(const clfavor_tuning *row, char text[BENCH_TEXT]);

#endif
