/* The mean of every map with every projection, through the kernels: sign exp(lse) with one key and with several, and
 * the feature matrices. Fixed norms and gaussian are held against their own biased means. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

enum { MAX_SCENARIOS = 20, CHUNK = 32 }; /* tokens: small, since most scenarios have one key */

typedef struct mean_data {
    const verify_pool *pool;
    verify_estimand e;
    verify_scenario scenarios[MAX_SCENARIOS];
    size_t count;
} mean_data;

/* Relative bias that is found. */
static const double rhos[] = {0.01, 0.002, 0.0005};

/* -------------------------------------------------------------------------------------------------- geometry */

enum direction { ONES, MINUS_ONES, FIRST, MIXED, KEY_MIXED, DIRECTIONS };
static const char *const direction_names[] = {"ones", "-ones", "e1", "mixed"};

/* Unit vectors; (1, .., 1) is where a missing sign fix shows most. The mixed ones are normals of a fixed Philox key. */
static void unit(enum direction which, uint32_t dim, double *to) {
    double square = 0.0;
    for (uint32_t l = 0; l < dim; ++l) {
        const uint32_t counter[4] = {l, (uint32_t)which, 0, 0}, key[2] = {2026, 0};
        uint32_t block[4];
        double pair[2];
        clfavor_philox4x32(counter, key, block);
        clfavor_normal_pair(block, pair);
        to[l] = which == ONES ? 1.0 : which == MINUS_ONES ? -1.0 : which == FIRST ? l == 0 : pair[0];
        square += to[l] * to[l];
    }
    for (uint32_t l = 0; l < dim; ++l)
        to[l] /= sqrt(square);
}

/* The unit vector at an angle to the unit vector y, in the plane of y and the direction. */
static void at_angle(const double *y, enum direction which, double theta, uint32_t dim, double *to) {
    double other[VERIFY_MAX_DIM], along = 0.0, rest = 0.0;
    unit(which, dim, other);
    for (uint32_t l = 0; l < dim; ++l)
        along += other[l] * y[l];
    for (uint32_t l = 0; l < dim; ++l) {
        other[l] -= along * y[l];
        rest += other[l] * other[l];
    }
    for (uint32_t l = 0; l < dim; ++l)
        to[l] = cos(theta) * y[l] + sin(theta) * other[l] / sqrt(rest);
}

/* ------------------------------------------------------------------------------------------------- scenarios */

static verify_scenario *add(mean_data *data, verify_run *run, const char *label, uint32_t n, uint32_t n_k,
                            uint32_t keys, size_t rows) {
    verify_scenario *s = &data->scenarios[data->count];
    if (data->count == MAX_SCENARIOS)
        return NULL;
    snprintf(s->label, sizeof s->label, "%s", label);
    ++data->count; /* freed with the job in any case */
    return verify_scenario_init(s, run, data->pool, n, n_k, keys, rows) ? s : NULL;
}

/* What |x + y|^2 (|x - y|^2 for cosines) may be at a level: where the samples stay feasible (docs/theory.md, section
 * 3); less where only a bound of the variance is known, and, unless the night is there for it, in all scenarios but the
 * first. */
static size_t sizes_of(const mean_data *data, verify_level level, double sizes[2]) {
    double largest = level == VERIFY_NIGHTLY ? 2.0 : 1.0;
    if (data->pool->dim >= 64 || (level != VERIFY_NIGHTLY && data->pool->dim == 16))
        largest /= 2.0;
    if (data->e.map == CLFAVOR_MAP_TRIG_PHASE)
        largest /= 2.0;
    if (data->e.map == CLFAVOR_MAP_EXPONENTIAL && verify_estimand_has_axes(&data->e, data->pool->dim))
        largest /= data->pool->kind == CLFAVOR_PROJECTION_IID ? 4.0 : 8.0;
    if (level != VERIFY_NIGHTLY && data->count)
        largest /= 2.0;
    sizes[0] = largest / 4.0;
    sizes[1] = largest;
    return 2;
}

