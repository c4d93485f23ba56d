/* The projection's interface: what it accepts, what its rows depend on, and golden values. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 0x0123456789abcdefu

/* An allocation that cannot succeed must return NULL under the address sanitizer as it does without. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID,
                                                CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM,
                                                CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, CLFAVOR_PROJECTION_SIMPLEX};
#define KINDS  5
#define BLOCKS 3 /* kinds whose rows are orthogonal in blocks of d, or nowhere */

static clfavor_projection_desc describe(clfavor_projection_kind kind, uint32_t m, uint32_t d, uint32_t sets,
                                        uint64_t seed) {
    return (clfavor_projection_desc){sizeof(clfavor_projection_desc), kind, m, d, sets, seed};
}

static clfavor_projection *create(clfavor_projection_kind kind, uint32_t m, uint32_t d, uint32_t sets, uint64_t seed) {
    clfavor_projection_desc desc = describe(kind, m, d, sets, seed);
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    return projection;
}

static bool same(const double *a, const double *b, size_t count) {
    return !memcmp(a, b, count * sizeof *a);
}

/* --- what rows depend on --- */

START_TEST(rows_do_not_depend_on_m_or_sets) {
    static const uint32_t d = 7, ms[] = {1, 3, 6, 7, 8, 13, 20, 21}; /* parts of blocks, whole ones and both */
    clfavor_projection *all = create(kinds[_i], 21, d, 3, SEED);
    const double *w = clfavor_projection_data(all), *phases = clfavor_projection_phases(all);
    for (size_t c = 0; c < sizeof ms / sizeof *ms; ++c)
        for (uint32_t sets = 1; sets <= 3; ++sets) {
            uint32_t m = ms[c];
            clfavor_projection *part = create(kinds[_i], m, d, sets, SEED);
            for (uint32_t s = 0; s < sets; ++s) {
                ck_assert(same(clfavor_projection_data(part) + (size_t)s * m * d, w + (size_t)s * 21 * d, m * d));
                ck_assert(same(clfavor_projection_phases(part) + (size_t)s * m, phases + (size_t)s * 21, m));
            }
            clfavor_projection_destroy(part);
        }
    clfavor_projection_destroy(all);
}
END_TEST

/* Every pair of rows differs, over blocks, sets and both words of the seed: nothing is drawn twice. */
START_TEST(rows_sets_and_seeds_differ) {
    enum { M = 40, D = 5, SETS = 3 };
    static const uint64_t seeds[] = {0, 1, 2, 1ull << 32, (1ull << 32) + 1, 1ull << 63, ~0ull};
    const size_t count = M * SETS, seed_count = sizeof seeds / sizeof *seeds;
    double *w = test_alloc(seed_count * count * D, sizeof *w), *phases = test_alloc(seed_count * count, sizeof *w);
    for (size_t s = 0; s < seed_count; ++s) {
        clfavor_projection *projection = create(kinds[_i], M, D, SETS, seeds[s]);
        memcpy(w + s * count * D, clfavor_projection_data(projection), count * D * sizeof *w);
        memcpy(phases + s * count, clfavor_projection_phases(projection), count * sizeof *w);
        clfavor_projection_destroy(projection);
    }
    size_t repeated = 0;
    for (size_t i = 0; i < seed_count * count; ++i)
        for (size_t j = 0; j < i; ++j)
            repeated += same(w + i * D, w + j * D, D) || phases[i] == phases[j];
    ck_assert_uint_eq(repeated, 0);
    free(w);
    free(phases);
}
END_TEST

START_TEST(last_block_is_orthogonal) {
    const uint32_t m = 21, d = 8; /* blocks of 8, 8 and 5 */
    for (int k = 0; k < BLOCKS; ++k) {
        clfavor_projection *projection = create(kinds[k], m, d, 1, SEED);
        const double *w = clfavor_projection_data(projection);
        double inside = 0, across = 0;
        for (uint32_t i = 0; i < m; ++i)
            for (uint32_t j = 0; j < i; ++j) {
                double product = 0, ii = 0, jj = 0;
                for (uint32_t l = 0; l < d; ++l) {
                    product += w[i * d + l] * w[j * d + l];
                    ii += w[i * d + l] * w[i * d + l];
                    jj += w[j * d + l] * w[j * d + l];
                }
                double *worst = i / d == j / d ? &inside : &across;
                *worst = fmax(*worst, fabs(product) / sqrt(ii * jj));
            }
        ck_assert_double_gt(across, 0.5);
        if (kinds[k] == CLFAVOR_PROJECTION_IID)
            ck_assert_double_gt(inside, 0.5);
        else
            ck_assert_double_le(inside, d * (d + 10) * 0x1p-52); /* test_haar.c */
        clfavor_projection_destroy(projection);
    }
}
END_TEST

