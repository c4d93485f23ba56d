/* The double reference where sums over pairs cannot go or say little: values known by hand, exponents beyond the range
 * of exp, features of 0, NaN, and arguments. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

static clfavor_estimator *make(clfavor_map map, uint32_t m, uint32_t d, uint32_t sets, const double *w,
                               const double *phases, double scale) {
    const clfavor_projection_desc shape = {.struct_size = sizeof shape, .features = m, .dim = d, .sets = sets};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &shape, w, phases), CLFAVOR_SUCCESS);
    const clfavor_estimator_desc desc = {
        .struct_size = sizeof desc, .map = map, .projection = projection, .scale = scale};
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create(&e, &desc), CLFAVOR_SUCCESS);
    clfavor_projection_destroy(projection);
    return e;
}

static void fill(double *values, uint64_t seed, size_t count) {
    for (size_t i = 0; i < count; ++i)
        values[i] = test_normal(seed, i);
}

/* One query, one key, one row w = 1, scale 1: phi(q) phi(k) by hand. */
static const struct {
    clfavor_map map;
    double q, k, phase, lse, sign;
} known[] = {
    {CLFAVOR_MAP_POSITIVE, 2, 1, 0, 0.5, 1},                                  /* 2 - 2 + 1 - 1/2 */
    {CLFAVOR_MAP_POSITIVE, -2, 1, 0, -3.5, 1},                                /* -2 - 2 + 1 - 1/2 */
    {CLFAVOR_MAP_HYPERBOLIC, 2, -2, 0, -4, 1},                                /* e^-4 cosh 0 */
    {CLFAVOR_MAP_HYPERBOLIC, 1, 0, 0, -0.5 + 0.43378083048302653, 1},         /* e^-1/2 cosh 1 */
    {CLFAVOR_MAP_TRIG, 1, 1, 0, 1, 1},                                        /* e^1 cos 0 */
    {CLFAVOR_MAP_TRIG, PI, 0, 0, PI *PI / 2, -1},                             /* e^(pi^2/2) cos pi */
    {CLFAVOR_MAP_TRIG_PHASE, 0, 0, PI / 3, -0.69314718055994531, 1},          /* 2 cos^2(pi/3) = 1/2 */
    {CLFAVOR_MAP_TRIG_PHASE, PI, 0, 0, PI *PI / 2 + 0.69314718055994531, -1}, /* e^(pi^2/2) 2 cos pi cos 0 */
    {CLFAVOR_MAP_GAUSSIAN, 5, 5, 1, 0, 1},                                    /* cos 0 */
    {CLFAVOR_MAP_GAUSSIAN, 5 + PI / 3, 5, 1, -0.69314718055994531, 1},        /* cos(pi/3) */
    {CLFAVOR_MAP_RELU, 2, 3, 0, 1.7917594692280550, 1},                       /* 2 times 3 */
    {CLFAVOR_MAP_RELU, 2, -3, 0, -INFINITY, 0},                               /* 2 times 0 */
    {CLFAVOR_MAP_ELU, 2, -1, 0, 1.0986122886681098 - 1, 1},                   /* 3 times e^-1 */
};

START_TEST(hand_computed) {
    double o, lse, sign, abs_sum, v = 7;
    clfavor_estimator *e = make(known[_i].map, 1, 1, 1, (double[]){1}, &known[_i].phase, 1);
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .n = 1,
                                   .dim = 1,
                                   .q = &known[_i].q,
                                   .k = &known[_i].k,
                                   .v = &v,
                                   .o = &o,
                                   .lse = &lse,
                                   .sign = &sign,
                                   .abs_sum = &abs_sum};
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    if (isinf(known[_i].lse)) {
        ck_assert(lse == -INFINITY && abs_sum == -INFINITY);
        ck_assert_double_eq(o, 0);
    } else { /* some 16 roundings of numbers below 40 */
        ck_assert_double_eq_tol(lse, known[_i].lse, 16 * 40 * DBL_EPSILON);
        ck_assert_double_eq_tol(o, 7, 7 * 4 * DBL_EPSILON);
    }
    ck_assert_double_eq(sign, known[_i].sign);
    clfavor_estimator_destroy(e);
}
END_TEST

