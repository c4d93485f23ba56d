/* Exact softmax attention of both classes: against the double reference, and the rules that hold to the last bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define UNIT        5.9604644775390625e-8 /* 2^-24: half an ulp of 1 */
#define EXP2_ERROR  2e-7                  /* of the kernels' 2^x, relative, with its rounding */
#define LONG_BLOCK  72                    /* keys of an inner sum, cpu class */
#define SHORT_BLOCK 16                    /* the same, gpu class */
#define KEY_WAVE    16384                 /* keys a launch */

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

typedef struct shape {
    uint64_t batch, heads, heads_kv, n, n_k;
    uint32_t d, dv, causal;
    uint64_t start, step;
    double scale, sigma; /* of q and k; 0: 1/sqrt(d), 1 */
    size_t workspace_limit;
} shape;

typedef struct result {
    float *o, *lse, *sign;
} result;

static void result_free(result *r) {
    free(r->o);
    free(r->lse);
    free(r->sign);
}

static size_t rows_of(const shape *s) {
    return (size_t)(s->batch * s->heads * s->n);
}

static clfavor_plan *make_plan(clfavor_context *context, const shape *s) {
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = CLFAVOR_OP_EXACT,
                              .dim = s->d,
                              .value_dim = s->dv,
                              .causal = s->causal,
                              .max_batch = s->batch,
                              .max_heads = s->heads,
                              .max_n = s->n > s->n_k ? s->n : s->n_k,
                              .workspace_limit = s->workspace_limit};
    clfavor_plan *plan = NULL;
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_SUCCESS);
    return plan;
}

/* Enqueues with a workspace of the plan's size. */
static void enqueue(clfavor_plan *plan, clfavor_attention_args *args) {
    clfavor_plan_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_SUCCESS);
    test_buffer workspace = {0};
    if (info.workspace_size) {
        workspace = test_buffer_create(&device, NULL, info.workspace_size / sizeof(float));
        args->workspace = workspace.mem;
        args->workspace_offset = workspace.offset;
    }
    ck_assert_int_eq(clfavor_enqueue_attention(plan, args, device.queue, 0, NULL, NULL), CLFAVOR_SUCCESS);
    if (info.workspace_size) {
        free(test_buffer_read(&device, &workspace));
        test_buffer_release(&workspace);
    }
}

static clfavor_attention_args make_args(const shape *s) {
    return (clfavor_attention_args){.struct_size = sizeof(clfavor_attention_args),
                                    .batch = s->batch,
                                    .heads = s->heads,
                                    .heads_kv = s->heads_kv,
                                    .n = s->n,
                                    .n_k = s->n_k,
                                    .scale = s->scale,
                                    .query_start = s->start,
                                    .query_step = s->step};
}

static result run(int c, const shape *s, const float *q, const float *k, const float *v) {
    size_t rows = rows_of(s), keys = (size_t)(s->batch * s->heads_kv * s->n_k);
    test_buffer bq = test_buffer_create(&device, q, rows * s->d), bk = test_buffer_create(&device, k, keys * s->d);
    test_buffer bv = test_buffer_create(&device, v, keys * s->dv), bo = test_buffer_create(&device, NULL, rows * s->dv);
    test_buffer bl = test_buffer_create(&device, NULL, rows), bs = test_buffer_create(&device, NULL, rows);
    clfavor_plan *plan = make_plan(contexts[c], s);
    clfavor_attention_args args = make_args(s);
    args.q = test_tensor(&bq, s->heads, s->n, s->d);
    args.k = test_tensor(&bk, s->heads_kv, s->n_k, s->d);
    args.v = test_tensor(&bv, s->heads_kv, s->n_k, s->dv);
    args.o = test_tensor(&bo, s->heads, s->n, s->dv);
    args.lse = test_tensor(&bl, s->heads, s->n, 1);
    args.sign = test_tensor(&bs, s->heads, s->n, 1);
    enqueue(plan, &args);
    result r = {test_buffer_read(&device, &bo), test_buffer_read(&device, &bl), test_buffer_read(&device, &bs)};
    test_buffer *all[] = {&bq, &bk, &bv, &bo, &bl, &bs};
    for (size_t i = 0; i < 6; ++i)
        test_buffer_release(all[i]);
    clfavor_plan_destroy(plan);
    return r;
}

