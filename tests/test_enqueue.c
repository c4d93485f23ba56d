/* The two entry points: whatever is wrong is refused, with a reason in the log, no event, and outputs untouched. */
#include "support_attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static test_device device;
static clfavor_context *contexts[2];
static test_inputs inputs;
static test_call attention[2], causal[2], exact[2]; /* cpu class, gpu class */

/* n and n_k are equal, so that the causal plan takes the same arguments. */
static const test_case base = {
    .m = 20, .d = 6, .dv = 5, .batch = 2, .heads = 4, .heads_kv = 2, .n = 10, .n_k = 10, .seed = 3};

static void setup(void) {
    test_open(&device);
    inputs = test_inputs_create(&base);
    test_case with_causal = base, with_exact = base;
    with_causal.causal = 1;
    with_exact.exact = true;
    for (int i = 0; i < 2; ++i) {
        contexts[i] = test_context(&device, i ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
        attention[i] = test_call_create(&device, contexts[i], &base, &inputs);
        causal[i] = test_call_create(&device, contexts[i], &with_causal, &inputs);
        exact[i] = test_call_create(&device, contexts[i], &with_exact, &inputs);
    }
}

static void teardown(void) {
    for (int i = 0; i < 2; ++i) {
        test_call_release(&attention[i]);
        test_call_release(&causal[i]);
        test_call_release(&exact[i]);
        clfavor_context_destroy(contexts[i]);
    }
    test_inputs_free(&inputs);
    test_close(&device);
}

static void clear_log(void) {
    test_log_clear(&device);
}

static void expect_poison(const test_buffer *buffer) {
    float *values = test_buffer_read(&device, buffer);
    const cl_uint poison = TEST_POISON;
    for (size_t i = 0; i < buffer->count; ++i)
        ck_assert_msg(!memcmp(&values[i], &poison, sizeof poison), "an output was written although the call failed");
    free(values);
}

#define SOME_EVENT ((cl_event)&device)

static void expect_refused(test_call *call, const clfavor_attention_args *args, clfavor_status expected,
                           const char *text) {
    cl_event event = SOME_EVENT;
    test_refused(&device, clfavor_enqueue_attention(call->plan, args, device.queue, 0, NULL, &event), expected, text);
    ck_assert_ptr_null(event);
    test_refused(&device, clfavor_enqueue_attention(call->plan, args, device.queue, 0, NULL, NULL), expected, text);
    expect_poison(&call->o);
    expect_poison(&call->lse);
    expect_poison(&call->sign);
}

/* Changes one thing of the good arguments of both classes and expects a refusal. */
#define REFUSED(calls, status, text, ...)                                                                              \
    for (int i_ = 0; i_ < 2; ++i_) {                                                                                   \
        test_call *call = &(calls)[i_];                                                                                \
        clfavor_attention_args args = call->args;                                                                      \
        __VA_ARGS__;                                                                                                   \
        expect_refused(call, &args, status, text);                                                                     \
    }

START_TEST(null_arguments_and_sizes) {
    ck_assert_int_eq(clfavor_enqueue_attention(NULL, &attention[0].args, device.queue, 0, NULL, NULL),
                     CLFAVOR_INVALID_ARGUMENT);
    test_call *call = &attention[_i];
    cl_event event = SOME_EVENT;
    test_refused(&device, clfavor_enqueue_attention(call->plan, &call->args, NULL, 0, NULL, &event),
                 CLFAVOR_INVALID_ARGUMENT, "the queue is NULL");
    ck_assert_ptr_null(event);
    event = SOME_EVENT;
    test_refused(&device, clfavor_enqueue_attention(call->plan, &call->args, device.queue, 1, NULL, &event),
                 CLFAVOR_INVALID_ARGUMENT, "the wait list is NULL, but num_events is 1");
    ck_assert_ptr_null(event);
    test_refused(&device, clfavor_enqueue_attention(call->plan, &call->args, device.queue, 0, &event, NULL),
                 CLFAVOR_INVALID_ARGUMENT, "the wait list is given, but num_events is 0");
    expect_refused(call, NULL, CLFAVOR_INVALID_ARGUMENT, "the arguments: NULL");
    for (size_t size = 0; size < sizeof size; ++size) {
        clfavor_attention_args args = call->args;
        args.struct_size = size;
        expect_refused(call, &args, CLFAVOR_INVALID_ARGUMENT, "struct_size below");
    }
    struct {
        clfavor_attention_args args;
        uint64_t newer[3];
    } longer = {.args = call->args};
    longer.args.struct_size = sizeof longer;
    longer.newer[2] = 1;
    expect_refused(call, &longer.args, CLFAVOR_INVALID_ARGUMENT, "fields set past");
}
END_TEST

START_TEST(shapes) {
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "n and n_k must be at least 1", args.n = 0);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "n and n_k must be at least 1", args.n = args.n_k = 0);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "batch 3, heads 4, n 10, n_k 10 exceed the plan's maxima 2, 4, 10",
            args.batch = 3);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "heads 5", args.heads = 5);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "heads 4294967300", args.heads = (UINT64_C(1) << 32) + 4);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "n 11,", args.n = 11);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "n_k 11", args.n_k = 11);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "n_k 18446744073709551615", args.n_k = UINT64_MAX);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "heads (4) must be a multiple of heads_kv (3)", args.heads_kv = 3);
    REFUSED(attention, CLFAVOR_INVALID_SHAPE, "multiple of heads_kv (8)", args.heads_kv = 8);
    REFUSED(causal, CLFAVOR_INVALID_SHAPE, "causal attention needs n = n_k, not 10 and 9", args.n_k = 9);
    REFUSED(causal, CLFAVOR_INVALID_SHAPE, "causal attention needs n = n_k, not 9 and 10", args.n = 9);
}
END_TEST

