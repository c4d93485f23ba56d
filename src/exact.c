/* Exact softmax attention: the launches of both classes. Queries go in waves of items (cpu: a block of rows, a group
 * each; gpu: a row, a column of work-items each), keys in waves of KEY_WAVE; where there is more than one of these, an
 * item hands its state on through the workspace. */
#include "plan.h"

#include <math.h>

#define KEY_WAVE      ((uint64_t)1 << 14)
#define MAX_WORK      ((uint64_t)1 << 36) /* multiply-adds a launch: tenths of a second on a CPU */
#define MAX_ROW_TILES 4u
#define CPU_KEYS      72u
#define GPU_KEYS      16u
#define GPU_COLUMNS   32u

/* plan->numbers */
enum { ITEM_ROWS, ROW_TILES, ITEM_FLOATS, ITEMS };

/* Items a launch takes so that no launch is long, yet the device is full. */
static uint64_t items_of(const clfavor_plan *plan, uint64_t n_k) {
    uint64_t work = plan->numbers[ITEM_ROWS] * clfavor_min(n_k, KEY_WAVE) * (plan->desc.dim + plan->desc.value_dim);
    uint64_t items = MAX_WORK / work, least = 4 * (uint64_t)plan->context->compute_units;
    return items > least ? items : least;
}

static clfavor_status prepare(clfavor_plan *plan, const char *file, const char *kernel, clfavor_options *options) {
    const clfavor_plan_desc *desc = &plan->desc;
    if (desc->max_n > KEY_WAVE) {
        uint64_t blocks = clfavor_ceil_div(desc->max_n, plan->numbers[ITEM_ROWS]);
        uint64_t bytes = plan->numbers[ITEM_FLOATS] * sizeof(cl_float), all, items;
        if (__builtin_mul_overflow(desc->max_batch * desc->max_heads, blocks, &all))
            all = UINT64_MAX;
        items = clfavor_min(clfavor_min(all, items_of(plan, desc->max_n)), desc->workspace_limit / bytes);
        if (!items)
            return CLFAVOR_REFUSE(plan->context, CLFAVOR_WORKSPACE,
                                  "exact attention needs at least %llu bytes of workspace, the limit is %zu",
                                  (unsigned long long)bytes, desc->workspace_limit);
        plan->numbers[ITEMS] = items;
        plan->workspace_size = (size_t)(items * bytes);
    }
    plan->pieces = 1;
    return clfavor_plan_kernels(plan, file, options, 0, &kernel, 1);
}

/* cpu class: floats of a row's state: reference, sum, and columns of V in whole register tiles (TR of the kernel). */
static uint64_t state_floats(const clfavor_plan *plan) {
    return 2 + clfavor_round_up(plan->desc.value_dim, plan->context->vector_width == 16 ? 8 : 6);
}

static clfavor_status prepare_cpu(clfavor_plan *plan) {
    const clfavor_context *context = plan->context;
    /* floats of local memory: query, state and last key of a row; scores of a block of keys */
    uint64_t rows = 2 * context->vector_width, row_floats = plan->desc.dim + state_floats(plan) + 1;
    uint64_t fixed = rows * CPU_KEYS;
    uint64_t tiles = MAX_ROW_TILES;
    while (tiles && (tiles * rows * row_floats + fixed) * sizeof(cl_float) > context->local_memory / 2)
        --tiles;
    if (!tiles && (rows * row_floats + fixed) * sizeof(cl_float) <= context->local_memory)
        tiles = 1;
    if (!tiles)
        return CLFAVOR_REFUSE(context, CLFAVOR_UNSUPPORTED,
                              "d = %u, dv = %u need more local memory than the device's %llu bytes; try the gpu class",
                              plan->desc.dim, plan->desc.value_dim, (unsigned long long)context->local_memory);
    plan->numbers[ROW_TILES] = tiles;
    plan->numbers[ITEM_ROWS] = tiles * rows;
    plan->numbers[ITEM_FLOATS] = tiles * rows * state_floats(plan);
    plan->chunk = CPU_KEYS;
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_option(&options, "KEYS", CPU_KEYS);
    return prepare(plan, "cpu_exact.cl", "exact_cpu", &options);
}

static clfavor_status prepare_gpu(clfavor_plan *plan) {
    uint64_t column_blocks = clfavor_ceil_div(plan->desc.value_dim, GPU_COLUMNS);
    plan->numbers[ITEM_ROWS] = 1;
    plan->numbers[ITEM_FLOATS] = column_blocks * (GPU_COLUMNS + 2);
    plan->chunk = GPU_KEYS;
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_option(&options, "KEYS", GPU_KEYS);
    clfavor_option(&options, "COLUMNS", GPU_COLUMNS);
    return prepare(plan, "gpu_exact.cl", "exact_gpu", &options);
}

