/* Attention for the gpu class, fused, not causal: the outputs of a tile of rows. As in exact attention with an online
 * maximum (Dao et al., "FlashAttention", 2022), with rows of the projection in the place of keys and rows of the state
 * in that of values: weights of queries live in local memory only.
 *
 * A row's weights are relative to 2^(its reference), the largest exponent so far rounded up to an integer, so that
 * raising it is exact. Keys that are treated exactly are further rows, with themselves for the projection and their
 * values for the state; they come first, in exponents without the query's scalar, which may be so large that nothing of
 * theirs would be left beside it. */
#include "gpu_tile.clh"

#define QUERY_ROWS  ITEM_ROWS(FEATURES, ROWS)
#define OUTPUT_ROWS ITEM_ROWS(ROWS, COLUMNS)
#define PARTS       (GROUP / LANES(ROWS)) /* of the features of a tile, one for each item of a row */
#define STEPS_SIZE  LARGER_OF(STEP *(PADDED(ROWS) + PADDED(FEATURES)), LARGER_OF(PARTS *ROWS, STEP *COLUMNS))

/* What a work-item has of its rows: the references and the sums of weights times n of 4 rows, over its part of the
 * features; and OUTPUT_ROWS x 4 of the outputs. */
typedef struct tile_rows {
    float4 reference, count, output[OUTPUT_ROWS];
} tile_rows;

/* Weights from exponents (values if the map is signed), relative to each row's reference so far; what there was before
 * is rescaled. x is [row of the projection] of the item's 4 rows. */
INLINE void weigh(float4 *x, tile_rows *rows, __local float *parts, __local float *phi, __local float *factor,
                  const bool signed_map) {
    const uint lane = get_local_id(0) % LANES(ROWS) * 4, part = get_local_id(0) / LANES(ROWS);
    const uint row = get_local_id(0) / LANES(COLUMNS) * OUTPUT_ROWS;
    if (!signed_map) {
        float4 maximum = NEG_INF;
        EACH_ROW(r, QUERY_ROWS, maximum = larger4(ceil(x[r]), maximum);)
        store4(parts + part * ROWS + lane, maximum);
        barrier(CLK_LOCAL_MEM_FENCE);
        const float4 old = rows->reference;
        for (uint other = 0; other < PARTS; ++other)
            rows->reference = larger4(load4(parts + other * ROWS + lane), rows->reference);
        const float4 rescaled = power4(old, rows->reference);
        rows->count *= rescaled;
        if (part == 0)
            store4(factor + lane, rescaled);
        EACH_ROW(r, QUERY_ROWS, x[r] = power4(x[r], rows->reference);)
    }
    EACH_ROW(r, QUERY_ROWS, store4(phi + (part * QUERY_ROWS + r) * ROWS + lane, x[r]);)
    barrier(CLK_LOCAL_MEM_FENCE);
    if (!signed_map) {
        EACH_ROW(r, OUTPUT_ROWS, rows->output[r] *= factor[row + r];)
    }
}

