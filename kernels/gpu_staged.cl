/* Attention for the gpu class: one work-item an element, no barriers, so that it runs on any device with any work-group
 * size. src/attention_gpu.c has the order of the launches; gpu_attention.h the parts of the workspace.
 *
 * A key feature is value * 2^(exponent); a state is kept relative to 2^c. c is the largest exponent so far, rounded up
 * to an integer: then a change of c scales the state by a power of two, which is exact however often it happens. Inside
 * a chunk a pair (i, j) has its own reference, the largest exponent of its products, so nothing depends on later keys.
 *
 * `given` tells a kernel that the matrix products it would make are there already (src/gpu_clblast.c). */
#include "gpu_common.clh"

#define BLOCK 64 /* terms that are added plainly; sums of blocks are compensated */

#define FEATURES       (VALUES * sizes.rows)
#define QUERY_FEATURES (FEATURES + (EXACT ? sizes.exact : 0))
#define REFERENCES     (LOG_MAP ? FEATURES : 1)
#define ALL_COLUMNS    (wave.columns + 1)

/* The exponents of a LOG_MAP, with the scalar for keys; otherwise the values. Given: projections, at the places of the
 * results. [row + rows * token, state or slot] */
__kernel void exponents(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes, __global const float *x,
                        clfavor_view view, __global const float *weights, clfavor_weights_layout layout, int key,
                        int given) {
    const uint index = get_global_id(0), r = index % sizes.rows, t = index / sizes.rows, slot = get_global_id(1);
    if (t >= wave.tokens)
        return;
    const ulong state = wave.state + (key ? slot : slot / wave.heads);
    const ulong place = (ulong)slot * wave.capacity + t;
    x += key ? state_place(view, sizes, state) : slot_place(view, sizes, wave, slot);
    x += (wave.token + t) * view.token;
    __global float *out = workspace + (key ? wave.keys + place * FEATURES : wave.queries + place * QUERY_FEATURES) + r;
#if FAMILY == FAMILY_ELU
    const float y = x[r];
#else
    weights += set_place(layout, sizes, state);
    const float projected = given ? *out : project(weights + (key ? layout.wk : layout.wq), x, r);
    const float y = projected + weights[(key ? layout.bk : layout.bq) + r];
#endif
#if LOG_MAP
    *out = key ? map_exponent(y) + workspace[wave.key_scalars + place] : map_exponent(y);
#else
    for (int part = 0; part < VALUES; ++part)
        out[part * sizes.rows] = map_value(y, part);
#endif
}

#if EXACT
/* Exponents of the rows of exact keys, which follow the features; without the query's scalar, which features lack,
 * since it may be so large that nothing of these would be left. [t + exact * token, slot] */
__kernel void exact_exponents(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes,
                              __global const float *x, clfavor_view view, clfavor_exact exact, __global const float *k,
                              clfavor_view k_view) {
    const uint index = get_global_id(0), r = index % sizes.exact, t = index / sizes.exact, slot = get_global_id(1);
    if (t >= wave.tokens)
        return;
    const ulong place = (ulong)slot * wave.capacity + t, state = slot / wave.heads;
    const ulong other = exact_index(workspace, wave, sizes, state, r);
    __global float *out = workspace + wave.queries + place * QUERY_FEATURES + FEATURES + r;
    *out = NEG_INF;
    if (other >= sizes.n_k)
        return;
    x += slot_place(view, sizes, wave, slot) + (wave.token + t) * view.token;
    k += state_place(k_view, sizes, wave.state + state) + other * k_view.token;
    float product = 0.0f;
    for (uint l = 0; l < DIM; ++l)
        product = MAD(k[l] * exact.scale, x[l], product);
    *out = product - exact.log2_norm;
}
#endif

/* c at the start of each chunk and at the end of the wave. [reference, state] */
__kernel void references(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes) {
    const uint f = get_global_id(0), state = get_global_id(1);
    if (f >= REFERENCES)
        return;
    __global const float *exponent =
        workspace + (LOG_MAP ? wave.keys : wave.key_scalars) + (ulong)state * wave.capacity * REFERENCES + f;
    __global float *reference = workspace + wave.references + (ulong)state * (CHUNK_CAPACITY + 1) * REFERENCES + f;
    float c = wave.first ? NEG_INF : reference[(ulong)CHUNK_CAPACITY * REFERENCES];
    for (uint t = 0; t < wave.tokens; ++t) {
        if (t % wave.chunk == 0)
            reference[(ulong)(t / wave.chunk) * REFERENCES] = c;
        const float e = ceil(exponent[(ulong)t * REFERENCES]);
        c = LARGER(e, c);
    }
    reference[(ulong)WAVE_CHUNKS * REFERENCES] = c;
    reference[(ulong)CHUNK_CAPACITY * REFERENCES] = c;
}

