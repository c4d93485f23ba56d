/* The general exponential estimator with every field in use, on both classes against the double reference.
 *
 * The fields hold an estimator that is unbiased by construction (docs/theory.md, section 1): rows from a wider, shifted
 * normal law with their log-weights in b (OPRF, key shift), a balancing matrix P in wq, tq and its inverse transposed
 * in wk, tk, and centres x0, y0 whose effect u and a take back.
 *
 * Tolerance. An exponent is e = w.x + b - |T (x - x0)|^2/2 + u.(x - x0) + a. With Y_i = sum_l |T_il| (|x_l| + |x0_l|),
 * the rounding of a sum of d products is about eps sqrt(d) times the sum of their magnitudes, that of the packed values
 * 2 eps times, and y_i^2/2 turns an error of eps Y_i into one of eps Y_i^2. So e is off by at most
 *     eps (sqrt(d) + 2) S,  S = sum |w_l x_l| + |b| + sum_i Y_i^2 + sum_l |u_l| (|x_l| + |x0_l|) + |a|,
 * and a product of two features relatively by t = eps (16 + (sqrt(d) + 2)(S_q + S_k)), 16 for exp2, log2 and sums. V is
 * positive, so no row of O cancels and |O - O'| <= 2 t |O|; lse is off by at most t + eps |lse|. */
#include "support_attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_D 16

static test_device device;
static clfavor_context *contexts[2];
static const clfavor_device_class classes[2] = {CLFAVOR_CLASS_CPU, CLFAVOR_CLASS_GPU};

static void setup(void) {
    test_open(&device);
    for (int i = 0; i < 2; ++i)
        contexts[i] = test_context(&device, classes[i]);
}
static void teardown(void) {
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
    test_close(&device);
}

enum { WQ, WK, BQ, BK, TQ, TK, X0, Y0, UQ, UK, AQ, AK, FIELDS };

typedef struct general {
    double *fields[FIELDS];
    clfavor_exponential_desc desc;
} general;

static void point(general *g) {
    double **f = g->fields;
    clfavor_exponential_desc *d = &g->desc;
    d->wq = f[WQ], d->wk = f[WK], d->bq = f[BQ], d->bk = f[BK], d->tq = f[TQ], d->tk = f[TK];
    d->x0 = f[X0], d->y0 = f[Y0], d->uq = f[UQ], d->uk = f[UK], d->aq = f[AQ], d->ak = f[AK];
}

/* -|T x|^2/2 = -|T (x - x0)|^2/2 - (T'T x0).(x - x0) - |T x0|^2/2 */
static void centre(const double *t, const double *x0, size_t d, double *u, double *a) {
    double tx0[MAX_D];
    *a = 0;
    for (size_t i = 0; i < d; ++i) {
        tx0[i] = 0;
        for (size_t l = 0; l < d; ++l)
            tx0[i] += t[i * d + l] * x0[l];
        *a -= tx0[i] * tx0[i] / 2;
    }
    for (size_t l = 0; l < d; ++l) {
        u[l] = 0;
        for (size_t i = 0; i < d; ++i)
            u[l] -= t[i * d + l] * tx0[i];
    }
}

/* w' P and w' P^-T */
static void transform(const double *w, const double *t, size_t d, double *out) {
    for (size_t l = 0; l < d; ++l) {
        out[l] = 0;
        for (size_t i = 0; i < d; ++i)
            out[l] += w[i] * t[i * d + l];
    }
}

