/* Packs an estimator for the kernels: base 2, the square root of the scale folded in, rows in panels. */
#include "weights.h"

#include <math.h>
#include <stdlib.h>

#include "launch.h"
#include "linalg.h"

uint32_t clfavor_padded_rows(const clfavor_context *context, uint32_t rows) {
    return clfavor_round_up(rows, context->panel);
}

/* Reserves `count` floats, each part on a 64-byte boundary, so that vectors of any width are aligned. */
static cl_ulong reserve(cl_ulong *used, size_t count) {
    cl_ulong offset = *used;
    *used += (count + 15) / 16 * 16;
    return offset;
}

static void lay_out(clfavor_weights *weights) {
    clfavor_weights_layout *layout = &weights->layout;
    const clfavor_context *context = weights->context;
    size_t d = weights->dim, padded = clfavor_padded_rows(context, weights->rows);
    size_t padded_dim = clfavor_padded_rows(context, weights->dim);
    size_t matrix = weights->family == CLFAVOR_FAMILY_ELU ? 0 : padded * d;
    cl_ulong used = 0;
    layout->wq = reserve(&used, matrix);
    layout->wk = weights->general ? reserve(&used, matrix) : layout->wq; /* one matrix, which then is in the cache */
    layout->bq = reserve(&used, padded);
    layout->bk = reserve(&used, padded);
    layout->sq = reserve(&used, 2);
    layout->sk = reserve(&used, 2);
    if (weights->general) {
        layout->tq = reserve(&used, padded_dim * d);
        layout->tk = reserve(&used, padded_dim * d);
        layout->oq = reserve(&used, padded_dim);
        layout->ok = reserve(&used, padded_dim);
        layout->uq = reserve(&used, d);
        layout->uk = reserve(&used, d);
    }
    if (CLFAVOR_CLBLAST && context->device_class == CLFAVOR_CLASS_GPU && matrix) {
        layout->mq = reserve(&used, matrix);
        layout->mk = weights->general ? reserve(&used, matrix) : layout->mq;
    }
    layout->set_stride = used;
    weights->size = (size_t)used * weights->sets;
}

/* [rows, d] -> [panel][d][PANEL]; the padding is 0 already. */
static void pack_panels(float *to, const double *from, uint32_t rows, uint32_t d, uint32_t panel, double factor) {
    for (uint32_t r = 0; r < rows; ++r) {
        float *column = to + (size_t)(r / panel) * d * panel + r % panel;
        for (uint32_t l = 0; l < d; ++l)
            column[(size_t)l * panel] = (float)(from[(size_t)r * d + l] * factor);
    }
}

/* Panels -> [d][rows], rows padded. */
static void pack_matrix(float *to, const float *panels, uint32_t rows, uint32_t d, uint32_t panel) {
    for (uint32_t r = 0; r < rows; r += panel)
        for (uint32_t l = 0; l < d; ++l)
            memcpy(to + (size_t)l * rows + r, panels + (size_t)r * d + (size_t)l * panel, panel * sizeof *to);
}

/* One side (query or key) of one set. */
typedef struct packed_side {
    const double *w, *b, *t, *x0, *u, *a;
    cl_ulong at_w, at_b, at_s, at_t, at_o, at_u, at_m;
} packed_side;

static void pack_side(const clfavor_weights *weights, const clfavor_estimator *estimator, float *set,
                      const packed_side *side, double *triangle) {
    uint32_t d = weights->dim, rows = weights->rows, panel = weights->context->panel;
    uint32_t padded = clfavor_padded_rows(weights->context, rows);
    bool exponential = weights->family == CLFAVOR_FAMILY_EXP;
    bool log_map = weights->family != CLFAVOR_FAMILY_TRIG && weights->family != CLFAVOR_FAMILY_TRIG_PHASE;
    double root = sqrt(estimator->scale), base = exponential ? CLFAVOR_LOG2E : 1.0;
    if (side->w)
        pack_panels(set + side->at_w, side->w, rows, d, panel, root * base);
    if (side->w && side->at_m)
        pack_matrix(set + side->at_m, set + side->at_w, padded, d, panel);
    for (uint32_t r = 0; r < padded; ++r)
        set[side->at_b + r] = r < rows ? (float)(side->b ? side->b[r] * base : 0.0) : log_map ? -INFINITY : 0.0F;
    if (!weights->general) {
        set[side->at_s] = (float)(estimator->quad * 0.5 * CLFAVOR_LOG2E * estimator->scale);
        return;
    }
    /* -|T (x - x0)|^2/2 + u.(x - x0) + a = -|T' q + o|^2 + u'.q + a' in base 2 */
    double half = sqrt(0.5 * CLFAVOR_LOG2E), constant = side->a[0];
    memcpy(triangle, side->t, (size_t)d * d * sizeof *triangle);
    clfavor_lower_factor(d, triangle);
    pack_panels(set + side->at_t, triangle, d, d, panel, root * half);
    for (uint32_t i = 0; i < d; ++i) {
        double offset = 0.0;
        for (uint32_t l = 0; l <= i; ++l)
            offset -= triangle[(size_t)i * d + l] * side->x0[l];
        set[side->at_o + i] = (float)(offset * half);
        set[side->at_u + i] = (float)(side->u[i] * root * CLFAVOR_LOG2E);
        constant -= side->u[i] * side->x0[i];
    }
    set[side->at_s + 1] = (float)(constant * CLFAVOR_LOG2E);
}

