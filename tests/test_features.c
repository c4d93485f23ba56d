/* The feature matrix of queries and keys: every map, both classes, against the double reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define UNIT       5.9604644775390625e-8 /* 2^-24: half an ulp of 1 */
#define EXP2_ERROR 2e-7                  /* of the kernels' 2^x, relative, with its rounding */
#define LOG2_ERROR (6 * UNIT)            /* of log2(), 3 ulp, relative */
#define TRIG_ERROR (8 * UNIT)            /* of sin() and cos(), 4 ulp */
#define LN2        0.69314718055994530942

static const clfavor_device_class classes[] = {CLFAVOR_CLASS_CPU, CLFAVOR_CLASS_GPU};
static test_device device;
static clfavor_context *contexts[2];

static void set_up(void) {
    test_open(&device);
    for (int c = 0; c < 2; ++c)
        contexts[c] = test_context(&device, classes[c]);
}

static void tear_down(void) {
    for (int c = 0; c < 2; ++c)
        clfavor_context_destroy(contexts[c]);
    test_close(&device);
}

typedef struct problem {
    clfavor_map map;
    uint32_t m, d, sets;
    uint64_t batch, heads, n;
    double sigma;
    bool key;
    uint32_t pieces;
    size_t workspace_limit;
} problem;

typedef struct result {
    float *features, *log_scale;
    clfavor_plan_info info;
} result;

static void result_free(result *r) {
    free(r->features);
    free(r->log_scale);
}

static bool is_signed(clfavor_map map) {
    return map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE || map == CLFAVOR_MAP_GAUSSIAN;
}

static uint32_t columns_of(const problem *p) {
    bool pairs = p->map == CLFAVOR_MAP_HYPERBOLIC || p->map == CLFAVOR_MAP_TRIG || p->map == CLFAVOR_MAP_GAUSSIAN;
    return p->map == CLFAVOR_MAP_ELU ? p->d : pairs ? 2 * p->m : p->m;
}

/* Log scales of one head. */
static uint64_t scales_of(const problem *p) {
    return !p->key ? p->n : is_signed(p->map) ? 1 : columns_of(p);
}

/* Every term of the general estimator in use, of moderate size. */
static clfavor_estimator *general_estimator(const problem *p) {
    size_t d = p->d, rows = (size_t)p->sets * p->m, vectors = p->sets * d;
    double *arrays[12];
    size_t sizes[] = {rows * d, rows * d, rows,    rows,    vectors * d, vectors * d,
                      vectors,  vectors,  vectors, vectors, p->sets,     p->sets};
    for (size_t a = 0; a < 12; ++a) {
        arrays[a] = test_alloc(sizes[a], sizeof(double));
        double size = a < 2 ? 1.0 : a == 4 || a == 5 ? 1.0 / sqrt((double)d) : 0.4;
        for (size_t i = 0; i < sizes[a]; ++i)
            arrays[a][i] = size * test_normal(500 + a, i);
    }
    clfavor_exponential_desc desc = {.struct_size = sizeof desc,
                                     .features = p->m,
                                     .dim = p->d,
                                     .sets = p->sets,
                                     .wq = arrays[0],
                                     .wk = arrays[1],
                                     .bq = arrays[2],
                                     .bk = arrays[3],
                                     .tq = arrays[4],
                                     .tk = arrays[5],
                                     .x0 = arrays[6],
                                     .y0 = arrays[7],
                                     .uq = arrays[8],
                                     .uk = arrays[9],
                                     .aq = arrays[10],
                                     .ak = arrays[11]};
    clfavor_estimator *estimator = NULL;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&estimator, &desc), CLFAVOR_SUCCESS);
    for (size_t a = 0; a < 12; ++a)
        free(arrays[a]);
    return estimator;
}

