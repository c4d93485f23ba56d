/* What host and kernels pass to each other by value; this one file is compiled by both. All counts are elements. */
#ifndef CLFAVOR_TYPES_H
#define CLFAVOR_TYPES_H

#ifndef __OPENCL_VERSION__
#include <CL/cl.h>
#define ulong cl_ulong
#define uint  cl_uint
#define float cl_float
#endif

/* Where [batch, head, token] lies in a buffer; the last axis is contiguous. */
typedef struct clfavor_view {
    ulong offset, batch, head, token;
} clfavor_view;

/* The packed weights of one parameter set start at set * set_stride; the rest are offsets from there.
 * wq, wk: [panel][dim][PANEL], the same place unless the estimator is general; bq, bk: [padded rows]; sq, sk: {quad
 * coefficient, constant} of the scalar term. General estimator only: tq, tk [panel][dim][PANEL] of dim rows, lower
 * triangular (|T x| is all that counts), oq, ok [padded dim] what is added to T x, uq, uk [dim] the linear term.
 * Where CLBlast may multiply: mq, mk [dim][padded rows], what wq, wk are, as a matrix.
 * Everything is in base 2, and the square root of the scale is folded in. */
typedef struct clfavor_weights_layout {
    ulong set_stride;
    ulong wq, wk, bq, bk, sq, sk, tq, tk, oq, ok, uq, uk, mq, mk;
} clfavor_weights_layout;

/* The sizes of one call. A state belongs to (batch, state head); its K/V head is state_head * heads_kv / state_heads,
 * and it serves the query heads state_head * group .. + group - 1 with group = heads / state_heads. */
typedef struct clfavor_sizes {
    ulong n, n_k;            /* query and key tokens */
    uint heads, heads_kv;    /* H, H_kv */
    uint state_heads, group; /* max(H_kv, sets) and query heads a state */
    uint sets;               /* parameter sets: 1, H_kv or H */
    uint rows;               /* projection rows without padding */
    uint value_dim;          /* columns of V in this call */
    uint exact;              /* T: keys a state head that are treated exactly */
    uint features;           /* F */
    uint reserved;
} clfavor_sizes;

/* Keys that are treated exactly: for a query each is one more row after the features, with the key as its weights, n =
 * 1 and S = v. The indices are a tensor of uint32, [batch, state head, T]; one that is no key's or that was there
 * before makes a row that adds nothing. */
typedef struct clfavor_exact {
    ulong rows, stride; /* cpu class, floats: where the slots' rows lie in the workspace */
    float scale;        /* the softmax scale in base 2 */
    float log2_norm;    /* what features still lack, exact rows not: log2 of the factor on a product */
} clfavor_exact;

/* cpu class: one launch over a part of the state heads and of the tokens. A slot is the state of one (batch, state
 * head), or of one share of its query heads where their scratch does not fit together. */
typedef struct clfavor_wave {
    ulong state, slot_stride; /* floats: where the slots lie in the workspace */
    ulong partial;            /* floats: partial outputs of feature pieces, [slot][head][piece][token][..] */
    ulong begin, end;         /* tokens; bidirectional keys: within a piece */
    ulong span;               /* bidirectional: key tokens a piece */
    uint slot;                /* the first slot of this launch */
    uint shares;              /* slots a state head */
    uint share_heads;         /* query heads a slot */
    uint pieces;              /* key ranges, or parts of the features when causal */
    uint first;               /* 1: states start empty */
    uint tokens_a_group;      /* queries: tokens a work-group */
} clfavor_wave;

#ifndef __OPENCL_VERSION__
#undef ulong
#undef uint
#undef float
#endif
#endif
