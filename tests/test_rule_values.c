/* Rule 1: no eps anywhere. What follows from O being a quotient of sums with the same weights, whatever their size.
 *
 * eps = 2^-24 below. tests/test_attention.c compares ordinary inputs with the reference and derives the error of a
 * feature: eps (16 + 2 sqrt(d) a), where a bounds an exponent. */
#include "support_rules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPS 0x1p-24

/* d and dv where nothing else is needed, so that each family of maps is built once. */
#define DIM     24u
#define COLUMNS 16u

static const clfavor_map nonnegative[] = {CLFAVOR_MAP_POSITIVE, CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_RELU,
                                          CLFAVOR_MAP_ELU};
#define NONNEGATIVE ((int)(sizeof nonnegative / sizeof *nonnegative))

/* One case with its inputs on one class. */
static test_outputs run(int k, const test_case *c, const test_inputs *inputs) {
    return test_run(&rules_device, rules_contexts[k], c, inputs);
}

/* O = sum_j A_ij v / sum_j A_ij: numerator and denominator differ by rounding only, at most eps for each of the levels
 * of their sums: n terms at worst, 1e-5 / eps = 167 of them. Norms are large, so that anything added to a feature would
 * pull O off; the values are no powers of two. */
START_TEST(constant_values) {
    double worst = 0.0;
    for (int i = 0; i < NONNEGATIVE; ++i)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = test_case_resolve((test_case){.map = nonnegative[i],
                                                        .n = 150,
                                                        .n_k = 150,
                                                        .d = DIM,
                                                        .dv = COLUMNS,
                                                        .m = 70,
                                                        .heads = 2,
                                                        .causal = causal,
                                                        .sigma = 4.0,
                                                        .seed = 31});
            test_inputs inputs = test_inputs_create(&c);
            for (size_t j = 0; j < inputs.v_count; ++j)
                inputs.v[j] = (float)(1.1 + 0.3 * (double)(j % c.dv));
            test_outputs out = run(_i, &c, &inputs);
            for (size_t j = 0; j < out.o_count; ++j) {
                double expected = (double)inputs.v[j % c.dv], error = fabs((double)out.o[j] - expected);
                worst = error / expected > worst ? error / expected : worst;
                RULES_EXPECT(error <= 1e-5 * expected, "%s: O is %.9g, not %.9g", test_case_name(&c, rules_classes[_i]),
                             (double)out.o[j], expected);
            }
            test_outputs_free(&out);
            test_inputs_free(&inputs);
        }
    printf("constant V: largest relative error %.2g\n", worst);
}
END_TEST

/* V = I: a row of O is the weights, which sum to 1. Each is a quotient within 4 eps of itself. */
START_TEST(unit_values) {
    for (int i = 0; i < NONNEGATIVE; ++i)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = test_case_resolve((test_case){.map = nonnegative[i],
                                                        .n = 100,
                                                        .d = DIM,
                                                        .dv = 100,
                                                        .m = 70,
                                                        .causal = causal,
                                                        .sigma = 4.0,
                                                        .seed = 32});
            test_inputs inputs = test_inputs_create(&c);
            for (size_t j = 0; j < inputs.v_count; ++j)
                inputs.v[j] = j / c.dv == j % c.dv ? 1.0F : 0.0F;
            test_outputs out = run(_i, &c, &inputs);
            for (size_t row = 0; row < out.rows; ++row) {
                double sum = 0.0;
                for (size_t l = 0; l < c.dv; ++l) {
                    float weight = out.o[row * c.dv + l];
                    sum += (double)weight;
                    EXPECT(weight >= 0.0F && (!causal || l <= row || weight == 0.0F));
                }
                RULES_EXPECT(fabs(sum - 1.0) <= (4.0 + (double)c.n) * EPS, "%s: row %zu sums to %.9g",
                             test_case_name(&c, rules_classes[_i]), row, sum);
            }
            test_outputs_free(&out);
            test_inputs_free(&inputs);
        }
}
END_TEST

