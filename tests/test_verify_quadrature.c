/* The exact moments of one row by quadrature in two dimensions, where every formula has its full form but for sums over
 * axes; and what is made of them for m rows, by enumeration. test_verify_moments compares with draws in any dimension.
 */
#include "support.h"
#include "support_moments.h"

#include <math.h>
#include <stdlib.h>

static const double PI = 3.141592653589793;
static const double sizes[] = {0.3, 1, 2};
#define PHASES 16 /* exact for powers up to 4 of cos(w.z + 2b) */

static int phases_of(const verify_target *t) {
    return t->map == CLFAVOR_MAP_TRIG_PHASE ? PHASES : 1;
}

/* E X, E X^2 and E (X - mean)^4 for w ~ N(0, I_2). The trapezoid rule converges like exp(-2 pi^2 / step^2) for what is
 * analytic; 18 is 10 standard deviations beyond the furthest centre of an integrand, 4 sqrt(1.2 x 2). */
static void integrate(const verify_target *t, double mean, double raw[3]) {
    const double step = 0.25, end = 18;
    raw[0] = raw[1] = raw[2] = 0;
    for (double u = -end; u <= end; u += step)
        for (double v = -end; v <= end; v += step)
            for (int b = 0; b < phases_of(t); ++b) {
                double x = row_value(t, (const double[]){u, v}, 2 * PI * b / PHASES);
                double weight = step * step / (2 * PI) * exp(-(u * u + v * v) / 2) / phases_of(t);
                raw[0] += weight * x;
                raw[1] += weight * x * x;
                raw[2] += weight * (x - mean) * (x - mean) * (x - mean) * (x - mean);
            }
}

/* Whether the formulas give the integrals, to rounding: 20000 terms, and cancellation among moments of about (second)^2
 * in the fourth. */
static bool agree(const verify_moments *m, const double raw[3]) {
    return fabs(m->mean - raw[0]) <= 1e-11 * sqrt(raw[1]) && fabs(m->second - raw[1]) <= 1e-11 * raw[1] &&
           (isnan(m->fourth) || fabs(m->fourth - raw[2]) <= 1e-11 * (raw[2] + 10 * raw[1] * raw[1]));
}

START_TEST(normal_row) {
    for (int estimator = 0; estimator < ESTIMATORS; ++estimator)
        for (int keys = 1; keys <= 3 && estimator != RELU; keys += 2) { /* relu has a kink: test_verify_special */
            problem *p = problem_of(estimator, CLFAVOR_PROJECTION_IID, 2, (uint32_t)keys, sizes[_i]);
            verify_moments m = verify_moments_of(&p->target);
            double raw[3];
            integrate(&p->target, m.mean, raw);
            ck_assert_msg(agree(&m, raw), "%s, %d keys: %.15g %.15g %.15g, expected %.15g %.15g %.15g",
                          moments_names[estimator], keys, m.mean, m.second, m.fourth, raw[0], raw[1], raw[2]);
            ck_assert(isnan(m.fourth) == (keys > 1));
            ck_assert_double_eq(m.pair, m.mean * m.mean);
            p->target.kind = CLFAVOR_PROJECTION_ORTHOGONAL; /* each row is the same */
            verify_moments block = verify_moments_of(&p->target);
            ck_assert(block.mean == m.mean && block.second == m.second && block.exact == m.exact);
            p->x[1] *= 1.0001;
            m = verify_moments_of(&p->target);
            ck_assert_msg(!agree(&m, raw), "%s: a longer query is not seen", moments_names[estimator]);
            free(p);
        }
}
END_TEST