static void fill_set(general *g, size_t set, uint64_t seed) {
    size_t d = g->desc.dim, m = g->desc.features;
    double *t[2] = {g->fields[TQ] + set * d * d, g->fields[TK] + set * d * d};
    /* P = D (I + h e_0 e_last'), P^-T = D^-1 (I - h e_last e_0') */
    double h = d > 1 ? 0.4 : 0.0, widen = 1.1 + 0.05 * (double)set;
    for (size_t l = 0; l < d; ++l) {
        double diagonal = 0.8 + 0.4 * test_uniform(seed, l);
        t[0][l * d + l] = diagonal;
        t[1][l * d + l] = 1 / diagonal;
    }
    t[0][d - 1] += h * t[0][0];
    t[1][(d - 1) * d] -= h * t[1][d * d - 1];
    for (size_t r = 0; r < m; ++r) {
        double w[MAX_D], log_weight = (double)d * log(widen);
        for (size_t l = 0; l < d; ++l) {
            double z = test_normal(seed + 1, r * d + l), shift = 0.3 * test_normal(seed + 2, l);
            w[l] = widen * z + shift;
            log_weight += (z * z - w[l] * w[l]) / 2;
        }
        transform(w, t[0], d, g->fields[WQ] + (set * m + r) * d);
        transform(w, t[1], d, g->fields[WK] + (set * m + r) * d);
        g->fields[BQ][set * m + r] = 0.7 * log_weight; /* the product counts, so the sides need not be equal */
        g->fields[BK][set * m + r] = 0.3 * log_weight;
    }
    for (size_t l = 0; l < d; ++l) {
        g->fields[X0][set * d + l] = 0.5 * test_normal(seed + 3, l);
        g->fields[Y0][set * d + l] = 0.5 * test_normal(seed + 4, l);
    }
    centre(t[0], g->fields[X0] + set * d, d, g->fields[UQ] + set * d, g->fields[AQ] + set);
    centre(t[1], g->fields[Y0] + set * d, d, g->fields[UK] + set * d, g->fields[AK] + set);
}

static general general_create(uint32_t m, uint32_t d, uint32_t sets, uint64_t seed) {
    general g = {.desc = {.struct_size = sizeof g.desc, .features = m, .dim = d, .sets = sets, .scale = 0.4}};
    const size_t counts[FIELDS] = {m * d, m * d, m, m, d * d, d * d, d, d, d, d, 1, 1};
    for (size_t i = 0; i < FIELDS; ++i)
        g.fields[i] = test_alloc(sets * counts[i], sizeof(double));
    for (size_t set = 0; set < sets; ++set)
        fill_set(&g, set, seed + 10 * set);
    point(&g);
    return g;
}

static void general_free(general *g) {
    for (size_t i = 0; i < FIELDS; ++i)
        free(g->fields[i]);
}

/* The largest S of one side over all sets, rows and tokens. */
static double magnitude(const general *g, bool key, const float *tokens, size_t count) {
    size_t d = g->desc.dim, m = g->desc.features;
    double root = sqrt(g->desc.scale), worst = 0;
    for (size_t set = 0; set < g->desc.sets; ++set) {
        const double *t = g->fields[key ? TK : TQ] + set * d * d, *x0 = g->fields[key ? Y0 : X0] + set * d;
        const double *u = g->fields[key ? UK : UQ] + set * d;
        for (size_t i = 0; i < count; ++i) {
            const float *raw = tokens + i * d;
            double scalar = fabs(g->fields[key ? AK : AQ][set]), rows = 0;
            for (size_t l = 0; l < d; ++l) {
                double y = 0;
                for (size_t j = 0; j < d; ++j)
                    y += fabs(t[l * d + j]) * (fabs((double)raw[j]) * root + fabs(x0[j]));
                scalar += y * y + fabs(u[l]) * (fabs((double)raw[l]) * root + fabs(x0[l]));
            }
            for (size_t r = set * m; r < (set + 1) * m; ++r) {
                double sum = fabs(g->fields[key ? BK : BQ][r]);
                for (size_t l = 0; l < d; ++l)
                    sum += fabs(g->fields[key ? WK : WQ][r * d + l] * (double)raw[l]) * root;
                rows = fmax(rows, sum);
            }
            worst = fmax(worst, scalar + rows);
        }
    }
    return worst;
}

static test_inputs inputs_of(const test_case *c) {
    test_inputs in = test_inputs_create(c);
    for (size_t i = 0; i < in.v_count; ++i)
        in.v[i] = fabsf(in.v[i]);
    return in;
}

static double tolerance(const general *g, const test_case *c, const test_inputs *in) {
    double s = magnitude(g, false, in->q, in->q_count / c->d) + magnitude(g, true, in->k, in->k_count / c->d);
    return 0x1p-24 * (16 + (sqrt(c->d) + 2) * s);
}

