#define _GNU_SOURCE /* memfd_create */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: expected %s: ", file, line, condition);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

const char *fuzz_put(fuzz_file *file, const void *bytes, size_t size) {
    if (file->descriptor < 0) {
        file->descriptor = memfd_create("clfavor", MFD_CLOEXEC);
        snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->descriptor);
    }
    bool good = ftruncate(file->descriptor, 0) == 0 && lseek(file->descriptor, 0, SEEK_SET) == 0 &&
                pwrite(file->descriptor, bytes, size, 0) == (ssize_t)size;
    FUZZ_EXPECT(good, "a file in memory of %zu bytes", size);
    return file->path;
}

bool fuzz_holds(const fuzz_file *file, const void *bytes, size_t size) {
    struct stat status;
    if (fstat(file->descriptor, &status) != 0 || (size_t)status.st_size != size)
        return false;
    void *now = malloc(size + 1);
    bool same = now && pread(file->descriptor, now, size, 0) == (ssize_t)size && memcmp(now, bytes, size) == 0;
    free(now);
    return same;
}

int fuzz_next_descriptor(void) {
    int next = memfd_create("next", MFD_CLOEXEC);
    FUZZ_EXPECT(next >= 0, "a descriptor");
    close(next);
    return next;
}

void fuzz_expect_line(const char *text, size_t capacity) {
    size_t length = strnlen(text, capacity);
    FUZZ_EXPECT(length > 0 && length < capacity, "%zu of %zu bytes", length, capacity);
    for (size_t i = 0; i < length; ++i)
        FUZZ_EXPECT((unsigned char)text[i] >= ' ' && text[i] != '\x7f', "byte %zu is %02x", i, (unsigned)text[i]);
}

uint32_t fuzz_hash(uint32_t seed, uint32_t index) {
    uint64_t x = ((uint64_t)seed << 32 | index) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(x >> 32);
}