/* d = 1, so that w.q and w.k have opposite signs for every w where q = -k: no relu feature is active in both. Query 3
 * agrees with key 5 alone. */
START_TEST(relu_without_active_features) {
    for (uint32_t causal = 0; causal < 2; ++causal) {
        test_case c = test_case_resolve(
            (test_case){.map = CLFAVOR_MAP_RELU, .n = 40, .d = 1, .dv = 3, .m = 50, .causal = causal, .seed = 33});
        test_inputs inputs = test_inputs_create(&c);
        for (size_t j = 0; j < c.n; ++j) {
            inputs.q[j] = 0.5F + 0.1F * (float)j;
            inputs.k[j] = j == 5 ? 2.0F : -1.0F - 0.1F * (float)j;
        }
        for (size_t j = 0; j < c.n; ++j)
            inputs.q[j] *= j % 7 == 3 ? 1.0F : -1.0F; /* the others agree with all keys but the fifth */
        inputs.k[0] = 1.5F;                           /* a key that causal row 0 does not agree with */
        test_outputs out = run(_i, &c, &inputs);
        test_reference reference = test_run_reference(&c, &inputs);
        size_t empty = 0;
        for (size_t row = 0; row < out.rows; ++row) {
            if (reference.sign[row] != 0.0)
                continue;
            ++empty;
            for (size_t l = 0; l < c.dv; ++l)
                EXPECT(out.o[row * c.dv + l] == 0.0F);
            EXPECT(out.lse[row] == -INFINITY && out.sign[row] == 0.0F);
        }
        ck_assert_uint_eq(empty, causal ? 1 : 0);
        test_outputs_free(&out);
        for (size_t j = 0; j < c.n; ++j) { /* now no key at all agrees */
            inputs.q[j] = 0.5F + 0.1F * (float)j;
            inputs.k[j] = -1.0F - 0.1F * (float)j;
        }
        out = run(_i, &c, &inputs);
        for (size_t row = 0; row < out.rows; ++row) {
            for (size_t l = 0; l < c.dv; ++l)
                EXPECT(out.o[row * c.dv + l] == 0.0F);
            EXPECT(out.lse[row] == -INFINITY && out.sign[row] == 0.0F);
        }
        test_outputs_free(&out);
        test_reference_free(&reference);
        test_inputs_free(&inputs);
    }
}
END_TEST

/* Relative error of answering mean(V) (of the visible keys), for the rows of one head. */
static double mean_error(const test_case *c, const test_inputs *inputs, const test_reference *reference) {
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < c->n; ++i)
        for (size_t l = 0; l < c->dv; ++l) {
            size_t seen = c->causal ? i + 1 : (size_t)c->n_k;
            double mean = 0.0, expected = reference->o[i * c->dv + l];
            for (size_t j = 0; j < seen; ++j)
                mean += (double)inputs->v[j * c->dv + l] / (double)seen;
            difference += (mean - expected) * (mean - expected);
            norm += expected * expected;
        }
    return sqrt(difference / norm);
}

/* Exponents grow with the square of the norm, and their errors with them: 2e-5 s^2. mean(V), to which anything added to
 * the features would pull the output, is far away (elu apart, whose weights stay even). */
START_TEST(large_norms) {
    static const double factors[] = {1.0, 3.0, 8.0, 30.0};
    for (int i = 0; i < NONNEGATIVE; ++i)
        for (size_t f = 0; f < 4; ++f)
            for (uint32_t causal = 0; causal < 2; ++causal) {
                test_case c = test_case_resolve((test_case){.map = nonnegative[i],
                                                            .n = 150,
                                                            .d = DIM,
                                                            .dv = COLUMNS,
                                                            .m = 70,
                                                            .causal = causal,
                                                            .sigma = factors[f],
                                                            .seed = 34});
                test_inputs inputs = test_inputs_create(&c);
                test_outputs out = run(_i, &c, &inputs);
                test_reference reference = test_run_reference(&c, &inputs);
                size_t skipped;
                double error = test_case_error(&c, &out, &reference, &skipped);
                RULES_EXPECT(error <= 2e-5 * factors[f] * factors[f], "%s: error %.3g",
                             test_case_name(&c, rules_classes[_i]), error);
                if (c.map != CLFAVOR_MAP_ELU)
                    ck_assert_double_ge(mean_error(&c, &inputs, &reference), 0.2);
                test_reference_free(&reference);
                test_outputs_free(&out);
                test_inputs_free(&inputs);
            }
}
END_TEST

