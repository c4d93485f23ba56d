/* Attention for the gpu class, fused: the state of each chunk of keys, and the scan over chunks. Features of keys live
 * in local memory only. src/gpu_fused.c has the order of the launches; gpu_attention.h the parts of the workspace.
 *
 * A key feature is value * 2^exponent. A chunk's state is relative to 2^c, c the largest exponent of each feature in
 * the chunk (one for all if the map is signed), rounded up to an integer: moving to another c is then exact. */
#include "gpu_tile.clh"

#define KEY_ROWS   ITEM_ROWS(ROWS, FEATURES)
#define STATE_ROWS ITEM_ROWS(FEATURES, COLUMNS)
#define PARTS      (GROUP / LANES(FEATURES)) /* of the tokens of a tile, one for each item of a feature */
/* Steps of the operands; later the parts that are reduced, or a step of V. */
#define STEPS_SIZE LARGER_OF(STEP *(PADDED(ROWS) + FEATURES), LARGER_OF(PARTS *FEATURES, STEP *COLUMNS))

/* One step of the scan: what a chunk adds, relative to 2^own, goes into the running state, which moves from 2^before to
 * 2^after. Causal: the place of what was added takes the state at the chunk's start. */
INLINE running_sum scan_step(running_sum now, __global float *start, float own, float before, float after,
                             bool causal) {
    const float scale = power(before, after), added = *start;
    if (causal)
        *start = total(now);
    now.sum *= scale;
    now.low *= scale;
    return add(now, added * power(own, after));
}

/* Four features of a key from f on, anything for those beyond F. projected: its products with their projection rows,
 * but elu has none. */
INLINE float4 features_of_token(float4 projected, global_floats bias, global_floats key, clfavor_sizes sizes, uint f) {
    const uint last = ALL_FEATURES - 1;
#if FAMILY == FAMILY_ELU
    projected = (float4)(key[min(f, last)], key[min(f + 1, last)], key[min(f + 2, last)], key[min(f + 3, last)]);
#else
    projected += (float4)(bias[feature_row(sizes, min(f, last))], bias[feature_row(sizes, min(f + 1, last))],
                          bias[feature_row(sizes, min(f + 2, last))], bias[feature_row(sizes, min(f + 3, last))]);
#endif
    return (float4)(map_feature(projected.s0, VALUES == 2 && f >= sizes.rows),
                    map_feature(projected.s1, VALUES == 2 && f + 1 >= sizes.rows),
                    map_feature(projected.s2, VALUES == 2 && f + 2 >= sizes.rows),
                    map_feature(projected.s3, VALUES == 2 && f + 3 >= sizes.rows));
}

/* [column tile + their number * feature tile, chunk, state] * GROUP: what a chunk adds to the state, relative to its
 * own references. In one pass (wave.one_pass; exponential maps, one column tile) a group goes through all chunks and
 * scans on the way, while what it adds is in the cache: [feature tile, 1, state]. Either way has the same bits. */