/* The same directions as the unbiased kind, all of length sqrt(d): d roundings of a product of sums of squares. */
START_TEST(fixed_norm_has_sqrt_d) {
    static const uint32_t dims[] = {1, 2, 16, 33};
    for (size_t c = 0; c < sizeof dims / sizeof *dims; ++c) {
        const uint32_t d = dims[c], m = 2 * d + 1;
        clfavor_projection *fixed = create(CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM, m, d, 1, SEED);
        clfavor_projection *free_norm = create(CLFAVOR_PROJECTION_ORTHOGONAL, m, d, 1, SEED);
        const double *w = clfavor_projection_data(fixed), *v = clfavor_projection_data(free_norm);
        for (uint32_t i = 0; i < m; ++i) {
            double ww = 0, vv = 0, product = 0, bound = d * (d + 10) * 0x1p-52;
            for (uint32_t l = 0; l < d; ++l) {
                ww += w[i * d + l] * w[i * d + l];
                vv += v[i * d + l] * v[i * d + l];
                product += w[i * d + l] * v[i * d + l];
            }
            ck_assert_double_eq_tol(ww / d, 1, bound);
            ck_assert_double_eq_tol(product / sqrt(ww * vv), 1, bound);
        }
        clfavor_projection_destroy(fixed);
        clfavor_projection_destroy(free_norm);
    }
}
END_TEST

START_TEST(pairs_are_opposite_orthogonal_rows) {
    static const uint32_t ms[] = {1, 2, 7, 14, 15, 29, 30, 41}; /* odd ones, parts of blocks and whole ones */
    enum { D = 7, SETS = 2 };
    for (size_t c = 0; c < sizeof ms / sizeof *ms; ++c) {
        const uint32_t m = ms[c], half = (m + 1) / 2;
        clfavor_projection *pairs = create(CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, m, D, SETS, SEED);
        clfavor_projection *plain = create(CLFAVOR_PROJECTION_ORTHOGONAL, half, D, SETS, SEED);
        for (uint32_t set = 0; set < SETS; ++set)
            for (uint32_t r = 0; r < m; ++r)
                for (uint32_t l = 0; l < D; ++l) {
                    double value = clfavor_projection_data(plain)[((size_t)set * half + r / 2) * D + l];
                    ck_assert(clfavor_projection_data(pairs)[((size_t)set * m + r) * D + l] ==
                              (r % 2 ? -value : value));
                }
        clfavor_projection_destroy(pairs);
        clfavor_projection_destroy(plain);
    }
}
END_TEST

/* Cosines of -1/(d - 1) inside a block of d rows, and the lengths of the orthogonal kind, which come from the same
 * normals. The unit rows err as in last_block_is_orthogonal; their mean adds d roundings, and the scale is at most
 * sqrt(2). */
START_TEST(simplex_blocks_have_equal_angles) {
    static const uint32_t dims[] = {1, 2, 3, 16, 33};
    for (size_t c = 0; c < sizeof dims / sizeof *dims; ++c) {
        const uint32_t d = dims[c], m = 2 * d + (d + 1) / 2;
        clfavor_projection *simplex = create(CLFAVOR_PROJECTION_SIMPLEX, m, d, 1, SEED);
        clfavor_projection *plain = create(CLFAVOR_PROJECTION_ORTHOGONAL, m, d, 1, SEED);
        const double *w = clfavor_projection_data(simplex), *v = clfavor_projection_data(plain);
        double bound = 2 * d * (d + 20) * 0x1p-52, across = 0;
        for (uint32_t i = 0; i < m; ++i)
            for (uint32_t j = 0; j <= i; ++j) {
                double product = 0, ii = 0, jj = 0, vv = 0;
                for (uint32_t l = 0; l < d; ++l) {
                    product += w[i * d + l] * w[j * d + l];
                    ii += w[i * d + l] * w[i * d + l];
                    jj += w[j * d + l] * w[j * d + l];
                    vv += v[i * d + l] * v[i * d + l];
                }
                double cosine = product / sqrt(ii * jj);
                if (i == j)
                    ck_assert_double_eq_tol(ii / vv, 1, bound);
                else if (i / d == j / d)
                    ck_assert_double_eq_tol(cosine, -1.0 / (d - 1), bound);
                else
                    across = fmax(across, fabs(cosine + 1.0 / (d > 1 ? d - 1 : 1)));
            }
        ck_assert_double_gt(across, 0.3);
        clfavor_projection_destroy(simplex);
        clfavor_projection_destroy(plain);
    }
}
END_TEST

