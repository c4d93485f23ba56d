/* The gpu class's attention, staged: the launches of kernels/gpu_staged.cl, with feature matrices in the workspace.
 *   keys of a wave: exponents, references, weights, state of each chunk, scan;
 *   queries of a wave: exponents, pairs within a chunk (causal), references, weights, denominators, outputs. */
#include "gpu_staged.h"

#define MAX_CHUNK    4096u
#define CAUSAL_CHUNK 32u /* in it the cost a token grows with the chunk */
#define KEY_CHUNK    128u

static const char *const kernel_names[] = {"exponents",     "references",   "key_weights", "values",
                                           "chunk_states",  "scan",         "pairs",       "row_references",
                                           "query_weights", "denominators", "outputs",     "exact_exponents"};

clfavor_status gpu_staged_choose(clfavor_plan *plan) {
    const clfavor_plan_desc *desc = &plan->desc;
    const clfavor_tuning *tuning = &plan->context->tuning;
    uint32_t tuned = desc->causal ? tuning->causal_chunk : tuning->chunk;
    uint32_t usual = tuned && tuning->backend != CLFAVOR_BACKEND_FUSED ? tuned
                     : desc->causal                                    ? CAUSAL_CHUNK
                                                                       : KEY_CHUNK;
    plan->chunk = (uint32_t)clfavor_min(clfavor_min(desc->chunk ? desc->chunk : usual, MAX_CHUNK), desc->max_n);
    return CLFAVOR_SUCCESS;
}

void gpu_staged_parts(const clfavor_plan *plan, const gpu_shape *shape, clfavor_gpu_wave *counts) {
    uint64_t features = plan->features, tokens = shape->chunks * plan->chunk, slots = shape->states * shape->heads;
    uint64_t state = features * (shape->columns + 1);
    counts->keys = shape->states * tokens * features;
    counts->starts = shape->states * shape->chunks * state;
    counts->sums = counts->lows = shape->states * state;
    counts->queries = slots * tokens * (features + plan->desc.exact_keys);
    counts->row_references = counts->denominators = slots * tokens;
    counts->pairs = counts->pair_references = plan->desc.causal ? slots * tokens * plan->chunk : 0;
}

clfavor_status gpu_staged_build(clfavor_plan *plan) {
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_status status = gpu_token_kernels(plan, "gpu_staged.cl", &options);
    return status ? status
                  : clfavor_plan_kernels(plan, "gpu_staged.cl", &options, GPU_OWN_KERNELS, kernel_names,
                                         (plan->desc.exact_keys ? GPU_STAGED_KERNELS : GPU_EXACT_EXPONENTS) -
                                             GPU_OWN_KERNELS);
}

/* Exponents of the wave's keys or queries. */
static clfavor_status launch_exponents(const gpu_work *work, bool of_keys, const gpu_products *products) {
    const clfavor_call *call = work->call;
    const clfavor_operand *x = of_keys ? &call->k : &call->q;
    bool made = false;
    clfavor_status status = products ? products->projections(work, of_keys, &made) : CLFAVOR_SUCCESS;
    cl_int key = of_keys, given = made;
    const clfavor_arg args[] = {GPU_WAVE_ARGS,
                                CLFAVOR_ARG(x->buffer),
                                CLFAVOR_ARG(x->view),
                                CLFAVOR_ARG(call->weights->buffer),
                                CLFAVOR_ARG(call->weights->layout),
                                CLFAVOR_ARG(key),
                                CLFAVOR_ARG(given)};
    const clfavor_arg exact_args[] = {GPU_WAVE_ARGS,
                                      CLFAVOR_ARG(x->buffer),
                                      CLFAVOR_ARG(x->view),
                                      CLFAVOR_ARG(call->exact),
                                      CLFAVOR_ARG(call->k.buffer),
                                      CLFAVOR_ARG(call->k.view)};
    uint64_t tokens = work->wave.tokens, slots = of_keys ? work->wave.states : gpu_slots(work);
    if (!status)
        status = GPU_LAUNCH(GPU_EXPONENTS, args, tokens * call->sizes.rows, slots, 1);
    if (!status && !of_keys && call->sizes.exact)
        status = GPU_LAUNCH(GPU_EXACT_EXPONENTS, exact_args, tokens * call->sizes.exact, slots, 1);
    return status;
}

