/* The two entry points: every check, then the plan's backend. */
#include "plan.h"

#include <inttypes.h>

/* What both entry points check first; reads the caller's arguments into args. */
static clfavor_status check_call(const clfavor_plan *plan, void *args, size_t args_size, const void *user_args,
                                 cl_command_queue queue, cl_uint num_events, const cl_event *wait_list) {
    const clfavor_context *context = plan->context;
    clfavor_status status = clfavor_desc_check(context, "the arguments", args, args_size, user_args);
    return status ? status : clfavor_queue_check(context, queue, num_events, wait_list);
}

static clfavor_status check_weights(const clfavor_plan *plan, const clfavor_weights *weights, uint32_t heads,
                                    uint32_t heads_kv) {
    const clfavor_context *context = plan->context;
    if (!weights)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "weights are missing");
    if (weights->context != context)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH, "the weights belong to another clfavor context");
    if (weights->map != plan->desc.map || weights->m != plan->desc.features || weights->dim != plan->desc.dim)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH,
                              "the weights are for map %d, m = %u, d = %u, the plan for map %d, m = %u, d = %u",
                              (int)weights->map, weights->m, weights->dim, (int)plan->desc.map, plan->desc.features,
                              plan->desc.dim);
    if (weights->sets != 1 && weights->sets != heads_kv && weights->sets != heads)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH,
                              "the weights have %u parameter sets; 1, %u (K/V heads) or %u (heads) are accepted",
                              weights->sets, heads_kv, heads);
    return CLFAVOR_SUCCESS;
}

/* Sizes common to attention and features, with the defaults filled in. */
static clfavor_status check_sizes(const clfavor_plan *plan, uint64_t *batch, uint64_t *heads, uint64_t n,
                                  uint64_t n_k) {
    const clfavor_context *context = plan->context;
    if (!*batch)
        *batch = 1;
    if (!*heads)
        *heads = 1;
    if (*batch > plan->desc.max_batch || *heads > plan->desc.max_heads || n > plan->desc.max_n ||
        n_k > plan->desc.max_n)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE,
                              "batch %" PRIu64 ", heads %" PRIu64 ", n %" PRIu64 ", n_k %" PRIu64
                              " exceed the plan's maxima %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                              *batch, *heads, n, n_k, plan->desc.max_batch, plan->desc.max_heads, plan->desc.max_n);
    if (!n || !n_k)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE, "n and n_k must be at least 1");
    return CLFAVOR_SUCCESS;
}

static clfavor_status check_workspace(const clfavor_plan *plan, cl_mem workspace, size_t offset, clfavor_operand *out) {
    *out = (clfavor_operand){0};
    if (!plan->workspace_size)
        return CLFAVOR_SUCCESS;
    if (!workspace)
        return CLFAVOR_REFUSE(plan->context, CLFAVOR_WORKSPACE, "a workspace of %zu bytes is needed",
                              plan->workspace_size);
    if (offset % CLFAVOR_ALIGN)
        return CLFAVOR_REFUSE(plan->context, CLFAVOR_WORKSPACE, "the workspace offset %zu is not a multiple of %u",
                              offset, CLFAVOR_ALIGN);
    return clfavor_range_check(plan->context, "workspace", workspace, offset, plan->workspace_size, out);
}

static clfavor_status run(clfavor_plan *plan, const clfavor_call *call, cl_command_queue queue, cl_uint num_events,
                          const cl_event *wait_list, cl_event *event) {
    clfavor_chain chain = {.queue = queue, .num_events = num_events, .wait_list = wait_list};
    clfavor_status status = plan->engine->enqueue(plan, call, &chain);
    if (event)
        *event = chain.last; /* on failure it covers what was enqueued */
    else if (chain.last)
        clReleaseEvent(chain.last);
    return status;
}