/* sum_j c_j exp(x.y_j): the mean of all maps but gaussian and relu. */
START_TEST(exact_is_the_sum_of_exponentials) {
    for (int estimator = 0; estimator < ESTIMATORS; ++estimator) {
        problem *p = problem_of(estimator, CLFAVOR_PROJECTION_IID, 6, 3, 1);
        double sum = 0;
        for (int j = 0; j < 3; ++j) {
            double inner = 0;
            for (int l = 0; l < 6; ++l)
                inner += p->x[l] * p->y[j * 6 + l];
            sum += (j == 0 ? 2 : j == 1 ? 1 : 3) * exp(inner);
        }
        verify_moments m = verify_moments_of(&p->target);
        ck_assert_double_eq_tol(m.exact, sum, 1e-14 * sum);
        bool estimates = estimator != GAUSSIAN && estimator != RELU;
        ck_assert_msg((fabs(m.mean - sum) <= 1e-14 * sum) == estimates, "%s", moments_names[estimator]);
        free(p);
    }
}
END_TEST

/* Rows of length sqrt 2: an average over the circle, exact with so many points. The next row of the block is the first
 * one turned by a quarter, to either side. */
START_TEST(row_of_fixed_norm) {
    enum { N = 256 };
    for (int estimator = POSITIVE; estimator < RELU; ++estimator) {
        problem *p = problem_of(estimator, CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM, 2, 1, sizes[_i]);
        verify_moments m = verify_moments_of(&p->target);
        double mean = 0, second = 0, pair = 0, over_phases[N] = {0};
        for (int i = 0; i < N; ++i)
            for (int b = 0; b < phases_of(&p->target); ++b) {
                double w[] = {sqrt(2) * cos(2 * PI * i / N), sqrt(2) * sin(2 * PI * i / N)};
                double x = row_value(&p->target, w, 2 * PI * b / PHASES) / phases_of(&p->target);
                over_phases[i] += x;
                mean += x / N;
                second += x * x * phases_of(&p->target) / N;
            }
        for (int i = 0; i < N; ++i)
            pair += over_phases[i] * (over_phases[(i + N / 4) % N] + over_phases[(i + 3 * N / 4) % N]) / (2 * N);
        ck_assert_double_eq_tol(m.mean, mean, 1e-13 * sqrt(second));
        ck_assert_double_eq_tol(m.second, second, 1e-13 * second);
        ck_assert_double_eq_tol(m.pair, pair, 1e-13 * second);
        ck_assert(isnan(m.fourth));
        ck_assert_double_gt(fabs(m.pair - m.mean * m.mean), 1e-3 * second); /* what independent rows would have */
        free(p);
    }
}
END_TEST

/* E X1 X2 in a block with chi(2) lengths: the mean over the length for each direction, by Simpson's rule, and then as
 * above. One key, the only case that is known in two dimensions. */
START_TEST(pair_in_the_plane) {
    enum { N = 64, STEPS = 4000 };
    for (int estimator = POSITIVE; estimator < RELU; ++estimator) {
        problem *p = problem_of(estimator, CLFAVOR_PROJECTION_ORTHOGONAL, 2, 1, sizes[_i]);
        double mean[N] = {0}, pair = 0, square = 0, step = 16.0 / STEPS;
        for (int i = 0; i < N; ++i)
            for (int k = 0; k <= STEPS; ++k) {
                double length = k * step, weight = (k == 0 || k == STEPS ? 1 : k % 2 ? 4 : 2) * step / 3;
                double w[] = {length * cos(2 * PI * i / N), length * sin(2 * PI * i / N)}, x = 0;
                for (int b = 0; b < phases_of(&p->target); b += PHASES / 4) /* its mean needs few */
                    x += row_value(&p->target, w, 2 * PI * b / PHASES) / (phases_of(&p->target) > 1 ? 4 : 1);
                mean[i] += weight * x * length * exp(-length * length / 2);
            }
        for (int i = 0; i < N; ++i) {
            pair += mean[i] * (mean[(i + N / 4) % N] + mean[(i + 3 * N / 4) % N]) / (2 * N);
            square += mean[i] * mean[i] / N;
        }
        verify_moments m = verify_moments_of(&p->target);
        ck_assert_msg(fabs(m.pair - pair) <= 1e-9 * square, "%s: %.15g, expected %.15g", moments_names[estimator],
                      m.pair, pair);
        ck_assert_double_gt(fabs(m.pair - m.mean * m.mean), 1e-3 * square);
        free(p);
    }
}
END_TEST

