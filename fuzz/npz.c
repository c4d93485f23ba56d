/* .npz archives: what was read and is written again is read as the same. */
#include "../cli/npz.h"
#include "fuzz.h"
#include "zip.h"

#include <string.h>

static fuzz_file input = {.descriptor = -1}, output = {.descriptor = -1};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8)
        fuzz_zip_mend(data, size);
    return size;
}

static void check_round_trip(const npz *in) {
    char error[NPY_ERROR];
    npz again;
    fuzz_put(&output, "", 0);
    outfile out = {.path = output.path, .descriptor = output.descriptor, .slot = -1};
    FUZZ_EXPECT(npz_write(&out, in->arrays, in->count, error), "%s", error);
    FUZZ_EXPECT(npz_read(&again, output.path, error), "%s", error);
    FUZZ_EXPECT(again.count == in->count, "%zu arrays, not %zu", again.count, in->count);
    for (size_t i = 0; i < in->count; ++i) {
        const npz_array *a = &in->arrays[i], *b = &again.arrays[i];
        FUZZ_EXPECT(strcmp(a->name, b->name) == 0 && a->type == b->type && a->rank == b->rank &&
                        memcmp(a->shape, b->shape, sizeof a->shape) == 0,
                    "array %zu", i);
        FUZZ_EXPECT(npz_find(in, a->name) == a, "array %zu under its name", i);
    }
    FUZZ_EXPECT(npz_checksum(again.arrays, again.count) == npz_checksum(in->arrays, in->count), "the same bits");
    npz_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    npz in;
    char error[NPY_ERROR] = "";
    const char *path = fuzz_put(&input, data, size);
    int next = fuzz_next_descriptor();
    if (npz_read(&in, path, error)) {
        check_round_trip(&in);
        npz_free(&in);
    } else {
        FUZZ_EXPECT(!in.arrays && !in.count, "arrays are left after: %s", error);
        fuzz_expect_line(error, sizeof error);
    }
    FUZZ_EXPECT(fuzz_next_descriptor() == next || output.descriptor == next, "a descriptor is left after: %s", error);
    FUZZ_EXPECT(fuzz_holds(&input, data, size), "reading changed the file");
    return 0;
}
