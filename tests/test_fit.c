/* Fits against what a plain program makes of the same formulas (docs/theory.md, section 6), and on inputs that leave
 * little to fit. With every query and key in the sample nothing is random. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg.h"

#define D  5
#define DV 3

typedef struct problem {
    uint64_t batch, heads, heads_kv, n, n_k;
    float *q, *k, *v;
} problem;

/* Correlated, shifted queries and keys, so that there is something to centre, to balance and to turn. */
static problem create(uint64_t batch, uint64_t heads, uint64_t heads_kv, uint64_t n, uint64_t n_k) {
    problem p = {.batch = batch, .heads = heads, .heads_kv = heads_kv, .n = n, .n_k = n_k};
    p.q = test_normals(71, (size_t)(batch * heads * n) * D, 1.0);
    p.k = test_normals(72, (size_t)(batch * heads_kv * n_k) * D, 1.5);
    p.v = test_normals(73, (size_t)(batch * heads_kv * n_k) * DV, 1.0);
    for (size_t i = 0; i < batch * heads * n * D; ++i)
        p.q[i] = p.q[i] * (0.3F + 0.4F * (float)(i % D)) + 0.5F;
    for (size_t i = 0; i < batch * heads_kv * n_k * D; i += D)
        for (size_t l = 0; l + 1 < D; ++l)
            p.k[i + l] += 0.6F * p.k[i + l + 1] - 0.2F * (float)l;
    return p;
}

static void destroy(problem *p) {
    free(p->q);
    free(p->k);
    free(p->v);
}

static char log_text[512];
static void keep_log(void *user, clfavor_log_level level, const char *message) {
    (void)user;
    snprintf(log_text, sizeof log_text, "%d %s", (int)level, message);
}

static clfavor_fit_desc desc_of(const problem *p, clfavor_fit_method method) {
    log_text[0] = '\0';
    return (clfavor_fit_desc){.struct_size = sizeof(clfavor_fit_desc),
                              .method = method,
                              .dim = D,
                              .value_dim = DV,
                              .batch = p->batch,
                              .heads = p->heads,
                              .heads_kv = p->heads_kv,
                              .n = p->n,
                              .n_k = p->n_k,
                              .q = p->q,
                              .k = p->k,
                              .v = p->v,
                              .sample_queries = 1 << 20,
                              .log = keep_log};
}

typedef struct fitted {
    clfavor_fit *fit;
    clfavor_sderf_desc sderf;
    clfavor_fit_info info;
} fitted;

static fitted run(const clfavor_fit_desc *desc) {
    fitted f = {.sderf.struct_size = sizeof f.sderf, .info.struct_size = sizeof f.info};
    clfavor_status status = clfavor_fit_create(&f.fit, desc);
    ck_assert_msg(!status, "%s: %s", clfavor_status_name(status), log_text);
    ck_assert_int_eq(clfavor_fit_get_sderf(f.fit, &f.sderf), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_fit_get_info(f.fit, &f.info), CLFAVOR_SUCCESS);
    return f;
}

/* Finite, Tq'Tk = I, a in its range. */
static void expect_sane(const fitted *f) {
    for (size_t set = 0; set < f->sderf.sets; ++set) {
        double product[D * D];
        clfavor_multiply_at(D, f->sderf.tq + set * D * D, f->sderf.tk + set * D * D, product);
        for (size_t i = 0; i < D * D; ++i)
            ck_assert_double_eq_tol(product[i], i / D == i % D, 1e-9);
        for (size_t l = 0; l < D; ++l) {
            double a = f->sderf.a[set * D + l];
            EXPECT(isfinite(f->sderf.xbar[set * D + l]) && isfinite(f->sderf.ybar[set * D + l]));
            EXPECT(a <= 0 && isfinite(a));
        }
        EXPECT(isfinite(f->info.mean_s[set]) && f->info.mean_s[set] >= -1e-9);
        EXPECT(isfinite(f->info.mean_s_plain[set]));
        EXPECT(f->info.effective_keys[set] >= 1 - 1e-9);
    }
}

/* ------------------------------------------------------------------------------------------------ by a plain program
 */

