#include "support_attention.h"

#include <stdlib.h>

clfavor_plan_desc test_plan_desc(const test_case *c) {
    return (clfavor_plan_desc){.struct_size = sizeof(clfavor_plan_desc),
                               .operation = c->exact ? CLFAVOR_OP_EXACT : CLFAVOR_OP_ATTENTION,
                               .map = c->map,
                               .features = c->map == CLFAVOR_MAP_ELU ? 0 : c->m,
                               .dim = c->d,
                               .value_dim = c->dv,
                               .causal = c->causal,
                               .chunk = c->chunk,
                               .pieces = c->pieces,
                               .max_batch = c->batch,
                               .max_heads = c->heads,
                               .max_n = c->max_n        ? c->max_n
                                        : c->n > c->n_k ? c->n
                                                        : c->n_k,
                               .workspace_limit = c->workspace_limit,
                               .exact_keys = c->exact_count,
                               .corrections = c->corrections != NULL,
                               .backend = c->backend};
}

static void create_plan(test_call *call, clfavor_context *context) {
    const clfavor_plan_desc desc = test_plan_desc(&call->c);
    clfavor_status status = clfavor_plan_create(&call->plan, context, &desc);
    ck_assert_msg(!status, "plan: %s\n%s", clfavor_status_name(status), call->device->log);
    call->info.struct_size = sizeof call->info;
    ck_assert_int_eq(clfavor_plan_get_info(call->plan, &call->info), CLFAVOR_SUCCESS);
}

test_call test_call_create(test_device *device, clfavor_context *context, const test_case *user,
                           const test_inputs *in) {
    test_call call = {.c = test_case_resolve(*user), .device = device};
    const test_case *c = &call.c;
    create_plan(&call, context);
    clfavor_estimator *estimator = test_estimator(c);
    if (estimator)
        ck_assert_int_eq(clfavor_weights_create(&call.weights, context, estimator), CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(estimator);

    size_t rows = (size_t)(c->batch * c->heads * c->n), workspace = call.info.workspace_size / sizeof(float);
    call.q = test_buffer_create(device, in->q, in->q_count);
    call.k = test_buffer_create(device, in->k, in->k_count);
    call.v = test_buffer_create(device, in->v, in->v_count);
    call.o = test_buffer_create(device, NULL, rows * c->dv);
    call.lse = test_buffer_create(device, NULL, rows);
    call.sign = test_buffer_create(device, NULL, rows);
    call.workspace = test_buffer_create(device, NULL, workspace ? workspace : 1);
    call.args = (clfavor_attention_args){.struct_size = sizeof call.args,
                                         .weights = call.weights,
                                         .batch = c->batch,
                                         .heads = c->heads,
                                         .heads_kv = c->heads_kv,
                                         .n = c->n,
                                         .n_k = c->n_k,
                                         .scale = c->exact ? c->scale : 0.0,
                                         .q = test_tensor(&call.q, c->heads, c->n, c->d),
                                         .k = test_tensor(&call.k, c->heads_kv, c->n_k, c->d),
                                         .v = test_tensor(&call.v, c->heads_kv, c->n_k, c->dv),
                                         .o = test_tensor(&call.o, c->heads, c->n, c->dv),
                                         .lse = test_tensor(&call.lse, c->heads, c->n, 1),
                                         .sign = test_tensor(&call.sign, c->heads, c->n, 1),
                                         .workspace = call.workspace.mem,
                                         .workspace_offset = call.workspace.offset};
    uint64_t states = c->sets > c->heads_kv ? c->sets : c->heads_kv;
    if (c->corrections) {
        uint64_t count = c->features + c->exact_count;
        call.corrections = test_buffer_create(device, c->corrections, (size_t)(c->batch * states * count * c->dv));
        call.args.corrections = test_tensor(&call.corrections, states, count, c->dv);
    }
    if (c->exact_count) {
        size_t count = (size_t)(c->batch * states * c->exact_count);
        call.exact_keys = test_buffer_create(device, (const void *)c->exact_keys, count); /* bits are bits */
        call.args.exact_keys = test_tensor(&call.exact_keys, states, c->exact_count, 1);
    }
    return call;
}

test_outputs test_call_read(test_call *call) {
    test_outputs out = {.o = test_buffer_read(call->device, &call->o),
                        .lse = test_buffer_read(call->device, &call->lse),
                        .sign = test_buffer_read(call->device, &call->sign),
                        .o_count = call->o.count,
                        .rows = call->lse.count,
                        .info = call->info};
    free(test_buffer_read(call->device, &call->workspace)); /* checks its guards */
    return out;
}

test_outputs test_call_run(test_call *call) {
    cl_event event = NULL;
    clfavor_status status = clfavor_enqueue_attention(call->plan, &call->args, call->device->queue, 0, NULL, &event);
    ck_assert_msg(!status, "enqueue: %s\n%s", clfavor_status_name(status), call->device->log);
    ck_assert_int_eq(clWaitForEvents(1, &event), CL_SUCCESS);
    clReleaseEvent(event);
    return test_call_read(call);
}

void test_call_poison(test_call *call) {
    const test_buffer *outputs[] = {&call->o, &call->lse, &call->sign};
    const cl_uint poison = TEST_POISON;
    for (size_t i = 0; i < 3; ++i)
        ck_assert_int_eq(clEnqueueFillBuffer(call->device->queue, outputs[i]->mem, &poison, sizeof poison,
                                             outputs[i]->offset, outputs[i]->count * sizeof(float), 0, NULL, NULL),
                         CL_SUCCESS);
    ck_assert_int_eq(clFinish(call->device->queue), CL_SUCCESS);
}

void test_call_release(test_call *call) {
    test_buffer *buffers[] = {&call->q, &call->k, &call->v, &call->o, &call->lse, &call->sign, &call->workspace};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; ++i)
        test_buffer_release(buffers[i]);
    if (call->c.exact_count)
        test_buffer_release(&call->exact_keys);
    if (call->c.corrections)
        test_buffer_release(&call->corrections);
    clfavor_weights_destroy(call->weights);
    clfavor_plan_destroy(call->plan);
}
