/* Attention for the gpu class, fused, causal: the outputs of a chunk, from the state at its start and the chunk's own
 * keys. Features of queries and keys live in local memory only.
 *
 * Row i must depend on keys 0..i only, to the last bit, so nothing that rows share may come from the chunk's later
 * keys. The reference of a feature is that of the keys before the chunk, c, or, where there are none, the exponent of
 * key 0. A key that exceeds a reference by more than 2^TAME, or has a feature that no key before the chunk had, is
 * wild: the products of its pairs are made once more one by one, each relative to its own maximum. Keys are seldom wild
 * after the first chunk. The sum of a row with tame keys is at least about 1 relative to its reference, since a key
 * that it sees attains that; what is flushed to 0 beside it is below 2^(TAME - 126). */
#include "gpu_tile.clh"

#define HALF         (FEATURES / 2) /* features of a tile: queries and keys take one side each */
#define SIDES        (2 * ROWS)
#define FEATURE_ROWS ITEM_ROWS(HALF, SIDES)
#define PAIR_ROWS    ITEM_ROWS(ROWS, ROWS)
#define OUTPUT_ROWS  ITEM_ROWS(ROWS, COLUMNS)
#define PARTS        (GROUP / LANES(SIDES)) /* of the features of a tile, one for each item of a row */
#define PAIR_PARTS   (GROUP / LANES(ROWS))  /* of the keys, one for each item of a row's pairs */
#define WEIGHT_SETS  (GENERAL ? 2 : 1)
#define STEPS_SIZE                                                                                                     \
    LARGER_OF(LARGER_OF(STEP *(PADDED(SIDES) + WEIGHT_SETS * HALF), STEP *COLUMNS),                                    \
              LARGER_OF(PARTS *SIDES, PAIR_PARTS *ROWS))
#define PHI_SIZE LARGER_OF(HALF *SIDES, ROWS *ROWS)
#define TAME     32.0f

/* Exponent (value if the map is signed) of a feature of a token, from global memory. */
static float lone_feature(global_floats panels, global_floats bias, global_floats x, clfavor_sizes sizes, uint f) {
#if FAMILY == FAMILY_ELU
    return map_feature(x[f], 0);
#else
    const uint r = feature_row(sizes, f);
    return map_feature(project(panels, x, r) + bias[r], VALUES == 2 && f >= sizes.rows);
#endif
}

/* sum_f phi_f(q) phi_f(k) relative to 2^(.s1), an integer. */
static float2 lone_pair(global_floats weights, clfavor_weights_layout layout, clfavor_sizes sizes, global_floats q,
                        global_floats k, float key_scalar) {
    float sum = 0.0f, reference = LOG_MAP ? NEG_INF : ceil(key_scalar);
    for (uint f = 0; f < ALL_FEATURES; ++f) {
        const float query = lone_feature(weights + layout.wq, weights + layout.bq, q, sizes, f);
        const float key = lone_feature(weights + layout.wk, weights + layout.bk, k, sizes, f);
        if (LOG_MAP) {
            const float e = query + (key + key_scalar), up = ceil(e);
            if (up > reference) {
                sum *= power(reference, up);
                reference = up;
            }
            sum += power(e, reference);
        } else {
            sum = MAD(query, key, sum);
        }
    }
    return (float2)(LOG_MAP ? sum : sum * power(key_scalar, reference), reference);
}

/* output[row] += sum_{j <= row} pairs[j][row] * values[j] for STEP keys from j on; keys after a row are left out, not
 * multiplied by 0. */
INLINE void multiply_seen(float4 *output, __local const float *pairs, __local const float *values, uint row, uint j) {
    if (j + STEP <= row + 1) {
        tile_multiply(output, OUTPUT_ROWS, pairs + j * ROWS + row, ROWS, values, COLUMNS);
    } else if (j < row + OUTPUT_ROWS) {
        NO_UNROLL
        for (uint t = 0; t < STEP; ++t) {
            const float4 value = load4(values + t * COLUMNS);
            EACH_ROW(r, OUTPUT_ROWS, {
                const float4 more = MAD((float4)(pairs[(j + t) * ROWS + row + r]), value, output[r]);
                output[r] = j + t <= row + r ? more : output[r];
            })
        }
    }
}