typedef struct inputs {
    float *q, *k, *v;
} inputs;

static inputs make_inputs(const shape *s, uint64_t seed) {
    size_t rows = rows_of(s), keys = (size_t)(s->batch * s->heads_kv * s->n_k);
    double sigma = s->sigma > 0 ? s->sigma : 1.0;
    return (inputs){test_normals(seed, rows * s->d, sigma), test_normals(seed + 1, keys * s->d, sigma),
                    test_normals(seed + 2, keys * s->dv, 1.0)};
}

static void inputs_free(inputs *in) {
    free(in->q);
    free(in->k);
    free(in->v);
}

/* Row i sees keys 0 .. last. */
static uint64_t last_key(const shape *s, uint64_t i) {
    if (!s->causal)
        return s->n_k - 1;
    uint64_t last = s->start + i * (s->step ? s->step : 1);
    return last < s->n_k ? last : s->n_k - 1;
}

/* ------------------------------------------------------------------------------------------- against the reference */

static const shape shapes[] = {
    {.batch = 1, .heads = 1, .heads_kv = 1, .n = 1, .n_k = 1, .d = 1, .dv = 1},
    {.batch = 1, .heads = 1, .heads_kv = 1, .n = 1, .n_k = 1, .d = 1, .dv = 1, .causal = 1},
    {.batch = 2, .heads = 3, .heads_kv = 3, .n = 33, .n_k = 70, .d = 60, .dv = 33},
    {.batch = 2, .heads = 6, .heads_kv = 2, .n = 65, .n_k = 65, .d = 32, .dv = 17, .causal = 1},
    {.batch = 1, .heads = 4, .heads_kv = 1, .n = 130, .n_k = 257, .d = 256, .dv = 256},
    {.batch = 1, .heads = 2, .heads_kv = 2, .n = 257, .n_k = 257, .d = 7, .dv = 200, .causal = 1, .scale = 0.9},
    {.batch = 1, .heads = 1, .heads_kv = 1, .n = 301, .n_k = 301, .d = 64, .dv = 64, .causal = 1, .sigma = 6.0},
    {.batch = 1, .heads = 1, .heads_kv = 1, .n = 40, .n_k = 300, .d = 33, .dv = 8, .sigma = 30.0},
    /* rows that see 4, 14, 24, .. keys; the last ones all */
    {.batch = 1, .heads = 2, .heads_kv = 1, .n = 37, .n_k = 301, .d = 20, .dv = 9, .causal = 1, .start = 3, .step = 10},
    {.batch = 1, .heads = 1, .heads_kv = 1, .n = 3, .n_k = 9, .d = 5, .dv = 3, .causal = 1, .start = 8, .step = 1},
    {.batch = 1,
     .heads = 1,
     .heads_kv = 1,
     .n = 3,
     .n_k = 9,
     .d = 5,
     .dv = 3,
     .causal = 1,
     .start = 1,
     .step = UINT64_MAX / 2},
    /* several waves of keys, and of queries by a small workspace */
    {.batch = 1,
     .heads = 2,
     .heads_kv = 1,
     .n = 150,
     .n_k = 2 * KEY_WAVE + 77,
     .d = 5,
     .dv = 3,
     .workspace_limit = 8192},
    {.batch = 1,
     .heads = 1,
     .heads_kv = 1,
     .n = 70,
     .n_k = 2 * KEY_WAVE + 77,
     .d = 6,
     .dv = 40,
     .causal = 1,
     .start = KEY_WAVE - 300,
     .step = 400},
};

