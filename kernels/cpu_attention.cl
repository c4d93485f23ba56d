/* cpu class: linear attention, one work-item a work-group.
 *
 *   favor_keys     bidirectional: (piece, slot) adds its key range to its own state
 *   favor_merge    bidirectional: (slot) folds the pieces' states in order into the first
 *   favor_exact    bidirectional: (panel, slot) makes the rows of the keys that are treated exactly
 *   favor_correct  bidirectional: (panel, slot) corrects the mean values of the state's rows and of those
 *   favor_queries  bidirectional: (tokens, slot) outputs against the merged state, and those rows
 *   favor_causal   (piece, slot) walks the chunks, outputs and state together; a piece is a part of the features
 *   favor_combine  causal: (tokens, slot) adds the pieces' outputs after rescaling
 *
 * A slot is a (batch, state head), or a share of its query heads (types.h). See cpu_chunk.clh for one chunk. */
#ifndef CAUSAL
#define CAUSAL 2 /* both, so that the file compiles alone */
#endif
#ifndef CORRECT
#define CORRECT 0 /* 1: the mean values of rows are corrected */
#endif
#include "cpu_chunk.clh"

/* What a slot stands for. */
typedef struct slot_view {
    ulong batch;
    uint state_head, set, head_kv;
    uint head, heads; /* query heads head .. head + heads - 1 */
} slot_view;

static inline slot_view slot_at(clfavor_sizes sizes, clfavor_wave wave, uint slot) {
    const uint index = slot / wave.shares, share = slot % wave.shares;
    const uint state_head = index % sizes.state_heads;
    slot_view view;
    view.state_head = state_head;
    view.batch = index / sizes.state_heads;
    view.set = sizes.sets == 1 ? 0 : state_head;
    view.head_kv = (uint)((ulong)state_head * sizes.heads_kv / sizes.state_heads);
    view.head = state_head * sizes.group + share * wave.share_heads;
    view.heads = min(wave.share_heads, sizes.group - share * wave.share_heads);
    return view;
}

static inline __global const float *head_at(__global const float *base, clfavor_view view, ulong batch, uint head) {
    return base + view.offset + batch * view.batch + head * view.head;
}

static inline void clear_state(state_view state, uint from_panel, uint to_panel) {
    for (uint f = from_panel * PF; f < to_panel * PF; ++f) {
        state.c[f] = NEG_INF;
        state.n[f] = state.n_low[f] = 0.0f;
        for (uint p = 0; p < VPANELS; ++p)
            for (uint l = 0; l < PANEL; ++l) {
                state.s[(p * (ulong)state.features + f) * PANEL + l] = 0.0f;
                state.s_low[(p * (ulong)state.features + f) * PANEL + l] = 0.0f;
            }
    }
}

#if EXACT
INLINE __global const uint *indices_at(__global const uint *exact_keys, clfavor_view at, slot_view slot) {
    return exact_keys + at.offset + slot.batch * at.batch + slot.state_head * at.head;
}

/* Keys of the chunk that are treated exactly give no features. */
INLINE void leave_out(__local float *scratch, __global const uint *indices, ulong stride, uint exact, ulong token,
                      uint count) {
    for (uint t = 0; t < exact; ++t) {
        const ulong j = indices[t * stride] - token;
        if (j >= count)
            continue;
        scratch[AT_SCALAR + j] = NEG_INF;
        for (uint l = 0; l < DIM; ++l) /* 0 times an infinity would be NaN */
            scratch[AT_KEYS + (j / TOKENS * DIM + l) * TOKENS + j % TOKENS] = 0.0f;
        for (uint p = 0; p < VPANELS; ++p)
            for (uint l = 0; l < PANEL; ++l)
                scratch[AT_V + (p * CHUNK + j) * PANEL + l] = 0.0f;
    }
}

/* The rows of one slot: weights [panel][DIM][PANEL], b [rows], then c, n and S as in a state. */
typedef struct exact_rows {
    __global float *w, *b;
    state_view state;
} exact_rows;

INLINE exact_rows exact_rows_at(__global float *base, uint exact) {
    exact_rows rows;
    const ulong padded = (exact + PANEL - 1) / PANEL * PANEL;
    rows.w = base;
    rows.b = rows.w + padded * DIM;
    rows.state = state_at(rows.b + padded, exact);
    return rows;
}

