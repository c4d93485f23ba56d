/* The feature matrix, for queries (KEY = 0) or keys (KEY = 1), both classes. A work-item takes TOKENS tokens, TR at a
 * time, against panels of the weights; vectors lie along the features, so that outputs are stored as they are written.
 *
 * features = 2^(exponent - reference) norm. A query's reference is its own largest exponent; keys have one for each
 * feature, the largest over all tokens of the head. The first pass writes the exponents where the features will be and
 * takes their maxima, the second turns them into features; for keys the passes are launches, and a third one between
 * them joins the maxima of the parts. A maximum is exact in any order, so no bit depends on how the tokens are split.
 */
#include "types.h"
#include "maps.clh"

#ifndef DIM
#define DIM 64
#endif
#ifndef PANEL
#define PANEL 16
#endif
#ifndef GENERAL
#define GENERAL 0
#endif
#ifndef KEY
#define KEY 0
#endif
#ifndef TOKENS /* a multiple of TR */
#define TOKENS 24
#endif
#ifndef GROUP /* panels that a work-item takes at once */
#define GROUP 1
#endif

#define VECTORS (PANEL / VL)
#if VL == 1
#define TR 1
#elif VL == 16
#define TR 8
#else
#define TR 6
#endif

#if KEY
#define SIDE(name) layout.name##k
#else
#define SIDE(name) layout.name##q
#endif

INLINE INT lane_index(void) {
#if VL == 1
    return 0;
#elif VL == 4
    return (INT)(0, 1, 2, 3);
#elif VL == 8
    return (INT)(0, 1, 2, 3, 4, 5, 6, 7);
#else
    return (INT)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
}

INLINE REAL load_some(__global const float *from, int count) {
    float lane[VL];
    for (int i = 0; i < VL; ++i)
        lane[i] = i < count ? from[i] : 0.0f;
    return VLOAD(lane);
}

/* The first `count` lanes; none if it is 0. */
INLINE void store_some(REAL value, __global float *to, int count) {
    if (count >= VL) {
        VSTORE(value, to);
        return;
    }
    float lane[VL];
    VSTORE(value, lane);
    for (int i = 0; i < count; ++i)
        to[i] = lane[i];
}

INLINE float sum_of_lanes(REAL value) {
    float lane[VL], sum = 0.0f;
    VSTORE(value, lane);
    for (int i = 0; i < VL; ++i)
        sum += lane[i];
    return sum;
}

/* As LARGER, but a NaN stays. */
#define LARGER_OR_NAN(value, maximum) ((value) > (maximum) || (value) != (value) ? (value) : (maximum))

/* t[i] = panel . x[i] + offset for TR tokens; both are at their panel. */
INLINE void project(REAL t[TR][VECTORS], __global const float *const x[TR], __global const float *panel,
                    __global const float *offset) {
    UNROLL for (int i = 0; i < TR; ++i) UNROLL for (int v = 0; v < VECTORS; ++v) t[i][v] = (REAL)(0.0f);
#pragma unroll 4
    for (int k = 0; k < DIM; ++k) {
        REAL w[VECTORS];
#pragma unroll
        for (int v = 0; v < VECTORS; ++v)
            w[v] = VLOAD(panel + k * PANEL + v * VL);
#pragma unroll
        for (int i = 0; i < TR; ++i) {
            const REAL s = (REAL)(x[i][k]);
#pragma unroll
            for (int v = 0; v < VECTORS; ++v)
                t[i][v] = MAD(s, w[v], t[i][v]);
        }
    }
    UNROLL for (int i = 0; i < TR; ++i) UNROLL for (int v = 0; v < VECTORS; ++v) t[i][v] += VLOAD(offset + v * VL);
}

