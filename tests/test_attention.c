/* Every map, bidirectional and causal, on both classes, over odd shapes, against the double reference. */
#include "support_attention.h"

#include <math.h>
#include <stdio.h>
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

static double worst, worst_signed; /* of all cases, for the record */

static void teardown(void) {
    printf("largest relative error: %.2g; of the signed maps, where sums cancel: %.2g\n", worst, worst_signed);
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
    test_close(&device);
}

/* Whether the person asked for the other class alone. */
static bool is_left_out(int i) {
    const char *wanted = getenv("CLFAVOR_TEST_CLASS");
    return wanted && strcmp(wanted, i ? "gpu" : "cpu") != 0;
}

static void check_case_by(test_case c, double bound, int first, int last) {
    c = test_case_resolve(c);
    test_inputs inputs = test_inputs_create(&c);
    test_reference reference = test_run_reference(&c, &inputs);
    for (int i = first; i <= last; ++i) {
        if (is_left_out(i))
            continue;
        test_outputs outputs = test_run(&device, contexts[i], &c, &inputs);
        size_t skipped;
        double error = test_case_error(&c, &outputs, &reference, &skipped), limit = test_case_tolerance(&c, &reference);
        if (!test_is_signed(c.map) && bound < limit)
            limit = bound;
        double *record = test_is_signed(c.map) ? &worst_signed : &worst;
        *record = error > *record ? error : *record;
        ck_assert_msg(error <= limit, "%s: error %.3g exceeds %.3g", test_case_name(&c, classes[i]), error, limit);
        ck_assert_msg(skipped <= outputs.rows / 4 + 1, "%s: %zu of %zu rows cancel", test_case_name(&c, classes[i]),
                      skipped, outputs.rows);
        /* lse: absolute error against the same analysis, and the sign, where the sum does not cancel */
        for (size_t row = 0; row < outputs.rows; ++row) {
            double cancellation = exp(reference.abs_sum[row] - reference.lse[row]);
            if (cancellation * 0x1p-24 > 1e-3)
                continue;
            double scale = 1.0 + fabs(reference.lse[row]) + (test_is_signed(c.map) ? cancellation : 1.0);
            ck_assert_msg(fabs((double)outputs.lse[row] - reference.lse[row]) <= 16.0 * limit * scale ||
                              (double)outputs.lse[row] == reference.lse[row],
                          "%s: lse[%zu] is %.9g, not %.9g", test_case_name(&c, classes[i]), row,
                          (double)outputs.lse[row], reference.lse[row]);
            ck_assert_msg((double)outputs.sign[row] == reference.sign[row], "%s: sign[%zu] is %g, not %g",
                          test_case_name(&c, classes[i]), row, (double)outputs.sign[row], reference.sign[row]);
        }
        test_outputs_free(&outputs);
    }
    test_reference_free(&reference);
    test_inputs_free(&inputs);
}

static void check_case(test_case c, double bound) {
    check_case_by(c, bound, 0, 1);
}

static const clfavor_map maps[] = {CLFAVOR_MAP_POSITIVE,   CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_TRIG,
                                   CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_MAP_GAUSSIAN,   CLFAVOR_MAP_RELU,
                                   CLFAVOR_MAP_ELU};
#define MAPS ((int)(sizeof maps / sizeof *maps))

/* n, n_k (bidirectional only), d, dv, m, heads, heads_kv, batch, sets */
static const test_case shapes[] = {
    {.n = 1, .d = 1, .dv = 1, .m = 1},
    {.n = 37, .n_k = 101, .d = 60, .dv = 33, .m = 70, .heads = 2, .batch = 2, .sigma = 0.7},
    {.n = 130, .n_k = 257, .d = 256, .dv = 256, .m = 300, .sigma = 0.5},
    {.n = 65, .n_k = 3, .d = 17, .dv = 5, .m = 31, .heads = 6, .heads_kv = 2, .sets = 2},
    {.n = 64, .d = 32, .dv = 64, .m = 33, .heads = 4, .heads_kv = 1, .sets = 4},
    {.n = 70, .d = 8, .dv = 40, .m = 129, .heads = 3, .heads_kv = 3, .batch = 2, .sets = 3},
    {.n = 33, .d = 3, .dv = 2, .m = 257, .chunk = 1, .pieces = 3},
    {.n = 200, .n_k = 199, .d = 24, .dv = 16, .m = 48, .chunk = 100, .pieces = 2},
};

/* The gpu class does each shape one way only, causal or not, in turn: its kernels take long to compile for a CPU. */
START_TEST(odd_shapes) {
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; ++s)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = shapes[s];
            c.map = maps[_i];
            c.causal = causal;
            c.seed = s + 1;
            if (causal)
                c.n_k = 0;
            if (test_is_signed(c.map) && c.sigma == 0.0)
                c.sigma = 0.5; /* keeps the sums from cancelling */
            check_case_by(c, 5e-5, 0, (s + causal + (size_t)_i) % 2);
        }
}
END_TEST

START_TEST(long_sequence) { /* many chunks and pieces */
    test_case c = {.map = maps[_i], .n = 4097, .d = 16, .dv = 8, .m = 20, .sigma = 0.5, .seed = 11};
    check_case(c, 5e-5);
    c.causal = 1;
    check_case(c, 5e-5);
}
END_TEST

/* One large feature block, so that a state does not fit the workspace at once: columns of V go in blocks. */
START_TEST(small_workspace) {
    test_case c = {.map = CLFAVOR_MAP_POSITIVE,
                   .n = 70,
                   .d = 16,
                   .dv = 200,
                   .m = 700,
                   .heads = 3,
                   .batch = 2,
                   .sigma = 0.5,
                   .seed = 12,
                   .workspace_limit = (size_t)1 << 20,
                   .causal = (uint32_t)_i};
    check_case(c, 5e-5);
}
END_TEST

START_TEST(projections) {
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_IID, CLFAVOR_PROJECTION_ORTHOGONAL,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, CLFAVOR_PROJECTION_SIMPLEX};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        test_case c = {.map = CLFAVOR_MAP_POSITIVE, .projection = kinds[i], .n = 50, .d = 16, .m = 40, .seed = 13};
        check_case(c, 5e-5);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("attention");
    TCase *tcase = tcase_create("against the double reference");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, odd_shapes, 0, MAPS);
    tcase_add_loop_test(tcase, long_sequence, 0, MAPS);
    tcase_add_loop_test(tcase, small_workspace, 0, 2);
    tcase_add_test(tcase, projections);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
