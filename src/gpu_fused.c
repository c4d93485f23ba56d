/* The gpu class's attention, fused: the launches of kernels/gpu_fused_*.cl. Features live in local memory only.
 *   keys of a wave: state of each chunk, references, scan; or all of it in one launch where heads fill the device;
 *   queries of a wave: outputs of tiles of rows, or, causal, of chunks. */
#include "gpu.h"

#define MAX_CHUNK     4096u
#define REGISTERS     32768u /* NVIDIA: half of a multiprocessor's, so that one group works where another waits */
#define GROUPS_A_UNIT 2u     /* of the states' kernel, for one pass over the chunks */

/* STATES and OUTPUTS twice: the second is for tensors whose rows begin on 16 bytes. */
enum { STATES = GPU_OWN_KERNELS, OUTPUTS = STATES + 2, REFERENCES = OUTPUTS + 2, SCAN };
static const char *const state_kernel[] = {"fused_states"};
static const char *const scan_kernels[] = {"fused_references", "fused_scan"};
static const char *const output_kernels[] = {"fused_outputs", "fused_causal"};

/* plan->numbers: the sizes of the tiles */
enum { GROUP = GPU_OWN_NUMBERS, ROWS, FEATURES, COLUMNS, VECTOR };

static clfavor_status choose(clfavor_plan *plan) {
    const clfavor_context *context = plan->context;
    const clfavor_tuning *row = clfavor_tuning_fused(context);
    if (!clfavor_tuning_fits(context, row)) {
        clfavor_log(
            context, plan->desc.backend ? CLFAVOR_LOG_ERROR : CLFAVOR_LOG_INFO,
            "the fused kernels need %zu bytes of local memory and work-groups of %u, the device has %llu and %llu",
            clfavor_tuning_local_bytes(row), row->group, (unsigned long long)context->local_memory,
            (unsigned long long)context->max_work_group);
        return CLFAVOR_UNSUPPORTED;
    }
    uint32_t wanted = plan->desc.chunk ? plan->desc.chunk : row->chunk ? row->chunk : row->rows;
    plan->chunk = plan->desc.causal ? row->rows : clfavor_round_up((uint32_t)clfavor_min(wanted, MAX_CHUNK), row->rows);
    plan->numbers[GROUP] = row->group;
    plan->numbers[ROWS] = row->rows;
    plan->numbers[FEATURES] = row->features;
    plan->numbers[VECTOR] =
        (row->vector ? row->vector == 1 : !context->is_cpu) && plan->desc.dim % 4 == 0 && plan->desc.value_dim % 4 == 0;
    plan->numbers[COLUMNS] = clfavor_tuning_columns(row, plan->desc.value_dim);
    return CLFAVOR_SUCCESS;
}

/* Floats of a state: F rows of the columns of V, a multiple of 4, and 4 more (kernels/gpu_attention.h). */
static uint64_t state_floats(const clfavor_plan *plan, uint64_t columns) {
    return plan->features * (clfavor_ceil_div(columns, 4) * 4 + 4);
}

static void parts(const clfavor_plan *plan, const gpu_shape *shape, clfavor_gpu_wave *counts) {
    uint64_t state = state_floats(plan, shape->columns);
    counts->starts = shape->states * shape->chunks * state;
    counts->sums = counts->lows = shape->states * state;
    counts->chunk_references = shape->states * shape->chunks * gpu_references(plan);
}

/* The row's step, less where d would be done in one: what then is no loop, compilers spread over the next tile, and
 * NVIDIA's spills. */
static uint32_t step_of(const clfavor_plan *plan) {
    uint32_t step = clfavor_tuning_fused(plan->context)->step;
    while (step > 4 && step >= plan->desc.dim)
        step /= 2;
    return step;
}