/* What a row's feature is made from, t = w.x + b, for panel p; elu has no W. */
INLINE void project_rows(REAL t[TR][VECTORS], __global const float *const x[TR], __global const float *set,
                         clfavor_weights_layout layout, uint p) {
#if FAMILY == FAMILY_ELU
    UNROLL for (int i = 0; i < TR; ++i) UNROLL for (int v = 0; v < VECTORS; ++v) {
        const int first = (int)p * PANEL + v * VL;
        t[i][v] = load_some(x[i] + min(first, DIM), DIM - first);
    }
#else
    project(t, x, set + SIDE(w) + (ulong)p * DIM * PANEL, set + SIDE(b) + (ulong)p * PANEL);
#endif
}

/* The part of the exponent that belongs to the token, in base 2. */
INLINE void token_scalars(float scalar[TR], __global const float *const x[TR], __global const float *set,
                          clfavor_weights_layout layout) {
#if FAMILY == FAMILY_RELU || FAMILY == FAMILY_ELU
    for (int i = 0; i < TR; ++i)
        scalar[i] = 0.0f;
#elif GENERAL
    REAL square[TR], t[TR][VECTORS];
    for (int i = 0; i < TR; ++i)
        square[i] = (REAL)(0.0f);
    for (int p = 0; p * PANEL < DIM; ++p) {
        project(t, x, set + SIDE(t) + p * DIM * PANEL, set + SIDE(o) + p * PANEL);
        UNROLL for (int i = 0; i < TR; ++i) UNROLL for (int v = 0; v < VECTORS; ++v) square[i] =
            lane_index() + (p * PANEL + v * VL) < DIM ? MAD(t[i][v], t[i][v], square[i]) : square[i];
    }
    for (int i = 0; i < TR; ++i) {
        float linear = 0.0f;
        for (int k = 0; k < DIM; ++k)
            linear = MAD(set[SIDE(u) + k], x[i][k], linear);
        scalar[i] = linear - sum_of_lanes(square[i]) + set[SIDE(s) + 1];
    }
#else
    const float quad = set[SIDE(s)], base = set[SIDE(s) + 1];
    for (int i = 0; i < TR; ++i) {
        REAL square = (REAL)(0.0f);
        int k = 0;
        for (; k + VL <= DIM; k += VL) {
            const REAL c = VLOAD(x[i] + k);
            square = MAD(c, c, square);
        }
        float sum = sum_of_lanes(square);
        for (; k < DIM; ++k)
            sum = MAD(x[i][k], x[i][k], sum);
        scalar[i] = quad != 0.0f ? MAD(quad, sum, base) : base; /* gaussian has none, also where sum is inf */
    }
#endif
}

/* The tokens of a tile; those beyond the end repeat the last one. */
INLINE void token_pointers(__global const float *x[TR], __global const float *tokens, ulong stride, uint first,
                           uint count) {
    for (uint i = 0; i < TR; ++i)
        x[i] = tokens + min(first + i, count - 1) * stride;
}

/* token_scalars for all tokens of a work-item; TOKENS is a multiple of TR. */
INLINE void scalars_of(float *scalar, __global const float *tokens, ulong stride, __global const float *set,
                       clfavor_weights_layout layout, uint count) {
    for (uint first = 0; first < count; first += TR) {
        __global const float *x[TR];
        token_pointers(x, tokens, stride, first, count);
        token_scalars(scalar + first, x, set, layout);
    }
}

/* Row `row`, one of [batch, head, tokens], of a view. */
INLINE ulong place(clfavor_view view, ulong slot, uint heads, ulong token) {
    return view.offset + slot / heads * view.batch + slot % heads * view.head + token * view.token;
}

/* Lanes of vector v of panel p that hold features. */
INLINE int lanes_of(uint rows, uint p, uint v) {
    const uint r = p * PANEL + v * VL;
    return (int)(rows - min(r, rows));
}

#if LOG_MAP
/* Writes the exponents of panel p for `count` tokens. Queries: without scalar[i]; maximum[i] of a token becomes its
 * largest so far. Keys: with scalar[i]; maximum[v] of the features. */
