/* Fits against what they claim, from weights and moments that are computed here, in double and plainly (docs/theory.md,
 * sections 1 and 6): centres, balancing, principal axes, and A by minimising the variance numerically.
 *
 * Tolerances. The library keeps P and o in float, so moments differ by some 2^-24 of their size: 1e-5 of the trace, and
 * of A. Tq'Tk = I is a matter of double. A minimum is found to the root of a rounding, about 1e-8 of A. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exact.h"
#include "fit_data.h"

enum { D = VERIFY_FIT_DIM, N_K = VERIFY_FIT_KEYS, EXACT = 6, SQUARE = VERIFY_FIT_SQUARE };

/* ---------------------------------------------------------------------------------------------------------- matrices
 */

/* out = t m u' */
static void form(const double *t, const double *m, const double *u, double *out) {
    double half[SQUARE];
    for (int i = 0; i < D; ++i)
        for (int l = 0; l < D; ++l) {
            half[i * D + l] = 0.0;
            for (int j = 0; j < D; ++j)
                half[i * D + l] += t[i * D + j] * m[j * D + l];
        }
    for (int i = 0; i < D; ++i)
        for (int l = 0; l < D; ++l) {
            out[i * D + l] = 0.0;
            for (int j = 0; j < D; ++j)
                out[i * D + l] += half[i * D + j] * u[l * D + j];
        }
}

static double trace(const double *m) {
    double sum = 0.0;
    for (int i = 0; i < D; ++i)
        sum += m[i * D + i];
    return sum;
}

/* Gauss-Jordan, for well-conditioned matrices without zeros on the way. */
static void invert(const double *m, double *out) {
    double a[SQUARE];
    memcpy(a, m, sizeof a);
    for (int i = 0; i < SQUARE; ++i)
        out[i] = i / D == i % D;
    for (int c = 0; c < D; ++c) {
        double pivot = a[c * D + c];
        for (int l = 0; l < D; ++l) {
            a[c * D + l] /= pivot;
            out[c * D + l] /= pivot;
        }
        for (int i = 0; i < D; ++i) {
            double factor = a[i * D + c];
            for (int l = 0; l < D && i != c; ++l) {
                a[i * D + l] -= factor * a[c * D + l];
                out[i * D + l] -= factor * out[c * D + l];
            }
        }
    }
}

/* tr of the root of a b for positive definite a and b, by the iteration of Denman and Beavers. */
static double trace_of_root(const double *a, const double *b) {
    double y[SQUARE], z[SQUARE], other_y[SQUARE], other_z[SQUARE];
    for (int i = 0; i < D; ++i)
        for (int l = 0; l < D; ++l) {
            y[i * D + l] = 0.0;
            for (int j = 0; j < D; ++j)
                y[i * D + l] += a[i * D + j] * b[j * D + l];
            z[i * D + l] = i == l;
        }
    for (int step = 0; step < 40; ++step) {
        invert(y, other_y);
        invert(z, other_z);
        for (int i = 0; i < SQUARE; ++i) {
            y[i] = 0.5 * (y[i] + other_z[i]);
            z[i] = 0.5 * (z[i] + other_y[i]);
        }
    }
    return trace(y);
}

/* ---------------------------------------------------------------------------------------------------- numeric optimum
 */

/* ln of the relative second moment of one axis with mean z^2 = p: what A is to make least. */
static double log_second(double a, double p) {
    return log1p(-4.0 * a) - 0.5 * log1p(-8.0 * a) + p * (2.0 * (1.0 - 4.0 * a) / (1.0 - 8.0 * a) - 1.0);
}

static double best_a(double p) {
    double low = -4.0 - p, high = 0.1249, share = (sqrt(5.0) - 1.0) / 2.0;
    for (int step = 0; step < 120; ++step) {
        double left = high - share * (high - low), right = low + share * (high - low);
        if (log_second(left, p) < log_second(right, p))
            high = right;
        else
            low = left;
    }
    return 0.5 * (low + high);
}

static void raise_to(verify_exact_value *value, double by) {
    if (!(by <= value->value))
        value->value = by;
}

/* [0]: A is where the variance is least; [1]: 10 % more or less is worse (the value is below 0 then). */
static void check_a(const double *a, const double *p, verify_exact_value *values) {
    values[1].value = -INFINITY;
    for (int l = 0; l < D; ++l) {
        double worse = fmin(log_second(0.9 * a[l], p[l]), log_second(1.1 * a[l], p[l]));
        raise_to(&values[0], fabs(a[l] / best_a(p[l]) - 1.0));
        raise_to(&values[1], log_second(a[l], p[l]) - worse);
    }
    values[0].tolerance = 1e-5;
    values[1].tolerance = 0.0;
}