__kernel OWN_VECTORS void favor_exact(__global const float *k, clfavor_view at_k, __global const float *v,
                                      clfavor_view at_v, clfavor_sizes sizes, clfavor_wave wave,
                                      __global float *workspace, __global const uint *exact_keys, clfavor_view at_exact,
                                      clfavor_exact exact) {
    const uint panel = get_global_id(0), local_slot = get_global_id(1);
    const slot_view slot = slot_at(sizes, wave, wave.slot + local_slot);
    const exact_rows rows = exact_rows_at(workspace + exact.rows + local_slot * exact.stride, sizes.exact);
    __global const uint *indices = indices_at(exact_keys, at_exact, slot);
    for (uint t = panel * PANEL; t < (panel + 1) * PANEL; ++t) {
        const ulong index = t < sizes.exact ? indices[t * at_exact.token] : sizes.n_k;
        bool valid = index < sizes.n_k;
        for (uint other = 0; valid && other < t; ++other)
            valid = indices[other * at_exact.token] != index;
        __global const float *key = head_at(k, at_k, slot.batch, slot.head_kv) + (valid ? index * at_k.token : 0);
        __global const float *value = head_at(v, at_v, slot.batch, slot.head_kv) + (valid ? index * at_v.token : 0);
        for (uint l = 0; l < DIM; ++l)
            rows.w[((ulong)panel * DIM + l) * PANEL + t % PANEL] = valid ? key[l] * exact.scale : 0.0f;
        rows.b[t] = valid ? 0.0f : NEG_INF;
        rows.state.c[t] = -exact.log2_norm;
        rows.state.n[t] = valid ? 1.0f : 0.0f;
        for (uint p = 0; p < VPANELS; ++p)
            for (uint l = 0; l < PANEL; ++l)
                rows.state.s[(p * (ulong)rows.state.features + t) * PANEL + l] =
                    valid && p * PANEL + l < sizes.value_dim ? value[p * PANEL + l] : 0.0f;
    }
}
#endif

#if CORRECT
/* S_r += n_r B_r, for the features and then for the exact keys; B is [batch, state head, F + T, value columns]. */
__kernel OWN_VECTORS void favor_correct(clfavor_sizes sizes, clfavor_wave wave, __global float *workspace,
                                        clfavor_exact exact, __global const float *corrections,
                                        clfavor_view at_corrections) {
    const uint local_slot = get_global_id(1), panels = (sizes.rows + PANEL - 1) / PANEL;
    const slot_view slot = slot_at(sizes, wave, wave.slot + local_slot);
    uint panel = get_global_id(0), rows = sizes.rows;
    state_view state =
        state_at(workspace + wave.state + (ulong)local_slot * wave.pieces * wave.slot_stride, sizes.rows);
    corrections += at_corrections.offset + slot.batch * at_corrections.batch + slot.state_head * at_corrections.head;
#if EXACT
    if (panel >= panels) {
        state = exact_rows_at(workspace + exact.rows + local_slot * exact.stride, sizes.exact).state;
        corrections += sizes.features * at_corrections.token;
        panel -= panels;
        rows = sizes.exact;
    }
#endif
    for (uint f = panel * PANEL; f < min((panel + 1) * PANEL, rows); ++f)
        for (uint column = 0; column < sizes.value_dim; ++column) {
            __global float *s = state.s + (column / PANEL * (ulong)state.features + f) * PANEL + column % PANEL;
            *s = MAD(state.n[f], corrections[f * at_corrections.token + column], *s);
        }
}
#endif

