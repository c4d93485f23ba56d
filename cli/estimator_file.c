#include "estimator_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The arrays in the order that the checksum takes them; "checksum" itself comes last. */
enum {
    FORMAT,
    METHOD,
    PROJECTION,
    PROJECTION_GIVEN,
    SEED,
    FEATURES,
    EXACT_KEYS,
    EXACT_KEYS_GIVEN,
    SCALE,
    XBAR,
    YBAR,
    TQ,
    TK,
    A,
    XBAR_ALL,
    YBAR_ALL,
    TQ_ALL,
    TK_ALL,
    A_ALL,
    MEAN_S_PLAIN,
    MEAN_S,
    EFFECTIVE_KEYS,
    CHECKED,
    CHECKSUM = CHECKED,
    ARRAYS
};
static const struct {
    const char *name;
    npz_type type;
    unsigned rank;
} layout[ARRAYS] = {
    [FORMAT] = {"format", NPZ_U64, 0},
    [METHOD] = {"method", NPZ_U64, 0},
    [PROJECTION] = {"projection", NPZ_U64, 0},
    [PROJECTION_GIVEN] = {"projection_given", NPZ_U64, 0},
    [SEED] = {"seed", NPZ_U64, 0},
    [FEATURES] = {"features", NPZ_U64, 0},
    [EXACT_KEYS] = {"exact_keys", NPZ_U64, 0},
    [EXACT_KEYS_GIVEN] = {"exact_keys_given", NPZ_U64, 0},
    [SCALE] = {"scale", NPZ_F64, 0},
    [XBAR] = {"xbar", NPZ_F64, 2},
    [YBAR] = {"ybar", NPZ_F64, 2},
    [TQ] = {"tq", NPZ_F64, 3},
    [TK] = {"tk", NPZ_F64, 3},
    [A] = {"a", NPZ_F64, 2},
    [XBAR_ALL] = {"xbar_all", NPZ_F64, 2},
    [YBAR_ALL] = {"ybar_all", NPZ_F64, 2},
    [TQ_ALL] = {"tq_all", NPZ_F64, 3},
    [TK_ALL] = {"tk_all", NPZ_F64, 3},
    [A_ALL] = {"a_all", NPZ_F64, 2},
    [MEAN_S_PLAIN] = {"mean_s_plain", NPZ_F64, 1},
    [MEAN_S] = {"mean_s", NPZ_F64, 1},
    [EFFECTIVE_KEYS] = {"effective_keys", NPZ_F64, 1},
    [CHECKSUM] = {"checksum", NPZ_U64, 0},
};

static npz_array describe(int which, const void *data, uint64_t sets, uint64_t dim) {
    return (npz_array){.name = layout[which].name,
                       .type = layout[which].type,
                       .rank = layout[which].rank,
                       .shape = {sets, dim, dim},
                       .data = data};
}

bool estimator_file_write(outfile *out, const estimator_file *file, const clfavor_fit_info *info,
                          char error[NPY_ERROR]) {
    const clfavor_sderf_desc *e = &file->sderf, *all = &file->sderf_all;
    uint64_t numbers[] = {ESTIMATOR_FORMAT,
                          (uint64_t)file->method,
                          (uint64_t)file->projection,
                          file->projection_given,
                          file->seed,
                          file->total,
                          file->exact,
                          file->exact_given};
    uint64_t checksum;
    const void *data[ARRAYS] = {[SCALE] = &e->scale,
                                [XBAR] = e->xbar,
                                [YBAR] = e->ybar,
                                [TQ] = e->tq,
                                [TK] = e->tk,
                                [A] = e->a,
                                [XBAR_ALL] = all->xbar,
                                [YBAR_ALL] = all->ybar,
                                [TQ_ALL] = all->tq,
                                [TK_ALL] = all->tk,
                                [A_ALL] = all->a,
                                [MEAN_S_PLAIN] = info->mean_s_plain,
                                [MEAN_S] = info->mean_s,
                                [EFFECTIVE_KEYS] = info->effective_keys,
                                [CHECKSUM] = &checksum};
    for (int i = FORMAT; i <= EXACT_KEYS_GIVEN; ++i)
        data[i] = &numbers[i];
    npz_array arrays[ARRAYS];
    for (int i = 0; i < ARRAYS; ++i)
        arrays[i] = describe(i, data[i], e->sets, file->dim);
    checksum = npz_checksum(arrays, CHECKED);
    return npz_write(out, arrays, ARRAYS, error);
}