/* Equal keys have equal weights, so a causal row is the mean of the values so far. W >= 0 keeps relu alive. */
START_TEST(equal_keys_give_running_means) {
    const double ones[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, v[3] = {1, 0, 0};
    double w[5 * 4], phases[5], o[3];
    fill(phases, 2, 5);
    for (size_t i = 0; i < 20; ++i)
        w[i] = fabs(test_normal(1, i));
    for (uint32_t d = 1; d <= 4; ++d) {
        clfavor_estimator *e = make((clfavor_map)_i, 5, d, 1, w, phases, 0);
        clfavor_reference_args args = {.struct_size = sizeof args,
                                       .n = 3,
                                       .dim = d,
                                       .value_dim = 1,
                                       .causal = 1,
                                       .q = ones,
                                       .k = ones,
                                       .v = v,
                                       .o = o};
        ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
        for (int i = 0; i < 3; ++i) /* two sums of at most 10 features and a division */
            ck_assert_double_eq_tol(o[i], 1.0 / (i + 1), 32 * DBL_EPSILON);
        clfavor_estimator_destroy(e);
    }
}
END_TEST

enum { N = 6, DIM = 3, ROWS = 64, TOKENS = N * DIM };
static const clfavor_map nonnegative[] = {CLFAVOR_MAP_POSITIVE, CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_RELU,
                                          CLFAVOR_MAP_ELU};

/* The tolerance is that of two sums of N keys and F features, each with a few roundings a term. */
START_TEST(rows_are_convex_and_ignore_the_order_of_keys) {
    double w[ROWS * DIM], q[TOKENS], k[TOKENS], k_back[TOKENS], v[N * N], v_back[N * N], constant[N * N], o[N * N],
        o_back[N * N], lse[N], lse_back[N];
    const double tolerance = 4 * (N + 2 * ROWS) * DBL_EPSILON;
    fill(w, 1, ROWS * DIM);
    fill(q, 2, TOKENS);
    fill(k, 3, TOKENS);
    for (size_t i = 0; i < N * N; ++i) {
        v[i] = i % (N + 1) == 0;
        constant[i] = 3.25;
        v_back[i] = i / N + i % N == N - 1;
    }
    for (size_t i = 0; i < TOKENS; ++i)
        k_back[i] = k[(N - 1 - i / DIM) * DIM + i % DIM];
    clfavor_estimator *e = make(nonnegative[_i], ROWS, DIM, 1, w, NULL, 0);
    clfavor_reference_args args = {
        .struct_size = sizeof args, .n = N, .dim = DIM, .value_dim = N, .q = q, .k = k, .v = v, .o = o, .lse = lse};
    for (args.causal = 0; args.causal < 2; ++args.causal) {
        args.v = constant;
        ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
        for (size_t i = 0; i < N * N; ++i)
            ck_assert_double_eq_tol(o[i], 3.25, 3.25 * tolerance);
        args.v = v;
        ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
        for (size_t i = 0; i < N; ++i) {
            double sum = 0;
            for (size_t j = 0; j < N; ++j) {
                ck_assert_double_ge(o[i * N + j], 0);
                sum += o[i * N + j];
                if (args.causal && j > i)
                    ck_assert_double_eq(o[i * N + j], 0);
            }
            ck_assert_double_eq_tol(sum, 1, tolerance);
        }
    }
    args.causal = 0;
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    args.k = k_back;
    args.v = v_back;
    args.o = o_back;
    args.lse = lse_back;
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    for (size_t i = 0; i < N * N; ++i)
        ck_assert_double_eq_tol(o_back[i], o[i], 2 * tolerance);
    for (size_t i = 0; i < N; ++i)
        ck_assert_double_eq_tol(lse_back[i], lse[i], 2 * tolerance);
    clfavor_estimator_destroy(e);
}
END_TEST

/* One feature: phi_k alone weighs the keys, so a row is the softmax of the keys' exponents up to it, in any range. With
 * scale 1 and d = 1 an exponent is exact to eps times its size. */
static void check_one_feature(clfavor_map map, double w, const double *keys, const double *exponents, size_t n) {
    double q[8], v[8], o[8], lse[8];
    const double query = map == CLFAVOR_MAP_POSITIVE ? w : 0; /* an exponent of w^2/2, of 0 for elu */
    for (size_t i = 0; i < n; ++i) {
        q[i] = query;
        v[i] = (double)i + 1;
    }
    clfavor_estimator *e = make(map, 1, 1, 1, &w, NULL, 1);
    clfavor_reference_args args = {
        .struct_size = sizeof args, .n = n, .dim = 1, .causal = 1, .q = q, .k = keys, .v = v, .o = o, .lse = lse};
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    for (size_t i = 0; i < n; ++i) {
        double top = -INFINITY, sum = 0, mean = 0, size = fabs(query * query);
        for (size_t j = 0; j <= i; ++j) {
            top = fmax(top, exponents[j]);
            size = fmax(size, fabs(exponents[j]) + keys[j] * keys[j]);
        }
        for (size_t j = 0; j <= i; ++j) {
            sum += exp(exponents[j] - top);
            mean += v[j] * exp(exponents[j] - top);
        }
        ck_assert_double_eq_tol(lse[i], query * query / 2 + top + log(sum), 4 * size * DBL_EPSILON);
        ck_assert_double_eq_tol(o[i], mean / sum, (double)n * (4 * size + 16) * DBL_EPSILON);
    }
    clfavor_estimator_destroy(e);
}

START_TEST(exponents_beyond_exp) {
    /* 145 y - y^2/2 = 9500 at y = 100 and 9544.5 at 101; -31500 at -140 and so on: up, down, up */
    const double keys[] = {100, 101, -140, 0, 145, 144, -1e3},
                 up[] = {9500, 9544.5, -30100, 0, 10512.5, 10512, -645000};
    check_one_feature(CLFAVOR_MAP_POSITIVE, 145, keys, up, 7);
    const double low[] = {-1e4, -1e4 - 1, -1e4 + 2, -9e3, -2e4};
    check_one_feature(CLFAVOR_MAP_ELU, 1, low, low, 5);
    /* 1e9 apart, rising and falling */
    const double far[] = {-1e9, 0, -1e9, -1}, fallen[] = {-3, -1e9};
    check_one_feature(CLFAVOR_MAP_ELU, 1, far, far, 4);
    check_one_feature(CLFAVOR_MAP_ELU, 1, fallen, fallen, 2);
}
END_TEST

/* Keys whose features are all 0, before, between and after others, are as if they were not there: relu by its sign,
 * positive because |y|^2 overflows to an exponent of -inf. */
START_TEST(features_of_zero_add_nothing) {
    const clfavor_map map = _i ? CLFAVOR_MAP_RELU : CLFAVOR_MAP_POSITIVE;
    const double dead = _i ? -1 : 1e200, keys[] = {dead, dead, 1, dead, 2, dead}, v[] = {5, 6, 7, 8, 9, 10};
    const double q[] = {1, 1, 1, 1, 1, 1}, live_keys[] = {1, 2}, live_v[] = {7, 9}, w[] = {1, 0.5};
    double o[6], lse[6], sign[6], abs_sum[6], live_o[2], live_lse[2];
    clfavor_estimator *e = make(map, 2, 1, 1, w, NULL, 1);
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .n = 6,
                                   .dim = 1,
                                   .causal = 1,
                                   .q = q,
                                   .k = keys,
                                   .v = v,
                                   .o = o,
                                   .lse = lse,
                                   .sign = sign,
                                   .abs_sum = abs_sum};
    clfavor_reference_args live = {.struct_size = sizeof live,
                                   .n = 2,
                                   .dim = 1,
                                   .causal = 1,
                                   .q = q,
                                   .k = live_keys,
                                   .v = live_v,
                                   .o = live_o,
                                   .lse = live_lse};
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_reference_attention(e, &live), CLFAVOR_SUCCESS);
    for (size_t i = 0; i < 6; ++i) {
        ck_assert_double_eq(sign[i], i < 2 ? 0 : 1);
        if (i < 2) {
            ck_assert_double_eq(o[i], 0);
            ck_assert(lse[i] == -INFINITY && abs_sum[i] == -INFINITY);
        } else { /* adding 0 and multiplying by 1 are exact */
            ck_assert_double_eq(o[i], live_o[i >= 4]);
            ck_assert_double_eq(lse[i], live_lse[i >= 4]);
            ck_assert_double_eq(abs_sum[i], lse[i]);
        }
    }
    clfavor_estimator_destroy(e);
}
END_TEST

