/* Philox, the elementary functions that replace libm's, and the normals. */
#include "support.h"
#include "support_stats.h"

#include "detmath.h"
#include "normal.h"

#include <math.h>
#include <stdlib.h>

#include "bounds.h"
#include "laws.h"

#define SEED  20240u
#define ALPHA 1e-6 /* probability that a right library fails one of the statistical tests, over all seeds */

static const long double TWO_PI = 6.283185307179586476925286766559005768L;

/* The known answers of the authors' Random123. */
static const struct {
    uint32_t counter[4], key[2], out[4];
} known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(philox_known_answers) {
    uint32_t out[4];
    clfavor_philox4x32(known[_i].counter, known[_i].key, out);
    for (int w = 0; w < 4; ++w)
        ck_assert_uint_eq(out[w], known[_i].out[w]);
}
END_TEST

static void check_log(double x) {
    long double exact = logl((long double)x);
    long double bound = 3.5L * 0x1p-53L * fabsl(exact);
    ck_assert_msg(fabsl((long double)clfavor_det_log(x) - exact) <= bound, "log(%a)", x);
}

/* detmath.h derives 3.5 x 2^-53; long double's own error is 2^-11 of that or, where it is double, allowed below. */
START_TEST(log_keeps_its_bound) {
    for (uint64_t i = 0; i < 20000; ++i) {
        double u = test_uniform(SEED, 2 * i) + 0x1p-40;
        check_log(u);
        check_log(ldexp(u, -(int)(i % 64)));
        check_log(1 - ldexp(u, -(int)(i % 50))); /* crowded at 1, where the result is near 0 */
        check_log(1 + ldexp(u, -(int)(i % 50)));
        check_log(sqrt(0.5) * (1 + (u - 0.5) * 0x1p-20)); /* and where the reduction changes over */
    }
    for (int e = -64; e <= 64; ++e)
        check_log(ldexp(1, e));
    ck_assert_double_eq(clfavor_det_log(1), 0);
    check_log(1 - 0x1p-53);
}
END_TEST

static void check_turn(double u) {
    double sine, cosine;
    clfavor_det_sincos_turn(u, &sine, &cosine);
    int quadrant = (int)floor(4 * u + 0.5);
    long double x = TWO_PI * ((long double)u - 0.25L * quadrant), s = sinl(x), c = cosl(x);
    const long double sines[4] = {s, c, -s, -c}, cosines[4] = {c, -s, -c, s};
    long double es = sines[quadrant % 4], ec = cosines[quadrant % 4];
    ck_assert_msg(fabsl((long double)sine - es) <= 3.5L * 0x1p-53L * fabsl(es), "sin(2 pi %a)", u);
    ck_assert_msg(fabsl((long double)cosine - ec) <= 3.5L * 0x1p-53L * fabsl(ec), "cos(2 pi %a)", u);
    /* The reduction above is the library's: libm's, from the unreduced angle, guards against a shared mistake. Its
     * argument is rounded by up to half an ulp of 2 pi. */
    ck_assert_double_eq_tol(sine, sin(6.283185307179586 * u), 0x1p-50);
    ck_assert_double_eq_tol(cosine, cos(6.283185307179586 * u), 0x1p-50);
}

START_TEST(sine_and_cosine_keep_their_bound) {
    for (uint64_t i = 0; i < 20000; ++i) {
        double u = test_uniform(SEED, 2 * i + 1), small = ldexp(u, -(int)(i % 50) - 3);
        check_turn(u);
        for (int eighth = 0; eighth < 8; ++eighth)
            check_turn(0.125 * eighth + small);
    }
    for (int eighth = 0; eighth < 8; ++eighth)
        check_turn(0.125 * eighth);
    check_turn(1 - 0x1p-53);
}
END_TEST

/* A radius from 64 bits reaches 9.419: from 32 bits it would end at 6.66, from 24 at 5.77. */
START_TEST(radius_at_its_ends) {
    double pair[2];
    clfavor_normal_pair((const uint32_t[4]){0, 0, 0, 0}, pair);
    ck_assert_double_eq_tol(pair[0], 9.4192801801237975, 1e-14); /* sqrt(128 ln 2) */
    ck_assert_double_eq(pair[1], 0);
    clfavor_normal_pair((const uint32_t[4]){0, 1u << 31, 0, 0}, pair); /* u = 1/2 + 2^-64 */
    ck_assert_double_eq_tol(pair[0], 1.1774100225154747, 1e-15);       /* sqrt(2 ln 2) */
    clfavor_normal_pair((const uint32_t[4]){~0u, ~0u, 0x12345678, 0x9abcdef0}, pair);
    ck_assert(pair[0] == 0 && pair[1] == 0);
    clfavor_normal_pair((const uint32_t[4]){1, 0, 0, 1u << 30}, pair); /* a quarter turn, u = 2^-63 */
    ck_assert_double_eq(pair[0], 0);
    ck_assert_double_eq_tol(pair[1], sqrt(126 * log(2.0)), 1e-14);
    clfavor_normal_pair((const uint32_t[4]){0, 0, ~0u, ~0u}, pair); /* the last angle is just below a whole turn */
    ck_assert_double_gt(pair[0], 9.4);
    ck_assert(pair[1] < 0 && pair[1] > -1e-14);
}
END_TEST