/* One key of norm `norm`; queries so that z = x + y (x - y for cosines) has each size and direction. */
static void one_key(mean_data *data, verify_run *run, const char *label, double norm, uint32_t view, bool features) {
    uint32_t d = data->pool->dim;
    double sizes[2], y[VERIFY_MAX_DIM], u[VERIFY_MAX_DIM];
    size_t count = sizes_of(data, run->options.level, sizes), i = 0;
    verify_scenario *s = add(data, run, label, (uint32_t)(count * 4), 1, 1, count * 4);
    if (!s)
        return;
    s->m = view * data->pool->m;
    s->features = features;
    s->chunk = CHUNK;
    unit(KEY_MIXED, d, y);
    for (uint32_t l = 0; l < d; ++l)
        y[l] *= norm;
    verify_scenario_key(s, 0, y);
    verify_scenario_lay_out(s);
    bool cosine = verify_estimand_is_cosine(&data->e);
    for (size_t size = 0; size < count; ++size)
        for (int which = 0; which < 4; ++which, ++i) {
            double x[VERIFY_MAX_DIM];
            unit((enum direction)which, d, u);
            for (uint32_t l = 0; l < d; ++l)
                u[l] *= sqrt(sizes[size]);
            verify_estimand_query(&data->e, d, u, y, x);
            verify_scenario_query(s, (uint32_t)i, x);
            s->rows[i].query = (uint32_t)i;
            snprintf(s->rows[i].label, sizeof s->rows[i].label, "%s=%g along %s", cosine ? "D2" : "s", sizes[size],
                     direction_names[which]);
        }
}

/* relu: one key, queries at angles in two planes. */
static void one_key_relu(mean_data *data, verify_run *run, const char *label, double norm, uint32_t view,
                         bool features) {
    uint32_t d = data->pool->dim;
    verify_level level = run->options.level;
    size_t angles = d <= 6 ? 3u : d < 64 ? 2u : 1u, i = 0;
    if (level == VERIFY_NIGHTLY)
        ++angles;
    else
        angles = features ? 1u : d <= 6 ? 2u : 0u; /* 90 degrees need 10 million rows */
    verify_scenario *s = angles ? add(data, run, label, (uint32_t)(2 * angles), 1, 1, 2 * angles) : NULL;
    if (!s)
        return;
    s->m = view * data->pool->m;
    s->features = features;
    s->chunk = CHUNK;
    static const double degrees[] = {0.0, 60.0, 90.0, 120.0};
    double y[VERIFY_MAX_DIM], x[VERIFY_MAX_DIM], scaled[VERIFY_MAX_DIM];
    unit(KEY_MIXED, d, y);
    for (uint32_t l = 0; l < d; ++l)
        scaled[l] = norm * y[l];
    verify_scenario_key(s, 0, scaled);
    verify_scenario_lay_out(s);
    for (size_t a = 0; a < angles; ++a)
        for (int plane = 0; plane < 2; ++plane, ++i) {
            at_angle(y, plane ? MIXED : ONES, degrees[a] * acos(-1.0) / 180.0, d, x);
            for (uint32_t l = 0; l < d; ++l)
                x[l] *= plane ? 1.5 : 0.7;
            verify_scenario_query(s, (uint32_t)i, x);
            s->rows[i].query = (uint32_t)i;
            snprintf(s->rows[i].label, sizeof s->rows[i].label, "%g degrees towards %s", degrees[a],
                     plane ? "mixed" : "ones");
        }
}

/* The distinct keys of the scenarios with several: norms from 0.1 to 1.2, all near one axis (exactly on it for relu,
 * whose joint moments are known there only); the query at -0.5 (0.5 for cosines) keeps every s (D2) near or below
 * 0.5. */
enum { KEYS = 6 };
static void several(const mean_data *data, verify_scenario *s, bool falling) {
    uint32_t d = data->pool->dim;
    bool relu = data->e.map == CLFAVOR_MAP_RELU;
    double axis[VERIFY_MAX_DIM], y[VERIFY_MAX_DIM];
    unit(KEY_MIXED, d, axis);
    for (uint32_t j = 0; j < KEYS; ++j) {
        at_angle(axis, j % 2 ? ONES : MIXED, relu ? 0.0 : 0.25, d, y);
        for (uint32_t l = 0; l < d; ++l)
            y[l] *= 0.1 + 0.22 * j;
        verify_scenario_key(s, j, y);
    }
    for (uint32_t t = 0; t < s->n_k; ++t) { /* sorted by norm; first and last are the extremes */
        uint32_t rank = s->n_k > 1 ? (uint32_t)((uint64_t)t * KEYS / s->n_k) : 0;
        rank = t + 1 == s->n_k ? KEYS - 1 : rank;
        s->order[t] = falling ? KEYS - 1 - rank : rank;
    }
    verify_scenario_lay_out(s);
}

