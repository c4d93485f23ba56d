/* A plan: kernels and numbers for one kind of work on one device. */
#ifndef CLFAVOR_PLAN_H
#define CLFAVOR_PLAN_H

#include "context.h"
#include "launch.h"
#include "program.h"
#include "tensor.h"
#include "weights.h"

#define CLFAVOR_PLAN_KERNELS 16

/* A checked call of attention or features. Features use q for x, o for the features and lse for the log scale. */
typedef struct clfavor_call {
    clfavor_sizes sizes;
    uint64_t batch;
    clfavor_operand q, k, v, o, lse, sign, workspace;
    clfavor_operand exact_keys; /* without a buffer where sizes.exact is 0 */
    clfavor_exact exact;
    clfavor_operand corrections;    /* without a buffer unless the plan has corrections */
    const clfavor_weights *weights; /* NULL for exact */
    double scale;                   /* exact */
    uint64_t query_start, query_step;
} clfavor_call;

/* One way to do an operation on one class. prepare chooses chunk, pieces and workspace_size, and makes the kernels;
 * enqueue puts the launches on the chain. */
typedef struct clfavor_engine {
    clfavor_status (*prepare)(clfavor_plan *plan);
    clfavor_status (*enqueue)(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain);
} clfavor_engine;

extern const clfavor_engine clfavor_engine_attention_cpu; /* attention_cpu.c */
extern const clfavor_engine clfavor_engine_attention_gpu; /* attention_gpu.c */
extern const clfavor_engine clfavor_engine_exact_cpu;     /* exact.c */
extern const clfavor_engine clfavor_engine_exact_gpu;     /* exact.c */
extern const clfavor_engine clfavor_engine_features;      /* features.c */

struct clfavor_plan {
    clfavor_context *context;
    const clfavor_engine *engine;
    clfavor_plan_desc desc;  /* with every default filled in */
    clfavor_backend backend; /* of attention of the gpu class; else AUTO */
    clfavor_family family;
    bool general;         /* compiled for the general scalar term (CLFAVOR_MAP_EXPONENTIAL) */
    uint32_t rows;        /* projection rows the kernels see */
    uint32_t features;    /* F */
    uint32_t value_block; /* columns of V that the kernels take at once: dv, or less where a state would not fit */
    uint32_t chunk, pieces;
    size_t workspace_size; /* bytes */
    uint32_t programs_built;
    double build_seconds;
    mtx_t lock; /* from the first clSetKernelArg to the enqueue of a launch */
    cl_kernel kernels[CLFAVOR_PLAN_KERNELS];
    uint64_t numbers[16]; /* the backend's own: what it derived in prepare */
};

/* Gets the program and makes plan->kernels[first + i] for each name. */
clfavor_status clfavor_plan_kernels(clfavor_plan *plan, const char *file, const clfavor_options *options, size_t first,
                                    const char *const *names, size_t count);
void clfavor_plan_release_kernels(clfavor_plan *plan);
/* -D definitions that every kernel file takes: FAMILY, GENERAL, DIM, VALUE_DIM, VL, PANEL, ... */
void clfavor_plan_options(const clfavor_plan *plan, clfavor_options *options);

#endif
