#include "support_exact_keys.h"

#include <math.h>
#include <stdlib.h>

test_inputs test_positive_inputs(const test_case *c) {
    test_inputs in = test_inputs_create(c);
    for (size_t i = 0; i < in.v_count; ++i)
        in.v[i] = fabsf(in.v[i]);
    return in;
}

static double norm(const double *x, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i)
        sum += x[i] * x[i];
    return sqrt(sum);
}

double test_largest_norm(const float *rows, size_t count, size_t d) {
    double worst = 0;
    for (size_t i = 0; i < count; i += d) {
        double sum = 0;
        for (size_t l = 0; l < d; ++l)
            sum += (double)rows[i + l] * (double)rows[i + l];
        worst = fmax(worst, sqrt(sum));
    }
    return worst;
}

test_general test_general_create(uint32_t m, uint32_t d, uint32_t sets) {
    test_general g = {.w = test_alloc(sets * m * d, sizeof(double)),
                      .t = test_alloc(sets * d * d, sizeof(double)),
                      .small = test_alloc(sets * (m + d), sizeof(double))};
    for (size_t i = 0; i < sets * m * d; ++i)
        g.w[i] = test_normal(31, i);
    for (size_t i = 0; i < sets * d * d; ++i)
        g.t[i] = (i % d == i / d % d) + 0.05 * test_normal(32, i);
    for (size_t i = 0; i < sets * (m + d); ++i)
        g.small[i] = 0.1 * test_normal(33, i);
    g.desc = (clfavor_exponential_desc){.struct_size = sizeof g.desc,
                                        .features = m,
                                        .dim = d,
                                        .sets = sets,
                                        .scale = 0.4,
                                        .wq = g.w,
                                        .bq = g.small,
                                        .bk = g.small,
                                        .tq = g.t,
                                        .tk = g.t,
                                        .x0 = g.small,
                                        .y0 = g.small,
                                        .uq = g.small,
                                        .uk = g.small,
                                        .aq = g.small,
                                        .ak = g.small};
    return g;
}

void test_general_free(test_general *g) {
    free(g->w);
    free(g->t);
    free(g->small);
}

/* Tolerance. With W, X, .. the largest Euclidean norms, an exponent of a feature is the sum of terms that are together
 * at most S = W X + B + (T (X + X0))^2 + U (X + X0) + A for its side, T by Frobenius (X includes the root of the
 * scale); one of an exact key takes x.y <= X Y and the query's scalar. Sums of d products are right to eps (sqrt(d) +
 * 2) times these (test_exponential.c), so a weight is relatively off by at most t = eps (16 + (sqrt(d) + 2)(S_q + S_k +
 * X Y)), 16 for exp2, log2 and sums. V is positive: |O - O'| <= 2 t |O|, and lse is off by at most t + eps |lse|. */
double test_exact_keys_tolerance(const test_case *c, const test_general *g, const test_inputs *in) {
    size_t d = c->d;
    double root = sqrt(c->map == CLFAVOR_MAP_EXPONENTIAL ? g->desc.scale : 1 / sqrt((double)d));
    double x = root * test_largest_norm(in->q, in->q_count, d), y = root * test_largest_norm(in->k, in->k_count, d);
    double w = sqrt((double)d) + 5; /* a chi(d) norm exceeds it once in 10^5 rows; the maximum is what matters */
    double q = x * w + x * x, k = y * w + y * y;
    if (c->map == CLFAVOR_MAP_EXPONENTIAL) {
        double small = 0.1 * 5 * sqrt((double)d), t = norm(g->t, d * d) * 1.5;
        q = x * w + small + pow(t * (x + small), 2) + small * (x + small) + small;
        k = y * w + small + pow(t * (y + small), 2) + small * (y + small) + small;
    }
    return 0x1p-24 * (16 + (sqrt((double)d) + 2) * (q + k + x * y));
}

void test_expect_close(const test_case *c, clfavor_device_class device_class, const test_outputs *outputs,
                       const test_reference *reference, double t) {
    size_t skipped;
    double error = test_case_error(c, outputs, reference, &skipped);
    ck_assert_msg(error <= 2 * t, "%s: error %.3g exceeds %.3g", test_case_name(c, device_class), error, 2 * t);
    for (size_t i = 0; i < outputs->rows; ++i) {
        double difference = fabs((double)outputs->lse[i] - reference->lse[i]);
        ck_assert_msg(difference <= t + 0x1p-24 * fabs(reference->lse[i]), "%s: lse[%zu] is %.9g, not %.9g",
                      test_case_name(c, device_class), i, (double)outputs->lse[i], reference->lse[i]);
        ck_assert_msg(outputs->sign[i] == 1.0F, "%s: sign[%zu]", test_case_name(c, device_class), i);
    }
}

uint32_t *test_choose_keys(const test_case *c, uint32_t count) {
    uint64_t states = c->sets > c->heads_kv ? c->sets : c->heads_kv, rows = c->batch * states;
    uint32_t *keys = test_alloc((size_t)rows * count, sizeof *keys);
    for (size_t i = 0; i < rows * count; ++i)
        keys[i] = (uint32_t)(test_uniform(34, i) * (double)c->n_k);
    for (size_t row = 0; row < rows && count > 6; ++row) {
        uint32_t *own = keys + row * count;
        own[0] = (uint32_t)c->n_k - 1;
        own[1] = 0;
        own[2] = TEST_NO_KEY;
        own[4] = own[3];
        own[count - 1] = (uint32_t)c->n_k;
    }
    return keys;
}