/* E z z' as the parameters see it. */
static void seen(const verify_fit_data *o, double *c) {
    double x[SQUARE], y[SQUARE], xy[SQUARE];
    form(o->found.tq, o->xx, o->found.tq, x);
    form(o->found.tk, o->yy, o->found.tk, y);
    form(o->found.tq, o->xy, o->found.tk, xy);
    for (int i = 0; i < D; ++i)
        for (int l = 0; l < D; ++l)
            c[i * D + l] = x[i * D + l] + y[i * D + l] + xy[i * D + l] + xy[l * D + i];
}

/* The moment with the ridge that is given to both before they are balanced. */
static double ridged(const double *m, double *out) {
    double ridge = 0.05 * trace(m) / D;
    for (int i = 0; i < SQUARE; ++i)
        out[i] = m[i] + (i / D == i % D ? ridge : 0.0);
    return ridge;
}

/* ------------------------------------------------------------------------------------------------------------- checks
 */

/* value: the largest difference, of d x d or d numbers. */
static void compare(verify_exact_value *value, const double *a, const double *b, int count, double tolerance) {
    for (int i = 0; i < count; ++i)
        raise_to(value, fabs(a[i] - (b ? b[i] : i / D == i % D)));
    value->tolerance = tolerance;
}

/* Tq'Tk = I */
static void check_inverse(const verify_fit_data *o, verify_exact_value *value) {
    double product[SQUARE] = {0.0};
    for (int at = 0; at < SQUARE; ++at)
        for (int j = 0; j < D; ++j)
            product[at] += o->found.tq[j * D + at / D] * o->found.tk[j * D + at % D];
    compare(value, product, NULL, SQUARE, 1e-9);
}

/* Both second moments are the same once balanced. */
static void check_balance(const verify_fit_data *o, verify_exact_value *value) {
    double x[SQUARE], y[SQUARE], m[SQUARE];
    ridged(o->xx, m);
    form(o->found.tq, m, o->found.tq, x);
    ridged(o->yy, m);
    form(o->found.tk, m, o->found.tk, y);
    compare(value, x, y, SQUARE, 1e-5 * trace(x));
}

enum { CENTRES, INVERSE, BALANCE, AXES, BEST, TEN_PERCENT, MEAN_S, PLAIN_S, KEYS, ATTENTION_CHECKS };
static const char *const attention_labels[2 * ATTENTION_CHECKS] = {"centres",
                                                                   "Tq'Tk = I",
                                                                   "balanced moments",
                                                                   "principal axes",
                                                                   "A of each axis",
                                                                   "A +- 10 % is worse",
                                                                   "mean s",
                                                                   "mean s of FAVOR+",
                                                                   "exact keys",
                                                                   "no values: centres",
                                                                   "no values: Tq'Tk = I",
                                                                   "no values: balanced moments",
                                                                   "no values: principal axes",
                                                                   "no values: A of each axis",
                                                                   "no values: A +- 10 % is worse",
                                                                   "no values: mean s",
                                                                   "no values: mean s of FAVOR+",
                                                                   "no values: exact keys"};

static void check_attention(const verify_fit_data *o, verify_exact_value *values) {
    double c[SQUARE], p[D], total = 0.0;
    compare(&values[CENTRES], o->found.xbar, o->xbar, D, 1e-5);
    compare(&values[CENTRES], o->found.ybar, o->ybar, D, 1e-5);
    check_inverse(o, &values[INVERSE]);
    check_balance(o, &values[BALANCE]);
    seen(o, c);
    for (int i = 0; i < SQUARE; ++i)
        raise_to(&values[AXES], i / D == i % D ? 0.0 : fabs(c[i]));
    values[AXES].tolerance = 1e-5 * trace(c);
    for (int l = 0; l < D; ++l)
        total += p[l] = c[l * D + l];
    check_a(o->found.a, p, &values[BEST]);
    compare(&values[MEAN_S], o->info.mean_s, &total, 1, 1e-5 * total);
    compare(&values[PLAIN_S], o->info.mean_s_plain, &o->mean_s, 1, 1e-5 * o->mean_s);
    double lightest = INFINITY, heaviest = 0.0; /* of those chosen, and of the others */
    for (uint32_t j = 0; j < N_K; ++j) {
        lightest = verify_fit_is_listed(o, j) ? fmin(lightest, o->mass[j]) : lightest;
        heaviest = verify_fit_is_listed(o, j) ? heaviest : fmax(heaviest, o->mass[j]);
        values[KEYS].value += verify_fit_is_listed(o, j);
    }
    values[KEYS].value = values[KEYS].value == EXACT ? heaviest / lightest : NAN;
    values[KEYS].tolerance = 1.0;
}

