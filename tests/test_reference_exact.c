/* Exact attention of the double reference against softmax in long double. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static double *normals(uint64_t seed, uint64_t count, double sigma) {
    double *values = test_alloc(count, sizeof *values);
    for (uint64_t i = 0; i < count; ++i)
        values[i] = sigma * test_normal(seed, i);
    return values;
}

static const struct problem {
    uint32_t d, dv, causal;
    uint64_t batch, heads, heads_kv, n, n_k;
    double scale, sigma; /* of the softmax; of q and k */
} problems[] = {
    {3, 2, 0, 2, 2, 2, 7, 7, 0.5, 1},     {3, 2, 1, 2, 2, 2, 7, 7, 0.5, 1},     {3, 4, 0, 2, 4, 2, 5, 9, 0, 1},
    {4, 3, 0, 2, 4, 1, 9, 5, 0.6, 1},     {1, 1, 0, 1, 1, 1, 1, 1, 0, 1},       {1, 1, 1, 1, 3, 1, 4, 4, 0, 1},
    {60, 33, 1, 1, 2, 1, 40, 40, 0, 1},   {8, 2, 0, 1, 1, 1, 24, 24, 0.35, 30}, /* logits of some -1000 to 1000 */
    {8, 2, 1, 1, 1, 1, 24, 24, 0.35, 30},
};

/* No maximum here. A logit is off by at most eps times its d products' magnitude times their d + 8 roundings, which is
 * the relative error of its weight; the sums add n_k additions each. */
START_TEST(exact_is_softmax) {
    const struct problem *p = &problems[_i];
    uint64_t tokens = p->batch * p->heads_kv * p->n_k;
    double *q = normals(1, p->batch * p->heads * p->n * p->d, p->sigma), *k = normals(2, tokens * p->d, p->sigma),
           *v = normals(3, tokens * p->dv, 1);
    size_t rows = (size_t)(p->batch * p->heads * p->n);
    double *o = test_alloc(rows * p->dv, sizeof *o), *lse = test_alloc(3 * rows, sizeof *lse);
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .batch = p->batch,
                                   .heads = p->heads,
                                   .heads_kv = p->heads_kv,
                                   .n = p->n,
                                   .n_k = p->n_k,
                                   .dim = p->d,
                                   .value_dim = p->dv,
                                   .causal = p->causal,
                                   .scale = p->scale,
                                   .q = q,
                                   .k = k,
                                   .v = v,
                                   .o = o,
                                   .lse = lse,
                                   .sign = lse + rows,
                                   .abs_sum = lse + 2 * rows};
    ck_assert_int_eq(clfavor_reference_exact(&args), CLFAVOR_SUCCESS);
    const long double scale = p->scale > 0 ? p->scale : 1 / sqrtl(p->d);
    for (size_t row = 0; row < rows; ++row) {
        size_t i = row % p->n, head = row / p->n % p->heads, batch = row / p->n / p->heads;
        size_t kv = (batch * p->heads_kv + head / (p->heads / p->heads_kv)) * p->n_k;
        long double sum = 0, top[CLFAVOR_MAX_DIM] = {0}, size = 1, v_max = 0;
        for (size_t j = kv; j < kv + (p->causal ? i + 1 : p->n_k); ++j) {
            long double logit = 0, reach = 0;
            for (size_t l = 0; l < p->d; ++l) {
                long double product = scale * q[row * p->d + l] * k[j * p->d + l];
                logit += product;
                reach += fabsl(product);
            }
            size = fmaxl(size, reach);
            sum += expl(logit);
            for (size_t l = 0; l < p->dv; ++l) {
                top[l] += expl(logit) * v[j * p->dv + l];
                v_max = fmaxl(v_max, fabsl(v[j * p->dv + l]));
            }
        }
        double tolerance = (double)(DBL_EPSILON * ((p->d + 8) * size + 2 * (long double)p->n_k));
        ck_assert_double_eq_tol(lse[row], sum > 0 ? (double)logl(sum) : -INFINITY, tolerance);
        ck_assert_double_eq(lse[rows + row], 1);
        ck_assert_double_eq(lse[2 * rows + row], lse[row]);
        for (size_t l = 0; l < p->dv; ++l)
            ck_assert_double_eq_tol(o[row * p->dv + l], (double)(top[l] / sum), 2 * tolerance * (double)v_max);
    }
    free(q);
    free(k);
    free(v);
    free(o);
    free(lse);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("reference_exact");
    TCase *tcase = tcase_create("reference_exact");
    tcase_add_loop_test(tcase, exact_is_softmax, 0, (int)(sizeof problems / sizeof *problems));
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
