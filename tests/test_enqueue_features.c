/* clfavor_enqueue_features: what is refused, with a reason in the log, no event, and outputs untouched; strides,
 * events. */
#include "support_attention.h"

#include <stdlib.h>
#include <string.h>

enum { B = 2, H = 3, N = 10, D = 6, M = 20 };

static test_device device;
static clfavor_context *contexts[2];

/* A call for queries or keys of one class. */
typedef struct features_call {
    clfavor_context *context;
    clfavor_plan *plan;
    clfavor_weights *weights;
    test_buffer x, features, log_scale, workspace;
    clfavor_plan_info info;
    clfavor_features_args args;
} features_call;

static features_call calls[4]; /* cpu queries, cpu keys, gpu queries, gpu keys */

static const test_case base = {.m = M, .d = D, .heads = H, .n = N, .sets = H, .seed = 81};

static clfavor_weights *weights_of(clfavor_context *context, test_case c) {
    clfavor_estimator *estimator = test_estimator(&c);
    clfavor_weights *weights;
    ck_assert_int_eq(clfavor_weights_create(&weights, context, estimator), CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(estimator);
    return weights;
}

static features_call create(clfavor_context *context, bool key) {
    features_call call = {.context = context, .weights = weights_of(context, base)};
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = key ? CLFAVOR_OP_FEATURES_KEY : CLFAVOR_OP_FEATURES_QUERY,
                              .features = M,
                              .dim = D,
                              .max_batch = B,
                              .max_heads = H,
                              .max_n = N};
    ck_assert_int_eq(clfavor_plan_create(&call.plan, context, &desc), CLFAVOR_SUCCESS);
    call.info.struct_size = sizeof call.info;
    ck_assert_int_eq(clfavor_plan_get_info(call.plan, &call.info), CLFAVOR_SUCCESS);
    float *x = test_normals(82, B * H * N * D, 1.0);
    call.x = test_buffer_create(&device, x, B * H * N * D);
    free(x);
    call.features = test_buffer_create(&device, NULL, B * H * N * M);
    call.log_scale = test_buffer_create(&device, NULL, B * H * (key ? M : N));
    call.workspace = test_buffer_create(&device, NULL, call.info.workspace_size / sizeof(float) + 1);
    call.args = (clfavor_features_args){.struct_size = sizeof call.args,
                                        .weights = call.weights,
                                        .batch = B,
                                        .heads = H,
                                        .n = N,
                                        .x = test_tensor(&call.x, H, N, D),
                                        .features = test_tensor(&call.features, H, N, M),
                                        .log_scale = test_tensor(&call.log_scale, H, key ? M : N, 1),
                                        .workspace = call.workspace.mem,
                                        .workspace_offset = call.workspace.offset};
    return call;
}

