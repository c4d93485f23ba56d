#include "roofline.h"

bench_need bench_need_of(const bench_work *work, uint32_t columns) {
    const bench_shape *s = &work->shape;
    double tokens = (double)s->heads * (double)s->n, d = s->dim, f = columns;
    double rows = work->map == CLFAVOR_MAP_ELU ? 0.0 : s->features; /* elu has no projection */
    double each = work->map == CLFAVOR_MAP_RELU ? 0.0 : 1.0;        /* exponentials a feature */
    switch (work->operation) {
    case CLFAVOR_OP_EXACT: {
        double keys = work->causal ? 0.5 * ((double)s->n + 1.0) : (double)s->n; /* seen by a row, on average */
        return (bench_need){tokens * 4.0 * keys * d, tokens * keys, tokens * 16.0 * d};
    }
    case CLFAVOR_OP_FEATURES_QUERY:
    case CLFAVOR_OP_FEATURES_KEY:
        return (bench_need){tokens * 2.0 * rows * d, tokens * each * f, tokens * 4.0 * (d + f)};
    default: /* projections of q and k; S += phi(k) v', o = phi(q) S */
        return (bench_need){tokens * (4.0 * f * d + 4.0 * rows * d), tokens * 2.0 * each * f, tokens * 16.0 * d};
    }
}

double bench_bound(const bench_need *need, const bench_ceilings *ceilings, bool *bytes_bound) {
    double flops = need->flops / ceilings->peak.best;
    double arithmetic = flops + need->exponentials / ceilings->exponentials.best;
    double memory = need->bytes / ceilings->bandwidth.best;
    *bytes_bound = memory > arithmetic;
    return flops / (*bytes_bound ? memory : arithmetic);
}
