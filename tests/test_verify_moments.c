/* The exact moments of estimates against what is drawn: W from the library, X by its definition in clfavor.h. */
#include "support.h"
#include "special.h"
#include "support_moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 4003u
#define SETS 16384u

static const uint32_t dims[] = {1, 2, 3, 4, 6};
static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID,
                                                CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM,
                                                CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, CLFAVOR_PROJECTION_SIMPLEX};
#define KINDS (int)(sizeof kinds / sizeof *kinds)
#define DIMS  (int)(sizeof dims / sizeof *dims)

/* --- what is compared --- */

/* VARIANCE and SQUARE: of the mean of m rows, for m = d, 2d + 1 and d - 1 (1 if that is 0). */
enum { MEAN, SECOND, PAIR, FOURTH, VARIANCE, SQUARE = VARIANCE + 3, STATISTICS = SQUARE + 3 };
static const char *const statistic_names[] = {"mean",
                                              "second",
                                              "pair",
                                              "fourth",
                                              "variance at d",
                                              "at 2d + 1",
                                              "at d - 1",
                                              "variance of squares at d",
                                              "of squares at 2d + 1",
                                              "of squares at d - 1"};

static uint32_t rows_of(int place, uint32_t d) {
    return place == 0 ? d : place == 1 ? 2 * d + 1 : d > 1 ? d - 1 : 1;
}

/* What the formulas say. NaN: not known. */
typedef struct expected {
    double value[STATISTICS];
    bool bound[STATISTICS]; /* it is at most that */
} expected;

static expected expect(const verify_target *t) {
    verify_moments m = verify_moments_of(t);
    bool pairs = t->kind == CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS; /* whose rows are two kinds of pairs */
    expected e = {{m.mean, m.second, t->dim > 1 && !pairs ? m.pair : NAN, m.fourth}, {false}};
    for (int place = 0; place < 3; ++place) {
        int exact;
        e.value[VARIANCE + place] = verify_variance(&m, t->kind, t->dim, rows_of(place, t->dim), &exact);
        e.value[SQUARE + place] = verify_square_variance(&m, t->kind, t->dim, rows_of(place, t->dim));
        e.bound[VARIANCE + place] = !exact;
        e.bound[SQUARE + place] = t->kind != CLFAVOR_PROJECTION_IID && (t->dim > 1 || pairs) && isnan(m.square);
    }
    return e;
}

typedef struct sample {
    double mean[STATISTICS], error[STATISTICS]; /* standard error; sets are independent */
} sample;

/* One set's statistics from its 2d + 1 contributions. Moments are about what is expected. */
static void set_statistics(const double *x, uint32_t d, const expected *e, double value[STATISTICS]) {
    double sums[3] = {0}, block = 0, squares = 0, centre = e->value[MEAN];
    memset(value, 0, STATISTICS * sizeof *value);
    for (uint32_t r = 0; r < 2 * d + 1; ++r) {
        value[MEAN] += x[r] / (2 * d + 1);
        value[SECOND] += x[r] * x[r] / (2 * d + 1);
        value[FOURTH] += (x[r] - centre) * (x[r] - centre) * (x[r] - centre) * (x[r] - centre) / (2 * d + 1);
        for (int place = 0; place < 3; ++place)
            sums[place] += r < rows_of(place, d) ? x[r] : 0;
        block += r < d ? x[r] : 0;
        squares += r < d ? x[r] * x[r] : 0;
    }
    value[PAIR] = d > 1 ? (block * block - squares) / (d * (d - 1.0)) : 0; /* of all pairs of rows of a block */
    for (int place = 0; place < 3; ++place) {
        value[VARIANCE + place] = pow(sums[place] / rows_of(place, d) - centre, 2);
        value[SQUARE + place] = pow(value[VARIANCE + place] - e->value[VARIANCE + place], 2);
    }
}

static clfavor_projection *draw(clfavor_projection_kind kind, uint32_t d) {
    const clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .kind = kind, .features = 2 * d + 1, .dim = d, .sets = SETS, .seed = SEED};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    return projection;
}

