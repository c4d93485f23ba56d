/* Entries of the cache of programs: one that is taken is byte for byte what would be written. */
#include "cache.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { HEADER = 40, IDENTITY = 24, BINARY = 32 }; /* offsets of the sizes */

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    uint64_t checksum, identity, binary;
    if (seed % 8 == 0 || size < HEADER + sizeof checksum)
        return size;
    memcpy(&identity, data + IDENTITY, sizeof identity);
    binary = size - HEADER - sizeof checksum - identity;
    if (seed % 4)
        memcpy(data + BINARY, &binary, sizeof binary);
    checksum = XXH3_64bits(data, size - sizeof checksum);
    memcpy(data + size - sizeof checksum, &checksum, sizeof checksum);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    clfavor_cache_view view;
    if (!clfavor_cache_parse(data, size, &view))
        return 0;
    FUZZ_EXPECT(view.binary_size, "a binary");
    char *identity = malloc(view.identity_size + 1);
    memcpy(identity, view.identity, view.identity_size);
    const clfavor_cache_identity own = {.text = identity, .size = view.identity_size};
    size_t again_size;
    unsigned char *again = clfavor_cache_entry(&own, view.binary, view.binary_size, &again_size);
    FUZZ_EXPECT(again && again_size == size && memcmp(again, data, size) == 0, "%zu bytes from %zu", again_size, size);
    free(again);
    free(identity);
    return 0;
}
