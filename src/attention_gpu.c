/* Attention, gpu class: the work in groups of states, blocks of value columns, waves of tokens and blocks of query
 * heads that fit the workspace. Causal: the keys of a wave, then its queries. Otherwise: all keys, then all queries.
 * What a wave does is up to the way: gpu_fused.c, gpu_staged.c or gpu_clblast.c. */
#include "gpu.h"

#include <stddef.h>

#define WAVE_TOKENS    4096u /* beyond that a wave gains nothing */
#define SMALLEST_CHUNK 8u
#define SMALL_COLUMNS  16u
#define FIRST_CHUNKS   8u     /* a wave gets so many before states run side by side, then more if there is room */
#define MAX_SLOTS      65535u /* work-groups that every device takes along a second dimension */

static const clfavor_gpu_way *way_of(const clfavor_plan *plan) {
    return plan->backend == CLFAVOR_BACKEND_FUSED     ? &clfavor_gpu_fused
           : plan->backend == CLFAVOR_BACKEND_CLBLAST ? &clfavor_gpu_clblast
                                                      : &clfavor_gpu_staged;
}

/* Places the parts of the workspace one after the other; returns where the last one ends. */
static uint64_t lay_out(const clfavor_plan *plan, const gpu_shape *shape, uint64_t start, clfavor_gpu_wave *wave) {
    uint64_t tokens = shape->chunks * plan->chunk, slots = shape->states * shape->heads;
    clfavor_gpu_wave counts = {.key_scalars = shape->states * tokens,
                               .query_scalars = slots * tokens,
                               .exact = shape->states * plan->desc.exact_keys,
                               .references = shape->states * (shape->chunks + 1) * gpu_references(plan)};
    way_of(plan)->parts(plan, shape, &counts);
    static const size_t members[] = {
        offsetof(clfavor_gpu_wave, key_scalars),    offsetof(clfavor_gpu_wave, query_scalars),
        offsetof(clfavor_gpu_wave, exact),          offsetof(clfavor_gpu_wave, references),
        offsetof(clfavor_gpu_wave, starts),         offsetof(clfavor_gpu_wave, sums),
        offsetof(clfavor_gpu_wave, lows),           offsetof(clfavor_gpu_wave, chunk_references),
        offsetof(clfavor_gpu_wave, keys),           offsetof(clfavor_gpu_wave, queries),
        offsetof(clfavor_gpu_wave, row_references), offsetof(clfavor_gpu_wave, denominators),
        offsetof(clfavor_gpu_wave, pairs),          offsetof(clfavor_gpu_wave, pair_references),
        offsetof(clfavor_gpu_wave, values),         offsetof(clfavor_gpu_wave, products)};
    uint64_t align = CLFAVOR_ALIGN / sizeof(cl_float), end = start;
    for (size_t i = 0; i < sizeof members / sizeof *members; ++i) {
        const cl_ulong *count = (const cl_ulong *)(const void *)((const char *)&counts + members[i]);
        *(cl_ulong *)(void *)((char *)wave + members[i]) = end;
        end += clfavor_ceil_div(*count, align) * align;
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

clfavor_status gpu_local_size(clfavor_plan *plan, uint64_t most, uint64_t *local) {
    most = clfavor_min(most, plan->context->max_work_group);
    for (size_t i = 0; i < CLFAVOR_PLAN_KERNELS; ++i) {
        size_t size = 0;
        if (!plan->kernels[i])
            continue;
        clfavor_status status =
            clfavor_check_cl(plan->context,
                             clGetKernelWorkGroupInfo(plan->kernels[i], plan->context->device,
                                                      CL_KERNEL_WORK_GROUP_SIZE, sizeof size, &size, NULL),
                             "clGetKernelWorkGroupInfo");
        if (status)
            return status;
        most = clfavor_min(most, size);
    }
    *local = most ? most : 1;
    return CLFAVOR_SUCCESS;
}

clfavor_status gpu_token_kernels(clfavor_plan *plan, const char *file, const clfavor_options *options) {
    static const char *const names[] = {"token_scalars", "exact_indices"};
    return clfavor_plan_kernels(plan, file, options, GPU_TOKEN_SCALARS, names, plan->desc.exact_keys ? 2 : 1);
}

/* The way that was asked for, or that the tuning row names; AUTO goes on to one that the device can do. */
static clfavor_status choose_way(clfavor_plan *plan) {
    clfavor_backend asked = plan->desc.backend;
    const clfavor_backend order[] = {asked ? asked : plan->context->tuning.backend, CLFAVOR_BACKEND_FUSED,
                                     CLFAVOR_BACKEND_STAGED};
    clfavor_status status = CLFAVOR_UNSUPPORTED;
    for (size_t i = 0; status == CLFAVOR_UNSUPPORTED && i < (asked ? 1 : sizeof order / sizeof *order); ++i) {
        if (i && order[i] == order[0])
            continue;
        plan->backend = order[i];
        status = way_of(plan)->choose(plan);
    }
    return status;
}

/* Chunk and workspace of the way that was chosen, and its kernels. */
static clfavor_status prepare_way(clfavor_plan *plan) {
    const clfavor_plan_desc *desc = &plan->desc;
    uint64_t limit = clfavor_min(desc->workspace_limit, plan->context->max_allocation) / CLFAVOR_ALIGN * CLFAVOR_ALIGN;
    bool fixed = plan->backend == CLFAVOR_BACKEND_FUSED || desc->chunk;
    gpu_shape whole_state = {1, 1, 1, desc->value_dim};
    while (!fixed && plan->chunk > SMALLEST_CHUNK && bytes_of(plan, &whole_state) > limit)
        plan->chunk = (uint32_t)clfavor_max(plan->chunk / 2, SMALLEST_CHUNK);
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
    return way_of(plan)->build(plan);
}

static clfavor_status prepare(clfavor_plan *plan) {
    plan->pieces = 1;
    clfavor_status status = choose_way(plan);
    if (!status)
        status = prepare_way(plan);
    if (status == CLFAVOR_BUILD_FAILED && !plan->desc.backend && plan->backend != CLFAVOR_BACKEND_STAGED) {
        clfavor_log(plan->context, CLFAVOR_LOG_WARNING,
                    "the device's compiler does not take the fused kernels (see above): staged ones are used");
        clfavor_plan_release_kernels(plan);
        plan->backend = CLFAVOR_BACKEND_STAGED;
        if (!(status = way_of(plan)->choose(plan)))
            status = prepare_way(plan);
    }
    const clfavor_tuning *row = &plan->context->tuning;
    uint64_t group = row->backend == CLFAVOR_BACKEND_FUSED ? CLFAVOR_STAGED_GROUP : row->group;
    return status ? status : gpu_local_size(plan, group, &plan->numbers[GPU_LOCAL_SIZE]);
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

clfavor_status gpu_launch(const gpu_work *work, size_t kernel, const clfavor_arg *args, size_t count, uint64_t x,
                          uint64_t y, uint64_t z) {
    uint64_t size = work->plan->numbers[GPU_LOCAL_SIZE];
    const size_t local[3] = {(size_t)size, 1, 1};
    const size_t global[3] = {(size_t)(clfavor_ceil_div(x, size) * size), (size_t)y, (size_t)z};
    return clfavor_launch(work->plan, work->chain, work->plan->kernels[kernel], args, count, global, local);
}

#define EXACT_ARGS CLFAVOR_ARG(call->exact_keys.buffer), CLFAVOR_ARG(call->exact_keys.view)

clfavor_status gpu_launch_scalars(const gpu_work *work, bool of_keys) {
    const clfavor_call *call = work->call;
    const clfavor_operand *x = of_keys ? &call->k : &call->q;
    cl_int key = of_keys;
    const clfavor_arg args[] = {GPU_WAVE_ARGS,
                                CLFAVOR_ARG(x->buffer),
                                CLFAVOR_ARG(x->view),
                                CLFAVOR_ARG(call->weights->buffer),
                                CLFAVOR_ARG(call->weights->layout),
                                CLFAVOR_ARG(key),
                                EXACT_ARGS};
    return GPU_LAUNCH(GPU_TOKEN_SCALARS, args, work->wave.tokens, of_keys ? work->wave.states : gpu_slots(work), 1);
}

/* Outputs of the wave's queries, for all query heads of its states. */
static clfavor_status launch_queries(gpu_work *work, uint64_t heads) {
    uint64_t group = work->call->sizes.group;
    clfavor_status status = CLFAVOR_SUCCESS;
    for (uint64_t head = 0; !status && head < group; head += heads) {
        work->wave.head = (uint32_t)head;
        work->wave.heads = (uint32_t)clfavor_min(heads, group - head);
        if (work->call->lse.buffer || work->call->sizes.exact)
            status = gpu_launch_scalars(work, false);
        if (!status)
            status = way_of(work->plan)->queries(work);
    }
    return status;
}

/* One group of states, one block of columns, all tokens. */
static clfavor_status launch_states(gpu_work *work, uint64_t heads) {
    const clfavor_sizes *sizes = &work->call->sizes;
    clfavor_gpu_wave *wave = &work->wave;
    const clfavor_call *call = work->call;
    const clfavor_arg exact_args[] = {GPU_WAVE_ARGS, EXACT_ARGS};
    clfavor_status status =
        sizes->exact ? GPU_LAUNCH(GPU_EXACT_INDICES, exact_args, sizes->exact, wave->states, 1) : CLFAVOR_SUCCESS;
    for (wave->token = 0; !status && wave->token < sizes->n_k; wave->token += wave->capacity) {
        wave->tokens = (uint32_t)clfavor_min(wave->capacity, sizes->n_k - wave->token);
        wave->first = wave->token == 0;
        status = gpu_launch_scalars(work, true);
        if (!status)
            status = way_of(work->plan)->keys(work);
        if (!status && wave->causal)
            status = launch_queries(work, heads);
    }
    if (wave->causal)
        return status;
    for (wave->token = 0; !status && wave->token < sizes->n; wave->token += wave->capacity) {
        wave->tokens = (uint32_t)clfavor_min(wave->capacity, sizes->n - wave->token);
        status = launch_queries(work, heads);
    }
    return status;
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

const clfavor_engine clfavor_engine_attention_gpu = {prepare, enqueue};