/* Key features relative to c at the end of their chunk; 0 past the last token. [feature + F * token, state] */
__kernel void key_weights(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes) {
    const uint index = get_global_id(0), f = index % FEATURES, t = index / FEATURES, state = get_global_id(1);
    if (t >= wave.capacity)
        return;
    const ulong place = (ulong)state * wave.capacity + t;
    if (t >= wave.tokens) {
        workspace[wave.queries + place * FEATURES + f] = 0.0f;
        return;
    }
    const float c = workspace[wave.references + (LOG_MAP ? f : 0) +
                              ((ulong)state * (CHUNK_CAPACITY + 1) + t / wave.chunk + 1) * REFERENCES];
    const float key = workspace[wave.keys + place * FEATURES + f];
    workspace[wave.queries + place * FEATURES + f] =
        LOG_MAP ? power(key, c) : key * power(workspace[wave.key_scalars + place], c);
}

/* V and a column of ones, for what chunks add to the state as a product: 0 past the last token and for keys that are
 * left out, whose features are 0, but 0 times an infinity would be NaN. [column + C * token, state] */
__kernel void values(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes, __global const float *v,
                     clfavor_view view) {
    const uint index = get_global_id(0), column = index % ALL_COLUMNS, t = index / ALL_COLUMNS,
               state = get_global_id(1);
    if (t >= wave.capacity)
        return;
    const ulong place = (ulong)state * wave.capacity + t;
    float value = 0.0f;
    bool counts = t < wave.tokens;
#if EXACT
    counts = counts && workspace[wave.key_scalars + place] != NEG_INF;
#endif
    if (counts) {
        v += state_place(view, sizes, wave.state + state) + (wave.token + t) * view.token + wave.column;
        value = column < wave.columns ? v[column] : 1.0f;
    }
    workspace[wave.values + place * ALL_COLUMNS + column] = value;
}

/* What each chunk adds to the state. [column + C * feature, chunk, state] */
__kernel void chunk_states(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes,
                           __global const float *v, clfavor_view view) {
    const uint index = get_global_id(0), column = index % ALL_COLUMNS, f = index / ALL_COLUMNS;
    const uint chunk = get_global_id(1), state = get_global_id(2);
    if (f >= FEATURES)
        return;
    const uint first = chunk * wave.chunk, end = min(first + wave.chunk, wave.tokens);
    __global const float *weight = workspace + wave.queries + (ulong)state * wave.capacity * FEATURES + f;
    v += state_place(view, sizes, wave.state + state) + wave.token * view.token + wave.column + column;
#if EXACT /* what is left out has features of 0, and 0 times an infinity would be NaN */
    __global const float *scalar = workspace + wave.key_scalars + (ulong)state * wave.capacity;
#define LEFT_OUT(j) (scalar[j] == NEG_INF)
#else
#define LEFT_OUT(j) false
#endif
    running_sum sum = {0.0f, 0.0f};
    for (uint block = first; block < end; block += BLOCK) {
        float part = 0.0f;
        for (uint j = block; j < min(block + BLOCK, end); ++j)
            part = MAD(weight[(ulong)j * FEATURES],
                       LEFT_OUT(j)             ? 0.0f
                       : column < wave.columns ? v[j * view.token]
                                               : 1.0f,
                       part);
        sum = add(sum, part);
    }
    workspace[wave.starts + (((ulong)state * CHUNK_CAPACITY + chunk) * FEATURES + f) * ALL_COLUMNS + column] =
        total(sum);
}

/* The running state; it replaces what a chunk adds by the state at the chunk's start, or, if not causal, that of the
 * first chunk by the state at the wave's end. [column + C * feature, state] */
__kernel void scan(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes) {
    const uint index = get_global_id(0), column = index % ALL_COLUMNS, f = index / ALL_COLUMNS,
               state = get_global_id(1);
    if (f >= FEATURES)
        return;
    const ulong step = (ulong)FEATURES * ALL_COLUMNS, element = (ulong)f * ALL_COLUMNS + column;
    __global float *start = workspace + wave.starts + state * CHUNK_CAPACITY * step + element;
    __global float *sum = workspace + wave.sums + state * step + element;
    __global float *low = workspace + wave.lows + state * step + element;
    __global const float *reference =
        workspace + wave.references + (LOG_MAP ? f : 0) + (ulong)state * (CHUNK_CAPACITY + 1) * REFERENCES;
    running_sum now = {0.0f, 0.0f};
    if (!wave.first) {
        now.sum = *sum;
        now.low = *low;
    }
    for (uint chunk = 0; chunk < WAVE_CHUNKS; ++chunk) {
        const float scale = power(reference[(ulong)chunk * REFERENCES], reference[(ulong)(chunk + 1) * REFERENCES]);
        const float added = start[chunk * step];
        if (wave.causal)
            start[chunk * step] = total(now);
        now.sum *= scale;
        now.low *= scale;
        now = add(now, added);
    }
    *sum = now.sum;
    *low = now.low;
    if (!wave.causal)
        *start = total(now);
}

