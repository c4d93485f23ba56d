/* Estimators: every field that a map fills and every argument that is refused. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "estimator.h"

/* One test asks for more memory than there is; the address sanitizer must answer as malloc does. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

enum { M = 3, D = 4, SETS = 2, ROWS = SETS * M, WEIGHTS = ROWS * D, VECTORS = SETS * D, MATRICES = VECTORS * D };

static clfavor_projection *make_projection(double *w, double *phases) {
    for (size_t i = 0; i < WEIGHTS; ++i)
        w[i] = test_normal(1, i);
    for (size_t i = 0; i < ROWS; ++i)
        phases[i] = CLFAVOR_TWO_PI * test_uniform(2, i);
    clfavor_projection_desc desc = {.struct_size = sizeof desc, .features = M, .dim = D, .sets = SETS};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &desc, w, phases), CLFAVOR_SUCCESS);
    return projection;
}

/* A general estimator with all arrays given: a view of one block of numbers, so that a test can spoil any of them. */
enum { ARRAYS = 12 };
static const size_t array_counts[ARRAYS] = {WEIGHTS, WEIGHTS, ROWS,    ROWS,    MATRICES, MATRICES,
                                            VECTORS, VECTORS, VECTORS, VECTORS, SETS,     SETS};
typedef struct general {
    clfavor_exponential_desc desc;
    double values[ARRAYS][MATRICES];
} general;

static const double **array_of(clfavor_exponential_desc *desc, size_t index) {
    const double **arrays[ARRAYS] = {&desc->wq, &desc->wk, &desc->bq, &desc->bk, &desc->tq, &desc->tk,
                                     &desc->x0, &desc->y0, &desc->uq, &desc->uk, &desc->aq, &desc->ak};
    return arrays[index];
}

static void make_general(general *g) {
    g->desc =
        (clfavor_exponential_desc){.struct_size = sizeof g->desc, .features = M, .dim = D, .sets = SETS, .scale = 0.25};
    for (size_t a = 0; a < ARRAYS; ++a) {
        for (size_t i = 0; i < MATRICES; ++i)
            g->values[a][i] = test_normal(10 + a, i);
        *array_of(&g->desc, a) = g->values[a];
    }
}

static double *own_array(const clfavor_estimator *e, size_t index) {
    double *arrays[ARRAYS] = {e->wq, e->wk, e->bq, e->bk, e->tq, e->tk, e->x0, e->y0, e->uq, e->uk, e->aq, e->ak};
    return arrays[index];
}

/* A refusal also leaves NULL. */
static void refused(const clfavor_estimator_desc *desc, clfavor_status expected) {
    clfavor_estimator *e = (clfavor_estimator *)&e;
    ck_assert_int_eq(clfavor_estimator_create(&e, desc), expected);
    ck_assert_ptr_null(e);
}

static void refused_general(const clfavor_exponential_desc *desc, clfavor_status expected) {
    clfavor_estimator *e = (clfavor_estimator *)&e;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&e, desc), expected);
    ck_assert_ptr_null(e);
}

/* What clfavor.h promises of each map that has a projection. */
static const struct {
    clfavor_map map;
    clfavor_family family;
    double quad;
    uint32_t rows, features;
    bool phases;
} expected[] = {
    {CLFAVOR_MAP_POSITIVE, CLFAVOR_FAMILY_EXP, -1, M, M, false},
    {CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_FAMILY_EXP, -1, 2 * M, 2 * M, false},
    {CLFAVOR_MAP_TRIG, CLFAVOR_FAMILY_TRIG, 1, M, 2 * M, false},
    {CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_FAMILY_TRIG_PHASE, 1, M, M, true},
    {CLFAVOR_MAP_GAUSSIAN, CLFAVOR_FAMILY_TRIG, 0, M, 2 * M, true},
    {CLFAVOR_MAP_RELU, CLFAVOR_FAMILY_RELU, 0, M, M, false},
};