/* Three times the same key is one that occurs three times; once is one third of that. */
START_TEST(counts_are_equal_keys) {
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID};
    for (int estimator = 0; estimator < ESTIMATORS; ++estimator)
        for (int kind = 0; kind < 2; ++kind) {
            problem *p = problem_of(estimator, kinds[kind], 4, 3, 1);
            for (int l = 0; l < 8; ++l)
                p->y[4 + l] = p->y[l % 4];
            p->target.count = NULL;
            verify_moments three = verify_moments_of(&p->target);
            p->target.keys = 1;
            verify_moments once = verify_moments_of(&p->target);
            p->target.count = (const double[]){3};
            verify_moments times = verify_moments_of(&p->target);
            ck_assert_double_eq_tol(three.mean, times.mean, 1e-14 * times.second);
            ck_assert_double_eq_tol(three.second, times.second, 1e-13 * times.second);
            ck_assert(isnan(times.pair) == (estimator >= SDERF && kind == 0));
            ck_assert(isnan(times.pair) ? isnan(three.pair) : fabs(three.pair - times.pair) <= 1e-9 * times.second);
            ck_assert_double_eq_tol(3 * once.mean, times.mean, 1e-14 * times.second);
            ck_assert_double_eq_tol(9 * once.second, times.second, 1e-13 * times.second);
            ck_assert(isnan(once.fourth) || fabs(81 * once.fourth - times.fourth) <= 1e-12 * times.fourth);
            ck_assert(isnan(once.fourth) == (estimator == RELU));
            free(p);
        }
}
END_TEST

/* --- m rows --- */

/* One per pair of rows in the same block; of rows that go with their opposites where size is 2 dim. */
static double variance_by_pairs(const verify_moments *m, uint32_t size, uint32_t rows, bool blocks, bool opposites) {
    double sum = 0;
    for (uint32_t i = 0; i < rows; ++i)
        for (uint32_t j = 0; j < rows; ++j) {
            double both = opposites && i / 2 == j / 2 ? m->opposite : m->pair;
            sum += i == j ? m->second - m->mean * m->mean
                          : (blocks && i / size == j / size ? both - m->mean * m->mean : 0);
        }
    return sum / rows / rows;
}

/* Rows and their opposites, all sums of two in a block fully correlated, and so is a row that is left over. */
static double variance_of_couples(const verify_moments *m, uint32_t size, uint32_t rows) {
    double variance = m->second - m->mean * m->mean, sum = 0;
    double couple = sqrt(2 * variance + 2 * (m->opposite - m->mean * m->mean));
    for (uint32_t start = 0; start < rows; start += size) {
        double deviation = 0;
        for (uint32_t i = start; i < rows && i < start + size; i += 2)
            deviation += i + 1 < rows ? couple : sqrt(variance);
        sum += deviation * deviation;
    }
    return sum / rows / rows;
}

START_TEST(variance_counts_pairs) {
    static const uint32_t dims[] = {1, 2, 5, 6};
    verify_moments m = {.mean = 1.5, .second = 3, .pair = 2, .opposite = 1.75, .fourth = 7, .square = NAN};
    uint32_t d = dims[_i];
    for (uint32_t rows = 1; rows <= 3 * d + 2; ++rows) {
        int exact = 7;
        ck_assert_double_eq_tol(verify_variance(&m, CLFAVOR_PROJECTION_ORTHOGONAL, d, rows, &exact),
                                variance_by_pairs(&m, d, rows, true, false), 1e-15);
        ck_assert_int_eq(exact, 1);
        ck_assert_double_eq_tol(verify_variance(&m, CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM, d, rows, NULL),
                                variance_by_pairs(&m, d, rows, true, false), 1e-15);
        ck_assert_double_eq_tol(verify_variance(&m, CLFAVOR_PROJECTION_IID, d, rows, &exact),
                                variance_by_pairs(&m, d, rows, false, false), 1e-15);
        ck_assert_int_eq(exact, 1);
        ck_assert_double_eq_tol(verify_variance(&m, CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, d, rows, &exact),
                                variance_by_pairs(&m, 2 * d, rows, true, true), 1e-15);
        ck_assert_int_eq(exact, 1);
        /* Nothing known of a block: as if all its rows were one. */
        verify_moments unknown = m, same = m;
        unknown.pair = NAN;
        same.pair = m.second;
        double bound = verify_variance(&unknown, CLFAVOR_PROJECTION_ORTHOGONAL, d, rows, &exact);
        ck_assert_double_eq_tol(bound, variance_by_pairs(&same, d, rows, true, false), 1e-15);
        ck_assert_int_eq(exact, d == 1 || rows == 1);
        bound = verify_variance(&unknown, CLFAVOR_PROJECTION_SIMPLEX, d, rows, &exact);
        ck_assert_double_eq_tol(bound, variance_by_pairs(&same, d, rows, true, false), 1e-15);
        /* As if all w and -w of a block were the same two rows. */
        bound = verify_variance(&unknown, CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, d, rows, &exact);
        if (d > 1 && rows > 2) {
            ck_assert_double_eq_tol(bound, variance_of_couples(&m, 2 * d, rows), 1e-15);
            ck_assert_double_gt(bound, verify_variance(&m, CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, d, rows, NULL));
            ck_assert_int_eq(exact, 0);
        }
    }
}
END_TEST