static clfavor_estimator *make_estimator(const problem *p) {
    if (p->map == CLFAVOR_MAP_EXPONENTIAL)
        return general_estimator(p);
    clfavor_projection *projection = NULL;
    if (p->map != CLFAVOR_MAP_ELU) {
        clfavor_projection_desc desc = {
            .struct_size = sizeof desc, .features = p->m, .dim = p->d, .sets = p->sets, .seed = 12};
        ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    }
    clfavor_estimator_desc desc = {
        .struct_size = sizeof desc, .map = p->map, .projection = projection, .dim = projection ? 0 : p->d};
    clfavor_estimator *estimator = NULL;
    ck_assert_int_eq(clfavor_estimator_create(&estimator, &desc), CLFAVOR_SUCCESS);
    clfavor_projection_destroy(projection);
    return estimator;
}

static clfavor_plan *make_plan(clfavor_context *context, const problem *p, clfavor_plan_info *info) {
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = p->key ? CLFAVOR_OP_FEATURES_KEY : CLFAVOR_OP_FEATURES_QUERY,
                              .map = p->map,
                              .features = p->map == CLFAVOR_MAP_ELU ? 0 : p->m,
                              .dim = p->d,
                              .pieces = p->pieces,
                              .max_batch = p->batch,
                              .max_heads = p->heads,
                              .max_n = p->n,
                              .workspace_limit = p->workspace_limit};
    clfavor_plan *plan = NULL;
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_SUCCESS);
    *info = (clfavor_plan_info){.struct_size = sizeof *info};
    ck_assert_int_eq(clfavor_plan_get_info(plan, info), CLFAVOR_SUCCESS);
    ck_assert_uint_eq(info->features, columns_of(p));
    return plan;
}

/* gap: floats between the rows of x and of the features, and between log scales. */
static result run(int c, const problem *p, const clfavor_estimator *estimator, const float *x, size_t gap) {
    uint64_t heads = p->batch * p->heads, rows = heads * p->n, width_x = p->d + gap, width_f = columns_of(p) + gap;
    float *spread = test_normals(3, (size_t)(rows * width_x), 1e6);
    for (size_t r = 0; r < rows; ++r)
        memcpy(spread + r * width_x, x + r * p->d, p->d * sizeof *x);
    result r = {0};
    clfavor_plan *plan = make_plan(contexts[c], p, &r.info);
    clfavor_weights *weights = NULL;
    ck_assert_int_eq(clfavor_weights_create(&weights, contexts[c], estimator), CLFAVOR_SUCCESS);
    test_buffer bx = test_buffer_create(&device, spread, (size_t)(rows * width_x));
    test_buffer bf = test_buffer_create(&device, NULL, (size_t)(rows * width_f));
    test_buffer bs = test_buffer_create(&device, NULL, (size_t)(heads * scales_of(p) * (1 + gap)));
    test_buffer workspace = {0};
    if (r.info.workspace_size)
        workspace = test_buffer_create(&device, NULL, r.info.workspace_size / sizeof(float));
    clfavor_features_args args = {.struct_size = sizeof args,
                                  .weights = weights,
                                  .batch = p->batch,
                                  .heads = p->heads,
                                  .n = p->n,
                                  .x = test_tensor(&bx, p->heads, p->n, width_x),
                                  .features = test_tensor(&bf, p->heads, p->n, width_f),
                                  .log_scale = test_tensor(&bs, p->heads, scales_of(p), 1 + gap),
                                  .workspace = workspace.mem,
                                  .workspace_offset = workspace.offset};
    ck_assert_int_eq(clfavor_enqueue_features(plan, &args, device.queue, 0, NULL, NULL), CLFAVOR_SUCCESS);
    float *features = test_buffer_read(&device, &bf), *scales = test_buffer_read(&device, &bs);
    if (r.info.workspace_size) {
        free(test_buffer_read(&device, &workspace));
        test_buffer_release(&workspace);
    }
    /* Back to dense; the gaps must still be poison. */
    r.features = test_alloc((size_t)(rows * columns_of(p)), sizeof(float));
    r.log_scale = test_alloc((size_t)(heads * scales_of(p)), sizeof(float));
    for (size_t i = 0; i < rows; ++i)
        memcpy(r.features + i * columns_of(p), features + i * width_f, columns_of(p) * sizeof(float));
    for (size_t i = 0; i < heads * scales_of(p); ++i)
        r.log_scale[i] = scales[i * (1 + gap)];
    for (size_t i = 0; i < rows * width_f; ++i) {
        uint32_t bits;
        memcpy(&bits, &features[i], sizeof bits);
        if (i % width_f >= columns_of(p))
            EXPECT(bits == TEST_POISON);
    }
    free(features);
    free(scales);
    free(spread);
    test_buffer_release(&bx);
    test_buffer_release(&bf);
    test_buffer_release(&bs);
    clfavor_weights_destroy(weights);
    clfavor_plan_destroy(plan);
    return r;
}

