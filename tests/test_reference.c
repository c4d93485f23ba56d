/* The double reference against sums over all pairs in long double, straight from the definition of each map. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct problem {
    clfavor_map map;
    uint32_t m, d, dv, sets;
    uint64_t batch, heads, heads_kv, n, n_k;
    uint32_t causal;
    double scale, sigma; /* of the softmax; of q and k */
} problem;

/* The numbers of a problem; the general map's arrays are there for every map. */
typedef struct numbers {
    double *w, *wk, *phases, *bk, *tq, *tk, *x0, *y0, *uq, *uk, *aq, *ak, *q, *k, *v;
} numbers;

static double *normals(uint64_t seed, uint64_t count, double sigma) {
    double *values = test_alloc(count, sizeof *values);
    for (uint64_t i = 0; i < count; ++i)
        values[i] = sigma * test_normal(seed, i);
    return values;
}

static numbers numbers_create(const problem *p) {
    uint64_t rows = (uint64_t)p->sets * p->m, vectors = (uint64_t)p->sets * p->d, key = p->batch * p->heads_kv * p->n_k;
    return (numbers){.w = normals(1, rows * p->d, 1),
                     .wk = normals(2, rows * p->d, 1),
                     .phases = normals(3, rows, 2),
                     .bk = normals(4, rows, 1),
                     .tq = normals(5, vectors * p->d, 0.5),
                     .tk = normals(6, vectors * p->d, 0.5),
                     .x0 = normals(7, vectors, 1),
                     .y0 = normals(8, vectors, 1),
                     .uq = normals(9, vectors, 1),
                     .uk = normals(10, vectors, 1),
                     .aq = normals(11, p->sets, 1),
                     .ak = normals(12, p->sets, 1),
                     .q = normals(13, p->batch * p->heads * p->n * p->d, p->sigma),
                     .k = normals(14, key * p->d, p->sigma),
                     .v = normals(15, key * p->dv, 1)};
}

static void numbers_free(numbers *x) {
    double *arrays[] = {x->w,  x->wk, x->phases, x->bk, x->tq, x->tk, x->x0, x->y0,
                        x->uq, x->uk, x->aq,     x->ak, x->q,  x->k,  x->v};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; ++i)
        free(arrays[i]);
}

static clfavor_estimator *estimator(const problem *p, const numbers *x) {
    clfavor_estimator *e;
    if (p->map == CLFAVOR_MAP_EXPONENTIAL) {
        const clfavor_exponential_desc desc = {.struct_size = sizeof desc,
                                               .features = p->m,
                                               .dim = p->d,
                                               .sets = p->sets,
                                               .scale = p->scale,
                                               .wq = x->w,
                                               .wk = x->wk,
                                               .bq = x->phases,
                                               .bk = x->bk,
                                               .tq = x->tq,
                                               .tk = x->tk,
                                               .x0 = x->x0,
                                               .y0 = x->y0,
                                               .uq = x->uq,
                                               .uk = x->uk,
                                               .aq = x->aq,
                                               .ak = x->ak};
        ck_assert_int_eq(clfavor_estimator_create_exponential(&e, &desc), CLFAVOR_SUCCESS);
        return e;
    }
    const clfavor_projection_desc shape = {.struct_size = sizeof shape, .features = p->m, .dim = p->d, .sets = p->sets};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &shape, x->w, x->phases), CLFAVOR_SUCCESS);
    const clfavor_estimator_desc desc = {
        .struct_size = sizeof desc, .map = p->map, .projection = projection, .scale = p->scale};
    ck_assert_int_eq(clfavor_estimator_create(&e, &desc), CLFAVOR_SUCCESS);
    clfavor_projection_destroy(projection);
    return e;
}

static long double dot(const double *a, const long double *b, size_t count) {
    long double sum = 0;
    for (size_t l = 0; l < count; ++l)
        sum += a[l] * b[l];
    return sum;
}

static long double square(const long double *a, size_t count) {
    long double sum = 0;
    for (size_t l = 0; l < count; ++l)
        sum += a[l] * a[l];
    return sum;
}

