/* The feature matrix: the launches for queries and keys, both classes. Keys take two passes over the tokens: the
 * largest exponents, in pieces in the workspace and by waves of tokens, and the features themselves. */
#include "plan.h"

#include <math.h>

#define MAX_WORK   ((uint64_t)1 << 34) /* multiply-adds a launch: tenths of a second on a CPU */
#define MAX_PIECES 64u
#define CACHED     ((uint64_t)8 << 20) /* bytes of features that a CPU's cache still holds when the second pass comes */

enum { KERNEL_QUERY = 0, KERNEL_MAX = 0, KERNEL_JOIN, KERNEL_WRITE };
/* plan->numbers */
enum { TOKENS, GROUP, TOKEN_WORK, REFERENCES, SLOTS };

static bool is_key(const clfavor_plan *plan) {
    return plan->desc.operation == CLFAVOR_OP_FEATURES_KEY;
}
static bool is_signed(const clfavor_plan *plan) {
    return plan->family == CLFAVOR_FAMILY_TRIG || plan->family == CLFAVOR_FAMILY_TRIG_PHASE;
}

/* Pieces of tokens and slots (heads of the batch) that are worked on at once, within the limit of the workspace. */
static clfavor_status prepare_pieces(clfavor_plan *plan) {
    const clfavor_plan_desc *desc = &plan->desc;
    bool cpu = plan->context->device_class == CLFAVOR_CLASS_CPU;
    uint64_t bytes = plan->numbers[REFERENCES] * sizeof(cl_float);
    uint64_t pieces = desc->pieces ? desc->pieces : cpu ? 4 * plan->context->compute_units : MAX_PIECES;
    pieces = clfavor_min(clfavor_min(pieces, MAX_PIECES), desc->workspace_limit / bytes);
    if (!pieces)
        return CLFAVOR_REFUSE(plan->context, CLFAVOR_WORKSPACE,
                              "the features of keys need at least %llu bytes of workspace, the limit is %zu",
                              (unsigned long long)bytes, desc->workspace_limit);
    uint64_t slots = clfavor_min(desc->workspace_limit / (pieces * bytes), desc->max_batch * desc->max_heads);
    uint64_t least_work = pieces * plan->numbers[TOKENS] * plan->numbers[TOKEN_WORK];
    slots = clfavor_max(1, clfavor_min(slots, MAX_WORK / least_work));
    plan->pieces = (uint32_t)pieces;
    plan->numbers[SLOTS] = slots;
    plan->workspace_size = (size_t)(slots * pieces * bytes);
    return CLFAVOR_SUCCESS;
}

static clfavor_status prepare(clfavor_plan *plan) {
    bool cpu = plan->context->device_class == CLFAVOR_CLASS_CPU;
    plan->numbers[TOKENS] = cpu ? 48 : 1;
    plan->numbers[GROUP] = cpu ? 16 : 1;
    plan->numbers[TOKEN_WORK] = (uint64_t)plan->desc.dim * (plan->rows + (plan->general ? plan->desc.dim : 0));
    plan->numbers[REFERENCES] = is_signed(plan) ? 1 : clfavor_padded_rows(plan->context, plan->rows);
    plan->chunk = (uint32_t)plan->numbers[TOKENS];
    plan->pieces = 1;
    clfavor_options options;
    clfavor_plan_options(plan, &options);
    clfavor_option(&options, "KEY", is_key(plan));
    clfavor_option(&options, "TOKENS", plan->numbers[TOKENS]);
    clfavor_option(&options, "GROUP", plan->numbers[GROUP]);
    if (!is_key(plan)) {
        static const char *const query = "features_query";
        return clfavor_plan_kernels(plan, "features.cl", &options, KERNEL_QUERY, &query, 1);
    }
    static const char *const key[] = {"features_key_max", "features_key_join", "features_key_write"};
    clfavor_status status = prepare_pieces(plan);
    return status ? status : clfavor_plan_kernels(plan, "features.cl", &options, KERNEL_MAX, key, 3);
}

/* The arguments that all kernels begin with. */
#define TENSORS                                                                                                        \
    CLFAVOR_ARG(call->q.buffer), CLFAVOR_ARG(call->q.view), CLFAVOR_ARG(call->weights->buffer),                        \
        CLFAVOR_ARG(call->weights->layout), CLFAVOR_ARG(call->sizes), CLFAVOR_ARG(norm), CLFAVOR_ARG(call->o.buffer),  \
        CLFAVOR_ARG(call->o.view), CLFAVOR_ARG(call->lse.buffer), CLFAVOR_ARG(call->lse.view)