/* P_ij of one query head, [n, n_k], with keys of `exact` left out, not normalised. */
static double *weights_of(const problem *p, uint64_t head, bool values) {
    uint64_t kv = head * p->heads_kv / p->heads;
    double *w = test_alloc((size_t)(p->n * p->n_k), sizeof *w), scale = 1 / sqrt(D);
    for (uint64_t i = 0; i < p->n; ++i) {
        double *row = w + i * p->n_k, sum = 0, o[DV] = {0};
        for (uint64_t j = 0; j < p->n_k; ++j) {
            double dot = 0;
            for (size_t l = 0; l < D; ++l)
                dot += (double)p->q[(head * p->n + i) * D + l] * (double)p->k[(kv * p->n_k + j) * D + l];
            sum += row[j] = exp(scale * dot);
        }
        for (uint64_t j = 0; j < p->n_k; ++j) {
            row[j] /= sum;
            for (size_t l = 0; l < DV; ++l)
                o[l] += row[j] * (double)p->v[(kv * p->n_k + j) * DV + l];
        }
        for (uint64_t j = 0; values && j < p->n_k; ++j) {
            double square = 0;
            for (size_t l = 0; l < DV; ++l) {
                double difference = (double)p->v[(kv * p->n_k + j) * DV + l] - o[l];
                square += difference * difference;
            }
            row[j] *= sqrt(square);
        }
    }
    return w;
}

typedef struct plain_moments {
    double weight, x[D], y[D], xx[D * D], yy[D * D], xy[D * D];
} plain_moments;

/* About the centres when they are given. */
static void add(plain_moments *m, const problem *p, uint64_t head, const double *w, const double *xbar,
                const double *ybar) {
    uint64_t kv = head * p->heads_kv / p->heads;
    double root = pow(D, -0.25);
    for (uint64_t i = 0; i < p->n; ++i)
        for (uint64_t j = 0; j < p->n_k; ++j) {
            double weight = w ? w[i * p->n_k + j] : 1;
            m->weight += weight;
            for (size_t a = 0; a < D; ++a) {
                double x = root * (double)p->q[(head * p->n + i) * D + a] - (xbar ? xbar[a] : 0);
                double y = root * (double)p->k[(kv * p->n_k + j) * D + a] - (ybar ? ybar[a] : 0);
                m->x[a] += weight * x;
                m->y[a] += weight * y;
                for (size_t b = 0; b < D; ++b) {
                    double xb = root * (double)p->q[(head * p->n + i) * D + b] - (xbar ? xbar[b] : 0);
                    double yb = root * (double)p->k[(kv * p->n_k + j) * D + b] - (ybar ? ybar[b] : 0);
                    m->xx[a * D + b] += weight * x * xb;
                    m->yy[a * D + b] += weight * y * yb;
                    m->xy[a * D + b] += weight * x * yb;
                }
            }
        }
}

static double optimal_a(double p) { /* docs/theory.md, as printed */
    return (1 - 2 * p - sqrt((2 * p + 1) * (2 * p + 1) + 8 * p)) / 16;
}

/* E[z z'] of z = Tq x0 + Tk y0. */
static void second_moment(const plain_moments *m, const double *tq, const double *tk, double *out) {
    double part[D * D], product[D * D];
    clfavor_multiply(D, tq, m->xx, product);
    clfavor_multiply_bt(D, product, tq, out);
    clfavor_multiply(D, tk, m->yy, product);
    clfavor_multiply_bt(D, product, tk, part);
    for (size_t i = 0; i < D * D; ++i)
        out[i] += part[i];
    clfavor_multiply(D, tq, m->xy, product);
    clfavor_multiply_bt(D, product, tk, part);
    for (size_t i = 0; i < D; ++i)
        for (size_t j = 0; j < D; ++j)
            out[i * D + j] = (out[i * D + j] + part[i * D + j] + part[j * D + i]) / m->weight;
}

/* The whole method, of grouped heads and a batch, with and without V, with and without exact keys. The library keeps P
 * in float, so all agree to about 1e-6. */
