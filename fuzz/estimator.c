/* Files of `clfavor fit': what was read and is written again has the same bits, and no file makes an estimator of the
 * library that is not refused or sound. */
#include "../cli/estimator_file.h"
#include "fuzz.h"
#include "zip.h"

#include <math.h>
#include <string.h>

static fuzz_file input = {.descriptor = -1}, output = {.descriptor = -1};

/* The checksum over the arrays, which is the last number of the file, and then the archive's own. */
static void mend(uint8_t *data, size_t size) {
    static fuzz_file whole = {.descriptor = -1};
    char error[NPY_ERROR];
    npz in;
    fuzz_zip_mend(data, size);
    size_t end = fuzz_zip_last(data, size);
    if (!npz_read(&in, fuzz_put(&whole, data, size), error))
        return;
    uint64_t checksum = npz_checksum(in.arrays, in.count - 1);
    npz_free(&in);
    if (end < sizeof checksum)
        return;
    memcpy(data + end - sizeof checksum, &checksum, sizeof checksum);
    fuzz_zip_mend(data, size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8)
        mend(data, size);
    return size;
}

static const double *values(const estimator_file *file, const char *name) {
    return npz_find(&file->archive, name)->data;
}

static void check_round_trip(const estimator_file *file) {
    char error[NPY_ERROR];
    estimator_file again;
    const clfavor_fit_info info = {.struct_size = sizeof info,
                                   .mean_s_plain = values(file, "mean_s_plain"),
                                   .mean_s = values(file, "mean_s"),
                                   .effective_keys = values(file, "effective_keys")};
    fuzz_put(&output, "", 0);
    outfile out = {.path = output.path, .descriptor = output.descriptor, .slot = -1};
    FUZZ_EXPECT(estimator_file_write(&out, file, &info, error), "%s", error);
    FUZZ_EXPECT(estimator_file_read(&again, output.path, error), "%s", error);
    for (size_t i = 0; i < again.archive.count; ++i) {
        const npz_array *b = &again.archive.arrays[i], *a = npz_find(&file->archive, b->name);
        FUZZ_EXPECT(a && npz_checksum(a, 1) == npz_checksum(b, 1), "'%s' is the same", b->name);
    }
    estimator_file_close(&again);
}

/* The library's own checks of the parameters; a projection with as few rows as will do. */
static void check_estimator(const clfavor_sderf_desc *sderf, uint32_t dim) {
    clfavor_projection_desc of_projection = {.struct_size = sizeof of_projection, .features = 2, .dim = dim};
    clfavor_sderf_desc desc = *sderf;
    clfavor_projection *projection;
    clfavor_estimator *estimator;
    if (clfavor_projection_create(&projection, &of_projection))
        return;
    desc.projection = projection;
    clfavor_status status = clfavor_estimator_create_sderf(&estimator, &desc);
    clfavor_projection_destroy(projection);
    FUZZ_EXPECT(!status == !!estimator, "%s", clfavor_status_name(status));
    if (status)
        return;
    clfavor_estimator_info info = {.struct_size = sizeof info};
    FUZZ_EXPECT(!clfavor_estimator_get_info(estimator, &info) && info.dim == dim && info.sets == sderf->sets &&
                    isfinite(info.scale) && info.scale > 0,
                "d %u, %u sets, scale %g", info.dim, info.sets, info.scale);
    double x[CLFAVOR_MAX_DIM] = {0.5}, log_abs[2], sign[2];
    for (int key = 0; key < 2; ++key) {
        status = clfavor_reference_features(estimator, sderf->sets - 1, key, x, log_abs, sign);
        FUZZ_EXPECT(!status, "%s", clfavor_status_name(status));
    }
    clfavor_estimator_destroy(estimator);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    estimator_file file;
    char error[NPY_ERROR] = "";
    const char *path = fuzz_put(&input, data, size);
    fuzz_put(&output, "", 0);
    int next = fuzz_next_descriptor();
    if (estimator_file_read(&file, path, error)) {
        FUZZ_EXPECT(file.dim >= 1 && file.dim <= CLFAVOR_MAX_DIM && file.exact < file.total &&
                        file.total <= CLFAVOR_MAX_FEATURES,
                    "d %u, T %u of M %u", file.dim, file.exact, file.total);
        check_round_trip(&file);
        if (file.sderf.sets <= 64 && file.dim <= 16) { /* time */
            check_estimator(&file.sderf, file.dim);
            check_estimator(&file.sderf_all, file.dim);
        }
        estimator_file_close(&file);
    } else {
        FUZZ_EXPECT(!file.archive.arrays, "arrays are left after: %s", error);
        fuzz_expect_line(error, sizeof error);
    }
    FUZZ_EXPECT(fuzz_next_descriptor() == next, "a descriptor is left after: %s", error);
    return 0;
}