static clfavor_status build_for(clfavor_plan *plan, bool vector) {
    bool causal = plan->desc.causal;
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_option(&options, "GROUP", plan->numbers[GROUP]);
    clfavor_option(&options, "ROWS", plan->numbers[ROWS]);
    clfavor_option(&options, "FEATURES", plan->numbers[FEATURES]);
    clfavor_option(&options, "COLUMNS", plan->numbers[COLUMNS]);
    clfavor_option(&options, "STEP", step_of(plan));
    clfavor_option(&options, "VECTOR", vector);
    clfavor_option(&options, "UNROLLED", !plan->context->is_cpu);
    if (plan->context->sub_group)
        clfavor_option(&options, "SUB_GROUP", plan->context->sub_group);
    if (plan->context->limits_registers && plan->numbers[GROUP] > REGISTERS / 255)
        clfavor_compiler_option(&options, "-cl-nv-maxrregcount", REGISTERS / plan->numbers[GROUP]);
    clfavor_status status;
    if ((status = clfavor_plan_kernels(plan, "gpu_fused_keys.cl", &options, STATES + vector, state_kernel, 1)) ||
        (status = clfavor_plan_kernels(plan, causal ? "gpu_fused_causal.cl" : "gpu_fused_queries.cl", &options,
                                       OUTPUTS + vector, &output_kernels[causal], 1)) ||
        vector)
        return status;
    status = gpu_token_kernels(plan, "gpu_fused_keys.cl", &options);
    return status ? status : clfavor_plan_kernels(plan, "gpu_fused_keys.cl", &options, REFERENCES, scan_kernels, 2);
}

/* Work-groups have the size that the kernels were compiled for; a device may still find that too much for one. */
static clfavor_status check_groups(clfavor_plan *plan) {
    uint64_t most = 0;
    clfavor_status status = gpu_local_size(plan, plan->numbers[GROUP], &most);
    if (!status && most < plan->numbers[GROUP])
        return CLFAVOR_REFUSE(
            plan->context, CLFAVOR_BUILD_FAILED,
            "the device runs a fused kernel with at most %llu work-items, not %llu: give a tuning row "
            "with smaller tiles, or ask for the staged backend",
            (unsigned long long)most, (unsigned long long)plan->numbers[GROUP]);
    return status;
}

static clfavor_status build(clfavor_plan *plan) {
    clfavor_status status = build_for(plan, false);
    if (!status && plan->numbers[VECTOR])
        status = build_for(plan, true);
    return status ? status : check_groups(plan);
}

static bool is_aligned(const clfavor_operand *x) {
    void *host = NULL; /* of a buffer that lies in the caller's memory */
    uint64_t all = x->view.offset | x->view.batch | x->view.head | x->view.token;
    return all % 4 == 0 && clGetMemObjectInfo(x->buffer, CL_MEM_HOST_PTR, sizeof host, &host, NULL) == CL_SUCCESS &&
           (uintptr_t)host % 16 == 0;
}

/* Whether the wave can take the kernels with loads of 16 bytes. */
static size_t vector_kernel(const gpu_work *work) {
    const clfavor_call *call = work->call;
    return work->plan->numbers[VECTOR] && work->wave.columns % 4 == 0 && work->wave.column % 4 == 0 &&
           is_aligned(&call->q) && is_aligned(&call->k) && is_aligned(&call->v);
}

/* x * y * z work-groups. */
static clfavor_status launch_groups(const gpu_work *work, size_t kernel, const clfavor_arg *args, size_t count,
                                    uint64_t x, uint64_t y, uint64_t z) {
    size_t group = (size_t)work->plan->numbers[GROUP];
    const size_t local[3] = {group, 1, 1}, global[3] = {(size_t)x * group, (size_t)y, (size_t)z};
    return clfavor_launch(work->plan, work->chain, work->plan->kernels[kernel], args, count, global, local);
}

/* A tile may take fewer columns of V than there are; each tile makes the features anew. */
static uint64_t column_tiles(const gpu_work *work) {
    return clfavor_ceil_div(work->wave.columns, work->plan->numbers[COLUMNS]);
}

