/* Estimators: what is refused, what the info says, what NULL stands for. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { M = 5, D = 3, SETS = 2 };

static clfavor_projection *projection;

static void setup(void) {
    const clfavor_projection_desc desc = {.struct_size = sizeof desc, .features = M, .dim = D, .sets = SETS, .seed = 1};
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
}
static void teardown(void) {
    clfavor_projection_destroy(projection);
}

#define SOMETHING ((clfavor_estimator *)&projection)

static clfavor_status refuse(const clfavor_estimator_desc *desc) {
    clfavor_estimator *estimator = SOMETHING;
    clfavor_status status = clfavor_estimator_create(&estimator, desc);
    ck_assert_ptr_null(estimator);
    return status;
}

static clfavor_estimator_desc good(clfavor_map map) {
    return (clfavor_estimator_desc){.struct_size = sizeof(clfavor_estimator_desc),
                                    .map = map,
                                    .projection = map == CLFAVOR_MAP_ELU ? NULL : projection,
                                    .dim = map == CLFAVOR_MAP_ELU ? D : 0};
}

START_TEST(bad_descriptions) {
    clfavor_estimator_desc desc = good(CLFAVOR_MAP_POSITIVE);
    ck_assert_int_eq(clfavor_estimator_create(NULL, &desc), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(refuse(NULL), CLFAVOR_INVALID_ARGUMENT);
    desc.struct_size = sizeof(size_t) - 1;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    struct {
        clfavor_estimator_desc desc;
        uint64_t newer;
    } longer = {.desc = good(CLFAVOR_MAP_POSITIVE), .newer = 1};
    longer.desc.struct_size = sizeof longer;
    ck_assert_int_eq(refuse(&longer.desc), CLFAVOR_INVALID_ARGUMENT);
    static const int maps[] = {CLFAVOR_MAP_EXPONENTIAL, 8, -1};
    for (size_t i = 0; i < 3; ++i) {
        desc = good((clfavor_map)maps[i]);
        ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    }
    desc = good(CLFAVOR_MAP_TRIG);
    desc.projection = NULL;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    desc = good(CLFAVOR_MAP_RELU);
    desc.dim = D + 1; /* not the projection's */
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_SHAPE);
    static const uint32_t dims[] = {0, CLFAVOR_MAX_DIM + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; ++i) {
        desc = good(CLFAVOR_MAP_ELU);
        desc.dim = dims[i];
        ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_SHAPE);
    }
    desc = good(CLFAVOR_MAP_POSITIVE);
    desc.scale = -0.5;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_INVALID_ARGUMENT);
    desc.scale = (double)NAN;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_NOT_FINITE);
    desc.scale = (double)INFINITY;
    ck_assert_int_eq(refuse(&desc), CLFAVOR_NOT_FINITE);
    clfavor_estimator_destroy(NULL);
}
END_TEST

START_TEST(info_of_every_map) {
    static const uint32_t features[] = {M, 2 * M, 2 * M, M, 2 * M, M, D};
    for (int map = 0; map < CLFAVOR_MAP_EXPONENTIAL; ++map) {
        clfavor_estimator_desc desc = good((clfavor_map)map);
        bool elu = map == CLFAVOR_MAP_ELU;
        clfavor_estimator *estimator;
        ck_assert_int_eq(clfavor_estimator_create(&estimator, &desc), CLFAVOR_SUCCESS);
        clfavor_estimator_info info = {.struct_size = sizeof info};
        ck_assert_int_eq(clfavor_estimator_get_info(estimator, &info), CLFAVOR_SUCCESS);
        ck_assert_int_eq((int)info.map, map);
        ck_assert_uint_eq(info.rows, elu ? D : M);
        ck_assert_uint_eq(info.features, features[map]);
        ck_assert_uint_eq(info.dim, D);
        ck_assert_uint_eq(info.sets, elu ? 1 : SETS);
        ck_assert_double_eq(info.scale, elu ? 1 : 1 / sqrt(D));
        ck_assert_int_eq(clfavor_estimator_get_info(NULL, &info), CLFAVOR_INVALID_ARGUMENT);
        ck_assert_int_eq(clfavor_estimator_get_info(estimator, NULL), CLFAVOR_INVALID_ARGUMENT);
        info = (clfavor_estimator_info){.struct_size = offsetof(clfavor_estimator_info, dim), .dim = 77};
        ck_assert_int_eq(clfavor_estimator_get_info(estimator, &info), CLFAVOR_SUCCESS);
        ck_assert_uint_eq(info.features, features[map]);
        ck_assert_uint_eq(info.dim, 77);
        info.struct_size = 0;
        ck_assert_int_eq(clfavor_estimator_get_info(estimator, &info), CLFAVOR_INVALID_ARGUMENT);
        clfavor_estimator_destroy(estimator);
    }
}
END_TEST

