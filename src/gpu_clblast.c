/* The gpu class's attention, staged, with matrix products made by CLBlast:
 *   projections            [chunk, d] x [d, rows]         of keys and queries; the kernel of exponents goes on in place
 *   what chunks add        [F, chunk] x [chunk, C]        V is copied beside a column of ones, with 0 where there is no
 *                                                         feature: 0 times what stands there might be NaN
 *   pairs, signed maps     [chunk, F] x [F, chunk]        of the others every term is an exponential of its own
 *   what rows take         [chunk, F] x [F, C]            from the state
 * C = value columns and the sum without values. A causal row's sum over its own chunk is left to the kernel: later
 * keys' weights would be 0, and 0 * NaN is NaN. So are operands that CLBlast cannot take: rows that overlap, and what
 * lies beyond the 2^31 elements that its kernels count. Every product has the chunk's size, whatever the division of
 * the work, and runs over chunks and states by strides; only the last projections of a sequence are shorter.
 *
 * What CLBlast does not keep of the library's rules, and what it is like:
 *   - It chooses between two kernels by the product of a GEMM's three sizes. The other one (products above some 500^3
 * to 2000^3, in its database for the device) allocates buffers of the operands' size at every call, beside the
 *     workspace, and adds in an order of its own. Below, nothing depends on the division into waves or blocks of
 * columns and a shorter sequence is a longer one's start to the last bit; beyond, these may differ by rounding.
 *   - Sums inside a chunk and over features are plain fp32 sums (the staged kernels compensate every 64 terms); over
 *     chunks they are compensated as ever.
 *   - It compiles at the first call of a process for a device, inside the enqueue, takes build options from the
 *     environment (CLBLAST_BUILD_OPTIONS), and keeps its programs in caches of the process, with the OpenCL context.
 *   - Two threads that compile the same kernels at once: one of them fails. Calls are made under the clfavor context's
 *     lock, so this can happen only beside calls of CLBlast outside that context.
 *   - It takes no wait list. In a queue that is out of order a barrier stands before each call, which holds up what
 * others enqueue there, too. */
#include "gpu_staged.h"

#if CLFAVOR_CLBLAST

#include <clblast_c.h>

#define MAX_CHUNK   1024u  /* terms of a plain sum */
#define MAX_BATCH   65535u /* work-groups that every device takes along a third dimension */
#define MAX_ELEMENT ((uint64_t)CL_INT_MAX)

enum { A, B, C, OPERANDS };

/* C = A B for all slots and chunks; places in elements. */
typedef struct product product;
struct product {
    const gpu_work *work;
    void (*place)(const product *p, uint64_t slot, uint64_t at[OPERANDS]); /* of the first chunk */
    bool of_keys;                                                          /* projections */
    uint64_t token;                                                        /* projections: the first, in the wave */
    bool transposed[2];
    size_t rows, columns, inner;
    cl_mem buffers[OPERANDS];
    uint64_t ld[OPERANDS], step[OPERANDS]; /* from a row and from a chunk to the next */
    uint64_t slots, chunks;
};

static clfavor_status check(const clfavor_context *context, CLBlastStatusCode code, const char *call) {
    if (code == CLBlastSuccess)
        return CLFAVOR_SUCCESS;
    clfavor_log(context, CLFAVOR_LOG_ERROR, "%s failed with CLBlast code %d", call, (int)code);
    switch (code) {
    case CLBlastOpenCLOutOfHostMemory:
        return CLFAVOR_OUT_OF_MEMORY;
    case CLBlastTempBufferAllocFailure:
    case CLBlastOpenCLOutOfResources:
    case CLBlastInvalidBufferSize:
        return CLFAVOR_DEVICE_MEMORY;
    default:
        return CLFAVOR_OPENCL;
    }
}

/* What is enqueued next runs after the chain's last launch. */
static clfavor_status order(const gpu_work *work) {
    const clfavor_context *context = work->plan->context;
    clfavor_chain *chain = work->chain;
    cl_command_queue_properties properties = 0;
    clfavor_status status = clfavor_check_cl(
        context, clGetCommandQueueInfo(chain->queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL),
        "clGetCommandQueueInfo");
    if (status || !(properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE))
        return status;
    return clfavor_check_cl(context, clEnqueueBarrierWithWaitList(chain->queue, 1, &chain->last, NULL),
                            "clEnqueueBarrierWithWaitList");
}

