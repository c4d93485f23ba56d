/* A file of records that survives being cut at any moment: append only, each record with its checksum; what is torn at
 * the end is dropped when the file is opened. Files of several shards may be read together or simply joined by `cat`.
 *
 * Layout, little-endian: a header record {magic, fingerprint, seed, checksum}, then records {magic, job key, block,
 * count, count doubles, checksum}. A header may come again at any place. Checksums are XXH64 of the bytes before them.
 */
#ifndef VERIFY_RECORDS_H
#define VERIFY_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct verify_records {
    int descriptor; /* of the file that is added to; -1: none */
    char *path;
    uint64_t fingerprint, seed;
} verify_records;

/* Called for every whole record; the doubles belong to the reader. */
typedef void (*verify_record_fn)(void *user, uint64_t key, uint32_t block, const double *values, uint32_t count);

/* The seed that the file's header holds. false when there is no such file or it is empty. */
bool verify_records_seed(const char *path, uint64_t *seed);

/* Opens (creates) the file for appending and locks it, drops a torn tail, and reads what it holds. false: error says
 * why; *mismatch: it is whole, but of another run. */
bool verify_records_open(verify_records *records, const char *path, uint64_t fingerprint, uint64_t seed,
                         verify_record_fn each, void *user, char error[512], bool *mismatch);
/* Reads a file that is not added to. */
bool verify_records_read(const char *path, uint64_t fingerprint, verify_record_fn each, void *user, char error[512],
                         bool *mismatch);
/* One write. */
bool verify_records_append(verify_records *records, uint64_t key, uint32_t block, const double *values, uint32_t count,
                           char error[512]);
void verify_records_close(verify_records *records);

#endif
