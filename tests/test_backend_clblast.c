/* The back end that has CLBlast make the matrix products: results against the double reference, what is left to the
 * kernels, order in queues, and failures of CLBlast. CTest also runs tests of the gpu class with it (*_by_clblast):
 * divisions of the work, prefixes, NaN, layouts, exact keys, events.
 *
 * Tolerance: that of test_attention.c, eps (16 + 2 sqrt(d) (|w||x| + |x|^2/2)), and eps (sqrt(F) + sqrt(chunk)) for
 * sums over features and tokens of a chunk that are plain ones here: K roundings of random sign, each at most eps of
 * the sum so far. Signed maps multiply it by the root mean square of the rows' cancellation. */
#define _GNU_SOURCE
#include "support_attention.h"

#include <clblast_c.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIM   20u /* and 40 columns, as in test_attention_gpu.c: families of maps are built once */
#define DV    40u
#define OTHER 13u /* and 7 */

static test_device device;
static clfavor_context *context;

/* Calls of CLBlast go through here. */
static size_t calls, batches;
static bool fail_next;
static CLBlastStatusCode failure;

CLBlastStatusCode CLBlastSgemmStridedBatched(const CLBlastLayout layout, const CLBlastTranspose a_transpose,
                                             const CLBlastTranspose b_transpose, const size_t m, const size_t n,
                                             const size_t k, const float alpha, const cl_mem a, const size_t a_offset,
                                             const size_t a_ld, const size_t a_stride, const cl_mem b,
                                             const size_t b_offset, const size_t b_ld, const size_t b_stride,
                                             const float beta, cl_mem c, const size_t c_offset, const size_t c_ld,
                                             const size_t c_stride, const size_t batch, cl_command_queue *queue,
                                             cl_event *event) {
    __typeof__(CLBlastSgemmStridedBatched) *real;
    *(void **)&real = dlsym(RTLD_NEXT, "CLBlastSgemmStridedBatched");
    if (fail_next)
        return failure;
    ++calls;
    batches += batch;
    return real(layout, a_transpose, b_transpose, m, n, k, alpha, a, a_offset, a_ld, a_stride, b, b_offset, b_ld,
                b_stride, beta, c, c_offset, c_ld, c_stride, batch, queue, event);
}

static void setup(void) {
    test_open(&device);
    context = test_context(&device, CLFAVOR_CLASS_GPU);
}
static void teardown(void) {
    clfavor_context_destroy(context);
    CLBlastClearCache(); /* which keeps the OpenCL context */
    test_close(&device);
}

static const clfavor_map maps[] = {CLFAVOR_MAP_POSITIVE,   CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_TRIG,
                                   CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_MAP_GAUSSIAN,   CLFAVOR_MAP_RELU,
                                   CLFAVOR_MAP_ELU};
#define MAPS ((int)(sizeof maps / sizeof *maps))

static bool is_signed(clfavor_map map) {
    return map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE || map == CLFAVOR_MAP_GAUSSIAN;
}

static double tolerance(const test_case *c, const test_reference *reference, const clfavor_plan_info *info) {
    double d = c->d, square = c->sigma * c->sigma * sqrt(d);
    double base = 0x1p-24 * (16.0 + 2.0 * sqrt(d) * (sqrt(d * square) + square / 2.0) + sqrt((double)info->features) +
                             sqrt((double)info->chunk));
    double sum = 0.0, count = 0.0;
    for (size_t row = 0; is_signed(c->map) && row < c->batch * c->heads * c->n; ++row) {
        double cancellation = exp(reference->abs_sum[row] - reference->lse[row]);
        if (0x1p-24 * cancellation > 0.1)
            continue;
        sum += cancellation * cancellation;
        count += 1.0;
    }
    return base * sqrt(count > 0.0 ? sum / count : 1.0);
}

