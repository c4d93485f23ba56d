/* Small helpers that every file of the library may use. */
#ifndef CLFAVOR_COMMON_H
#define CLFAVOR_COMMON_H

#include <stdbool.h>
#include <string.h>

#include <clfavor/clfavor.h>

/* 1: the library may use CLBlast (src/gpu_clblast.c). */
#ifndef CLFAVOR_CLBLAST
#define CLFAVOR_CLBLAST 0
#endif

#define CLFAVOR_TWO_PI 6.283185307179586476925286766559
#define CLFAVOR_LOG2E  1.4426950408889634073599246810019
#define CLFAVOR_LN2    0.69314718055994530941723212145818
#define CLFAVOR_ALIGN  128u /* bytes; what every part of a workspace is aligned to */

/* Copies a caller's descriptor, which begins with its struct_size, into a zeroed one of ours. A shorter one (an older
 * header) leaves the rest 0, the default; a longer one (a newer header) is accepted if what we do not know is 0. */
static inline bool clfavor_desc_read(void *own, size_t own_size, const void *theirs) {
    if (!theirs)
        return false;
    size_t size;
    memcpy(&size, theirs, sizeof size);
    if (size < sizeof size)
        return false;
    for (size_t i = own_size; i < size; ++i)
        if (((const unsigned char *)theirs)[i])
            return false;
    memset(own, 0, own_size);
    memcpy(own, theirs, size < own_size ? size : own_size);
    memcpy(own, &own_size, sizeof own_size);
    return true;
}

/* Fills a caller's info struct as far as its struct_size reaches. */
static inline clfavor_status clfavor_info_write(void *theirs, const void *own, size_t own_size) {
    size_t size;
    memcpy(&size, theirs, sizeof size);
    if (size < sizeof size)
        return CLFAVOR_INVALID_ARGUMENT;
    size_t used = size < own_size ? size : own_size;
    memcpy((char *)theirs + sizeof size, (const char *)own + sizeof size, used - sizeof size);
    return CLFAVOR_SUCCESS;
}

static inline bool clfavor_mul_overflows(size_t a, size_t b, size_t *product) {
    return __builtin_mul_overflow(a, b, product);
}

static inline uint64_t clfavor_min(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}
static inline uint64_t clfavor_max(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}
static inline uint64_t clfavor_ceil_div(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}
static inline uint32_t clfavor_round_up(uint32_t value, uint32_t unit) {
    return (value + unit - 1) / unit * unit;
}

#endif
