/* Keys that are treated exactly, on both classes against the double reference. */
#include "support_exact_keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static test_device device;
static clfavor_context *contexts[2];
static const clfavor_device_class classes[2] = {CLFAVOR_CLASS_CPU, CLFAVOR_CLASS_GPU};

static void setup(void) {
    test_open(&device);
    for (int i = 0; i < 2; ++i)
        contexts[i] = test_context(&device, classes[i]);
}
static void teardown(void) {
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
    test_close(&device);
}

/* Positive corrections of the mean values, with and without exact keys: O changes, lse does not. */
static void expect_corrections(const test_case *user, const test_inputs *in, const test_reference *without, double t) {
    test_case c = *user;
    c.features = c.map == CLFAVOR_MAP_HYPERBOLIC ? 2 * c.m : c.m;
    uint64_t states = c.sets > c.heads_kv ? c.sets : c.heads_kv;
    float *b = test_normals(35, (size_t)(c.batch * states * (c.features + c.exact_count)) * c.dv, 1.0);
    for (size_t i = 0; i < c.batch * states * (c.features + c.exact_count) * c.dv; ++i)
        b[i] = fabsf(b[i]);
    c.corrections = b;
    for (int keys = 0; keys < 2; ++keys) {
        c.exact_count = keys ? user->exact_count : 0;
        c.exact_keys = keys ? user->exact_keys : NULL;
        test_reference reference = test_run_reference(&c, in);
        for (size_t i = 0; keys && i < c.batch * c.heads * c.n; ++i) {
            ck_assert_double_eq(reference.lse[i], without->lse[i]);
            ck_assert_double_gt(reference.o[i * c.dv], without->o[i * c.dv]);
        }
        for (int i = 0; i < 2; ++i)
            for (int blocks = 0; blocks < 2; ++blocks) {
                c.workspace_limit = blocks ? 160 << 10 : 0;
                test_outputs outputs = test_run(&device, contexts[i], &c, in);
                test_expect_close(&c, classes[i], &outputs, &reference, t);
                test_outputs_free(&outputs);
            }
        test_reference_free(&reference);
    }
    free(b);
}

static const test_case cases[] = {
    {.m = 150, .d = 13, .dv = 7, .batch = 2, .heads = 4, .heads_kv = 2, .n = 70, .n_k = 230, .exact_count = 19},
    {.map = CLFAVOR_MAP_EXPONENTIAL,
     .m = 37,
     .d = 13,
     .dv = 7,
     .batch = 2,
     .heads = 4,
     .heads_kv = 2,
     .sets = 4,
     .n = 70,
     .n_k = 85,
     .exact_count = 19},
    {.map = CLFAVOR_MAP_HYPERBOLIC, .m = 20, .d = 13, .dv = 7, .heads = 2, .n = 33, .n_k = 130, .exact_count = 150},
    {.m = 64, .d = 16, .dv = 40, .heads = 2, .n = 20, .n_k = 300, .exact_count = 1, .sigma = 4},
    {.map = CLFAVOR_MAP_EXPONENTIAL, .m = 5, .d = 1, .dv = 3, .heads = 1, .n = 20, .n_k = 7, .exact_count = 3},
};

START_TEST(against_the_reference) {
    test_case c = test_case_resolve(cases[_i]);
    test_general g = test_general_create(c.m, c.d, c.sets);
    c.exponential = c.map == CLFAVOR_MAP_EXPONENTIAL ? &g.desc : NULL;
    c.seed = 61;
    uint32_t *keys = test_choose_keys(&c, c.exact_count);
    c.exact_keys = keys;
    test_inputs in = test_positive_inputs(&c);
    test_reference reference = test_run_reference(&c, &in);
    test_case without = c;
    without.exact_count = 0;
    without.exact_keys = NULL;
    test_reference plain = test_run_reference(&without, &in);
    double t = test_exact_keys_tolerance(&c, &g, &in), changed = 0;
    ck_assert_double_lt(t, 1e-3);
    for (uint64_t i = 0; i < c.batch * c.heads * c.n; ++i)
        changed = fmax(changed, fabs(plain.lse[i] - reference.lse[i]));
    ck_assert_double_gt(changed, 20 * t); /* the keys make a difference that is seen */
    for (int i = 0; i < 2; ++i) {
        for (int blocks = 0; blocks < 2; ++blocks) {
            test_case own = c;
            own.workspace_limit = blocks ? 160 << 10 : 0; /* value columns in blocks, or slots one by one */
            test_outputs outputs = test_run(&device, contexts[i], &own, &in);
            test_expect_close(&own, classes[i], &outputs, &reference, t);
            test_outputs_free(&outputs);
        }
    }
    expect_corrections(&c, &in, &reference, t);
    test_reference_free(&plain);
    test_reference_free(&reference);
    test_inputs_free(&in);
    test_general_free(&g);
    free(keys);
}
END_TEST

