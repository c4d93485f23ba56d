/* Exact softmax attention, cpu class: one work-item a group, rows in the lanes of vectors.
 *
 * A group has row_tiles tiles of ROWS = 2 VL query rows, transposed into local memory once. Keys and values are
 * read where they lie, as scalars for all lanes. So every lane is a query row of its own: a tile's rows share no
 * arithmetic, and a mask is a select. Sums over keys have three levels: a block of KEYS keys, the blocks of a launch
 * (keys first_key .. first_key + wave - 1), and the launches, merged through `carry`. */
#include "types.h"
#include "vector.clh"

#ifndef DIM
#define DIM 64
#endif
#ifndef VALUE_DIM
#define VALUE_DIM 64
#endif
#ifndef KEYS
#define KEYS 64
#endif

#define ROWS (2 * VL)
/* Keys, or columns of V, that a register tile takes at once: 2 TR accumulators in 16 or 32 registers. */
#if VL == 16
#define TR 8
#else
#define TR 4
#endif
#define COLUMNS ((VALUE_DIM + TR - 1) / TR * TR)

#if VL == 1
#error "the cpu class needs vectors"
#endif

/* What a tile knows of the keys so far: reference and sum of the weights 2^(s - reference), then the weighted values.
 */
#define STATE_VECTORS (2 * (2 + COLUMNS))
#define REFERENCE     0
#define SUM           2
#define OUTPUT        4

/* exp2(-inf - -inf) must be 0, not NaN. */
static inline REAL finite_reference(REAL reference) {
    return reference == (REAL)(NEG_INF) ? (REAL)(0.0f) : reference;
}

/* score[key][row] = q.k of `count` keys; the rest of the last register tile repeats the last key. */
static inline void score_block(__local const REAL *query, __global const float *k, ulong stride, int count,
                               __local REAL *score) {
    for (int j = 0; j < count; j += TR) {
        __global const float *key[TR];
        REAL a[TR], b[TR];
#pragma unroll
        for (int t = 0; t < TR; ++t) {
            key[t] = k + (ulong)min(j + t, count - 1) * stride;
            a[t] = b[t] = (REAL)(0.0f);
        }
#pragma unroll 4
        for (int c = 0; c < DIM; ++c) {
            const REAL qa = query[2 * c], qb = query[2 * c + 1];
#pragma unroll
            for (int t = 0; t < TR; ++t) {
                const REAL x = (REAL)(key[t][c]);
                a[t] = MAD(x, qa, a[t]);
                b[t] = MAD(x, qb, b[t]);
            }
        }
#pragma unroll
        for (int t = 0; t < TR; ++t) {
            score[2 * (j + t)] = a[t];
            score[2 * (j + t) + 1] = b[t];
        }
    }
}

/* Adds `count` keys to a tile's state. Keys below `common` are seen by every row, the others by the rows whose last
 * visible key, last_a or last_b, is not below them. */
