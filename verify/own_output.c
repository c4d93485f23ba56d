/* The output's error against exact attention, of the rows that are compared and of the sampled ones among them. */
#include "own_work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_ROWS 1024u       /* read at once */
#define MAX_OUTPUT 268435456.0 /* bytes of a call's output */
#define QUANTUM    1e10        /* multiply-adds of a call and compute unit, about */

typedef struct own_outputs {
    own_work *w;
    uint64_t heads_step; /* K/V heads of a call */
    cl_mem out;
    float *exact;  /* [heads, rows, dv] */
    float *rows;   /* of one head: [rows, dv] */
    double *means; /* [rows or 1, dv] */
    float *values; /* [VALUE_ROWS, dv] */
} own_outputs;

static double relative(double difference2, double norm2) {
    return difference2 == 0.0 ? 0.0 : sqrt(difference2) / sqrt(norm2); /* 0 for 0/0: an exact zero that was met */
}

static double call_work(const own_work *w, double pairs) {
    return pairs * (double)w->group * (w->o->dim + w->o->value_dim);
}

/* Of one draw for one m, all heads. Causal attention has no rows of its own choice: all are computed. */
static double draw_work(const own_work *w, double m, uint64_t rows) {
    double tokens = (double)(w->o->causal ? w->o->n : rows) + (double)w->o->n_k / (double)w->group;
    return (double)w->heads_kv * call_work(w, tokens * m);
}

static double exact_work(const own_work *w) {
    return (double)w->heads_kv * call_work(w, (double)w->r->rows * (double)w->o->n_k);
}

double own_output_work(const own_work *w) {
    double work = exact_work(w);
    for (int size = 0; size < VERIFY_OWN_SIZES; ++size)
        work += VERIFY_OWN_DRAWS * (draw_work(w, 64 << size, w->r->rows) + draw_work(w, 64 << size, w->r->samples));
    return work;
}

/* As many K/V heads a call as memory holds, and so few that there is progress to show. */
static void choose_step(own_outputs *x) {
    const own_work *w = x->w;
    clfavor_context_info info = {.struct_size = sizeof info};
    clfavor_context_get_info(w->o->context, &info);
    double bytes = (double)w->group * (double)(w->o->causal ? w->o->n : w->r->rows) * w->o->value_dim * sizeof(float);
    double work = draw_work(w, OWN_FEATURES, w->r->rows) / (double)w->heads_kv;
    double step = fmin(MAX_OUTPUT / bytes, QUANTUM * info.compute_units / work);
    x->heads_step = step < 1.0 ? 1 : step < (double)w->heads_kv ? (uint64_t)step : w->heads_kv;
}

static bool open_outputs(own_outputs *x) {
    own_work *w = x->w;
    size_t dv = w->o->value_dim;
    choose_step(x);
    uint64_t rows = w->o->causal ? w->o->n : w->r->rows;
    return own_buffer(w, x->heads_step * w->group * rows * dv, &x->out) &&
           (x->exact = own_alloc(w, w->heads * w->r->rows * dv, sizeof *x->exact)) &&
           (x->rows = own_alloc(w, w->r->rows * dv, sizeof *x->rows)) &&
           (x->means = own_alloc(w, (w->o->causal ? w->r->rows : 1) * dv, sizeof *x->means)) &&
           (x->values = own_alloc(w, VALUE_ROWS * dv, sizeof *x->values));
}

static void close_outputs(own_outputs *x) {
    if (x->out)
        clReleaseMemObject(x->out);
    free(x->exact);
    free(x->rows);
    free(x->means);
    free(x->values);
}

static bool open_plan(own_outputs *x, uint32_t m, own_plan *plan) {
    const own_work *w = x->w;
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = m ? CLFAVOR_OP_ATTENTION : CLFAVOR_OP_EXACT,
                              .features = m,
                              .dim = w->o->dim,
                              .value_dim = w->o->value_dim,
                              .causal = w->o->causal,
                              .max_heads = x->heads_step * w->group,
                              .max_n = w->o->n > w->o->n_k ? w->o->n : w->o->n_k};
    return own_plan_open(x->w, &desc, plan);
}