/* Two batches of two heads; NaN goes into one token of batch 1, head 1. */
enum { HEADS = 4, Q = HEADS * TOKENS, V = HEADS * N * 2, EXACT = CLFAVOR_MAP_EXPONENTIAL };
typedef struct result {
    double o[V], lse[HEADS * N], sign[HEADS * N], abs_sum[HEADS * N];
} result;

static void attend(int map, uint32_t causal, const double *q, const double *k, const double *v, result *out) {
    double w[ROWS * DIM], phases[ROWS];
    fill(w, 1, ROWS * DIM);
    fill(phases, 2, ROWS);
    clfavor_estimator *e = make(map == EXACT ? CLFAVOR_MAP_POSITIVE : (clfavor_map)map, ROWS, DIM, 1, w, phases, 0);
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .batch = 2,
                                   .heads = 2,
                                   .n = N,
                                   .dim = DIM,
                                   .value_dim = 2,
                                   .causal = causal,
                                   .q = q,
                                   .k = k,
                                   .v = v,
                                   .o = out->o,
                                   .lse = out->lse,
                                   .sign = out->sign,
                                   .abs_sum = out->abs_sum};
    ck_assert_int_eq(map == EXACT ? clfavor_reference_exact(&args) : clfavor_reference_attention(e, &args),
                     CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(e);
}