static inline void add_block(__local REAL *state, __local REAL *score, __global const float *v, ulong stride, int count,
                             int common, INT last_a, INT last_b) {
    for (int j = common; j < count; ++j) {
        score[2 * j] = (INT)(j) <= last_a ? score[2 * j] : (REAL)(NEG_INF);
        score[2 * j + 1] = (INT)(j) <= last_b ? score[2 * j + 1] : (REAL)(NEG_INF);
    }
    const REAL old_a = state[REFERENCE], old_b = state[REFERENCE + 1];
    REAL max_a = old_a, max_b = old_b;
    for (int j = 0; j < count; ++j) {
        const REAL a = score[2 * j], b = score[2 * j + 1];
        max_a = LARGER(a, max_a);
        max_b = LARGER(b, max_b);
    }
    const REAL reference_a = finite_reference(max_a), reference_b = finite_reference(max_b);
    REAL sum_a = (REAL)(0.0f), sum_b = (REAL)(0.0f);
    for (int j = 0; j < count; ++j) {
        const REAL a = exp2_real(score[2 * j] - reference_a), b = exp2_real(score[2 * j + 1] - reference_b);
        score[2 * j] = a;
        score[2 * j + 1] = b;
        sum_a += a;
        sum_b += b;
    }
    const REAL scale_a = exp2_real(old_a - reference_a), scale_b = exp2_real(old_b - reference_b);
    /* A row that sees none of these keys keeps its state to the bit, the sign of zeros included. */
    const INT sees_a = last_a >= (INT)(0), sees_b = last_b >= (INT)(0);
    state[REFERENCE] = max_a;
    state[REFERENCE + 1] = max_b;
    state[SUM] = sees_a ? MAD(state[SUM], scale_a, sum_a) : state[SUM];
    state[SUM + 1] = sees_b ? MAD(state[SUM + 1], scale_b, sum_b) : state[SUM + 1];

    for (int c = 0; c < COLUMNS; c += TR) {
        REAL a[TR], b[TR];
        int column[TR];
#pragma unroll
        for (int t = 0; t < TR; ++t) {
            column[t] = min(c + t, VALUE_DIM - 1);
            a[t] = b[t] = (REAL)(0.0f);
        }
        __global const float *value = v;
        for (int j = 0; j < common; ++j) {
            const REAL pa = score[2 * j], pb = score[2 * j + 1];
#pragma unroll
            for (int t = 0; t < TR; ++t) {
                const REAL x = (REAL)(value[column[t]]);
                a[t] = MAD(x, pa, a[t]);
                b[t] = MAD(x, pb, b[t]);
            }
            value += stride;
        }
        for (int j = common; j < count; ++j) {
            const REAL pa = score[2 * j], pb = score[2 * j + 1];
#pragma unroll
            for (int t = 0; t < TR; ++t) {
                const REAL x = (REAL)(value[column[t]]);
                a[t] = (INT)(j) <= last_a ? MAD(x, pa, a[t]) : a[t];
                b[t] = (INT)(j) <= last_b ? MAD(x, pb, b[t]) : b[t];
            }
            value += stride;
        }
        __local REAL *output = state + OUTPUT + 2 * c;
#pragma unroll
        for (int t = 0; t < TR; ++t) {
            output[2 * t] = sees_a ? MAD(output[2 * t], scale_a, a[t]) : output[2 * t];
            output[2 * t + 1] = sees_b ? MAD(output[2 * t + 1], scale_b, b[t]) : output[2 * t + 1];
        }
    }
}

/* state = what the launches before this one left, plus state; rows that see no key of this launch keep the former. */
static inline void merge_carry(__local REAL *state, __global const float *carry, INT last_a, INT last_b) {
    for (int half_tile = 0; half_tile < 2; ++half_tile) {
        const INT sees = (half_tile ? last_b : last_a) >= (INT)(0);
        const REAL old = VLOAD(carry + (REFERENCE + half_tile) * VL), new = state[REFERENCE + half_tile];
        const REAL maximum = LARGER(new, old);
        const REAL reference = finite_reference(maximum);
        const REAL scale_old = exp2_real(old - reference), scale_new = exp2_real(new - reference);
        state[REFERENCE + half_tile] = maximum;
        for (int i = SUM + half_tile; i < STATE_VECTORS; i += 2) {
            const REAL before = VLOAD(carry + i * VL);
            state[i] = sees ? MAD(before, scale_old, state[i] * scale_new) : before;
        }
    }
}

/* The last key that row i sees. The caller gives start = n_k - 1 and step = 0 when not causal. */
static inline ulong last_key(ulong row, ulong n_k, ulong start, ulong step) {
    const ulong end = n_k - 1;
    if (start >= end || (step && row > (end - start) / step))
        return end;
    return start + row * step;
}

/* One group: item first_item + group of [batch, head, block of row_tiles * ROWS rows]. Local memory comes as arguments,
 * since PoCL 3.1 drops the stores of a helper that it does not inline to arrays declared in the kernel. For each tile
 * there are `query` [DIM][ROWS], `state` [STATE_VECTORS][VL] and `last` [ROWS], the last visible key of each row from
 * first_key on (-1: none); there is one `score` [KEYS][ROWS]. */