START_TEST(what_belongs_to_other_operations) {
    REFUSED(attention, CLFAVOR_INVALID_ARGUMENT, "query_start and query_step", args.query_start = 1);
    REFUSED(causal, CLFAVOR_INVALID_ARGUMENT, "query_start and query_step", args.query_step = 1);
    REFUSED(exact, CLFAVOR_INVALID_ARGUMENT, "query_start and query_step", args.query_step = 1);
    REFUSED(attention, CLFAVOR_INVALID_ARGUMENT, "the scale belongs to the estimator", args.scale = 1.0);
    REFUSED(exact, CLFAVOR_NOT_FINITE, "scale must be finite and positive", args.scale = -1.0);
    REFUSED(exact, CLFAVOR_NOT_FINITE, "scale must be finite and positive", args.scale = (double)NAN);
    REFUSED(exact, CLFAVOR_NOT_FINITE, "scale must be finite and positive", args.scale = (double)INFINITY);
    REFUSED(exact, CLFAVOR_INVALID_ARGUMENT, "exact attention takes no weights", args.weights = attention[i_].weights);
    const cl_mem some = attention[0].q.mem;
    REFUSED(attention, CLFAVOR_UNSUPPORTED, "not supported yet", args.key_lengths = some);
    REFUSED(attention, CLFAVOR_UNSUPPORTED, "not supported yet", args.cu_seqlens = some);
    REFUSED(causal, CLFAVOR_UNSUPPORTED, "not supported yet", args.state_in = some);
    REFUSED(exact, CLFAVOR_UNSUPPORTED, "not supported yet", args.state_out = some);
}
END_TEST