/* -|T (x - x0)|^2/2 + u.(x - x0) + a. Adds the magnitudes of what is summed to *size. */
static long double general_scalar(const numbers *in, size_t set, int key, const long double *x, size_t d,
                                  long double *size) {
    const double *t = (key ? in->tk : in->tq) + set * d * d, *x0 = (key ? in->y0 : in->x0) + set * d,
                 *u = (key ? in->uk : in->uq) + set * d, a = (key ? in->ak : in->aq)[set];
    long double sum = a;
    *size += fabsl(a);
    for (size_t i = 0; i < d; ++i) {
        long double turned = 0, reach = 0;
        for (size_t l = 0; l < d; ++l) {
            turned += t[i * d + l] * (x[l] - x0[l]);
            reach += fabsl(t[i * d + l]) * (fabsl(x[l]) + fabs(x0[l]));
        }
        sum += u[i] * (x[i] - x0[i]) - turned * turned / 2;
        *size += reach * reach / 2 + fabs(u[i]) * (fabsl(x[i]) + fabs(x0[i]));
    }
    return sum;
}

/* A sum over pairs: of the terms, of their magnitudes feature by feature, and of what a rounding of the features is
 * relative to (cos counts as 1, relu(w.x) as |w||x|). */
typedef struct sums {
    long double value, abs, bound;
} sums;

static void add(sums *s, long double value, long double abs, long double bound) {
    s->value += value;
    s->abs += abs;
    s->bound += bound;
}

static long double elu_plus_1(double t) {
    return t > 0 ? t + 1.0L : expl(t);
}

/* A for one query and one key. *size: the largest exponent or argument of a cosine in it. */
static sums pair(const problem *p, const numbers *in, size_t set, const double *q, const double *k, long double *size) {
    sums s = {0, 0, 0};
    size_t d = p->d, m = p->m;
    long double x[CLFAVOR_MAX_DIM], y[CLFAVOR_MAX_DIM], minus[CLFAVOR_MAX_DIM], root = sqrtl(p->scale);
    for (size_t l = 0; l < d; ++l) {
        x[l] = q[l] * root;
        y[l] = k[l] * root;
        minus[l] = x[l] - y[l];
    }
    const long double both = square(x, d) + square(y, d);
    *size = 1 + both;
    if (p->map == CLFAVOR_MAP_ELU) {
        for (size_t l = 0; l < d; ++l) {
            long double product = elu_plus_1(q[l]) * elu_plus_1(k[l]);
            add(&s, product, product, product);
            *size = fmaxl(*size, fmaxl(fabsl(q[l]), fabsl(k[l])));
        }
        return s;
    }
    for (size_t r = 0; r < m; ++r) {
        const double *w = in->w + (set * m + r) * d, b = in->phases[set * m + r];
        long double tx = dot(w, x, d), ty = dot(w, y, d), reach = 0, value;
        for (size_t l = 0; l < d; ++l)
            reach += fabsl(w[l] * x[l]) + fabsl(w[l] * y[l]);
        switch (p->map) {
        case CLFAVOR_MAP_POSITIVE:
            value = expl(tx + ty - both / 2);
            add(&s, value, value, value);
            break;
        case CLFAVOR_MAP_HYPERBOLIC:
            value = expl(-both / 2) * coshl(tx + ty);
            add(&s, value, value, value);
            break;
        case CLFAVOR_MAP_TRIG:
            value = expl(both / 2);
            add(&s, value * cosl(dot(w, minus, d)), value * (fabsl(cosl(tx) * cosl(ty)) + fabsl(sinl(tx) * sinl(ty))),
                2 * value);
            break;
        case CLFAVOR_MAP_TRIG_PHASE:
            value = expl(both / 2) * 2 * cosl(tx + b) * cosl(ty + b);
            add(&s, value, fabsl(value), 2 * expl(both / 2));
            break;
        case CLFAVOR_MAP_GAUSSIAN:
            add(&s, cosl(dot(w, minus, d)), fabsl(cosl(tx + b) * cosl(ty + b)) + fabsl(sinl(tx + b) * sinl(ty + b)), 2);
            break;
        case CLFAVOR_MAP_RELU:
            value = fmaxl(tx, 0) * fmaxl(ty, 0);
            add(&s, value, value, reach * reach);
            break;
        default:
            ty = in->bk[set * m + r];
            reach += fabsl(ty);
            for (size_t l = 0; l < d; ++l) {
                ty += in->wk[(set * m + r) * d + l] * y[l];
                reach += fabsl(in->wk[(set * m + r) * d + l] * y[l]);
            }
            value =
                expl(tx + b + ty + general_scalar(in, set, 0, x, d, &reach) + general_scalar(in, set, 1, y, d, &reach));
            add(&s, value, value, value);
        }
        *size = fmaxl(*size, reach + fabs(b));
    }
    return (sums){s.value / m, s.abs / m, s.bound / m};
}