/* The same bits, or NaN. */
static void check_value(double actual, double clean, bool poisoned) {
    if (poisoned)
        ck_assert_double_nan(actual);
    else
        ck_assert_double_eq(actual, clean);
}

START_TEST(nan_reaches_the_rows_that_see_it_and_no_other) {
    const int map = _i / 2;
    const uint32_t causal = (uint32_t)_i % 2;
    double q[Q], k[Q], v[V];
    result clean = {0}, out = {0};
    fill(q, 3, Q);
    fill(k, 4, Q);
    fill(v, 5, V);
    attend(map, causal, q, k, v, &clean);
    for (size_t i = 0; i < HEADS * N; ++i)
        ck_assert(!isnan(clean.lse[i]) && !isinf(clean.lse[i])); /* relu too: else a row might not see a value */
    for (size_t token = 0; token < N; ++token)
        for (int which = 0; which < 3; ++which) { /* query, key, value */
            const size_t at = 3 * N + token;
            double *victim = which == 0   ? &q[at * DIM + token % DIM]
                             : which == 1 ? &k[at * DIM + token % DIM]
                                          : &v[at * 2 + 1],
                   kept = *victim;
            *victim = NAN;
            attend(map, causal, q, k, v, &out);
            *victim = kept;
            for (size_t row = 0; row < HEADS * N; ++row) {
                bool sees = row >= 3 * N && (which == 0 ? row == at : !causal || row >= at);
                check_value(out.lse[row], clean.lse[row], sees && which < 2);
                check_value(out.abs_sum[row], clean.abs_sum[row], sees && which < 2);
                if (!sees)
                    ck_assert_double_eq(out.sign[row], clean.sign[row]);
                check_value(out.o[2 * row], clean.o[2 * row], sees && which < 2);
                check_value(out.o[2 * row + 1], clean.o[2 * row + 1], sees);
            }
        }
}
END_TEST

