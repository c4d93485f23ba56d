/* The double reference against the formulas of clfavor.h, kernel value by kernel value: A_ij, then sums over j.
 *
 * Both sides are double. A value is a sum of m terms whose exponents are of size 10 at most, so it is off by some
 * 10 + m roundings of its largest terms: 1e-13 times the cancellation sum|terms| / |sum| leaves a factor of ten. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, H = 4, H_KV = 2, N = 5, N_K = 7, D = 3, DV = 2, M = 6 };

typedef struct problem {
    double q[B * H * N * D], k[B * H_KV * N_K * D], v[B * H_KV * N_K * DV];
    double o[B * H * N * DV], lse[B * H * N], sign[B * H * N], abs_sum[B * H * N];
    clfavor_reference_args args;
} problem;

static void fill(double *values, size_t count, uint64_t seed) {
    for (size_t i = 0; i < count; ++i)
        values[i] = test_normal(seed, i);
}

static problem *problem_create(bool causal) {
    problem *p = test_alloc(1, sizeof *p);
    fill(p->q, B * H * N * D, 71);
    fill(p->k, B * H_KV * N_K * D, 72);
    fill(p->v, B * H_KV * N_K * DV, 73);
    p->args = (clfavor_reference_args){.struct_size = sizeof p->args,
                                       .batch = B,
                                       .heads = H,
                                       .heads_kv = H_KV,
                                       .n = N,
                                       .n_k = causal ? N : N_K,
                                       .dim = D,
                                       .value_dim = DV,
                                       .causal = causal,
                                       .q = p->q,
                                       .k = p->k,
                                       .v = p->v,
                                       .o = p->o,
                                       .lse = p->lse,
                                       .sign = p->sign,
                                       .abs_sum = p->abs_sum};
    return p;
}

static double dot(const double *a, const double *b) {
    double sum = 0;
    for (int l = 0; l < D; ++l)
        sum += a[l] * b[l];
    return sum;
}

static double elu1(double t) {
    return t > 0 ? t + 1 : exp(t);
}

/* A_ij for unscaled q, k by the definition of the map; *size: the same with the magnitude of each product of features.
 */
static double kernel(clfavor_map map, const double *w, const double *phases, double scale, const double *q,
                     const double *k, double *size) {
    double x[D], y[D], z[D], sum = 0;
    *size = 0;
    for (int l = 0; l < D; ++l) {
        x[l] = q[l] * sqrt(scale);
        y[l] = k[l] * sqrt(scale);
        z[l] = x[l] - y[l];
    }
    if (map == CLFAVOR_MAP_ELU) {
        for (int l = 0; l < D; ++l)
            sum += elu1(q[l]) * elu1(k[l]);
        *size = sum;
        return sum;
    }
    double norms = (dot(x, x) + dot(y, y)) / 2;
    for (int r = 0; r < M; ++r) {
        double wx = dot(w + r * D, x), wy = dot(w + r * D, y), b = phases[r];
        switch (map) {
        case CLFAVOR_MAP_POSITIVE:
            sum += exp(wx + wy - norms);
            *size += exp(wx + wy - norms);
            break;
        case CLFAVOR_MAP_HYPERBOLIC:
            sum += (exp(wx + wy - norms) + exp(-wx - wy - norms)) / 2;
            *size += (exp(wx + wy - norms) + exp(-wx - wy - norms)) / 2;
            break;
        case CLFAVOR_MAP_TRIG:
            sum += exp(norms) * cos(dot(w + r * D, z));
            *size += exp(norms) * (fabs(cos(wx) * cos(wy)) + fabs(sin(wx) * sin(wy)));
            break;
        case CLFAVOR_MAP_TRIG_PHASE:
            sum += exp(norms) * 2 * cos(wx + b) * cos(wy + b);
            *size += exp(norms) * 2 * fabs(cos(wx + b) * cos(wy + b));
            break;
        case CLFAVOR_MAP_GAUSSIAN:
            sum += cos(dot(w + r * D, z));
            *size += fabs(cos(wx + b) * cos(wy + b)) + fabs(sin(wx + b) * sin(wy + b));
            break;
        default:
            sum += fmax(wx, 0) * fmax(wy, 0);
            *size += fmax(wx, 0) * fmax(wy, 0);
        }
    }
    *size /= M;
    return sum / M;
}

