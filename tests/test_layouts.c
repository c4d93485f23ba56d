/* Strides, offsets and broadcast: each layout gives the bits of the dense one, and nothing else is written. */
#include "support_layouts.h"

#include <stdlib.h>
#include <string.h>

static test_device device;
static clfavor_context *contexts[2];

static void setup(void) {
    test_open(&device);
    contexts[0] = test_context(&device, CLFAVOR_CLASS_CPU);
    contexts[1] = test_context(&device, CLFAVOR_CLASS_GPU);
}
static void teardown(void) {
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
    test_close(&device);
}

enum { Q, K, V, O, LSE, SIGN, TENSORS };

/* Runs the call with other layouts of all tensors and compares with the dense run's bits. */
static void expect_same_bits(test_call *call, const test_inputs *in, const test_outputs *expected,
                             const test_layout layouts[TENSORS], const char *what) {
    const float *values[TENSORS] = {in->q, in->k, in->v, NULL, NULL, NULL};
    test_buffer buffers[TENSORS];
    for (int t = 0; t < TENSORS; ++t)
        buffers[t] = test_scatter(&device, values[t], &layouts[t]);
    clfavor_attention_args args = call->args;
    clfavor_tensor *tensors[TENSORS] = {&args.q, &args.k, &args.v, &args.o, &args.lse, &args.sign};
    for (int t = 0; t < TENSORS; ++t)
        *tensors[t] = test_layout_tensor(&buffers[t], &layouts[t]);
    clfavor_status status = clfavor_enqueue_attention(call->plan, &args, device.queue, 0, NULL, NULL);
    ck_assert_msg(!status, "%s: %s", what, device.log);
    const float *dense_outputs[TENSORS] = {NULL, NULL, NULL, expected->o, expected->lse, expected->sign};
    for (int t = O; t < TENSORS; ++t) {
        float *got = test_gather(&device, &buffers[t], &layouts[t]);
        const test_layout *at = &layouts[t];
        ck_assert_msg(!memcmp(got, dense_outputs[t], at->batch * at->heads * at->n * at->last * sizeof *got),
                      "%s, %s: output %d differs from the dense run's", what,
                      test_case_name(&call->c, CLFAVOR_CLASS_AUTO), t);
        free(got);
    }
    for (int t = 0; t < TENSORS; ++t)
        test_buffer_release(&buffers[t]);
}

/* [B, H, n, last] in the memory order [B, n, H, last], with gaps and a start that only a float's alignment has. */
static test_layout tokens_first(test_layout at, uint64_t start, uint64_t gap) {
    at.start = start;
    at.stride_head = at.last + gap;
    at.stride_token = at.heads * at.stride_head + gap;
    at.stride_batch = at.n * at.stride_token + gap;
    return at;
}
static test_layout shifted(test_layout at, uint64_t start) {
    at.start = start;
    return at;
}
/* [n, B, H, last]. */
static test_layout batch_inside(test_layout at) {
    at.stride_head = at.last;
    at.stride_batch = at.heads * at.last;
    at.stride_token = at.batch * at.stride_batch;
    return at;
}

/* One map for each way in which rows become features; the others read tensors by the same code. */
static const test_case cases[] = {
    {.map = CLFAVOR_MAP_POSITIVE},
    {.map = CLFAVOR_MAP_TRIG},
    {.map = CLFAVOR_MAP_ELU},
    {.exact = true},
};
#define CASES ((int)(2 * sizeof cases / sizeof *cases))

/* Grouped heads; n and n_k past whole tiles. */
static test_case case_of(int index) {
    test_case c = cases[index / 2];
    c.causal = (uint32_t)index % 2;
    c.seed = 21;
    c.sigma = 0.5;
    c.batch = 2;
    c.heads = 4;
    c.heads_kv = 2;
    c.n = 37;
    c.n_k = c.causal ? 37 : 45;
    c.m = 21;
    return c;
}

static void layouts_of(const test_case *c, test_layout layouts[TENSORS]) {
    layouts[Q] = test_layout_dense(c->batch, c->heads, c->n, c->d);
    layouts[K] = test_layout_dense(c->batch, c->heads_kv, c->n_k, c->d);
    layouts[V] = test_layout_dense(c->batch, c->heads_kv, c->n_k, c->dv);
    layouts[O] = test_layout_dense(c->batch, c->heads, c->n, c->dv);
    layouts[LSE] = layouts[SIGN] = test_layout_dense(c->batch, c->heads, c->n, 1);
}