/* [column tile + their number * chunk, slot] * GROUP */
TILE_KERNEL void fused_causal(__global const float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes,
                              __global const float *q, clfavor_view q_view, __global const float *weights,
                              clfavor_weights_layout layout, __global float *o, clfavor_view o_view,
                              __global float *lse, clfavor_view lse_view, __global float *sign, clfavor_view sign_view,
                              float log2_norm, __global const float *k, clfavor_view k_view, __global const float *v,
                              clfavor_view v_view) {
    __local float steps[STEPS_SIZE] __attribute__((aligned(16)));
    __local float phi[PHI_SIZE] __attribute__((aligned(16))); /* [feature][query, key]; then [key][query]: pairs */
    __local float factor[ROWS] __attribute__((aligned(16)));
    __local float tile_reference[HALF], wild[ROWS] __attribute__((aligned(16)));

    const uint item = get_local_id(0), chunk = get_group_id(0) / COLUMN_TILES, first = chunk * ROWS,
               slot = get_group_id(1);
    const uint base = get_group_id(0) % COLUMN_TILES * COLUMNS, columns = wave.columns - base;
    const uint local_state = slot / wave.heads, count = min((uint)ROWS, wave.tokens - first);
    const ulong state = wave.state + local_state;
    /* As the item of a tile of features, of pairs and of outputs. */
    const uint side = item % LANES(SIDES) * 4, part = item / LANES(SIDES), feature_place = part * FEATURE_ROWS;
    const bool of_keys = side >= ROWS;
    const uint token = of_keys ? side - ROWS : side;
    const uint pair_row = item % LANES(ROWS) * 4, pair_part = item / LANES(ROWS), pair_key = pair_part * PAIR_ROWS;
    const uint column = item % LANES(COLUMNS) * 4, output_row = item / LANES(COLUMNS) * OUTPUT_ROWS;

    q += slot_place(q_view, sizes, wave, slot) + (wave.token + first) * q_view.token;
    k += state_place(k_view, sizes, state) + (wave.token + first) * k_view.token;
    v += state_place(v_view, sizes, state) + (wave.token + first) * v_view.token + wave.column + base;
    weights += set_place(layout, sizes, state);
    __global const float *scalars = workspace + wave.query_scalars + (ulong)slot * wave.capacity + first;
    __global const float *key_scalars = workspace + wave.key_scalars + (ulong)local_state * wave.capacity + first;
    __global const float *reference =
        workspace + wave.references + ((ulong)local_state * (CHUNK_CAPACITY + 1) + chunk) * REFERENCES;
    __global const float *start =
        workspace + wave.starts + ((ulong)local_state * CHUNK_CAPACITY + chunk) * ALL_FEATURES * STATE_COLUMNS;
    const bool first_chunk = wave.first && chunk == 0;

    float4 key_scalar = NEG_INF;
    if (of_keys)
        key_scalar =
            (float4)(token < count ? key_scalars[token] : NEG_INF, token + 1 < count ? key_scalars[token + 1] : NEG_INF,
                     token + 2 < count ? key_scalars[token + 2] : NEG_INF,
                     token + 3 < count ? key_scalars[token + 3] : NEG_INF);
    float4 row_reference = NEG_INF, row_count = 0.0f, excess = NEG_INF;
    float4 pair[PAIR_ROWS], output[OUTPUT_ROWS];
    EACH_ROW(row, PAIR_ROWS, pair[row] = 0.0f;)
    EACH_ROW(row, OUTPUT_ROWS, output[row] = 0.0f;)

    for (uint tile = 0; tile < ALL_FEATURES; tile += HALF) {
        float4 x[FEATURE_ROWS];
        EACH_ROW(r, FEATURE_ROWS, x[r] = 0.0f;)
#if FAMILY != FAMILY_ELU
        __local float *panels = steps + STEP * PADDED(SIDES);
        for (uint at = 0; at < DIM; at += STEP) {
            load_tokens(steps, PADDED(SIDES), ROWS, q, q_view.token, count, at);
            load_tokens(steps + ROWS, PADDED(SIDES), ROWS, k, k_view.token, count, at);
            load_weights(panels, HALF, weights + layout.wq, sizes, tile, at);
            if (WEIGHT_SETS == 2)
                load_weights(panels + STEP * HALF, HALF, weights + layout.wk, sizes, tile, at);
            barrier(CLK_LOCAL_MEM_FENCE);
            tile_multiply(x, FEATURE_ROWS, panels + (WEIGHT_SETS == 2 && of_keys ? STEP * HALF : 0) + feature_place,
                          HALF, steps + side, PADDED(SIDES));
            barrier(CLK_LOCAL_MEM_FENCE);
        }
#endif
        EACH_ROW(r, FEATURE_ROWS, {
            const uint f = tile + feature_place + r;
            if (f >= ALL_FEATURES) {
                x[r] = LOG_MAP ? NEG_INF : 0.0f;
                continue;
            }
            x[r] = feature_of_tokens(x[r], weights + (of_keys ? layout.bk : layout.bq), of_keys ? k : q,
                                     of_keys ? k_view.token : q_view.token, token, count, sizes, f);
            if (LOG_MAP && of_keys)
                x[r] += key_scalar;
        })
        /* The references of the tile's features. */
        if (side == ROWS) {
            EACH_ROW(r, FEATURE_ROWS, {
                const uint f = tile + feature_place + r;
                float own = LOG_MAP ? x[r].s0 : key_scalar.s0;
                if (!first_chunk) /* one for all signed features, also for those that only fill the tile */
                    own = LOG_MAP && f >= ALL_FEATURES ? NEG_INF : reference[LOG_MAP ? f : 0];
                tile_reference[feature_place + r] = own == own ? ceil(own) : NEG_INF;
            })
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        float4 maximum = NEG_INF;
        EACH_ROW(r, FEATURE_ROWS, {
            const float own = tile_reference[feature_place + r];
            if (of_keys) {
                excess = larger4((LOG_MAP ? x[r] : key_scalar) - own, excess);
                x[r] = LOG_MAP ? power4(x[r], (float4)(own)) : x[r] * power4(key_scalar, (float4)(own));
            } else if (LOG_MAP) {
                x[r] += own;
                maximum = larger4(ceil(x[r]), maximum);
            } else {
                maximum = own;
            }
        })
        store4(steps + part * SIDES + side, maximum);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (!of_keys) {
            const float4 old = row_reference;
            for (uint other = 0; other < PARTS; ++other)
                row_reference = larger4(load4(steps + other * SIDES + side), row_reference);
            const float4 rescaled = LOG_MAP ? power4(old, row_reference) : (float4)(1.0f);
            row_count *= rescaled;
            if (part == 0)
                store4(factor + side, rescaled);
            EACH_ROW(r, FEATURE_ROWS, {
                const uint f = tile + feature_place + r;
                if (LOG_MAP)
                    x[r] = power4(x[r], row_reference);
                if (f < ALL_FEATURES)
                    row_count = MAD(x[r], (float4)(start[(ulong)f * STATE_COLUMNS + COUNT_COLUMN]), row_count);
            })
        }
        EACH_ROW(r, FEATURE_ROWS, store4(phi + (feature_place + r) * SIDES + side, x[r]);)
        barrier(CLK_LOCAL_MEM_FENCE);
        EACH_ROW(row, OUTPUT_ROWS, output[row] *= factor[output_row + row];)
        const float4 pair_factor = load4(factor + pair_row);
        EACH_ROW(row, PAIR_ROWS, pair[row] *= pair_factor;)
        for (uint at = 0; at < HALF; at += STEP) {
            load_rows(steps, start + (ulong)(tile + at) * STATE_COLUMNS + base, STATE_COLUMNS,
                      tile + at < ALL_FEATURES ? ALL_FEATURES - tile - at : 0, columns, true);
            barrier(CLK_LOCAL_MEM_FENCE);
            tile_multiply(output, OUTPUT_ROWS, phi + at * SIDES + output_row, SIDES, steps + column, COLUMNS);
            tile_multiply(pair, PAIR_ROWS, phi + at * SIDES + ROWS + pair_key, SIDES, phi + at * SIDES + pair_row,
                          SIDES);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }

    /* Which keys are wild. */
    store4(steps + part * SIDES + side, excess);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint t = item; t < ROWS; t += GROUP) {
        float largest = NEG_INF;
        for (uint other = 0; other < PARTS; ++other)
            largest = LARGER(steps[other * SIDES + ROWS + t], largest);
        wild[t] = largest > TAME ? 1.0f : 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    float any = 0.0f;
    for (uint t = 0; t < ROWS; ++t)
        any += wild[t];
    barrier(CLK_LOCAL_MEM_FENCE);
    if (any != 0.0f) {                       /* for all items alike */
        __local float *pair_reference = phi; /* [key][query] */
        /* One copy of lone_pair, so the tile's elements are picked by comparison. */
        NO_UNROLL
        for (uint e = 0; e < 4 * PAIR_ROWS; ++e) {
            const uint j = pair_key + e / 4, i = pair_row + e % 4;
            if (wild[j] == 0.0f || j > i || i >= count)
                continue;
            const float2 lone =
                lone_pair(weights, layout, sizes, q + i * q_view.token, k + j * k_view.token, key_scalars[j]);
            pair_reference[j * ROWS + i] = lone.s1;
            EACH_ROW(r, PAIR_ROWS,
                     pair[r] = (float4)(e == 4 * r ? lone.s0 : pair[r].s0, e == 4 * r + 1 ? lone.s0 : pair[r].s1,
                                        e == 4 * r + 2 ? lone.s0 : pair[r].s2, e == 4 * r + 3 ? lone.s0 : pair[r].s3);)
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        __local float *now = steps; /* of each row */
        if (part == 0 && !of_keys)
            store4(now + side, row_reference);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint i = item; i < ROWS; i += GROUP) {
            const float own = now[i];
            float largest = own;
            for (uint j = 0; j <= i && i < count; ++j)
                if (wild[j] != 0.0f)
                    largest = LARGER(pair_reference[j * ROWS + i], largest);
            now[i] = largest;
            factor[i] = power(own, largest);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        EACH_ROW(row, OUTPUT_ROWS, output[row] *= factor[output_row + row];)
        const float4 pair_factor = load4(factor + pair_row), largest = load4(now + pair_row);
        EACH_ROW(r, PAIR_ROWS, {
            const uint j = pair_key + r;
            if (wild[j] != 0.0f)
                pair[r] *= power4(load4(pair_reference + j * ROWS + pair_row), largest);
            else
                pair[r] *= pair_factor;
        })
        if (!of_keys) {
            row_count *= load4(factor + side);
            row_reference = load4(now + side);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    /* Sums over what each row sees. */
    float4 pair_sum = 0.0f;
    EACH_ROW(r, PAIR_ROWS, {
        const uint j = pair_key + r;
        const float4 more = pair_sum + pair[r];
        pair_sum = (float4)(j <= pair_row ? more.s0 : pair_sum.s0, j <= pair_row + 1 ? more.s1 : pair_sum.s1,
                            j <= pair_row + 2 ? more.s2 : pair_sum.s2, j <= pair_row + 3 ? more.s3 : pair_sum.s3);
        store4(phi + j * ROWS + pair_row, pair[r]);
    })
    store4(steps + pair_part * ROWS + pair_row, pair_sum);
    if (part == 0 && !of_keys)
        store4(wild + side, row_reference);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint row = item; row < ROWS; row += GROUP) {
        float sum = 0.0f;
        for (uint other = 0; other < PAIR_PARTS; ++other)
            sum += steps[other * ROWS + row];
        factor[row] = sum;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (!of_keys)
        store4(steps + part * SIDES + side, row_count);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint row = item; row < ROWS; row += GROUP) {
        float sum = factor[row];
        for (uint other = 0; other < PARTS; ++other)
            sum += steps[other * SIDES + row];
        factor[row] = sum;
        if (row < count && base == 0)
            write_sum(sum, wild[row] + scalars[row], wave, sizes, slot, first + row, lse, lse_view, sign, sign_view,
                      log2_norm);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint at = 0; at < ROWS; at += STEP) {
        load_rows(steps, v + at * v_view.token, v_view.token, at < count ? count - at : 0, columns, VECTOR);
        barrier(CLK_LOCAL_MEM_FENCE);
        multiply_seen(output, phi, steps + column, output_row, at);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    o += slot_place(o_view, sizes, wave, slot) + (wave.token + first) * o_view.token + wave.column + base;
    write_rows(output, OUTPUT_ROWS, factor, o, o_view.token, count, columns);
}