/* With every key exact nothing is left to estimate. */
START_TEST(all_keys_are_exact_attention) {
    test_case c = test_case_resolve(
        (test_case){.m = 20, .d = 13, .dv = 7, .heads = 2, .n = 33, .n_k = 130, .exact_count = 150, .seed = 62});
    uint32_t *keys = test_alloc(2 * c.exact_count, sizeof *keys);
    for (uint32_t i = 0; i < 2 * c.exact_count; ++i)
        keys[i] = i % c.exact_count < c.n_k ? (i * 7) % c.exact_count * 47 % (uint32_t)c.n_k : TEST_NO_KEY;
    for (uint32_t head = 0; head < 2; ++head)
        for (uint32_t i = 0; i < c.n_k; ++i)
            keys[head * c.exact_count + i] = (i * 47 + head) % (uint32_t)c.n_k; /* 47 and 130 share no factor */
    c.exact_keys = keys;
    test_inputs in = test_positive_inputs(&c);
    test_case exact = {.exact = true, .d = c.d, .dv = c.dv, .heads = 2, .n = c.n, .n_k = c.n_k, .seed = c.seed};
    test_reference reference = test_run_reference(&exact, &in);
    test_general none = test_general_create(1, c.d, 1);
    for (int i = 0; i < 2; ++i) {
        test_outputs outputs = test_run(&device, contexts[i], &c, &in);
        test_expect_close(&c, classes[i], &outputs, &reference, test_exact_keys_tolerance(&c, &none, &in));
        test_outputs_free(&outputs);
    }
    test_general_free(&none);
    test_reference_free(&reference);
    test_inputs_free(&in);
    free(keys);
}
END_TEST

/* An infinite value reaches the output by its own row alone, not as 0 times infinity through the state. */
START_TEST(infinite_value_of_an_exact_key) {
    test_case c = test_case_resolve(
        (test_case){.m = 20, .d = 13, .dv = 7, .heads = 2, .n = 33, .n_k = 130, .exact_count = 3, .seed = 63});
    uint32_t keys[6] = {5, 5, TEST_NO_KEY, 5, 129, 5};
    c.exact_keys = keys;
    test_inputs in = test_positive_inputs(&c);
    for (uint64_t head = 0; head < 2; ++head)
        for (uint32_t l = 0; l < c.dv; ++l)
            in.v[(head * c.n_k + 5) * c.dv + l] = INFINITY;
    for (int i = 0; i < 2; ++i) {
        test_outputs outputs = test_run(&device, contexts[i], &c, &in);
        for (size_t at = 0; at < outputs.o_count; ++at)
            ck_assert_msg(isinf(outputs.o[at]), "class %d: o[%zu] is %g", i, at, (double)outputs.o[at]);
        test_outputs_free(&outputs);
    }
    test_inputs_free(&in);
}
END_TEST

/* Queries far from the centre, whose scalar is thousands of times what is left of an exponent: exact keys are relative
 * to each other, and must not be rounded at its size. With every key exact O is softmax attention to t, where t now
 * lacks the scalar: eps (16 + (sqrt(d) + 2) X Y). lse adds it once, eps |s|. */
START_TEST(large_query_scalars) {
    enum { KEYS = 20 };
    test_case c = test_case_resolve((test_case){.map = CLFAVOR_MAP_EXPONENTIAL,
                                                .m = 5,
                                                .d = 13,
                                                .dv = 7,
                                                .n = 33,
                                                .n_k = KEYS,
                                                .exact_count = KEYS,
                                                .seed = 64});
    uint32_t keys[KEYS];
    for (uint32_t i = 0; i < KEYS; ++i)
        keys[i] = i;
    c.exact_keys = keys;
    test_general g = test_general_create(c.m, c.d, 1);
    double far[13];
    for (size_t l = 0; l < 13; ++l)
        far[l] = 30; /* |T (x - x0)|^2 / 2 is about 6,000 */
    g.desc.x0 = far;
    c.exponential = &g.desc;
    test_inputs in = test_positive_inputs(&c);
    test_case exact = c;
    exact.exact = true;
    exact.scale = g.desc.scale;
    exact.exact_count = 0;
    exact.exact_keys = NULL;
    test_reference reference = test_run_reference(&exact, &in);
    double root = sqrt(g.desc.scale), x = root * test_largest_norm(in.q, in.q_count, c.d),
           y = root * test_largest_norm(in.k, in.k_count, c.d);
    double t = 0x1p-24 * (16 + (sqrt((double)c.d) + 2) * x * y);
    for (int i = 0; i < 2; ++i) {
        test_outputs outputs = test_run(&device, contexts[i], &c, &in);
        size_t skipped;
        double error = test_case_error(&c, &outputs, &reference, &skipped);
        ck_assert_msg(error <= 2 * t, "class %d: error %.3g exceeds %.3g", i, error, 2 * t);
        for (size_t row = 0; row < outputs.rows; ++row) {
            double off = fabs((double)outputs.lse[row] - reference.lse[row]);
            ck_assert_msg(off <= t + 0x1p-23 * 9000, "class %d: lse[%zu] is off by %g", i, row, off);
        }
        test_outputs_free(&outputs);
    }
    test_reference_free(&reference);
    test_inputs_free(&in);
    test_general_free(&g);
}
END_TEST