/* The largest term of an exponent, in natural units, that token x can meet: |w||x| and |x|^2/2 and a margin for the
 * general estimator's constants; what its rounding error is proportional to. */
static double exponent_size(const problem *p, const float *x) {
    double square = 0.0;
    for (uint32_t l = 0; l < p->d; ++l)
        square += (double)x[l] * (double)x[l] / sqrt(p->d);
    double row = sqrt(p->d) + 4.5; /* |w| is chi(d): above this once in 10^9 */
    if (p->map == CLFAVOR_MAP_ELU)
        return 1.0 + sqrt(square * sqrt(p->d));
    return row * sqrt(square) + square + (p->map == CLFAVOR_MAP_EXPONENTIAL ? 4.0 * p->d + 4.0 * square : 0.0) + 7.0;
}

/* phi = features exp(log_scale) against the reference, and the references themselves. */
static void check_values(const problem *p, const clfavor_estimator *estimator, const float *x, const result *r) {
    uint32_t columns = columns_of(p);
    uint64_t heads = p->batch * p->heads;
    double *log_abs = test_alloc((size_t)p->n * columns, sizeof *log_abs);
    double *sign = test_alloc((size_t)p->n * columns, sizeof *sign);
    double log_norm = p->map == CLFAVOR_MAP_ELU          ? 0.0
                      : p->map == CLFAVOR_MAP_HYPERBOLIC ? -0.5 * log(2.0 * p->m)
                                                         : -0.5 * log(p->m);
    for (size_t h = 0; h < heads; ++h) {
        for (size_t i = 0; i < p->n; ++i) {
            const float *token = x + (h * p->n + i) * p->d;
            double in[256];
            for (uint32_t l = 0; l < p->d; ++l)
                in[l] = (double)token[l];
            ck_assert_int_eq(clfavor_reference_features(estimator, p->sets == 1 ? 0 : (uint32_t)(h % p->heads), p->key,
                                                        in, log_abs + i * columns, sign + i * columns),
                             CLFAVOR_SUCCESS);
        }
        const float *scales = r->log_scale + h * scales_of(p);
        double *largest = test_alloc((size_t)scales_of(p), sizeof *largest); /* of those that share a log scale */
        for (size_t i = 0; i < p->n; ++i) {
            double size = exponent_size(p, x + (h * p->n + i) * p->d);
            /* (d + 8) roundings of terms that add up to `size` at most, the rounding of the log scale, 2^x. Relu and
             * elu take a log2 of t, whose own error is (d + 2) u |w||x| absolute, not relative: below a t of that size
             * a feature is compared with the absolute error. */
            double error = (p->d + 8) * UNIT * size + EXP2_ERROR + TRIG_ERROR;
            for (uint32_t f = 0; f < columns; ++f) {
                float value = r->features[(h * p->n + i) * columns + f];
                float scale = scales[!p->key ? i : is_signed(p->map) ? 0 : f];
                double expected = sign[i * columns + f] * exp(log_abs[i * columns + f] - (double)scale);
                if (scale == -INFINITY) { /* nothing but zeros, here and there */
                    EXPECT(value == 0.0F);
                    EXPECT(sign[i * columns + f] == 0.0);
                    continue;
                }
                double magnitude = is_signed(p->map) ? fabs(value) + exp(log_norm) : fabs((double)value);
                double tolerance = magnitude * (error + 4 * UNIT * fabs((double)scale)) * 1.5 + 2e-38;
                double log_size = sign[i * columns + f] == 0.0 ? 0.0 : fabs(log_abs[i * columns + f] - log_norm);
                if (p->map == CLFAVOR_MAP_RELU || p->map == CLFAVOR_MAP_ELU)
                    tolerance += magnitude * LOG2_ERROR * (log_size + 1.0);
                if (p->map == CLFAVOR_MAP_RELU)
                    tolerance += exp(log_norm - (double)scale) * error;
                if (!(fabs((double)value - expected) <= tolerance))
                    ck_abort_msg("map %d, key %d: token %zu feature %u is %.9g, expected %.9g +- %.2g", (int)p->map,
                                 p->key, i, f, (double)value, expected, tolerance);
                double *shared = &largest[!p->key ? i : is_signed(p->map) ? 0 : f];
                *shared = fabs((double)value) > *shared ? fabs((double)value) : *shared;
            }
        }
        /* The reference is attained, so that no feature exceeds 1/sqrt(count), cos of trig-phase sqrt 2 of it. */
        double bound = exp(log_norm) * (p->map == CLFAVOR_MAP_TRIG_PHASE ? sqrt(2.0) : 1.0);
        for (size_t i = 0; i < scales_of(p); ++i) {
            EXPECT(largest[i] <= bound * (1 + 8 * UNIT));
            EXPECT(is_signed(p->map) || scales[i] == -INFINITY || largest[i] >= bound * (1 - 8 * UNIT));
        }
        free(largest);
    }
    free(log_abs);
    free(sign);
}