TILE_KERNEL void fused_states(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes,
                              __global const float *k, clfavor_view k_view, __global const float *v,
                              clfavor_view v_view, __global const float *weights, clfavor_weights_layout layout) {
    __local float steps[STEPS_SIZE] __attribute__((aligned(16)));
    __local float phi[ROWS * FEATURES] __attribute__((aligned(16))); /* [token][feature] */
    __local float factor[FEATURES] __attribute__((aligned(16)));

    const uint item = get_local_id(0), tile = get_group_id(0) / COLUMN_TILES * FEATURES;
    const uint state = get_group_id(2);
    const uint base = get_group_id(0) % COLUMN_TILES * COLUMNS, columns = wave.columns - base;
    const uint lane = item % LANES(FEATURES) * 4, part = item / LANES(FEATURES), token_row = part * KEY_ROWS;
    const uint column = item % LANES(COLUMNS) * 4, state_row = item / LANES(COLUMNS) * STATE_ROWS;
    const uint last = wave.one_pass ? WAVE_CHUNKS : get_group_id(1) + 1;

    k += state_place(k_view, sizes, wave.state + state) + wave.token * k_view.token;
    v += state_place(v_view, sizes, wave.state + state) + wave.token * v_view.token + wave.column + base;
    weights += set_place(layout, sizes, wave.state + state);
    __global const float *scalar = workspace + wave.key_scalars + (ulong)state * wave.capacity;

    for (uint chunk = get_group_id(1); chunk < last; ++chunk) {
        const uint begin = chunk * wave.chunk, end = min(begin + wave.chunk, wave.tokens);
        float4 c = NEG_INF, count = 0.0f, sum[STATE_ROWS];
        EACH_ROW(row, STATE_ROWS, sum[row] = 0.0f;)

        for (uint first = begin; first < end; first += ROWS) {
            const uint rows = min((uint)ROWS, end - first);
            float4 e[KEY_ROWS];
            EACH_ROW(row, KEY_ROWS, e[row] = 0.0f;)
#if FAMILY != FAMILY_ELU
            for (uint at = 0; at < DIM; at += STEP) {
                load_tokens(steps, PADDED(ROWS), ROWS, k + first * k_view.token, k_view.token, rows, at);
                load_weights(steps + STEP * PADDED(ROWS), FEATURES, weights + layout.wk, sizes, tile, at);
                barrier(CLK_LOCAL_MEM_FENCE);
                tile_multiply(e, KEY_ROWS, steps + token_row, PADDED(ROWS), steps + STEP * PADDED(ROWS) + lane,
                              FEATURES);
                barrier(CLK_LOCAL_MEM_FENCE);
            }
#endif
            /* Exponents, and their maxima over this item's tokens. */
            float4 maximum = NEG_INF;
            EACH_ROW(row, KEY_ROWS, {
                const uint t = token_row + row;
                const float own = t < rows ? scalar[first + t] : NEG_INF;
                e[row] = features_of_token(e[row], weights + layout.bk, k + (first + min(t, rows - 1)) * k_view.token,
                                           sizes, tile + lane);
                if (LOG_MAP)
                    e[row] = t < rows ? e[row] + own : NEG_INF;
                maximum = larger4(ceil(LOG_MAP ? e[row] : (float4)(own)), maximum);
            })
            store4(steps + part * FEATURES + lane, maximum);
            barrier(CLK_LOCAL_MEM_FENCE);
            const float4 old = c;
            for (uint other = 0; other < PARTS; ++other)
                c = larger4(load4(steps + other * FEATURES + lane), c);
            const float4 rescaled = power4(old, c);
            count *= rescaled;
            if (part == 0)
                store4(factor + lane, rescaled);
            EACH_ROW(row, KEY_ROWS, {
                const uint t = token_row + row;
                if (LOG_MAP)
                    e[row] = power4(e[row], c);
                else
                    e[row] = t < rows ? e[row] * power(scalar[first + t], c.s0) : (float4)(0.0f);
                count += e[row];
                store4(phi + t * FEATURES + lane, e[row]);
            })
            barrier(CLK_LOCAL_MEM_FENCE);
            EACH_ROW(row, STATE_ROWS, sum[row] *= factor[state_row + row];)
            for (uint at = 0; at < ROWS; at += STEP) {
#if EXACT
                /* What is left out has features of 0, and 0 times an infinity would be NaN. */
                NO_UNROLL
                for (SHARED(round, STEP * COLUMNS)) {
                    const uint i = ELEMENT(round), t = at + i / COLUMNS, other = i % COLUMNS;
                    if (BEYOND(round, STEP * COLUMNS))
                        continue;
                    const bool counts = t < rows && other < columns && scalar[first + t] != NEG_INF;
                    steps[i] = counts ? v[(first + t) * v_view.token + other] : 0.0f;
                }
#else
                load_rows(steps, v + (first + at) * v_view.token, v_view.token, at < rows ? rows - at : 0, columns,
                          VECTOR);
#endif
                barrier(CLK_LOCAL_MEM_FENCE);
                tile_multiply(sum, STATE_ROWS, phi + at * FEATURES + state_row, FEATURES, steps + column, COLUMNS);
                barrier(CLK_LOCAL_MEM_FENCE);
            }
        }

        const ulong place = (ulong)state * CHUNK_CAPACITY + chunk;
        __global float *out = workspace + wave.starts + (place * ALL_FEATURES + tile) * STATE_COLUMNS;
        EACH_ROW(row, STATE_ROWS,
                 if (tile + state_row + row < ALL_FEATURES && base + column < COUNT_COLUMN) *
                     (__global float4 *)(out + (state_row + row) * STATE_COLUMNS + base + column) = sum[row];)
        store4(steps + part * FEATURES + lane, count);
        if (part == 0)
            store4(factor + lane, c);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint f = item; base == 0 && f < FEATURES && tile + f < ALL_FEATURES; f += GROUP) {
            float all = 0.0f;
            for (uint other = 0; other < PARTS; ++other)
                all += steps[other * FEATURES + f];
            out[f * STATE_COLUMNS + COUNT_COLUMN] = all;
            if (tile + f < REFERENCES)
                workspace[wave.chunk_references + place * REFERENCES + tile + f] = factor[f];
        }

        if (wave.one_pass) {
            __global float *reference =
                workspace + wave.references + (ulong)state * (CHUNK_CAPACITY + 1) * REFERENCES + tile;
            __global const float *own = workspace + wave.chunk_references + place * REFERENCES + tile;
            barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
            for (uint f = item; f < FEATURES && tile + f < REFERENCES; f += GROUP) {
                const ulong carried = (ulong)CHUNK_CAPACITY * REFERENCES + f, at = (ulong)chunk * REFERENCES + f;
                const float before = chunk ? reference[at] : wave.first ? NEG_INF : reference[carried];
                const float after = LARGER(own[f], before);
                reference[at] = before;
                reference[at + REFERENCES] = after;
                if (chunk + 1 == last)
                    reference[carried] = after;
                steps[f] = before;
                steps[FEATURES + f] = after;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            const ulong tile_place = ((ulong)state * ALL_FEATURES + tile) * STATE_COLUMNS;
            __global float *running = workspace + wave.sums + tile_place, *low = workspace + wave.lows + tile_place;
            for (uint i = item; i < min((uint)FEATURES, ALL_FEATURES - tile) * STATE_COLUMNS; i += GROUP) {
                const uint f = i / STATE_COLUMNS;
                running_sum now = {0.0f, 0.0f};
                if (chunk || !wave.first) {
                    now.sum = running[i];
                    now.low = low[i];
                }
                now = scan_step(now, out + i, factor[f], steps[f], steps[FEATURES + f], wave.causal);
                running[i] = now.sum;
                low[i] = now.low;
                if (!wave.causal && chunk + 1 == last)
                    workspace[wave.starts + (ulong)state * CHUNK_CAPACITY * ALL_FEATURES * STATE_COLUMNS +
                              (ulong)tile * STATE_COLUMNS + i] = total(now);
            }
            barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
        }
    }
}

