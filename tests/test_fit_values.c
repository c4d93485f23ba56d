/* Corrections of the values, on smooth synthetic queries: what a ridge regression must do, in the double reference (the
 * kernels are compared with that in test_exact_keys.c). */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define D  8
#define DV 4

typedef struct problem {
    uint64_t n, n_k, heads, heads_kv;
    float *q, *k, *v;
    clfavor_projection *projection;
    clfavor_estimator *estimator;
    uint32_t sets;
} problem;

/* Norms of about 2.5, where plain features of few rows are far off. */
static problem create(uint64_t heads, uint64_t heads_kv, uint64_t n, uint64_t n_k, uint32_t m, uint32_t sets) {
    problem p = {.n = n, .n_k = n_k, .heads = heads, .heads_kv = heads_kv, .sets = sets};
    p.q = test_normals(81, (size_t)(heads * n) * D, 1.5);
    p.k = test_normals(82, (size_t)(heads_kv * n_k) * D, 1.5);
    p.v = test_normals(83, (size_t)(heads_kv * n_k) * DV, 1.0);
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = m, .dim = D, .sets = sets, .seed = 84};
    ck_assert_int_eq(clfavor_projection_create(&p.projection, &w), CLFAVOR_SUCCESS);
    clfavor_estimator_desc desc = {.struct_size = sizeof desc, .projection = p.projection};
    ck_assert_int_eq(clfavor_estimator_create(&p.estimator, &desc), CLFAVOR_SUCCESS);
    return p;
}

static void destroy(problem *p) {
    free(p->q);
    free(p->k);
    free(p->v);
    clfavor_projection_destroy(p->projection);
    clfavor_estimator_destroy(p->estimator);
}

static clfavor_fit_desc desc_of(const problem *p, uint32_t exact) {
    return (clfavor_fit_desc){.struct_size = sizeof(clfavor_fit_desc),
                              .dim = D,
                              .value_dim = DV,
                              .heads = p->heads,
                              .heads_kv = p->heads_kv,
                              .n = p->n,
                              .n_k = p->n_k,
                              .q = p->q,
                              .k = p->k,
                              .v = p->v,
                              .exact_keys = exact,
                              .seed = 3};
}

/* O and lse [H, n, ..] with or without corrections; exact attention without an estimator. */
static void attend(const problem *p, bool exact, const uint32_t *keys, uint32_t count, const float *b, double *o,
                   double *lse) {
    double *q = test_doubles(p->q, (size_t)(p->heads * p->n) * D),
           *k = test_doubles(p->k, (size_t)(p->heads_kv * p->n_k) * D);
    double *v = test_doubles(p->v, (size_t)(p->heads_kv * p->n_k) * DV);
    clfavor_reference_args args = {.struct_size = sizeof args,
                                   .heads = p->heads,
                                   .heads_kv = p->heads_kv,
                                   .n = p->n,
                                   .n_k = p->n_k,
                                   .dim = D,
                                   .value_dim = DV,
                                   .q = q,
                                   .k = k,
                                   .v = v,
                                   .o = o,
                                   .lse = lse,
                                   .exact_keys = exact ? NULL : keys,
                                   .exact_count = exact ? 0 : count,
                                   .corrections = exact ? NULL : b};
    ck_assert_int_eq(exact ? clfavor_reference_exact(&args) : clfavor_reference_attention(p->estimator, &args),
                     CLFAVOR_SUCCESS);
    free(q);
    free(k);
    free(v);
}

static double error_of(const double *o, const double *e, size_t count) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; ++i) {
        difference += (o[i] - e[i]) * (o[i] - e[i]);
        size += e[i] * e[i];
    }
    return sqrt(difference / size);
}

/* Fitted on half of the queries or fewer, judged on all: less error, the same lse; with exact keys too, for grouped
 * heads and for a set of weights for each of them. */