/* In the feature matrix too: log |phi| and sign are NaN together. Elu's features take one coordinate each. */
START_TEST(nan_reaches_features) {
    double w[ROWS * DIM], phases[ROWS], log_abs[2 * ROWS], sign[2 * ROWS];
    const double token[DIM] = {1, NAN, 1};
    fill(w, 1, ROWS * DIM);
    fill(phases, 2, ROWS);
    clfavor_estimator *e = make((clfavor_map)_i, ROWS, DIM, 1, w, phases, 0);
    clfavor_estimator_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_estimator_get_info(e, &info), CLFAVOR_SUCCESS);
    for (int key = 0; key < 2; ++key) {
        ck_assert_int_eq(clfavor_reference_features(e, 0, key, token, log_abs, sign), CLFAVOR_SUCCESS);
        for (size_t f = 0; f < info.features; ++f) {
            bool poisoned = _i != CLFAVOR_MAP_ELU || f == 1;
            ck_assert_int_eq(isnan(log_abs[f]) != 0, poisoned);
            ck_assert_int_eq(isnan(sign[f]) != 0, poisoned);
        }
    }
    clfavor_estimator_destroy(e);
}
END_TEST

/* Row i of causal attention has the bits of bidirectional attention over keys 0..i. */
START_TEST(causal_rows_are_prefixes) {
    double q[Q], k[Q], v[V], w[ROWS * DIM], phases[ROWS], o[2 * N], lse[N], row_o[2], row_lse;
    fill(q, 3, Q);
    fill(k, 4, Q);
    fill(v, 5, V);
    fill(w, 1, ROWS * DIM);
    fill(phases, 2, ROWS);
    clfavor_estimator *e = make((clfavor_map)_i, ROWS, DIM, 1, w, phases, 0);
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .n = N,
                                   .dim = DIM,
                                   .value_dim = 2,
                                   .causal = 1,
                                   .q = q,
                                   .k = k,
                                   .v = v,
                                   .o = o,
                                   .lse = lse};
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    args.causal = 0;
    args.n = 1;
    args.o = row_o;
    args.lse = &row_lse;
    for (size_t i = 0; i < N; ++i) {
        args.n_k = i + 1;
        args.q = q + i * DIM;
        ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
        ck_assert_double_eq(row_lse, lse[i]);
        ck_assert_mem_eq(row_o, o + 2 * i, sizeof row_o);
    }
    clfavor_estimator_destroy(e);
}
END_TEST

static void check_args(const clfavor_estimator *e, const clfavor_reference_args *args, clfavor_status expected) {
    ck_assert_int_eq(clfavor_reference_attention(e, args), expected);
    ck_assert_int_eq(clfavor_reference_exact(args), expected);
}