static clfavor_status check_attention(const clfavor_plan *plan, clfavor_attention_args *args, clfavor_call *call) {
    const clfavor_context *context = plan->context;
    bool exact = plan->desc.operation == CLFAVOR_OP_EXACT;
    if (!exact && plan->desc.operation != CLFAVOR_OP_ATTENTION)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH, "the plan is not one of attention");
    if (args->key_lengths || args->cu_seqlens || args->state_in || args->state_out)
        return CLFAVOR_REFUSE(context, CLFAVOR_UNSUPPORTED,
                              "key lengths, cu_seqlens and states in or out are not supported yet");
    if (!args->n_k)
        args->n_k = args->n;
    clfavor_status status = check_sizes(plan, &args->batch, &args->heads, args->n, args->n_k);
    if (status)
        return status;
    if (!args->heads_kv)
        args->heads_kv = args->heads;
    if (args->heads % args->heads_kv)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE,
                              "heads (%" PRIu64 ") must be a multiple of heads_kv (%" PRIu64 ")", args->heads,
                              args->heads_kv);
    bool positions = exact && plan->desc.causal;
    if ((args->query_start || args->query_step) && !positions)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT,
                              "query_start and query_step belong to exact causal attention");
    if (plan->desc.causal && args->n != args->n_k && !(args->query_start || args->query_step))
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_SHAPE,
                              "causal attention needs n = n_k, not %" PRIu64 " and %" PRIu64, args->n, args->n_k);
    if (args->scale != 0.0 && !exact)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the scale belongs to the estimator: leave it 0");
    if (!(args->scale >= 0.0) || args->scale > 3e38)
        return CLFAVOR_REFUSE(context, CLFAVOR_NOT_FINITE, "scale must be finite and positive");
    uint32_t heads = (uint32_t)args->heads, heads_kv = (uint32_t)args->heads_kv;
    if (exact && args->weights)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "exact attention takes no weights");
    if (!exact && (status = check_weights(plan, args->weights, heads, heads_kv)))
        return status;
    uint32_t sets = exact ? 1 : args->weights->sets, state_heads = sets > heads_kv ? sets : heads_kv;
    *call = (clfavor_call){.sizes = {.n = args->n,
                                     .n_k = args->n_k,
                                     .heads = heads,
                                     .heads_kv = heads_kv,
                                     .state_heads = state_heads,
                                     .group = heads / state_heads,
                                     .sets = sets,
                                     .rows = plan->rows,
                                     .value_dim = plan->desc.value_dim,
                                     .exact = plan->desc.exact_keys,
                                     .features = plan->features},
                           .batch = args->batch,
                           .weights = args->weights,
                           .scale = args->scale,
                           .query_start = args->query_start,
                           .query_step = args->query_step ? args->query_step : 1};
    uint32_t d = plan->desc.dim, dv = plan->desc.value_dim;
    uint64_t b = args->batch;
#define OPERAND(member, label, heads, tokens, last, output, optional)                                                  \
    if ((status = clfavor_operand_check(context, label, &args->member, b, heads, tokens, last, output, optional,       \
                                        &call->member)))                                                               \
    return status
    OPERAND(q, "q", heads, args->n, d, false, false);
    OPERAND(k, "k", heads_kv, args->n_k, d, false, false);
    OPERAND(v, "v", heads_kv, args->n_k, dv, false, false);
    OPERAND(o, "o", heads, args->n, dv, true, false);
    OPERAND(lse, "lse", heads, args->n, 1, true, true);
    OPERAND(sign, "sign", heads, args->n, 1, true, true);
    if (plan->desc.exact_keys) {
        OPERAND(exact_keys, "exact_keys", state_heads, plan->desc.exact_keys, 1, false, false);
        call->exact = (clfavor_exact){.scale = args->weights->scale * (float)CLFAVOR_LOG2E,
                                      .log2_norm = args->weights->log2_norm};
    } else if (args->exact_keys.buffer)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the plan was made without exact_keys");
    if (plan->desc.corrections) {
        uint64_t rows = (uint64_t)plan->features + plan->desc.exact_keys;
        OPERAND(corrections, "corrections", state_heads, rows, dv, false, false);
    } else if (args->corrections.buffer)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the plan was made without corrections");
