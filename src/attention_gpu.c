/* Attention, gpu class: the launches of kernels/gpu_attention.cl, in the order
 *   keys of a wave: scalars, exponents, references, weights, state of each chunk, scan;
 *   queries of a wave: scalars, exponents, pairs within a chunk (causal), references, weights, denominators, outputs.
 * Causal: the keys of a wave, then its queries. Otherwise: all keys, then all queries. */
#include "plan.h"

#include "../kernels/gpu_attention.h"

#define MAX_CHUNK      4096u
#define WAVE_TOKENS    4096u /* beyond that a wave gains nothing */
#define CAUSAL_CHUNK   32u   /* in it the cost a token grows with the chunk */
#define KEY_CHUNK      128u
#define SMALLEST_CHUNK 8u
#define SMALL_COLUMNS  16u
#define FIRST_CHUNKS   8u     /* a wave gets so many before states run side by side, then more if there is room */
#define MAX_SLOTS      65535u /* work-groups that every device takes along a second dimension */
#define WORK_GROUP     64u

enum {
    TOKEN_SCALARS,
    EXPONENTS,
    REFERENCES,
    KEY_WEIGHTS,
    CHUNK_STATES,
    SCAN,
    PAIRS,
    ROW_REFERENCES,
    QUERY_WEIGHTS,
    DENOMINATORS,
    OUTPUTS,
    EXACT_INDICES, /* only with exact keys, as the next one */
    EXACT_EXPONENTS,
    KERNELS
};
static const char *const kernel_names[KERNELS] = {
    "token_scalars",  "exponents",     "references",   "key_weights", "chunk_states",  "scan",           "pairs",
    "row_references", "query_weights", "denominators", "outputs",     "exact_indices", "exact_exponents"};

enum { LOCAL_SIZE }; /* plan->numbers */

/* What one pass of launches works on. */
typedef struct gpu_shape {
    uint64_t chunks, states, heads, columns;
} gpu_shape;

/* Places the parts of the workspace one after the other; returns where the last one ends. All counts are floats. */
static uint64_t lay_out(const clfavor_plan *plan, const gpu_shape *shape, uint64_t start, clfavor_gpu_wave *wave) {
    bool one_reference = plan->family == CLFAVOR_FAMILY_TRIG || plan->family == CLFAVOR_FAMILY_TRIG_PHASE;
    uint64_t features = plan->features, tokens = shape->chunks * plan->chunk, slots = shape->states * shape->heads;
    uint64_t state = features * (shape->columns + 1), pairs = plan->desc.causal ? slots * tokens * plan->chunk : 0;
    struct {
        cl_ulong *offset;
        uint64_t count;
    } parts[] = {
        {&wave->keys, shape->states * tokens * features},
        {&wave->key_scalars, shape->states * tokens},
        {&wave->exact, shape->states * plan->desc.exact_keys},
        {&wave->references, shape->states * (shape->chunks + 1) * (one_reference ? 1 : features)},
        {&wave->starts, shape->states * shape->chunks * state},
        {&wave->sums, shape->states * state},
        {&wave->lows, shape->states * state},
        {&wave->queries, slots * tokens * (features + plan->desc.exact_keys)},
        {&wave->query_scalars, slots * tokens},
        {&wave->row_references, slots * tokens},
        {&wave->denominators, slots * tokens},
        {&wave->pairs, pairs},
        {&wave->pair_references, pairs},
    };
    uint64_t align = CLFAVOR_ALIGN / sizeof(cl_float), end = start;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
        *parts[i].offset = end;
        end += clfavor_ceil_div(parts[i].count, align) * align;
    }
    return end;
}

static uint64_t bytes_of(const clfavor_plan *plan, const gpu_shape *shape) {
    clfavor_gpu_wave wave;
    return lay_out(plan, shape, 0, &wave) * sizeof(cl_float);
}

/* Makes one member of a shape that fits as large as the budget allows. */
static void grow(const clfavor_plan *plan, gpu_shape *shape, uint64_t *member, uint64_t most, uint64_t budget) {
    uint64_t fits = *member;
    while (fits < most) {
        *member = fits + (most - fits + 1) / 2;
        if (bytes_of(plan, shape) <= budget)
            fits = *member;
        else
            most = *member - 1;
    }
    *member = fits;
}