/* Returns false where host memory is exhausted. */
static bool pack(const clfavor_weights *weights, const clfavor_estimator *e, float *to) {
    const clfavor_weights_layout *at = &weights->layout;
    size_t d = e->dim, rows = e->rows;
    double *triangle = e->general ? malloc(d * d * sizeof *triangle) : NULL;
    if (e->general && !triangle)
        return false;
    memset(to, 0, weights->size * sizeof *to);
    for (size_t s = 0; s < e->sets; ++s) {
        packed_side query = {.at_w = at->wq,
                             .at_b = at->bq,
                             .at_s = at->sq,
                             .at_t = at->tq,
                             .at_o = at->oq,
                             .at_u = at->uq,
                             .at_m = at->mq};
        packed_side key = {.at_w = at->wk,
                           .at_b = at->bk,
                           .at_s = at->sk,
                           .at_t = at->tk,
                           .at_o = at->ok,
                           .at_u = at->uk,
                           .at_m = at->mk};
        if (e->wq) {
            query.w = e->wq + s * rows * d;
            key.w = at->wk == at->wq ? NULL : e->wk + s * rows * d;
        }
        if (e->bq) {
            query.b = e->bq + s * rows;
            key.b = e->bk + s * rows;
        }
        if (e->general) {
            query.t = e->tq + s * d * d;
            query.x0 = e->x0 + s * d;
            query.u = e->uq + s * d;
            query.a = e->aq + s;
            key.t = e->tk + s * d * d;
            key.x0 = e->y0 + s * d;
            key.u = e->uk + s * d;
            key.a = e->ak + s;
        }
        pack_side(weights, e, to + s * at->set_stride, &query, triangle);
        pack_side(weights, e, to + s * at->set_stride, &key, triangle);
    }
    free(triangle);
    return true;
}

clfavor_status clfavor_weights_create(clfavor_weights **out, clfavor_context *context,
                                      const clfavor_estimator *estimator) {
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    if (!context)
        return CLFAVOR_INVALID_ARGUMENT;
    if (!estimator)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the estimator is NULL");
    clfavor_weights *weights = calloc(1, sizeof *weights);
    if (!weights)
        return CLFAVOR_OUT_OF_MEMORY;
    clfavor_context_retain(context);
    *weights = (clfavor_weights){.context = context,
                                 .family = estimator->family,
                                 .map = estimator->map,
                                 .m = estimator->m,
                                 .rows = estimator->rows,
                                 .features = estimator->features,
                                 .dim = estimator->dim,
                                 .sets = estimator->sets,
                                 .general = estimator->general,
                                 .scale = (float)estimator->scale,
                                 .log2_norm = (float)(estimator->log_norm * CLFAVOR_LOG2E)};
    lay_out(weights);
    clfavor_status status = CLFAVOR_SUCCESS;
    size_t bytes = weights->size * sizeof(float);
    float *packed = NULL;
    if (bytes > context->max_allocation)
        status = CLFAVOR_REFUSE(context, CLFAVOR_DEVICE_MEMORY,
                                "the weights take %zu bytes, the device allocates at most %llu", bytes,
                                (unsigned long long)context->max_allocation);
    else if (!(packed = malloc(bytes)) || !pack(weights, estimator, packed))
        status = CLFAVOR_OUT_OF_MEMORY;
    if (!status) {
        cl_int code;
        weights->buffer = clCreateBuffer(context->cl, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, bytes, packed, &code);
        status = clfavor_check_cl(context, code, "clCreateBuffer");
    }
    free(packed);
    if (status) {
        clfavor_weights_destroy(weights);
        return status;
    }
    *out = weights;
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_weights_update(clfavor_weights *weights, const clfavor_estimator *estimator,
                                      cl_command_queue queue, cl_uint num_events, const cl_event *wait_list) {
    if (!weights)
        return CLFAVOR_INVALID_ARGUMENT;
    const clfavor_context *context = weights->context;
    if (!estimator)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the estimator is NULL");
    clfavor_status status = clfavor_queue_check(context, queue, num_events, wait_list);
    if (status)
        return status;
    if (estimator->map != weights->map || estimator->m != weights->m || estimator->dim != weights->dim ||
        estimator->sets != weights->sets || estimator->general != weights->general)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH,
                              "the estimator has map %d, m = %u, d = %u, %u sets; the weights %d, %u, %u, %u",
                              (int)estimator->map, estimator->m, estimator->dim, estimator->sets, (int)weights->map,
                              weights->m, weights->dim, weights->sets);
    size_t bytes = weights->size * sizeof(float);
    float *packed = malloc(bytes);
    if (!packed || !pack(weights, estimator, packed)) {
        free(packed);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    cl_event written = NULL;
    status = clfavor_check_cl(
        context,
        clEnqueueWriteBuffer(queue, weights->buffer, CL_TRUE, 0, bytes, packed, num_events, wait_list, &written),
        "clEnqueueWriteBuffer");
    free(packed);
    if (!status) { /* a blocking write that has returned need not be done: only its source may be used again */
        status = clfavor_check_cl(context, clWaitForEvents(1, &written), "clWaitForEvents");
        clReleaseEvent(written);
    }
    if (!status)
        weights->scale = (float)estimator->scale;
    return status;
}

void clfavor_weights_destroy(clfavor_weights *weights) {
    if (!weights)
        return;
    if (weights->buffer)
        clReleaseMemObject(weights->buffer);
    clfavor_context_destroy(weights->context);
    free(weights);
}