#undef OPERAND
    if ((status = check_workspace(plan, args->workspace, args->workspace_offset, &call->workspace)))
        return status;
    const clfavor_operand *operands[] = {&call->o, &call->lse, &call->sign,       &call->workspace,  &call->q,
                                         &call->k, &call->v,   &call->exact_keys, &call->corrections};
    const char *const names[] = {"o", "lse", "sign", "workspace", "q", "k", "v", "exact_keys", "corrections"};
    return clfavor_overlap_check(context, operands, names, 4, 9);
}

clfavor_status clfavor_enqueue_attention(clfavor_plan *plan, const clfavor_attention_args *user_args,
                                         cl_command_queue queue, cl_uint num_events, const cl_event *wait_list,
                                         cl_event *event) {
    clfavor_attention_args args;
    clfavor_call call;
    if (event)
        *event = NULL;
    if (!plan)
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_status status = check_call(plan, &args, sizeof args, user_args, queue, num_events, wait_list);
    if (!status)
        status = check_attention(plan, &args, &call);
    return status ? status : run(plan, &call, queue, num_events, wait_list, event);
}

static clfavor_status check_features(const clfavor_plan *plan, clfavor_features_args *args, clfavor_call *call) {
    const clfavor_context *context = plan->context;
    bool key = plan->desc.operation == CLFAVOR_OP_FEATURES_KEY;
    if (!key && plan->desc.operation != CLFAVOR_OP_FEATURES_QUERY)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH, "the plan is not one of features");
    clfavor_status status = check_sizes(plan, &args->batch, &args->heads, args->n, args->n);
    if (status)
        return status;
    uint32_t heads = (uint32_t)args->heads;
    if ((status = check_weights(plan, args->weights, heads, heads)))
        return status;
    *call = (clfavor_call){.sizes = {.n = args->n,
                                     .n_k = args->n,
                                     .heads = heads,
                                     .heads_kv = heads,
                                     .state_heads = heads,
                                     .group = 1,
                                     .sets = args->weights->sets,
                                     .rows = plan->rows,
                                     .value_dim = plan->desc.dim},
                           .batch = args->batch,
                           .weights = args->weights};
    uint64_t b = args->batch, n = args->n, columns = plan->features;
    bool one_scale = plan->family == CLFAVOR_FAMILY_TRIG || plan->family == CLFAVOR_FAMILY_TRIG_PHASE;
    uint64_t scales = !key ? n : one_scale ? 1 : columns;
    if ((status = clfavor_operand_check(context, "x", &args->x, b, heads, n, plan->desc.dim, false, false, &call->q)) ||
        (status = clfavor_operand_check(context, "features", &args->features, b, heads, n, columns, true, false,
                                        &call->o)) ||
        (status = clfavor_operand_check(context, "log_scale", &args->log_scale, b, heads, scales, 1, true, false,
                                        &call->lse)) ||
        (status = check_workspace(plan, args->workspace, args->workspace_offset, &call->workspace)))
        return status;
    const clfavor_operand *operands[] = {&call->o, &call->lse, &call->workspace, &call->q};
    const char *const names[] = {"features", "log_scale", "workspace", "x"};
    return clfavor_overlap_check(context, operands, names, 3, 4);
}

clfavor_status clfavor_enqueue_features(clfavor_plan *plan, const clfavor_features_args *user_args,
                                        cl_command_queue queue, cl_uint num_events, const cl_event *wait_list,
                                        cl_event *event) {
    clfavor_features_args args;
    clfavor_call call;
    if (event)
        *event = NULL;
    if (!plan)
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_status status = check_call(plan, &args, sizeof args, user_args, queue, num_events, wait_list);
    if (!status)
        status = check_features(plan, &args, &call);
    return status ? status : run(plan, &call, queue, num_events, wait_list, event);
}
