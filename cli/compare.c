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

/* The rows of one head: exact [rows, dv], and those of O, step apart. */
static int read_head(const session *s, cl_mem exact, cl_mem o, uint64_t head, const run_shape *shape, uint64_t rows,
                     uint64_t step, float *exact_rows, float *o_rows) {
    size_t row = shape->dv * sizeof(float);
    size_t origin[3] = {(size_t)(head * shape->n) * row, 0, 0}, zero[3] = {0, 0, 0}, region[3] = {row, (size_t)rows, 1};
    cl_int code = clEnqueueReadBuffer(s->queue, exact, CL_TRUE, (size_t)(head * rows) * row, (size_t)rows * row,
                                      exact_rows, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        code = clEnqueueReadBufferRect(s->queue, o, CL_TRUE, origin, zero, region, (size_t)step * row, 0, row, 0,
                                       o_rows, 0, NULL, NULL);
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

static int measure(comparison *c, const session *s, cl_mem exact, cl_mem o, const run_shape *shape, const npy_array *v,
                   bool causal, uint64_t step) {
    size_t dv = shape->dv, rows = (size_t)c->rows, mean_rows = causal ? rows : 1;
    uint64_t group = shape->heads / shape->heads_kv;
    float *e = malloc(rows * dv * sizeof *e), *a = malloc(rows * dv * sizeof *a);
    float *block = malloc(BLOCK_ROWS * dv * sizeof *block);
    double *means = malloc(mean_rows * dv * sizeof *means);
    int status = e && a && block && means ? CLI_OK : cli_error(CLI_FAILED, "host memory is exhausted");
    progress p;
    progress_start(&p, "comparing", "heads", c->heads);
    for (uint64_t head = 0; !status && head < c->heads; ++head) {
        if (head % group == 0)
            mean_values(v, head / group, shape, causal, step, means, block);
        status = read_head(s, exact, o, head, shape, rows, step, e, a);
        double norm = 0, difference = 0, baseline = 0;
        for (size_t i = 0; !status && i < rows * dv; ++i) {
            double want = (double)e[i], d = (double)a[i] - want, m = means[causal ? i : i % dv] - want;
            norm += want * want;
            difference += d * d;
            baseline += m * m;
        }
        c->error[head] = relative(difference, norm);
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

int compare(comparison *c, const session *s, const clfavor_attention_args *args, const run_shape *shape,
            const npy_array *v, bool causal, double scale, uint64_t limit) {
    uint64_t most = limit < shape->n ? limit : shape->n, step = (shape->n - 1) / most + 1;
    *c = (comparison){.rows = (shape->n - 1) / step + 1, .heads = shape->batch * shape->heads};
    c->error = calloc((size_t)c->heads, sizeof *c->error);
    c->baseline = calloc((size_t)c->heads, sizeof *c->baseline);
    if (!c->error || !c->baseline) {
        comparison_free(c);
        return cli_error(CLI_FAILED, "host memory is exhausted");
    }
    cl_mem exact;
    int status = session_buffer(s, CL_MEM_READ_WRITE, c->heads * c->rows * shape->dv * sizeof(float), NULL,
                                "exact attention to compare with", &exact);
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = CLFAVOR_OP_EXACT,
                              .dim = shape->d,
                              .value_dim = shape->dv,
                              .causal = causal};
    clfavor_attention_args own = *args;
    own.weights = NULL;
    own.workspace = NULL;
    own.n = c->rows;
    own.q.stride_token = step * shape->d;
    own.o = clfavor_tensor_dense(exact, shape->heads, c->rows, shape->dv);
    own.lse.buffer = own.sign.buffer = NULL;
    own.scale = scale;
    own.query_step = causal ? step : 0;
    attention a;
    if (!status && !(status = attention_create(&a, s, &desc, &own, 1))) {
        double seconds, wall;
        status = attention_run(&a, "exact attention to compare with", &seconds, &wall);
        attention_destroy(&a);
    }
    if (!status)
        status = measure(c, s, exact, args->o.buffer, shape, v, causal, step);
    if (exact)
        clReleaseMemObject(exact);
    if (status)
        comparison_free(c);
    return status;
}

void comparison_free(comparison *c) {
    free(c->error);
    free(c->baseline);
    *c = (comparison){0};
}