static clfavor_status launch(clfavor_plan *plan, clfavor_chain *chain, size_t kernel, const clfavor_arg *args,
                             size_t count, uint64_t width, uint64_t height) {
    const size_t global[3] = {(size_t)width, (size_t)height, 1}, one[3] = {1, 1, 1};
    bool cpu = plan->context->device_class == CLFAVOR_CLASS_CPU;
    return clfavor_launch(plan, chain, plan->kernels[kernel], args, count, global, cpu ? one : NULL);
}
#define LAUNCH(kernel, args, width, height)                                                                            \
    launch(plan, chain, kernel, args, sizeof(args) / sizeof((args)[0]), width, height)

static clfavor_status enqueue_queries(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain,
                                      cl_float norm) {
    uint64_t items = call->batch * call->sizes.heads * clfavor_ceil_div(call->sizes.n, plan->numbers[TOKENS]);
    uint64_t most = clfavor_max(MAX_WORK / (2 * plan->numbers[TOKENS] * plan->numbers[TOKEN_WORK]),
                                4 * (uint64_t)plan->context->compute_units);
    for (cl_ulong first_item = 0; first_item < items; first_item += most) {
        const clfavor_arg args[] = {TENSORS, CLFAVOR_ARG(first_item)};
        clfavor_status status = LAUNCH(KERNEL_QUERY, args, clfavor_min(most, items - first_item), 1);
        if (status)
            return status;
    }
    return CLFAVOR_SUCCESS;
}

/* One wave of `slots` heads: all launches of both passes. */
static clfavor_status enqueue_keys(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain, cl_float norm,
                                   cl_ulong first_slot, uint64_t slots) {
    uint64_t n = call->sizes.n, tokens = plan->numbers[TOKENS];
    uint64_t groups =
        clfavor_ceil_div(clfavor_padded_rows(plan->context, plan->rows) / plan->context->panel, plan->numbers[GROUP]);
    cl_uint pieces = plan->pieces;
    /* tiles a piece and a launch: so many that no launch is long */
    uint64_t most = clfavor_max(1, MAX_WORK / (slots * pieces * tokens * plan->numbers[TOKEN_WORK]));
    uint64_t piece_tiles = clfavor_min(most, clfavor_ceil_div(clfavor_ceil_div(n, tokens), pieces));
    cl_ulong span = piece_tiles * tokens, wave = span * pieces, first_token;
    clfavor_status status;

    for (first_token = 0; first_token < n; first_token += wave) {
        const clfavor_arg args[] = {TENSORS,
                                    CLFAVOR_ARG(call->workspace.buffer),
                                    CLFAVOR_ARG(call->workspace.view.offset),
                                    CLFAVOR_ARG(first_slot),
                                    CLFAVOR_ARG(first_token),
                                    CLFAVOR_ARG(span),
                                    CLFAVOR_ARG(pieces)};
        if ((status = LAUNCH(KERNEL_MAX, args, slots * pieces, is_signed(plan) ? 1 : groups)))
            return status;
    }
    const clfavor_arg join[] = {TENSORS, CLFAVOR_ARG(call->workspace.buffer), CLFAVOR_ARG(call->workspace.view.offset),
                                CLFAVOR_ARG(first_slot), CLFAVOR_ARG(pieces)};
    if ((status = LAUNCH(KERNEL_JOIN, join, plan->numbers[REFERENCES], slots)))
        return status;
    for (first_token = 0; first_token < n; first_token += wave) {
        cl_ulong tiles = clfavor_ceil_div(clfavor_min(wave, n - first_token), tokens);
        const clfavor_arg args[] = {TENSORS,
                                    CLFAVOR_ARG(call->workspace.buffer),
                                    CLFAVOR_ARG(call->workspace.view.offset),
                                    CLFAVOR_ARG(first_slot),
                                    CLFAVOR_ARG(first_token),
                                    CLFAVOR_ARG(tiles),
                                    CLFAVOR_ARG(pieces)};
        if ((status = LAUNCH(KERNEL_WRITE, args, slots * tiles, groups)))
            return status;
    }
    return CLFAVOR_SUCCESS;
}

static clfavor_status enqueue(clfavor_plan *plan, const clfavor_call *call, clfavor_chain *chain) {
    cl_float norm = (cl_float)exp2(0.5 * (double)call->weights->log2_norm);
    if (!is_key(plan))
        return enqueue_queries(plan, call, chain, norm);
    uint64_t slots = call->batch * call->sizes.heads, most = plan->numbers[SLOTS];
    if (plan->context->device_class == CLFAVOR_CLASS_CPU && !is_signed(plan)) /* the others have no exponents to keep */
        most = clfavor_min(most, clfavor_ceil_div(CACHED, call->sizes.n * plan->rows * sizeof(cl_float)));
    clfavor_status status = CLFAVOR_SUCCESS;
    for (uint64_t first = 0; !status && first < slots; first += most)
        status = enqueue_keys(plan, call, chain, norm, first, clfavor_min(most, slots - first));
    return status;
}

const clfavor_engine clfavor_engine_features = {prepare, enqueue};