START_TEST(normal_golden_values) {
    static const double golden[3][2] = {{-0x1.973628c131c07p-2, -0x1.3dd84ff91e70cp-2},
                                        {-0x1.7a7bdeaf3036fp+0, 0x1.7562f6eee22c5p-1},
                                        {0x1.5139e31d7ac16p-1, 0x1.9c652925cc7efp-1}};
    double pair[2];
    clfavor_normal_pair(known[_i].out, pair);
    ck_assert_msg(pair[0] == golden[_i][0] && pair[1] == golden[_i][1], "{%a, %a}", pair[0], pair[1]);
}
END_TEST

#define COUNT 1000000

static bool chi2_accepts(double value, double degrees) {
    return verify_chi2_statistic(value, degrees) <= verify_two_sided_threshold(ALPHA);
}

START_TEST(normals_have_their_law) {
    double *values = test_alloc(COUNT, sizeof *values);
    const uint32_t key[2] = {SEED, 0}, first[4] = {0, 0, 0, 77};
    clfavor_normal_fill(values, COUNT, first, key);
    double sum = 0, squares = 0, sums = 0, differences = 0;
    for (size_t i = 0; i < COUNT; i += 2) {
        double x = values[i], y = values[i + 1];
        sum += x + y;
        squares += x * x + y * y;
        sums += (x + y) * (x + y) / 2; /* a correlation within the pair moves these apart */
        differences += (x - y) * (x - y) / 2;
    }
    ck_assert_double_le(verify_normal_statistic(sum / sqrt(COUNT)), verify_log_threshold(ALPHA));
    ck_assert(chi2_accepts(squares, COUNT));
    ck_assert(chi2_accepts(sums, COUNT / 2));
    ck_assert(chi2_accepts(differences, COUNT / 2));
    ck_assert(stats_law_accepts(values, COUNT, verify_normal_cdf, 1, ALPHA));
    ck_assert(!stats_law_accepts(values, COUNT, verify_normal_cdf, 1.03, ALPHA)); /* the tests can fail */
    ck_assert(!chi2_accepts(1.02 * squares, COUNT));
    values[COUNT / 2] = NAN;
    ck_assert(!stats_law_accepts(values, COUNT, verify_normal_cdf, 1, ALPHA));
    free(values);
}
END_TEST

/* An odd count drops the last second value, and nothing else changes. */
START_TEST(fill_is_pair_by_pair) {
    const uint32_t key[2] = {1, 2}, first[4] = {5, 6, 7, 8};
    double values[8] = {0};
    clfavor_normal_fill(values, 7, first, key);
    for (uint32_t i = 0; i < 4; ++i) {
        uint32_t block[4];
        double pair[2];
        clfavor_philox4x32((const uint32_t[4]){5 + i, 6, 7, 8}, key, block);
        clfavor_normal_pair(block, pair);
        ck_assert_double_eq(values[2 * i], pair[0]);
        ck_assert_double_eq(values[2 * i + 1], i < 3 ? pair[1] : 0);
    }
}
END_TEST

START_TEST(uniform_ends) {
    ck_assert_double_eq(clfavor_uniform(0, 0), 0);
    ck_assert_double_eq(clfavor_uniform(2047, 0), 0);
    ck_assert_double_eq(clfavor_uniform(2048, 0), 0x1p-53);
    ck_assert_double_eq(clfavor_uniform(0, 1u << 31), 0.5);
    ck_assert_double_eq(clfavor_uniform(~0u, ~0u), 1 - 0x1p-53);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("random");
    TCase *tcase = tcase_create("random");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, philox_known_answers, 0, 3);
    tcase_add_test(tcase, log_keeps_its_bound);
    tcase_add_test(tcase, sine_and_cosine_keep_their_bound);
    tcase_add_test(tcase, radius_at_its_ends);
    tcase_add_loop_test(tcase, normal_golden_values, 0, 3);
    tcase_add_test(tcase, normals_have_their_law);
    tcase_add_test(tcase, fill_is_pair_by_pair);
    tcase_add_test(tcase, uniform_ends);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