START_TEST(arguments) {
    double w[3 * DIM], q[Q], k[Q], v[Q], lse[HEADS * N], phi[3], sign[3];
    fill(w, 1, 3 * DIM);
    fill(q, 2, Q);
    fill(k, 3, Q);
    fill(v, 4, Q);
    clfavor_estimator *one = make(CLFAVOR_MAP_POSITIVE, 1, DIM, 1, w, NULL, 0),
                      *three = make(CLFAVOR_MAP_POSITIVE, 1, DIM, 3, w, NULL, 0);
    const clfavor_reference_args right = {
        .struct_size = sizeof right, .heads = 4, .heads_kv = 2, .n = N, .dim = DIM, .q = q, .k = k, .v = v, .lse = lse};
    check_args(one, &right, CLFAVOR_SUCCESS);
    clfavor_reference_args args = right;
    args.lse = NULL; /* no output at all is fine */
    check_args(one, &args, CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_reference_attention(NULL, &right), CLFAVOR_INVALID_ARGUMENT);
    check_args(one, NULL, CLFAVOR_INVALID_ARGUMENT);
#define WITH(field, value, status)                                                                                     \
    do {                                                                                                               \
        args = right;                                                                                                  \
        args.field = (value);                                                                                          \
        check_args(one, &args, status);                                                                                \
    } while (0)
    WITH(struct_size, sizeof(size_t) - 1, CLFAVOR_INVALID_ARGUMENT);
    WITH(q, NULL, CLFAVOR_INVALID_ARGUMENT);
    WITH(k, NULL, CLFAVOR_INVALID_ARGUMENT);
    WITH(v, NULL, CLFAVOR_INVALID_ARGUMENT);
    WITH(causal, 2, CLFAVOR_INVALID_ARGUMENT);
    WITH(n, 0, CLFAVOR_INVALID_SHAPE);
    WITH(dim, 0, CLFAVOR_INVALID_SHAPE);
    WITH(dim, 257, CLFAVOR_INVALID_SHAPE);
    WITH(value_dim, 257, CLFAVOR_INVALID_SHAPE);
    WITH(heads_kv, 3, CLFAVOR_INVALID_SHAPE);
    WITH(heads_kv, 8, CLFAVOR_INVALID_SHAPE);
#undef WITH
    args = right;
    args.causal = 1;
    args.n_k = N - 1;
    check_args(one, &args, CLFAVOR_INVALID_SHAPE);
    args = right;
    args.dim = DIM - 1;
    ck_assert_int_eq(clfavor_reference_attention(one, &args), CLFAVOR_MISMATCH);
    ck_assert_int_eq(clfavor_reference_attention(three, &right), CLFAVOR_MISMATCH); /* heads 4 and 2 */
    args = right;
    static const double scales[] = {-1, NAN, INFINITY};
    for (size_t i = 0; i < 3; ++i) {
        args.scale = scales[i];
        ck_assert_int_eq(clfavor_reference_exact(&args), CLFAVOR_INVALID_ARGUMENT);
    }
    ck_assert_int_eq(clfavor_reference_features(three, 2, 0, q, phi, sign), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_reference_features(three, 3, 0, q, phi, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(NULL, 0, 0, q, phi, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(three, 0, 0, NULL, phi, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(three, 0, 0, q, NULL, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(three, 0, 0, q, phi, NULL), CLFAVOR_INVALID_ARGUMENT);
    clfavor_estimator_destroy(one);
    clfavor_estimator_destroy(three);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("reference_edges");
    TCase *tcase = tcase_create("reference_edges");
    tcase_add_loop_test(tcase, hand_computed, 0, (int)(sizeof known / sizeof *known));
    tcase_add_loop_test(tcase, equal_keys_give_running_means, 0, CLFAVOR_MAP_EXPONENTIAL);
    tcase_add_loop_test(tcase, rows_are_convex_and_ignore_the_order_of_keys, 0, 4);
    tcase_add_test(tcase, exponents_beyond_exp);
    tcase_add_loop_test(tcase, features_of_zero_add_nothing, 0, 2);
    tcase_add_loop_test(tcase, nan_reaches_the_rows_that_see_it_and_no_other, 0, 2 * (EXACT + 1));
    tcase_add_loop_test(tcase, nan_reaches_features, 0, CLFAVOR_MAP_EXPONENTIAL);
    tcase_add_loop_test(tcase, causal_rows_are_prefixes, 0, CLFAVOR_MAP_EXPONENTIAL);
    tcase_add_test(tcase, arguments);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
