/* Rule 8: a NaN, with a payload, makes exactly the rows NaN that see it; no bit of another row changes. The same for
 * infinities, as far as the double reference says what becomes of them, and for exponents of -1e4, which are no NaN.
 *
 * A batch holds one sequence and copies of it, each with one changed number: every token of two chunks in turn, and
 * coordinates at the start, inside and at the end of a vector. */
#include "support_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N     70u
#define DIM   20u
#define DV    12u
#define CASES (2 * RULES_MAPS) /* tests/test_exact.c has the same of exact attention */

static const uint32_t coordinates[] = {0, 7, DIM - 1}, columns[] = {0, 7, DV - 1};
enum { COORDINATES = 3, PLACES = N * COORDINATES };

static test_case case_of(int index) {
    return test_case_resolve((test_case){.map = rules_maps[index / 2],
                                         .n = N,
                                         .d = DIM,
                                         .dv = DV,
                                         .m = 33,
                                         .causal = (uint32_t)index % 2,
                                         .pieces = 2,
                                         .sigma = 0.5,
                                         .seed = 51,
                                         .workspace_limit = (size_t)4 << 20});
}

/* Copy 1 + i has `value` at token i / COORDINATES of one input. */
static rules_copies changed_copies(test_case c, const test_inputs *inputs, char which, float value) {
    rules_copies copies = rules_copies_create(c, inputs, 1 + PLACES);
    for (size_t i = 0; i < PLACES; ++i) {
        size_t token = i / COORDINATES, l = i % COORDINATES;
        if (which == 'v')
            copies.inputs.v[(1 + i) * copies.v_size + token * DV + columns[l]] = value;
        else
            (which == 'q' ? copies.inputs.q : copies.inputs.k)[(1 + i) * copies.q_size + token * DIM + coordinates[l]] =
                value;
    }
    return copies;
}

static bool sees(const test_case *c, char which, size_t row, size_t token) {
    return which == 'q' ? row == token : !c->causal || row >= token;
}

static const float *row_of(const test_outputs *out, size_t place, size_t row) {
    return out->o + (place * N + row) * DV;
}

/* No bit of a row that does not see the change may change. */
static void check_unseen(const test_case *c, int k, const test_outputs *out, char which) {
    for (size_t i = 0; i < PLACES; ++i)
        for (size_t row = 0; row < N; ++row)
            if (!sees(c, which, row, i / COORDINATES))
                RULES_EXPECT(rules_same_rows(out, 0, out, 1 + i, N, DV, row, row + 1), "%s: %c[%zu] changes row %zu",
                             test_case_name(c, rules_classes[k]), which, i / COORDINATES, row);
    for (size_t i = 0; i < N * DV; ++i)
        EXPECT(!isnan(out->o[i]));
}

