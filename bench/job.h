/* One operation at one shape on the device: memory, plan, weights, and its timed runs. */
#ifndef BENCH_JOB_H
#define BENCH_JOB_H

#include "device.h"

/* Memory that jobs share, since they run one at a time; it grows with what they need. */
typedef struct bench_memory {
    bench_device *device;
    cl_mem in[3], out, scale, workspace; /* q, k and v; o or features; the features' log scale */
    uint64_t in_bytes, out_bytes, scale_bytes, workspace_bytes;
} bench_memory;

void bench_memory_free(bench_memory *m);
/* What a work takes without its workspace. columns: as for bench_need_of. */
uint64_t bench_memory_need(const bench_work *work, uint32_t columns, uint64_t *largest);
/* Why a work cannot be held; NULL if it can. text: of BENCH_TEXT bytes. */
const char *bench_memory_refuses(const bench_device *d, const bench_work *work, char *text);

typedef struct bench_job {
    bench_device *device;
    bench_memory *memory;
    bench_work work;
    uint32_t columns; /* F; 0 for exact attention */
    clfavor_plan *plan;
    clfavor_projection *projection; /* NULL where there is none */
    clfavor_weights *weights;
    cl_mem exact_keys; /* NULL without any */
    clfavor_plan_info info;
    double plan_cold, plan_second, first_run, cpu, wall;
    bench_samples samples;
} bench_job;

/* Makes the plan twice, draws the projection (seed 0) and runs once. false: the device's error is set; close either
 * way. */
bool bench_job_open(bench_job *job, bench_memory *memory, const bench_work *work);
/* One run. */
bool bench_job_run(bench_job *job, double *seconds);
/* One round: a run, or a few of a short one, which go to the samples. */
bool bench_job_round(bench_job *job);
/* All figures but those that need ceilings. Sorts the samples. */
void bench_job_figures(bench_job *job, bench_figures *out);
void bench_job_close(bench_job *job);

/* F for the rows of a map. */
uint32_t bench_columns(const bench_work *work);

#endif
