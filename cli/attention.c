#include "attention.h"

#include <math.h>
#include <stdlib.h>

#include "message.h"
#include "progress.h"

#define MAX_PARTS 256.0

static uint64_t at_least_one(uint64_t a) {
    return a ? a : 1;
}

static uint64_t minimum(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Items a part when `items` are cut into at most `parts`; *parts is left with how often each may be cut further. */
static uint64_t cut_axis(uint64_t items, uint64_t *parts) {
    uint64_t step = (items - 1) / minimum(*parts, items) + 1;
    *parts = at_least_one(*parts / ((items - 1) / step + 1));
    return step;
}

/* Parts of about a second on a slow CPU core, or a tenth of one on a small GPU. */
static void cut(attention *a, const clfavor_plan_desc *desc, uint32_t sets) {
    const clfavor_attention_args *args = &a->args;
    const clfavor_context_info *device = &a->session->info;
    bool exact = desc->operation == CLFAVOR_OP_EXACT;
    double n = (double)args->n, n_k = (double)args->n_k;
    double pairs = exact ? n * n_k : (n + n_k) * (double)at_least_one(desc->features);
    double work = 2 * pairs * (desc->dim + desc->value_dim) * (double)args->batch * (double)args->heads;
    double quantum = (device->device_class == CLFAVOR_CLASS_CPU ? 4e9 : 2e10) * fmax(1, device->compute_units);
    uint64_t parts = at_least_one((uint64_t)fmin(work / quantum, MAX_PARTS));
    a->batch_step = cut_axis(args->batch, &parts);
    a->head_step = sets == 1 ? cut_axis(args->heads_kv, &parts) : args->heads_kv; /* weights cannot be cut */
    a->row_step = exact ? cut_axis(args->n, &parts) : args->n;
    a->parts = (size_t)(((args->batch - 1) / a->batch_step + 1) * ((args->heads_kv - 1) / a->head_step + 1) *
                        ((args->n - 1) / a->row_step + 1));
}

int attention_create(attention *a, const session *s, const clfavor_plan_desc *desc, const clfavor_attention_args *args,
                     uint32_t sets) {
    *a = (attention){.session = s, .args = *args, .info.struct_size = sizeof a->info};
    cut(a, desc, sets);
    clfavor_plan_desc own = *desc;
    own.max_batch = a->batch_step;
    own.max_heads = args->heads / args->heads_kv * a->head_step;
    own.max_n = args->n > args->n_k ? args->n : args->n_k;
    int status = session_check(s, clfavor_plan_create(&a->plan, s->context, &own), "making the plan");
    if (!status)
        status = session_check(s, clfavor_plan_get_info(a->plan, &a->info), "making the plan");
    if (!status && a->info.workspace_size)
        status =
            session_buffer(s, CL_MEM_READ_WRITE, a->info.workspace_size, NULL, "the workspace", &a->args.workspace);
    if (status)
        attention_destroy(a);
    return status;
}

static clfavor_tensor moved(clfavor_tensor t, uint64_t batch, uint64_t head, uint64_t row) {
    if (t.buffer)
        t.offset += (size_t)(batch * t.stride_batch + head * t.stride_head + row * t.stride_token) * sizeof(float);
    return t;
}

/* Enqueues the part that begins at (batch, head of K/V, row); rows: how many query rows it has, all heads together. */
static clfavor_status enqueue_part(const attention *a, uint64_t batch, uint64_t head, uint64_t row, uint64_t *rows,
                                   cl_event *event) {
    const clfavor_attention_args *whole = &a->args;
    clfavor_attention_args part = *whole;
    uint64_t group = whole->heads / whole->heads_kv;
    part.batch = minimum(a->batch_step, whole->batch - batch);
    part.heads_kv = minimum(a->head_step, whole->heads_kv - head);
    part.heads = part.heads_kv * group;
    part.n = minimum(a->row_step, whole->n - row);
    part.q = moved(whole->q, batch, head * group, row);
    part.k = moved(whole->k, batch, head, 0);
    part.v = moved(whole->v, batch, head, 0);
    part.o = moved(whole->o, batch, head * group, row);
    part.lse = moved(whole->lse, batch, head * group, row);
    part.sign = moved(whole->sign, batch, head * group, row);
    part.corrections = moved(whole->corrections, batch, head, 0);
    part.exact_keys = moved(whole->exact_keys, batch, head, 0); /* heads are cut where the states are the K/V heads */
    part.query_start = whole->query_start + row * whole->query_step; /* query_step is 0 unless exact and causal */
    *rows = part.batch * part.heads * part.n;
    return clfavor_enqueue_attention(a->plan, &part, a->session->queue, 0, NULL, event);
}

static cl_ulong end_of(cl_event event) {
    cl_ulong end = 0;
    if (clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL) != CL_SUCCESS)
        return 0;
    return end;
}

double attention_seconds(cl_event before, cl_event after) {
    double seconds = NAN;
    if (before && after) {
        cl_ulong first = end_of(before), last = end_of(after);
        if (first && last >= first)
            seconds = 1e-9 * (double)(last - first);
    }
    if (before)
        clReleaseEvent(before);
    if (after)
        clReleaseEvent(after);
    return seconds;
}

int attention_run(const attention *a, const char *label, double *seconds, double *wall) {
    const session *s = a->session;
    const clfavor_attention_args *args = &a->args;
    struct {
        cl_event event;
        uint64_t rows;
    } *parts = calloc(a->parts, sizeof *parts);
    if (!parts)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    progress p;
    progress_start(&p, label, "rows", args->batch * args->heads * args->n);
    double start = progress_now();
    cl_event before = NULL, after = NULL;
    cl_int code = clEnqueueMarkerWithWaitList(s->queue, 0, NULL, &before);
    clfavor_status status = CLFAVOR_SUCCESS;
    size_t count = 0;
    /* All is enqueued before anything is waited for: the device never idles between two parts. */
    for (uint64_t b = 0; b < args->batch; b += a->batch_step)
        for (uint64_t h = 0; h < args->heads_kv; h += a->head_step)
            for (uint64_t r = 0; r < args->n && !status && code == CL_SUCCESS; r += a->row_step, ++count)
                status = enqueue_part(a, b, h, r, &parts[count].rows, &parts[count].event);
    if (code == CL_SUCCESS)
        code = clEnqueueMarkerWithWaitList(s->queue, 0, NULL, &after);
    clFlush(s->queue);
    for (size_t i = 0; i < count; ++i)
        if (parts[i].event) {
            if (code == CL_SUCCESS)
                code = clWaitForEvents(1, &parts[i].event);
            progress_add(&p, parts[i].rows);
            clReleaseEvent(parts[i].event);
        }
    cl_int finished = clFinish(s->queue);
    *wall = progress_now() - start;
    progress_stop(&p);
    free(parts);
    *seconds = attention_seconds(before, after);
    int result = session_check(s, status, "attention");
    return result ? result : session_check_cl(code != CL_SUCCESS ? code : finished, "attention");
}

void attention_destroy(attention *a) {
    clfavor_plan_destroy(a->plan);
    if (a->args.workspace)
        clReleaseMemObject(a->args.workspace);
    *a = (attention){0};
}
