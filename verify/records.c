#include "records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#define HEADER_MAGIC 0x31485643u /* "CVH1" */
#define RECORD_MAGIC 0x31525643u /* "CVR1" */
#define MAX_COUNT    (1u << 20)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "records are little-endian; this host needs conversion"
#endif

typedef struct header {
    uint32_t magic, version;
    uint64_t fingerprint, seed, checksum;
} header;

typedef struct record {
    uint32_t magic, block;
    uint64_t key;
    uint32_t count, reserved;
    /* count doubles, checksum */
} record;

static bool refuse(char error[512], const char *path, const char *why) {
    snprintf(error, 512, "the records in '%.300s' %s", path, why);
    return false;
}

/* The bytes of the whole record at `at`, or 0 when none is there. */
static size_t record_size(const unsigned char *at, size_t left) {
    uint32_t magic;
    if (left < sizeof magic)
        return 0;
    memcpy(&magic, at, sizeof magic);
    if (magic == HEADER_MAGIC) {
        header h;
        if (left < sizeof h)
            return 0;
        memcpy(&h, at, sizeof h);
        return h.checksum == XXH64(at, offsetof(header, checksum), 0) ? sizeof h : 0;
    }
    record r;
    if (magic != RECORD_MAGIC || left < sizeof r)
        return 0;
    memcpy(&r, at, sizeof r);
    size_t body = sizeof r + (size_t)r.count * sizeof(double);
    if (r.count > MAX_COUNT || left < body + sizeof(uint64_t))
        return 0;
    uint64_t checksum;
    memcpy(&checksum, at + body, sizeof checksum);
    return checksum == XXH64(at, body, 0) ? body + sizeof checksum : 0;
}

/* Where the next whole record begins at or after `at`; size when there is none. What a cut left behind is skipped. */
static size_t next_record(const unsigned char *bytes, size_t at, size_t size, size_t *step) {
    for (; at < size; ++at)
        if ((bytes[at] == (HEADER_MAGIC & 0xff)) && (*step = record_size(bytes + at, size - at)))
            return at;
    return size;
}

static bool take_record(const char *path, const unsigned char *at, uint64_t fingerprint, verify_record_fn each,
                        void *user, char error[512], bool *mismatch) {
    uint32_t magic;
    memcpy(&magic, at, sizeof magic);
    if (magic == HEADER_MAGIC) {
        header h;
        memcpy(&h, at, sizeof h);
        if (h.fingerprint == fingerprint)
            return true;
        *mismatch = true;
        return refuse(error, path,
                      "are of another run (seed, level, alpha, class, device, driver and version must be the same); "
                      "give that run's options or another file");
    }
    record r;
    memcpy(&r, at, sizeof r);
    double *values = malloc((r.count ? r.count : 1) * sizeof *values); /* aligned, which the file's are not */
    if (!values)
        return refuse(error, path, "do not fit into memory");
    memcpy(values, at + sizeof r, r.count * sizeof *values);
    each(user, r.key, r.block, values, r.count);
    free(values);
    return true;
}

/* Reads all whole records; *whole: the end of the last one. */
static bool read_all(const char *path, const unsigned char *bytes, size_t size, uint64_t fingerprint,
                     verify_record_fn each, void *user, size_t *whole, char error[512], bool *mismatch) {
    size_t step = 0;
    *whole = 0;
    if (size < sizeof(header) && memcmp(bytes, "CVH1", size < 4 ? size : 4) == 0)
        return true; /* cut in its first write */
    if (size < sizeof(header) || memcmp(bytes, "CVH1", 4) != 0 || !record_size(bytes, size)) {
        *mismatch = true;
        return refuse(error, path, "are no records of clfavor verify; give another file");
    }
    for (size_t at = 0; (at = next_record(bytes, at, size, &step)) < size; *whole = at += step)
        if (!take_record(path, bytes + at, fingerprint, each, user, error, mismatch))
            return false;
    return true;
}