#define MAPS  8
#define CASES 6

/* Odd sizes; many features, one token; a token alone; one feature; several waves of heads by a small workspace. Few
 * dimensions, since each is programs of its own to build. */
static const problem problems[CASES] = {
    {.m = 70, .d = 33, .sets = 1, .batch = 2, .heads = 3, .n = 37, .sigma = 1.0},
    {.m = 300, .d = 33, .sets = 2, .batch = 1, .heads = 2, .n = 130, .sigma = 1.5, .pieces = 3},
    {.m = 1030, .d = 33, .sets = 1, .batch = 1, .heads = 1, .n = 1, .sigma = 1.0},
    {.m = 1, .d = 1, .sets = 1, .batch = 1, .heads = 1, .n = 1, .sigma = 1.0},
    {.m = 1, .d = 1, .sets = 3, .batch = 2, .heads = 3, .n = 65, .sigma = 2.0},
    {.m = 17, .d = 256, .sets = 1, .batch = 2, .heads = 2, .n = 200, .sigma = 1.0, .workspace_limit = 5000},
};

START_TEST(matches_reference) {
    problem p = problems[_i / 2 / MAPS];
    p.map = (clfavor_map)(_i / 2 % MAPS);
    p.key = _i % 2;
    if (p.map == CLFAVOR_MAP_ELU)
        p.sets = 1;
    if (p.d == 256 && p.map != CLFAVOR_MAP_POSITIVE && p.map != CLFAVOR_MAP_EXPONENTIAL)
        p.d = 33;
    clfavor_estimator *estimator = make_estimator(&p);
    float *x = test_normals(900 + (uint64_t)_i, (size_t)(p.batch * p.heads * p.n * p.d), p.sigma);
    for (int c = 0; c < 2; ++c) {
        result dense = run(c, &p, estimator, x, 0), spread = run(c, &p, estimator, x, 3);
        check_values(&p, estimator, x, &dense);
        ck_assert(!memcmp(dense.features, spread.features,
                          (size_t)(p.batch * p.heads * p.n) * columns_of(&p) * sizeof(float)));
        ck_assert(
            !memcmp(dense.log_scale, spread.log_scale, (size_t)(p.batch * p.heads * scales_of(&p)) * sizeof(float)));
        if (p.workspace_limit)
            ck_assert_uint_le(dense.info.workspace_size, p.workspace_limit);
        result_free(&dense);
        result_free(&spread);
    }
    free(x);
    clfavor_estimator_destroy(estimator);
}
END_TEST