static clfavor_weights *weights_of(clfavor_context *context, test_case c) {
    clfavor_estimator *estimator = test_estimator(&c);
    clfavor_weights *weights;
    ck_assert_int_eq(clfavor_weights_create(&weights, context, estimator), CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(estimator);
    return weights;
}

START_TEST(weights_that_do_not_fit) {
    test_case others[] = {base, base, base, base};
    others[0].map = CLFAVOR_MAP_HYPERBOLIC;
    others[1].m = 21;
    others[2].d = 7;
    others[3].sets = 3;
    static const char *const texts[] = {
        "the weights are for map 1, m = 20, d = 6, the plan for map 0, m = 20, d = 6", "m = 21", "d = 7",
        "the weights have 3 parameter sets; 1, 2 (K/V heads) or 4 (heads) are accepted"};
    for (size_t w = 0; w < 4; ++w) {
        clfavor_weights *weights[] = {weights_of(contexts[0], others[w]), weights_of(contexts[1], others[w])};
        REFUSED(attention, CLFAVOR_MISMATCH, texts[w], args.weights = weights[i_]);
        clfavor_weights_destroy(weights[0]);
        clfavor_weights_destroy(weights[1]);
    }
    REFUSED(attention, CLFAVOR_MISMATCH, "another clfavor context", args.weights = attention[1 - i_].weights);
    REFUSED(attention, CLFAVOR_INVALID_ARGUMENT, "weights are missing", args.weights = NULL);
}
END_TEST

START_TEST(tensors_that_do_not_fit) {
    REFUSED(attention, CLFAVOR_INVALID_ARGUMENT, "q: no buffer was given", args.q.buffer = NULL);
    REFUSED(attention, CLFAVOR_INVALID_ARGUMENT, "k: no buffer was given", args.k.buffer = NULL);
    REFUSED(causal, CLFAVOR_INVALID_ARGUMENT, "v: no buffer was given", args.v.buffer = NULL);
    REFUSED(exact, CLFAVOR_INVALID_ARGUMENT, "o: no buffer was given", args.o.buffer = NULL);
    REFUSED(attention, CLFAVOR_UNSUPPORTED, "q: only float32", args.q.dtype = CLFAVOR_F16);
    REFUSED(attention, CLFAVOR_UNSUPPORTED, "lse: only float32", args.lse.dtype = CLFAVOR_BF16);
    REFUSED(attention, CLFAVOR_INVALID_ARGUMENT, "o: unknown dtype 3", args.o.dtype = (clfavor_dtype)3);
    REFUSED(attention, CLFAVOR_INVALID_TENSOR, "k: the offset 258 is not a multiple", args.k.offset += 2);
    /* dense, and the guard behind the data is 64 floats */
    REFUSED(attention, CLFAVOR_INVALID_TENSOR, "q: [2, 4, 10, 6] with these strides needs 480 floats from byte 516",
            args.q.offset += 260);
    REFUSED(attention, CLFAVOR_INVALID_TENSOR, "k: [2, 2, 10, 6]", args.k.stride_batch += 65);
    REFUSED(attention, CLFAVOR_INVALID_TENSOR, "v: [2, 2, 10, 5]", args.v.stride_token += 100);
    REFUSED(causal, CLFAVOR_INVALID_TENSOR, "o: [2, 4, 10, 5]", args.o.stride_head = UINT64_MAX);
    REFUSED(exact, CLFAVOR_INVALID_TENSOR, "lse: [2, 4, 10, 1]", args.lse.stride_token = UINT64_MAX / 9 + 1);
    REFUSED(attention, CLFAVOR_INVALID_TENSOR, "sign: [2, 4, 10, 1]", args.sign.offset = SIZE_MAX - 3);
}
END_TEST

START_TEST(outputs_that_overlap) {
    REFUSED(attention, CLFAVOR_OVERLAP, "o: the strides make rows", args.o.stride_batch = 0);
    REFUSED(attention, CLFAVOR_OVERLAP, "o: the strides make rows", args.o.stride_token = 4);
    REFUSED(causal, CLFAVOR_OVERLAP, "lse: the strides make rows", args.lse.stride_head = 0);
    REFUSED(exact, CLFAVOR_OVERLAP, "sign: the strides make rows", args.sign.stride_token = 0);
    REFUSED(attention, CLFAVOR_OVERLAP, "o overlaps q", args.o.buffer = args.q.buffer);
    REFUSED(attention, CLFAVOR_OVERLAP, "o overlaps q", args.q.buffer = args.o.buffer; args.q.stride_batch = 0);
    REFUSED(causal, CLFAVOR_OVERLAP, "o overlaps v", args.v.buffer = args.o.buffer);
    REFUSED(attention, CLFAVOR_OVERLAP, "lse overlaps k", args.lse.buffer = args.k.buffer);
    REFUSED(attention, CLFAVOR_OVERLAP, "lse overlaps sign", args.sign = args.lse);
    REFUSED(attention, CLFAVOR_OVERLAP, "o overlaps lse", args.lse.buffer = args.o.buffer; args.lse.offset += 1276);
    REFUSED(exact, CLFAVOR_OVERLAP, "sign overlaps q", args.sign.buffer = args.q.buffer);
}
END_TEST

START_TEST(sub_buffers_of_one_parent_that_overlap) {
    cl_int code;
    cl_uint align = 0;
    clGetDeviceInfo(device.device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof align, &align, NULL);
    size_t unit = align / 8 > 4096 ? align / 8 : 4096; /* q takes 1920 bytes, o 1600 */
    cl_mem parent = clCreateBuffer(device.context, CL_MEM_READ_WRITE, 2 * unit, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    const cl_buffer_region regions[] = {{0, 2 * unit}, {unit, unit}};
    cl_mem subs[2];
    for (int i = 0; i < 2; ++i) {
        subs[i] = clCreateSubBuffer(parent, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &regions[i], &code);
        ck_assert_int_eq(code, CL_SUCCESS);
    }
    REFUSED(attention, CLFAVOR_OVERLAP, "o overlaps q", args.q.buffer = subs[0]; args.q.offset = unit + 1596;
            args.o.buffer = subs[1]; args.o.offset = 0);
    REFUSED(attention, CLFAVOR_OVERLAP, "o overlaps k", args.k.buffer = parent; args.k.offset = unit - 4;
            args.o.buffer = subs[1]; args.o.offset = 0);
    for (int i = 0; i < 2; ++i) { /* side by side is fine */
        clfavor_attention_args args = attention[i].args;
        args.q.buffer = subs[0];
        args.q.offset = unit + 1600;
        args.o.buffer = subs[1];
        args.o.offset = 0;
        args.lse.buffer = args.sign.buffer = NULL;
        ck_assert_int_eq(clfavor_enqueue_attention(attention[i].plan, &args, device.queue, 0, NULL, NULL),
                         CLFAVOR_SUCCESS);
    }
    ck_assert_int_eq(clFinish(device.queue), CL_SUCCESS);
    clReleaseMemObject(subs[0]);
    clReleaseMemObject(subs[1]);
    clReleaseMemObject(parent);
}
END_TEST

START_TEST(workspaces_that_do_not_fit) {
    REFUSED(attention, CLFAVOR_WORKSPACE, "a workspace of ", args.workspace = NULL);
    REFUSED(causal, CLFAVOR_WORKSPACE, "the workspace offset 260 is not a multiple of 128", args.workspace_offset += 4);
    /* 256 bytes of guard lie behind it */
    REFUSED(causal, CLFAVOR_WORKSPACE, "bytes from offset 640 are needed", args.workspace_offset += 384);
    REFUSED(attention, CLFAVOR_WORKSPACE, "the buffer has 832", args.workspace = args.lse.buffer);
    REFUSED(attention, CLFAVOR_OVERLAP, "o overlaps workspace", args.o.buffer = args.workspace);
    REFUSED(attention, CLFAVOR_OVERLAP, "workspace overlaps q", args.q.buffer = args.workspace;
            args.q.stride_batch = args.q.stride_head = args.q.stride_token = 0);
    for (int i = 0; i < 2; ++i) { /* none is asked for where none is needed */
        ck_assert_uint_eq(exact[i].info.workspace_size, 0);
        clfavor_attention_args args = exact[i].args;
        args.workspace = NULL;
        ck_assert_int_eq(clfavor_enqueue_attention(exact[i].plan, &args, device.queue, 0, NULL, NULL), CLFAVOR_SUCCESS);
        test_call_poison(&exact[i]);
    }
}
END_TEST

START_TEST(foreign_queues_and_buffers) {
    test_device other;
    test_open(&other);
    for (int i = 0; i < 2; ++i) {
        test_call *call = &attention[i];
        cl_event event = SOME_EVENT;
        test_refused(&device, clfavor_enqueue_attention(call->plan, &call->args, other.queue, 0, NULL, &event),
                     CLFAVOR_MISMATCH, "the queue is not of the context's OpenCL context and device");
        ck_assert_ptr_null(event);

        expect_poison(&call->o);
    }
    cl_int code;
    cl_mem buffer = clCreateBuffer(other.context, CL_MEM_READ_WRITE, 1 << 20, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    REFUSED(attention, CLFAVOR_MISMATCH, "v: the buffer belongs to another", args.v.buffer = buffer);
    REFUSED(attention, CLFAVOR_MISMATCH, "workspace: the buffer belongs to another", args.workspace = buffer);
    clReleaseMemObject(buffer);
    test_close(&other);
}
END_TEST

START_TEST(a_plan_of_another_operation) {
    clfavor_features_args features = {.struct_size = sizeof features, .n = 10};
    cl_event event = SOME_EVENT;
    for (int i = 0; i < 2; ++i) {
        test_refused(&device, clfavor_enqueue_features(attention[i].plan, &features, device.queue, 0, NULL, &event),
                     CLFAVOR_MISMATCH, "the plan is not one of features");
        ck_assert_ptr_null(event);
        clfavor_plan_desc desc = {
            .struct_size = sizeof desc, .operation = CLFAVOR_OP_FEATURES_QUERY, .features = base.m, .dim = base.d};
        clfavor_plan *plan;
        ck_assert_int_eq(clfavor_plan_create(&plan, contexts[i], &desc), CLFAVOR_SUCCESS);
        test_refused(&device, clfavor_enqueue_attention(plan, &attention[i].args, device.queue, 0, NULL, &event),
                     CLFAVOR_MISMATCH, "the plan is not one of attention");
        clfavor_plan_destroy(plan);
    }
}
END_TEST

/* What defaults stand for gives the same bits as saying it, and outputs that are not wanted need no buffer. */
START_TEST(defaults_and_optional_outputs) {
    test_case one = {.m = 20, .d = 6, .dv = 5, .n = 10, .n_k = 10, .seed = 3};
    for (int i = 0; i < 2; ++i)
        for (uint32_t is_causal = 0; is_causal < 2; ++is_causal) {
            one.causal = is_causal;
            test_inputs in = test_inputs_create(&one);
            test_call call = test_call_create(&device, contexts[i], &one, &in);
            test_outputs expected = test_call_run(&call);
            test_call_poison(&call);
            call.args.batch = call.args.heads = call.args.heads_kv = call.args.n_k = 0;
            call.args.lse.buffer = call.args.sign.buffer = NULL;
            struct {
                clfavor_attention_args args;
                uint64_t newer[2];
            } longer = {.args = call.args};
            longer.args.struct_size = sizeof longer; /* a newer header's, with nothing new set */
            ck_assert_int_eq(clfavor_enqueue_attention(call.plan, &longer.args, device.queue, 0, NULL, NULL),
                             CLFAVOR_SUCCESS);
            expect_poison(&call.lse);
            expect_poison(&call.sign);
            test_outputs outputs = test_call_read(&call);
            ck_assert_mem_eq(outputs.o, expected.o, expected.o_count * sizeof(float));
            test_outputs_free(&outputs);
            test_outputs_free(&expected);
            test_call_release(&call);
            test_inputs_free(&in);
        }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("enqueue");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_checked_fixture(tcase, clear_log, NULL);
    tcase_add_loop_test(tcase, null_arguments_and_sizes, 0, 2);
    tcase_add_test(tcase, shapes);
    tcase_add_test(tcase, what_belongs_to_other_operations);
    tcase_add_test(tcase, weights_that_do_not_fit);
    tcase_add_test(tcase, tensors_that_do_not_fit);
    tcase_add_test(tcase, outputs_that_overlap);
    tcase_add_test(tcase, sub_buffers_of_one_parent_that_overlap);
    tcase_add_test(tcase, workspaces_that_do_not_fit);
    tcase_add_test(tcase, foreign_queues_and_buffers);
    tcase_add_test(tcase, a_plan_of_another_operation);
    tcase_add_test(tcase, defaults_and_optional_outputs);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
