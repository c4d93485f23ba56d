/* Exact softmax attention, gpu class: one work-item for a query row and COLUMNS columns of V; no local memory, any
 * work-group size. The work-items of a head read the same keys at about the same time, so caches serve them.
 * Sums over keys have three levels: a block of KEYS keys, the blocks of a launch, and the launches through `carry`. */
#include "types.h"
#include "vector.clh"

#ifndef DIM
#define DIM 64
#endif
#ifndef VALUE_DIM
#define VALUE_DIM 64
#endif
#ifndef KEYS
#define KEYS 16
#endif
#ifndef COLUMNS
#define COLUMNS 32
#endif

/* exp2(-inf - -inf) must be 0, not NaN. */
static inline float finite_reference(float reference) {
    return reference == NEG_INF ? 0.0f : reference;
}

/* The last key that row i sees. The caller gives start = n_k - 1 and step = 0 when not causal. */
static inline ulong last_key(ulong row, ulong n_k, ulong start, ulong step) {
    const ulong end = n_k - 1;
    if (start >= end || (step && row > (end - start) / step))
        return end;
    return start + row * step;
}

/* Work-item (i, j): row first_item + i of [batch, head, n], columns j * COLUMNS on. */
__kernel void exact_gpu(__global const float *q, clfavor_view q_view, __global const float *k, clfavor_view k_view,
                        __global const float *v, clfavor_view v_view, __global float *o, clfavor_view o_view,
                        __global float *lse, clfavor_view lse_view, __global float *sign, clfavor_view sign_view,
                        __global float *carry, ulong carry_offset, clfavor_sizes sizes, float scale, ulong start,
                        ulong step, ulong first_item, ulong first_key, ulong wave) {
    const ulong item = first_item + get_global_id(0);
    const ulong row = item % sizes.n;
    const uint head = (uint)(item / sizes.n % sizes.heads), head_kv = head / (sizes.heads / sizes.heads_kv);
    const ulong batch = item / sizes.n / sizes.heads;
    const uint column = (uint)get_global_id(1) * COLUMNS;

    const ulong seen = last_key(row, sizes.n_k, start, step);
    if (seen < first_key)
        return;
    const uint count = (uint)min(wave, seen - first_key + 1);

    q += q_view.offset + batch * q_view.batch + head * q_view.head + row * q_view.token;
    k += k_view.offset + batch * k_view.batch + head_kv * k_view.head + first_key * k_view.token;
    v += v_view.offset + batch * v_view.batch + head_kv * v_view.head + first_key * v_view.token;
    /* [2 + COLUMNS][work-items], so that neighbours write side by side */
    const ulong stride = get_global_size(0) * get_global_size(1);
    carry += carry_offset + get_global_id(1) * get_global_size(0) + get_global_id(0);

    float reference = NEG_INF, sum = 0.0f, output[COLUMNS];
    for (uint c = 0; c < COLUMNS; ++c)
        output[c] = 0.0f;

    for (uint first = 0; first < count; first += KEYS) {
        const uint block = min((uint)KEYS, count - first);
        float score[KEYS];
        for (uint j = 0; j < KEYS; ++j)
            score[j] = 0.0f;
        for (uint c = 0; c < DIM; ++c) {
            const float x = q[c] * scale;
            for (uint j = 0; j < KEYS; ++j)
                score[j] = MAD(x, k[(ulong)(first + min(j, block - 1)) * k_view.token + c], score[j]);
        }
        float maximum = reference;
        for (uint j = 0; j < KEYS; ++j) {
            score[j] = j < block ? score[j] : NEG_INF;
            maximum = LARGER(score[j], maximum);
        }
        const float base = finite_reference(maximum), factor = exp2_real(reference - base);
        reference = maximum;
        float block_sum = 0.0f;
        for (uint j = 0; j < KEYS; ++j) {
            score[j] = exp2_real(score[j] - base);
            block_sum += score[j];
        }
        sum = MAD(sum, factor, block_sum);
        for (uint c = 0; c < COLUMNS; ++c) {
            __global const float *value = v + (ulong)first * v_view.token + min(column + c, (uint)VALUE_DIM - 1);
            float block_output = 0.0f;
            for (uint j = 0; j < KEYS; ++j)
                if (j < block)
                    block_output = MAD(score[j], value[(ulong)j * v_view.token], block_output);
            output[c] = MAD(output[c], factor, block_output);
        }
    }

    if (first_key) {
        const float old = carry[0], maximum = LARGER(reference, old), base = finite_reference(maximum);
        const float factor_old = exp2_real(old - base), factor = exp2_real(reference - base);
        reference = maximum;
        sum = MAD(carry[stride], factor_old, sum * factor);
        for (uint c = 0; c < COLUMNS; ++c)
            output[c] = MAD(carry[(2 + c) * stride], factor_old, output[c] * factor);
    }
    if (seen >= first_key + wave) {
        carry[0] = reference;
        carry[stride] = sum;
        for (uint c = 0; c < COLUMNS; ++c)
            carry[(2 + c) * stride] = output[c];
        return;
    }
    o += o_view.offset + batch * o_view.batch + head * o_view.head + row * o_view.token;
    for (uint c = 0; c < COLUMNS; ++c)
        if (column + c < VALUE_DIM)
            o[column + c] = sum == 0.0f ? 0.0f : output[c] / sum;
    if (column)
        return;
    if (lse)
        lse[lse_view.offset + batch * lse_view.batch + head * lse_view.head + row * lse_view.token] =
            (reference + log2(sum)) * M_LN2_F;
    if (sign)
        sign[sign_view.offset + batch * sign_view.batch + head * sign_view.head + row * sign_view.token] =
            sum > 0.0f ? 1.0f : sum;
}