INLINE void write_exponents(__global const float *tokens, ulong stride, __global const float *set,
                            clfavor_weights_layout layout, uint rows, const float *scalar, REAL *maximum,
                            __global float *out, ulong out_stride, uint count, uint p) {
    for (uint first = 0; first < count; first += TR) {
        __global const float *x[TR];
        REAL t[TR][VECTORS];
        token_pointers(x, tokens, stride, first, count);
        project_rows(t, x, set, layout, p);
        UNROLL for (uint i = 0; i < TR; ++i) UNROLL for (uint v = 0; v < VECTORS; ++v) {
            t[i][v] = map_exponent(t[i][v]);
#if KEY
            t[i][v] += scalar[first + i];
            maximum[v] = LARGER(t[i][v], maximum[v]);
#else
            const REAL larger = LARGER_OR_NAN(t[i][v], maximum[first + i]);
            maximum[first + i] = lane_index() < lanes_of(rows, p, v) ? larger : maximum[first + i];
#endif
        }
        __global float *row = out + first * out_stride + p * PANEL;
        if (first + TR <= count && (p + 1) * PANEL <= rows)
            UNROLL for (uint i = 0; i < TR; ++i) UNROLL for (uint v = 0; v < VECTORS; ++v)
                VSTORE(t[i][v], row + i * out_stride + v * VL);
        else
            UNROLL for (uint i = 0; i < TR; ++i) UNROLL for (uint v = 0; v < VECTORS; ++v)
                store_some(t[i][v], row + i * out_stride + v * VL, first + i < count ? lanes_of(rows, p, v) : 0);
    }
}

/* `count` exponents become features. A query has one reference, a key one for each feature, in whole vectors. */
#if KEY
#define REFERENCE_AT(r) VLOAD(references + (r))
#else
#define REFERENCE_AT(r) ((REAL)(*references))
#endif
INLINE REAL relative(REAL exponent, REAL reference) {
    return exponent - (reference == (REAL)(NEG_INF) ? (REAL)(0.0f) : reference);
}