/* Query rows start, start + step, ... of `count` K/V heads; weights NULL: exact, from 0. The output is [heads, rows,
 * dv].
 */
static bool run(own_outputs *x, const own_plan *plan, const clfavor_weights *weights, uint64_t first, uint64_t count,
                uint64_t rows, uint64_t start, uint64_t step) {
    own_work *w = x->w;
    const verify_own_options *o = w->o;
    uint64_t heads = count * w->group, d = o->dim, dv = o->value_dim;
    clfavor_attention_args args = {.struct_size = sizeof args,
                                   .weights = weights,
                                   .heads = heads,
                                   .heads_kv = count,
                                   .n = rows,
                                   .n_k = o->n_k,
                                   .q = clfavor_tensor_dense(o->q, heads, o->n, d),
                                   .k = clfavor_tensor_dense(o->k, count, o->n_k, d),
                                   .v = clfavor_tensor_dense(w->v, count, o->n_k, dv),
                                   .o = clfavor_tensor_dense(x->out, heads, rows, dv),
                                   .query_step = o->causal && !weights ? step : 0,
                                   .workspace = plan->workspace};
    args.q.offset = (size_t)((first * w->group * o->n + start) * d) * sizeof(float);
    args.k.offset = (size_t)(first * o->n_k * d) * sizeof(float);
    args.v.offset = (size_t)(first * o->n_k * dv) * sizeof(float);
    args.q.stride_token = step * d;
    if (w->signs) { /* the same for all heads */
        args.v.offset = 0;
        args.v.stride_head = 0;
    }
    return own_check(w, clfavor_enqueue_attention(plan->plan, &args, o->queue, 0, NULL, NULL), "enqueueing attention");
}

/* Rows start, start + step, ... of one head of what `run` wrote with `rows` rows a head. */
static bool read_rows(own_outputs *x, uint64_t head, uint64_t rows, uint64_t start, uint64_t step, uint64_t count,
                      float *to) {
    size_t row = x->w->o->value_dim * sizeof(float);
    const size_t from[3] = {(size_t)(head * rows + start) * row, 0, 0}, zero[3] = {0, 0, 0},
                 region[3] = {row, (size_t)count, 1};
    return own_check_cl(x->w,
                        clEnqueueReadBufferRect(x->w->o->queue, x->out, CL_TRUE, from, zero, region, (size_t)step * row,
                                                0, row, 0, to, 0, NULL, NULL),
                        "clEnqueueReadBufferRect");
}

/* Means of the values that the compared rows see: [rows, dv] when causal, else [1, dv]. */
static void mean_values(own_outputs *x, uint64_t kv) {
    const own_work *w = x->w;
    size_t dv = w->o->value_dim;
    double sum[CLFAVOR_MAX_DIM] = {0};
    for (uint64_t first = 0; first < w->o->n_k; first += VALUE_ROWS) {
        uint64_t left = w->o->n_k - first, count = left < VALUE_ROWS ? left : VALUE_ROWS;
        own_read_values(w, kv, first, count, x->values);
        for (uint64_t i = 0; i < count; ++i) {
            uint64_t token = first + i;
            for (size_t l = 0; l < dv; ++l)
                sum[l] += (double)x->values[i * dv + l];
            if (w->o->causal ? token % w->row_step == 0 : token + 1 == w->o->n_k)
                for (size_t l = 0; l < dv; ++l)
                    x->means[(w->o->causal ? token / w->row_step * dv : 0) + l] = sum[l] / (double)(token + 1);
        }
    }
}

static double mean_error(const own_outputs *x, uint64_t head) {
    const own_work *w = x->w;
    size_t dv = w->o->value_dim, count = (size_t)w->r->rows * dv;
    const float *exact = x->exact + head * count;
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; ++i) {
        double e = (double)exact[i], d = x->means[w->o->causal ? i : i % dv] - e;
        difference += d * d;
        norm += e * e;
    }
    return relative(difference, norm);
}