/* Compares one row with what its kernel values give. */
static void check_row(const problem *p, size_t row, const double *values, const double *sizes, size_t seen,
                      const double *v) {
    double sum = 0, size = 0, o[DV] = {0}, spread[DV] = {0};
    for (size_t j = 0; j < seen; ++j) {
        sum += values[j];
        size += sizes[j];
        for (int l = 0; l < DV; ++l) {
            o[l] += values[j] * v[j * DV + (size_t)l];
            spread[l] += sizes[j] * fabs(v[j * DV + (size_t)l]);
        }
    }
    ck_assert_double_eq(p->sign[row], sum > 0 ? 1 : sum < 0 ? -1 : 0);
    if (size == 0) {
        ck_assert(p->lse[row] == -(double)INFINITY && p->abs_sum[row] == -(double)INFINITY);
        ck_assert_double_eq(p->o[row * DV], 0);
        return;
    }
    double cancellation = size / fabs(sum);
    ck_assert_double_le(fabs(p->lse[row] - log(fabs(sum))), 1e-13 * cancellation);
    ck_assert_double_le(fabs(p->abs_sum[row] - log(size)), 1e-13);
    for (int l = 0; l < DV; ++l) /* errors of the numerator, and of the denominator */
        ck_assert_double_le(fabs(p->o[row * DV + (size_t)l] - o[l] / sum),
                            1e-13 * (spread[l] + fabs(o[l]) * cancellation) / fabs(sum));
}

static const size_t set_counts[] = {1, H_KV, H};

START_TEST(attention_is_the_sum_of_kernel_values) {
    clfavor_map map = (clfavor_map)(_i / 2);
    problem *p = problem_create(_i % 2);
    for (size_t s = 0; s < (map == CLFAVOR_MAP_ELU ? 1 : 3); ++s) {
        size_t sets = set_counts[s];
        const clfavor_projection_desc projection_desc = {
            .struct_size = sizeof projection_desc, .features = M, .dim = D, .sets = (uint32_t)sets, .seed = 74};
        clfavor_projection *projection;
        ck_assert_int_eq(clfavor_projection_create(&projection, &projection_desc), CLFAVOR_SUCCESS);
        const clfavor_estimator_desc desc = {.struct_size = sizeof desc,
                                             .map = map,
                                             .projection = map == CLFAVOR_MAP_ELU ? NULL : projection,
                                             .dim = D,
                                             .scale = 0.6};
        clfavor_estimator *estimator;
        ck_assert_int_eq(clfavor_estimator_create(&estimator, &desc), CLFAVOR_SUCCESS);
        ck_assert_int_eq(clfavor_reference_attention(estimator, &p->args), CLFAVOR_SUCCESS);
        for (size_t row = 0; row < B * H * N; ++row) {
            size_t i = row % N, head = row / N % H, batch = row / N / H, kv = batch * H_KV + head * H_KV / H;
            size_t set = sets == 1 ? 0 : sets == H ? head : head * H_KV / H, n_k = p->args.n_k;
            double values[N_K], sizes[N_K];
            for (size_t j = 0; j < n_k; ++j)
                values[j] = kernel(map, clfavor_projection_data(projection) + set * M * D,
                                   clfavor_projection_phases(projection) + set * M, desc.scale, p->q + row * D,
                                   p->k + (kv * n_k + j) * D, &sizes[j]);
            check_row(p, row, values, sizes, p->args.causal ? i + 1 : n_k, p->v + kv * n_k * DV);
        }
        clfavor_estimator_destroy(estimator);
        clfavor_projection_destroy(projection);
    }
    free(p);
}
END_TEST

START_TEST(exact_is_the_softmax) {
    problem *p = problem_create(_i);
    for (int own_scale = 0; own_scale < 2; ++own_scale) {
        p->args.scale = own_scale ? 0.3 : 0;
        ck_assert_int_eq(clfavor_reference_exact(&p->args), CLFAVOR_SUCCESS);
        for (size_t row = 0; row < B * H * N; ++row) {
            size_t i = row % N, head = row / N % H, batch = row / N / H, kv = batch * H_KV + head * H_KV / H;
            size_t n_k = p->args.n_k;
            double values[N_K];
            for (size_t j = 0; j < n_k; ++j)
                values[j] = exp(dot(p->q + row * D, p->k + (kv * n_k + j) * D) * (own_scale ? 0.3 : 1 / sqrt(D)));
            check_row(p, row, values, values, p->args.causal ? i + 1 : n_k, p->v + kv * n_k * DV);
        }
    }
    free(p);
}
END_TEST