/* The variance of (mean of `blocks` two-valued variables, of these weights, - share)^2, over all 2^blocks outcomes. */
static double square_variance(double share, const double *weights, int blocks) {
    double first = 0, second = 0;
    for (int outcome = 0; outcome < 1 << blocks; ++outcome) {
        double probability = 1, error = -share;
        for (int i = 0; i < blocks; ++i) {
            probability *= outcome >> i & 1 ? share : 1 - share;
            error += outcome >> i & 1 ? weights[i] : 0;
        }
        first += probability * error * error;
        second += probability * error * error * error * error;
    }
    return second - first * first;
}

/* X is 1 with probability 0.2, else 0. Independent rows: exact. Blocks whose rows are all the same, the worst there is:
 * a bound, off by 3 sigma^4 times the sum of the weights' fourth powers. */
START_TEST(variance_of_squares) {
    const double p = 0.2, q = p * (1 - p);
    verify_moments m = {.mean = p, .second = p, .pair = p, .fourth = q * (1 - 3 * q), .square = NAN};
    for (uint32_t rows = 1; rows <= 10; ++rows) {
        double weights[10], fourth = 0;
        int blocks = 0;
        for (uint32_t i = 0; i < rows; ++i)
            weights[i] = 1.0 / rows;
        ck_assert_double_eq_tol(verify_square_variance(&m, CLFAVOR_PROJECTION_IID, 3, rows),
                                square_variance(p, weights, (int)rows), 1e-15);
        for (uint32_t i = 0; i < rows; i += 3)
            weights[blocks++] = (rows - i < 3 ? rows - i : 3) / (double)rows;
        for (int i = 0; i < blocks; ++i)
            fourth += pow(weights[i], 4);
        double bound = verify_square_variance(&m, CLFAVOR_PROJECTION_ORTHOGONAL, 3, rows);
        ck_assert_double_eq_tol(bound, square_variance(p, weights, blocks) + 3 * q * q * fourth, 1e-15);
        m.fourth = NAN;
        ck_assert(isnan(verify_square_variance(&m, CLFAVOR_PROJECTION_ORTHOGONAL, 3, rows)));
        ck_assert(isnan(verify_square_variance(&m, CLFAVOR_PROJECTION_IID, 3, rows)));
        m.fourth = q * (1 - 3 * q);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_quadrature");
    TCase *tcase = tcase_create("verify_quadrature");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, normal_row, 0, 3);
    tcase_add_test(tcase, exact_is_the_sum_of_exponentials);
    tcase_add_loop_test(tcase, row_of_fixed_norm, 0, 3);
    tcase_add_loop_test(tcase, pair_in_the_plane, 0, 3);
    tcase_add_test(tcase, counts_are_equal_keys);
    tcase_add_loop_test(tcase, variance_counts_pairs, 0, 4);
    tcase_add_test(tcase, variance_of_squares);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