START_TEST(named_maps_fill_every_field) {
    double w[WEIGHTS], phases[ROWS];
    clfavor_projection *projection = make_projection(w, phases);
    clfavor_estimator_desc desc = {
        .struct_size = sizeof desc, .map = expected[_i].map, .projection = projection, .scale = 0.3};
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create(&e, &desc), CLFAVOR_SUCCESS);
    clfavor_projection_destroy(projection); /* nothing of it is kept */
    ck_assert_int_eq(e->map, expected[_i].map);
    ck_assert_int_eq(e->family, expected[_i].family);
    ck_assert_double_eq(e->quad, expected[_i].quad);
    ck_assert_uint_eq(e->m, M);
    ck_assert_uint_eq(e->rows, expected[_i].rows);
    ck_assert_uint_eq(e->features, expected[_i].features);
    ck_assert_uint_eq(e->dim, D);
    ck_assert_uint_eq(e->sets, SETS);
    ck_assert_double_eq(e->scale, 0.3);
    ck_assert_double_eq_tol(exp(e->log_norm) * e->rows, 1, 4 * DBL_EPSILON);
    ck_assert(!e->general);
    ck_assert_ptr_eq(e->wq, e->wk);
    ck_assert_ptr_eq(e->bq, e->bk);
    for (size_t a = 4; a < ARRAYS; ++a)
        ck_assert_ptr_null(own_array(e, a));
    for (size_t s = 0; s < SETS; ++s)
        for (size_t r = 0; r < e->rows; ++r) {
            ck_assert_double_eq(e->bq[s * e->rows + r], expected[_i].phases ? phases[s * M + r] : 0);
            for (size_t l = 0; l < D; ++l)
                ck_assert_double_eq(e->wq[(s * e->rows + r) * D + l], (r < M ? 1 : -1) * w[(s * M + r % M) * D + l]);
        }
    clfavor_estimator_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_estimator_get_info(e, &info), CLFAVOR_SUCCESS);
    ck_assert_int_eq(info.map, expected[_i].map);
    ck_assert_uint_eq(info.rows, M);
    ck_assert_uint_eq(info.features, expected[_i].features);
    ck_assert_uint_eq(info.dim, D);
    ck_assert_uint_eq(info.sets, SETS);
    ck_assert_double_eq(info.scale, 0.3);
    clfavor_estimator_destroy(e);
}
END_TEST

START_TEST(elu_has_no_projection_and_no_scale) {
    double w[WEIGHTS], phases[ROWS];
    clfavor_projection *projection = make_projection(w, phases);
    const clfavor_estimator_desc descs[] = {
        {.struct_size = sizeof *descs, .map = CLFAVOR_MAP_ELU, .dim = 1},
        {.struct_size = sizeof *descs, .map = CLFAVOR_MAP_ELU, .dim = 256, .scale = -3},
        {.struct_size = sizeof *descs, .map = CLFAVOR_MAP_ELU, .dim = D, .projection = projection, .scale = NAN},
        {.struct_size = sizeof *descs, .map = CLFAVOR_MAP_ELU, .projection = projection, .scale = 7},
    };
    const uint32_t dims[] = {1, 256, D, D};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; ++i) {
        clfavor_estimator *e;
        clfavor_estimator_info info = {.struct_size = sizeof info};
        ck_assert_int_eq(clfavor_estimator_create(&e, &descs[i]), CLFAVOR_SUCCESS);
        ck_assert_int_eq(clfavor_estimator_get_info(e, &info), CLFAVOR_SUCCESS);
        ck_assert_int_eq(e->family, CLFAVOR_FAMILY_ELU);
        ck_assert(!e->general);
        ck_assert_double_eq(e->quad, 0);
        ck_assert_double_eq(e->log_norm, 0);
        for (size_t a = 0; a < ARRAYS; ++a)
            ck_assert_ptr_null(own_array(e, a));
        ck_assert_uint_eq(e->rows, dims[i]);
        ck_assert_int_eq(info.map, CLFAVOR_MAP_ELU);
        ck_assert_uint_eq(info.rows, dims[i]);
        ck_assert_uint_eq(info.features, dims[i]);
        ck_assert_uint_eq(info.dim, dims[i]);
        ck_assert_uint_eq(info.sets, 1);
        ck_assert_double_eq(info.scale, 1);
        clfavor_estimator_destroy(e);
    }
    clfavor_projection_destroy(projection);
}
END_TEST

START_TEST(scale_of_zero_is_that_of_softmax) {
    double w[WEIGHTS], phases[ROWS];
    clfavor_projection *projection = make_projection(w, phases);
    clfavor_estimator_desc desc = {.struct_size = sizeof desc, .projection = projection, .dim = D};
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create(&e, &desc), CLFAVOR_SUCCESS);
    ck_assert_double_eq(e->scale, 0.5); /* D = 4 */
    clfavor_estimator_destroy(e);
    clfavor_projection_destroy(projection);
    general g;
    make_general(&g);
    g.desc.scale = 0;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&e, &g.desc), CLFAVOR_SUCCESS);
    ck_assert_double_eq(e->scale, 0.5);
    clfavor_estimator_destroy(e);
}
END_TEST