START_TEST(whole_method) {
    problem p = create(2, 4, 2, 40, 53);
    clfavor_fit_desc desc = desc_of(&p, CLFAVOR_FIT_ATTENTION);
    uint32_t exact = _i & 1 ? 6 : 0;
    bool values = _i & 2;
    desc.exact_keys = exact;
    desc.v = values ? p.v : NULL;
    fitted f = run(&desc);
    expect_sane(&f);
    ck_assert_uint_eq(f.info.sets, 2);
    for (uint64_t set = 0; set < 2; ++set) {
        const double *xbar = f.sderf.xbar + set * D, *ybar = f.sderf.ybar + set * D;
        double *w[4] = {NULL}, keys_that_count = 0, s_plain, c[D * D];
        plain_moments about_zero = {0}, about_centres = {0};
        for (uint64_t batch = 0; batch < 2; ++batch) {
            double mass[53] = {0};
            for (uint64_t g = 0; g < 2; ++g) {
                double *own = w[batch * 2 + g] = weights_of(&p, batch * 4 + set * 2 + g, values);
                double *p_alone = weights_of(&p, batch * 4 + set * 2 + g, false);
                for (uint64_t i = 0; i < p.n; ++i) {
                    double entropy = 0;
                    for (uint64_t j = 0; j < p.n_k; ++j) {
                        mass[j] += own[i * p.n_k + j];
                        entropy -= p_alone[i * p.n_k + j] * log(p_alone[i * p.n_k + j]);
                    }
                    keys_that_count += exp(entropy);
                }
                free(p_alone);
            }
            /* the library's keys are those of the largest mass, and are left out */
            const uint32_t *keys = f.info.keys + (batch * 2 + set) * exact;
            for (uint32_t t = 0; t < exact; ++t) {
                size_t heavier = 0;
                EXPECT(keys[t] < p.n_k && (t == 0 || keys[t] > keys[t - 1]));
                for (size_t j = 0; j < p.n_k; ++j)
                    heavier += mass[j] > mass[keys[t]] * (1 + 1e-5);
                ck_assert_uint_lt(heavier, exact);
                for (uint64_t g = 0; g < 2; ++g)
                    for (uint64_t i = 0; i < p.n; ++i)
                        w[batch * 2 + g][i * p.n_k + keys[t]] = 0;
            }
            double total = 0; /* each batch entry counts as its queries */
            for (uint64_t at = 0; at < 2 * p.n * p.n_k; ++at)
                total += w[batch * 2 + at / (p.n * p.n_k)][at % (p.n * p.n_k)];
            for (uint64_t at = 0; at < 2 * p.n * p.n_k; ++at)
                w[batch * 2 + at / (p.n * p.n_k)][at % (p.n * p.n_k)] *= 2 * (double)p.n / total;
            for (uint64_t g = 0; g < 2; ++g) {
                add(&about_zero, &p, batch * 4 + set * 2 + g, w[batch * 2 + g], NULL, NULL);
                add(&about_centres, &p, batch * 4 + set * 2 + g, w[batch * 2 + g], xbar, ybar);
            }
        }
        for (size_t l = 0; l < D; ++l) {
            ck_assert_double_eq_tol(xbar[l], about_zero.x[l] / about_zero.weight, 1e-6);
            ck_assert_double_eq_tol(ybar[l], about_zero.y[l] / about_zero.weight, 1e-6);
        }
        s_plain = 0;
        for (size_t l = 0; l < D * D; l += D + 1)
            s_plain += (about_zero.xx[l] + about_zero.yy[l] + 2 * about_zero.xy[l]) / about_zero.weight;
        ck_assert_double_eq_tol(f.info.mean_s_plain[set], s_plain, 1e-5);
        ck_assert_double_eq_tol(f.info.effective_keys[set], keys_that_count / 160, 1e-9 * 53);
        /* S M1 S = M2 for S = Tq'Tq and the moments with their ridge */
        const double *tq = f.sderf.tq + set * D * D, *tk = f.sderf.tk + set * D * D;
        double m1[D * D], m2[D * D], s[D * D], product[D * D], back[D * D], tx = 0, ty = 0;
        for (size_t i = 0; i < D * D; i += D + 1) {
            tx += about_centres.xx[i] / about_centres.weight;
            ty += about_centres.yy[i] / about_centres.weight;
        }
        for (size_t i = 0; i < D * D; ++i) {
            m1[i] = about_centres.xx[i] / about_centres.weight + (i % (D + 1) ? 0 : 0.05 * tx / D);
            m2[i] = about_centres.yy[i] / about_centres.weight + (i % (D + 1) ? 0 : 0.05 * ty / D);
        }
        clfavor_multiply_at(D, tq, tq, s);
        clfavor_multiply(D, s, m1, product);
        clfavor_multiply(D, product, s, back);
        for (size_t i = 0; i < D * D; ++i)
            ck_assert_double_eq_tol(back[i], m2[i], 1e-5 * ty);
        /* the axes are those of z, and A follows */
        second_moment(&about_centres, tq, tk, c);
        double trace = 0;
        for (size_t i = 0; i < D; ++i) {
            trace += c[i * D + i];
            ck_assert_double_eq_tol(f.sderf.a[set * D + i], optimal_a(c[i * D + i]), 1e-5);
            for (size_t j = 0; j < i; ++j)
                ck_assert_double_eq_tol(c[i * D + j], 0, 1e-5);
        }
        ck_assert_double_eq_tol(f.info.mean_s[set], trace, 1e-5);
        ck_assert_double_lt(f.info.mean_s[set], f.info.mean_s_plain[set]);
        for (int i = 0; i < 4; ++i)
            free(w[i]);
    }
    clfavor_fit_destroy(f.fit);
    destroy(&p);
}
END_TEST