static void expect_close(const test_case *c, int which, const test_outputs *outputs, const test_reference *reference,
                         double t) {
    size_t skipped;
    double error = test_case_error(c, outputs, reference, &skipped);
    ck_assert_msg(error <= 2 * t, "%s: error %.3g exceeds %.3g", test_case_name(c, classes[which]), error, 2 * t);
    for (size_t i = 0; i < outputs->rows; ++i) {
        double difference = fabs((double)outputs->lse[i] - reference->lse[i]);
        ck_assert_msg(difference <= t + 0x1p-24 * fabs(reference->lse[i]),
                      "%s: lse[%zu] is %.9g, not %.9g, off by %g > %g", test_case_name(c, classes[which]), i,
                      (double)outputs->lse[i], reference->lse[i], difference, t);
        ck_assert_msg(outputs->sign[i] == 1.0F, "%s: sign[%zu]", test_case_name(c, classes[which]), i);
    }
}

static const test_case cases[] = {
    {.m = 37, .d = 13, .dv = 7, .sets = 1, .batch = 2, .heads = 2, .n = 70, .n_k = 85},
    {.m = 64, .d = 16, .dv = 16, .sets = 2, .heads = 4, .heads_kv = 2, .n = 33, .n_k = 130},
    {.m = 5, .d = 1, .dv = 3, .sets = 4, .heads = 4, .heads_kv = 2, .n = 20, .n_k = 7},
    {.m = 37, .d = 13, .dv = 7, .sets = 2, .heads = 4, .heads_kv = 2, .n = 150, .n_k = 150, .causal = 1},
};

static test_case case_of(int index, const general *g) {
    test_case c = cases[index];
    c.map = CLFAVOR_MAP_EXPONENTIAL;
    c.exponential = &g->desc;
    c.seed = 51;
    return test_case_resolve(c);
}

START_TEST(every_field_against_the_reference) {
    general g = general_create(cases[_i].m, cases[_i].d, cases[_i].sets, 500);
    test_case c = case_of(_i, &g);
    test_inputs in = inputs_of(&c);
    test_reference reference = test_run_reference(&c, &in);
    double t = tolerance(&g, &c, &in);
    ck_assert_double_lt(t, 1e-4);
    for (int i = 0; i < 2; ++i) {
        test_outputs outputs = test_run(&device, contexts[i], &c, &in);
        expect_close(&c, i, &outputs, &reference, t);
        test_outputs_free(&outputs);
    }
    /* No field is there in vain: without it lse is another, far beyond the tolerance. */
    for (size_t field = WK; field < FIELDS; ++field) {
        double *kept = g.fields[field];
        g.fields[field] = NULL;
        point(&g);
        test_reference other = test_run_reference(&c, &in);
        g.fields[field] = kept;
        point(&g);
        double worst = 0;
        for (uint64_t i = 0; i < c.batch * c.heads * c.n; ++i)
            worst = fmax(worst, fabs(other.lse[i] - reference.lse[i]));
        ck_assert_msg(worst > 100 * t, "field %zu changes lse by %g only", field, worst);
        test_reference_free(&other);
    }
    test_reference_free(&reference);
    test_inputs_free(&in);
    general_free(&g);
}
END_TEST

