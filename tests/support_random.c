#include "support.h"

#include <stdlib.h>

/* A purpose that the library's own draws do not use. */
#define TEST_PURPOSE 0x54455354u

static void draw(uint64_t seed, uint64_t index, uint32_t block[4]) {
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), 0, TEST_PURPOSE};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    clfavor_philox4x32(counter, key, block);
}

double test_uniform(uint64_t seed, uint64_t index) {
    uint32_t block[4];
    draw(seed, index, block);
    return block[0] * 0x1p-32;
}

double test_normal(uint64_t seed, uint64_t index) {
    uint32_t block[4];
    double pair[2];
    draw(seed, index / 2, block);
    clfavor_normal_pair(block, pair);
    return pair[index % 2];
}

float *test_normals(uint64_t seed, size_t count, double sigma) {
    float *values = test_alloc(count, sizeof *values);
    for (size_t i = 0; i < count; ++i)
        values[i] = (float)(sigma * test_normal(seed, i));
    return values;
}

double *test_doubles(const float *values, size_t count) {
    double *doubles = test_alloc(count, sizeof *doubles);
    for (size_t i = 0; i < count; ++i)
        doubles[i] = (double)values[i];
    return doubles;
}