static bool attention(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    (void)exact;
    bool good = true;
    for (int which = 0; good && which < 2; ++which) {
        verify_fit_data *o = verify_alloc(worker, 1, sizeof *o);
        good = o && verify_fit_prepare(o, worker, CLFAVOR_FIT_ATTENTION, 1.0F, false, !which, EXACT);
        if (good)
            check_attention(o, values + (size_t)which * ATTENTION_CHECKS);
        if (o)
            clfavor_fit_destroy(o->fit);
        free(o);
    }
    return good;
}

enum { SIZES = 4 };
static const char *const oprf_labels[SIZES * 2] = {
    "mean s small: A", "mean s small: A +- 10 % is worse", "mean s 1: A",   "mean s 1: A +- 10 % is worse",
    "mean s 10: A",    "mean s 10: A +- 10 % is worse",    "mean s 100: A", "mean s 100: A +- 10 % is worse"};

/* One A for the mean of |x + y|^2: p = mean s / d, so a lost d, or an A that is off by a factor, is not at the least.
 */
static bool oprf(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    (void)exact;
    static const float sizes[SIZES] = {0.2F, 0.7F, 2.0F, 6.0F};
    bool good = true;
    for (int i = 0; good && i < SIZES; ++i) {
        verify_fit_data *o = verify_alloc(worker, 1, sizeof *o);
        good = o && verify_fit_prepare(o, worker, CLFAVOR_FIT_OPRF, sizes[i], true, false, 0);
        double p[D];
        for (int l = 0; good && l < D; ++l)
            p[l] = o->mean_s / D;
        if (good)
            check_a(o->found.a, p, values + (size_t)i * 2);
        if (o)
            clfavor_fit_destroy(o->fit);
        free(o);
    }
    return good;
}

enum { SHIFT, SHIFT_REST, DIAGONAL, DIAGONAL_A, DIAGONAL_WORSE, SDERF, SDERF_INVERSE, SDERF_A, SDERF_WORSE, SPECIAL };
static const char *const special_labels[SPECIAL] = {"shift: centres are the means",
                                                    "shift: T = I, A = 0",
                                                    "diagonal: T",
                                                    "diagonal: A",
                                                    "diagonal: A +- 10 % is worse",
                                                    "SDERF: principal axes",
                                                    "SDERF: T is a rotation",
                                                    "SDERF: A of each axis",
                                                    "SDERF: A +- 10 % is worse"};

static void check_special(const verify_fit_data *o, clfavor_fit_method method, verify_exact_value *values) {
    double c[SQUARE], p[D], t[SQUARE] = {0.0};
    const double zero[D] = {0.0};
    seen(o, c);
    for (int l = 0; l < D; ++l) {
        p[l] = method == CLFAVOR_FIT_SDERF ? c[l * D + l] : trace(c) / D;
        t[l * D + l] = pow(o->yy[l * D + l] / o->xx[l * D + l], 0.25);
    }
    if (method == CLFAVOR_FIT_SHIFT) {
        compare(&values[SHIFT], o->found.xbar, o->xbar, D, 1e-5);
        compare(&values[SHIFT], o->found.ybar, o->ybar, D, 1e-5);
        compare(&values[SHIFT_REST], o->found.tq, NULL, SQUARE, 0.0);
        compare(&values[SHIFT_REST], o->found.tk, NULL, SQUARE, 0.0);
        compare(&values[SHIFT_REST], o->found.a, zero, D, 0.0);
    } else if (method == CLFAVOR_FIT_DIAGONAL) {
        compare(&values[DIAGONAL], o->found.tq, t, SQUARE, 1e-5);
        for (int l = 0; l < SQUARE; l += D + 1)
            t[l] = 1.0 / t[l];
        compare(&values[DIAGONAL], o->found.tk, t, SQUARE, 1e-5);
        check_a(o->found.a, p, &values[DIAGONAL_A]);
    } else {
        for (int i = 0; i < SQUARE; ++i)
            raise_to(&values[SDERF], i / D == i % D ? 0.0 : fabs(c[i]));
        values[SDERF].tolerance = 1e-5 * trace(c);
        check_inverse(o, &values[SDERF_INVERSE]);
        compare(&values[SDERF_INVERSE], o->found.tq, o->found.tk, SQUARE, 1e-9);
        check_a(o->found.a, p, &values[SDERF_A]);
    }
}