/* Whether there are groups enough without chunks side by side. */
static bool fills_the_device(const gpu_work *work, uint64_t groups) {
    return gpu_references(work->plan) == work->plan->features && column_tiles(work) == 1 &&
           groups >= GROUPS_A_UNIT * (uint64_t)work->plan->context->compute_units;
}

static clfavor_status keys(const gpu_work *whole) {
    const clfavor_call *call = whole->call;
    uint64_t features = whole->plan->features, tiles = clfavor_ceil_div(features, whole->plan->numbers[FEATURES]);
    gpu_work own = *whole, *work = &own;
    const clfavor_gpu_wave *wave = &work->wave;
    work->wave.one_pass = fills_the_device(whole, tiles * wave->states);
    uint64_t chunks = wave->one_pass ? 1 : clfavor_ceil_div(wave->tokens, wave->chunk);
    const clfavor_arg wave_args[] = {GPU_WAVE_ARGS};
    const clfavor_arg state_args[] = {GPU_WAVE_ARGS,
                                      CLFAVOR_ARG(call->k.buffer),
                                      CLFAVOR_ARG(call->k.view),
                                      CLFAVOR_ARG(call->v.buffer),
                                      CLFAVOR_ARG(call->v.view),
                                      CLFAVOR_ARG(call->weights->buffer),
                                      CLFAVOR_ARG(call->weights->layout)};
    clfavor_status status =
        launch_groups(work, STATES + vector_kernel(work), state_args, sizeof state_args / sizeof *state_args,
                      tiles * column_tiles(work), chunks, wave->states);
    if (status || wave->one_pass)
        return status;
    if ((status = GPU_LAUNCH(REFERENCES, wave_args, gpu_references(work->plan), wave->states, 1)))
        return status;
    return GPU_LAUNCH(SCAN, wave_args, state_floats(work->plan, wave->columns), wave->states, 1);
}

static clfavor_status queries(const gpu_work *work) {
    const clfavor_call *call = work->call;
    const clfavor_gpu_wave *wave = &work->wave;
    /* The kernels differ in what comes last: causal K and V, exact keys with them, corrections. */
    clfavor_arg args[24] = {GPU_WAVE_ARGS,
                            CLFAVOR_ARG(call->q.buffer),
                            CLFAVOR_ARG(call->q.view),
                            CLFAVOR_ARG(call->weights->buffer),
                            CLFAVOR_ARG(call->weights->layout),
                            CLFAVOR_ARG(call->o.buffer),
                            CLFAVOR_ARG(call->o.view),
                            CLFAVOR_ARG(call->lse.buffer),
                            CLFAVOR_ARG(call->lse.view),
                            CLFAVOR_ARG(call->sign.buffer),
                            CLFAVOR_ARG(call->sign.view),
                            CLFAVOR_ARG(call->weights->log2_norm)};
    size_t count = 14;
    const clfavor_arg exact = CLFAVOR_ARG(call->exact);
    const clfavor_arg keys_values[] = {CLFAVOR_ARG(call->k.buffer), CLFAVOR_ARG(call->k.view),
                                       CLFAVOR_ARG(call->v.buffer), CLFAVOR_ARG(call->v.view)};
    const clfavor_arg corrections[] = {CLFAVOR_ARG(call->corrections.buffer), CLFAVOR_ARG(call->corrections.view)};
    if (work->plan->desc.exact_keys)
        args[count++] = exact;
    for (size_t i = 0; i < 4 && (wave->causal || work->plan->desc.exact_keys); ++i)
        args[count++] = keys_values[i];
    for (size_t i = 0; i < 2 && work->plan->desc.corrections; ++i)
        args[count++] = corrections[i];
    return launch_groups(work, OUTPUTS + vector_kernel(work), args, count,
                         clfavor_ceil_div(wave->tokens, work->plan->numbers[ROWS]) * column_tiles(work),
                         gpu_slots(work), 1);
}

const clfavor_gpu_way clfavor_gpu_fused = {choose, parts, build, keys, queries};