/* NULL and the values that it stands for are the positive map: the same exponents by another path. */
START_TEST(plain_values_are_the_positive_map) {
    test_case positive = {.m = 37,
                          .d = 13,
                          .dv = 7,
                          .sets = 2,
                          .heads = 2,
                          .n = 70,
                          .causal = (uint32_t)_i % 2,
                          .scale = 0.4,
                          .seed = 52};
    positive = test_case_resolve(positive);
    size_t d = positive.d, rows = (size_t)positive.sets * positive.m;
    clfavor_projection_desc desc = {.struct_size = sizeof desc,
                                    .features = positive.m,
                                    .dim = positive.d,
                                    .sets = positive.sets,
                                    .seed = positive.seed};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    general g = general_create(positive.m, positive.d, positive.sets, 600);
    for (size_t field = 0; field < FIELDS; ++field) {
        const size_t counts[FIELDS] = {rows * d, rows * d, rows,  rows,  2 * d * d, 2 * d * d,
                                       2 * d,    2 * d,    2 * d, 2 * d, 2,         2};
        memset(g.fields[field], 0, counts[field] * sizeof(double));
    }
    memcpy(g.fields[WQ], clfavor_projection_data(projection), rows * d * sizeof(double));
    memcpy(g.fields[WK], g.fields[WQ], rows * d * sizeof(double));
    for (size_t i = 0; i < 2 * d; ++i)
        g.fields[TQ][i * d + i % d] = g.fields[TK][i * d + i % d] = 1;
    clfavor_projection_destroy(projection);

    clfavor_exponential_desc full = g.desc, least = {.struct_size = sizeof least,
                                                     .features = positive.m,
                                                     .dim = positive.d,
                                                     .sets = positive.sets,
                                                     .scale = positive.scale,
                                                     .wq = g.fields[WQ]};
    test_case as_general = positive;
    as_general.map = CLFAVOR_MAP_EXPONENTIAL;
    as_general.exponential = _i / 2 ? &full : &least;
    test_inputs in = inputs_of(&positive);
    test_reference reference = test_run_reference(&positive, &in), other = test_run_reference(&as_general, &in);
    size_t o_count = (size_t)(positive.heads * positive.n) * positive.dv;
    for (size_t i = 0; i < o_count; ++i) /* in double the paths differ by roundings only */
        ck_assert_double_le(fabs(other.o[i] - reference.o[i]), 1e-12 * fabs(reference.o[i]));
    double t = tolerance(&g, &positive, &in);
    for (int i = 0; i < 2; ++i) {
        test_outputs outputs = test_run(&device, contexts[i], &as_general, &in);
        expect_close(&as_general, i, &outputs, &reference, t);
        test_outputs_free(&outputs);
    }
    test_reference_free(&reference);
    test_reference_free(&other);
    test_inputs_free(&in);
    general_free(&g);
}
END_TEST

/* What the fields mean: the mean of phi_q phi_k over the rows is exp(q.k scale), within 5 standard errors of the
 * sample. */
START_TEST(the_fields_estimate_the_softmax_kernel) {
    enum { D = 6, M = 65536 };
    general g = general_create(M, D, 1, 700 + 10 * (uint64_t)_i);
    clfavor_estimator *estimator;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&estimator, &g.desc), CLFAVOR_SUCCESS);
    double *logs[2] = {test_alloc(M, sizeof(double)), test_alloc(M, sizeof(double))},
           *sign = test_alloc(M, sizeof(double));
    double x[2][D], exponent = 0;
    for (int side = 0; side < 2; ++side) {
        for (int l = 0; l < D; ++l)
            x[side][l] = test_normal(710 + (uint64_t)(2 * _i + side), (uint64_t)l);
        ck_assert_int_eq(clfavor_reference_features(estimator, 0, side, x[side], logs[side], sign), CLFAVOR_SUCCESS);
    }
    for (int l = 0; l < D; ++l)
        exponent += x[0][l] * x[1][l] * g.desc.scale;
    double sum = 0, squares = 0;
    for (int r = 0; r < M; ++r) {
        double product = M * exp(logs[0][r] + logs[1][r]); /* phi includes 1/sqrt(m) */
        sum += product;
        squares += product * product;
    }
    double mean = sum / M, error = sqrt((squares / M - mean * mean) / M);
    ck_assert_msg(fabs(mean - exp(exponent)) <= 5 * error, "the mean is %g +- %g, not %g", mean, error, exp(exponent));
    ck_assert_double_lt(error, 0.05 * mean); /* or the test would say nothing */
    clfavor_estimator_destroy(estimator);
    free(logs[0]);
    free(logs[1]);
    free(sign);
    general_free(&g);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("exponential");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, every_field_against_the_reference, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(tcase, plain_values_are_the_positive_map, 0, 4);
    tcase_add_loop_test(tcase, the_fields_estimate_the_softmax_kernel, 0, 5);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