#if CAUSAL != 1
__kernel OWN_VECTORS void favor_keys(__global const float *k, clfavor_view at_k, __global const float *v,
                                     clfavor_view at_v, __global const float *weights, clfavor_weights_layout layout,
                                     clfavor_sizes sizes, clfavor_wave wave, __global float *workspace,
                                     __global const uint *exact_keys, clfavor_view at_exact, __local float *scratch) {
    const uint piece = get_global_id(0), local_slot = get_global_id(1);
    const slot_view slot = slot_at(sizes, wave, wave.slot + local_slot);
    const uint panels = (sizes.rows + PANEL - 1) / PANEL;
    const side_view side = key_side(weights, layout, slot.set);
    const state_view state =
        state_at(workspace + wave.state + ((ulong)local_slot * wave.pieces + piece) * wave.slot_stride, sizes.rows);
    if (wave.first)
        clear_state(state, 0, panels);
    const ulong begin = piece * wave.span + wave.begin;
    const ulong end = min(sizes.n_k, min(piece * wave.span + wave.end, (piece + 1) * wave.span));
    __global const float *keys = head_at(k, at_k, slot.batch, slot.head_kv);
    __global const float *values = head_at(v, at_v, slot.batch, slot.head_kv);
    for (ulong token = begin; token < end; token += CHUNK) {
        const uint count = (uint)min((ulong)CHUNK, end - token);
        pack_tokens(scratch + AT_KEYS, keys + token * at_k.token, at_k.token, count);
        pack_values(scratch + AT_V, values + token * at_v.token, at_v.token, count, sizes.value_dim);
        token_scalars(scratch + AT_SCALAR, scratch + AT_KEYS, side, count);
#if EXACT
        leave_out(scratch, indices_at(exact_keys, at_exact, slot), at_exact.token, sizes.exact, token, count);
#endif
        const ulong next = token + CHUNK, next_count = min((ulong)CHUNK, end - min(end, next));
        soon next_k = soon_rows(keys + next * at_k.token, at_k.token, next_count, sizes.rows);
        soon next_v = soon_rows(values + next * at_v.token, at_v.token, next_count, sizes.rows);
        for (uint panel = 0; panel < panels; panel += GROUP_PANELS) {
            const group_view group = group_at(panel, panels, sizes.rows);
            references ref;
            take_keys(scratch + AT_PHI_K, &ref, scratch + AT_KEYS, scratch + AT_SCALAR, side, state, group, 0, count,
                      false, &next_k, &next_v);
            update_state(state, scratch + AT_PHI_K, scratch + AT_V, &ref, group, 0, token_panels(count));
        }
    }
}

__kernel OWN_VECTORS void favor_merge(clfavor_sizes sizes, clfavor_wave wave, __global float *workspace) {
    const uint panel = get_global_id(0), local_slot = get_global_id(1);
    __global float *base = workspace + wave.state + (ulong)local_slot * wave.pieces * wave.slot_stride;
    const state_view to = state_at(base, sizes.rows);
    for (uint f = panel * PF; f < (panel + 1) * PF; ++f) {
        float c = NEG_INF;
        for (uint piece = 0; piece < wave.pieces; ++piece) {
            const float other = state_at(base + piece * wave.slot_stride, sizes.rows).c[f];
            c = LARGER(other, c);
        }
        for (uint piece = 0; piece < wave.pieces; ++piece) {
            const state_view from = state_at(base + piece * wave.slot_stride, sizes.rows);
            /* an empty state is the identity; no -inf - -inf */
            const float factor = from.c[f] == NEG_INF ? 0.0f : exp2(from.c[f] - c);
            const bool add = piece > 0, alive = from.c[f] != NEG_INF || from.n[f] != 0.0f;
            float n = add ? to.n[f] : from.n[f] * factor, n_low = add ? to.n_low[f] : from.n_low[f] * factor;
            if (add && alive) {
                ADD_COMPENSATED(float, n, n_low, from.n_low[f] * factor);
                ADD_COMPENSATED(float, n, n_low, from.n[f] * factor);
            }
            to.n[f] = n;
            to.n_low[f] = n_low;
            for (uint p = 0; p < VPANELS; ++p)
                for (uint half_panel = 0; half_panel < 2; ++half_panel) {
                    const ulong at = (p * (ulong)to.features + f) * PANEL + half_panel * VL;
                    REAL s = add ? VLOAD(to.s + at) : VLOAD(from.s + at) * factor;
                    REAL s_low = add ? VLOAD(to.s_low + at) : VLOAD(from.s_low + at) * factor;
                    if (add && alive) {
                        ADD_COMPENSATED(REAL, s, s_low, VLOAD(from.s_low + at) * factor);
                        ADD_COMPENSATED(REAL, s, s_low, VLOAD(from.s + at) * factor);
                    }
                    VSTORE(s, to.s + at);
                    VSTORE(s_low, to.s_low + at);
                }
        }
        to.c[f] = c;
    }
}

#endif