/* What the wave's chunks add to the state. */
static clfavor_status launch_chunk_states(const gpu_work *work, const gpu_products *products) {
    const clfavor_call *call = work->call;
    const clfavor_gpu_wave *wave = &work->wave;
    const clfavor_arg args[] = {GPU_WAVE_ARGS, CLFAVOR_ARG(call->v.buffer), CLFAVOR_ARG(call->v.view)};
    bool made = false;
    clfavor_status status = products ? products->chunk_states(work, &made) : CLFAVOR_SUCCESS;
    if (status || made)
        return status;
    uint64_t state = (uint64_t)work->plan->features * (wave->columns + 1);
    return GPU_LAUNCH(GPU_CHUNK_STATES, args, state, gpu_wave_chunks(wave), wave->states);
}

clfavor_status gpu_staged_keys(const gpu_work *work, const gpu_products *products) {
    const clfavor_gpu_wave *wave = &work->wave;
    const clfavor_arg args[] = {GPU_WAVE_ARGS};
    /* Products read whole chunks; what the last one lacks gets weights of 0. */
    uint64_t tokens = products ? gpu_wave_chunks(wave) * wave->chunk : wave->tokens;
    uint64_t features = work->plan->features;
    clfavor_status status;
    if ((status = launch_exponents(work, true, products)) ||
        (status = GPU_LAUNCH(GPU_REFERENCES, args, features, wave->states, 1)) ||
        (status = GPU_LAUNCH(GPU_KEY_WEIGHTS, args, features * tokens, wave->states, 1)) ||
        (status = launch_chunk_states(work, products)))
        return status;
    return GPU_LAUNCH(GPU_SCAN, args, features * (wave->columns + 1), wave->states, 1);
}

static clfavor_status launch_pairs(const gpu_work *work, const gpu_products *products) {
    bool made = false;
    clfavor_status status = products ? products->pairs(work, &made) : CLFAVOR_SUCCESS;
    cl_int given = made;
    const clfavor_arg args[] = {GPU_WAVE_ARGS, CLFAVOR_ARG(given)};
    uint64_t pairs = (uint64_t)work->wave.tokens * work->wave.chunk;
    return status ? status : GPU_LAUNCH(GPU_PAIRS, args, pairs, gpu_slots(work), 1);
}

static clfavor_status launch_outputs(const gpu_work *work, const gpu_products *products) {
    const clfavor_call *call = work->call;
    const clfavor_gpu_wave *wave = &work->wave;
    bool made = false;
    clfavor_status status = products ? products->outputs(work, &made) : CLFAVOR_SUCCESS;
    cl_int given = made;
    const clfavor_arg sum_args[] = {GPU_WAVE_ARGS,
                                    CLFAVOR_ARG(call->lse.buffer),
                                    CLFAVOR_ARG(call->lse.view),
                                    CLFAVOR_ARG(call->sign.buffer),
                                    CLFAVOR_ARG(call->sign.view),
                                    CLFAVOR_ARG(call->weights->log2_norm),
                                    CLFAVOR_ARG(given)};
    const clfavor_arg args[] = {GPU_WAVE_ARGS,
                                CLFAVOR_ARG(call->v.buffer),
                                CLFAVOR_ARG(call->v.view),
                                CLFAVOR_ARG(call->o.buffer),
                                CLFAVOR_ARG(call->o.view),
                                CLFAVOR_ARG(call->corrections.buffer),
                                CLFAVOR_ARG(call->corrections.view),
                                CLFAVOR_ARG(given)};
    uint64_t rows = wave->tokens, slots = gpu_slots(work);
    if (status || (status = GPU_LAUNCH(GPU_DENOMINATORS, sum_args, rows, slots, 1)))
        return status;
    return GPU_LAUNCH(GPU_OUTPUTS, args, wave->columns * rows, slots, 1);
}

clfavor_status gpu_staged_queries(const gpu_work *work, const gpu_products *products) {
    const clfavor_arg args[] = {GPU_WAVE_ARGS};
    uint64_t features = work->plan->features + work->call->sizes.exact, rows = work->wave.tokens;
    uint64_t slots = gpu_slots(work);
    clfavor_status status = launch_exponents(work, false, products);
    if (!status && work->wave.causal)
        status = launch_pairs(work, products);
    if (status || (status = GPU_LAUNCH(GPU_ROW_REFERENCES, args, rows, slots, 1)) ||
        (status = GPU_LAUNCH(GPU_QUERY_WEIGHTS, args, features * rows, slots, 1)))
        return status;
    return launch_outputs(work, products);
}

static clfavor_status keys(const gpu_work *work) {
    return gpu_staged_keys(work, NULL);
}
static clfavor_status queries(const gpu_work *work) {
    return gpu_staged_queries(work, NULL);
}

const clfavor_gpu_way clfavor_gpu_staged = {gpu_staged_choose, gpu_staged_parts, gpu_staged_build, keys, queries};
