/* The staged way, as far as the way of CLBlast shares it. */
#ifndef CLFAVOR_GPU_STAGED_H
#define CLFAVOR_GPU_STAGED_H

#include "gpu.h"

/* plan->kernels of kernels/gpu_staged.cl. */
enum {
    GPU_EXPONENTS = GPU_OWN_KERNELS,
    GPU_REFERENCES,
    GPU_KEY_WEIGHTS,
    GPU_VALUES, /* only for products of others */
    GPU_CHUNK_STATES,
    GPU_SCAN,
    GPU_PAIRS,
    GPU_ROW_REFERENCES,
    GPU_QUERY_WEIGHTS,
    GPU_DENOMINATORS,
    GPU_OUTPUTS,
    GPU_EXACT_EXPONENTS, /* only with exact keys */
    GPU_STAGED_KERNELS
};

/* Who makes matrix products in place of the kernels. Each function either makes all of one kind for the wave and sets
 * *made, or leaves it false: then the kernels do it. */
typedef struct gpu_products {
    clfavor_status (*projections)(const gpu_work *work, bool of_keys, bool *made); /* where their exponents will be */
    clfavor_status (*chunk_states)(const gpu_work *work, bool *made);
    clfavor_status (*pairs)(const gpu_work *work, bool *made); /* the sums, without their references */
    clfavor_status (*outputs)(const gpu_work *work, bool *made);
} gpu_products;

clfavor_status gpu_staged_choose(clfavor_plan *plan);
void gpu_staged_parts(const clfavor_plan *plan, const gpu_shape *shape, clfavor_gpu_wave *counts);
clfavor_status gpu_staged_build(clfavor_plan *plan);
/* products: NULL where the kernels make all of them. */
clfavor_status gpu_staged_keys(const gpu_work *work, const gpu_products *products);
clfavor_status gpu_staged_queries(const gpu_work *work, const gpu_products *products);

/* What the kernels of a wave of keys count as chunks. */
static inline uint64_t gpu_wave_chunks(const clfavor_gpu_wave *wave) {
    return clfavor_ceil_div(wave->tokens, wave->chunk);
}

#endif
