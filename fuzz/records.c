/* Resume files of `clfavor verify': reading, opening, adding and reading again see the same records. */
#include "../verify/records.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define FINGERPRINT UINT64_C(0x66757a7a) /* of the seeds */
#define SEED        7u

enum { HEADER = 32, RECORD = 24 }; /* bytes before a checksum: 24, and the count's doubles */

static fuzz_file input = {.descriptor = -1};

static void mend(uint8_t *data, size_t size) {
    for (size_t at = 0; at + HEADER <= size; ++at) {
        uint64_t checksum, fingerprint = FINGERPRINT;
        uint32_t count;
        size_t body = RECORD;
        if (memcmp(data + at, "CVH1", 4) == 0) {
            memcpy(data + at + 8, &fingerprint, sizeof fingerprint);
        } else if (memcmp(data + at, "CVR1", 4) == 0) {
            memcpy(&count, data + at + 16, sizeof count);
            body += (size_t)count * sizeof(double);
        } else {
            continue;
        }
        if (body > size - at - sizeof checksum)
            continue;
        checksum = XXH64(data + at, body, 0);
        memcpy(data + at + body, &checksum, sizeof checksum);
        at += body + sizeof checksum - 1;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8)
        mend(data, size);
    return size;
}

/* How many records, and a hash of all that they hold. */
typedef struct seen {
    uint64_t count, hash;
} seen;

static void see(void *user, uint64_t key, uint32_t block, const double *values, uint32_t count) {
    seen *s = user;
    const uint64_t parts[] = {s->hash, key, block, count, XXH64(values, count * sizeof *values, 0)};
    s->hash = XXH64(parts, sizeof parts, 0);
    ++s->count;
}

static bool same(const seen *a, const seen *b) {
    return a->count == b->count && a->hash == b->hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[512] = "";
    bool mismatch = false, mismatch_open = false;
    uint64_t seed = 0;
    seen read = {0}, opened = {0}, again = {0};
    verify_records records;
    const char *path = fuzz_put(&input, data, size);
    int next = fuzz_next_descriptor();
    bool known = verify_records_seed(path, &seed);
    bool good = verify_records_read(path, FINGERPRINT, see, &read, error, &mismatch);
    FUZZ_EXPECT(fuzz_holds(&input, data, size), "reading changed the file");
    FUZZ_EXPECT(known || !good || size < HEADER, "records without a seed");
    if (!good) {
        FUZZ_EXPECT(mismatch, "a file that is no file of records");
        fuzz_expect_line(error, sizeof error);
    }
    bool taken = verify_records_open(&records, path, FINGERPRINT, SEED, see, &opened, error, &mismatch_open);
    FUZZ_EXPECT(taken == good && mismatch_open == mismatch && same(&read, &opened), "opened as read: %s", error);
    if (taken) {
        static const double values[] = {1.5, -2.0};
        FUZZ_EXPECT(verify_records_append(&records, 9, 1, values, 2, error), "%s", error);
        verify_records_close(&records);
        see(&opened, 9, 1, values, 2);
        FUZZ_EXPECT(verify_records_read(path, FINGERPRINT, see, &again, error, &mismatch), "%s", error);
        FUZZ_EXPECT(same(&again, &opened), "%llu records, then %llu", (unsigned long long)opened.count,
                    (unsigned long long)again.count);
        FUZZ_EXPECT(verify_records_seed(path, &seed), "a seed");
    } else {
        FUZZ_EXPECT(fuzz_holds(&input, data, size), "a refusal changed the file");
        FUZZ_EXPECT(records.descriptor < 0 && !records.path, "something is left open");
    }
    FUZZ_EXPECT(fuzz_next_descriptor() == next, "a descriptor is left");
    return 0;
}