/* Compares one row. An error of a feature is at most eps times its exponent's size times the d + 8 roundings in it; the
 * sums add n_k additions and up to n_k rescalings (of 3 roundings each), then F additions. All are relative to `bound`.
 */
static void check_row(const problem *p, const numbers *in, size_t batch, size_t head, size_t i, const double *o,
                      double lse, double sign, double abs_sum) {
    size_t head_kv = head / (p->heads / p->heads_kv), set = p->sets == 1 ? 0 : p->sets == p->heads ? head : head_kv;
    const double *q = in->q + ((batch * p->heads + head) * p->n + i) * p->d;
    sums total = {0, 0, 0};
    long double top[CLFAVOR_MAX_DIM] = {0}, v_max = 0, size = 0;
    for (size_t j = 0; j < (p->causal ? i + 1 : p->n_k); ++j) {
        size_t at = (batch * p->heads_kv + head_kv) * p->n_k + j;
        long double size_here;
        sums s = pair(p, in, set, q, in->k + at * p->d, &size_here);
        size = fmaxl(size, size_here);
        add(&total, s.value, s.abs, s.bound);
        for (size_t l = 0; l < p->dv; ++l) {
            top[l] += s.value * in->v[at * p->dv + l];
            v_max = fmaxl(v_max, fabsl(in->v[at * p->dv + l]));
        }
    }
    size_t features = p->map == CLFAVOR_MAP_ELU ? p->d : 2 * p->m;
    long double rounding = DBL_EPSILON * ((p->d + 8) * size + 4 * (long double)p->n_k + (long double)features);
    if (total.abs == 0) { /* relu */
        ck_assert(lse == -INFINITY && sign == 0 && abs_sum == -INFINITY);
        for (size_t l = 0; l < p->dv; ++l)
            ck_assert_double_eq(o[l], 0);
        return;
    }
    double tolerance = (double)(rounding * total.bound / fabsl(total.value));
    ck_assert_double_lt(tolerance, 1e-7); /* else the comparison would say nothing */
    ck_assert_double_eq_tol(lse, (double)logl(fabsl(total.value)), tolerance + DBL_EPSILON * (double)size);
    ck_assert_double_eq(sign, total.value > 0 ? 1 : -1);
    ck_assert_double_eq_tol(abs_sum, (double)logl(total.abs), (double)(rounding * (total.bound / total.abs + size)));
    for (size_t l = 0; l < p->dv; ++l)
        ck_assert_double_eq_tol(o[l], (double)(top[l] / total.value),
                                2 * tolerance * (double)v_max * (double)(1 + total.abs / fabsl(total.value)));
}

static void check(const problem *p) {
    numbers in = numbers_create(p);
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
                                   .q = in.q,
                                   .k = in.k,
                                   .v = in.v,
                                   .o = o,
                                   .lse = lse,
                                   .sign = lse + rows,
                                   .abs_sum = lse + 2 * rows};
    clfavor_estimator *e = estimator(p, &in);
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    for (size_t row = 0; row < rows; ++row)
        check_row(p, &in, row / p->n / p->heads, row / p->n % p->heads, row % p->n, o + row * p->dv, lse[row],
                  lse[rows + row], lse[2 * rows + row]);
    clfavor_estimator_destroy(e);
    numbers_free(&in);
    free(o);
    free(lse);
}