/* To the last bit; tests/test_projection_bits.sh compares far more of them over compilers and options. */
START_TEST(golden_values) {
    static const double golden[KINDS][4] = {
        {-0x1.5df6731cd5ed9p+0, 0x1.1cfd9af70f529p-1, 0x1.9fae2dfe6452fp-1, 0x1.555cf54c39e08p+0},
        {-0x1.4ba1bdce3c1a8p-4, -0x1.1d1e20f04dbe3p-1, 0x1.eba58683a5c43p+0, 0x1.555cf54c39e08p+0},
        {-0x1.a4df15a990952p+0, 0x1.e51a9c56978b8p-2, 0x1.b04bec21777b4p-1, 0x1.555cf54c39e08p+0},
        {-0x1.5df6731cd5ed9p+0, -0x1.65e9ef92acab4p-1, 0x1.9fae2dfe6452fp-1, 0x1.555cf54c39e08p+0},
        {-0x1.fc34f57a4e75ap-1, 0x1.56a99f1b9776dp-1, 0x1.97e534a4c8c2fp-1, 0x1.555cf54c39e08p+0}};
    clfavor_projection *projection = create(kinds[_i], 9, 4, 2, SEED);
    const double *w = clfavor_projection_data(projection);
    const double actual[4] = {w[0], w[4 * 8 + 3], w[4 * 9 + 1], clfavor_projection_phases(projection)[17]};
    for (int i = 0; i < 4; ++i)
        ck_assert_msg(actual[i] == golden[_i][i], "{%a, %a, %a, %a}", actual[0], actual[1], actual[2], actual[3]);
    clfavor_projection_destroy(projection);
}
END_TEST

enum { THREADS = 8, THREAD_M = 300, THREAD_D = 33 };

static int create_in_thread(void *out) {
    clfavor_projection_desc desc = describe(CLFAVOR_PROJECTION_ORTHOGONAL, THREAD_M, THREAD_D, 2, SEED);
    return clfavor_projection_create(out, &desc) != CLFAVOR_SUCCESS;
}

START_TEST(threads_draw_the_same_bits) {
    clfavor_projection *projections[THREADS];
    thrd_t threads[THREADS];
    for (int t = 0; t < THREADS; ++t)
        ck_assert_int_eq(thrd_create(&threads[t], create_in_thread, &projections[t]), thrd_success);
    for (int t = 0; t < THREADS; ++t) {
        int failed;
        ck_assert_int_eq(thrd_join(threads[t], &failed), thrd_success);
        ck_assert_int_eq(failed, 0);
        ck_assert(same(clfavor_projection_data(projections[t]), clfavor_projection_data(projections[0]),
                       2 * THREAD_M * THREAD_D));
        ck_assert(
            same(clfavor_projection_phases(projections[t]), clfavor_projection_phases(projections[0]), 2 * THREAD_M));
    }
    for (int t = 0; t < THREADS; ++t)
        clfavor_projection_destroy(projections[t]);
}
END_TEST

/* --- arguments --- */