/* sum_r phi_r(q_i) phi_r(k_j) = pair * 2^(pair's reference), j <= i in a chunk. Given: the sums of a map that is no
 * LOG_MAP. [j + chunk * row, slot] */
__kernel void pairs(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes, int given) {
    const uint index = get_global_id(0), j = index % wave.chunk, i = index / wave.chunk, slot = get_global_id(1);
    if (i >= wave.tokens || j > i % wave.chunk)
        return;
    const ulong place = (ulong)(slot / wave.heads) * wave.capacity + i / wave.chunk * wave.chunk + j;
    __global const float *query = workspace + wave.queries + ((ulong)slot * wave.capacity + i) * QUERY_FEATURES;
    __global const float *key = workspace + wave.keys + place * FEATURES;
#if LOG_MAP
    float reference = NEG_INF;
    for (uint f = 0; f < FEATURES; ++f) {
        const float e = query[f] + key[f];
        reference = LARGER(e, reference);
    }
#else
    const float reference = workspace[wave.key_scalars + place];
#endif
    const ulong pair = ((ulong)slot * wave.capacity + i) * wave.chunk + j;
    workspace[wave.pair_references + pair] = reference;
    if (given)
        return;
    running_sum sum = {0.0f, 0.0f};
    for (uint block = 0; block < FEATURES; block += BLOCK) {
        float part = 0.0f;
        for (uint f = block; f < min(block + BLOCK, FEATURES); ++f)
            part = LOG_MAP ? part + power(query[f] + key[f], reference) : MAD(query[f], key[f], part);
        sum = add(sum, part);
    }
    workspace[wave.pairs + pair] = total(sum);
}

/* c of what a row takes from the state. */
static inline __global const float *row_state_references(__global const float *workspace, clfavor_gpu_wave wave,
                                                         clfavor_sizes sizes, uint slot, uint i) {
    const uint chunk = wave.causal ? i / wave.chunk : CHUNK_CAPACITY;
    return workspace + wave.references + ((ulong)(slot / wave.heads) * (CHUNK_CAPACITY + 1) + chunk) * REFERENCES;
}

/* The largest exponent of all that row i sums up; its pairs become relative to it. [row, slot] */
__kernel void row_references(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes) {
    const uint i = get_global_id(0), slot = get_global_id(1);
    if (i >= wave.tokens)
        return;
    const ulong row = (ulong)slot * wave.capacity + i;
    const uint count = wave.causal ? i % wave.chunk + 1 : 0;
    __global const float *state = row_state_references(workspace, wave, sizes, slot, i);
    __global const float *pair_reference = workspace + wave.pair_references + row * wave.chunk;
    __global float *pair = workspace + wave.pairs + row * wave.chunk;
#if LOG_MAP
    __global const float *query = workspace + wave.queries + row * QUERY_FEATURES;
    float reference = NEG_INF;
    for (uint f = 0; f < QUERY_FEATURES; ++f) {
        const float e = f < FEATURES ? query[f] + state[f] : query[f] - workspace[wave.query_scalars + row];
        reference = LARGER(e, reference);
    }
#else
    float reference = *state;
#endif
    for (uint j = 0; j < count; ++j)
        reference = LARGER(pair_reference[j], reference);
    for (uint j = 0; j < count; ++j)
        pair[j] *= power(pair_reference[j], reference);
    workspace[wave.row_references + row] = reference;
}

/* What row i takes of each feature of the state and of each exact key. [feature + their number * row, slot] */
__kernel void query_weights(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes) {
    const uint index = get_global_id(0), f = index % QUERY_FEATURES, i = index / QUERY_FEATURES,
               slot = get_global_id(1);
    if (i >= wave.tokens)
        return;
    const ulong row = (ulong)slot * wave.capacity + i;
    const float reference = workspace[wave.row_references + row];
    __global float *query = workspace + wave.queries + row * QUERY_FEATURES + f;
    if (f >= FEATURES) { /* the sum is what lse takes */
        *query = power(*query, reference + workspace[wave.query_scalars + row]);
        return;
    }
    const float c = row_state_references(workspace, wave, sizes, slot, i)[LOG_MAP ? f : 0];
    *query = LOG_MAP ? power(*query + c, reference) : *query * power(c, reference);
}