/* Finds every array, in the layout's order, and checks that the shapes go together. */
static bool take_arrays(const estimator_file *file, npz_array arrays[ARRAYS], char error[NPY_ERROR]) {
    for (int i = 0; i < ARRAYS; ++i) {
        const npz_array *found = npz_find(&file->archive, layout[i].name);
        if (!found || found->type != layout[i].type || found->rank != layout[i].rank) {
            snprintf(error, NPY_ERROR, "expected an estimator that `clfavor fit' wrote, got one %s '%s'",
                     found ? "with another kind of" : "without", layout[i].name);
            return false;
        }
        arrays[i] = *found;
    }
    uint64_t sets = arrays[XBAR].shape[0], dim = arrays[XBAR].shape[1];
    for (int i = XBAR; i < CHECKED; ++i) {
        const uint64_t expected[3] = {sets, dim, dim};
        for (unsigned axis = 0; axis < layout[i].rank; ++axis)
            if (arrays[i].shape[axis] != expected[axis]) {
                snprintf(error, NPY_ERROR, "'%s' is %s, which does not go with '%s'", layout[i].name,
                         npy_shape_text(arrays[i].rank, arrays[i].shape), layout[XBAR].name);
                return false;
            }
    }
    if (dim > CLFAVOR_MAX_DIM || sets > UINT32_MAX) {
        snprintf(error, NPY_ERROR, "heads of %" PRIu64 " dimensions, expected at most %u", dim, CLFAVOR_MAX_DIM);
        return false;
    }
    return true;
}

static uint64_t number(const npz_array *array) {
    uint64_t value;
    memcpy(&value, array->data, sizeof value);
    return value;
}

/* Of five arrays in a row. */
static clfavor_sderf_desc parameters(const npz_array *arrays, double scale) {
    return (clfavor_sderf_desc){.struct_size = sizeof(clfavor_sderf_desc),
                                .sets = (uint32_t)arrays[0].shape[0],
                                .scale = scale,
                                .xbar = arrays[0].data,
                                .ybar = arrays[1].data,
                                .tq = arrays[2].data,
                                .tk = arrays[3].data,
                                .a = arrays[4].data};
}

static bool check(estimator_file *file, char error[NPY_ERROR]) {
    npz_array arrays[ARRAYS];
    const npz_array *format = npz_find(&file->archive, layout[FORMAT].name);
    if (format && format->type == NPZ_U64 && format->rank == 0 && number(format) != ESTIMATOR_FORMAT) {
        snprintf(error, NPY_ERROR, "format %" PRIu64 ", this clfavor reads %u; fit it again", number(format),
                 ESTIMATOR_FORMAT);
        return false;
    }
    if (!take_arrays(file, arrays, error))
        return false;
    if (npz_checksum(arrays, CHECKED) != number(&arrays[CHECKSUM])) {
        snprintf(error, NPY_ERROR,
                 "its checksum does not go with its arrays: it is damaged or was changed; fit it again");
        return false;
    }
    uint64_t total = number(&arrays[FEATURES]), exact = number(&arrays[EXACT_KEYS]);
    if (number(&arrays[METHOD]) > CLFAVOR_FIT_SDERF || number(&arrays[PROJECTION]) > CLFAVOR_PROJECTION_SIMPLEX ||
        !total || total > CLFAVOR_MAX_FEATURES || exact >= total || number(&arrays[EXACT_KEYS_GIVEN]) > 1 ||
        number(&arrays[PROJECTION_GIVEN]) > 1) {
        snprintf(error, NPY_ERROR, "features, exact keys, method or projection out of range");
        return false;
    }
    file->total = (uint32_t)total;
    file->exact = (uint32_t)exact;
    file->projection_given = number(&arrays[PROJECTION_GIVEN]) != 0;
    file->exact_given = number(&arrays[EXACT_KEYS_GIVEN]) != 0;
    file->method = (clfavor_fit_method)number(&arrays[METHOD]);
    file->projection = (clfavor_projection_kind)number(&arrays[PROJECTION]);
    file->seed = number(&arrays[SEED]);
    file->dim = (uint32_t)arrays[XBAR].shape[1];
    double scale;
    memcpy(&scale, arrays[SCALE].data, sizeof scale);
    file->sderf = parameters(&arrays[XBAR], scale);
    file->sderf_all = parameters(&arrays[XBAR_ALL], scale);
    if (!isfinite(file->sderf.scale) || file->sderf.scale <= 0) {
        snprintf(error, NPY_ERROR, "a scale of %g, expected one above 0", file->sderf.scale);
        return false;
    }
    return true;
}

bool estimator_file_read(estimator_file *file, const char *path, char error[NPY_ERROR]) {
    char why[NPY_ERROR];
    *file = (estimator_file){0};
    if (!npz_read(&file->archive, path, error))
        return false;
    if (check(file, why))
        return true;
    snprintf(error, NPY_ERROR, "'%.200s': %.280s", path, why);
    estimator_file_close(file);
    return false;
}

void estimator_file_close(estimator_file *file) {
    npz_free(&file->archive);
    *file = (estimator_file){0};
}