/* O, lse and sign of the rows of one query head in one chunk. */
static inline void finish_rows(__local const float *head, side_view side, __local float *scalars, uint count,
                               ulong token, ulong batch, uint query_head, __global float *o, clfavor_view at_o,
                               __global float *lse, clfavor_view at_lse, __global float *sign, clfavor_view at_sign,
                               uint columns, float log2_norm) {
    if (lse && !EXACT) /* there they are needed earlier */
        token_scalars(scalars, head + AT_QUERIES, side, count);
    for (uint i = 0; i < count; ++i) {
        const float den = head[AT_DEN + i];
        write_row(o + at_o.offset + batch * at_o.batch + query_head * at_o.head + (token + i) * at_o.token, columns,
                  head + AT_ACC + i * PANEL, den);
        if (lse)
            lse[at_lse.offset + batch * at_lse.batch + query_head * at_lse.head + (token + i) * at_lse.token] =
                log_sum(head[AT_ROW_MAX + i], den, scalars[i], log2_norm);
        if (sign)
            sign[at_sign.offset + batch * at_sign.batch + query_head * at_sign.head + (token + i) * at_sign.token] =
                sign_of(den);
    }
}

#if CAUSAL != 1
__kernel OWN_VECTORS void favor_queries(__global const float *q, clfavor_view at_q, __global float *o,
                                        clfavor_view at_o, __global float *lse, clfavor_view at_lse,
                                        __global float *sign, clfavor_view at_sign, __global const float *weights,
                                        clfavor_weights_layout layout, float log2_norm, clfavor_sizes sizes,
                                        clfavor_wave wave, __global float *workspace, clfavor_exact exact,
                                        __local float *scratch) {
    const uint local_slot = get_global_id(1);
    const slot_view slot = slot_at(sizes, wave, wave.slot + local_slot);
    const side_view side = query_side(weights, layout, slot.set);
    side_view sides[1 + EXACT];
    state_view states[1 + EXACT];
    uint rows[1 + EXACT];
    sides[0] = side;
    states[0] = state_at(workspace + wave.state + (ulong)local_slot * wave.pieces * wave.slot_stride, sizes.rows);
    rows[0] = sizes.rows;
#if EXACT
    const exact_rows keys = exact_rows_at(workspace + exact.rows + local_slot * exact.stride, sizes.exact);
    sides[1] = side;
    sides[1].w = keys.w;
    sides[1].b = keys.b;
    states[1] = keys.state;
    rows[1] = sizes.exact;
    __local float *zeros = scratch + AT_PHI_K; /* not in use here */
    for (uint i = 0; i < CHUNK; ++i)
        zeros[i] = 0.0f;
#endif
    const ulong begin = wave.begin + get_global_id(0) * (ulong)wave.tokens_a_group;
    const ulong end = min(min(wave.end, sizes.n), begin + wave.tokens_a_group);
    __local float *head = scratch + AT_HEADS;
    for (uint h = 0; h < slot.heads; ++h) {
        __global const float *queries = head_at(q, at_q, slot.batch, slot.head + h);
        for (ulong token = begin; token < end; token += CHUNK) {
            const uint count = (uint)min((ulong)CHUNK, end - token);
            pack_tokens(head + AT_QUERIES, queries + token * at_q.token, at_q.token, count);
            clear_head(head, false);
            const ulong next = token + CHUNK, next_count = min((ulong)CHUNK, end - min(end, next));
            soon next_q = soon_rows(queries + next * at_q.token, at_q.token, next_count, sizes.rows);
            soon next_o = soon_rows(head_at(o, at_o, slot.batch, slot.head + h) + token * at_o.token, at_o.token, count,
                                    sizes.rows);
            __local const float *less = 0;
#if EXACT /* features lack the query's scalar */
            token_scalars(scratch + AT_SCALAR, head + AT_QUERIES, side, count);
            less = zeros;
#endif
            for (uint part = 0; part < 1 + EXACT; ++part) {
                const uint panels = (rows[part] + PANEL - 1) / PANEL;
                for (uint panel = 0; panel < panels; panel += GROUP_PANELS) {
                    const group_view group = group_at(panel, panels, rows[part]);
                    references ref;
                    keep_references(&ref, states[part], group, count);
                    take_queries(scratch + AT_PHI_Q, head, less, &ref, sides[part], states[part], group,
                                 token_panels(count), 0, count, false, &next_q, &next_o);
                    add_state_outputs(head, scratch + AT_PHI_Q, states[part], group, 0, count, part + panel == 0);
                }
                less = scratch + AT_SCALAR;
            }
            finish_rows(head, side, scratch + AT_SCALAR, count, token, slot.batch, slot.head + h, o, at_o, lse, at_lse,
                        sign, at_sign, sizes.value_dim, log2_norm);
        }
    }
}