/* The methods of the literature: moments over all pairs alike, to the rounding of float sums. */
START_TEST(published_methods) {
    problem p = create(1, 1, 1, 60, 80);
    clfavor_fit_desc desc = desc_of(&p, (clfavor_fit_method)(CLFAVOR_FIT_PLAIN + _i));
    fitted f = run(&desc);
    expect_sane(&f);
    const clfavor_sderf_desc *e = &f.sderf;
    plain_moments m = {0};
    add(&m, &p, 0, NULL, NULL, NULL);
    double mean_s = 0, c[D * D], s[D * D], product[D * D], back[D * D];
    for (size_t l = 0; l < D; ++l) {
        bool shift = desc.method == CLFAVOR_FIT_SHIFT;
        ck_assert_double_eq_tol(e->xbar[l], shift ? m.x[l] / m.weight : 0, 1e-6);
        ck_assert_double_eq_tol(e->ybar[l], shift ? m.y[l] / m.weight : 0, 1e-6);
    }
    second_moment(&m, e->tq, e->tk, c);
    for (size_t i = 0; i < D; ++i)
        mean_s += c[i * D + i];
    for (size_t i = 0; i < D; ++i) {
        double expected = optimal_a(mean_s / D);
        if (desc.method == CLFAVOR_FIT_SDERF)
            expected = optimal_a(c[i * D + i]);
        if (desc.method == CLFAVOR_FIT_PLAIN || desc.method == CLFAVOR_FIT_SHIFT)
            expected = 0;
        ck_assert_double_eq_tol(e->a[i], expected, 1e-5);
        for (size_t j = 0; j < D && j != i; ++j) {
            double t = e->tq[i * D + j];
            if (desc.method == CLFAVOR_FIT_SDERF)
                ck_assert_double_eq_tol(c[i * D + j], 0, 1e-5);
            else if (desc.method != CLFAVOR_FIT_FULL)
                ck_assert_double_eq(t, 0);
        }
        if (desc.method == CLFAVOR_FIT_DIAGONAL)
            ck_assert_double_eq_tol(e->tq[i * D + i], pow(m.yy[i * D + i] / m.xx[i * D + i], 0.25), 1e-6);
        if (desc.method < CLFAVOR_FIT_DIAGONAL)
            ck_assert_double_eq(e->tq[i * D + i], 1);
    }
    if (desc.method == CLFAVOR_FIT_FULL) {
        double tx = 0, ty = 0;
        for (size_t i = 0; i < D * D; i += D + 1) {
            tx += m.xx[i] / m.weight;
            ty += m.yy[i] / m.weight;
        }
        for (size_t i = 0; i < D * D; ++i)
            m.xx[i] = m.xx[i] / m.weight + (i % (D + 1) ? 0 : 0.05 * tx / D);
        clfavor_multiply_at(D, e->tq, e->tq, s);
        clfavor_multiply(D, s, m.xx, product);
        clfavor_multiply(D, product, s, back);
        for (size_t i = 0; i < D * D; ++i)
            ck_assert_double_eq_tol(back[i], m.yy[i] / m.weight + (i % (D + 1) ? 0 : 0.05 * ty / D), 1e-5 * ty);
    }
    clfavor_fit_destroy(f.fit);
    destroy(&p);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- other properties
 */

static void expect_same(const fitted *a, const fitted *b, const problem *p) {
    size_t sets = a->sderf.sets;
    ck_assert_mem_eq(a->sderf.tq, b->sderf.tq, sets * D * D * sizeof(double));
    ck_assert_mem_eq(a->sderf.a, b->sderf.a, sets * D * sizeof(double));
    ck_assert_mem_eq(a->info.keys, b->info.keys, (size_t)p->batch * sets * a->info.exact_keys * sizeof(uint32_t));
}

START_TEST(threads_and_samples) {
    problem p = create(2, 6, 6, 300, 200);
    clfavor_fit_desc desc = desc_of(&p, CLFAVOR_FIT_ATTENTION);
    desc.exact_keys = 10;
    desc.sample_queries = 64;
    desc.sample_keys = 100;
    fitted one = run(&desc);
    desc.threads = 4;
    fitted four = run(&desc);
    expect_same(&one, &four, &p);
    desc.seed = 1;
    fitted other = run(&desc);
    ck_assert_mem_ne(one.sderf.tq, other.sderf.tq, D * D * sizeof(double));
    for (size_t row = 0; row < 12; ++row)
        for (uint32_t t = 0; t < 10; ++t) {
            uint32_t key = other.info.keys[row * 10 + t];
            EXPECT(key < 200 && (t == 0 || key > other.info.keys[row * 10 + t - 1]));
        }
    /* more samples than tokens are all tokens */
    desc.sample_queries = 300;
    desc.sample_keys = 200;
    fitted all = run(&desc);
    desc.sample_queries = 301;
    desc.sample_keys = 0;
    desc.seed = 9;
    fitted more = run(&desc);
    expect_same(&all, &more, &p);
    const fitted *fits[] = {&one, &four, &other, &all, &more};
    for (size_t i = 0; i < 5; ++i)
        clfavor_fit_destroy(fits[i]->fit);
    destroy(&p);
}
END_TEST

/* One call gives the parameters of all pairs, too. */
START_TEST(parameters_of_all_pairs) {
    problem p = create(_i == 2 ? 1 : 2, 4, 2, 40, 53);
    clfavor_fit_desc desc = desc_of(&p, _i == 1 ? CLFAVOR_FIT_FULL : CLFAVOR_FIT_ATTENTION);
    fitted none = run(&desc);
    desc.exact_keys = 9;
    fitted some = run(&desc);
    clfavor_sderf_desc all = {.struct_size = sizeof all};
    ck_assert_int_eq(clfavor_fit_get_sderf_all(some.fit, &all), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_fit_get_sderf_all(NULL, &all), CLFAVOR_INVALID_ARGUMENT);
    for (size_t i = 0; i < 2 * D; ++i) {
        ck_assert_double_eq_tol(all.xbar[i], none.sderf.xbar[i], 1e-7);
        ck_assert_double_eq_tol(all.ybar[i], none.sderf.ybar[i], 1e-7);
        ck_assert_double_eq_tol(all.a[i], none.sderf.a[i], 1e-6);
    }
    ck_assert_int_eq(memcmp(all.tq, some.sderf.tq, 2 * D * D * sizeof(double)) == 0, _i == 1);
    clfavor_fit_destroy(none.fit);
    clfavor_fit_destroy(some.fit);
    destroy(&p);
}
END_TEST

/* Among more keys than are sampled a heavy one is found wherever it lies, and batch entries count alike whatever the
 * size of their values, values that leave nothing but p too. */
START_TEST(heavy_keys_beyond_the_sample) {
    enum { KEYS = 5000, HEAVY = 12 };
    problem p = create(1, 1, 1, 64, KEYS);
    uint32_t places[HEAVY];
    for (size_t i = 0; i < HEAVY; ++i) {
        places[i] = (uint32_t)(i * 431 + (i % 2) * 7);
        for (size_t l = 0; l < D; ++l) /* along the mean query, which is (0.5, ..) */
            p.k[places[i] * D + l] = 9.0F;
    }
    clfavor_fit_desc desc = desc_of(&p, CLFAVOR_FIT_ATTENTION);
    desc.exact_keys = HEAVY;
    desc.sample_keys = 200;
    fitted f = run(&desc);
    expect_sane(&f);
    for (size_t i = 0; i < HEAVY; ++i)
        ck_assert_uint_eq(f.info.keys[i], places[i]);
    clfavor_fit_destroy(f.fit);
    destroy(&p);
}
END_TEST

START_TEST(size_of_values) {
    problem p = create(2, 1, 1, 30, 40);
    size_t half = (size_t)p.n * D;
    for (size_t i = 0; i < half; ++i) { /* the entries' queries lie apart */
        p.q[i] += 2.0F;
        p.q[half + i] -= 2.0F;
    }
    for (size_t i = 0; i < (size_t)p.n_k * DV; ++i)
        p.v[(size_t)p.n_k * DV + i] = 0.0F; /* nothing but p is left */
    double centre[3];
    for (int which = 0; which < 3; ++which) {
        problem scaled = p;
        scaled.v = test_alloc(2 * (size_t)p.n_k * DV, sizeof *scaled.v);
        for (size_t i = 0; i < 2 * (size_t)p.n_k * DV; ++i)
            scaled.v[i] = p.v[i] * (which == 0 ? 1e-3F : which == 1 ? 1.0F : 3e37F);
        clfavor_fit_desc desc = desc_of(&scaled, CLFAVOR_FIT_ATTENTION);
        fitted f = run(&desc);
        expect_sane(&f);
        centre[which] = f.sderf.xbar[0];
        clfavor_fit_destroy(f.fit);
        free(scaled.v);
    }
    ck_assert_double_eq_tol(centre[0], centre[1], 1e-6);
    ck_assert_double_eq_tol(centre[2], centre[1], 1e-6);
    destroy(&p);
}
END_TEST

/* What leaves little to fit gives parameters that are finite and unbiased, and says so where a side is all alike. */
START_TEST(degenerate_inputs) {
    enum {
        ZERO_QUERIES,
        SAME_QUERIES,
        SAME_KEYS,
        BOTH,
        ONE_KEY,
        ONE_QUERY,
        FEW,
        RANK_1,
        LARGE,
        SMALL,
        SAME_VALUES,
        VERY_LARGE,
        ALL_EXACT,
        HUGE_VALUES,
        CASES
    };
    for (int which = 0; which < CASES; ++which) {
        problem p = create(1, 2, 1,
                           which == ONE_QUERY ? 1
                           : which == FEW     ? 3
                                              : 30,
                           which == ONE_KEY ? 1
                           : which == FEW   ? 2
                                            : 40);
        size_t q = (size_t)(2 * p.n) * D, k = (size_t)p.n_k * D;
        for (size_t i = 0; i < q; ++i)
            p.q[i] = which == ZERO_QUERIES                    ? 0
                     : which == SAME_QUERIES || which == BOTH ? (float)(i % D) * 0.3F
                     : which == RANK_1                        ? p.q[i / D * D] * (float)(i % D)
                     : which == LARGE                         ? p.q[i] * 100
                     : which == VERY_LARGE                    ? p.q[i] * 1e12F
                     : which == SMALL                         ? p.q[i] * 1e-20F
                                                              : p.q[i];
        for (size_t i = 0; i < k; ++i)
            p.k[i] = which == SAME_KEYS || which == BOTH ? (float)(i % D) * -0.3F
                     : which == RANK_1                   ? p.k[i / D * D] * (float)(i % D)
                     : which == LARGE                    ? p.k[i] * 100
                     : which == VERY_LARGE               ? p.k[i] * 1e12F
                     : which == SMALL                    ? p.k[i] * 1e-20F
                                                         : p.k[i];
        for (size_t i = 0; i < p.n_k * DV; ++i)
            p.v[i] = which == SAME_VALUES ? 0.7F : which == HUGE_VALUES ? p.v[i] * 1e37F : p.v[i];
        clfavor_fit_desc desc = desc_of(&p, (clfavor_fit_method)_i);
        desc.exact_keys = which == ALL_EXACT ? 50 : (uint32_t)which % 3;
        fitted f = run(&desc);
        expect_sane(&f);
        bool alike =
            which == ZERO_QUERIES || which == SAME_QUERIES || which == SAME_KEYS || which == BOTH || which == ONE_KEY;
        if (alike && desc.method == CLFAVOR_FIT_ATTENTION)
            ck_assert_msg(strstr(log_text, "all alike") != NULL, "case %d: %s", which, log_text);
        for (uint32_t t = 0; t < desc.exact_keys; ++t)
            ck_assert_msg(t < p.n_k ? f.info.keys[t] < p.n_k : f.info.keys[t] == UINT32_MAX, "case %d key %u", which,
                          t);
        clfavor_projection_desc w = {.struct_size = sizeof w, .features = 10, .dim = D};
        clfavor_projection *projection;
        clfavor_estimator *estimator;
        ck_assert_int_eq(clfavor_projection_create(&projection, &w), CLFAVOR_SUCCESS);
        f.sderf.projection = projection;
        ck_assert_int_eq(clfavor_estimator_create_sderf(&estimator, &f.sderf), CLFAVOR_SUCCESS);
        clfavor_estimator_destroy(estimator);
        clfavor_projection_destroy(projection);
        clfavor_fit_destroy(f.fit);
        destroy(&p);
    }
}
END_TEST

START_TEST(refusals) {
    problem p = create(1, 2, 1, 30, 40);
    clfavor_fit *fit = (clfavor_fit *)&p;
    ck_assert_int_eq(clfavor_fit_create(NULL, NULL), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_fit_create(&fit, NULL), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_ptr_null(fit);
#define REFUSED(change, status, text)                                                                                  \
    do {                                                                                                               \
        clfavor_fit_desc desc = desc_of(&p, CLFAVOR_FIT_ATTENTION);                                                    \
        change;                                                                                                        \
        ck_assert_int_eq(clfavor_fit_create(&fit, &desc), status);                                                     \
        ck_assert_ptr_null(fit);                                                                                       \
        ck_assert_msg(log_text[0] == '1' && strstr(log_text, text), "the log says: %s", log_text);                     \
    } while (0)
    REFUSED(desc.q = NULL, CLFAVOR_INVALID_ARGUMENT, "needs q and k");
    REFUSED(desc.method = 7, CLFAVOR_INVALID_ARGUMENT, "method (7)");
    REFUSED(desc.dim = 257, CLFAVOR_INVALID_SHAPE, "1 to 256");
    REFUSED(desc.n = 0, CLFAVOR_INVALID_SHAPE, "n at least 1");
    REFUSED(desc.heads = 3; desc.heads_kv = 2, CLFAVOR_INVALID_SHAPE, "multiple");
    REFUSED(desc.exact_keys = 65537, CLFAVOR_INVALID_SHAPE, "at most 65536");
    REFUSED(desc.scale = INFINITY, CLFAVOR_NOT_FINITE, "finite");
    REFUSED(desc.scale = -1, CLFAVOR_INVALID_ARGUMENT, "above 0");
    float *arrays[] = {p.q, p.k, p.v};
    for (int i = 0; i < 3; ++i)
        for (int kind = 0; kind < 2; ++kind) {
            float kept = arrays[i][7];
            arrays[i][7] = kind ? INFINITY : NAN;
            REFUSED(desc.threads = 3, CLFAVOR_NOT_FINITE, "head 0 of batch entry 0 holds a NaN or an infinity");
            arrays[i][7] = kept;
        }
    ck_assert_int_eq(clfavor_fit_get_info(NULL, NULL), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_fit_get_sderf(NULL, NULL), CLFAVOR_INVALID_ARGUMENT);
    clfavor_fit_destroy(NULL);
    destroy(&p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fit");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, whole_method, 0, 4);
    tcase_add_loop_test(tcase, published_methods, 0, 6);
    tcase_add_test(tcase, threads_and_samples);
    tcase_add_loop_test(tcase, parameters_of_all_pairs, 0, 3);
    tcase_add_test(tcase, heavy_keys_beyond_the_sample);
    tcase_add_test(tcase, size_of_values);
    tcase_add_loop_test(tcase, degenerate_inputs, 0, 7);
    tcase_add_test(tcase, refusals);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