START_TEST(extreme_shapes) {
    static const uint32_t shapes[][2] = {{1, 1}, {65536, 1}, {1, 256}, {65536, 3}, {257, 256}, {255, 256}};
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; ++c) {
        const uint32_t m = shapes[c][0], d = shapes[c][1];
        clfavor_projection *projection = create(kinds[_i], m, d, 0, SEED);
        size_t finite = 0;
        for (size_t i = 0; i < (size_t)m * d; ++i)
            finite += isfinite(clfavor_projection_data(projection)[i]) != 0;
        ck_assert_uint_eq(finite, (size_t)m * d);
        clfavor_projection_desc desc = {.struct_size = sizeof desc};
        ck_assert_int_eq(clfavor_projection_get_desc(projection, &desc), CLFAVOR_SUCCESS);
        ck_assert(desc.struct_size == sizeof desc && desc.kind == kinds[_i] && desc.features == m && desc.dim == d);
        ck_assert(desc.sets == 1 && desc.seed == SEED);
        clfavor_projection_destroy(projection);
    }
}
END_TEST

static clfavor_status refuse(const clfavor_projection_desc *desc) {
    clfavor_projection *projection = (clfavor_projection *)&projection;
    clfavor_status status = clfavor_projection_create(&projection, desc);
    ck_assert_ptr_null(projection);
    return status;
}

START_TEST(create_refuses) {
    const clfavor_projection_desc good = describe(CLFAVOR_PROJECTION_IID, 8, 4, 1, 0);
    clfavor_projection_desc desc;
    ck_assert_int_eq(clfavor_projection_create(NULL, &good), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(refuse(NULL), CLFAVOR_INVALID_ARGUMENT);
    desc = good, desc.struct_size = 0;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    desc = good, desc.kind = CLFAVOR_PROJECTION_CUSTOM;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    desc = good, desc.kind = (clfavor_projection_kind)6;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    desc = good, desc.kind = (clfavor_projection_kind)-1;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    static const uint32_t shapes[][2] = {{0, 4}, {65537, 4}, {~0u, 4}, {8, 0}, {8, 257}, {8, ~0u}, {0, 0}};
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; ++c) {
        desc = good, desc.features = shapes[c][0], desc.dim = shapes[c][1];
        ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_SHAPE);
    }
    desc = describe(CLFAVOR_PROJECTION_IID, 65536, 256, ~0u, 0); /* 2^59 bytes */
    ck_assert_int_eq(refuse(&desc), CLFAVOR_OUT_OF_MEMORY);
}
END_TEST

/* An older header's descriptor ends before the seed; a newer one's has a field that this library does not know. */
START_TEST(descriptors_of_other_versions) {
    struct {
        clfavor_projection_desc desc;
        uint64_t later;
    } newer = {describe(CLFAVOR_PROJECTION_IID, 3, 2, 1, 0), 0};
    newer.desc.struct_size = sizeof newer;
    clfavor_projection *plain = create(CLFAVOR_PROJECTION_IID, 3, 2, 1, 0), *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &newer.desc), CLFAVOR_SUCCESS);
    clfavor_projection_destroy(projection);
    newer.later = 1;
    ck_assert_int_eq(refuse(&newer.desc), CLFAVOR_INVALID_ARGUMENT);
    clfavor_projection_desc older = describe(CLFAVOR_PROJECTION_IID, 3, 2, 1, 99);
    older.struct_size = offsetof(clfavor_projection_desc, seed);
    ck_assert_int_eq(clfavor_projection_create(&projection, &older), CLFAVOR_SUCCESS);
    ck_assert(same(clfavor_projection_data(projection), clfavor_projection_data(plain), 6));
    ck_assert_int_eq(clfavor_projection_get_desc(projection, &older), CLFAVOR_SUCCESS);
    ck_assert_uint_eq(older.seed, 99); /* beyond its size: untouched */
    clfavor_projection_destroy(projection);
    clfavor_projection_destroy(plain);
}
END_TEST

START_TEST(null_is_harmless) {
    clfavor_projection_desc desc = {.struct_size = sizeof desc};
    clfavor_projection_destroy(NULL);
    ck_assert_ptr_null(clfavor_projection_data(NULL));
    ck_assert_ptr_null(clfavor_projection_phases(NULL));
    ck_assert_int_eq(clfavor_projection_get_desc(NULL, &desc), CLFAVOR_INVALID_ARGUMENT);
    clfavor_projection *projection = create(CLFAVOR_PROJECTION_IID, 1, 1, 1, 0);
    ck_assert_int_eq(clfavor_projection_get_desc(projection, NULL), CLFAVOR_INVALID_ARGUMENT);
    desc.struct_size = 0;
    ck_assert_int_eq(clfavor_projection_get_desc(projection, &desc), CLFAVOR_INVALID_ARGUMENT);
    clfavor_projection_destroy(projection);
}
END_TEST