START_TEST(an_own_scale_and_a_projection_that_goes) {
    clfavor_projection *own;
    const clfavor_projection_desc projection_desc = {.struct_size = sizeof projection_desc, .features = M, .dim = D};
    ck_assert_int_eq(clfavor_projection_create(&own, &projection_desc), CLFAVOR_SUCCESS);
    clfavor_estimator_desc desc = good(CLFAVOR_MAP_POSITIVE);
    desc.projection = own;
    desc.scale = 0.3;
    clfavor_estimator *estimator;
    ck_assert_int_eq(clfavor_estimator_create(&estimator, &desc), CLFAVOR_SUCCESS);
    const double x[D] = {0.3, -1, 2};
    double before[M], after[M], sign[M];
    ck_assert_int_eq(clfavor_reference_features(estimator, 0, 0, x, before, sign), CLFAVOR_SUCCESS);
    clfavor_projection_destroy(own); /* read, not kept */
    ck_assert_int_eq(clfavor_reference_features(estimator, 0, 0, x, after, sign), CLFAVOR_SUCCESS);
    ck_assert_mem_eq(before, after, sizeof before);
    clfavor_estimator_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_estimator_get_info(estimator, &info), CLFAVOR_SUCCESS);
    ck_assert_double_eq(info.scale, 0.3);
    clfavor_estimator_destroy(estimator);
}
END_TEST

static clfavor_status refuse_exponential(const clfavor_exponential_desc *desc) {
    clfavor_estimator *estimator = SOMETHING;
    clfavor_status status = clfavor_estimator_create_exponential(&estimator, desc);
    ck_assert_ptr_null(estimator);
    return status;
}

START_TEST(bad_exponential_descriptions) {
    double values[M * D] = {0};
    const clfavor_exponential_desc base = {.struct_size = sizeof base, .features = M, .dim = D, .wq = values};
    clfavor_exponential_desc desc = base;
    ck_assert_int_eq(clfavor_estimator_create_exponential(NULL, &base), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(refuse_exponential(NULL), CLFAVOR_INVALID_ARGUMENT);
    desc.struct_size = 0;
    ck_assert_int_eq(refuse_exponential(&desc), CLFAVOR_INVALID_ARGUMENT);
    desc = base;
    desc.wq = NULL;
    ck_assert_int_eq(refuse_exponential(&desc), CLFAVOR_INVALID_ARGUMENT);
    static const uint32_t shapes[][3] = {
        {0, D, 1}, {CLFAVOR_MAX_FEATURES + 1, D, 1}, {M, 0, 1}, {M, CLFAVOR_MAX_DIM + 1, 1}};
    for (size_t i = 0; i < 4; ++i) {
        desc = base;
        desc.features = shapes[i][0];
        desc.dim = shapes[i][1];
        desc.sets = shapes[i][2];
        ck_assert_int_eq(refuse_exponential(&desc), CLFAVOR_INVALID_SHAPE);
    }
    desc = base;
    desc.scale = -1;
    ck_assert_int_eq(refuse_exponential(&desc), CLFAVOR_INVALID_ARGUMENT);
    desc.scale = (double)NAN;
    ck_assert_int_eq(refuse_exponential(&desc), CLFAVOR_NOT_FINITE);
}
END_TEST

/* Anything not finite in any array, in its last entry. */
START_TEST(exponential_arrays_must_be_finite) {
    const size_t counts[] = {M * D, M * D, M, M, D * D, D * D, D, D, D, D, 1, 1};
    double zeros[M * D] = {0}, bad[M * D];
    for (size_t field = 0; field < 12; ++field)
        for (int i = 0; i < 2; ++i) {
            memset(bad, 0, sizeof bad);
            bad[counts[field] - 1] = i ? (double)INFINITY : (double)NAN;
            const double *fields[12] = {zeros, zeros, zeros, zeros, zeros, zeros,
                                        zeros, zeros, zeros, zeros, zeros, zeros};
            fields[field] = bad;
            const clfavor_exponential_desc desc = {.struct_size = sizeof desc,
                                                   .features = M,
                                                   .dim = D,
                                                   .wq = fields[0],
                                                   .wk = fields[1],
                                                   .bq = fields[2],
                                                   .bk = fields[3],
                                                   .tq = fields[4],
                                                   .tk = fields[5],
                                                   .x0 = fields[6],
                                                   .y0 = fields[7],
                                                   .uq = fields[8],
                                                   .uk = fields[9],
                                                   .aq = fields[10],
                                                   .ak = fields[11]};
            ck_assert_int_eq(refuse_exponential(&desc), CLFAVOR_NOT_FINITE);
        }
}
END_TEST

START_TEST(exponential_info) {
    double w[SETS * M * D] = {0};
    const clfavor_exponential_desc desc = {
        .struct_size = sizeof desc, .features = M, .dim = D, .sets = SETS, .scale = 0.2, .wq = w};
    clfavor_estimator *estimator;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&estimator, &desc), CLFAVOR_SUCCESS);
    clfavor_estimator_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_estimator_get_info(estimator, &info), CLFAVOR_SUCCESS);
    ck_assert_int_eq(info.map, CLFAVOR_MAP_EXPONENTIAL);
    ck_assert_uint_eq(info.rows, M);
    ck_assert_uint_eq(info.features, M);
    ck_assert_uint_eq(info.dim, D);
    ck_assert_uint_eq(info.sets, SETS);
    ck_assert_double_eq(info.scale, 0.2);
    clfavor_estimator_destroy(estimator);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("estimator");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, bad_descriptions);
    tcase_add_test(tcase, info_of_every_map);
    tcase_add_test(tcase, an_own_scale_and_a_projection_that_goes);
    tcase_add_test(tcase, bad_exponential_descriptions);
    tcase_add_test(tcase, exponential_arrays_must_be_finite);
    tcase_add_test(tcase, exponential_info);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
