/* A variant of a tuning row that runs beside others: its context, its plans, its times. */
#ifndef BENCH_TUNE_LANE_H
#define BENCH_TUNE_LANE_H

#include "job.h"
#include "tune.h"
#include "tune_check.h"

typedef struct limits {
    uint32_t rounds;
    double round_time; /* s of a stage's rounds beyond FEW_ROUNDS */
    double build_time; /* s a variant */
    double total_time; /* s after which no variant is begun */
} limits;

/* A variant that runs. */
typedef struct lane {
    size_t variant; /* of the result's */
    clfavor_context *context;
    bench_options options;
    bench_device device;
    char error[BENCH_ERROR], log[BENCH_TEXT];
    bench_job *jobs;        /* one a work */
    double ratio, kinds[2]; /* over the library's row: all works, bidirectional ones, causal ones */
} lane;

/* The whole search. */
typedef struct tuner {
    const bench_tune_options *options;
    bench_tune_result *result;
    const limits *limits;
    bench_device device; /* with the library's row; whose error is the caller's */
    bench_options device_options;
    bench_memory memory;
    clfavor_context *context;
    lane base;
    bench_work *works;
    bench_expected *expected;
    size_t work_count;
    double start;
    double stage, stages;
} tuner;

/* A context that takes this row: nothing names a device more closely. row NULL: the library's. */
clfavor_status bench_tune_context(tuner *t, const clfavor_tuning *row, clfavor_log_fn log, void *user,
                                  clfavor_context **out);
/* Plans, first runs, and the check of their results. false: the lane's error is set; close it either way. */
bool bench_lane_open(tuner *t, lane *l, bench_variant *v);
void bench_lane_close(tuner *t, lane *l);
/* The best time of a job so far. */
double bench_lane_best(const bench_job *job);
/* What all rounds so far say about a lane, over the library's row. */
void bench_lane_judge(const tuner *t, lane *l);

#endif