#if KEY
INLINE void exponents_to_features(__global float *at, __global const float *references, float norm, uint count) {
#else
INLINE void exponents_to_features(__global float *at, const float *references, float norm, uint count) {
#endif
    uint r = 0;
    for (; r + 4 * VL <= count; r += 4 * VL) {
        REAL x[4];
        UNROLL for (uint v = 0; v < 4; ++v) x[v] = relative(VLOAD(at + r + v * VL), REFERENCE_AT(r + v * VL));
        exp2_each(x, 4);
        UNROLL for (uint v = 0; v < 4; ++v) VSTORE(x[v] * norm, at + r + v * VL);
    }
    for (; r < count; r += VL) {
        const REAL x = relative(load_some(at + r, (int)(count - r)), REFERENCE_AT(r));
        store_some(exp2_below_128(x) * norm, at + r, (int)(count - r));
    }
}
#else
/* Writes panels begin .. end - 1 of `count` tokens, whose values are multiplied by factor[i]. */
INLINE void write_values(__global const float *tokens, ulong stride, __global const float *set,
                         clfavor_weights_layout layout, uint rows, const float *factor, __global float *out,
                         ulong out_stride, uint count, uint begin, uint end) {
    for (uint p = begin; p < end; ++p)
        for (uint first = 0; first < count; first += TR) {
            __global const float *x[TR];
            REAL t[TR][VECTORS];
            token_pointers(x, tokens, stride, first, count);
            project_rows(t, x, set, layout, p);
            UNROLL for (uint i = 0; i < TR; ++i) {
                __global float *row = out + (first + i) * out_stride + p * PANEL;
                const REAL own = (REAL)(factor[min(first + i, count - 1)]);
                UNROLL for (uint v = 0; v < VECTORS; ++v) UNROLL for (uint part = 0; part < VALUES; ++part)
                    store_some(map_value(t[i][v], part) * own, row + (ulong)part * rows + v * VL,
                               first + i < count ? lanes_of(rows, p, v) : 0);
            }
        }
}
#endif

#define TENSORS                                                                                                        \
    __global const float *x, clfavor_view x_view, __global const float *weights, clfavor_weights_layout layout,        \
        clfavor_sizes sizes, float norm, __global float *features, clfavor_view features_view,                         \
        __global float *log_scale, clfavor_view log_scale_view

#if !KEY

/* Work-item: tile first_item + id of [batch, head, tiles of TOKENS tokens], all features. */
__kernel OWN_VECTORS void features_query(TENSORS, ulong first_item) {
    const ulong tiles = (sizes.n + TOKENS - 1) / TOKENS, item = first_item + get_global_id(0);
    const ulong slot = item / tiles, first_token = item % tiles * TOKENS;
    const uint count = (uint)min((ulong)TOKENS, sizes.n - first_token), panels = (sizes.rows + PANEL - 1) / PANEL;
    __global const float *set = weights + (sizes.sets == 1 ? 0 : slot % sizes.heads) * layout.set_stride;
    __global const float *tokens = x + place(x_view, slot, sizes.heads, first_token);

    __global float *out = features + place(features_view, slot, sizes.heads, first_token);

    float scalar[TOKENS];
    scalars_of(scalar, tokens, x_view.token, set, layout, count);
#if LOG_MAP
    REAL maximum[TOKENS];
    for (uint i = 0; i < TOKENS; ++i)
        maximum[i] = (REAL)(NEG_INF);
    for (uint p = 0; p < panels; ++p)
        write_exponents(tokens, x_view.token, set, layout, sizes.rows, scalar, maximum, out, features_view.token, count,
                        p);
#else
    float factor[TOKENS];
    for (uint i = 0; i < TOKENS; ++i)
        factor[i] = norm;
    write_values(tokens, x_view.token, set, layout, sizes.rows, factor, out, features_view.token, count, 0, panels);
#endif
    for (uint i = 0; i < count; ++i) {
#if LOG_MAP
        float lane[VL], reference = NEG_INF;
        VSTORE(maximum[i], lane);
        for (int l = 0; l < VL; ++l)
            reference = LARGER_OR_NAN(lane[l], reference);
        exponents_to_features(out + i * features_view.token, &reference, norm, sizes.rows);
        scalar[i] += reference;
#endif
        log_scale[place(log_scale_view, slot, sizes.heads, first_token + i)] = scalar[i] * M_LN2_F;
    }
}

#else

/* Floats of a slot's references: one for each padded row, or one in all. */
INLINE ulong references_of(uint panels) {
    return LOG_MAP ? (ulong)panels * PANEL : 1;
}

/* Work-item (slot of the wave and piece, group of panels): the exponents of tokens first_token + piece * span .. + span
 * - 1 (LOG_MAP), and the largest of them and of those already in `maxima` [slot][piece][references] unless first_token
 * is 0. */
__kernel OWN_VECTORS void features_key_max(TENSORS, __global float *maxima, ulong maxima_offset, ulong first_slot,
                                           ulong first_token, ulong span, uint pieces) {
    const uint panels = (sizes.rows + PANEL - 1) / PANEL;
    const ulong slot = first_slot + get_global_id(0) / pieces;
    const ulong begin = min(first_token + get_global_id(0) % pieces * span, sizes.n), end = min(begin + span, sizes.n);
    __global const float *set = weights + (sizes.sets == 1 ? 0 : slot % sizes.heads) * layout.set_stride;
    maxima += maxima_offset + get_global_id(0) * references_of(panels);
#if LOG_MAP
    const uint first_panel = (uint)get_global_id(1) * GROUP, group = min((uint)GROUP, panels - first_panel);
    REAL maximum[GROUP][VECTORS];
    maxima += (ulong)first_panel * PANEL;
    for (uint p = 0; p < group; ++p)
        for (int v = 0; v < VECTORS; ++v)
            maximum[p][v] = first_token ? VLOAD(maxima + p * PANEL + v * VL) : (REAL)(NEG_INF);
#else
    float maximum = first_token ? *maxima : NEG_INF;
#endif
    for (ulong tile = begin; tile < end; tile += TOKENS) {
        const uint count = (uint)min((ulong)TOKENS, end - tile);
        __global const float *tokens = x + place(x_view, slot, sizes.heads, tile);
        float scalar[TOKENS];
        scalars_of(scalar, tokens, x_view.token, set, layout, count);
#if LOG_MAP
        for (uint p = 0; p < group; ++p)
            write_exponents(tokens, x_view.token, set, layout, sizes.rows, scalar, maximum[p],
                            features + place(features_view, slot, sizes.heads, tile), features_view.token, count,
                            first_panel + p);
#else
        for (uint i = 0; i < count; ++i)
            maximum = LARGER(scalar[i], maximum);
#endif
    }
#if LOG_MAP
    for (uint p = 0; p < group; ++p)
        for (int v = 0; v < VECTORS; ++v)
            VSTORE(maximum[p][v], maxima + p * PANEL + v * VL);
#else
    *maxima = maximum;
#endif
}

/* Work-item (reference, slot of the wave): joins the pieces into the first one and writes the log scale. */
__kernel OWN_VECTORS void features_key_join(TENSORS, __global float *maxima, ulong maxima_offset, ulong first_slot,
                                            uint pieces) {
    const ulong references = references_of((sizes.rows + PANEL - 1) / PANEL), r = get_global_id(0);
    const ulong slot = first_slot + get_global_id(1);
    maxima += maxima_offset + get_global_id(1) * pieces * references + r;
    float maximum = *maxima;
    for (uint piece = 1; piece < pieces; ++piece)
        maximum = LARGER(maxima[piece * references], maximum);
    *maxima = maximum;
    if (!LOG_MAP || r < sizes.rows)
        log_scale[place(log_scale_view, slot, sizes.heads, r)] = maximum * M_LN2_F;
}

/* Work-item (slot of the wave and tile of TOKENS tokens from first_token on, group of panels). */
__kernel OWN_VECTORS void features_key_write(TENSORS, __global const float *maxima, ulong maxima_offset,
                                             ulong first_slot, ulong first_token, ulong tiles, uint pieces) {
    const uint panels = (sizes.rows + PANEL - 1) / PANEL, first_panel = (uint)get_global_id(1) * GROUP;
    const ulong in_wave = get_global_id(0) / tiles, slot = first_slot + in_wave;
    const ulong tile = first_token + get_global_id(0) % tiles * TOKENS;
    if (tile >= sizes.n)
        return;
    const uint count = (uint)min((ulong)TOKENS, sizes.n - tile);
    const uint end = min(first_panel + GROUP, panels);
    __global float *out = features + place(features_view, slot, sizes.heads, tile);
    maxima += maxima_offset + in_wave * pieces * references_of(panels);
#if LOG_MAP
    const uint begin = first_panel * PANEL;
    for (uint i = 0; i < count; ++i)
        exponents_to_features(out + i * features_view.token + begin, maxima + begin, norm,
                              min(sizes.rows, end * PANEL) - begin);
#else
    __global const float *set = weights + (sizes.sets == 1 ? 0 : slot % sizes.heads) * layout.set_stride;
    __global const float *tokens = x + place(x_view, slot, sizes.heads, tile);
    float token[TOKENS];
    scalars_of(token, tokens, x_view.token, set, layout, count);
    const float reference = *maxima == NEG_INF ? 0.0f : *maxima;
    for (uint i = 0; i < count; ++i) {
        const REAL weight = exp2_real((REAL)(token[i] - reference));
        float lane[VL];
        VSTORE(weight, lane);
        token[i] = lane[0] * norm;
    }
    write_values(tokens, x_view.token, set, layout, sizes.rows, token, out, features_view.token, count, first_panel,
                 end);
#endif
}

#endif