static bool special(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    (void)exact;
    static const clfavor_fit_method methods[] = {CLFAVOR_FIT_SHIFT, CLFAVOR_FIT_DIAGONAL, CLFAVOR_FIT_SDERF};
    bool good = true;
    for (int i = 0; good && i < 3; ++i) {
        verify_fit_data *o = verify_alloc(worker, 1, sizeof *o);
        good = o && verify_fit_prepare(o, worker, methods[i], 1.0F, false, false, 0);
        if (good)
            check_special(o, methods[i], values);
        if (o)
            clfavor_fit_destroy(o->fit);
        free(o);
    }
    return good;
}

enum { FULL_BALANCE, FULL_INVERSE, FULL_RIDGED, FULL_LOW, FULL_HIGH, FULL_A, FULL_WORSE, FULL };
static const char *const full_labels[FULL] = {"balanced moments",
                                              "Tq'Tk = I",
                                              "mean s, closed form with the ridge",
                                              "mean s is at least the closed form",
                                              "mean s is near the closed form",
                                              "A",
                                              "A +- 10 % is worse"};

/* Means of 0 and all pairs alike: E x y' = 0, and balancing leaves mean s = 2 tr((M1^1/2 M2 M1^1/2)^1/2), the root of
 * which has the trace of that of M1 M2. S is the least of tr(S M1) + tr(S^-1 M2), here for the moments with the ridge:
 * an identity for these, and a bound from below for those without, which a ridge of 5 % misses by its square. */
static bool full(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    (void)exact;
    verify_fit_data *o = verify_alloc(worker, 1, sizeof *o);
    bool good = o && verify_fit_prepare(o, worker, CLFAVOR_FIT_FULL, 1.0F, true, false, 0);
    if (good) {
        double m1[SQUARE], m2[SQUARE], p[D], stretch = 0.0, shrink = 0.0;
        double ridge1 = ridged(o->xx, m1), ridge2 = ridged(o->yy, m2), found = *o->info.mean_s;
        for (int i = 0; i < SQUARE; ++i) {
            stretch += o->found.tq[i] * o->found.tq[i]; /* tr S, tr S^-1 */
            shrink += o->found.tk[i] * o->found.tk[i];
        }
        double with = 2.0 * trace_of_root(m1, m2), without = 2.0 * trace_of_root(o->xx, o->yy);
        double sum = found + ridge1 * stretch + ridge2 * shrink;
        check_balance(o, &values[FULL_BALANCE]);
        check_inverse(o, &values[FULL_INVERSE]);
        compare(&values[FULL_RIDGED], &sum, &with, 1, 1e-6 * with);
        values[FULL_LOW] = (verify_exact_value){without - found, 1e-6 * without};
        values[FULL_HIGH] = (verify_exact_value){found / without - 1.0, 0.02};
        for (int l = 0; l < D; ++l)
            p[l] = found / D;
        check_a(o->found.a, p, &values[FULL_A]);
    }
    if (o)
        clfavor_fit_destroy(o->fit);
    free(o);
    return good;
}

void verify_exact_fit(verify_run *run) {
    static const char attention_text[] = "the fit's parameters against weighted moments in double";
    static const char oprf_text[] = "A against a numeric minimum of the variance";
    static const char special_text[] = "fits of single parameters against closed forms";
    static const char full_text[] = "full balancing against closed forms";
    static const verify_exact all[] = {
        {"fit/attention", attention_text, (size_t)2 * ATTENTION_CHECKS, attention_labels, 10.0, attention,
         CLFAVOR_MAP_EXPONENTIAL, false},
        {"fit/oprf", oprf_text, (size_t)SIZES * 2, oprf_labels, 10.0, oprf, CLFAVOR_MAP_EXPONENTIAL, false},
        {"fit/special", special_text, SPECIAL, special_labels, 10.0, special, CLFAVOR_MAP_EXPONENTIAL, false},
        {"fit/full", full_text, FULL, full_labels, 10.0, full, CLFAVOR_MAP_EXPONENTIAL, false}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        verify_add_exact(run, &all[i]);
}