static void several_query(const mean_data *data, verify_scenario *s, uint32_t i, int which) {
    uint32_t d = data->pool->dim;
    double axis[VERIFY_MAX_DIM], x[VERIFY_MAX_DIM];
    bool cosine = verify_estimand_is_cosine(&data->e), relu = data->e.map == CLFAVOR_MAP_RELU;
    unit(KEY_MIXED, d, axis);
    at_angle(axis, which ? MIXED : ONES, which ? 0.3 : 0.1, d, x);
    for (uint32_t l = 0; l < d; ++l)
        x[l] *= cosine || relu ? 0.5 : -0.5;
    verify_scenario_query(s, i, x);
}

static void many_keys(mean_data *data, verify_run *run) {
    static const uint32_t counts[] = {2, 3, CHUNK + 1, 3 * CHUNK};
    static const char *const names[] = {"2 keys", "3 keys", "chunk+1 keys", "3 chunks of keys"};
    /* unless nightly, all but positive take each number of keys in one order, the other one with the other projection
     */
    bool few = data->e.map != CLFAVOR_MAP_POSITIVE && run->options.level != VERIFY_NIGHTLY;
    bool odd = data->pool->kind == CLFAVOR_PROJECTION_IID, relu = data->e.map == CLFAVOR_MAP_RELU;
    for (size_t c = 0; c < 4; ++c)
        for (int falling = 0; falling < 2; ++falling) {
            char label[48];
            if (few && (falling != (int)(c + odd) % 2 || (relu && c != 1)))
                continue; /* relu needs many rows */
            snprintf(label, sizeof label, "%s %s", names[c], falling ? "falling" : "rising");
            verify_scenario *s = add(data, run, label, 2, counts[c], KEYS, 2);
            if (!s)
                return;
            s->chunk = CHUNK;
            several(data, s, falling);
            for (uint32_t i = 0; i < 2; ++i) {
                several_query(data, s, i, (int)i);
                s->rows[i].query = i;
                snprintf(s->rows[i].label, sizeof s->rows[i].label, "query %u", i);
            }
        }
    static const uint32_t rows[] = {0, 1, 2, CHUNK, 3 * CHUNK - 1}; /* 1, 2, 3, chunk + 1 and 3 chunks of keys */
    for (int falling = 0; falling < 2; ++falling) {
        if (few && (falling == odd || relu || data->e.map == CLFAVOR_MAP_EXPONENTIAL))
            continue; /* relu needs many rows, the general estimator one more program */
        verify_scenario *s =
            add(data, run, falling ? "causal falling" : "causal rising", 3 * CHUNK, 3 * CHUNK, KEYS, 5);
        if (!s)
            return;
        s->chunk = CHUNK;
        s->causal = true;
        several(data, s, falling);
        for (uint32_t i = 0; i < 3 * CHUNK; ++i)
            several_query(data, s, i, (int)(i % 2));
        for (size_t i = 0; i < 5; ++i) {
            s->rows[i].query = rows[i];
            snprintf(s->rows[i].label, sizeof s->rows[i].label, "row %u", rows[i]);
        }
    }
}

/* Some of the keys are treated exactly: one in the list twice, a place that is empty. What remains are keys of at least
 * three norms. */