static double largest_norm(const float *x, size_t rows, uint32_t d) {
    double largest = 0.0;
    for (size_t r = 0; r < rows; ++r) {
        double square = 0.0;
        for (uint32_t c = 0; c < d; ++c)
            square += (double)x[r * d + c] * (double)x[r * d + c];
        largest = square > largest ? square : largest;
    }
    return sqrt(largest);
}

START_TEST(matches_reference) {
    const shape *s = &shapes[_i];
    inputs in = make_inputs(s, 1000 + (uint64_t)_i);
    size_t rows = rows_of(s), keys = (size_t)(s->batch * s->heads_kv * s->n_k);
    double *q = test_doubles(in.q, rows * s->d), *k = test_doubles(in.k, keys * s->d);
    double *v = test_doubles(in.v, keys * s->dv), *v_abs = test_doubles(in.v, keys * s->dv);
    for (size_t i = 0; i < keys * s->dv; ++i)
        v_abs[i] = fabs(v_abs[i]);
    /* The reference knows keys 0..i only, so causal rows are asked for one by one where they see others. */
    double *o = test_alloc(rows * s->dv, sizeof *o), *o_abs = test_alloc(rows * s->dv, sizeof *o);
    double *lse = test_alloc(rows, sizeof *lse);
    for (uint64_t row = 0; row < rows; ++row) {
        uint64_t i = row % s->n, head = row / s->n, batch = head / s->heads;
        uint64_t kv = batch * s->heads_kv + head % s->heads / (s->heads / s->heads_kv);
        clfavor_reference_args args = {.struct_size = sizeof args,
                                       .n = 1,
                                       .n_k = last_key(s, i) + 1,
                                       .dim = s->d,
                                       .value_dim = s->dv,
                                       .scale = s->scale,
                                       .q = q + row * s->d,
                                       .k = k + kv * s->n_k * s->d,
                                       .v = v + kv * s->n_k * s->dv,
                                       .o = o + row * s->dv,
                                       .lse = lse + row};
        ck_assert_int_eq(clfavor_reference_exact(&args), CLFAVOR_SUCCESS);
        args.v = v_abs + kv * s->n_k * s->dv;
        args.o = o_abs + row * s->dv;
        args.lse = NULL;
        ck_assert_int_eq(clfavor_reference_exact(&args), CLFAVOR_SUCCESS);
    }
    /* A score, in base 2, is a sum of d products of at most `size` in all: off by (d + 3) u size with its two roundings
     * of the scaled query, and by u size more when the reference is subtracted. A weight is off by this times ln 2, by
     * 2^x's own error, and by that once more each time that the reference grows (below 20 times in 2,100 blocks in
     * random order); a sum by u for each of its terms, at all three levels; numerator and denominator alike. */
    double scale = s->scale > 0 ? s->scale : 1.0 / sqrt(s->d);
    double size = largest_norm(in.q, rows, s->d) * largest_norm(in.k, keys, s->d) * scale;
    double blocks = (double)(s->n_k < KEY_WAVE ? s->n_k : KEY_WAVE) / SHORT_BLOCK;
    double terms = LONG_BLOCK + blocks + (double)(s->n_k / KEY_WAVE);
    double weight = (s->d + 5) * UNIT * size + 20 * EXP2_ERROR + (terms + 4) * UNIT;
    for (int c = 0; c < 2; ++c) {
        result r = run(c, s, in.q, in.k, in.v);
        for (size_t i = 0; i < rows * s->dv; ++i)
            EXPECT(fabs((double)r.o[i] - o[i]) <= 2 * weight * o_abs[i] + 1e-37);
        for (size_t i = 0; i < rows; ++i) {
            EXPECT(fabs((double)r.lse[i] - lse[i]) <= weight + 4 * UNIT * (fabs(lse[i]) + size));
            EXPECT(r.sign[i] == 1.0F);
        }
        if (s->sigma <= 1.0)
            ck_assert_double_lt(test_worst_error(r.o, o, (size_t)(s->batch * s->heads), (size_t)s->n * s->dv), 5e-5);
        result_free(&r);
    }
    double *all[] = {q, k, v, v_abs, o, o_abs, lse};
    for (size_t i = 0; i < 7; ++i)
        free(all[i]);
    inputs_free(&in);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ bits of a prefix */

enum { HOSTILE = 9 };

/* What comes after `prefix` keys: K x1000, x0, NaN, inf, 1e30, large in one direction; V NaN, inf, 1e30. */
static void spoil(int kind, float *k, float *v, uint64_t prefix, const shape *s) {
    for (uint64_t j = prefix; j < s->n_k; ++j) {
        for (uint32_t c = 0; c < s->d; ++c) {
            float *x = &k[j * s->d + c];
            *x = kind == 0   ? *x * 1000.0F
                 : kind == 1 ? 0.0F
                 : kind == 2 ? NAN
                 : kind == 3 ? INFINITY
                 : kind == 4 ? 1e30F
                 : kind == 5 ? (float)(20.0 * test_normal(99, c))
                             : *x;
        }
        for (uint32_t c = 0; c < s->dv; ++c) {
            float *x = &v[j * s->dv + c];
            *x = kind == 6 ? NAN : kind == 7 ? -INFINITY : kind == 8 ? 1e30F : *x;
        }
    }
}

/* Batch entry 0 is clean, the others have hostile futures; then the prefix alone. All agree in its rows to the bit. */
static void check_prefix(int c, uint32_t d, uint64_t prefix) {
    shape one = {.batch = 1, .heads = 1, .heads_kv = 1, .n = 200, .n_k = 200, .d = d, .dv = d / 2 + 1, .causal = 1};
    shape all = one, alone = one;
    all.batch = 1 + HOSTILE;
    alone.n = alone.n_k = prefix;
    inputs in = make_inputs(&one, 7);
    size_t size_k = (size_t)one.n_k * d, size_v = (size_t)one.n_k * one.dv, o_size = (size_t)prefix * one.dv;
    float *q = test_alloc(all.batch * size_k, sizeof *q), *k = test_alloc(all.batch * size_k, sizeof *k);
    float *v = test_alloc(all.batch * size_v, sizeof *v);
    for (size_t b = 0; b < all.batch; ++b) {
        memcpy(q + b * size_k, in.q, size_k * sizeof *q);
        memcpy(k + b * size_k, in.k, size_k * sizeof *k);
        memcpy(v + b * size_v, in.v, size_v * sizeof *v);
        if (b)
            spoil((int)b - 1, k + b * size_k, v + b * size_v, prefix, &one);
    }
    result r = run(c, &all, q, k, v), short_r = run(c, &alone, in.q, in.k, in.v);
    for (size_t b = 0; b < all.batch; ++b) {
        ck_assert_msg(!memcmp(r.o + b * size_v, short_r.o, o_size * sizeof(float)),
                      "class %d, d = %u: the output of a prefix of %d depends on future %d", c, d, (int)prefix, (int)b);
        ck_assert(!memcmp(r.lse + b * one.n, short_r.lse, (size_t)prefix * sizeof(float)));
        ck_assert(!memcmp(r.sign + b * one.n, short_r.sign, (size_t)prefix * sizeof(float)));
    }
    for (size_t i = 0; i < o_size; ++i)
        EXPECT(isfinite(short_r.o[i]));
    /* The futures are really hostile: the row after the prefix sees NaN. */
    ck_assert(isnan(r.o[3 * size_v + o_size]));
    result_free(&r);
    result_free(&short_r);
    inputs_free(&in);
    free(q);
    free(k);
    free(v);
}

START_TEST(prefix_bits) {
    static const uint64_t prefixes[] = {1, 2, 63, 64, 65, 100, 150};
    static const uint32_t dims[] = {32, 64, 256};
    for (int c = 0; c < 2; ++c) {
        for (size_t i = 0; i < 3; ++i)
            for (size_t j = 0; j < 7; ++j)
                check_prefix(c, dims[i], prefixes[j]);
        for (uint64_t prefix = 66; prefix < 128; ++prefix) /* every offset inside one block of keys */
            check_prefix(c, 32, prefix);
    }
}
END_TEST

/* The same where the last visible key lies in another launch than the keys of the tile's other rows. */
START_TEST(prefix_bits_over_launches) {
    shape s = {.batch = 1,
               .heads = 1,
               .heads_kv = 1,
               .n = 48,
               .n_k = 3 * KEY_WAVE,
               .d = 4,
               .dv = 3,
               .causal = 1,
               .start = 100,
               .step = 1000};
    inputs in = make_inputs(&s, 17);
    for (int c = 0; c < 2; ++c) {
        result clean = run(c, &s, in.q, in.k, in.v);
        float *k = test_alloc((size_t)s.n_k * s.d, sizeof *k), *v = test_alloc((size_t)s.n_k * s.dv, sizeof *v);
        static const uint64_t rows[] = {1, 10, 20, 40};
        for (size_t i = 0; i < 4; ++i)
            for (int kind = 0; kind < HOSTILE; ++kind) {
                memcpy(k, in.k, (size_t)s.n_k * s.d * sizeof *k);
                memcpy(v, in.v, (size_t)s.n_k * s.dv * sizeof *v);
                spoil(kind, k, v, last_key(&s, rows[i] - 1) + 1, &s);
                result r = run(c, &s, in.q, k, v);
                ck_assert(!memcmp(r.o, clean.o, (size_t)rows[i] * s.dv * sizeof(float)));
                ck_assert(!memcmp(r.lse, clean.lse, (size_t)rows[i] * sizeof(float)));
                result_free(&r);
            }
        /* One row alone, by its place, is the same row. */
        shape alone = s;
        alone.n = 1;
        alone.start = last_key(&s, 29);
        result r = run(c, &alone, in.q + 29 * s.d, in.k, in.v);
        ck_assert(!memcmp(r.o, clean.o + 29 * s.dv, s.dv * sizeof(float)));
        ck_assert(!memcmp(r.lse, clean.lse + 29, sizeof(float)));
        result_free(&r);
        result_free(&clean);
        free(k);
        free(v);
    }
    inputs_free(&in);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- NaN, places */

/* A NaN with a payload in q, k and v at every place of a tile of rows and a block of keys. */
START_TEST(nan_where_it_is_seen) {
    const uint32_t bits = 0x7fc12345u;
    float nan;
    memcpy(&nan, &bits, sizeof nan);
    for (int c = 0; c < 2; ++c)
        for (uint32_t causal = 0; causal < 2; ++causal) {
            /* batch entry b holds a NaN in row b of q, k or v */
            shape s = {.batch = 70, .heads = 1, .heads_kv = 1, .n = 70, .n_k = 70, .d = 6, .dv = 5, .causal = causal};
            inputs in = make_inputs(&s, 23);
            for (int which = 0; which < 3; ++which) {
                float *array = which == 0 ? in.q : which == 1 ? in.k : in.v;
                size_t width = which == 2 ? s.dv : s.d;
                float saved[70];
                for (size_t b = 0; b < 70; ++b) {
                    float *at = array + (b * 70 + b) * width + b % width;
                    saved[b] = *at;
                    *at = nan;
                }
                result r = run(c, &s, in.q, in.k, in.v);
                for (size_t b = 0; b < 70; ++b) {
                    array[(b * 70 + b) * width + b % width] = saved[b];
                    for (size_t i = 0; i < 70; ++i) {
                        bool sees = which == 0 ? i == b : causal ? i >= b : true;
                        for (size_t l = 0; l < s.dv; ++l) {
                            bool hit = sees && (which < 2 || l == b % width);
                            EXPECT((isnan(r.o[(b * 70 + i) * s.dv + l]) != 0) == hit);
                        }
                        EXPECT((isnan(r.lse[b * 70 + i]) != 0) == (sees && which < 2));
                        EXPECT((isnan(r.sign[b * 70 + i]) != 0) == (sees && which < 2));
                    }
                }
                result_free(&r);
            }
            inputs_free(&in);
        }
}
END_TEST

/* Views: [n, batch, heads, last] with gaps and an odd offset, values shared by the batch, strided outputs. The same
 * bits as dense ones, and nothing written between the rows. */
START_TEST(strides_and_broadcast) {
    shape s = {.batch = 3, .heads = 4, .heads_kv = 2, .n = 37, .n_k = 41, .d = 19, .dv = 11};
    enum { GAP = 3, START = 5 };
    inputs in = make_inputs(&s, 31);
    size_t v_size = (size_t)(s.heads_kv * s.n_k * s.dv);
    for (size_t b = 1; b < s.batch; ++b)
        memcpy(in.v + b * v_size, in.v, v_size * sizeof(float));
    for (int c = 0; c < 2; ++c) {
        result dense = run(c, &s, in.q, in.k, in.v);
        uint64_t width_q = s.d + GAP, width_o = s.dv + GAP, token_q = s.batch * s.heads * width_q;
        uint64_t token_o = s.batch * s.heads * width_o, rows = s.batch * s.heads;
        size_t q_floats = (size_t)(s.n * token_q) + START, o_floats = (size_t)(s.n * token_o) + START;
        float *q = test_normals(5, q_floats, 1.0);
        for (size_t row = 0; row < rows; ++row)
            for (size_t i = 0; i < s.n; ++i)
                memcpy(q + START + i * token_q + row * width_q, in.q + (row * s.n + i) * s.d, s.d * sizeof(float));
        test_buffer bq = test_buffer_create(&device, q, q_floats), bo = test_buffer_create(&device, NULL, o_floats);
        test_buffer bk = test_buffer_create(&device, in.k, (size_t)(s.batch * s.heads_kv * s.n_k) * s.d);
        test_buffer bv = test_buffer_create(&device, in.v, v_size);
        test_buffer bl = test_buffer_create(&device, NULL, (size_t)(rows * s.n) * 2);
        clfavor_attention_args args = make_args(&s);
        args.q = (clfavor_tensor){bq.mem, bq.offset + START * sizeof(float), CLFAVOR_F32, s.heads * width_q, width_q,
                                  token_q};
        args.o = (clfavor_tensor){bo.mem, bo.offset + START * sizeof(float), CLFAVOR_F32, s.heads * width_o, width_o,
                                  token_o};
        args.k = test_tensor(&bk, s.heads_kv, s.n_k, s.d);
        args.v = test_tensor(&bv, s.heads_kv, s.n_k, s.dv);
        args.v.stride_batch = 0;
        args.lse = (clfavor_tensor){bl.mem, bl.offset, CLFAVOR_F32, 2 * s.heads * s.n, 2 * s.n, 2};
        clfavor_plan *plan = make_plan(contexts[c], &s);
        enqueue(plan, &args); /* without sign */
        float *o = test_buffer_read(&device, &bo), *lse = test_buffer_read(&device, &bl);
        size_t poison = 0;
        for (size_t i = 0; i < o_floats; ++i) {
            uint32_t bits;
            memcpy(&bits, &o[i], sizeof bits);
            poison += bits == TEST_POISON;
        }
        ck_assert_uint_eq(poison, o_floats - (size_t)(rows * s.n) * s.dv);
        for (size_t row = 0; row < rows; ++row)
            for (size_t i = 0; i < s.n; ++i) {
                const float *at = o + START + i * token_o + row * width_o;
                ck_assert(!memcmp(at, dense.o + (row * s.n + i) * s.dv, s.dv * sizeof(float)));
                ck_assert(!memcmp(lse + 2 * (row * s.n + i), dense.lse + row * s.n + i, sizeof(float)));
            }
        free(o);
        free(lse);
        free(q);
        test_buffer *all[] = {&bq, &bk, &bv, &bo, &bl};
        for (size_t i = 0; i < 5; ++i)
            test_buffer_release(all[i]);
        clfavor_plan_destroy(plan);
        result_free(&dense);
    }
    inputs_free(&in);
}
END_TEST

/* V = 1 comes out as 1, and with V = I the weights of a row sum to 1, to the rounding of the sums and one division. */
START_TEST(constant_and_unit_values) {
    shape s = {.batch = 1, .heads = 2, .heads_kv = 2, .n = 90, .n_k = 130, .d = 24, .dv = 130, .sigma = 3.0};
    inputs in = make_inputs(&s, 41);
    size_t keys = (size_t)(s.heads_kv * s.n_k);
    for (int c = 0; c < 2; ++c) {
        for (size_t i = 0; i < keys * s.dv; ++i)
            in.v[i] = 1.0F;
        result r = run(c, &s, in.q, in.k, in.v);
        for (size_t i = 0; i < rows_of(&s) * s.dv; ++i)
            EXPECT(fabs((double)r.o[i] - 1.0) <= 4 * UNIT);
        result_free(&r);
        for (size_t i = 0; i < keys * s.dv; ++i)
            in.v[i] = i / s.dv % s.n_k == i % s.dv ? 1.0F : 0.0F;
        r = run(c, &s, in.q, in.k, in.v);
        for (size_t row = 0; row < rows_of(&s); ++row) {
            double sum = 0.0;
            for (size_t l = 0; l < s.dv; ++l)
                sum += (double)r.o[row * s.dv + l];
            EXPECT(fabs(sum - 1.0) <= ((double)s.n_k + 4) * UNIT);
        }
        result_free(&r);
    }
    inputs_free(&in);
}
END_TEST

/* No workspace while one launch takes all keys; above, at most the limit and no more for longer sequences. */
START_TEST(workspace_is_bounded) {
    for (int c = 0; c < 2; ++c) {
        static const uint64_t lengths[] = {KEY_WAVE, KEY_WAVE + 1, (uint64_t)1 << 24, (uint64_t)1 << 40};
        for (size_t i = 0; i < 4; ++i) {
            clfavor_plan_desc desc = {.struct_size = sizeof desc,
                                      .operation = CLFAVOR_OP_EXACT,
                                      .dim = 64,
                                      .max_heads = 8,
                                      .max_n = lengths[i],
                                      .workspace_limit = 1 << 20};
            clfavor_plan *plan = NULL;
            clfavor_plan_info info = {.struct_size = sizeof info};
            ck_assert_int_eq(clfavor_plan_create(&plan, contexts[c], &desc), CLFAVOR_SUCCESS);
            ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_SUCCESS);
            ck_assert_int_eq(info.workspace_size > 0, i > 0);
            ck_assert_uint_le(info.workspace_size, desc.workspace_limit);
            clfavor_plan_destroy(plan);
            desc.workspace_limit = 64;
            ck_assert_int_eq(clfavor_plan_create(&plan, contexts[c], &desc), i ? CLFAVOR_WORKSPACE : CLFAVOR_SUCCESS);
            clfavor_plan_destroy(plan);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("exact");
    TCase *tcase = tcase_create("exact");
    tcase_set_timeout(tcase, 300);
    tcase_add_unchecked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, matches_reference, 0, (int)(sizeof shapes / sizeof shapes[0]));
    tcase_add_test(tcase, prefix_bits);
    tcase_add_test(tcase, prefix_bits_over_launches);
    tcase_add_test(tcase, nan_where_it_is_seen);
    tcase_add_test(tcase, strides_and_broadcast);
    tcase_add_test(tcase, constant_and_unit_values);
    tcase_add_test(tcase, workspace_is_bounded);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
