/* What a device can do at most. Compiled after kernels/vector.clh, with VL lanes a vector.
 *
 * fma_8, fma_12, fma_16: so many independent chains of fused multiply-adds on vectors, `rounds` of each, and nothing
 * else: enough to hide the latency, few enough to stay in registers; which number is best depends on the device.
 * exponentials: the same of the kernels' own exp2 on 8 chains, x <- 2^(-x), which stays between 1/2 and 1.
 * triad: a = b + s c over vectors; work-items take contiguous parts (CPUs) or neighbouring vectors (GPUs).
 *
 * The operands come from memory, so that no compiler knows them. out: 32 floats of those, then a vector a work-item. */
#define EACH_8(DO)  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define EACH_12(DO) EACH_8(DO) DO(8) DO(9) DO(10) DO(11)
#define EACH_16(DO) EACH_12(DO) DO(12) DO(13) DO(14) DO(15)

#define START(i) REAL chain##i = (REAL)(out[2 + i]);
#define FUSE(i)  chain##i = MAD(chain##i, b, c);
#define RAISE(i) chain##i = exp2_real(-chain##i);
#define ADD(i)   sum += chain##i;

#define LOOP(name, EACH, STEP)                                                                                         \
    __kernel void name(__global float *out, uint rounds) {                                                             \
        const REAL b = (REAL)(out[0]), c = (REAL)(out[1]);                                                             \
        REAL sum = b + c;                                                                                              \
        EACH(START)                                                                                                    \
        for (uint round = 0; round < rounds; ++round) {                                                                \
            EACH(STEP)                                                                                                 \
        }                                                                                                              \
        EACH(ADD)                                                                                                      \
        VSTORE(sum, out + 32 + (ulong)get_global_id(0) * VL);                                                          \
    }

LOOP(fma_8, EACH_8, FUSE)
LOOP(fma_12, EACH_12, FUSE)
LOOP(fma_16, EACH_16, FUSE)
LOOP(exponentials, EACH_8, RAISE)

__kernel void triad(__global float *a, __global const float *b, __global const float *c, float s, ulong vectors,
                    uint contiguous) {
    const ulong id = get_global_id(0), items = get_global_size(0), part = (vectors + items - 1) / items;
    ulong i = contiguous ? id * part : id;
    const ulong end = contiguous && i + part < vectors ? i + part : vectors, step = contiguous ? 1 : items;
    for (; i < end; i += step)
        VSTORE(MAD((REAL)(s), VLOAD(c + i * VL), VLOAD(b + i * VL)), a + i * VL);
}