/* One call; chain->last is there, since the tokens' scalars come before. */
static clfavor_status call(const product *p, const uint64_t at[OPERANDS], const uint64_t stride[OPERANDS],
                           uint64_t batch) {
    const clfavor_context *context = p->work->plan->context;
    clfavor_chain *chain = p->work->chain;
    mtx_t *lock = &p->work->plan->context->lock;
    cl_event event = NULL;
    mtx_lock(lock);
    clfavor_status status = order(p->work);
    if (!status) {
        CLBlastStatusCode code = CLBlastSgemmStridedBatched(
            CLBlastLayoutRowMajor, p->transposed[A] ? CLBlastTransposeYes : CLBlastTransposeNo,
            p->transposed[B] ? CLBlastTransposeYes : CLBlastTransposeNo, p->rows, p->columns, p->inner, 1.0F,
            p->buffers[A], at[A], p->ld[A], stride[A], p->buffers[B], at[B], p->ld[B], stride[B], 0.0F, p->buffers[C],
            at[C], p->ld[C], batch > 1 ? stride[C] : 1, batch, &chain->queue, &event);
        status = check(context, code, "CLBlastSgemmStridedBatched");
        if (status) /* it may have enqueued a part of its work, which the caller's event must cover */
            clEnqueueBarrierWithWaitList(chain->queue, 0, NULL, &event);
    }
    mtx_unlock(lock);
    if (event) {
        clReleaseEvent(chain->last);
        chain->last = event;
    }
    return status;
}

/* `slots` slots that lie `stride` apart, and all chunks of each, by as few calls as strides allow. */
static clfavor_status call_slots(const product *p, const uint64_t first[OPERANDS], const uint64_t stride[OPERANDS],
                                 uint64_t slots) {
    bool nested = slots * p->chunks <= MAX_BATCH;
    for (int i = 0; i < OPERANDS; ++i)
        nested = nested && (slots == 1 || p->chunks == 1 || stride[i] == p->chunks * p->step[i]);
    if (nested)
        return call(p, first, p->chunks > 1 ? p->step : stride, slots * p->chunks);
    bool over_slots = slots <= p->chunks;
    const uint64_t *outer = over_slots ? stride : p->step, *inner = over_slots ? p->step : stride;
    uint64_t calls = over_slots ? slots : p->chunks, batch = over_slots ? p->chunks : slots;
    clfavor_status status = CLFAVOR_SUCCESS;
    for (uint64_t i = 0; !status && i < calls; ++i) {
        const uint64_t at[OPERANDS] = {first[A] + i * outer[A], first[B] + i * outer[B], first[C] + i * outer[C]};
        status = call(p, at, inner, batch);
    }
    return status;
}

/* Slots from `first` on that lie the same stride apart. */
static uint64_t count_even(const product *p, uint64_t first, uint64_t at[OPERANDS], uint64_t stride[OPERANDS]) {
    uint64_t last[OPERANDS], next[OPERANDS], count = 1;
    p->place(p, first, at);
    memcpy(last, at, sizeof last);
    memset(stride, 0, OPERANDS * sizeof *stride);
    for (; first + count < p->slots; ++count) {
        p->place(p, first + count, next);
        for (int i = 0; i < OPERANDS; ++i)
            if (next[i] < last[i] || (count > 1 && next[i] - last[i] != stride[i]))
                return count;
        for (int i = 0; i < OPERANDS; ++i)
            stride[i] = next[i] - last[i];
        memcpy(last, next, sizeof last);
    }
    return count;
}

/* Whether CLBlast can take the operands. */
static bool can_take(const product *p) {
    const uint64_t rows[OPERANDS] = {p->transposed[A] ? p->inner : p->rows, p->transposed[B] ? p->columns : p->inner,
                                     p->rows};
    const uint64_t columns[OPERANDS] = {p->transposed[A] ? p->rows : p->inner, p->transposed[B] ? p->inner : p->columns,
                                        p->columns};
    for (int i = 0; i < OPERANDS; ++i)
        if (p->ld[i] < columns[i] || p->ld[i] > MAX_ELEMENT || p->step[i] > MAX_ELEMENT)
            return false;
    for (uint64_t slot = 0; slot < p->slots; ++slot) {
        uint64_t at[OPERANDS];
        p->place(p, slot, at);
        for (int i = 0; i < OPERANDS; ++i) {
            uint64_t span = (p->chunks - 1) * p->step[i] + (rows[i] - 1) * p->ld[i] + columns[i];
            if (at[i] > MAX_ELEMENT || span > MAX_ELEMENT - at[i])
                return false;
        }
    }
    return true;
}

static clfavor_status make(const product *p) {
    clfavor_status status = CLFAVOR_SUCCESS;
    for (uint64_t slot = 0, count; !status && slot < p->slots; slot += count) {
        uint64_t at[OPERANDS], stride[OPERANDS];
        count = count_even(p, slot, at, stride);
        status = call_slots(p, at, stride, count);
    }
    return status;
}