static clfavor_status enqueue(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain, bool cpu) {
    const clfavor_sizes *sizes = &call->sizes;
    double scale = call->scale != 0.0 ? call->scale : 1.0 / sqrt((double)plan->desc.dim);
    cl_float scale2 = (cl_float)(scale * CLFAVOR_LOG2E);
    cl_ulong start = plan->desc.causal ? call->query_start : sizes->n_k - 1;
    cl_ulong step = plan->desc.causal ? call->query_step : 0;
    cl_ulong wave = KEY_WAVE, first_item, first_key;

    /* Fewer rows a group where there are too few groups for the compute units; no bit of a result depends on it. */
    cl_uint row_tiles = (cl_uint)plan->numbers[ROW_TILES];
    uint64_t item_rows = plan->numbers[ITEM_ROWS], sequences = call->batch * sizes->heads, items;
    for (;;) {
        items = sequences * clfavor_ceil_div(sizes->n, item_rows);
        if (row_tiles <= 1 || items >= 4 * (uint64_t)plan->context->compute_units)
            break;
        item_rows = item_rows / row_tiles * (row_tiles - 1);
        --row_tiles;
    }
    uint64_t most = sizes->n_k > KEY_WAVE ? plan->numbers[ITEMS] : items_of(plan, sizes->n_k);

    for (first_item = 0; first_item < items; first_item += most) {
        uint64_t count = clfavor_min(most, items - first_item);
        for (first_key = 0; first_key < sizes->n_k; first_key += wave) {
            clfavor_status status;
#define OPERANDS                                                                                                       \
    CLFAVOR_ARG(call->q.buffer), CLFAVOR_ARG(call->q.view), CLFAVOR_ARG(call->k.buffer), CLFAVOR_ARG(call->k.view),    \
        CLFAVOR_ARG(call->v.buffer), CLFAVOR_ARG(call->v.view), CLFAVOR_ARG(call->o.buffer),                           \
        CLFAVOR_ARG(call->o.view), CLFAVOR_ARG(call->lse.buffer), CLFAVOR_ARG(call->lse.view),                         \
        CLFAVOR_ARG(call->sign.buffer), CLFAVOR_ARG(call->sign.view), CLFAVOR_ARG(call->workspace.buffer),             \
        CLFAVOR_ARG(call->workspace.view.offset), CLFAVOR_ARG(call->sizes), CLFAVOR_ARG(scale2), CLFAVOR_ARG(start),   \
        CLFAVOR_ARG(step)
            if (cpu) {
                const size_t row = (size_t)item_rows * sizeof(cl_float);
                const size_t score = row / row_tiles * CPU_KEYS;
                const clfavor_arg args[] = {OPERANDS,
                                            CLFAVOR_ARG(row_tiles),
                                            CLFAVOR_ARG(first_item),
                                            CLFAVOR_ARG(first_key),
                                            CLFAVOR_ARG(wave),
                                            CLFAVOR_ARG_LOCAL(row * plan->desc.dim),
                                            CLFAVOR_ARG_LOCAL(row * state_floats(plan)),
                                            CLFAVOR_ARG_LOCAL(score),
                                            CLFAVOR_ARG_LOCAL(row)};
                const size_t global[3] = {(size_t)count, 1, 1}, local[3] = {1, 1, 1};
                status = CLFAVOR_LAUNCH(plan, chain, plan->kernels[0], args, global, local);
            } else {
                const clfavor_arg args[] = {OPERANDS, CLFAVOR_ARG(first_item), CLFAVOR_ARG(first_key),
                                            CLFAVOR_ARG(wave)};
                const size_t global[3] = {(size_t)count, (size_t)clfavor_ceil_div(plan->desc.value_dim, GPU_COLUMNS),
                                          1};
                status = CLFAVOR_LAUNCH(plan, chain, plan->kernels[0], args, global, NULL);
            }
#undef OPERANDS
            if (status)
                return status;
        }
    }
    return CLFAVOR_SUCCESS;
}

static clfavor_status enqueue_cpu(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain) {
    return enqueue(plan, call, chain, true);
}

static clfavor_status enqueue_gpu(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain) {
    return enqueue(plan, call, chain, false);
}

const clfavor_engine clfavor_engine_exact_cpu = {prepare_cpu, enqueue_cpu};
const clfavor_engine clfavor_engine_exact_gpu = {prepare_gpu, enqueue_gpu};