static uint64_t wave_chunks(const clfavor_plan *plan, uint64_t n) {
    return clfavor_min(clfavor_ceil_div(n, plan->chunk), plan->chunk < WAVE_TOKENS ? WAVE_TOKENS / plan->chunk : 1);
}

static size_t kernel_count(const clfavor_plan *plan) {
    return plan->desc.exact_keys ? KERNELS : EXACT_INDICES;
}

static clfavor_status choose_local_size(clfavor_plan *plan) {
    uint64_t most = clfavor_min(WORK_GROUP, plan->context->max_work_group);
    for (size_t i = 0; i < kernel_count(plan); ++i) {
        size_t size = 0;
        clfavor_status status =
            clfavor_check_cl(plan->context,
                             clGetKernelWorkGroupInfo(plan->kernels[i], plan->context->device,
                                                      CL_KERNEL_WORK_GROUP_SIZE, sizeof size, &size, NULL),
                             "clGetKernelWorkGroupInfo");
        if (status)
            return status;
        most = clfavor_min(most, size);
    }
    plan->numbers[LOCAL_SIZE] = most ? most : 1;
    return CLFAVOR_SUCCESS;
}

static clfavor_status prepare(clfavor_plan *plan) {
    const clfavor_plan_desc *desc = &plan->desc;
    uint64_t limit = clfavor_min(desc->workspace_limit, plan->context->max_allocation) / CLFAVOR_ALIGN * CLFAVOR_ALIGN;
    uint32_t usual = desc->causal ? CAUSAL_CHUNK : KEY_CHUNK, smallest = desc->chunk ? usual : SMALLEST_CHUNK;
    plan->chunk = (uint32_t)clfavor_min(clfavor_min(desc->chunk ? desc->chunk : usual, MAX_CHUNK), desc->max_n);
    plan->pieces = 1;
    gpu_shape whole_state = {1, 1, 1, desc->value_dim};
    while (plan->chunk > smallest && bytes_of(plan, &whole_state) > limit)
        plan->chunk = plan->chunk / 2 > smallest ? plan->chunk / 2 : smallest;
    if (desc->chunk && plan->chunk != desc->chunk)
        clfavor_log(plan->context, CLFAVOR_LOG_INFO, "a chunk of %u tokens is used instead of %u", plan->chunk,
                    desc->chunk);
    gpu_shape least = {1, 1, 1, clfavor_min(desc->value_dim, SMALL_COLUMNS)};
    if (bytes_of(plan, &least) > limit)
        return CLFAVOR_REFUSE(plan->context, CLFAVOR_WORKSPACE,
                              "one head's state needs at least %llu bytes of workspace, the limit is %llu",
                              (unsigned long long)bytes_of(plan, &least), (unsigned long long)limit);
    uint64_t states =
        desc->max_batch > MAX_SLOTS ? MAX_SLOTS : clfavor_min(desc->max_batch * desc->max_heads, MAX_SLOTS);
    gpu_shape most = {wave_chunks(plan, desc->max_n), states, 1, desc->value_dim};
    plan->workspace_size = (size_t)clfavor_min(bytes_of(plan, &most), limit);
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_status status =
        clfavor_plan_kernels(plan, "gpu_attention.cl", &options, 0, kernel_names, kernel_count(plan));
    return status ? status : choose_local_size(plan);
}

/* The largest shape that fits the workspace. */
static gpu_shape choose_shape(const clfavor_plan *plan, const clfavor_sizes *sizes, uint64_t states) {
    uint64_t budget = plan->workspace_size, value_dim = sizes->value_dim;
    uint64_t chunks = wave_chunks(plan, sizes->n > sizes->n_k ? sizes->n : sizes->n_k);
    gpu_shape shape = {1, 1, 1, clfavor_min(value_dim, SMALL_COLUMNS)};
    grow(plan, &shape, &shape.columns, value_dim, budget);
    shape.columns =
        clfavor_ceil_div(value_dim, clfavor_ceil_div(value_dim, shape.columns)); /* blocks of about the same size */
    grow(plan, &shape, &shape.heads, clfavor_min(sizes->group, MAX_SLOTS), budget);
    grow(plan, &shape, &shape.chunks, clfavor_min(chunks, FIRST_CHUNKS), budget);
    grow(plan, &shape, &shape.states, clfavor_min(states, MAX_SLOTS / shape.heads), budget);
    grow(plan, &shape, &shape.chunks, chunks, budget);
    return shape;
}