static void check(const test_case *c, const test_reference *reference, const test_outputs *outputs, const char *what) {
    size_t skipped;
    double error = test_case_error(c, outputs, reference, &skipped), limit = tolerance(c, reference, &outputs->info);
    const char *name = test_case_name(c, CLFAVOR_CLASS_GPU);
    ck_assert_msg(outputs->info.backend == CLFAVOR_BACKEND_CLBLAST, "%s: back end %d", name,
                  (int)outputs->info.backend);
    ck_assert_msg(error <= limit, "%s, %s: error %.3g exceeds %.3g", what, name, error, limit);
    ck_assert_msg(skipped <= outputs->rows / 4 + 1, "%s: %zu of %zu rows cancel", name, skipped, outputs->rows);
    for (size_t row = 0; row < outputs->rows; ++row) {
        double cancellation = exp(reference->abs_sum[row] - reference->lse[row]), expected = reference->lse[row];
        double room = 16.0 * limit * (1.0 + fabs(expected) + (is_signed(c->map) ? cancellation : 1.0));
        if (cancellation * 0x1p-24 > 1e-3)
            continue;
        ck_assert_msg(fabs((double)outputs->lse[row] - expected) <= room || (double)outputs->lse[row] == expected,
                      "%s, %s: lse[%zu] is %.9g, not %.9g", what, name, row, (double)outputs->lse[row], expected);
        ck_assert_msg((double)outputs->sign[row] == reference->sign[row], "%s: sign[%zu]", name, row);
    }
}

static const test_case shapes[] = {
    {.n = 70, .n_k = 51, .d = DIM, .dv = DV, .m = 33, .batch = 2, .heads = 6, .heads_kv = 2, .chunk = 16},
    {.n = 300, .d = DIM, .dv = DV, .m = 70, .heads = 4, .heads_kv = 1, .sets = 4},
    {.n = 150, .n_k = 400, .d = DIM, .dv = DV, .m = 130, .heads = 3, .batch = 2, .workspace_limit = 256 << 10},
    {.n = 37, .n_k = 131, .d = OTHER, .dv = 7, .m = 21, .heads = 4, .heads_kv = 2, .sets = 2},
    {.n = 1, .d = OTHER, .dv = 7, .m = 1},
};

START_TEST(against_the_reference) {
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; ++s)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = shapes[s];
            c.map = maps[_i];
            c.causal = causal;
            c.seed = s + 1;
            c.sigma = 0.5;
            c.backend = CLFAVOR_BACKEND_CLBLAST;
            c.n_k = causal ? 0 : c.n_k;
            c = test_case_resolve(c);
            test_inputs inputs = test_inputs_create(&c);
            test_reference reference = test_run_reference(&c, &inputs);
            calls = 0;
            test_outputs outputs = test_run(&device, context, &c, &inputs);
            ck_assert_uint_gt(calls, 0);
            check(&c, &reference, &outputs, "dense");
            if (c.workspace_limit)
                ck_assert_uint_le(outputs.info.workspace_size, c.workspace_limit);
            test_outputs_free(&outputs);
            test_reference_free(&reference);
            test_inputs_free(&inputs);
        }
}
END_TEST

static test_case small_case(uint32_t causal) {
    return test_case_resolve((test_case){.map = CLFAVOR_MAP_POSITIVE,
                                         .n = 96,
                                         .d = DIM,
                                         .dv = DV,
                                         .m = 33,
                                         .heads = 4,
                                         .chunk = 32,
                                         .causal = causal,
                                         .sigma = 0.5,
                                         .seed = 7,
                                         .backend = CLFAVOR_BACKEND_CLBLAST});
}

/* Dense heads of whole chunks are one batch each: projections of keys and of queries, chunks, outputs. */
START_TEST(dense_heads_are_one_batch) {
    for (uint32_t causal = 0; causal < 2; ++causal) {
        test_case c = small_case(causal);
        test_inputs inputs = test_inputs_create(&c);
        calls = batches = 0;
        test_outputs outputs = test_run(&device, context, &c, &inputs);
        ck_assert_uint_eq(batches, 4 * 3 * 4);
        ck_assert_uint_le(calls, causal ? 4 : 3 + 3); /* bidirectional outputs: all chunks take one state */
        test_outputs_free(&outputs);
        test_inputs_free(&inputs);
    }
}
END_TEST