/* Keys of one direction, then the opposite one: for relu the later keys are the first that have half of the features,
 * long after the first keys gave the others their references; for the exponential ones exponents rise by tens of bits.
 */
START_TEST(late_features) {
    for (int i = 0; i < NONNEGATIVE; ++i)
        for (uint32_t causal = 0; causal < 2; ++causal)
            for (uint32_t turn = 1; turn < 300; turn = turn * 5 / 2 + 32) {
                test_case c = test_case_resolve((test_case){.map = nonnegative[i],
                                                            .n = 300,
                                                            .d = DIM,
                                                            .dv = COLUMNS,
                                                            .m = 150, /* more than a group */
                                                            .causal = causal,
                                                            .sigma = 1.0,
                                                            .seed = 37});
                test_inputs inputs = test_inputs_create(&c);
                for (size_t j = 0; j < inputs.k_count; ++j)
                    inputs.k[j] = (j / c.d < turn ? -6.0F : 1.0F) * (float)(1.0 + 0.1 * sin((double)j));
                test_outputs out = run(_i, &c, &inputs);
                test_reference reference = test_run_reference(&c, &inputs);
                size_t skipped;
                double error = test_case_error(&c, &out, &reference, &skipped);
                RULES_EXPECT(error <= 2e-5, "%s: turn at %u: error %.3g", test_case_name(&c, rules_classes[_i]), turn,
                             error);
                test_reference_free(&reference);
                test_outputs_free(&out);
                test_inputs_free(&inputs);
            }
}
END_TEST

/* Signed maps where rows cancel: numerator and denominator, sign exp(lse) (O, 1), are compared instead of O. Relative
 * to sum|terms|, a denominator is off by the features' errors, eps (16 + 2 sqrt(d) a); a numerator by as much times the
 * largest |v|, and once more for O's own rounding. */
START_TEST(cancelling_rows) {
    static const clfavor_map maps[] = {CLFAVOR_MAP_TRIG, CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_MAP_GAUSSIAN};
    for (int i = 0; i < 3; ++i)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            test_case c = test_case_resolve((test_case){.map = maps[i],
                                                        .n = 300,
                                                        .d = DIM,
                                                        .dv = COLUMNS,
                                                        .m = 20,
                                                        .causal = causal,
                                                        .sigma = 2.0,
                                                        .seed = 35});
            test_inputs inputs = test_inputs_create(&c);
            test_outputs out = run(_i, &c, &inputs);
            test_reference reference = test_run_reference(&c, &inputs);
            double square = c.sigma * c.sigma * sqrt(c.d), largest = 0.0, d = c.d;
            double tolerance = EPS * (16.0 + 2.0 * sqrt(d) * (sqrt(d * square) + square / 2.0));
            for (size_t j = 0; j < inputs.v_count; ++j)
                largest = fmax(largest, fabs((double)inputs.v[j]));
            size_t cancelling = 0;
            for (size_t row = 0; row < out.rows; ++row) {
                double base = reference.abs_sum[row]; /* all sums relative to exp(base) */
                double actual = (double)out.sign[row] * exp((double)out.lse[row] - base);
                double expected = reference.sign[row] * exp(reference.lse[row] - base);
                /* and lse's own rounding, eps |lse| times the size */
                double limit = tolerance + 4.0 * EPS * (1.0 + fabs(base)) * fabs(expected);
                cancelling += fabs(expected) < 0.02;
                RULES_EXPECT(fabs(actual - expected) <= limit, "%s: denominator %zu: %.9g, not %.9g of sum|terms|",
                             test_case_name(&c, rules_classes[_i]), row, actual, expected);
                for (size_t l = 0; l < c.dv; ++l) {
                    double o = (double)out.o[row * c.dv + l] * actual,
                           o_expected = reference.o[row * c.dv + l] * expected;
                    RULES_EXPECT(fabs(o - o_expected) <= 3.0 * limit * largest, "%s: numerator %zu: %.9g, not %.9g",
                                 test_case_name(&c, rules_classes[_i]), row, o, o_expected);
                }
            }
            ck_assert_uint_ge(cancelling, 5); /* there are such rows */
            test_reference_free(&reference);
            test_outputs_free(&out);
            test_inputs_free(&inputs);
        }
}
END_TEST