/* A NaN, with a payload, in one token: all its features are NaN, nothing else changes, to the bit. */
START_TEST(nan_stays_in_its_row) {
    const uint32_t bits = 0x7fc12345u;
    problem p = {.map = (clfavor_map)(_i / 2),
                 .m = 70,
                 .d = 33,
                 .sets = 1,
                 .batch = 1,
                 .heads = 2,
                 .n = 67,
                 .sigma = 1.0,
                 .key = _i % 2};
    uint32_t columns = columns_of(&p);
    clfavor_estimator *estimator = make_estimator(&p);
    float *x = test_normals(77, (size_t)(2 * p.n * p.d), 1.0);
    static const size_t tokens[] = {0, 1, 7, 8, 63, 64, 66, 67, 133};
    for (int c = 0; c < 2; ++c) {
        for (size_t t = 0; t < sizeof tokens / sizeof tokens[0]; ++t) {
            /* In the clean run no key's reference is this token's own: its exponents are below the others'. */
            float *token = x + tokens[t] * p.d, saved[33];
            memcpy(saved, token, sizeof saved);
            for (uint32_t l = 0; l < p.d; ++l)
                token[l] = p.map == CLFAVOR_MAP_ELU                        ? -9.0F
                           : is_signed(p.map) || p.map == CLFAVOR_MAP_RELU ? 0.0F
                                                                           : 9.0F * token[l];
            result clean = run(c, &p, estimator, x, 0);
            for (uint32_t l = 0; l < p.d; ++l)
                if (p.map == CLFAVOR_MAP_ELU || l == t % p.d) /* elu has a feature for each coordinate */
                    memcpy(token + l, &bits, sizeof bits);
            result r = run(c, &p, estimator, x, 0);
            for (size_t i = 0; i < 2 * p.n; ++i)
                for (uint32_t f = 0; f < columns; ++f) {
                    float value = r.features[i * columns + f];
                    if (i == tokens[t])
                        EXPECT(isnan(value));
                    else
                        EXPECT(!memcmp(&value, &clean.features[i * columns + f], sizeof value));
                }
            for (size_t i = 0; i < 2 * scales_of(&p); ++i)
                if (p.key || i != tokens[t])
                    EXPECT(!memcmp(&r.log_scale[i], &clean.log_scale[i], sizeof(float)));
            result_free(&r);
            result_free(&clean);
            memcpy(token, saved, sizeof saved);
        }
    }
    free(x);
    clfavor_estimator_destroy(estimator);
}
END_TEST

/* The gaussian map has no scalar term, so its scale is 0 even where |x|^2 overflows. */
START_TEST(gaussian_has_no_scale) {
    for (int key = 0; key < 2; ++key) {
        problem p = {
            .map = CLFAVOR_MAP_GAUSSIAN, .m = 40, .d = 33, .sets = 1, .batch = 1, .heads = 1, .n = 3, .key = key};
        clfavor_estimator *estimator = make_estimator(&p);
        float *x = test_normals(88, p.n * p.d, 1.0);
        x[p.d] = 1e30F;
        for (int c = 0; c < 2; ++c) {
            result r = run(c, &p, estimator, x, 0);
            for (size_t i = 0; i < scales_of(&p); ++i)
                EXPECT(r.log_scale[i] == 0.0F);
            for (size_t i = 0; i < p.n * 2 * p.m; ++i)
                EXPECT(fabs((double)r.features[i]) <= (1 + 8 * UNIT) / sqrt(p.m));
            result_free(&r);
        }
        free(x);
        clfavor_estimator_destroy(estimator);
    }
}
END_TEST

/* Where no relu is active, features are 0 and the log scale is -inf. */
START_TEST(zero_features_have_no_scale) {
    for (int key = 0; key < 2; ++key) {
        problem p = {.map = CLFAVOR_MAP_RELU, .m = 40, .d = 33, .sets = 1, .batch = 1, .heads = 1, .n = 70, .key = key};
        clfavor_estimator *estimator = make_estimator(&p);
        float *x = test_alloc(p.n * p.d, sizeof *x); /* zeros */
        for (int c = 0; c < 2; ++c) {
            result r = run(c, &p, estimator, x, 0);
            for (size_t i = 0; i < p.n * p.m; ++i)
                EXPECT(r.features[i] == 0.0F);
            for (size_t i = 0; i < scales_of(&p); ++i)
                EXPECT(r.log_scale[i] == -INFINITY);
            result_free(&r);
        }
        free(x);
        clfavor_estimator_destroy(estimator);
    }
}
END_TEST