static void exact_keys(mean_data *data, verify_run *run) {
    static const struct {
        const char *label;
        uint32_t n_k, count, tokens[8];
    } all[] = {{"5 keys, 2 of them exact", 5, 4, {4, 1, UINT32_MAX, 1}},
               {"chunk+1 keys, 4 of them exact", CHUNK + 1, 6, {CHUNK, 0, 7, 7, UINT32_MAX, 20}}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
        verify_scenario *s = add(data, run, all[i].label, 2, all[i].n_k, KEYS, 2);
        if (!s)
            return;
        s->chunk = CHUNK;
        memcpy(s->exact, all[i].tokens, sizeof s->exact);
        s->exact_count = all[i].count;
        several(data, s, i > 0);
        for (uint32_t row = 0; row < 2; ++row) {
            several_query(data, s, row, (int)row);
            s->rows[row].query = row;
            snprintf(s->rows[row].label, sizeof s->rows[row].label, "query %u", row);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------ the job */

static void release(void *memory) {
    mean_data *data = memory;
    for (size_t i = 0; data && i < data->count; ++i)
        verify_scenario_free(&data->scenarios[i]);
    free(data);
}

static void size_up(verify_job *job, const verify_options *options, double share) {
    mean_data *data = job->data;
    double rows = 0.0;
    for (size_t i = 0; i < data->count; ++i) {
        verify_scenario *s = &data->scenarios[i];
        verify_scenario_size(s, &data->e, data->pool, options, share, rhos[options->level], UINT32_MAX);
        job->blocks = s->blocks > job->blocks ? s->blocks : job->blocks;
        rows += (double)s->blocks * data->pool->trials * data->pool->m * (1.0 + s->n_k / 32.0);
    }
    job->cost = rows / job->blocks * 1e-4 * (1.0 + data->pool->dim / 16.0);
}

static bool work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    const mean_data *data = job->data;
    return verify_scenarios_run(worker, data->scenarios, data->count, &data->e, data->pool, drawn, block, record);
}

/* How the mean of all draws so far approaches the truth, for the row with the larger size along ones. */
static void plot_convergence(verify_run *run, const verify_job *job, const double *const *records) {
    const mean_data *data = job->data;
    const verify_scenario *s = &data->scenarios[0];
    size_t i = s->row_count > 4 ? 4 : 0;
    const verify_row *row = &s->rows[i];
    double *memory = verify_new(run, 7 * (size_t)s->blocks, sizeof *memory), *x = memory;
    if (!memory)
        return;
    double *y = x + s->blocks, *low = y + s->blocks, *high = low + s->blocks, *truth = high + s->blocks;
    double *lower = truth + s->blocks, *upper = lower + s->blocks;
    verify_sum sum = {0, 0};
    for (uint32_t b = 0; b < s->blocks; ++b) {
        const verify_catoni_sums *own = (const verify_catoni_sums *)(const void *)(records[b] + s->at) + i;
        verify_merge(&sum, &own->sum);
        double n = (double)(b + 1) * row->samples, band = verify_catoni_band(row->variance, n, run->share);
        x[b] = n * data->pool->m;
        y[b] = verify_total(&sum) / n / row->test.mean;
        truth[b] = 1.0;
        low[b] = 1.0 - band / fabs(row->test.mean);
        high[b] = 1.0 + band / fabs(row->test.mean);
        lower[b] = y[b] - band / fabs(row->test.mean);
        upper[b] = y[b] + band / fabs(row->test.mean);
    }
    char *title = verify_format("Mean of the %s estimate, %s, %s", data->e.name, data->pool->name, row->label);
    verify_plot *plot = verify_add_plot(
        run, job->suite, title, "rows of W", "mean / exact", true, false,
        "The mean over all draws so far through the kernels, divided by its exact value, with its confidence band "
        "(level 1 - share of alpha). The other band is where Catoni's test accepts after so many draws, "
        "from the exact variance.");
    verify_add_series(run, plot, "accepted", VERIFY_BAND, s->blocks, x, NULL, low, high);
    verify_add_series(run, plot, "confidence band", VERIFY_BAND, s->blocks, x, NULL, lower, upper);
    verify_add_series(run, plot, "exact", VERIFY_THEORY, s->blocks, x, truth, NULL, NULL);
    verify_add_series(run, plot, "measured", VERIFY_LINE, s->blocks, x, y, NULL, NULL);
    free(title);
    free(memory);
}

static void judge(verify_run *run, const verify_job *job, const double *const *records) {
    const mean_data *data = job->data;
    for (size_t i = 0; i < data->count; ++i)
        for (size_t r = 0; r < data->scenarios[i].row_count; ++r) {
            verify_catoni_sums sums = verify_row_sums(&data->scenarios[i], r, records);
            verify_row_judge(run, job, &data->scenarios[i], r, &sums);
        }
    if (data->pool->dim == 6 && data->pool->kind != CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM)
        plot_convergence(run, job, records);
}

static void add_job(verify_run *run, const verify_pool *pool, enum verify_estimand_id id) {
    mean_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    data->pool = pool;
    run->out_of_memory |= !verify_estimand_init(&data->e, id, pool->dim);
    bool relu = id == VERIFY_RELU, fixed = pool->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
    void (*single)(mean_data *, verify_run *, const char *, double, uint32_t, bool) = relu ? one_key_relu : one_key;
    single(data, run, "near key", 0.5, 1, false);
    if (!relu)
        single(data, run, "far key", 2.5, 1, false);
    if (pool->dim == 6 && !fixed) {
        if (id == VERIFY_POSITIVE || id == VERIFY_TRIG || id == VERIFY_RELU || run->options.level == VERIFY_NIGHTLY)
            single(data, run, "features, near key", 0.5, 1, true);
        /* the variance of simplex blocks with several keys is a loose bound, which takes many draws */
        bool loose = pool->kind == CLFAVOR_PROJECTION_SIMPLEX && run->options.level != VERIFY_NIGHTLY;
        bool special = id > VERIFY_OPRF && run->options.level != VERIFY_NIGHTLY;
        if (!special && id != VERIFY_GAUSSIAN && !loose)
            many_keys(data, run);
        bool bound = pool->kind == CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS && run->options.level != VERIFY_NIGHTLY;
        if (!loose && (id == VERIFY_POSITIVE || (id == VERIFY_FITTED && !bound)))
            exact_keys(data, run);
    }
    if (!fixed && (run->options.level == VERIFY_NIGHTLY || !relu))
        single(data, run, pool->dim == 6 ? "m=112, near key" : "4 m, near key", 0.5, 4, false);
    verify_job job = {.suite = "mean",
                      .text = "E sign exp(lse) = sum_j K_ij",
                      .method = "Catoni, exact variance",
                      .group = &pool->group,
                      .data = data,
                      .size_up = size_up,
                      .work = work,
                      .judge = judge,
                      .release = release};
    snprintf(job.name, sizeof job.name, "%s/%s", pool->name, data->e.name);
    verify_scenarios_place(data->scenarios, data->count, &job);
    if (job.tests)
        verify_add_job(run, &job);
    else
        release(data);
}

/* Whether the levels below nightly take it in: what needs one more program only at d = 6, and of the projections that
 * hang the same rows together in another way what shows that, simplex blocks where their variance is exact. */
static bool below_nightly(clfavor_projection_kind kind, uint32_t dim, int id) {
    bool basic = id == VERIFY_POSITIVE || id == VERIFY_HYPERBOLIC || id == VERIFY_TRIG, phase = id == VERIFY_TRIG_PHASE;
    switch (kind) {
    case CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS:
        return dim == 6 && (basic || id == VERIFY_RELU || id == VERIFY_FULL_BALANCE || id == VERIFY_FITTED);
    case CLFAVOR_PROJECTION_SIMPLEX:
        return dim == 6 && (basic || id == VERIFY_SHIFT);
    case CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM:
        if (phase || id == VERIFY_RELU) /* which it does not bias more */
            return false;
        break;
    case CLFAVOR_PROJECTION_ORTHOGONAL:
        if (id == VERIFY_SDERF || id == VERIFY_GENERAL) /* of which only a bound of the variance is known */
            return false;
        break;
    case CLFAVOR_PROJECTION_IID:
        if (id == VERIFY_DIAGONAL)
            return false;
        break;
    default:
        break;
    }
    if (dim == 64)
        return id == VERIFY_POSITIVE || id == VERIFY_HYPERBOLIC;
    return dim == 6 || (!phase && id < VERIFY_OPRF);
}

void verify_suite_mean(verify_run *run) {
    static const uint32_t dims[] = {6, 16, 64};
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, CLFAVOR_PROJECTION_SIMPLEX};
    for (size_t i = 0; i < 3; ++i)
        for (size_t k = 0; k < 5; ++k) {
            bool fixed = kinds[k] == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
            if (fixed && dims[i] == 64) /* its bias is below what is found there */
                continue;
            for (int id = 0; id < VERIFY_ESTIMANDS; ++id) {
                bool fitted = id >= VERIFY_OPRF;
                bool special = fitted && id != VERIFY_OPRF && id != VERIFY_FITTED; /* what FITTED has together */
                bool taken = run->options.level == VERIFY_NIGHTLY ? dims[i] == 6 || !special
                                                                  : below_nightly(kinds[k], dims[i], id);
                if (taken && !(fixed && fitted))
                    add_job(run, verify_pool_standard(run, dims[i], kinds[k]), (enum verify_estimand_id)id);
            }
        }
}