#endif

#if CAUSAL != 0
#define PARTIAL_ROW (VPANELS * PANEL + 2) /* ACC, DEN, ROW_MAX of a row and a piece */

__kernel OWN_VECTORS void favor_causal(__global const float *q, clfavor_view at_q, __global const float *k,
                                       clfavor_view at_k, __global const float *v, clfavor_view at_v, __global float *o,
                                       clfavor_view at_o, __global float *lse, clfavor_view at_lse,
                                       __global float *sign, clfavor_view at_sign, __global const float *weights,
                                       clfavor_weights_layout layout, float log2_norm, clfavor_sizes sizes,
                                       clfavor_wave wave, __global float *workspace, __local float *scratch) {
    const uint piece = get_global_id(0), local_slot = get_global_id(1);
    const slot_view slot = slot_at(sizes, wave, wave.slot + local_slot);
    const uint panels = (sizes.rows + PANEL - 1) / PANEL;
    const uint first_panel = (uint)((ulong)panels * piece / wave.pieces);
    const uint last_panel = (uint)((ulong)panels * (piece + 1) / wave.pieces);
    const side_view query = query_side(weights, layout, slot.set), key = key_side(weights, layout, slot.set);
    const state_view state = state_at(workspace + wave.state + local_slot * wave.slot_stride, sizes.rows);
    if (wave.first)
        clear_state(state, first_panel, last_panel);
    __global const float *keys = head_at(k, at_k, slot.batch, slot.head_kv);
    __global const float *values = head_at(v, at_v, slot.batch, slot.head_kv);
    __local float *phi_k = scratch + AT_PHI_K, *phi_q = scratch + AT_PHI_Q, *scalars = scratch + AT_SCALAR;
    const ulong end = min(wave.end, sizes.n);
    for (ulong token = wave.begin; token < end; token += CHUNK) {
        const uint count = (uint)min((ulong)CHUNK, end - token);
        pack_tokens(scratch + AT_KEYS, keys + token * at_k.token, at_k.token, count);
        pack_values(scratch + AT_V, values + token * at_v.token, at_v.token, count, sizes.value_dim);
        token_scalars(scalars, scratch + AT_KEYS, key, count);
        for (uint h = 0; h < slot.heads; ++h) {
            __local float *head = scratch + AT_HEADS + h * HEAD_FLOATS;
            pack_tokens(head + AT_QUERIES, head_at(q, at_q, slot.batch, slot.head + h) + token * at_q.token, at_q.token,
                        count);
            clear_head(head, true);
        }
        const ulong next = token + CHUNK, next_count = min((ulong)CHUNK, end - min(end, next));
        const uint own_rows = (last_panel - first_panel) * PANEL;
        soon next_k = soon_rows(keys + next * at_k.token, at_k.token, next_count, own_rows);
        soon next_v = soon_rows(values + next * at_v.token, at_v.token, next_count, own_rows);
        for (uint panel = first_panel; panel < last_panel; panel += GROUP_PANELS) {
            const group_view group = group_at(panel, last_panel, sizes.rows);
            const ulong from = CHUNK * (panel - first_panel) / (last_panel - first_panel); /* rows to fetch meanwhile */
            const ulong to = from + CHUNK * group.panels / (last_panel - first_panel);
            references ref;
            for (uint low = 0; low < count; low = ref.high) { /* once, unless exponents grow fast */
                take_keys(phi_k, &ref, scratch + AT_KEYS, scalars, key, state, group, low, count, true, &next_k,
                          &next_v);
                for (uint h = 0; h < slot.heads; ++h) {
                    __local float *head = scratch + AT_HEADS + h * HEAD_FLOATS;
                    soon next_q = soon_rows(head_at(q, at_q, slot.batch, slot.head + h) + (next + from) * at_q.token,
                                            at_q.token, min(next_count, to) - min(next_count, from), own_rows);
                    soon next_o = soon_rows(head_at(o, at_o, slot.batch, slot.head + h) + (token + from) * at_o.token,
                                            at_o.token, min((ulong)count, to) - min((ulong)count, from), own_rows);
                    take_queries(phi_q, head, 0, &ref, query, state, group, token_panels(count), low, ref.high, true,
                                 &next_q, &next_o);
                    add_state_outputs(head, phi_q, state, group, low, ref.high, panel == first_panel);
                    add_products(head, phi_q, phi_k, group, low, ref.high);
                }
                update_state(state, phi_k, scratch + AT_V, &ref, group, low, token_panels(count));
            }
        }
        for (uint h = 0; h < slot.heads; ++h) {
            __local float *head = scratch + AT_HEADS + h * HEAD_FLOATS;
            add_product_outputs(head, scratch + AT_V, count);
            if (wave.pieces == 1)
                finish_rows(head, query, scalars, count, token, slot.batch, slot.head + h, o, at_o, lse, at_lse, sign,
                            at_sign, sizes.value_dim, log2_norm);
            else
                for (uint i = 0; i < count; ++i) {
                    const ulong row = ((ulong)local_slot * wave.share_heads + h) * wave.pieces + piece;
                    __global float *to = workspace + wave.partial +
                                         (row * (wave.end - wave.begin) + token - wave.begin + i) * PARTIAL_ROW;
                    for (uint p = 0; p < VPANELS; ++p)
                        for (uint l = 0; l < PANEL; l += VL)
                            VSTORE(VLOAD(head + AT_ACC + (p * CHUNK + i) * PANEL + l), to + p * PANEL + l);
                    to[VPANELS * PANEL] = head[AT_DEN + i];
                    to[VPANELS * PANEL + 1] = head[AT_ROW_MAX + i];
                }
        }
    }
}