/* Row i's sum over the state (given: what it takes from there) and its chunk, or the exact keys, of a column of values
 * or, for the last column, of no values. `v` is at the head's first token. */
static inline float row_sum(__global const float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes, int given,
                            __global const float *v, ulong v_token, uint slot, uint i, uint column,
                            __global const float *corrections, clfavor_view at_corrections) {
    const ulong row = (ulong)slot * wave.capacity + i;
    const uint chunk = wave.causal ? i / wave.chunk : 0, first = chunk * wave.chunk;
    const uint count = wave.causal ? i - first + 1 : 0;
    __global const float *weight = workspace + wave.queries + row * QUERY_FEATURES;
    __global const float *pair = workspace + wave.pairs + row * wave.chunk;
    __global const float *state = workspace + wave.starts + column +
                                  ((ulong)(slot / wave.heads) * CHUNK_CAPACITY + chunk) * FEATURES * ALL_COLUMNS;
    running_sum sum = {given ? workspace[wave.products + row * ALL_COLUMNS + column] : 0.0f, 0.0f};
    for (uint block = 0; !given && block < FEATURES; block += BLOCK) {
        float part = 0.0f;
        for (uint f = block; f < min(block + BLOCK, FEATURES); ++f)
            part = MAD(weight[f], state[(ulong)f * ALL_COLUMNS], part);
        sum = add(sum, part);
    }
    for (uint block = 0; block < count; block += BLOCK) {
        float part = 0.0f;
        for (uint j = block; j < min(block + BLOCK, count); ++j)
            part = MAD(pair[j], column < wave.columns ? v[(wave.token + first + j) * v_token + column] : 1.0f, part);
        sum = add(sum, part);
    }
#if EXACT
    for (uint t = 0; t < sizes.exact; ++t) {
        const ulong index = exact_index(workspace, wave, sizes, slot / wave.heads, t);
        if (index < sizes.n_k)
            sum = add(sum, weight[FEATURES + t] * (column < wave.columns ? v[index * v_token + column] : 1.0f));
    }
#endif
#if CORRECT /* sum_r w_r n_r B_r, besides sum_r w_r S_r */
    if (column < wave.columns) {
        const ulong state_head = wave.state + slot / wave.heads;
        corrections += at_corrections.offset + state_head / sizes.state_heads * at_corrections.batch +
                       state_head % sizes.state_heads * at_corrections.head + wave.column + column;
        state += wave.columns - column; /* n */
        for (uint f = 0; f < QUERY_FEATURES; ++f) {
            const float n = f < FEATURES ? state[(ulong)f * ALL_COLUMNS] : 1.0f; /* weight is 0 where n is not 1 */
            sum = add(sum, weight[f] * n * corrections[f * at_corrections.token]);
        }
    }
#endif
    return total(sum);
}

/* sum_j A_ij relative to the row's reference, and the lse and sign made from it. [row, slot] */
__kernel void denominators(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes, __global float *lse,
                           clfavor_view lse_view, __global float *sign, clfavor_view sign_view, float log2_norm,
                           int given) {
    const uint i = get_global_id(0), slot = get_global_id(1);
    if (i >= wave.tokens)
        return;
    const ulong row = (ulong)slot * wave.capacity + i;
    const float sum = row_sum(workspace, wave, sizes, given, workspace, 0, slot, i, wave.columns, workspace, lse_view);
    workspace[wave.denominators + row] = sum;
    write_sum(sum, workspace[wave.row_references + row] + workspace[wave.query_scalars + row], wave, sizes, slot, i,
              lse, lse_view, sign, sign_view, log2_norm);
}

/* [column + columns * row, slot] */
__kernel void outputs(__global float *workspace, clfavor_gpu_wave wave, clfavor_sizes sizes, __global const float *v,
                      clfavor_view v_view, __global float *o, clfavor_view o_view, __global const float *corrections,
                      clfavor_view at_corrections, int given) {
    const uint index = get_global_id(0), column = index % wave.columns, i = index / wave.columns,
               slot = get_global_id(1);
    if (i >= wave.tokens)
        return;
    v += state_place(v_view, sizes, wave.state + slot / wave.heads) + wave.column;
    const float sum =
        row_sum(workspace, wave, sizes, given, v, v_view.token, slot, i, column, corrections, at_corrections);
    const float denominator = workspace[wave.denominators + (ulong)slot * wave.capacity + i];
    o[slot_place(o_view, sizes, wave, slot) + (wave.token + i) * o_view.token + wave.column + column] =
        denominator == 0.0f ? 0.0f : sum / denominator;
}