enum { M = 6, D = 3, SETS = 2, COUNT = M * D * SETS };

START_TEST(custom_data_round_trip) {
    double w[COUNT], phases[M * SETS], copy[COUNT];
    for (int i = 0; i < COUNT; ++i)
        copy[i] = w[i] = (i - 7) * 0.37;
    for (int i = 0; i < M * SETS; ++i)
        phases[i] = i;
    clfavor_projection_desc desc = describe((clfavor_projection_kind)77, M, D, SETS, SEED);
    clfavor_projection *given, *drawn, *reference = create(CLFAVOR_PROJECTION_IID, M, D, SETS, SEED);
    ck_assert_int_eq(clfavor_projection_create_from_data(&given, &desc, w, phases), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_projection_create_from_data(&drawn, &desc, w, NULL), CLFAVOR_SUCCESS);
    memset(w, 0, sizeof w);
    ck_assert(same(clfavor_projection_data(given), copy, COUNT));
    ck_assert(same(clfavor_projection_data(drawn), copy, COUNT));
    ck_assert(same(clfavor_projection_phases(given), phases, M * SETS));
    ck_assert(same(clfavor_projection_phases(drawn), clfavor_projection_phases(reference), M * SETS));
    ck_assert_int_eq(clfavor_projection_get_desc(given, &desc), CLFAVOR_SUCCESS);
    ck_assert(desc.kind == CLFAVOR_PROJECTION_CUSTOM && desc.sets == SETS && desc.seed == SEED);
    clfavor_projection_destroy(given);
    clfavor_projection_destroy(drawn);
    clfavor_projection_destroy(reference);
}
END_TEST

START_TEST(custom_data_refused) {
    double w[COUNT] = {0}, phases[M * SETS] = {0};
    clfavor_projection_desc desc = describe(CLFAVOR_PROJECTION_ORTHOGONAL, M, D, SETS, 0), bad = desc;
    clfavor_projection *projection = (clfavor_projection *)&projection;
    ck_assert_int_eq(clfavor_projection_create_from_data(NULL, &desc, w, phases), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_projection_create_from_data(&projection, NULL, w, phases), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_ptr_null(projection);
    ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &desc, NULL, phases), CLFAVOR_INVALID_ARGUMENT);
    bad.dim = 0;
    ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &bad, w, phases), CLFAVOR_INVALID_SHAPE);
    static const double values[] = {NAN, INFINITY, -INFINITY};
    for (size_t v = 0; v < 3; ++v) {
        projection = (clfavor_projection *)&projection;
        w[COUNT - 1] = values[v];
        ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &desc, w, NULL), CLFAVOR_NOT_FINITE);
        ck_assert_ptr_null(projection);
        w[COUNT - 1] = 0;
        phases[M * SETS - 1] = values[v];
        ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &desc, w, phases), CLFAVOR_NOT_FINITE);
        phases[M * SETS - 1] = 0;
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("projection");
    TCase *tcase = tcase_create("projection");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, rows_do_not_depend_on_m_or_sets, 0, KINDS);
    tcase_add_loop_test(tcase, rows_sets_and_seeds_differ, 0, KINDS);
    tcase_add_test(tcase, last_block_is_orthogonal);
    tcase_add_test(tcase, fixed_norm_has_sqrt_d);
    tcase_add_test(tcase, pairs_are_opposite_orthogonal_rows);
    tcase_add_test(tcase, simplex_blocks_have_equal_angles);
    tcase_add_loop_test(tcase, golden_values, 0, KINDS);
    tcase_add_test(tcase, threads_draw_the_same_bits);
    tcase_add_loop_test(tcase, extreme_shapes, 0, KINDS);
    tcase_add_test(tcase, create_refuses);
    tcase_add_test(tcase, descriptors_of_other_versions);
    tcase_add_test(tcase, null_is_harmless);
    tcase_add_test(tcase, custom_data_round_trip);
    tcase_add_test(tcase, custom_data_refused);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