/* Peers' golden case: q = k = 1, v = [1, 0, 0], causal. All A are equal, so O = 1, 1/2, 1/3 to the last rounding. */
START_TEST(golden_thirds) {
    static const clfavor_map all[] = {CLFAVOR_MAP_POSITIVE,  CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_RELU,
                                      CLFAVOR_MAP_ELU,       CLFAVOR_MAP_TRIG,       CLFAVOR_MAP_GAUSSIAN,
                                      CLFAVOR_MAP_TRIG_PHASE};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
        test_case c = test_case_resolve(
            (test_case){.map = all[i], .n = 3, .d = DIM, .dv = COLUMNS, .m = 64, .causal = 1, .seed = 36});
        test_inputs inputs = test_inputs_create(&c);
        for (size_t j = 0; j < inputs.q_count; ++j)
            inputs.q[j] = inputs.k[j] = 1.0F;
        for (size_t j = 0; j < inputs.v_count; ++j)
            inputs.v[j] = j < COLUMNS ? 1.0F : 0.0F;
        test_outputs out = run(_i, &c, &inputs);
        for (size_t j = 0; j < out.o_count; ++j)
            RULES_EXPECT(fabs((double)out.o[j] - 1.0 / (double)(j / COLUMNS + 1)) <= 8.0 * EPS, "%s: O[%zu] is %.9g",
                         test_case_name(&c, rules_classes[_i]), j, (double)out.o[j]);
        test_outputs_free(&out);
        test_inputs_free(&inputs);
    }
}
END_TEST

/* The order of the keys changes the rounding only: both within the reference's tolerance, so within twice of it. */
START_TEST(permuted_keys) {
    for (int i = 0; i < RULES_MAPS; ++i) {
        test_case c = test_case_resolve((test_case){
            .map = rules_maps[i], .n = 50, .n_k = 201, .d = DIM, .dv = COLUMNS, .m = 70, .sigma = 0.5, .seed = 37});
        test_inputs inputs = test_inputs_create(&c), shuffled = test_inputs_create(&c);
        for (size_t j = 0; j < c.n_k; ++j) {
            size_t to = (j * 71 + 13) % (size_t)c.n_k; /* 71 and 201 have no common divisor */
            memcpy(shuffled.k + to * c.d, inputs.k + j * c.d, c.d * sizeof(float));
            memcpy(shuffled.v + to * c.dv, inputs.v + j * c.dv, c.dv * sizeof(float));
        }
        test_outputs out = run(_i, &c, &inputs), other = run(_i, &c, &shuffled);
        double *expected = test_doubles(out.o, out.o_count);
        double error = test_error(other.o, expected, out.o_count);
        RULES_EXPECT(error <= 2e-5, "%s: error %.3g", test_case_name(&c, rules_classes[_i]), error);
        EXPECT(!rules_same_bits(out.o, other.o, out.o_count) || c.map == CLFAVOR_MAP_ELU); /* it was another order */
        free(expected);
        test_outputs_free(&out);
        test_outputs_free(&other);
        test_inputs_free(&inputs);
        test_inputs_free(&shuffled);
    }
}
END_TEST