static float with_payload(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

START_TEST(nan_in_nan_out) {
    const float nan = with_payload(_i / 2 % 2 ? 0x7fc12345u : 0xffc54321u);
    for (int k = 0; k < 2; ++k)
        for (const char *which = "qkv"; *which; ++which) {
            test_case c = case_of(_i);
            test_inputs inputs = test_inputs_create(&c);
            rules_copies copies = changed_copies(c, &inputs, *which, nan);
            test_outputs out = test_run(&rules_device, rules_contexts[k], &copies.c, &copies.inputs);
            check_unseen(&copies.c, k, &out, *which);
            for (size_t i = 0; i < PLACES; ++i)
                for (size_t row = 0; row < N; ++row) {
                    if (!sees(&c, *which, row, i / COORDINATES))
                        continue;
                    const float *o = row_of(&out, 1 + i, row), *clean = row_of(&out, 0, row);
                    for (size_t l = 0; l < DV; ++l) {
                        bool hit = *which != 'v' || l == columns[i % COORDINATES];
                        RULES_EXPECT(hit ? isnan(o[l]) : rules_same_bits(&o[l], &clean[l], 1),
                                     "%s: NaN in %c[%zu], O[%zu][%zu] is %g", test_case_name(&c, rules_classes[k]),
                                     *which, i / COORDINATES, row, l, (double)o[l]);
                    }
                    bool of_v = *which == 'v'; /* the denominator does not know of it */
                    EXPECT(of_v ? rules_same_bits(&out.lse[(1 + i) * N + row], &out.lse[row], 1)
                                : isnan(out.lse[(1 + i) * N + row]));
                    EXPECT(of_v ? rules_same_bits(&out.sign[(1 + i) * N + row], &out.sign[row], 1)
                                : isnan(out.sign[(1 + i) * N + row]));
                }
            test_outputs_free(&out);
            rules_copies_free(&copies);
            test_inputs_free(&inputs);
        }
}
END_TEST

/* Infinite q, k and v: where the reference is NaN the row is; where it is a number (elu(-inf) + 1 = 0) the row is that
 * number; an infinite value gives an infinite or NaN output in its column alone. */
START_TEST(infinities) {
    for (int k = 0; k < 2; ++k)
        for (int what = 0; what < 4; ++what) { /* q, k, v and k of -inf */
            char which = "qkvk"[what];
            test_case c = case_of(_i);
            test_inputs inputs = test_inputs_create(&c);
            rules_copies copies = changed_copies(c, &inputs, which, what < 3 ? INFINITY : -INFINITY);
            test_outputs out = test_run(&rules_device, rules_contexts[k], &copies.c, &copies.inputs);
            test_reference reference = test_run_reference(&copies.c, &copies.inputs);
            check_unseen(&copies.c, k, &out, which);
            for (size_t i = 0; i < PLACES; ++i)
                for (size_t row = 0; row < N; ++row) {
                    if (!sees(&c, which, row, i / COORDINATES))
                        continue;
                    const float *o = row_of(&out, 1 + i, row), *clean = row_of(&out, 0, row);
                    const double *expected = reference.o + ((1 + i) * N + row) * DV;
                    for (size_t l = 0; l < DV; ++l) {
                        bool right = which == 'v' && l != columns[i % COORDINATES]
                                         ? rules_same_bits(&o[l], &clean[l], 1)
                                     : isfinite(expected[l])
                                         ? fabs((double)o[l] - expected[l]) <= 1e-3 * (1.0 + fabs(expected[l])) ||
                                               rules_signed(c.map)
                                         : !isfinite(o[l]);
                        RULES_EXPECT(right, "%s: %c[%zu] infinite (%d), O[%zu][%zu] is %g, reference %g",
                                     test_case_name(&c, rules_classes[k]), which, i / COORDINATES, what, row, l,
                                     (double)o[l], expected[l]);
                    }
                }
            test_reference_free(&reference);
            test_outputs_free(&out);
            rules_copies_free(&copies);
            test_inputs_free(&inputs);
        }
}
END_TEST

/* k = x with |x|^2 scale/2 = 1e4: all features of that key are exp(-1e4 + ..) for positive maps, 0 in fp32. The rows
 * must be what they are without the key; as row 0 of a causal one it is all that there is, and O = v. For trig it is
 * exp(+1e4). relu and elu take it as a large number. Nothing becomes NaN. */
START_TEST(exponents_of_1e4) {
    float size = (float)sqrt(2e4 * sqrt(DIM) / DIM);
    for (int k = 0; k < 2; ++k) {
        test_case c = case_of(_i);
        test_inputs inputs = test_inputs_create(&c);
        rules_copies copies = rules_copies_create(c, &inputs, 1 + N);
        for (size_t token = 0; token < N; ++token)
            for (size_t l = 0; l < DIM; ++l)
                copies.inputs.k[(1 + token) * copies.k_size + token * DIM + l] = l % 2 ? size : -size;
        test_outputs out = test_run(&rules_device, rules_contexts[k], &copies.c, &copies.inputs);
        test_reference reference = test_run_reference(&copies.c, &copies.inputs);
        for (size_t i = 0; i < out.o_count; ++i)
            RULES_EXPECT(isfinite(out.o[i]), "%s: O is %g", test_case_name(&c, rules_classes[k]), (double)out.o[i]);
        for (size_t i = 0; i < out.rows; ++i)
            EXPECT(!isnan(out.lse[i]) && !isnan(out.sign[i]));
        /* exponents of 1e4 are off by 1e4 eps (1 + sqrt(d)) = 3e-3 of themselves */
        for (size_t i = 0; i < out.o_count && !rules_signed(c.map); ++i)
            RULES_EXPECT(fabs((double)out.o[i] - reference.o[i]) <= 2e-2, "%s: O[%zu] is %g, not %g",
                         test_case_name(&c, rules_classes[k]), i, (double)out.o[i], reference.o[i]);
        for (size_t token = 0; token < N; ++token)
            for (size_t row = 0; row < token && c.causal; ++row)
                EXPECT(rules_same_rows(&out, 0, &out, 1 + token, N, DV, row, row + 1));
        test_reference_free(&reference);
        test_outputs_free(&out);
        rules_copies_free(&copies);
        test_inputs_free(&inputs);
    }
}
END_TEST

static void add_tests(TCase *tcase) {
    tcase_add_loop_test(tcase, nan_in_nan_out, 0, CASES);
    tcase_add_loop_test(tcase, infinities, 0, CASES);
    tcase_add_loop_test(tcase, exponents_of_1e4, 0, CASES);
}

int main(void) {
    return rules_main("rule 8: NaN", add_tests);
}