/* Tokens that overlap in memory: CLBlast takes no such operand, so the kernel projects. */
START_TEST(overlapping_tokens) {
    static const uint64_t strides[] = {0, 1, DIM - 1};
    for (size_t s = 0; s < sizeof strides / sizeof *strides; ++s) {
        test_case c = small_case(0);
        c.heads = c.heads_kv = 1;
        test_inputs inputs = test_inputs_create(&c);
        test_call call = test_call_create(&device, context, &c, &inputs);
        call.args.k.stride_token = strides[s];
        test_inputs copy = test_inputs_create(&c);
        for (size_t t = 0; t < c.n; ++t) /* what it sees; the buffer has it dense */
            memcpy(inputs.k + t * DIM, copy.k + t * strides[s], DIM * sizeof(float));
        test_reference reference = test_run_reference(&c, &inputs);
        calls = 0;
        test_outputs outputs = test_call_run(&call);
        ck_assert_uint_eq(calls, 3); /* projections of queries, chunks, outputs */
        check(&c, &reference, &outputs, "overlapping");
        test_outputs_free(&outputs);
        test_reference_free(&reference);
        test_inputs_free(&copy);
        test_inputs_free(&inputs);
        test_call_release(&call);
    }
}
END_TEST

/* [B, n, H, d]: heads inside a token. */
START_TEST(heads_inside_tokens) {
    for (uint32_t causal = 0; causal < 2; ++causal) {
        test_case c = small_case(causal);
        c.n = c.n_k = 75;
        test_inputs inputs = test_inputs_create(&c), moved = test_inputs_create(&c);
        const float *from[] = {inputs.q, inputs.k, inputs.v};
        float *to[] = {moved.q, moved.k, moved.v};
        const size_t last[] = {DIM, DIM, DV};
        for (int x = 0; x < 3; ++x)
            for (size_t h = 0; h < c.heads; ++h)
                for (size_t t = 0; t < c.n; ++t)
                    memcpy(to[x] + (t * c.heads + h) * last[x], from[x] + (h * c.n + t) * last[x],
                           last[x] * sizeof(float));
        test_outputs expected = test_run(&device, context, &c, &inputs);
        test_call call = test_call_create(&device, context, &c, &moved);
        clfavor_tensor *tensors[] = {&call.args.q, &call.args.k, &call.args.v};
        for (int x = 0; x < 3; ++x) {
            tensors[x]->stride_head = last[x];
            tensors[x]->stride_token = c.heads * last[x];
        }
        test_outputs outputs = test_call_run(&call);
        ck_assert_mem_eq(outputs.o, expected.o, expected.o_count * sizeof(float));
        ck_assert_mem_eq(outputs.lse, expected.lse, expected.rows * sizeof(float));
        test_outputs_free(&outputs);
        test_outputs_free(&expected);
        test_call_release(&call);
        test_inputs_free(&moved);
        test_inputs_free(&inputs);
    }
}
END_TEST

/* A NaN in V is seen by its row and later ones, not by those before. */
START_TEST(nan_in_a_later_value) {
    test_case c = small_case(1);
    c.heads = c.heads_kv = 1;
    test_inputs inputs = test_inputs_create(&c);
    test_outputs expected = test_run(&device, context, &c, &inputs);
    for (size_t t = 0; t < c.n; t += 7) {
        test_inputs poisoned = test_inputs_create(&c);
        poisoned.v[t * DV + 3] = NAN;
        test_outputs outputs = test_run(&device, context, &c, &poisoned);
        ck_assert_mem_eq(outputs.o, expected.o, t * DV * sizeof(float));
        for (size_t i = t; i < c.n; ++i)
            for (size_t column = 0; column < DV; ++column) {
                const float *o = &outputs.o[i * DV + column];
                EXPECT(column == 3 ? isnan(*o) : !memcmp(o, &expected.o[i * DV + column], sizeof *o));
            }
        test_outputs_free(&outputs);
        test_inputs_free(&poisoned);
    }
    test_outputs_free(&expected);
    test_inputs_free(&inputs);
}
END_TEST