__kernel OWN_VECTORS void favor_combine(__global const float *q, clfavor_view at_q, __global float *o,
                                        clfavor_view at_o, __global float *lse, clfavor_view at_lse,
                                        __global float *sign, clfavor_view at_sign, __global const float *weights,
                                        clfavor_weights_layout layout, float log2_norm, clfavor_sizes sizes,
                                        clfavor_wave wave, __global float *workspace, clfavor_exact exact,
                                        __local float *scratch) {
    const uint local_slot = get_global_id(1);
    const slot_view slot = slot_at(sizes, wave, wave.slot + local_slot);
    const ulong end = min(wave.end, sizes.n), length = wave.end - wave.begin;
    const ulong token = wave.begin + get_global_id(0) * (ulong)CHUNK;
    const uint count = (uint)min((ulong)CHUNK, end - token);
    __local float *head = scratch + AT_HEADS;
    for (uint h = 0; h < slot.heads; ++h) {
        clear_head(head, false);
        if (lse)
            pack_tokens(head + AT_QUERIES, head_at(q, at_q, slot.batch, slot.head + h) + token * at_q.token, at_q.token,
                        count);
        for (uint i = 0; i < count; ++i) {
            const ulong row = ((ulong)local_slot * wave.share_heads + h) * wave.pieces;
            __global const float *from =
                workspace + wave.partial + (row * length + token - wave.begin + i) * PARTIAL_ROW;
            float top = NEG_INF;
            for (uint piece = 0; piece < wave.pieces; ++piece) {
                const float other = from[piece * length * PARTIAL_ROW + VPANELS * PANEL + 1];
                top = LARGER(other, top);
            }
            for (uint piece = 0; piece < wave.pieces; ++piece) {
                __global const float *part = from + piece * length * PARTIAL_ROW;
                const float row_max = part[VPANELS * PANEL + 1];
                const float factor = row_max == top ? 1.0f : exp2(row_max - top);
                head[AT_DEN + i] = MAD(part[VPANELS * PANEL], factor, head[AT_DEN + i]);
                for (uint p = 0; p < VPANELS; ++p)
                    for (uint l = 0; l < PANEL; l += VL) {
                        __local float *acc = head + AT_ACC + (p * CHUNK + i) * PANEL + l;
                        const REAL sum = piece == 0 ? (REAL)(0.0f) : VLOAD(acc);
                        VSTORE(MAD(VLOAD(part + p * PANEL + l), (REAL)(factor), sum), acc);
                    }
            }
            head[AT_ROW_MAX + i] = top;
        }
        finish_rows(head, query_side(weights, layout, slot.set), scratch + AT_SCALAR, count, token, slot.batch,
                    slot.head + h, o, at_o, lse, at_lse, sign, at_sign, sizes.value_dim, log2_norm);
    }
}
#endif