/* A query's features do not depend on its neighbours, nor on how many there are; keys' not on the pieces. */
START_TEST(bits_do_not_depend_on_company) {
    problem p = {.map = (clfavor_map)_i, .m = 45, .d = 33, .sets = 1, .batch = 1, .heads = 1, .n = 150};
    uint32_t columns = columns_of(&p);
    clfavor_estimator *estimator = make_estimator(&p);
    float *x = test_normals(55, (size_t)(p.n * p.d), 1.0);
    for (int c = 0; c < 2; ++c) {
        p.key = false;
        result all = run(c, &p, estimator, x, 0);
        problem one = p;
        one.n = 1;
        for (size_t i = 0; i < p.n; i += 13) {
            result r = run(c, &one, estimator, x + i * p.d, 0);
            ck_assert(!memcmp(r.features, all.features + i * columns, columns * sizeof(float)));
            ck_assert(!memcmp(r.log_scale, all.log_scale + i, sizeof(float)));
            result_free(&r);
        }
        result_free(&all);
        p.key = true;
        p.pieces = 1;
        result first = run(c, &p, estimator, x, 0);
        p.pieces = 7;
        result second = run(c, &p, estimator, x, 0);
        ck_assert(!memcmp(first.features, second.features, (size_t)p.n * columns * sizeof(float)));
        ck_assert(!memcmp(first.log_scale, second.log_scale, (size_t)scales_of(&p) * sizeof(float)));
        result_free(&first);
        result_free(&second);
    }
    free(x);
    clfavor_estimator_destroy(estimator);
}
END_TEST

/* m = 65,536 rows, 131,072 features, in a workspace far below 64 MiB; a limit that cannot hold one head's references is
 * refused. */
START_TEST(largest_feature_count) {
    for (int key = 0; key < 2; ++key) {
        problem p = {.map = CLFAVOR_MAP_HYPERBOLIC,
                     .m = 65536,
                     .d = 1, /* quickly drawn */
                     .sets = 1,
                     .batch = 1,
                     .heads = 2,
                     .n = 9,
                     .sigma = 1.0,
                     .key = key,
                     .workspace_limit = 1 << 20};
        clfavor_estimator *estimator = make_estimator(&p);
        float *x = test_normals(66, (size_t)(p.heads * p.n * p.d), 1.0);
        for (int c = 0; c < 2; ++c) {
            result r = run(c, &p, estimator, x, 0);
            ck_assert_uint_le(r.info.workspace_size, p.workspace_limit);
            check_values(&p, estimator, x, &r);
            result_free(&r);
            clfavor_plan_desc desc = {.struct_size = sizeof desc,
                                      .operation = CLFAVOR_OP_FEATURES_KEY,
                                      .map = p.map,
                                      .features = p.m,
                                      .dim = p.d,
                                      .workspace_limit = 1 << 18};
            clfavor_plan *plan = NULL;
            ck_assert_int_eq(clfavor_plan_create(&plan, contexts[c], &desc), CLFAVOR_WORKSPACE);
        }
        free(x);
        clfavor_estimator_destroy(estimator);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("features");
    TCase *tcase = tcase_create("features");
    tcase_set_timeout(tcase, 300);
    tcase_add_unchecked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, matches_reference, 0, CASES * MAPS * 2);
    tcase_add_loop_test(tcase, nan_stays_in_its_row, 0, MAPS * 2);
    tcase_add_test(tcase, gaussian_has_no_scale);
    tcase_add_test(tcase, zero_features_have_no_scale);
    tcase_add_loop_test(tcase, bits_do_not_depend_on_company, 0, MAPS);
    tcase_add_test(tcase, largest_feature_count);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