/* Nothing starts before the wait list's event, and everything is in order, in a queue that keeps none. */
START_TEST(out_of_order_queue) {
    if (!device.out_of_order)
        return;
    test_case c = small_case((uint32_t)_i);
    c.workspace_limit = 128 << 10; /* several waves */
    test_inputs inputs = test_inputs_create(&c);
    test_call call = test_call_create(&device, context, &c, &inputs);
    test_outputs expected = test_call_run(&call);
    const float zero = 0;
    for (int repeat = 0; repeat < 10; ++repeat) {
        test_call_poison(&call);
        ck_assert_int_eq(clEnqueueFillBuffer(device.queue, call.k.mem, &zero, sizeof zero, call.k.offset,
                                             call.k.count * sizeof zero, 0, NULL, NULL),
                         CL_SUCCESS);
        ck_assert_int_eq(clFinish(device.queue), CL_SUCCESS);
        cl_int code;
        cl_event gate = clCreateUserEvent(device.context, &code), done;
        ck_assert_int_eq(code, CL_SUCCESS);
        clfavor_status status = clfavor_enqueue_attention(call.plan, &call.args, device.out_of_order, 1, &gate, &done);
        ck_assert_msg(!status, "%s", device.log);
        test_buffer_write(&device, &call.k, inputs.k);
        ck_assert_int_eq(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
        ck_assert_int_eq(clWaitForEvents(1, &done), CL_SUCCESS);
        test_outputs outputs = test_call_read(&call);
        ck_assert_mem_eq(outputs.o, expected.o, expected.o_count * sizeof(float));
        ck_assert_mem_eq(outputs.lse, expected.lse, expected.rows * sizeof(float));
        test_outputs_free(&outputs);
        clReleaseEvent(gate);
        clReleaseEvent(done);
    }
    test_outputs_free(&expected);
    test_call_release(&call);
    test_inputs_free(&inputs);
}
END_TEST

START_TEST(failures_are_reported) {
    static const struct {
        CLBlastStatusCode code;
        clfavor_status status;
        const char *text;
    } cases[] = {
        {CLBlastTempBufferAllocFailure, CLFAVOR_DEVICE_MEMORY, "failed with CLBlast code -4"},
        {CLBlastOpenCLOutOfResources, CLFAVOR_DEVICE_MEMORY, "failed with CLBlast code -5"},
        {CLBlastOpenCLOutOfHostMemory, CLFAVOR_OUT_OF_MEMORY, "failed with CLBlast code -6"},
        {CLBlastInvalidLocalMemUsage, CLFAVOR_OPENCL, "failed with CLBlast code -2046"},
        {CLBlastUnexpectedError, CLFAVOR_OPENCL, "CLBlastSgemmStridedBatched failed with CLBlast code -2039"},
    };
    test_case c = small_case(0);
    test_inputs inputs = test_inputs_create(&c);
    test_call call = test_call_create(&device, context, &c, &inputs);
    test_outputs expected = test_call_run(&call);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        test_log_clear(&device);
        cl_event event = NULL;
        fail_next = true;
        failure = cases[i].code;
        clfavor_status status = clfavor_enqueue_attention(call.plan, &call.args, device.queue, 0, NULL, &event);
        fail_next = false;
        test_refused(&device, status, cases[i].status, cases[i].text);
        ck_assert_ptr_nonnull(event); /* covers what was enqueued */
        ck_assert_int_eq(clWaitForEvents(1, &event), CL_SUCCESS);
        clReleaseEvent(event);
    }
    test_outputs outputs = test_call_run(&call); /* and the plan is as good as before */
    ck_assert_mem_eq(outputs.o, expected.o, expected.o_count * sizeof(float));
    test_outputs_free(&outputs);
    test_outputs_free(&expected);
    test_call_release(&call);
    test_inputs_free(&inputs);
}
END_TEST

/* The kernel that CLBlast keeps for large products: made to take all of them. Comes last, since this stays. */
START_TEST(the_other_kernel) {
    const char *names[] = {"XGEMM_MIN_INDIRECT_SIZE"};
    const size_t values[] = {1};
    ck_assert_int_eq(CLBlastOverrideParameters(device.device, "GemmRoutine", CLBlastPrecisionSingle, 1, names, values),
                     CLBlastSuccess);
    for (int map = 0; map < 3; map += 2)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = small_case(causal);
            c.map = maps[map];
            c.n = c.n_k = 75;
            test_inputs inputs = test_inputs_create(&c);
            test_reference reference = test_run_reference(&c, &inputs);
            test_outputs outputs = test_run(&device, context, &c, &inputs);
            check(&c, &reference, &outputs, "large");
            test_outputs_free(&outputs);
            test_reference_free(&reference);
            test_inputs_free(&inputs);
        }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("attention by CLBlast");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, against_the_reference, 0, MAPS);
    tcase_add_test(tcase, dense_heads_are_one_batch);
    tcase_add_test(tcase, overlapping_tokens);
    tcase_add_test(tcase, heads_inside_tokens);
    tcase_add_test(tcase, nan_in_a_later_value);
    tcase_add_loop_test(tcase, out_of_order_queue, 0, 2);
    tcase_add_test(tcase, failures_are_reported);
    tcase_add_test(tcase, the_other_kernel);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
