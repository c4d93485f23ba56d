#include "inputs.h"

/* The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void bench_inputs_fill(float *out, size_t count, uint64_t stream) {
    for (size_t i = 0; i < count; ++i) {
        uint64_t bits = mix((stream << 56) + ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u);
        int sum = 0;
        for (int part = 0; part < 4; ++part)
            sum += (int)(bits >> (16 * part) & 0xffff) - 0x8000;
        out[i] = (float)sum * (1.7320508F * 0x1p-16F); /* four variances of 1/12 */
    }
}
