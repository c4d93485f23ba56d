/* Jobs, workers and the making of results. See verify.h for what a job is. */
#ifndef VERIFY_ENGINE_H
#define VERIFY_ENGINE_H

#include <threads.h>

#include "verify.h"

typedef struct verify_run verify_run;
typedef struct verify_job verify_job;
typedef struct verify_group verify_group;
typedef struct verify_pool verify_pool; /* pool.h */

typedef struct verify_plan_entry verify_plan_entry; /* device.c */
typedef struct verify_weights_entry verify_weights_entry;

/* One thread with a queue of its own. */
typedef struct verify_worker {
    verify_run *run;
    cl_command_queue queue;
    verify_weights_entry *weights; /* device.c: recently used, by shape */
    unsigned clock;
    cl_mem workspace; /* the largest that was needed so far */
    size_t workspace_size;
    char error[512]; /* why its work failed; "" while it did not */
} verify_worker;

/* Jobs that share the draws of a block: draw makes what each of their `work` then gets. */
struct verify_group {
    const char *name;
    void *(*draw)(verify_worker *worker, const void *data, uint32_t block); /* NULL: failed, worker->error is set */
    void (*drop)(void *drawn);
    const void *data;
};

struct verify_job {
    const char *suite; /* static */
    char name[64];
    const char *text;   /* what it checks, static */
    const char *method; /* "Catoni" and the like, static */
    unsigned tests;     /* checks that share alpha */
    unsigned exact;     /* checks without chance, and shown results */
    uint32_t blocks;
    size_t size;               /* doubles of a block's record */
    double cost;               /* of a block, in about milliseconds of one core */
    const verify_group *group; /* NULL: nothing is drawn */
    void *data;                /* freed by release */
    /* Sets blocks, cost and what depends on the share of alpha. NULL: nothing does. */
    void (*size_up)(verify_job *job, const verify_options *options, double share);
    /* Fills the record, which is zero. false: worker->error is set. */
    bool (*work)(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record);
    /* Makes the checks, plots and tables of the whole. records[block]: all there. */
    void (*judge)(verify_run *run, const verify_job *job, const double *const *records);
    void (*release)(void *data);
    /* the engine's own */
    double **records;
    uint32_t missing;
    bool judged, selected;
};

struct verify_run {
    verify_options options;
    verify_job *jobs;
    size_t job_count, job_capacity;
    double share; /* of alpha, for each statistical check */
    verify_result *result;
    verify_pool *pools; /* pool.c */
    mtx_t judging;      /* held while a job is judged: the result is its judge's */
    mtx_t compiling;    /* held while a plan is made or used for the first time (device.c) */
    bool turns;         /* and whenever a plan is used: the runtime can't bear more */
    mtx_t lock;         /* guards all below, the records and the result's counts of blocks */
    verify_plan_entry *plans;
    bool stop, out_of_memory;
    char error[512];
};

/* Adds a job (copied). suites call it from verify_suite_*. */
verify_job *verify_add_job(verify_run *run, const verify_job *job);

/* --- for judge: everything is copied --- */
void verify_add_check(verify_run *run, const verify_check *check);
verify_plot *verify_add_plot(verify_run *run, const char *suite, const char *title, const char *x_label,
                             const char *y_label, bool log_x, bool log_y, const char *text);
/* low, high (and y, for a band) may be NULL. */
void verify_add_series(verify_run *run, verify_plot *plot, const char *label, verify_style style, size_t count,
                       const double *x, const double *y, const double *low, const double *high);
/* cells: [1 + rows][columns], the names first. */
void verify_add_table(verify_run *run, const char *suite, const char *title, const char *text, size_t columns,
                      size_t rows, char *const *cells);
/* A check's fields from its test; NaN for the rest. */
verify_check verify_check_init(const verify_job *job, const char *test, double statistic, double threshold,
                               double alpha);

/* Seeds are a function of (run's seed, name, index). */
uint64_t verify_seed(uint64_t seed, const char *name, uint64_t index);

/* worker->error = ..., false. */
bool verify_fail(verify_worker *worker, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *verify_alloc(verify_worker *worker, size_t count, size_t size); /* zeroed; NULL after verify_fail */
/* For plan building: NULL sets run->out_of_memory. */
void *verify_new(verify_run *run, size_t count, size_t size);
char *verify_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The suites. */
void verify_suite_deterministic(verify_run *run);
void verify_suite_law(verify_run *run);
void verify_suite_mean(verify_run *run);
void verify_suite_variance(verify_run *run);
void verify_suite_attention(verify_run *run);
void verify_suite_controls(verify_run *run);

#endif