__kernel void exact_cpu(__global const float *q, clfavor_view q_view, __global const float *k, clfavor_view k_view,
                        __global const float *v, clfavor_view v_view, __global float *o, clfavor_view o_view,
                        __global float *lse, clfavor_view lse_view, __global float *sign, clfavor_view sign_view,
                        __global float *carry, ulong carry_offset, clfavor_sizes sizes, float scale, ulong start,
                        ulong step, uint row_tiles, ulong first_item, ulong first_key, ulong wave, __local REAL *query,
                        __local REAL *state, __local REAL *score, __local INT *last) {
    const ulong group_rows = (ulong)row_tiles * ROWS;
    const ulong blocks = (sizes.n + group_rows - 1) / group_rows;
    const ulong item = first_item + get_group_id(0);
    const ulong first_row = item % blocks * group_rows;
    const uint rows = (uint)min(group_rows, sizes.n - first_row);
    const uint head = (uint)(item / blocks % sizes.heads), head_kv = head / (sizes.heads / sizes.heads_kv);
    const ulong batch = item / blocks / sizes.heads;
    const uint tiles = (rows + ROWS - 1) / ROWS;

    /* Keys of this launch that any row of the group sees. */
    const ulong group_last = last_key(first_row + rows - 1, sizes.n_k, start, step);
    if (group_last < first_key)
        return;
    const int count = (int)min(wave, group_last - first_key + 1);

    q += q_view.offset + batch * q_view.batch + head * q_view.head + first_row * q_view.token;
    k += k_view.offset + batch * k_view.batch + head_kv * k_view.head + first_key * k_view.token;
    v += v_view.offset + batch * v_view.batch + head_kv * v_view.head + first_key * v_view.token;
    carry += carry_offset + (ulong)get_group_id(0) * row_tiles * STATE_VECTORS * VL;

    for (uint r = 0; r < tiles * ROWS; ++r) {
        const uint row = min(r, rows - 1); /* rows beyond the end repeat the last one */
        __local float *column = (__local float *)(query + r / ROWS * 2 * DIM) + r % ROWS;
        for (uint c = 0; c < DIM; ++c)
            column[c * ROWS] = q[row * q_view.token + c] * scale;
        const ulong seen = last_key(first_row + row, sizes.n_k, start, step);
        ((__local int *)last)[r] = seen < first_key ? -1 : (int)min(seen - first_key, wave - 1);
    }
    for (uint tile = 0; tile < tiles; ++tile) {
        __local REAL *s = state + tile * STATE_VECTORS;
        for (int i = 0; i < STATE_VECTORS; ++i)
            s[i] = (REAL)(i < SUM ? NEG_INF : 0.0f);
    }

    for (int first = 0; first < count; first += KEYS) {
        __global const float *keys = k + (ulong)first * k_view.token, *values = v + (ulong)first * v_view.token;
        for (uint tile = 0; tile < tiles; ++tile) {
            __local const int *seen = (__local const int *)(last + 2 * tile); /* ascending */
            const int visible = min(seen[ROWS - 1] - first + 1, KEYS);
            if (visible <= 0)
                continue;
            const int common = clamp(seen[0] - first + 1, 0, visible);
            score_block(query + tile * 2 * DIM, keys, k_view.token, visible, score);
            add_block(state + tile * STATE_VECTORS, score, values, v_view.token, visible, common,
                      last[2 * tile] - first, last[2 * tile + 1] - first);
        }
    }

    for (uint tile = 0; tile < tiles; ++tile) {
        __local REAL *s = state + tile * STATE_VECTORS;
        __global float *kept = carry + (ulong)tile * STATE_VECTORS * VL;
        if (first_key)
            merge_carry(s, kept, last[2 * tile], last[2 * tile + 1]);
        if (group_last >= first_key + wave) {
            for (int i = 0; i < STATE_VECTORS; ++i)
                VSTORE(s[i], kept + i * VL);
            continue;
        }
        for (int half_tile = 0; half_tile < 2; ++half_tile) {
            const REAL sum = s[SUM + half_tile];
            for (int c = OUTPUT + half_tile; c < OUTPUT + 2 * VALUE_DIM; c += 2)
                s[c] = sum == (REAL)(0.0f) ? (REAL)(0.0f) : s[c] / sum;
            s[REFERENCE + half_tile] = (s[REFERENCE + half_tile] + log2(sum)) * (REAL)(M_LN2_F);
        }
        __local const float *lane = (__local const float *)s;
        for (uint r = 0; r < ROWS && tile * ROWS + r < rows; ++r) {
            const ulong row = first_row + tile * ROWS + r;
            __global float *out = o + o_view.offset + batch * o_view.batch + head * o_view.head + row * o_view.token;
            for (int c = 0; c < VALUE_DIM; ++c)
                out[c] = lane[OUTPUT * VL + c * ROWS + r];
            const float sum = lane[SUM * VL + r];
            if (lse)
                lse[lse_view.offset + batch * lse_view.batch + head * lse_view.head + row * lse_view.token] = lane[r];
            if (sign)
                sign[sign_view.offset + batch * sign_view.batch + head * sign_view.head + row * sign_view.token] =
                    sum > 0.0f ? 1.0f : sum;
        }
    }
}