static sample measure(const verify_target *t, const clfavor_projection *projection, const expected *e) {
    const double *w = clfavor_projection_data(projection), *phases = clfavor_projection_phases(projection);
    uint32_t d = t->dim, m = 2 * d + 1;
    double sum[STATISTICS] = {0}, squares[STATISTICS] = {0};
    for (size_t set = 0; set < SETS; ++set) {
        double x[2 * MOST + 1], value[STATISTICS];
        for (uint32_t r = 0; r < m; ++r)
            x[r] = row_value(t, w + (set * m + r) * d, phases[set * m + r]);
        set_statistics(x, d, e, value);
        for (int i = 0; i < STATISTICS; ++i) {
            sum[i] += value[i];
            squares[i] += value[i] * value[i];
        }
    }
    sample s;
    for (int i = 0; i < STATISTICS; ++i) {
        s.mean[i] = sum[i] / SETS;
        s.error[i] = sqrt(fmax(0, squares[i] / SETS - s.mean[i] * s.mean[i]) / SETS);
    }
    return s;
}

/* Six standard errors, 2e-9 if sums of 16384 sets were normal, and rounding. The seed is fixed. */
static bool agrees(const sample *s, const expected *e, int i) {
    double difference = s->mean[i] - e->value[i], limit = 6 * s->error[i] + 1e-12 * (1 + fabs(e->value[i]));
    return isnan(e->value[i]) || (e->bound[i] ? difference <= limit : fabs(difference) <= limit);
}

/* Higher moments of exponentials exist, but a sample does not show them unless s is small; with A = 0.03 the eighth, on
 * which the error of the fourth rests, is all but infinite. */
static bool is_shown(int estimator, double s, int i) {
    return (i != FOURTH && i < SQUARE) || (s < 0.5 && estimator != SDERF) || moments_is_cosine(estimator);
}

/* Those that disagree, one bit each. */
static unsigned disagreements(int estimator, double size, const sample *s, const expected *e) {
    unsigned bits = 0;
    for (int i = 0; i < STATISTICS; ++i)
        if (is_shown(estimator, size, i) && !agrees(s, e, i))
            bits |= 1u << i;
    return bits;
}

static void check_problem(int estimator, const clfavor_projection *projection, clfavor_projection_kind kind, uint32_t d,
                          uint32_t keys, double size) {
    problem *p = problem_of(estimator, kind, d, keys, size);
    expected e = expect(&p->target);
    sample s = measure(&p->target, projection, &e);
    unsigned bits = disagreements(estimator, size, &s, &e);
    for (int i = 0; i < STATISTICS; ++i)
        ck_assert_msg(!(bits >> i & 1), "%s, d %u, kind %d, %u keys, s %g: %s is %g +- %g, expected %g",
                      moments_names[estimator], d, (int)kind, keys, size, statistic_names[i], s.mean[i], s.error[i],
                      e.value[i]);
    free(p);
}

START_TEST(moments_are_those_of_draws) {
    uint32_t d = dims[_i / KINDS];
    clfavor_projection_kind kind = kinds[_i % KINDS];
    bool fixed = kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM; /* one key, no exponential */
    clfavor_projection *projection = draw(kind, d);
    for (int estimator = 0; estimator < (fixed ? OPRF : ESTIMATORS); ++estimator) {
        check_problem(estimator, projection, kind, d, 1, 0.15);
        check_problem(estimator, projection, kind, d, 1, 1);
        if (!fixed)
            check_problem(estimator, projection, kind, d, 3, 1);
    }
    clfavor_projection_destroy(projection);
}
END_TEST

/* --- closed forms of single parameters --- */

START_TEST(special_cases) {
    for (uint32_t d = 3; d <= MOST; d += 3) {
        double z2 = 0, s = 0;
        problem *p = problem_of(KEY_SHIFT, CLFAVOR_PROJECTION_ORTHOGONAL, d, 1, 1);
        for (uint32_t l = 0; l < d; ++l) {
            double z = p->x[l] + p->y[l] - p->xbar[l] - p->ybar[l];
            z2 += z * z;
            s += (p->x[l] + p->y[l]) * (p->x[l] + p->y[l]);
        }
        ck_assert_double_gt(fabs(s - z2), 0.02);
        /* w ~ N(c, I): e^(|z - c|^2) - 1 of the mean squared; two rows of a block as plain ones at z - c */
        verify_moments m = verify_moments_of(&p->target);
        ck_assert_double_eq_tol(m.second / (m.mean * m.mean), exp(z2), 1e-12 * exp(z2));
        double pair = verify_1f1(d, d / 2.0, z2 / 2) * exp(-z2);
        ck_assert_double_eq_tol(m.pair / (m.mean * m.mean), pair, 1e-7 * pair);
        ck_assert_double_eq_tol(m.opposite / (m.mean * m.mean), exp(-z2), 1e-12);
        free(p);
        p = problem_of(OPRF, CLFAVOR_PROJECTION_IID, d, 1, 1);
        m = verify_moments_of(&p->target);
        s = 0;
        for (uint32_t l = 0; l < d; ++l)
            s += (p->x[l] + p->y[l]) * (p->x[l] + p->y[l]);
        double a = p->a[0],
               oprf = pow(1 - 4 * a, d) * pow(1 - 8 * a, -0.5 * d) * exp(2 * (1 - 4 * a) * s / (1 - 8 * a) - s);
        ck_assert_double_eq_tol(m.second / (m.mean * m.mean), oprf, 1e-12 * oprf);
        free(p);
    }
}
END_TEST