static bool run_exact(own_outputs *x) {
    own_work *w = x->w;
    uint64_t rows = w->r->rows;
    own_plan plan = {0};
    bool good = open_plan(x, 0, &plan);
    for (uint64_t kv = 0; good && kv < w->heads_kv; kv += x->heads_step) {
        uint64_t left = w->heads_kv - kv, count = left < x->heads_step ? left : x->heads_step;
        good = run(x, &plan, NULL, kv, count, rows, 0, w->row_step);
        for (uint64_t h = 0; good && h < count * w->group; ++h)
            good = read_rows(x, h, rows, 0, 1, rows, x->exact + (kv * w->group + h) * rows * w->o->value_dim);
        own_advance(w, exact_work(w) * (double)count / (double)w->heads_kv);
    }
    own_plan_close(&plan);
    for (uint64_t h = 0; good && h < w->heads; ++h) {
        if (h % w->group == 0)
            mean_values(x, h / w->group);
        w->r->heads[h].mean_value_error = mean_error(x, h);
    }
    return good;
}

/* |O - E|/|E| over rows of O that stand for the rows start, start + step, ... of E. */
static double error_of(const own_outputs *x, uint64_t head, uint64_t rows, uint64_t start, uint64_t step) {
    const own_work *w = x->w;
    size_t dv = w->o->value_dim;
    const float *exact = x->exact + (head * w->r->rows + start) * dv;
    double difference = 0.0, norm = 0.0;
    for (uint64_t i = 0; i < rows; ++i)
        for (size_t l = 0; l < dv; ++l) {
            double e = (double)exact[i * step * dv + l], d = (double)x->rows[i * dv + l] - e;
            difference += d * d;
            norm += e * e;
        }
    return relative(difference, norm);
}

/* One draw for one m: measured, with all compared rows, or predicting, with the sampled ones. */
static bool run_draw(own_outputs *x, const own_plan *plan, size_t size, size_t draw, bool measured) {
    own_work *w = x->w;
    bool causal = w->o->causal;
    uint32_t m = 64U << size;
    uint64_t rows = measured ? w->r->rows : w->r->samples;
    uint64_t start = measured ? 0 : w->sample_first, step = measured ? 1 : w->sample_step; /* in compared rows */
    uint64_t computed = causal ? w->o->n : rows, from = start * w->row_step, stride = step * w->row_step;
    clfavor_weights *weights = own_weights(w, m, w->o->seed + draw + (measured ? 0 : VERIFY_OWN_DRAWS));
    bool good = weights != NULL;
    for (uint64_t kv = 0; good && kv < w->heads_kv; kv += x->heads_step) {
        uint64_t left = w->heads_kv - kv, count = left < x->heads_step ? left : x->heads_step;
        good = run(x, plan, weights, kv, count, computed, causal ? 0 : from, causal ? 1 : stride);
        for (uint64_t h = 0; good && h < count * w->group; ++h) {
            uint64_t head = kv * w->group + h;
            verify_own_point *point = &w->r->heads[head].points[size];
            if (!(good = read_rows(x, h, computed, causal ? from : 0, causal ? stride : 1, rows, x->rows)))
                break;
            double error = error_of(x, head, rows, start, step);
            if (measured)
                point->output_draws[draw] = error;
            *(measured ? &point->output_measured : &point->output_predicted) += error / VERIFY_OWN_DRAWS;
        }
        own_advance(w, draw_work(w, m, rows) * (double)count / (double)w->heads_kv);
    }
    clfavor_weights_destroy(weights);
    return good;
}

bool own_output(own_work *w) {
    own_outputs x = {.w = w};
    bool good = open_outputs(&x) && run_exact(&x);
    for (size_t size = 0; good && size < VERIFY_OWN_SIZES; ++size) {
        own_plan plan = {0};
        good = open_plan(&x, 64U << size, &plan);
        for (size_t draw = 0; good && draw < VERIFY_OWN_DRAWS; ++draw)
            good = run_draw(&x, &plan, size, draw, false) && run_draw(&x, &plan, size, draw, true);
        own_plan_close(&plan);
    }
    close_outputs(&x);
    return good;
}
