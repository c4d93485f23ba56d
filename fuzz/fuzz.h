/* What the targets of libFuzzer share. A target is a function of bytes that ends the process when a property fails;
 * linked with libFuzzer it searches, linked with replay.c it runs the files that it is given. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Of the targets whose files have checksums: mends these mostly, since chance never would. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#define FUZZ_EXPECT(condition, ...)                                                                                    \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fuzz_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                                    \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A file in memory, opened as any other by its path. Begin with FUZZ_NO_FILE; it stays until the process ends. */
typedef struct fuzz_file {
    int descriptor;
    char path[32];
} fuzz_file;
#define FUZZ_NO_FILE ((fuzz_file){.descriptor = -1})

/* Makes these bytes the file's, and its path the result. The offset of the descriptor is 0 afterwards. */
const char *fuzz_put(fuzz_file *file, const void *bytes, size_t size);
bool fuzz_holds(const fuzz_file *file, const void *bytes, size_t size);

/* The descriptor that comes next: the same before and after a call that leaves none behind. */
int fuzz_next_descriptor(void);

/* Fails unless the text is one line that says something, and holds nothing for a terminal. */
void fuzz_expect_line(const char *text, size_t capacity);

/* A number that a seed of LLVMFuzzerCustomMutator and an index give. */
uint32_t fuzz_hash(uint32_t seed, uint32_t index);

#endif
