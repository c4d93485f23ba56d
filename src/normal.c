/* Box-Muller: G. Box, M. Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29, 1958.
 * The radius takes 64 bits: with 24 or 32 the tail is cut where exp(w.x) has its mass. */
#include "normal.h"

#include "detmath.h"
#include "philox.h"

#include <math.h>

void clfavor_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    clfavor_philox_block(counter, key, out);
}

void clfavor_normal_pair(const uint32_t block[4], double out[2]) {
    /* (k + 1) 2^-64 for the 64-bit k, rounded once: in (0, 1], so that the logarithm is finite. */
    double u = ((double)block[1] * 0x1p32 + ((double)block[0] + 1.0)) * 0x1p-64;
    double radius = sqrt(-2.0 * clfavor_det_log(u)); /* IEEE 754 defines sqrt's bits, too */
    double sine, cosine;
    clfavor_det_sincos_turn(clfavor_uniform(block[2], block[3]), &sine, &cosine);
    out[0] = radius * cosine;
    out[1] = radius * sine;
}

void clfavor_normal_fill(double *out, uint32_t count, const uint32_t first[4], const uint32_t key[2]) {
    uint32_t counter[4] = {first[0], first[1], first[2], first[3]};
    for (uint32_t i = 0; i < count; i += 2, ++counter[0]) {
        uint32_t block[4];
        double pair[2];
        clfavor_philox_block(counter, key, block);
        clfavor_normal_pair(block, pair);
        out[i] = pair[0];
        if (i + 1 < count)
            out[i + 1] = pair[1];
    }
}
