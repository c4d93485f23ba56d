#include "compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "message.h"
#include "progress.h"

#define BLOCK_ROWS 1024u

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

double compare_median(const double *values, size_t count) {
    double *sorted = malloc(count * sizeof *sorted);
    if (!sorted || count == 0) {
        free(sorted);
        return NAN;
    }
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, ascending);
    double median = count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
    free(sorted);
    return median;
}

static double relative(double difference2, double norm2) {
    return difference2 == 0 ? 0 : sqrt(difference2) / sqrt(norm2); /* 0 for 0/0: an exact zero that was met */
}

/* The rows of one head: exact [rows, dv], and those of O, o_step apart of o_rows. */
static int read_head(const comparison *c, cl_mem o, uint64_t o_rows, uint64_t o_step, uint64_t head, float *exact,
                     float *estimate) {
    cl_command_queue queue = c->session->queue;
    size_t row = c->shape->dv * sizeof(float), rows = (size_t)c->rows;
    size_t origin[3] = {(size_t)(head * o_rows) * row, 0, 0}, zero[3] = {0, 0, 0}, region[3] = {row, rows, 1};
    cl_int code =
        clEnqueueReadBuffer(queue, c->exact, CL_TRUE, (size_t)head * rows * row, rows * row, exact, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        code = clEnqueueReadBufferRect(queue, o, CL_TRUE, origin, zero, region, (size_t)o_step * row, 0, row, 0,
                                       estimate, 0, NULL, NULL);
    return session_check_cl(code, "copying a result from the device");
}

/* Means of the values that the rows 0, step, 2 step, ... see: [rows, dv] when causal, else [1, dv]. */
static void mean_values(const npy_array *v, uint64_t head_kv, const run_shape *shape, bool causal, uint64_t step,
                        double *means, float *block) {
    size_t dv = shape->dv;
    double sum[CLFAVOR_MAX_DIM] = {0};
    for (uint64_t first = 0; first < shape->n_k; first += BLOCK_ROWS) {
        uint64_t left = shape->n_k - first;
        size_t count = left < BLOCK_ROWS ? (size_t)left : BLOCK_ROWS;
        npy_read_f32(v, (head_kv * shape->n_k + first) * dv, count * dv, block);
        for (size_t i = 0; i < count; ++i) {
            uint64_t token = first + i;
            for (size_t l = 0; l < dv; ++l)
                sum[l] += (double)block[i * dv + l];
            if (causal ? token % step == 0 : token + 1 == shape->n_k)
                for (size_t l = 0; l < dv; ++l)
                    means[(causal ? token / step * dv : 0) + l] = sum[l] / (double)(token + 1);
        }
    }
}

int comparison_measure(comparison *c, cl_mem o, uint64_t o_rows, uint64_t o_step, bool mean_too) {
    const run_shape *shape = c->shape;
    size_t dv = shape->dv, rows = (size_t)c->rows, mean_rows = c->causal ? rows : 1;
    uint64_t group = shape->heads / shape->heads_kv;
    float *e = malloc(rows * dv * sizeof *e), *a = malloc(rows * dv * sizeof *a);
    float *block = malloc(BLOCK_ROWS * dv * sizeof *block);
    double *means = malloc(mean_rows * dv * sizeof *means);
    int status = e && a && block && means ? CLI_OK : cli_error(CLI_FAILED, "host memory is exhausted");
    progress p;
    progress_start(&p, "comparing", "heads", c->heads);
    for (uint64_t head = 0; !status && head < c->heads; ++head) {
        if (mean_too && head % group == 0)
            mean_values(c->v, head / group, shape, c->causal, c->step, means, block);
        status = read_head(c, o, o_rows, o_step, head, e, a);
        double norm = 0, difference = 0, baseline = 0;
        for (size_t i = 0; !status && i < rows * dv; ++i) {
            double want = (double)e[i], d = (double)a[i] - want;
            double m = mean_too ? means[c->causal ? i : i % dv] - want : 0;
            norm += want * want;
            difference += d * d;
            baseline += m * m;
        }
        c->error[head] = relative(difference, norm);
        if (mean_too)
            c->baseline[head] = relative(baseline, norm);
        progress_add(&p, 1);
    }
    progress_stop(&p);
    free(e);
    free(a);
    free(block);
    free(means);
    return status;
}

int comparison_open(comparison *c, const session *s, const clfavor_attention_args *args, const run_shape *shape,
                    const npy_array *v, bool causal, double scale, uint64_t limit) {
    uint64_t most = limit < shape->n ? limit : shape->n, step = (shape->n - 1) / most + 1;
    *c = (comparison){.session = s,
                      .shape = shape,
                      .v = v,
                      .causal = causal,
                      .step = step,
                      .rows = (shape->n - 1) / step + 1,
                      .heads = shape->batch * shape->heads};
    c->error = calloc((size_t)c->heads, sizeof *c->error);
    c->baseline = calloc((size_t)c->heads, sizeof *c->baseline);
    if (!c->error || !c->baseline) {
        comparison_close(c);
        return cli_error(CLI_FAILED, "host memory is exhausted");
    }
    int status = session_buffer(s, CL_MEM_READ_WRITE, c->heads * c->rows * shape->dv * sizeof(float), NULL,
                                "exact attention to compare with", &c->exact);
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = CLFAVOR_OP_EXACT,
                              .dim = shape->d,
                              .value_dim = shape->dv,
                              .causal = causal};
    clfavor_attention_args own = comparison_rows(c, args);
    own.weights = NULL;
    own.workspace = NULL;
    own.exact_keys.buffer = own.corrections.buffer = NULL;
    own.o = clfavor_tensor_dense(c->exact, shape->heads, c->rows, shape->dv);
    own.scale = scale;
    own.query_step = causal ? step : 0;
    attention a;
    if (!status && !(status = attention_create(&a, s, &desc, &own, 1))) {
        double wall;
        status = attention_run(&a, "exact attention to compare with", &c->seconds, &wall);
        attention_destroy(&a);
    }
    if (status)
        comparison_close(c);
    return status;
}

clfavor_attention_args comparison_rows(const comparison *c, const clfavor_attention_args *args) {
    clfavor_attention_args own = *args;
    own.n = c->rows;
    own.q.stride_token = c->step * c->shape->d;
    own.lse.buffer = own.sign.buffer = NULL;
    return own;
}

void comparison_close(comparison *c) {
    if (c->exact)
        clReleaseMemObject(c->exact);
    free(c->error);
    free(c->baseline);
    *c = (comparison){0};
}
