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
#ifndef KEYS /* a multiple of TR and of 2 */
#define KEYS 72
#endif

#define ROWS (2 * VL)
/* Keys, or columns of V, that a register tile takes at once: 2 TR accumulators in 16 or 32 registers (cpu_tile.clh). */
#if VL == 16
#define TR 8
#else
#define TR 6
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

/* A row's reference moves when a score exceeds it by more. */
#define LAZY 16.0f

/* exp2(-inf - -inf) must be 0, not NaN. */
INLINE REAL finite_reference(REAL reference) {
    return reference == (REAL)(NEG_INF) ? (REAL)(0.0f) : reference;
}

/* Scores of a tile's rows with a block of keys, relative to the rows' references. */
typedef struct block_view {
    __global const float *k;
    ulong stride;
    int count;  /* keys; the rest of the last register tile repeats the last one */
    int common; /* keys before this one are seen by every row, the others by rows whose last key is not below them */
    INT last_a, last_b;
} block_view;

/* weight[key][row] = 2^(q.k - reference), 0 where the row does not see the key, and their sums; or, for `scores`, q.k -
 * reference itself, the very numbers whose maximum the other call returns for all keys, seen or not. */
INLINE REAL score_block(__local const REAL *query, block_view block, const REAL reference[2], bool scores,
                        __local REAL *weight, REAL sum[2]) {
    REAL top[2];
    top[0] = top[1] = (REAL)(NEG_INF);
    sum[0] = sum[1] = (REAL)(0.0f);
    for (int j = 0; j < block.count; j += TR) {
        __global const float *key[TR];
        REAL acc[TR][2];
        UNROLL for (int t = 0; t < TR; ++t) {
            key[t] = block.k + (ulong)min(j + t, block.count - 1) * block.stride;
            acc[t][0] = acc[t][1] = (REAL)(0.0f);
        }
        _Pragma("unroll 4") for (int c = 0; c < DIM; ++c) {
            const REAL qa = query[2 * c], qb = query[2 * c + 1];
            UNROLL for (int t = 0; t < TR; ++t) {
                const REAL x = (REAL)(key[t][c]);
                acc[t][0] = MAD(x, qa, acc[t][0]);
                acc[t][1] = MAD(x, qb, acc[t][1]);
            }
        }
        UNROLL for (int t = 0; t < TR; ++t) UNROLL for (int i = 0; i < 2; ++i) weight[2 * (j + t) + i] = acc[t][i];
    }
    for (int j = 0; j < block.count; j += 2) { /* two keys, so that no exponential waits for its own steps */
        REAL x[4];
        UNROLL for (int i = 0; i < 4; ++i) x[i] = weight[2 * j + i] - reference[i % 2];
        UNROLL for (int i = 0; i < 4; ++i) top[i % 2] = LARGER(x[i], top[i % 2]);
        if (!scores)
            exp2_each(x, 4);
        if (j + 2 > block.common && !scores) /* beyond the count keys are repeated, and no row sees those */
            UNROLL for (int i = 0; i < 4; ++i) {
                const INT key = (INT)(j + i / 2 < block.count ? j + i / 2 : INT_MAX);
                x[i] = key <= (i % 2 ? block.last_b : block.last_a) ? x[i] : (REAL)(0.0f);
            }
        UNROLL for (int i = 0; i < 4; ++i) {
            sum[i % 2] += x[i];
            weight[2 * j + i] = x[i];
        }
    }
    return LARGER(top[1], top[0]);
}

/* The largest relative score of the keys that each row sees. */
INLINE REAL largest_score(__local const REAL *score, int count, INT last, int v) {
    REAL top = (REAL)(NEG_INF);
    for (int j = 0; j < count; ++j) {
        const REAL s = score[2 * j + v];
        top = ((INT)(j) <= last & s > top) ? s : top;
    }
    return top;
}

