/* The device's FMA peak: independent chains of fused multiply-adds on vectors of VL floats, nothing else. CHAINS is
 * large enough to hide the latency and small enough to stay in registers. */
#ifndef VL
#define VL 8
#endif
#ifndef CHAINS
#define CHAINS 12
#endif
#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
#define REAL         PASTE(float, VL)

__kernel void peak(__global float *out, uint rounds) {
    REAL chain[CHAINS], sum = (REAL)(0.0f);
    const REAL b = (REAL)(out[0]), c = (REAL)(out[1]);
    for (int i = 0; i < CHAINS; ++i)
        chain[i] = (REAL)(out[2 + i]);
    for (uint round = 0; round < rounds; ++round) {
#pragma unroll
        for (int i = 0; i < CHAINS; ++i)
            chain[i] = fma(chain[i], b, c);
    }
    for (int i = 0; i < CHAINS; ++i)
        sum += chain[i];
    PASTE(vstore, VL)(sum, get_global_id(0), out + 64);
}
