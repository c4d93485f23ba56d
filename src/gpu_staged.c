/* The gpu class's attention, staged: the launches of kernels/gpu_staged.cl, with feature matrices in the workspace.
 *   keys of a wave: exponents, references, weights, state of each chunk, scan;
 *   queries of a wave: exponents, pairs within a chunk (causal), references, weights, denominators, outputs. */
#include "gpu.h"

#define MAX_CHUNK    4096u
#define CAUSAL_CHUNK 32u /* in it the cost a token grows with the chunk */
#define KEY_CHUNK    128u

enum {
    EXPONENTS = GPU_OWN_KERNELS,
    REFERENCES,
    KEY_WEIGHTS,
    CHUNK_STATES,
    SCAN,
    PAIRS,
    ROW_REFERENCES,
    QUERY_WEIGHTS,
    DENOMINATORS,
    OUTPUTS,
    EXACT_EXPONENTS, /* only with exact keys */
    KERNELS
};
static const char *const kernel_names[] = {"exponents",    "references", "key_weights",    "chunk_states",
                                           "scan",         "pairs",      "row_references", "query_weights",
                                           "denominators", "outputs",    "exact_exponents"};

static clfavor_status choose(clfavor_plan *plan) {
    const clfavor_plan_desc *desc = &plan->desc;
    const clfavor_tuning *tuning = &plan->context->tuning;
    uint32_t tuned = desc->causal ? tuning->causal_chunk : tuning->chunk;
    uint32_t usual = tuned && tuning->backend != CLFAVOR_BACKEND_FUSED ? tuned
                     : desc->causal                                    ? CAUSAL_CHUNK
                                                                       : KEY_CHUNK;
    plan->chunk = (uint32_t)clfavor_min(clfavor_min(desc->chunk ? desc->chunk : usual, MAX_CHUNK), desc->max_n);
    return CLFAVOR_SUCCESS;
}

static void parts(const clfavor_plan *plan, const gpu_shape *shape, clfavor_gpu_wave *counts) {
    uint64_t features = plan->features, tokens = shape->chunks * plan->chunk, slots = shape->states * shape->heads;
    uint64_t state = features * (shape->columns + 1);
    counts->keys = shape->states * tokens * features;
    counts->starts = shape->states * shape->chunks * state;
    counts->sums = counts->lows = shape->states * state;
    counts->queries = slots * tokens * (features + plan->desc.exact_keys);
    counts->row_references = counts->denominators = slots * tokens;
    counts->pairs = counts->pair_references = plan->desc.causal ? slots * tokens * plan->chunk : 0;
}

static clfavor_status build(clfavor_plan *plan) {
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_status status = gpu_token_kernels(plan, "gpu_staged.cl", &options);
    return status ? status
                  : clfavor_plan_kernels(plan, "gpu_staged.cl", &options, GPU_OWN_KERNELS, kernel_names,
                                         (plan->desc.exact_keys ? KERNELS : EXACT_EXPONENTS) - GPU_OWN_KERNELS);
}

/* Exponents of the wave's keys or queries. */
static clfavor_status launch_exponents(const gpu_work *work, bool of_keys) {
    const clfavor_call *call = work->call;
    const clfavor_operand *x = of_keys ? &call->k : &call->q;
    cl_int key = of_keys;
    const clfavor_arg args[] = {GPU_WAVE_ARGS,
                                CLFAVOR_ARG(x->buffer),
                                CLFAVOR_ARG(x->view),
                                CLFAVOR_ARG(call->weights->buffer),
                                CLFAVOR_ARG(call->weights->layout),
                                CLFAVOR_ARG(key)};
    const clfavor_arg exact_args[] = {GPU_WAVE_ARGS,
                                      CLFAVOR_ARG(x->buffer),
                                      CLFAVOR_ARG(x->view),
                                      CLFAVOR_ARG(call->exact),
                                      CLFAVOR_ARG(call->k.buffer),
                                      CLFAVOR_ARG(call->k.view)};
    uint64_t tokens = work->wave.tokens, slots = of_keys ? work->wave.states : gpu_slots(work);
    clfavor_status status = GPU_LAUNCH(EXPONENTS, args, tokens * call->sizes.rows, slots, 1);
    if (!status && !of_keys && call->sizes.exact)
        status = GPU_LAUNCH(EXACT_EXPONENTS, exact_args, tokens * call->sizes.exact, slots, 1);
    return status;
}

static clfavor_status keys(const gpu_work *work) {
    const clfavor_call *call = work->call;
    const clfavor_gpu_wave *wave = &work->wave;
    const clfavor_arg wave_args[] = {GPU_WAVE_ARGS};
    const clfavor_arg value_args[] = {GPU_WAVE_ARGS, CLFAVOR_ARG(call->v.buffer), CLFAVOR_ARG(call->v.view)};
    uint64_t features = work->plan->features, state = features * (wave->columns + 1);
    clfavor_status status;
    if ((status = launch_exponents(work, true)) ||
        (status = GPU_LAUNCH(REFERENCES, wave_args, features, wave->states, 1)) ||
        (status = GPU_LAUNCH(KEY_WEIGHTS, wave_args, features * wave->tokens, wave->states, 1)) ||
        (status =
             GPU_LAUNCH(CHUNK_STATES, value_args, state, clfavor_ceil_div(wave->tokens, wave->chunk), wave->states)))
        return status;
    return GPU_LAUNCH(SCAN, wave_args, state, wave->states, 1);
}

static clfavor_status queries(const gpu_work *work) {
    const clfavor_call *call = work->call;
    const clfavor_gpu_wave *wave = &work->wave;
    const clfavor_arg wave_args[] = {GPU_WAVE_ARGS};
    const clfavor_arg sum_args[] = {GPU_WAVE_ARGS,
                                    CLFAVOR_ARG(call->lse.buffer),
                                    CLFAVOR_ARG(call->lse.view),
                                    CLFAVOR_ARG(call->sign.buffer),
                                    CLFAVOR_ARG(call->sign.view),
                                    CLFAVOR_ARG(call->weights->log2_norm)};
    const clfavor_arg output_args[] = {GPU_WAVE_ARGS,
                                       CLFAVOR_ARG(call->v.buffer),
                                       CLFAVOR_ARG(call->v.view),
                                       CLFAVOR_ARG(call->o.buffer),
                                       CLFAVOR_ARG(call->o.view),
                                       CLFAVOR_ARG(call->corrections.buffer),
                                       CLFAVOR_ARG(call->corrections.view)};
    uint64_t features = work->plan->features + call->sizes.exact, rows = wave->tokens, slots = gpu_slots(work);
    clfavor_status status = launch_exponents(work, false);
    if (!status && wave->causal)
        status = GPU_LAUNCH(PAIRS, wave_args, rows * wave->chunk, slots, 1);
    if (status || (status = GPU_LAUNCH(ROW_REFERENCES, wave_args, rows, slots, 1)) ||
        (status = GPU_LAUNCH(QUERY_WEIGHTS, wave_args, features * rows, slots, 1)) ||
        (status = GPU_LAUNCH(DENOMINATORS, sum_args, rows, slots, 1)))
        return status;
    return GPU_LAUNCH(OUTPUTS, output_args, wave->columns * rows, slots, 1);
}

const clfavor_gpu_way clfavor_gpu_staged = {choose, parts, build, keys, queries};