START_TEST(any_layout_gives_the_dense_bits) {
    static const uint32_t dims[][2] = {{13, 7}, {16, 32}}; /* the second, whole vectors, for positive */
    size_t count = _i < 2 ? 2 : 1;
    for (int i = 0; i < 2; ++i)
        for (size_t dim = 0; dim < count; ++dim) {
            test_case c = case_of(_i);
            c.d = dims[dim][0];
            c.dv = dims[dim][1];
            c = test_case_resolve(c);
            test_inputs in = test_inputs_create(&c);
            test_call call = test_call_create(&device, contexts[i], &c, &in);
            test_outputs expected = test_call_run(&call);
            test_layout first[TENSORS], odd[TENSORS], gaps[TENSORS], inside[TENSORS];
            layouts_of(&c, first);
            for (int t = 0; t < TENSORS; ++t) {
                odd[t] = shifted(first[t], 1 + 2 * (uint64_t)t);
                gaps[t] = tokens_first(first[t], (uint64_t)t, 3);
                inside[t] = batch_inside(first[t]);
                first[t] = tokens_first(first[t], 0, 0);
            }
            expect_same_bits(&call, &in, &expected, first, "[B, n, H, d]");
            expect_same_bits(&call, &in, &expected, odd, "odd offsets");
            expect_same_bits(&call, &in, &expected, gaps, "[B, n, H, d] with gaps and odd offsets");
            expect_same_bits(&call, &in, &expected, inside, "[n, B, H, d]");
            test_outputs_free(&expected);
            test_call_release(&call);
            test_inputs_free(&in);
        }
}
END_TEST

START_TEST(stride_zero_repeats_an_input) {
    for (int i = 0; i < 2; ++i)
        for (unsigned axes = 1; axes < 8; ++axes) {
            test_case c = case_of(_i);
            c.d = 13;
            c.dv = 7;
            c = test_case_resolve(c);
            test_inputs in = test_inputs_create(&c);
            test_layout layouts[TENSORS];
            layouts_of(&c, layouts);
            /* each input repeats other axes */
            const unsigned of_input[3] = {axes, axes % 7 + 1, (axes + 3) % 7 + 1};
            float *values[3] = {in.q, in.k, in.v};
            for (int t = 0; t < 3; ++t)
                test_layout_repeat(values[t], &layouts[t], of_input[t] & 1, of_input[t] & 2, of_input[t] & 4);
            test_call call = test_call_create(&device, contexts[i], &c, &in);
            test_outputs expected = test_call_run(&call);
            for (int t = 0; t < 3; ++t) {
                layouts[t].stride_batch = of_input[t] & 1 ? 0 : layouts[t].stride_batch;
                layouts[t].stride_head = of_input[t] & 2 ? 0 : layouts[t].stride_head;
                layouts[t].stride_token = of_input[t] & 4 ? 0 : layouts[t].stride_token;
            }
            expect_same_bits(&call, &in, &expected, layouts, "stride 0");
            test_outputs_free(&expected);
            test_call_release(&call);
            test_inputs_free(&in);
        }
}
END_TEST

/* One token of one head: output strides that no element uses may be 0. */
START_TEST(stride_zero_of_an_output_with_one_row) {
    for (int i = 0; i < 2; ++i) {
        test_case c =
            test_case_resolve((test_case){.m = 20, .d = 5, .n = 1, .n_k = 1, .seed = 22, .causal = (uint32_t)_i});
        test_inputs in = test_inputs_create(&c);
        test_call call = test_call_create(&device, contexts[i], &c, &in);
        test_outputs expected = test_call_run(&call);
        test_layout layouts[TENSORS];
        layouts_of(&c, layouts);
        for (int t = 0; t < TENSORS; ++t)
            layouts[t].stride_batch = layouts[t].stride_head = layouts[t].stride_token = 0;
        expect_same_bits(&call, &in, &expected, layouts, "one row");
        test_outputs_free(&expected);
        test_call_release(&call);
        test_inputs_free(&in);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("layouts");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, any_layout_gives_the_dense_bits, 0, CASES);
    tcase_add_loop_test(tcase, stride_zero_repeats_an_input, 0, CASES);
    tcase_add_loop_test(tcase, stride_zero_of_an_output_with_one_row, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
