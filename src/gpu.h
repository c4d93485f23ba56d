/* The gpu class's attention: what its ways (fused, staged, CLBlast) share. */
#ifndef CLFAVOR_GPU_H
#define CLFAVOR_GPU_H

#include "../kernels/gpu_attention.h"
#include "plan.h"
#include "tuning.h"

/* What one pass of launches works on. */
typedef struct gpu_shape {
    uint64_t chunks, states, heads, columns;
} gpu_shape;

/* What the launches of a call share. */
typedef struct gpu_work {
    clfavor_plan *plan;
    const clfavor_call *call;
    clfavor_chain *chain;
    clfavor_gpu_wave wave;
} gpu_work;

/* One way to do a wave. */
typedef struct clfavor_gpu_way {
    /* Chooses plan->chunk, if this way can be had on the device for this plan; otherwise logs why not. */
    clfavor_status (*choose)(clfavor_plan *plan);
    /* Counts of floats of the wave's parts; attention_gpu.c makes places of them. */
    void (*parts)(const clfavor_plan *plan, const gpu_shape *shape, clfavor_gpu_wave *counts);
    clfavor_status (*build)(clfavor_plan *plan);
    clfavor_status (*keys)(const gpu_work *work);    /* takes the wave's keys into the state */
    clfavor_status (*queries)(const gpu_work *work); /* outputs of the wave's queries */
} clfavor_gpu_way;

extern const clfavor_gpu_way clfavor_gpu_fused;   /* gpu_fused.c */
extern const clfavor_gpu_way clfavor_gpu_staged;  /* gpu_staged.c */
extern const clfavor_gpu_way clfavor_gpu_clblast; /* gpu_clblast.c */

/* plan->kernels that all ways have. */
enum { GPU_TOKEN_SCALARS, GPU_EXACT_INDICES, GPU_OWN_KERNELS };
/* plan->numbers of all ways. */
enum { GPU_LOCAL_SIZE, GPU_OWN_NUMBERS };

/* References of a state: one for each feature, or one for all. */
static inline uint64_t gpu_references(const clfavor_plan *plan) {
    return plan->family == CLFAVOR_FAMILY_TRIG || plan->family == CLFAVOR_FAMILY_TRIG_PHASE ? 1 : plan->features;
}

/* Makes kernels[GPU_TOKEN_SCALARS] and, with exact keys, kernels[GPU_EXACT_INDICES] from a program that has them. */
clfavor_status gpu_token_kernels(clfavor_plan *plan, const char *file, const clfavor_options *options);

/* The largest work-group of those kernels that were made, at most `most`. */
clfavor_status gpu_local_size(clfavor_plan *plan, uint64_t most, uint64_t *size);

/* Launches a kernel without barriers over x * y * z work-items in groups of GPU_LOCAL_SIZE. */
clfavor_status gpu_launch(const gpu_work *work, size_t kernel, const clfavor_arg *args, size_t count, uint64_t x,
                          uint64_t y, uint64_t z);
#define GPU_LAUNCH(kernel, args, x, y, z) gpu_launch(work, kernel, args, sizeof(args) / sizeof((args)[0]), x, y, z)
/* What every kernel takes first. */
#define GPU_WAVE_ARGS CLFAVOR_ARG(work->call->workspace.buffer), CLFAVOR_ARG(work->wave), CLFAVOR_ARG(work->call->sizes)

/* The scalars of the wave's keys or queries. */
clfavor_status gpu_launch_scalars(const gpu_work *work, bool of_keys);

/* Query heads of a wave, for all its states. */
static inline uint64_t gpu_slots(const gpu_work *work) {
    return (uint64_t)work->wave.states * work->wave.heads;
}

#endif