/* --- mistakes that must be seen --- */

static void longer_query(problem *p) {
    for (uint32_t l = 0; l < p->target.dim; ++l)
        p->x[l] *= 1.15;
}

static void independent_rows(problem *p) {
    p->target.kind = CLFAVOR_PROJECTION_IID;
}

static void opposite_rows(problem *p) {
    p->target.kind = CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS;
}

static void simplex_rows(problem *p) {
    p->target.kind = CLFAVOR_PROJECTION_SIMPLEX;
}

static void fixed_norms(problem *p) {
    p->target.kind = CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
}

static void other_counts(problem *p) {
    static const double counts[] = {2, 2, 3};
    p->target.count = counts;
}

static void as_positive(problem *p) {
    p->target.map = CLFAVOR_MAP_POSITIVE;
}

static void as_trig(problem *p) {
    p->target.map = CLFAVOR_MAP_TRIG;
}

static void half_a(problem *p) {
    for (uint32_t l = 0; l < p->target.dim; ++l)
        p->a[l] *= 0.5;
}

static void one_a(problem *p) {
    for (uint32_t l = 0; l < p->target.dim; ++l)
        p->a[l] = p->a[0];
}

static void without_t(problem *p) {
    p->fitted.tq = p->fitted.tk = NULL;
}

static void transposed_t(problem *p) {
    for (uint32_t i = 0; i < p->target.dim; ++i)
        for (uint32_t l = 0; l < i; ++l) {
            double *t[] = {p->tq, p->tk};
            for (size_t side = 0; side < 2; ++side) {
                double swap = t[side][i * p->target.dim + l];
                t[side][i * p->target.dim + l] = t[side][l * p->target.dim + i];
                t[side][l * p->target.dim + i] = swap;
            }
        }
}

static void without_shift(problem *p) {
    p->fitted.xbar = p->fitted.ybar = NULL;
}

static void far_shift(problem *p) {
    for (uint32_t l = 0; l < p->target.dim; ++l) {
        p->xbar[l] *= 4;
        p->ybar[l] *= 4;
    }
}

