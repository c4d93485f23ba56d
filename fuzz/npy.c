/* .npy files: what was read and is written again is read as the same. */
#include "../cli/npy.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static fuzz_file input = {.descriptor = -1}, output = {.descriptor = -1};

/* Values one by one are those in one go, in both types. */
static void check_values(const npy_array *array) {
    size_t count = (size_t)array->count;
    float *floats = malloc(count * sizeof *floats), one;
    double *doubles = malloc(count * sizeof *doubles);
    npy_read_f32(array, 0, count, floats);
    npy_read_f64(array, 0, count, doubles);
    for (size_t i = 0; i < count; ++i) {
        npy_read_f32(array, i, 1, &one);
        FUZZ_EXPECT(memcmp(&one, &floats[i], sizeof one) == 0, "element %zu", i);
        float rounded = (float)doubles[i];
        FUZZ_EXPECT(rounded == one || (rounded != rounded && one != one), "element %zu: %g, %g", i, (double)one,
                    doubles[i]);
    }
    free(floats);
    free(doubles);
}

static void check_round_trip(const npy_array *array) {
    static const char *const descr[] = {[NPY_F16] = "<f2", [NPY_F32] = "<f4", [NPY_F64] = "<f8"};
    unsigned char header[NPY_HEADER];
    char error[NPY_ERROR];
    size_t start = npy_format(header, descr[array->dtype], array->rank, array->shape);
    FUZZ_EXPECT(start % 64 == 0 && start <= sizeof header, "a header of %zu bytes", start);
    size_t bytes = (size_t)array->count * array->dtype;
    unsigned char *whole = malloc(start + bytes);
    memcpy(whole, header, start);
    memcpy(whole + start, array->data, bytes);
    npy_array again;
    FUZZ_EXPECT(npy_open(&again, fuzz_put(&output, whole, start + bytes), error), "%s", error);
    FUZZ_EXPECT(again.dtype == array->dtype && again.rank == array->rank && again.count == array->count &&
                    memcmp(again.shape, array->shape, sizeof again.shape) == 0 &&
                    memcmp(again.data, array->data, bytes) == 0,
                "the same array");
    npy_close(&again);
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    npy_array array;
    char error[NPY_ERROR] = "";
    const char *path = fuzz_put(&input, data, size);
    int next = fuzz_next_descriptor();
    if (npy_open(&array, path, error)) {
        FUZZ_EXPECT(fuzz_next_descriptor() == next, "a descriptor is left");
        FUZZ_EXPECT(array.rank <= NPY_MAX_RANK && array.count >= 1, "rank %u", array.rank);
        check_values(&array);
        memset((void *)array.map, 0, array.map_size); /* private: the file stays as it is */
        FUZZ_EXPECT(fuzz_holds(&input, data, size), "reading changed the file");
        npy_close(&array);
        if (npy_open(&array, path, error)) {
            check_round_trip(&array);
            npy_close(&array);
        }
    } else {
        FUZZ_EXPECT(fuzz_next_descriptor() == next, "a descriptor is left after: %s", error);
        FUZZ_EXPECT(!array.map && !array.data, "a mapping is left after: %s", error);
        fuzz_expect_line(error, sizeof error);
    }
    return 0;
}