/* c at the start of each chunk and at the end of the wave. [reference, state] */
__kernel void fused_references(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes) {
    const uint f = get_global_id(0), state = get_global_id(1);
    if (f >= REFERENCES)
        return;
    __global const float *own = workspace + wave.chunk_references + (ulong)state * CHUNK_CAPACITY * REFERENCES + f;
    __global float *reference = workspace + wave.references + (ulong)state * (CHUNK_CAPACITY + 1) * REFERENCES + f;
    float c = wave.first ? NEG_INF : reference[(ulong)CHUNK_CAPACITY * REFERENCES];
    for (uint chunk = 0; chunk < WAVE_CHUNKS; ++chunk) {
        reference[(ulong)chunk * REFERENCES] = c;
        c = LARGER(own[(ulong)chunk * REFERENCES], c);
    }
    reference[(ulong)WAVE_CHUNKS * REFERENCES] = c;
    reference[(ulong)CHUNK_CAPACITY * REFERENCES] = c;
}

/* The running state; it replaces what a chunk adds by the state at the chunk's start, or, if not causal, that of the
 * first chunk by the state at the wave's end. [column + C * feature, state] */
__kernel void fused_scan(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes) {
    const uint index = get_global_id(0), f = index / STATE_COLUMNS, state = get_global_id(1);
    if (f >= ALL_FEATURES)
        return;
    const ulong step = (ulong)ALL_FEATURES * STATE_COLUMNS;
    __global float *sum = workspace + wave.sums + state * step + index;
    __global float *low = workspace + wave.lows + state * step + index;
    __global float *start = workspace + wave.starts + state * CHUNK_CAPACITY * step + index;
    const uint at = LOG_MAP ? f : 0;
    __global const float *own = workspace + wave.chunk_references + (ulong)state * CHUNK_CAPACITY * REFERENCES + at;
    __global const float *reference =
        workspace + wave.references + (ulong)state * (CHUNK_CAPACITY + 1) * REFERENCES + at;
    running_sum now = {0.0f, 0.0f};
    if (!wave.first) {
        now.sum = *sum;
        now.low = *low;
    }
    for (uint chunk = 0; chunk < WAVE_CHUNKS; ++chunk) {
        now = scan_step(now, start + chunk * step, own[(ulong)chunk * REFERENCES], reference[(ulong)chunk * REFERENCES],
                        reference[(ulong)(chunk + 1) * REFERENCES], wave.causal);
    }
    *sum = now.sum;
    *low = now.low;
    if (!wave.causal)
        *start = total(now);
}