#define BIT(i) (1u << (i))
static const struct {
    int estimator;
    uint32_t keys;
    double size;
    void (*spoil)(problem *);
    unsigned seen; /* that must disagree */
} mistakes[] = {
    {POSITIVE, 1, 1, longer_query, BIT(MEAN)},
    {POSITIVE, 3, 1, other_counts, BIT(MEAN)},
    {POSITIVE, 1, 1, fixed_norms, BIT(MEAN) | BIT(SECOND)},
    {POSITIVE, 1, 1, independent_rows, BIT(PAIR) | BIT(VARIANCE)},
    {HYPERBOLIC, 1, 1, longer_query, BIT(MEAN) | BIT(SECOND)},
    {HYPERBOLIC, 1, 0.15, as_positive, BIT(SECOND) | BIT(FOURTH) | BIT(VARIANCE)},
    {HYPERBOLIC, 3, 1, independent_rows, BIT(PAIR) | BIT(VARIANCE) | BIT(VARIANCE + 1) | BIT(VARIANCE + 2)},
    {TRIG, 1, 1, longer_query, BIT(MEAN) | BIT(FOURTH)},
    {TRIG, 3, 1, other_counts, BIT(MEAN) | BIT(SECOND) | BIT(PAIR)},
    {TRIG, 3, 1, independent_rows, BIT(PAIR) | BIT(VARIANCE) | BIT(VARIANCE + 1) | BIT(VARIANCE + 2)},
    {TRIG_PHASE, 1, 1, as_trig, BIT(SECOND) | BIT(FOURTH) | BIT(VARIANCE)},
    {TRIG_PHASE, 3, 1, as_trig, BIT(SECOND) | BIT(VARIANCE)},
    {GAUSSIAN, 1, 1, as_trig, BIT(MEAN) | BIT(SECOND) | BIT(PAIR) | BIT(FOURTH)},
    {GAUSSIAN, 1, 1, fixed_norms, BIT(MEAN)},
    {RELU, 1, 1, longer_query, BIT(MEAN) | BIT(SECOND)},
    {RELU, 3, 1, other_counts, BIT(MEAN) | BIT(SECOND)},
    {RELU, 1, 1, fixed_norms, BIT(SECOND)},
    {RELU, 1, 1, independent_rows, BIT(PAIR) | BIT(VARIANCE) | BIT(VARIANCE + 1) | BIT(VARIANCE + 2)},
    {OPRF, 1, 1, half_a, BIT(SECOND)},
    {OPRF, 3, 1, independent_rows, BIT(PAIR) | BIT(VARIANCE)},
    {SHIFTED, 1, 1, without_shift, BIT(SECOND)},
    {POSITIVE, 1, 1, opposite_rows, BIT(VARIANCE) | BIT(VARIANCE + 1) | BIT(VARIANCE + 2)},
    {TRIG, 1, 1, opposite_rows, BIT(VARIANCE) | BIT(VARIANCE + 1) | BIT(VARIANCE + 2)},
    {RELU, 1, 1, opposite_rows, BIT(VARIANCE) | BIT(VARIANCE + 1)},
    {POSITIVE, 1, 1, simplex_rows, BIT(PAIR) | BIT(VARIANCE)},
    {TRIG, 1, 1, simplex_rows, BIT(PAIR) | BIT(VARIANCE)},
    {OPRF, 3, 1, opposite_rows, BIT(VARIANCE) | BIT(VARIANCE + 1) | BIT(VARIANCE + 2)},
    {OPRF, 1, 0.15, half_a, BIT(SECOND) | BIT(FOURTH)},
    {KEY_SHIFT, 1, 1, far_shift, BIT(SECOND)},
    {KEY_SHIFT, 1, 1, independent_rows, BIT(PAIR)},
    {BALANCED, 1, 1, without_t, BIT(SECOND)},
    {BALANCED, 3, 1, independent_rows, BIT(PAIR) | BIT(VARIANCE)},
    {FITTED, 1, 1, half_a, BIT(SECOND)},
    {FITTED, 1, 1, one_a, BIT(SECOND)},
    {FITTED, 1, 1, without_shift, BIT(SECOND)},
    {FITTED, 1, 1, transposed_t, BIT(SECOND)},
    {FITTED, 1, 0.15, half_a, BIT(SECOND) | BIT(FOURTH)},
};
#define MISTAKES (sizeof mistakes / sizeof *mistakes)

START_TEST(mistakes_are_seen) {
    clfavor_projection *projection = draw(CLFAVOR_PROJECTION_ORTHOGONAL, 4);
    for (size_t i = 0; i < MISTAKES; ++i) {
        int estimator = mistakes[i].estimator;
        problem *right = problem_of(estimator, CLFAVOR_PROJECTION_ORTHOGONAL, 4, mistakes[i].keys, mistakes[i].size);
        problem *wrong = problem_of(estimator, CLFAVOR_PROJECTION_ORTHOGONAL, 4, mistakes[i].keys, mistakes[i].size);
        mistakes[i].spoil(wrong);
        expected e = expect(&wrong->target);
        sample s = measure(&right->target, projection, &e);
        unsigned bits = disagreements(estimator, mistakes[i].size, &s, &e);
        ck_assert_msg((bits & mistakes[i].seen) == mistakes[i].seen, "mistake %zu with %s: seen %#x of %#x", i,
                      moments_names[estimator], bits, mistakes[i].seen);
        free(right);
        free(wrong);
    }
    clfavor_projection_destroy(projection);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_moments");
    TCase *tcase = tcase_create("verify_moments");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, moments_are_those_of_draws, 0, KINDS * DIMS);
    tcase_add_test(tcase, special_cases);
    tcase_add_test(tcase, mistakes_are_seen);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