START_TEST(wrong_arguments_are_refused) {
    double w[WEIGHTS], phases[ROWS];
    clfavor_projection *projection = make_projection(w, phases);
    const clfavor_estimator_desc right = {.struct_size = sizeof right, .projection = projection};
    struct {
        clfavor_estimator_desc desc;
        char later[8]; /* a field of a newer header */
    } longer = {.desc = right};
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create(NULL, &right), CLFAVOR_INVALID_ARGUMENT);
    refused(NULL, CLFAVOR_INVALID_ARGUMENT);
    clfavor_estimator_desc desc = right;
    desc.struct_size = sizeof(size_t) - 1;
    refused(&desc, CLFAVOR_INVALID_ARGUMENT);
    longer.desc.struct_size = sizeof longer;
    ck_assert_int_eq(clfavor_estimator_create(&e, &longer.desc), CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(e);
    longer.later[7] = 1;
    refused(&longer.desc, CLFAVOR_INVALID_ARGUMENT);

    static const int maps[] = {CLFAVOR_MAP_EXPONENTIAL, CLFAVOR_MAP_EXPONENTIAL + 1, -1, 1000};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; ++i) {
        desc = right;
        desc.map = (clfavor_map)maps[i];
        refused(&desc, CLFAVOR_INVALID_ARGUMENT);
    }
    desc = right;
    desc.projection = NULL;
    refused(&desc, CLFAVOR_INVALID_ARGUMENT);
    desc.dim = D;
    refused(&desc, CLFAVOR_INVALID_ARGUMENT);
    static const uint32_t wrong_dims[] = {0, 257, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong_dims / sizeof *wrong_dims; ++i) {
        desc = (clfavor_estimator_desc){.struct_size = sizeof desc, .map = CLFAVOR_MAP_ELU, .dim = wrong_dims[i]};
        refused(&desc, CLFAVOR_INVALID_SHAPE);
    }
    desc = right;
    desc.dim = D + 1;
    refused(&desc, CLFAVOR_INVALID_SHAPE);
    desc.map = CLFAVOR_MAP_ELU;
    refused(&desc, CLFAVOR_INVALID_SHAPE);
    static const double infinite[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; ++i) {
        desc = right;
        desc.scale = infinite[i];
        refused(&desc, CLFAVOR_NOT_FINITE);
    }
    desc.scale = -1;
    refused(&desc, CLFAVOR_INVALID_ARGUMENT);
    clfavor_projection_destroy(projection);
}
END_TEST

START_TEST(general_copies_every_array) {
    general g, original;
    make_general(&g);
    make_general(&original);
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&e, &g.desc), CLFAVOR_SUCCESS);
    memset(g.values, 0, sizeof g.values); /* nothing of them is kept */
    for (size_t a = 0; a < ARRAYS; ++a)
        ck_assert_mem_eq(own_array(e, a), original.values[a], array_counts[a] * sizeof(double));
    ck_assert_int_eq(e->map, CLFAVOR_MAP_EXPONENTIAL);
    ck_assert_int_eq(e->family, CLFAVOR_FAMILY_EXP);
    ck_assert(e->general);
    ck_assert_double_eq_tol(exp(e->log_norm) * M, 1, 4 * DBL_EPSILON);
    clfavor_estimator_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_estimator_get_info(e, &info), CLFAVOR_SUCCESS);
    ck_assert_int_eq(info.map, CLFAVOR_MAP_EXPONENTIAL);
    ck_assert_uint_eq(info.rows, M);
    ck_assert_uint_eq(info.features, M);
    ck_assert_uint_eq(info.dim, D);
    ck_assert_uint_eq(info.sets, SETS);
    ck_assert_double_eq(info.scale, 0.25);
    clfavor_estimator_destroy(e);
}
END_TEST

/* NULL means: wk = wq, T = I, every other array 0; sets 0 means 1. */
START_TEST(general_defaults) {
    general g;
    make_general(&g);
    clfavor_exponential_desc desc = {.struct_size = sizeof desc, .features = M, .dim = D, .wq = g.desc.wq};
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&e, &desc), CLFAVOR_SUCCESS);
    ck_assert_uint_eq(e->sets, 1);
    ck_assert_ptr_eq(e->wk, e->wq);
    ck_assert_mem_eq(e->wq, g.desc.wq, M * D * sizeof(double));
    for (size_t a = 2; a < ARRAYS; ++a)
        for (size_t i = 0; i < array_counts[a] / SETS; ++i)
            ck_assert_double_eq(own_array(e, a)[i], (a == 4 || a == 5) && i % (D + 1) == 0 ? 1 : 0);
    clfavor_estimator_destroy(e);
}
END_TEST

/* Each array left out alone takes its default and leaves its partner as given. */
START_TEST(general_defaults_are_one_by_one) {
    general g;
    make_general(&g);
    *array_of(&g.desc, (size_t)_i) = NULL;
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&e, &g.desc), CLFAVOR_SUCCESS);
    for (size_t a = 0; a < ARRAYS; ++a)
        for (size_t i = 0; i < array_counts[a]; ++i) {
            bool identity = (a == 4 || a == 5) && i % (D * D) % (D + 1) == 0;
            double value = a == (size_t)_i ? (a == 1 ? g.values[0][i] : identity ? 1 : 0) : g.values[a][i];
            ck_assert_double_eq(own_array(e, a)[i], value);
        }
    clfavor_estimator_destroy(e);
}
END_TEST