/* What the launches of a call share. */
typedef struct gpu_work {
    clfavor_plan *plan;
    const clfavor_call *call;
    clfavor_chain *chain;
    clfavor_gpu_wave wave;
} gpu_work;

static clfavor_status launch(const gpu_work *work, size_t kernel, const clfavor_arg *args, size_t count, uint64_t x,
                             uint64_t y, uint64_t z) {
    uint64_t size = work->plan->numbers[LOCAL_SIZE];
    const size_t local[3] = {(size_t)size, 1, 1};
    const size_t global[3] = {(size_t)(clfavor_ceil_div(x, size) * size), (size_t)y, (size_t)z};
    return clfavor_launch(work->plan, work->chain, work->plan->kernels[kernel], args, count, global, local);
}
#define LAUNCH(kernel, args, x, y, z) launch(work, kernel, args, sizeof(args) / sizeof((args)[0]), x, y, z)
/* What every kernel takes first. */
#define WAVE_ARGS CLFAVOR_ARG(work->call->workspace.buffer), CLFAVOR_ARG(work->wave), CLFAVOR_ARG(work->call->sizes)

#define EXACT_ARGS CLFAVOR_ARG(call->exact_keys.buffer), CLFAVOR_ARG(call->exact_keys.view)

/* Exponents of the wave's keys or queries, and the scalars where they are needed. */
static clfavor_status launch_exponents(const gpu_work *work, bool of_keys, bool scalars) {
    const clfavor_call *call = work->call;
    const clfavor_operand *x = of_keys ? &call->k : &call->q;
    cl_int key = of_keys;
#define ARGS_TOKENS                                                                                                    \
    WAVE_ARGS, CLFAVOR_ARG(x->buffer), CLFAVOR_ARG(x->view), CLFAVOR_ARG(call->weights->buffer),                       \
        CLFAVOR_ARG(call->weights->layout), CLFAVOR_ARG(key)
    const clfavor_arg scalar_args[] = {ARGS_TOKENS, EXACT_ARGS}, args[] = {ARGS_TOKENS};
    const clfavor_arg exact_args[] = {WAVE_ARGS,
                                      CLFAVOR_ARG(x->buffer),
                                      CLFAVOR_ARG(x->view),
                                      CLFAVOR_ARG(call->exact),
                                      CLFAVOR_ARG(call->k.buffer),
                                      CLFAVOR_ARG(call->k.view)};
    uint64_t tokens = work->wave.tokens, slots = (uint64_t)work->wave.states * (of_keys ? 1 : work->wave.heads);
    clfavor_status status = scalars ? LAUNCH(TOKEN_SCALARS, scalar_args, tokens, slots, 1) : CLFAVOR_SUCCESS;
    if (!status)
        status = LAUNCH(EXPONENTS, args, tokens * call->sizes.rows, slots, 1);
    if (!status && !of_keys && call->sizes.exact)
        status = LAUNCH(EXACT_EXPONENTS, exact_args, tokens * call->sizes.exact, slots, 1);
    return status;
}

/* Takes the wave's keys into the state. */
static clfavor_status launch_keys(const gpu_work *work) {
    const clfavor_call *call = work->call;
    const clfavor_gpu_wave *wave = &work->wave;
    const clfavor_arg wave_args[] = {WAVE_ARGS};
    const clfavor_arg value_args[] = {WAVE_ARGS, CLFAVOR_ARG(call->v.buffer), CLFAVOR_ARG(call->v.view)};
    uint64_t features = work->plan->features, state = features * (wave->columns + 1);
    clfavor_status status;
    if ((status = launch_exponents(work, true, true)) ||
        (status = LAUNCH(REFERENCES, wave_args, features, wave->states, 1)) ||
        (status = LAUNCH(KEY_WEIGHTS, wave_args, features * wave->tokens, wave->states, 1)) ||
        (status = LAUNCH(CHUNK_STATES, value_args, state, clfavor_ceil_div(wave->tokens, wave->chunk), wave->states)))
        return status;
    return LAUNCH(SCAN, wave_args, state, wave->states, 1);
}