static clfavor_status make_if_possible(const product *p, bool *made) {
    *made = can_take(p);
    return *made ? make(p) : CLFAVOR_SUCCESS;
}

/* All operands are in the workspace. */
static product in_workspace(const gpu_work *work, uint64_t slots) {
    cl_mem buffer = work->call->workspace.buffer;
    return (product){
        .work = work, .buffers = {buffer, buffer, buffer}, .slots = slots, .chunks = gpu_wave_chunks(&work->wave)};
}

/* --------------------------------------------------------------------------------------------------- projections */

static uint64_t query_features(const gpu_work *work) {
    return (uint64_t)work->plan->features + work->call->sizes.exact;
}

/* As state_place and slot_place of kernels/gpu_common.clh. */
static uint64_t token_place(const gpu_work *work, bool of_keys, uint64_t slot) {
    const clfavor_sizes *sizes = &work->call->sizes;
    const clfavor_view *view = of_keys ? &work->call->k.view : &work->call->q.view;
    uint64_t heads = of_keys ? 1 : work->wave.heads, state = work->wave.state + slot / heads;
    uint64_t state_head = state % sizes->state_heads;
    uint64_t head = of_keys ? state_head * sizes->heads_kv / sizes->state_heads
                            : state_head * sizes->group + work->wave.head + slot % heads;
    return view->offset + state / sizes->state_heads * view->batch + head * view->head + work->wave.token * view->token;
}

static void place_projection(const product *p, uint64_t slot, uint64_t at[OPERANDS]) {
    const gpu_work *work = p->work;
    const clfavor_sizes *sizes = &work->call->sizes;
    const clfavor_weights_layout *layout = &work->call->weights->layout;
    uint64_t state = work->wave.state + slot / (p->of_keys ? 1 : work->wave.heads);
    uint64_t token = p->of_keys ? work->call->k.view.token : work->call->q.view.token;
    at[A] = token_place(work, p->of_keys, slot) + p->token * token;
    at[B] = (p->of_keys ? layout->mk : layout->mq) +
            (sizes->sets == 1 ? 0 : state % sizes->state_heads * layout->set_stride);
    at[C] = (p->of_keys ? work->wave.keys : work->wave.queries) + (slot * work->wave.capacity + p->token) * p->ld[C];
}

static clfavor_status projections(const gpu_work *work, bool of_keys, bool *made) {
    const clfavor_plan *plan = work->plan;
    const clfavor_gpu_wave *wave = &work->wave;
    if (plan->family == CLFAVOR_FAMILY_ELU)
        return CLFAVOR_SUCCESS;
    const clfavor_operand *x = of_keys ? &work->call->k : &work->call->q;
    uint64_t features = of_keys ? plan->features : query_features(work), whole = wave->tokens / wave->chunk;
    product p = in_workspace(work, of_keys ? wave->states : gpu_slots(work));
    p.place = place_projection;
    p.of_keys = of_keys;
    p.columns = plan->rows;
    p.inner = plan->desc.dim;
    p.buffers[A] = x->buffer;
    p.buffers[B] = work->call->weights->buffer;
    p.ld[A] = x->view.token;
    p.ld[B] = clfavor_padded_rows(plan->context, plan->rows);
    p.ld[C] = features;
    p.step[A] = wave->chunk * x->view.token;
    p.step[C] = wave->chunk * features;
    p.rows = wave->chunk;
    p.chunks = whole;
    product rest = p;
    rest.rows = wave->tokens % wave->chunk;
    rest.chunks = 1;
    rest.token = whole * wave->chunk;
    *made = (!whole || can_take(&p)) && (!rest.rows || can_take(&rest));
    clfavor_status status = *made && whole ? make(&p) : CLFAVOR_SUCCESS;
    return status || !*made || !rest.rows ? status : make(&rest);
}

/* ------------------------------------------------------------------------------------- products in the workspace */

static void place_chunk_states(const product *p, uint64_t slot, uint64_t at[OPERANDS]) {
    const clfavor_gpu_wave *wave = &p->work->wave;
    at[A] = wave->queries + slot * wave->capacity * p->ld[A];
    at[B] = wave->values + slot * wave->capacity * p->ld[B];
    at[C] = wave->starts + slot * (wave->capacity / wave->chunk) * p->step[C];
}