/* Adds a block of keys to a tile's state. */
INLINE void add_block(__local REAL *state, __local const REAL *query, __local REAL *weight, block_view block,
                      __global const float *v, ulong stride) {
    const REAL old[2] = {state[REFERENCE], state[REFERENCE + 1]};
    REAL sum[2], reference[2], scale[2];
    bool again = false;
    UNROLL for (int i = 0; i < 2; ++i) {
        /* without a reference: any finite score exceeds what is allowed */
        reference[i] = old[i] == (REAL)(NEG_INF) ? (REAL)(-1e30f) : old[i];
        scale[i] = (REAL)(1.0f);
    }
    for (;; again = true) {
        const REAL top = score_block(query, block, reference, false, weight, sum);
        if (again || !any(top > LAZY))
            break;
        UNROLL for (int i = 0; i < 2; ++i) reference[i] = finite_reference(old[i]);
        score_block(query, block, reference, true, weight, sum);
        UNROLL for (int i = 0; i < 2; ++i) {
            const REAL most = largest_score(weight, block.count, i ? block.last_b : block.last_a, i);
            const INT moves = most > (old[i] == (REAL)(NEG_INF) ? (REAL)(NEG_INF) : (REAL)(LAZY));
            const REAL now = moves ? reference[i] + most : old[i];
            scale[i] = moves ? exp2_real(old[i] - now) : (REAL)(1.0f);
            state[REFERENCE + i] = now;
            reference[i] = finite_reference(now);
        }
    }
    /* A row that sees none of these keys keeps its state to the bit, the sign of zeros included. */
    const INT sees_a = block.last_a >= (INT)(0), sees_b = block.last_b >= (INT)(0);
    state[SUM] = sees_a ? MAD(state[SUM], scale[0], sum[0]) : state[SUM];
    state[SUM + 1] = sees_b ? MAD(state[SUM + 1], scale[1], sum[1]) : state[SUM + 1];

    for (int c = 0; c < COLUMNS; c += TR) {
        REAL a[TR], b[TR];
        int column[TR];
        UNROLL for (int t = 0; t < TR; ++t) {
            column[t] = min(c + t, VALUE_DIM - 1);
            a[t] = b[t] = (REAL)(0.0f);
        }
        __global const float *value = v;
        _Pragma("unroll 4") for (int j = 0; j < block.common; ++j, value += stride) {
            const REAL pa = weight[2 * j], pb = weight[2 * j + 1];
            UNROLL for (int t = 0; t < TR; ++t) {
                const REAL x = (REAL)(value[column[t]]);
                a[t] = MAD(x, pa, a[t]);
                b[t] = MAD(x, pb, b[t]);
            }
        }
        for (int j = block.common; j < block.count; ++j, value += stride) {
            const REAL pa = weight[2 * j], pb = weight[2 * j + 1];
            UNROLL for (int t = 0; t < TR; ++t) {
                const REAL x = (REAL)(value[column[t]]);
                a[t] = (INT)(j) <= block.last_a ? MAD(x, pa, a[t]) : a[t];
                b[t] = (INT)(j) <= block.last_b ? MAD(x, pb, b[t]) : b[t];
            }
        }
        __local REAL *output = state + OUTPUT + 2 * c;
        UNROLL for (int t = 0; t < TR; ++t) {
            output[2 * t] = sees_a ? MAD(output[2 * t], scale[0], a[t]) : output[2 * t];
            output[2 * t + 1] = sees_b ? MAD(output[2 * t + 1], scale[1], b[t]) : output[2 * t + 1];
        }
    }
}

/* state = what the launches before this one left, plus state; rows that see no key of this launch keep the former. */
INLINE void merge_carry(__local REAL *state, __global const float *carry, INT last_a, INT last_b) {
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
INLINE ulong last_key(ulong row, ulong n_k, ulong start, ulong step) {
    const ulong end = n_k - 1;
    if (start >= end || (step && row > (end - start) / step))
        return end;
    return start + row * step;
}

/* One group: item first_item + group of [batch, head, block of row_tiles * ROWS rows]. Local memory comes as arguments,
 * since PoCL 3.1 drops the stores of a helper that it does not inline to arrays declared in the kernel. For each tile
 * there are `query` [DIM][ROWS], `state` [STATE_VECTORS][VL] and `last` [ROWS], the last visible key of each row from
 * first_key on (-1: none); there is one `score` [KEYS][ROWS]. */
__kernel OWN_VECTORS void exact_cpu(__global const float *q, clfavor_view q_view, __global const float *k,
                                    clfavor_view k_view, __global const float *v, clfavor_view v_view,
                                    __global float *o, clfavor_view o_view, __global float *lse, clfavor_view lse_view,
                                    __global float *sign, clfavor_view sign_view, __global float *carry,
                                    ulong carry_offset, clfavor_sizes sizes, float scale, ulong start, ulong step,
                                    uint row_tiles, ulong first_item, ulong first_key, ulong wave, __local REAL *query,
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
            const block_view block = {keys,   k_view.token,           visible,
                                      common, last[2 * tile] - first, last[2 * tile + 1] - first};
            add_block(state + tile * STATE_VECTORS, query + tile * 2 * DIM, score, block, values, v_view.token);
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