/* Keys whose norms rise and fall over the borders of chunks, x0.1 to x30, so that references move, states are rescaled
 * and sub-chunks start. The largest norms make the exponents, and so the tolerance, as large as in large_norms. Causal
 * rows are compared one by one for that reason: row i has only seen some norms, s_i^2 is what it has seen. */
START_TEST(rising_and_falling_keys) {
    static const double norms[] = {0.1, 1.0, 3.0, 10.0, 30.0, 10.0, 1.0, 0.1, 3.0, 30.0, 0.1};
    enum { NORMS = sizeof norms / sizeof *norms };
    for (int i = 0; i < RULES_MAPS; ++i)
        for (uint32_t causal = 0; causal < 2; ++causal)
            for (size_t period = 1; period <= 49; period += 16) { /* tokens of one norm */
                test_case c = test_case_resolve((test_case){.map = rules_maps[i],
                                                            .n = 230,
                                                            .d = DIM,
                                                            .dv = COLUMNS,
                                                            .m = 40,
                                                            .causal = causal,
                                                            .sigma = 0.5,
                                                            .seed = 38});
                test_inputs inputs = test_inputs_create(&c);
                bool is_signed = rules_signed(c.map);
                for (size_t j = 0; j < inputs.k_count; ++j) {
                    double norm = norms[j / c.d / period % NORMS];
                    /* exp(|y|^2/2) leaves fp32's range in lse, and the rows cancel, where norms are large */
                    inputs.k[j] *= (float)(is_signed ? fmin(norm, 3.0) : norm);
                }
                test_outputs out = run(_i, &c, &inputs);
                test_reference reference = test_run_reference(&c, &inputs);
                for (size_t row = 0; row < out.rows; ++row) {
                    double seen = 1.0, cancellation = exp(reference.abs_sum[row] - reference.lse[row]);
                    for (size_t j = 0; j < (causal ? row + 1 : c.n); ++j)
                        seen = fmax(seen, norms[j / period % NORMS]);
                    if (is_signed && EPS * cancellation > 1e-3)
                        continue;
                    double limit = 2e-5 * seen * seen * (is_signed ? cancellation : 1.0), largest = 4.0;
                    for (size_t l = 0; l < c.dv; ++l)
                        RULES_EXPECT(
                            fabs((double)out.o[row * c.dv + l] - reference.o[row * c.dv + l]) <= limit * largest,
                            "%s, %zu tokens a norm: O[%zu] is %.9g, not %.9g", test_case_name(&c, rules_classes[_i]),
                            period, row, (double)out.o[row * c.dv + l], reference.o[row * c.dv + l]);
                    RULES_EXPECT(
                        fabs((double)out.lse[row] - reference.lse[row]) <= limit * (1.0 + fabs(reference.lse[row])),
                        "%s, %zu tokens a norm: lse[%zu] is %.9g, not %.9g", test_case_name(&c, rules_classes[_i]),
                        period, row, (double)out.lse[row], reference.lse[row]);
                }
                test_reference_free(&reference);
                test_outputs_free(&out);
                test_inputs_free(&inputs);
            }
}
END_TEST

static void add_tests(TCase *tcase) { /* the loop index is the class */
    tcase_add_loop_test(tcase, constant_values, 0, 2);
    tcase_add_loop_test(tcase, unit_values, 0, 2);
    tcase_add_loop_test(tcase, relu_without_active_features, 0, 2);
    tcase_add_loop_test(tcase, late_features, 0, 2);
    tcase_add_loop_test(tcase, large_norms, 0, 2);
    tcase_add_loop_test(tcase, cancelling_rows, 0, 2);
    tcase_add_loop_test(tcase, golden_thirds, 0, 2);
    tcase_add_loop_test(tcase, permuted_keys, 0, 2);
    tcase_add_loop_test(tcase, rising_and_falling_keys, 0, 2);
}

int main(void) {
    return rules_main("rule 1: no eps", add_tests);
}