static bool read_descriptor(int descriptor, const char *path, uint64_t fingerprint, verify_record_fn each, void *user,
                            size_t *whole, size_t *size, char error[512], bool *mismatch) {
    struct stat status;
    *whole = *size = 0;
    if (fstat(descriptor, &status) != 0)
        return refuse(error, path, strerror(errno));
    if (!S_ISREG(status.st_mode)) {
        *mismatch = true;
        return refuse(error, path, "must be in a plain file");
    }
    if (status.st_size == 0)
        return true;
    /* read, not mapped: another run may cut its torn tail off meanwhile */
    unsigned char *bytes = malloc((size_t)status.st_size);
    if (!bytes)
        return refuse(error, path, "do not fit into memory");
    ssize_t got;
    do {
        got = read(descriptor, bytes + *size, (size_t)status.st_size - *size);
        *size += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && *size < (size_t)status.st_size) || (got < 0 && errno == EINTR));
    bool good = got >= 0 ? read_all(path, bytes, *size, fingerprint, each, user, whole, error, mismatch)
                         : refuse(error, path, strerror(errno));
    free(bytes);
    return good;
}

bool verify_records_seed(const char *path, uint64_t *seed) {
    header h;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (descriptor < 0)
        return false;
    bool good = read(descriptor, &h, sizeof h) == (ssize_t)sizeof h && h.magic == HEADER_MAGIC &&
                record_size((const unsigned char *)&h, sizeof h) == sizeof h;
    close(descriptor);
    if (good)
        *seed = h.seed;
    return good;
}

static bool write_all(int descriptor, const void *data, size_t size) {
    for (const char *at = data; size > 0;) {
        ssize_t written = write(descriptor, at, size);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            at += written;
            size -= (size_t)written;
        }
    }
    return true;
}

bool verify_records_open(verify_records *records, const char *path, uint64_t fingerprint, uint64_t seed,
                         verify_record_fn each, void *user, char error[512], bool *mismatch) {
    size_t whole, size;
    *records = (verify_records){.descriptor = -1, .fingerprint = fingerprint, .seed = seed};
    int descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        snprintf(error, 512, "cannot write '%.300s': %s", path, strerror(errno));
        return false;
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        close(descriptor);
        return refuse(error, path, "are in use by another run; give each shard a file of its own");
    }
    bool good = read_descriptor(descriptor, path, fingerprint, each, user, &whole, &size, error, mismatch);
    if (good && whole < size && ftruncate(descriptor, (off_t)whole) != 0)
        good = refuse(error, path, strerror(errno));
    header h = {.magic = HEADER_MAGIC, .version = 1, .fingerprint = fingerprint, .seed = seed};
    h.checksum = XXH64(&h, offsetof(header, checksum), 0);
    if (good && whole == 0 && !write_all(descriptor, &h, sizeof h))
        good = refuse(error, path, strerror(errno));
    records->path = good ? strdup(path) : NULL;
    if (good && !records->path)
        refuse(error, path, "do not fit into memory");
    if (!records->path) {
        close(descriptor);
        return false;
    }
    records->descriptor = descriptor;
    return true;
}

bool verify_records_read(const char *path, uint64_t fingerprint, verify_record_fn each, void *user, char error[512],
                         bool *mismatch) {
    size_t whole, size;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        *mismatch = true;
        snprintf(error, 512, "cannot read '%.300s': %s", path, strerror(errno));
        return false;
    }
    bool good = read_descriptor(descriptor, path, fingerprint, each, user, &whole, &size, error, mismatch);
    close(descriptor);
    return good;
}

bool verify_records_append(verify_records *records, uint64_t key, uint32_t block, const double *values, uint32_t count,
                           char error[512]) {
    if (records->descriptor < 0)
        return true;
    if (count > MAX_COUNT)
        return refuse(error, records->path, "would hold a record that is too long");
    record r = {.magic = RECORD_MAGIC, .block = block, .key = key, .count = count};
    size_t body = sizeof r + count * sizeof *values;
    unsigned char *bytes = malloc(body + sizeof(uint64_t));
    if (!bytes)
        return refuse(error, records->path, "do not fit into memory");
    memcpy(bytes, &r, sizeof r);
    memcpy(bytes + sizeof r, values, count * sizeof *values);
    uint64_t checksum = XXH64(bytes, body, 0);
    memcpy(bytes + body, &checksum, sizeof checksum);
    bool good = write_all(records->descriptor, bytes, body + sizeof checksum);
    int why = errno;
    free(bytes);
    if (!good)
        snprintf(error, 512, "cannot write '%.300s': %s", records->path, strerror(why));
    return good;
}

void verify_records_close(verify_records *records) {
    if (records->descriptor >= 0)
        close(records->descriptor);
    free(records->path);
    *records = (verify_records){.descriptor = -1};
}