START_TEST(refusals) {
    const struct {
        clfavor_plan_desc desc;
        clfavor_status status;
        const char *text;
    } bad[] = {
        {{.causal = 1, .exact_keys = 4}, CLFAVOR_UNSUPPORTED, "depend on queries that come later"},
        {{.map = CLFAVOR_MAP_TRIG, .exact_keys = 4}, CLFAVOR_UNSUPPORTED, "positive, hyperbolic or exponential"},
        {{.map = CLFAVOR_MAP_RELU, .exact_keys = 4}, CLFAVOR_UNSUPPORTED, "positive, hyperbolic or exponential"},
        {{.operation = CLFAVOR_OP_EXACT, .exact_keys = 4}, CLFAVOR_UNSUPPORTED, "belong to attention"},
        {{.operation = CLFAVOR_OP_FEATURES_KEY, .exact_keys = 4}, CLFAVOR_UNSUPPORTED, "belong to attention"},
        {{.exact_keys = 65537}, CLFAVOR_INVALID_SHAPE, "at most 65536 keys"},
        {{.causal = 1, .corrections = 1}, CLFAVOR_UNSUPPORTED, "queries that come later"},
        {{.map = CLFAVOR_MAP_TRIG, .corrections = 1}, CLFAVOR_UNSUPPORTED, "positive, hyperbolic or exponential"},
        {{.corrections = 2}, CLFAVOR_INVALID_ARGUMENT, "out of range"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        clfavor_plan_desc desc = bad[i].desc;
        desc.struct_size = sizeof desc;
        desc.dim = 8;
        desc.features = 8;
        clfavor_plan *plan;
        test_log_clear(&device);
        test_refused(&device, clfavor_plan_create(&plan, contexts[_i], &desc), bad[i].status, bad[i].text);
        ck_assert_ptr_null(plan);
    }
    uint32_t keys[3] = {1, 2, 3};
    test_case c = {.m = 20, .d = 13, .dv = 7, .n = 33, .n_k = 130, .exact_count = 3, .exact_keys = keys};
    test_inputs in = test_positive_inputs(&c);
    test_call call = test_call_create(&device, contexts[_i], &c, &in);
    clfavor_attention_args args = call.args;
    test_log_clear(&device);
    args.exact_keys.buffer = NULL;
    test_refused(&device, clfavor_enqueue_attention(call.plan, &args, device.queue, 0, NULL, NULL),
                 CLFAVOR_INVALID_ARGUMENT, "exact_keys: no buffer");
    args.exact_keys = args.lse;
    test_refused(&device, clfavor_enqueue_attention(call.plan, &args, device.queue, 0, NULL, NULL), CLFAVOR_OVERLAP,
                 "exact_keys");
    test_call_release(&call);
    c.exact_count = 0;
    test_buffer some = test_buffer_create(&device, NULL, 4);
    call = test_call_create(&device, contexts[_i], &c, &in);
    call.args.exact_keys = test_tensor(&some, 1, 3, 1);
    test_refused(&device, clfavor_enqueue_attention(call.plan, &call.args, device.queue, 0, NULL, NULL),
                 CLFAVOR_INVALID_ARGUMENT, "without exact_keys");
    call.args.exact_keys.buffer = NULL;
    call.args.corrections = test_tensor(&some, 1, 2, 2);
    test_refused(&device, clfavor_enqueue_attention(call.plan, &call.args, device.queue, 0, NULL, NULL),
                 CLFAVOR_INVALID_ARGUMENT, "without corrections");
    test_call_release(&call);
    test_buffer_release(&some);
    test_inputs_free(&in);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("exact_keys");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, against_the_reference, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tcase, all_keys_are_exact_attention);
    tcase_add_test(tcase, infinite_value_of_an_exact_key);
    tcase_add_test(tcase, large_query_scalars);
    tcase_add_loop_test(tcase, refusals, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