START_TEST(general_wrong_arguments_are_refused) {
    general g;
    make_general(&g);
    ck_assert_int_eq(clfavor_estimator_create_exponential(NULL, &g.desc), CLFAVOR_INVALID_ARGUMENT);
    refused_general(NULL, CLFAVOR_INVALID_ARGUMENT);
    const struct {
        uint32_t features, dim;
    } wrong_shapes[] = {{0, D}, {65537, D}, {UINT32_MAX, D}, {M, 0}, {M, 257}, {M, UINT32_MAX}};
    for (size_t i = 0; i < sizeof wrong_shapes / sizeof *wrong_shapes; ++i) {
        clfavor_exponential_desc desc = g.desc;
        desc.features = wrong_shapes[i].features;
        desc.dim = wrong_shapes[i].dim;
        refused_general(&desc, CLFAVOR_INVALID_SHAPE);
    }
    static const double scales[] = {NAN, INFINITY, -INFINITY, -1};
    for (size_t i = 0; i < 4; ++i) {
        clfavor_exponential_desc desc = g.desc;
        desc.scale = scales[i];
        refused_general(&desc, i < 3 ? CLFAVOR_NOT_FINITE : CLFAVOR_INVALID_ARGUMENT);
    }
    clfavor_exponential_desc desc = g.desc;
    desc.struct_size = sizeof(size_t) - 1;
    refused_general(&desc, CLFAVOR_INVALID_ARGUMENT);
    desc = g.desc;
    desc.wq = NULL;
    refused_general(&desc, CLFAVOR_INVALID_ARGUMENT);
    desc = g.desc; /* 5.8e17 bytes: refused before anything is read */
    desc.sets = UINT32_MAX;
    desc.features = 65536;
    desc.dim = 256;
    refused_general(&desc, CLFAVOR_OUT_OF_MEMORY);
}
END_TEST

START_TEST(general_numbers_must_be_finite) {
    static const double infinite[] = {NAN, INFINITY, -INFINITY};
    general g;
    make_general(&g);
    for (size_t i = 0; i < 3; ++i) {
        double *last = &g.values[_i][array_counts[_i] - 1], *first = &g.values[_i][0], kept = *last;
        *last = infinite[i];
        refused_general(&g.desc, CLFAVOR_NOT_FINITE);
        *last = kept;
        kept = *first;
        *first = infinite[i];
        refused_general(&g.desc, CLFAVOR_NOT_FINITE);
        *first = kept;
    }
}
END_TEST

START_TEST(info_and_destroy_take_what_they_get) {
    clfavor_estimator *e;
    general g;
    make_general(&g);
    ck_assert_int_eq(clfavor_estimator_create_exponential(&e, &g.desc), CLFAVOR_SUCCESS);
    clfavor_estimator_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_estimator_get_info(NULL, &info), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_estimator_get_info(e, NULL), CLFAVOR_INVALID_ARGUMENT);
    info.struct_size = 0;
    ck_assert_int_eq(clfavor_estimator_get_info(e, &info), CLFAVOR_INVALID_ARGUMENT);
    info.struct_size = offsetof(clfavor_estimator_info, features); /* an older header */
    info.features = 99;
    ck_assert_int_eq(clfavor_estimator_get_info(e, &info), CLFAVOR_SUCCESS);
    ck_assert_uint_eq(info.rows, M);
    ck_assert_uint_eq(info.features, 99);
    clfavor_estimator_destroy(e);
    clfavor_estimator_destroy(NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("estimator");
    TCase *tcase = tcase_create("estimator");
    tcase_add_loop_test(tcase, named_maps_fill_every_field, 0, (int)(sizeof expected / sizeof *expected));
    tcase_add_test(tcase, elu_has_no_projection_and_no_scale);
    tcase_add_test(tcase, scale_of_zero_is_that_of_softmax);
    tcase_add_test(tcase, wrong_arguments_are_refused);
    tcase_add_test(tcase, general_copies_every_array);
    tcase_add_test(tcase, general_defaults);
    tcase_add_loop_test(tcase, general_defaults_are_one_by_one, 1, ARRAYS);
    tcase_add_test(tcase, general_wrong_arguments_are_refused);
    tcase_add_loop_test(tcase, general_numbers_must_be_finite, 0, ARRAYS);
    tcase_add_test(tcase, info_and_destroy_take_what_they_get);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