/* Outputs of the wave's queries, for all query heads of its states. */
static clfavor_status launch_queries(gpu_work *work, uint64_t heads) {
    const clfavor_call *call = work->call;
    clfavor_gpu_wave *wave = &work->wave;
    const clfavor_arg wave_args[] = {WAVE_ARGS};
    const clfavor_arg sum_args[] = {WAVE_ARGS,
                                    CLFAVOR_ARG(call->lse.buffer),
                                    CLFAVOR_ARG(call->lse.view),
                                    CLFAVOR_ARG(call->sign.buffer),
                                    CLFAVOR_ARG(call->sign.view),
                                    CLFAVOR_ARG(call->weights->log2_norm)};
    const clfavor_arg output_args[] = {WAVE_ARGS,
                                       CLFAVOR_ARG(call->v.buffer),
                                       CLFAVOR_ARG(call->v.view),
                                       CLFAVOR_ARG(call->o.buffer),
                                       CLFAVOR_ARG(call->o.view),
                                       CLFAVOR_ARG(call->corrections.buffer),
                                       CLFAVOR_ARG(call->corrections.view)};
    uint64_t features = work->plan->features + call->sizes.exact, rows = wave->tokens, group = call->sizes.group;
    for (uint64_t head = 0; head < group; head += heads) {
        wave->head = (uint32_t)head;
        wave->heads = (uint32_t)clfavor_min(heads, group - head);
        uint64_t slots = (uint64_t)wave->states * wave->heads;
        clfavor_status status = launch_exponents(work, false, call->lse.buffer || call->sizes.exact);
        if (!status && wave->causal)
            status = LAUNCH(PAIRS, wave_args, rows * wave->chunk, slots, 1);
        if (status || (status = LAUNCH(ROW_REFERENCES, wave_args, rows, slots, 1)) ||
            (status = LAUNCH(QUERY_WEIGHTS, wave_args, features * rows, slots, 1)) ||
            (status = LAUNCH(DENOMINATORS, sum_args, rows, slots, 1)) ||
            (status = LAUNCH(OUTPUTS, output_args, wave->columns * rows, slots, 1)))
            return status;
    }
    return CLFAVOR_SUCCESS;
}

/* One group of states, one block of columns, all tokens. */
static clfavor_status launch_states(gpu_work *work, uint64_t heads) {
    const clfavor_sizes *sizes = &work->call->sizes;
    clfavor_gpu_wave *wave = &work->wave;
    const clfavor_call *call = work->call;
    const clfavor_arg exact_args[] = {WAVE_ARGS, EXACT_ARGS};
    clfavor_status exact =
        sizes->exact ? LAUNCH(EXACT_INDICES, exact_args, sizes->exact, wave->states, 1) : CLFAVOR_SUCCESS;
    if (exact)
        return exact;
    for (wave->token = 0; wave->token < sizes->n_k; wave->token += wave->capacity) {
        wave->tokens = (uint32_t)clfavor_min(wave->capacity, sizes->n_k - wave->token);
        wave->first = wave->token == 0;
        clfavor_status status = launch_keys(work);
        if (!status && wave->causal)
            status = launch_queries(work, heads);
        if (status)
            return status;
    }
    if (wave->causal)
        return CLFAVOR_SUCCESS;
    for (wave->token = 0; wave->token < sizes->n; wave->token += wave->capacity) {
        wave->tokens = (uint32_t)clfavor_min(wave->capacity, sizes->n - wave->token);
        clfavor_status status = launch_queries(work, heads);
        if (status)
            return status;
    }
    return CLFAVOR_SUCCESS;
}

static clfavor_status enqueue(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain) {
    uint64_t states = call->batch * call->sizes.state_heads, value_dim = call->sizes.value_dim;
    gpu_shape shape = choose_shape(plan, &call->sizes, states);
    gpu_work work = {plan, call, chain, {.chunk = plan->chunk, .causal = plan->desc.causal}};
    clfavor_gpu_wave *wave = &work.wave;
    wave->capacity = (uint32_t)(shape.chunks * plan->chunk);
    lay_out(plan, &shape, call->workspace.view.offset, wave);
    for (wave->state = 0; wave->state < states; wave->state += shape.states)
        for (uint64_t column = 0; column < value_dim; column += shape.columns) {
            wave->states = (uint32_t)clfavor_min(shape.states, states - wave->state);
            wave->column = (uint32_t)column;
            wave->columns = (uint32_t)clfavor_min(shape.columns, value_dim - column);
            clfavor_status status = launch_states(&work, shape.heads);
            if (status)
                return status;
        }
    return CLFAVOR_SUCCESS;
}

const clfavor_backend clfavor_backend_attention_gpu = {prepare, enqueue};