/* [column tile + their number * row tile, slot] * GROUP */
TILE_KERNEL void fused_outputs(__global const float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes,
                               __global const float *q, clfavor_view q_view, __global const float *weights,
                               clfavor_weights_layout layout, __global float *o, clfavor_view o_view,
                               __global float *lse, clfavor_view lse_view, __global float *sign, clfavor_view sign_view,
                               float log2_norm
#if EXACT
                               ,
                               clfavor_exact exact, __global const float *k, clfavor_view k_view,
                               __global const float *v, clfavor_view v_view
#endif
#if CORRECT
                               ,
                               __global const float *corrections, clfavor_view at_corrections
#endif
) {
    __local float steps[STEPS_SIZE] __attribute__((aligned(16)));
    __local float phi[FEATURES * ROWS] __attribute__((aligned(16))); /* [row of the projection][row] */
    __local float factor[ROWS] __attribute__((aligned(16)));

    const uint item = get_local_id(0), first = get_group_id(0) / COLUMN_TILES * ROWS, slot = get_group_id(1);
    const uint lane = item % LANES(ROWS) * 4, part = item / LANES(ROWS), feature_place = part * QUERY_ROWS;
    const uint column = item % LANES(COLUMNS) * 4, output_row = item / LANES(COLUMNS) * OUTPUT_ROWS;
    const uint base = get_group_id(0) % COLUMN_TILES * COLUMNS, columns = wave.columns - base;
    const uint local_state = slot / wave.heads, count = min((uint)ROWS, wave.tokens - first);
    const ulong state = wave.state + local_state;

    q += slot_place(q_view, sizes, wave, slot) + (wave.token + first) * q_view.token;
    weights += set_place(layout, sizes, state);
    __global const float *reference =
        workspace + wave.references + ((ulong)local_state * (CHUNK_CAPACITY + 1) + CHUNK_CAPACITY) * REFERENCES;
    __global const float *start =
        workspace + wave.starts + (ulong)local_state * CHUNK_CAPACITY * ALL_FEATURES * STATE_COLUMNS;
    __global const float *scalars = workspace + wave.query_scalars + (ulong)slot * wave.capacity + first;
#if CORRECT
    corrections += at_corrections.offset + state / sizes.state_heads * at_corrections.batch +
                   state % sizes.state_heads * at_corrections.head + wave.column + base;
#endif

    tile_rows rows;
    rows.reference = NEG_INF;
    rows.count = 0.0f;
    EACH_ROW(row, OUTPUT_ROWS, rows.output[row] = 0.0f;)

#if EXACT
    k += state_place(k_view, sizes, state);
    v += state_place(v_view, sizes, state) + wave.column + base;
    for (uint tile = 0; tile < sizes.exact; tile += FEATURES) {
        float4 x[QUERY_ROWS];
        EACH_ROW(r, QUERY_ROWS, x[r] = 0.0f;)
        for (uint at = 0; at < DIM; at += STEP) {
            load_tokens(steps, PADDED(ROWS), ROWS, q, q_view.token, count, at);
            NO_UNROLL
            for (SHARED(round, STEP * FEATURES)) {
                const uint i = ELEMENT(round);
                if (BEYOND(round, STEP * FEATURES))
                    continue;
                const uint l = i % STEP, t = i / STEP;
                const ulong index =
                    tile + t < sizes.exact ? exact_index(workspace, wave, sizes, local_state, tile + t) : sizes.n_k;
                steps[STEP * PADDED(ROWS) + l * PADDED(FEATURES) + t] =
                    index < sizes.n_k && at + l < DIM ? k[index * k_view.token + at + l] * exact.scale : 0.0f;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            tile_multiply(x, QUERY_ROWS, steps + STEP * PADDED(ROWS) + feature_place, PADDED(FEATURES), steps + lane,
                          PADDED(ROWS));
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        EACH_ROW(r, QUERY_ROWS, {
            const uint t = tile + feature_place + r;
            const bool is_key = t < sizes.exact && exact_index(workspace, wave, sizes, local_state, t) < sizes.n_k;
            x[r] = is_key ? x[r] - exact.log2_norm : (float4)(NEG_INF);
        })
        weigh(x, &rows, steps, phi, factor, false);
        EACH_ROW(r, QUERY_ROWS, rows.count += x[r];)
        for (uint at = 0; at < FEATURES; at += STEP) {
            NO_UNROLL
            for (SHARED(round, STEP * COLUMNS)) {
                const uint i = ELEMENT(round);
                if (BEYOND(round, STEP * COLUMNS))
                    continue;
                const uint t = tile + at + i / COLUMNS, other = i % COLUMNS;
                const ulong index = t < sizes.exact ? exact_index(workspace, wave, sizes, local_state, t) : sizes.n_k;
                float value = 0.0f;
                if (index < sizes.n_k && other < columns) {
                    value = v[index * v_view.token + other];
#if CORRECT
                    value += corrections[(ALL_FEATURES + t) * at_corrections.token + other];
#endif
                }
                steps[i] = value;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            tile_multiply(rows.output, OUTPUT_ROWS, phi + at * ROWS + output_row, ROWS, steps + column, COLUMNS);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    rows.reference -=
        (float4)(lane < count ? scalars[lane] : 0.0f, lane + 1 < count ? scalars[lane + 1] : 0.0f,
                 lane + 2 < count ? scalars[lane + 2] : 0.0f, lane + 3 < count ? scalars[lane + 3] : 0.0f);
#endif

    if (!LOG_MAP)
        rows.reference = reference[0];
    for (uint tile = 0; tile < ALL_FEATURES; tile += FEATURES) {
        float4 x[QUERY_ROWS];
        EACH_ROW(r, QUERY_ROWS, x[r] = 0.0f;)
#if FAMILY != FAMILY_ELU
        for (uint at = 0; at < DIM; at += STEP) {
            load_tokens(steps, PADDED(ROWS), ROWS, q, q_view.token, count, at);
            load_weights(steps + STEP * PADDED(ROWS), FEATURES, weights + layout.wq, sizes, tile, at);
            barrier(CLK_LOCAL_MEM_FENCE);
            tile_multiply(x, QUERY_ROWS, steps + STEP * PADDED(ROWS) + feature_place, FEATURES, steps + lane,
                          PADDED(ROWS));
            barrier(CLK_LOCAL_MEM_FENCE);
        }
#endif
        EACH_ROW(r, QUERY_ROWS, {
            const uint f = tile + feature_place + r;
            if (f >= ALL_FEATURES) {
                x[r] = LOG_MAP ? NEG_INF : 0.0f;
                continue;
            }
            x[r] = feature_of_tokens(x[r], weights + layout.bq, q, q_view.token, lane, count, sizes, f);
            if (LOG_MAP)
                x[r] += reference[f];
        })
        weigh(x, &rows, steps, phi, factor, !LOG_MAP);
        EACH_ROW(r, QUERY_ROWS, {
            const uint f = tile + feature_place + r;
            if (f < ALL_FEATURES)
                rows.count = MAD(x[r], (float4)(start[(ulong)f * STATE_COLUMNS + COUNT_COLUMN]), rows.count);
        })
        for (uint at = 0; at < FEATURES; at += STEP) {
#if CORRECT
            NO_UNROLL
            for (SHARED(round, STEP * COLUMNS)) {
                const uint i = ELEMENT(round), f = tile + at + i / COLUMNS, other = i % COLUMNS;
                if (BEYOND(round, STEP * COLUMNS))
                    continue;
                float value = 0.0f;
                if (f < ALL_FEATURES && other < columns)
                    value = MAD(start[(ulong)f * STATE_COLUMNS + COUNT_COLUMN],
                                corrections[f * at_corrections.token + other],
                                start[(ulong)f * STATE_COLUMNS + base + other]);
                steps[i] = value;
            }
#else
            load_rows(steps, start + (ulong)(tile + at) * STATE_COLUMNS + base, STATE_COLUMNS,
                      tile + at < ALL_FEATURES ? ALL_FEATURES - tile - at : 0, columns, true);
#endif
            barrier(CLK_LOCAL_MEM_FENCE);
            tile_multiply(rows.output, OUTPUT_ROWS, phi + at * ROWS + output_row, ROWS, steps + column, COLUMNS);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }

    /* The denominators, for all items of a row. */
    store4(steps + part * ROWS + lane, rows.count);
    if (part == 0)
        store4(phi + lane, rows.reference);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint row = item; row < ROWS; row += GROUP) {
        float sum = 0.0f;
        for (uint other = 0; other < PARTS; ++other)
            sum += steps[other * ROWS + row];
        factor[row] = sum;
        if (row < count && base == 0)
            write_sum(sum, phi[row] + scalars[row], wave, sizes, slot, first + row, lse, lse_view, sign, sign_view,
                      log2_norm);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    o += slot_place(o_view, sizes, wave, slot) + (wave.token + first) * o_view.token + wave.column + base;
    write_rows(rows.output, OUTPUT_ROWS, factor, o, o_view.token, count, columns);
}
