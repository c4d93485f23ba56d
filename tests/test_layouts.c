/* Strides, offsets and broadcast: each layout gives the bits of the dense one, and nothing else is written. */
#include "support_attention.h"

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

/* The sizes of the four axes of a tensor and where its elements lie. */
typedef struct layout {
    uint64_t batch, heads, n, last;
    uint64_t start, stride_batch, stride_head, stride_token; /* floats */
} layout;

static uint64_t place(const layout *at, uint64_t b, uint64_t h, uint64_t i) {
    return at->start + b * at->stride_batch + h * at->stride_head + i * at->stride_token;
}

static layout dense(uint64_t batch, uint64_t heads, uint64_t n, uint64_t last) {
    return (layout){batch, heads, n, last, 0, heads * n * last, n * last, last};
}

/* A buffer with the values of a dense tensor in another layout; poison everywhere else. */
static test_buffer scatter(const float *values, const layout *at) {
    uint64_t size = place(at, at->batch - 1, at->heads - 1, at->n - 1) + at->last;
    float *all = test_alloc(size, sizeof *all);
    const cl_uint poison = TEST_POISON;
    for (uint64_t i = 0; i < size; ++i)
        memcpy(&all[i], &poison, sizeof poison);
    for (uint64_t b = 0; values && b < at->batch; ++b)
        for (uint64_t h = 0; h < at->heads; ++h)
            for (uint64_t i = 0; i < at->n; ++i)
                memcpy(all + place(at, b, h, i), values + ((b * at->heads + h) * at->n + i) * at->last,
                       at->last * sizeof *all);
    test_buffer buffer = test_buffer_create(&device, all, size);
    free(all);
    return buffer;
}

/* The tensor's values in dense order; fails if anything between them changed. */
static float *gather(const test_buffer *buffer, const layout *at) {
    float *all = test_buffer_read(&device, buffer);
    float *values = test_alloc(at->batch * at->heads * at->n * at->last, sizeof *values);
    const cl_uint poison = TEST_POISON;
    for (uint64_t b = 0; b < at->batch; ++b)
        for (uint64_t h = 0; h < at->heads; ++h)
            for (uint64_t i = 0; i < at->n; ++i) {
                float *from = all + place(at, b, h, i);
                memcpy(values + ((b * at->heads + h) * at->n + i) * at->last, from, at->last * sizeof *all);
                for (uint64_t l = 0; l < at->last; ++l)
                    memcpy(&from[l], &poison, sizeof poison);
            }
    for (size_t i = 0; i < buffer->count; ++i)
        ck_assert_msg(!memcmp(&all[i], &poison, sizeof poison), "float %zu between the rows was written", i);
    free(all);
    return values;
}

static clfavor_tensor tensor_of(const test_buffer *buffer, const layout *at) {
    return (clfavor_tensor){.buffer = buffer->mem,
                            .offset = buffer->offset + at->start * sizeof(float),
                            .stride_batch = at->stride_batch,
                            .stride_head = at->stride_head,
                            .stride_token = at->stride_token};
}

enum { Q, K, V, O, LSE, SIGN, TENSORS };

/* Runs the call with other layouts of all tensors and compares with the dense run's bits. */
static void expect_same_bits(test_call *call, const test_inputs *in, const test_outputs *expected,
                             const layout layouts[TENSORS], const char *what) {
    const float *values[TENSORS] = {in->q, in->k, in->v, NULL, NULL, NULL};
    test_buffer buffers[TENSORS];
    for (int t = 0; t < TENSORS; ++t)
        buffers[t] = scatter(values[t], &layouts[t]);
    clfavor_attention_args args = call->args;
    clfavor_tensor *tensors[TENSORS] = {&args.q, &args.k, &args.v, &args.o, &args.lse, &args.sign};
    for (int t = 0; t < TENSORS; ++t)
        *tensors[t] = tensor_of(&buffers[t], &layouts[t]);
    clfavor_status status = clfavor_enqueue_attention(call->plan, &args, device.queue, 0, NULL, NULL);
    ck_assert_msg(!status, "%s: %s", what, device.log);
    const float *dense_outputs[TENSORS] = {NULL, NULL, NULL, expected->o, expected->lse, expected->sign};
    for (int t = O; t < TENSORS; ++t) {
        float *got = gather(&buffers[t], &layouts[t]);
        const layout *at = &layouts[t];
        ck_assert_msg(!memcmp(got, dense_outputs[t], at->batch * at->heads * at->n * at->last * sizeof *got),
                      "%s, %s: output %d differs from the dense run's", what,
                      test_case_name(&call->c, CLFAVOR_CLASS_AUTO), t);
        free(got);
    }
    for (int t = 0; t < TENSORS; ++t)
        test_buffer_release(&buffers[t]);
}

/* [B, H, n, last] in the memory order [B, n, H, last], with gaps and a start that only a float's alignment has. */
static layout tokens_first(layout at, uint64_t start, uint64_t gap) {
    at.start = start;
    at.stride_head = at.last + gap;
    at.stride_token = at.heads * at.stride_head + gap;
    at.stride_batch = at.n * at.stride_token + gap;
    return at;
}
static layout shifted(layout at, uint64_t start) {
    at.start = start;
    return at;
}
/* [n, B, H, last]. */
static layout batch_inside(layout at) {
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

static void layouts_of(const test_case *c, layout layouts[TENSORS]) {
    layouts[Q] = dense(c->batch, c->heads, c->n, c->d);
    layouts[K] = dense(c->batch, c->heads_kv, c->n_k, c->d);
    layouts[V] = dense(c->batch, c->heads_kv, c->n_k, c->dv);
    layouts[O] = dense(c->batch, c->heads, c->n, c->dv);
    layouts[LSE] = layouts[SIGN] = dense(c->batch, c->heads, c->n, 1);
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
            layout first[TENSORS], odd[TENSORS], gaps[TENSORS], inside[TENSORS];
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

/* Copies an input's first entries over the others of some axes, as a broadcast reads it. */
static void repeat(float *values, const layout *at, bool batch, bool head, bool token) {
    for (uint64_t b = 0; b < at->batch; ++b)
        for (uint64_t h = 0; h < at->heads; ++h)
            for (uint64_t i = 0; i < at->n; ++i) {
                float *from = values + place(at, batch ? 0 : b, head ? 0 : h, token ? 0 : i);
                memmove(values + place(at, b, h, i), from, at->last * sizeof *values);
            }
}

START_TEST(stride_zero_repeats_an_input) {
    for (int i = 0; i < 2; ++i)
        for (unsigned axes = 1; axes < 8; ++axes) {
            test_case c = case_of(_i);
            c.d = 13;
            c.dv = 7;
            c = test_case_resolve(c);
            test_inputs in = test_inputs_create(&c);
            layout layouts[TENSORS];
            layouts_of(&c, layouts);
            /* each input repeats other axes */
            const unsigned of_input[3] = {axes, axes % 7 + 1, (axes + 3) % 7 + 1};
            float *values[3] = {in.q, in.k, in.v};
            for (int t = 0; t < 3; ++t)
                repeat(values[t], &layouts[t], of_input[t] & 1, of_input[t] & 2, of_input[t] & 4);
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
        layout layouts[TENSORS];
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