static void setup(void) {
    test_open(&device);
    for (int i = 0; i < 4; ++i) {
        if (i % 2 == 0)
            contexts[i / 2] = test_context(&device, i ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
        calls[i] = create(contexts[i / 2], i % 2);
    }
}

static void teardown(void) {
    for (int i = 0; i < 4; ++i) {
        test_buffer *buffers[] = {&calls[i].x, &calls[i].features, &calls[i].log_scale, &calls[i].workspace};
        for (int b = 0; b < 4; ++b)
            test_buffer_release(buffers[b]);
        clfavor_plan_destroy(calls[i].plan);
        clfavor_weights_destroy(calls[i].weights);
    }
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
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

static void expect_refused(const features_call *call, const clfavor_features_args *args, clfavor_status status,
                           const char *text) {
    cl_event event = (cl_event)&device;
    test_refused(&device, clfavor_enqueue_features(call->plan, args, device.queue, 0, NULL, &event), status, text);
    ck_assert_ptr_null(event);
    expect_poison(&call->features);
    expect_poison(&call->log_scale);
}

/* Changes one thing of the good arguments of all four calls. */
#define REFUSED(status, text, ...)                                                                                     \
    for (int i_ = 0; i_ < 4; ++i_) {                                                                                   \
        clfavor_features_args args = calls[i_].args;                                                                   \
        __VA_ARGS__;                                                                                                   \
        expect_refused(&calls[i_], &args, CLFAVOR_##status, text);                                                     \
    }

START_TEST(arguments_and_shapes) {
    ck_assert_int_eq(clfavor_enqueue_features(NULL, &calls[0].args, device.queue, 0, NULL, NULL),
                     CLFAVOR_INVALID_ARGUMENT);
    test_refused(&device, clfavor_enqueue_features(calls[0].plan, &calls[0].args, NULL, 0, NULL, NULL),
                 CLFAVOR_INVALID_ARGUMENT, "the queue is NULL");
    test_refused(&device, clfavor_enqueue_features(calls[0].plan, &calls[0].args, device.queue, 1, NULL, NULL),
                 CLFAVOR_INVALID_ARGUMENT, "the wait list is NULL, but num_events is 1");
    expect_refused(&calls[0], NULL, CLFAVOR_INVALID_ARGUMENT, "the arguments: NULL");
    REFUSED(INVALID_ARGUMENT, "struct_size below", args.struct_size = 3);
    REFUSED(INVALID_SHAPE, "n and n_k must be at least 1", args.n = 0);
    REFUSED(INVALID_SHAPE, "n 11,", args.n = N + 1);
    REFUSED(INVALID_SHAPE, "batch 3, heads 3", args.batch = B + 1);
    REFUSED(INVALID_SHAPE, "batch 2, heads 4", args.heads = H + 1);
    REFUSED(INVALID_ARGUMENT, "weights are missing", args.weights = NULL);
    REFUSED(MISMATCH, "another clfavor context", args.weights = calls[(i_ + 2) % 4].weights);
    REFUSED(MISMATCH, "the weights have 3 parameter sets", args.heads = 2);
    for (int i = 0; i < 4; ++i) {
        test_case other = base;
        other.m = M + 1;
        clfavor_features_args args = calls[i].args;
        clfavor_weights *weights = weights_of(calls[i].context, other);
        args.weights = weights;
        expect_refused(&calls[i], &args, CLFAVOR_MISMATCH, "the weights are for map 0, m = 21");
        clfavor_weights_destroy(weights);
    }
}
END_TEST

START_TEST(tensors) {
    REFUSED(INVALID_ARGUMENT, "x: no buffer was given", args.x.buffer = NULL);
    REFUSED(INVALID_ARGUMENT, "features: no buffer was given", args.features.buffer = NULL);
    REFUSED(INVALID_ARGUMENT, "log_scale: no buffer was given", args.log_scale.buffer = NULL);
    REFUSED(UNSUPPORTED, "x: only float32", args.x.dtype = CLFAVOR_F16);
    REFUSED(INVALID_TENSOR, "features: the offset 257 is not a multiple", args.features.offset += 1);
    REFUSED(INVALID_TENSOR, "features: [2, 3, 10, 20]", args.features.stride_batch = UINT64_MAX);
    REFUSED(INVALID_TENSOR, "x: [2, 3, 10, 6]", args.x.stride_token += 100);
    REFUSED(INVALID_TENSOR, "log_scale: [2, 3,", args.log_scale.stride_head += 1000);
    REFUSED(OVERLAP, "features: the strides make rows", args.features.stride_head = 0);
    REFUSED(OVERLAP, "log_scale: the strides make rows", args.log_scale.stride_batch = 0);
    REFUSED(OVERLAP, "features overlaps x", args.x = args.features;
            args.x.stride_token = args.x.stride_head = args.x.stride_batch = 0);
    REFUSED(OVERLAP, "features overlaps log_scale", args.log_scale.buffer = args.features.buffer);
    REFUSED(OVERLAP, "log_scale overlaps x", args.log_scale.buffer = args.x.buffer);
    for (int i = 0; i < 4; ++i) {
        if (!calls[i].info.workspace_size)
            continue; /* queries need none */
        clfavor_features_args args = calls[i].args;
        args.workspace = NULL;
        expect_refused(&calls[i], &args, CLFAVOR_WORKSPACE, "a workspace of");
        args = calls[i].args;
        args.workspace_offset += 64;
        expect_refused(&calls[i], &args, CLFAVOR_WORKSPACE, "not a multiple of 128");
        args = calls[i].args;
        args.workspace_offset += 1 << 20;
        expect_refused(&calls[i], &args, CLFAVOR_WORKSPACE, "bytes from offset");
    }
    ck_assert_uint_gt(calls[1].info.workspace_size, 0);
}
END_TEST

/* Another layout, a gate and an out-of-order queue: the bits of the dense call. */
START_TEST(layouts_and_events) {
    features_call *call = &calls[_i];
    size_t scales = call->log_scale.count;
    clfavor_status status = clfavor_enqueue_features(call->plan, &call->args, device.queue, 0, NULL, NULL);
    ck_assert_msg(!status, "%s", device.log);
    float *expected = test_buffer_read(&device, &call->features),
          *expected_log = test_buffer_read(&device, &call->log_scale);
    const float zero = 0;
    test_buffer features = test_buffer_create(&device, NULL, B * H * N * M + 1);
    test_buffer log_scale = test_buffer_create(&device, NULL, scales);
    float *x = test_buffer_read(&device, &call->x);
    cl_command_queue queue = device.out_of_order ? device.out_of_order : device.queue;
    cl_int code;
    cl_event gate = clCreateUserEvent(device.context, &code), done = NULL;
    ck_assert_int_eq(code, CL_SUCCESS);
    cl_command_queue side = clCreateCommandQueue(device.context, device.device, 0, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(clEnqueueFillBuffer(side, call->x.mem, &zero, sizeof zero, call->x.offset,
                                         call->x.count * sizeof zero, 0, NULL, NULL),
                     CL_SUCCESS);
    ck_assert_int_eq(clFinish(side), CL_SUCCESS);
    clfavor_features_args args = call->args; /* features as [B, n, H, M], one float further */
    args.features = (clfavor_tensor){.buffer = features.mem,
                                     .offset = features.offset + sizeof(float),
                                     .stride_batch = N * H * M,
                                     .stride_head = M,
                                     .stride_token = H * M};
    args.log_scale.buffer = log_scale.mem;
    ck_assert_int_eq(clfavor_enqueue_features(call->plan, &args, queue, 1, &gate, &done), CLFAVOR_SUCCESS);
    ck_assert_int_eq(
        clEnqueueWriteBuffer(side, call->x.mem, CL_TRUE, call->x.offset, call->x.count * sizeof *x, x, 0, NULL, NULL),
        CL_SUCCESS);
    ck_assert_int_eq(clFinish(side), CL_SUCCESS); /* a blocking write that has returned need not be done */
    ck_assert_int_eq(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
    ck_assert_int_eq(clWaitForEvents(1, &done), CL_SUCCESS);
    float *got = test_buffer_read(&device, &features), *got_log = test_buffer_read(&device, &log_scale);
    const cl_uint poison = TEST_POISON;
    ck_assert_mem_eq(got, &poison, sizeof poison);
    ck_assert_mem_eq(got_log, expected_log, scales * sizeof *got_log);
    for (size_t row = 0; row < B * H * N; ++row) {
        size_t i = row % N, h = row / N % H, b = row / N / H;
        ck_assert_mem_eq(got + 1 + ((b * N + i) * H + h) * M, expected + row * M, M * sizeof *got);
    }
    clReleaseEvent(gate);
    clReleaseEvent(done);
    clReleaseCommandQueue(side);
    float *arrays[] = {expected, expected_log, x, got, got_log};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; ++i)
        free(arrays[i]);
    test_buffer_release(&features);
    test_buffer_release(&log_scale);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("enqueue_features");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_checked_fixture(tcase, clear_log, NULL);
    tcase_add_test(tcase, arguments_and_shapes);
    tcase_add_test(tcase, tensors);
    tcase_add_loop_test(tcase, layouts_and_events, 0, 4);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