START_TEST(less_error_same_lse) {
    enum { HEADS = 2, N = 400, KEYS = 90, M = 24 };
    const uint32_t exact = _i % 2 ? 6 : 0, sets = _i < 2 ? 1 : HEADS;
    problem p = create(HEADS, _i < 4 ? 1 : HEADS, N, KEYS, M, sets);
    uint64_t states = sets > p.heads_kv ? sets : p.heads_kv;
    uint32_t keys[2 * 6] = {3, 17, 80, 80, UINT32_MAX, 5, 1, 2, 3, 4, 5, 6};
    size_t rows = HEADS * N, count = (size_t)states * (M + exact) * DV;
    double *o = test_alloc(3 * rows * DV, sizeof *o), *lse = test_alloc(2 * rows, sizeof *lse);
    double *e = o + rows * DV, *corrected = e + rows * DV;
    float *b = test_alloc(count, sizeof *b), *again = test_alloc(count, sizeof *again);
    clfavor_fit_desc desc = desc_of(&p, exact);
    desc.sample_queries = 100;
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, exact ? keys : NULL, b), CLFAVOR_SUCCESS);
    desc.threads = 4;
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, exact ? keys : NULL, again), CLFAVOR_SUCCESS);
    ck_assert_mem_eq(b, again, count * sizeof *b);
    attend(&p, true, NULL, 0, NULL, e, NULL);
    attend(&p, false, exact ? keys : NULL, exact, NULL, o, lse);
    attend(&p, false, exact ? keys : NULL, exact, b, corrected, lse + rows);
    ck_assert_mem_eq(lse, lse + rows, rows * sizeof *lse);
    double before = error_of(o, e, rows * DV), after = error_of(corrected, e, rows * DV);
    ck_assert_msg(after < 0.9 * before, "the error goes from %g to %g only", before, after);
    free(o);
    free(lse);
    free(b);
    free(again);
    destroy(&p);
}
END_TEST

/* Nothing is missing where every key is exact, or where all values are the same. */
START_TEST(nothing_to_correct) {
    enum { KEYS = 20, M = 5 };
    problem p = create(1, 1, 50, KEYS, M, 1);
    uint32_t keys[KEYS], exact = _i ? 0 : KEYS;
    float b[(M + KEYS) * DV];
    for (uint32_t i = 0; i < KEYS; ++i)
        keys[i] = i;
    for (size_t i = 0; _i && i < KEYS * DV; ++i)
        p.v[i] = 0.7F;
    clfavor_fit_desc desc = desc_of(&p, exact);
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, exact ? keys : NULL, b), CLFAVOR_SUCCESS);
    for (size_t i = 0; i < (M + exact) * DV; ++i)
        ck_assert_float_le(fabsf(b[i]), 1e-9F);
    destroy(&p);
}
END_TEST

/* More samples asked for than there are queries, and more rows than queries: nothing gets worse. */
START_TEST(few_queries) {
    problem p = create(1, 1, 6, 40, 24, 1);
    float b[24 * DV];
    double e[6 * DV], o[6 * DV], corrected[6 * DV];
    clfavor_fit_desc desc = desc_of(&p, 0);
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, NULL, b), CLFAVOR_SUCCESS);
    attend(&p, true, NULL, 0, NULL, e, NULL);
    attend(&p, false, NULL, 0, NULL, o, NULL);
    attend(&p, false, NULL, 0, b, corrected, NULL);
    ck_assert_double_le(error_of(corrected, e, 6 * DV), error_of(o, e, 6 * DV) + 1e-9);
    destroy(&p);
}
END_TEST

START_TEST(refusals) {
    problem p = create(2, 2, 30, 20, 5, 1);
    float b[2 * 5 * DV];
    clfavor_fit_desc desc = desc_of(&p, 0);
    ck_assert_int_eq(clfavor_fit_values(NULL, p.estimator, NULL, b), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_fit_values(&desc, NULL, NULL, b), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, NULL, NULL), CLFAVOR_INVALID_ARGUMENT);
    desc.exact_keys = 2;
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, NULL, b), CLFAVOR_INVALID_ARGUMENT);
    desc = desc_of(&p, 0);
    desc.v = NULL;
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, NULL, b), CLFAVOR_INVALID_ARGUMENT);
    desc = desc_of(&p, 0);
    desc.dim = 4;
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, NULL, b), CLFAVOR_MISMATCH);
    desc = desc_of(&p, 0);
    p.k[7] = NAN;
    ck_assert_int_eq(clfavor_fit_values(&desc, p.estimator, NULL, b), CLFAVOR_NOT_FINITE);
    clfavor_estimator_desc other = {.struct_size = sizeof other, .map = CLFAVOR_MAP_RELU, .projection = p.projection};
    clfavor_estimator *relu;
    ck_assert_int_eq(clfavor_estimator_create(&relu, &other), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_fit_values(&desc, relu, NULL, b), CLFAVOR_UNSUPPORTED);
    clfavor_estimator_destroy(relu);
    destroy(&p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fit_values");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, less_error_same_lse, 0, 6);
    tcase_add_loop_test(tcase, nothing_to_correct, 0, 2);
    tcase_add_test(tcase, few_queries);
    tcase_add_test(tcase, refusals);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