static const problem shapes[] = {
    /* map, m, d, dv, sets, batch, heads, heads_kv, n, n_k, causal, scale, sigma */
    {0, 5, 3, 2, 1, 2, 2, 2, 7, 7, 0, 0.5, 1},     {0, 5, 3, 2, 1, 2, 4, 2, 5, 9, 0, 0.4, 1},
    {0, 4, 4, 3, 2, 2, 4, 2, 9, 5, 0, 0.6, 1},     {0, 4, 4, 5, 4, 1, 4, 2, 6, 6, 0, 0.5, 1},
    {0, 6, 2, 1, 3, 2, 3, 1, 4, 4, 0, 1.0, 1},     {0, 6, 2, 3, 3, 1, 3, 3, 4, 4, 0, 1.0, 1},
    {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1.0, 1},     {0, 70, 60, 33, 1, 1, 1, 1, 12, 12, 0, 0.125, 1},
    {0, 8, 8, 2, 1, 1, 1, 1, 24, 24, 0, 0.35, 30}, /* exponents of some -3000 to 3000, rising and falling */
};
#define SHAPES (int)(sizeof shapes / sizeof *shapes)
#define MAPS   (CLFAVOR_MAP_EXPONENTIAL + 1)

START_TEST(attention_is_its_definition) {
    problem p = shapes[_i / MAPS];
    p.map = (clfavor_map)(_i % MAPS);
    if (p.map == CLFAVOR_MAP_ELU) {
        p.m = p.d;
        p.sets = 1;
    }
    check(&p);
    p.causal = 1;
    if (p.n == p.n_k)
        check(&p);
}
END_TEST

/* phi of every feature in the promised order, set and side by side; F sqrt(1/count) included. */
START_TEST(features_are_their_definition) {
    problem p = shapes[2];
    p.map = (clfavor_map)_i;
    const size_t d = p.d, m = p.m;
    numbers in = numbers_create(&p);
    clfavor_estimator *e = estimator(&p, &in);
    clfavor_estimator_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_estimator_get_info(e, &info), CLFAVOR_SUCCESS);
    double *log_abs = test_alloc(2 * info.features, sizeof *log_abs), *sign = log_abs + info.features;
    for (uint32_t set = 0; set < info.sets; ++set)
        for (int key = 0; key < 2; ++key) {
            const double *token = key ? in.k : in.q;
            long double x[CLFAVOR_MAX_DIM];
            for (size_t l = 0; l < d; ++l)
                x[l] = token[l] * sqrtl(p.scale);
            const long double half = square(x, d) / 2;
            ck_assert_int_eq(clfavor_reference_features(e, set, key, token, log_abs, sign), CLFAVOR_SUCCESS);
            for (size_t f = 0; f < info.features; ++f) {
                size_t r = set * m + f % m;
                long double t = dot(in.w + r * d, x, d), b = in.phases[r], phi;
                switch (p.map) {
                case CLFAVOR_MAP_POSITIVE:
                    phi = expl(t - half) / sqrtl(m);
                    break;
                case CLFAVOR_MAP_HYPERBOLIC:
                    phi = expl((f < m ? t : -t) - half) / sqrtl(2 * m);
                    break;
                case CLFAVOR_MAP_TRIG:
                    phi = expl(half) * (f < m ? cosl(t) : sinl(t)) / sqrtl(m);
                    break;
                case CLFAVOR_MAP_TRIG_PHASE:
                    phi = expl(half) * sqrtl(2) * cosl(t + b) / sqrtl(m);
                    break;
                case CLFAVOR_MAP_GAUSSIAN:
                    phi = (f < m ? cosl(t + b) : sinl(t + b)) / sqrtl(m);
                    break;
                case CLFAVOR_MAP_RELU:
                    phi = fmaxl(t, 0) / sqrtl(m);
                    break;
                case CLFAVOR_MAP_ELU:
                    phi = elu_plus_1(token[f]);
                    break;
                default:
                    if (key)
                        t = dot(in.wk + r * d, x, d), b = in.bk[r];
                    phi = expl(t + b + general_scalar(&in, set, key, x, d, &(long double){0}));
                    phi /= sqrtl(m);
                }
                /* d + 8 roundings of exponents and arguments below 64; of the sizes of check_row */
                ck_assert_double_eq_tol(sign[f] * exp(log_abs[f]), (double)phi,
                                        (p.d + 8) * 64 * DBL_EPSILON * fmax(1, fabs((double)phi)));
                ck_assert_double_eq(sign[f], phi > 0 ? 1 : phi < 0 ? -1 : 0);
            }
        }
    clfavor_estimator_destroy(e);
    numbers_free(&in);
    free(log_abs);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("reference");
    TCase *tcase = tcase_create("reference");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, attention_is_its_definition, 0, SHAPES * MAPS);
    tcase_add_loop_test(tcase, features_are_their_definition, 0, MAPS);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