START_TEST(large_logits_do_not_overflow) {
    problem *p = problem_create(false);
    for (size_t i = 0; i < B * H * N * D; ++i)
        p->q[i] *= 1e3;
    ck_assert_int_eq(clfavor_reference_exact(&p->args), CLFAVOR_SUCCESS);
    for (size_t row = 0; row < B * H * N; ++row)
        ck_assert(isfinite(p->lse[row]) && isfinite(p->o[row * DV]));
    free(p);
}
END_TEST

/* Either function refuses the same; sizes as they come from the caller. */
static void expect_both(const clfavor_estimator *estimator, const clfavor_reference_args *args, clfavor_status status) {
    ck_assert_int_eq(clfavor_reference_attention(estimator, args), status);
    ck_assert_int_eq(clfavor_reference_exact(args), status);
}

START_TEST(bad_arguments) {
    problem *p = problem_create(false);
    const clfavor_estimator_desc desc = {.struct_size = sizeof desc, .map = CLFAVOR_MAP_ELU, .dim = D};
    clfavor_estimator_desc other_desc = desc;
    other_desc.dim = D + 1;
    clfavor_estimator *e, *other;
    ck_assert_int_eq(clfavor_estimator_create(&e, &desc), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_estimator_create(&other, &other_desc), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_reference_attention(NULL, &p->args), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_attention(other, &p->args), CLFAVOR_MISMATCH);
    expect_both(e, NULL, CLFAVOR_INVALID_ARGUMENT);
#define BAD(status, change)                                                                                            \
    do {                                                                                                               \
        clfavor_reference_args args = p->args;                                                                         \
        change;                                                                                                        \
        expect_both(e, &args, CLFAVOR_##status);                                                                       \
    } while (0)
    BAD(INVALID_ARGUMENT, args.struct_size = 7);
    BAD(INVALID_ARGUMENT, args.q = NULL);
    BAD(INVALID_ARGUMENT, args.k = NULL);
    BAD(INVALID_ARGUMENT, args.v = NULL);
    BAD(INVALID_ARGUMENT, args.causal = 2);
    BAD(INVALID_SHAPE, args.causal = 1); /* n differs from n_k */
    BAD(INVALID_SHAPE, args.n = 0);
    BAD(INVALID_SHAPE, args.dim = 0);
    BAD(INVALID_SHAPE, args.dim = CLFAVOR_MAX_DIM + 1);
    BAD(INVALID_SHAPE, args.value_dim = CLFAVOR_MAX_DIM + 1);
    BAD(INVALID_SHAPE, args.heads_kv = 3);
    BAD(INVALID_SHAPE, args.heads_kv = 8);
    clfavor_reference_args args = p->args;
    args.scale = -1;
    ck_assert_int_eq(clfavor_reference_exact(&args), CLFAVOR_INVALID_ARGUMENT);

    args = p->args; /* every output is optional */
    args.o = args.lse = args.sign = args.abs_sum = NULL;
    expect_both(e, &args, CLFAVOR_SUCCESS);

    double x[D] = {0}, log_abs[D], sign[D];
    ck_assert_int_eq(clfavor_reference_features(NULL, 0, 0, x, log_abs, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(e, 1, 0, x, log_abs, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(e, 0, 0, NULL, log_abs, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(e, 0, 0, x, NULL, sign), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(e, 0, 0, x, log_abs, NULL), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_reference_features(e, 0, 0, x, log_abs, sign), CLFAVOR_SUCCESS);
    for (int l = 0; l < D; ++l)
        ck_assert(log_abs[l] == 0 && sign[l] == 1); /* elu(0) + 1 */
    clfavor_estimator_destroy(e);
    clfavor_estimator_destroy(other);
    free(p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("reference");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, attention_is_the_sum_of_kernel_values, 0, 2 * CLFAVOR_MAP_EXPONENTIAL);
    tcase_add_loop_test(tcase, exact_is_the_softmax, 0, 2);
    tcase_add_test(tcase, large_logits_do_not_overflow);
    tcase_add_test(tcase, bad_arguments);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