static clfavor_status chunk_states(const gpu_work *work, bool *made) {
    const clfavor_call *c = work->call;
    const clfavor_gpu_wave *wave = &work->wave;
    uint64_t features = work->plan->features, columns = wave->columns + 1;
    product p = in_workspace(work, wave->states);
    p.place = place_chunk_states;
    p.transposed[A] = true;
    p.rows = (size_t)features;
    p.columns = (size_t)columns;
    p.inner = wave->chunk;
    p.ld[A] = features;
    p.ld[B] = p.ld[C] = columns;
    p.step[A] = wave->chunk * features;
    p.step[B] = wave->chunk * columns;
    p.step[C] = features * columns;
    if (!(*made = can_take(&p)))
        return CLFAVOR_SUCCESS;
    const clfavor_arg args[] = {GPU_WAVE_ARGS, CLFAVOR_ARG(c->v.buffer), CLFAVOR_ARG(c->v.view)};
    clfavor_status status = GPU_LAUNCH(GPU_VALUES, args, p.chunks * wave->chunk * columns, wave->states, 1);
    return status ? status : make(&p);
}

static void place_pairs(const product *p, uint64_t slot, uint64_t at[OPERANDS]) {
    const clfavor_gpu_wave *wave = &p->work->wave;
    at[A] = wave->queries + slot * wave->capacity * p->ld[A];
    at[B] = wave->keys + slot / wave->heads * wave->capacity * p->ld[B];
    at[C] = wave->pairs + slot * wave->capacity * wave->chunk;
}

static clfavor_status pairs(const gpu_work *work, bool *made) {
    const clfavor_gpu_wave *wave = &work->wave;
    clfavor_family family = work->plan->family;
    if (family != CLFAVOR_FAMILY_TRIG && family != CLFAVOR_FAMILY_TRIG_PHASE) /* signed */
        return CLFAVOR_SUCCESS;
    product p = in_workspace(work, gpu_slots(work));
    p.place = place_pairs;
    p.transposed[B] = true;
    p.rows = p.columns = wave->chunk;
    p.inner = work->plan->features;
    p.ld[A] = p.ld[B] = work->plan->features;
    p.ld[C] = wave->chunk;
    for (int i = 0; i < OPERANDS; ++i)
        p.step[i] = wave->chunk * p.ld[i];
    return make_if_possible(&p, made);
}

static void place_outputs(const product *p, uint64_t slot, uint64_t at[OPERANDS]) {
    const clfavor_gpu_wave *wave = &p->work->wave;
    at[A] = wave->queries + slot * wave->capacity * p->ld[A];
    at[B] = wave->starts + slot / wave->heads * (wave->capacity / wave->chunk) * p->inner * p->ld[B];
    at[C] = wave->products + slot * wave->capacity * p->ld[C];
}

static clfavor_status outputs(const gpu_work *work, bool *made) {
    const clfavor_gpu_wave *wave = &work->wave;
    uint64_t features = work->plan->features, columns = wave->columns + 1;
    product p = in_workspace(work, gpu_slots(work));
    p.place = place_outputs;
    p.rows = wave->chunk;
    p.columns = (size_t)columns;
    p.inner = (size_t)features;
    p.ld[A] = query_features(work);
    p.ld[B] = p.ld[C] = columns;
    p.step[A] = wave->chunk * p.ld[A];
    p.step[B] = wave->causal ? features * columns : 0;
    p.step[C] = wave->chunk * columns;
    return make_if_possible(&p, made);
}

/* ------------------------------------------------------------------------------------------------------- the way */

static const gpu_products products = {projections, chunk_states, pairs, outputs};

static clfavor_status choose(clfavor_plan *plan) {
    clfavor_status status = gpu_staged_choose(plan);
    plan->chunk = (uint32_t)clfavor_min(plan->chunk, MAX_CHUNK);
    return status;
}

static void parts(const clfavor_plan *plan, const gpu_shape *shape, clfavor_gpu_wave *counts) {
    uint64_t tokens = shape->chunks * plan->chunk;
    gpu_staged_parts(plan, shape, counts);
    counts->values = shape->states * tokens * (shape->columns + 1);
    counts->products = shape->states * shape->heads * tokens * (shape->columns + 1);
}

static clfavor_status keys(const gpu_work *work) {
    return gpu_staged_keys(work, &products);
}
static clfavor_status queries(const gpu_work *work) {
    return gpu_staged_queries(work, &products);
}

const clfavor_gpu_way clfavor_gpu_clblast = {choose, parts, gpu_staged_build, keys, queries};

#else

static clfavor_status choose(clfavor_plan *plan) {
    clfavor_log(plan->context, plan->desc.backend ? CLFAVOR_LOG_ERROR : CLFAVOR_LOG_INFO,
                "the library was built without CLBlast");
    return CLFAVOR_UNSUPPORTED;
}

const clfavor_gpu_way clfavor_gpu_clblast = {.choose = choose};

#endif
