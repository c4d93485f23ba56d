#define _GNU_SOURCE /* strcasestr */
#include "device.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct verify_plan_entry {
    verify_plan_entry *next;
    clfavor_plan_desc desc;
    clfavor_plan *plan;
    clfavor_plan_info info;
    atomic_bool used; /* its kernels have run to an end */
};

enum { WEIGHTS = 32 };            /* kept a worker, at most */
#define WEIGHTS_BYTES 268435456.0 /* and together, about */

#define SMALL_STATE     1024u /* rows */
#define SMALL_WORKSPACE ((size_t)4 << 20)

struct verify_weights_entry {
    clfavor_weights *weights;
    clfavor_estimator_info shape;
    unsigned used;
};

static bool check(verify_worker *worker, clfavor_status status, const char *doing) {
    return status == CLFAVOR_SUCCESS || verify_fail(worker, "%s failed: %s (%s)", doing, clfavor_status_message(status),
                                                    clfavor_status_name(status));
}

static bool check_cl(verify_worker *worker, cl_int code, const char *call) {
    return code == CL_SUCCESS || verify_fail(worker, "%s failed with OpenCL error %d", call, (int)code);
}

bool verify_needs_turns(const char *platform_version) {
    const char *name = strcasestr(platform_version, "pocl ");
    return name && strtod(name + strlen("pocl "), NULL) < 6.0;
}

bool verify_worker_open(verify_worker *worker, verify_run *run) {
    *worker = (verify_worker){.run = run};
    cl_int code;
    worker->queue = clCreateCommandQueue(run->options.cl, run->options.device, 0, &code);
    return check_cl(worker, code, "clCreateCommandQueue") &&
           (worker->weights = verify_alloc(worker, WEIGHTS, sizeof *worker->weights));
}

void verify_worker_close(verify_worker *worker) {
    for (int i = 0; worker->weights && i < WEIGHTS; ++i)
        clfavor_weights_destroy(worker->weights[i].weights);
    free(worker->weights);
    worker->weights = NULL;
    if (worker->workspace)
        clReleaseMemObject(worker->workspace);
    worker->workspace = NULL;
    if (worker->queue)
        clReleaseCommandQueue(worker->queue);
    worker->queue = NULL;
}

static double bytes_of(const verify_weights_entry *entry) {
    return entry->weights ? 8.0 * entry->shape.sets * entry->shape.features * entry->shape.dim : 0.0;
}

/* A free place, after giving up what was not used for longest. */
static verify_weights_entry *make_room(verify_worker *worker, double bytes) {
    for (;;) {
        verify_weights_entry *empty = NULL, *oldest = NULL;
        double total = bytes;
        for (verify_weights_entry *entry = worker->weights; entry < worker->weights + WEIGHTS; ++entry) {
            total += bytes_of(entry);
            if (!entry->weights)
                empty = entry;
            else if (!oldest || entry->used < oldest->used)
                oldest = entry;
        }
        if (!oldest || (empty && total <= WEIGHTS_BYTES)) /* without an oldest one all places are empty */
            return empty;
        clfavor_weights_destroy(oldest->weights);
        *oldest = (verify_weights_entry){0};
    }
}

const clfavor_weights *verify_weights(verify_worker *worker, const clfavor_estimator *estimator) {
    verify_weights_entry made = {.used = ++worker->clock, .shape.struct_size = sizeof made.shape};
    if (!check(worker, clfavor_estimator_get_info(estimator, &made.shape), "reading an estimator"))
        return NULL;
    for (verify_weights_entry *entry = worker->weights; entry < worker->weights + WEIGHTS; ++entry)
        if (entry->weights && entry->shape.map == made.shape.map && entry->shape.rows == made.shape.rows &&
            entry->shape.dim == made.shape.dim && entry->shape.sets == made.shape.sets) {
            entry->used = worker->clock;
            return check(worker, clfavor_weights_update(entry->weights, estimator, worker->queue, 0, NULL),
                         "copying a draw to the device")
                       ? entry->weights
                       : NULL;
        }
    if (!check(worker, clfavor_weights_create(&made.weights, worker->run->options.context, estimator),
               "copying a draw to the device"))
        return NULL;
    *make_room(worker, bytes_of(&made)) = made;
    return made.weights;
}

static verify_plan_entry *look_up(verify_run *run, const clfavor_plan_desc *desc) {
    mtx_lock(&run->lock);
    verify_plan_entry *found = run->plans;
    while (found && memcmp(&found->desc, desc, sizeof *desc) != 0)
        found = found->next;
    mtx_unlock(&run->lock);
    return found;
}

static verify_plan_entry *make_plan(verify_worker *worker, const clfavor_plan_desc *desc) {
    verify_run *run = worker->run;
    verify_plan_entry *made = verify_alloc(worker, 1, sizeof *made);
    if (!made)
        return NULL;
    made->desc = *desc;
    made->info.struct_size = sizeof made->info;
    clfavor_status status = clfavor_plan_create(&made->plan, run->options.context, desc);
    if (!status)
        status = clfavor_plan_get_info(made->plan, &made->info);
    if (!check(worker, status, "making a plan")) {
        clfavor_plan_destroy(made->plan);
        free(made);
        return NULL;
    }
    mtx_lock(&run->lock);
    made->next = run->plans;
    run->plans = made;
    mtx_unlock(&run->lock);
    return made;
}

/* Maxima are part of the key: they decide how work is cut, and so bits. */
static verify_plan_entry *find_plan(verify_worker *worker, const clfavor_plan_desc *desc) {
    verify_plan_entry *found = look_up(worker->run, desc);
    if (found)
        return found;
    mtx_lock(&worker->run->compiling);
    found = look_up(worker->run, desc); /* another worker may have made it meanwhile */
    if (!found)
        found = make_plan(worker, desc);
    mtx_unlock(&worker->run->compiling);
    return found;
}

/* A runtime may compile at the first launch: the first use of a plan holds run->compiling, as making it does; where
 * launches must not meet, each use does. Returns whether it is held; finish_use gives it back. */
static bool begin_use(verify_worker *worker, verify_plan_entry *entry) {
    if (!worker->run->turns && atomic_load(&entry->used))
        return false;
    mtx_lock(&worker->run->compiling);
    return true;
}

static void finish_use(verify_worker *worker, verify_plan_entry *entry, bool first) {
    if (!first)
        return;
    atomic_store(&entry->used, true);
    mtx_unlock(&worker->run->compiling);
}

void verify_plans_release(verify_run *run) {
    while (run->plans) {
        verify_plan_entry *entry = run->plans;
        run->plans = entry->next;
        clfavor_plan_destroy(entry->plan);
        free(entry);
    }
}

static void resolve(verify_call *call) {
    call->batch = call->batch ? call->batch : 1;
    call->heads = call->heads ? call->heads : 1;
    call->heads_kv = call->heads_kv ? call->heads_kv : call->heads;
    call->n_k = call->n_k ? call->n_k : call->n;
    call->states = call->states ? call->states : call->heads_kv;
    call->value_dim = !call->v ? VERIFY_VALUE_DIM : call->value_dim ? call->value_dim : call->dim;
}

static clfavor_plan_desc plan_desc(const verify_call *call) {
    clfavor_plan_desc desc;
    memset(&desc, 0, sizeof desc); /* padding too: descs are compared by bytes */
    desc.struct_size = sizeof desc;
    desc.operation = call->operation;
    desc.map = call->map;
    desc.features = call->operation == CLFAVOR_OP_EXACT ? 0 : call->m;
    desc.dim = call->dim;
    desc.value_dim = call->value_dim;
    desc.causal = call->causal;
    desc.chunk = call->chunk;
    desc.pieces = call->pieces;
    desc.max_batch = call->batch;
    desc.max_heads = call->heads;
    desc.max_n = call->n > call->n_k ? call->n : call->n_k;
    desc.exact_keys = call->exact_count;
    /* many small states: in waves that stay in a processor's cache */
    desc.workspace_limit = call->shared && call->m <= SMALL_STATE ? SMALL_WORKSPACE : 0;
    return desc;
}

uint32_t verify_chunk(verify_worker *worker, const verify_call *user) {
    verify_call call = *user;
    resolve(&call);
    clfavor_plan_desc desc = plan_desc(&call);
    verify_plan_entry *entry = find_plan(worker, &desc);
    return entry ? entry->info.chunk : 0;
}

/* A buffer of so many floats, or other words of 32 bits; values NULL: for output. */
static cl_mem buffer(verify_worker *worker, const void *values, size_t count) {
    cl_int code;
    union { /* the interface is not const, the use is */
        const void *from;
        void *to;
    } host = {values};
    cl_mem mem =
        clCreateBuffer(worker->run->options.cl, values ? CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR : CL_MEM_READ_WRITE,
                       (count ? count : 1) * sizeof(float), host.to, &code);
    check_cl(worker, code, "clCreateBuffer");
    return mem;
}

static bool provide_workspace(verify_worker *worker, size_t size) {
    if (size <= worker->workspace_size)
        return true;
    if (worker->workspace)
        clReleaseMemObject(worker->workspace);
    worker->workspace_size = size;
    return (worker->workspace = buffer(worker, NULL, size / sizeof(float))) != NULL;
}

static bool read_back(verify_worker *worker, cl_mem mem, float *to, size_t count) {
    return !to ||
           check_cl(worker, clEnqueueReadBuffer(worker->queue, mem, CL_TRUE, 0, count * sizeof *to, to, 0, NULL, NULL),
                    "clEnqueueReadBuffer");
}

/* Dense, or one [n, last] for all heads. */
static clfavor_tensor tensor(cl_mem mem, const verify_call *call, uint64_t heads, uint64_t n, uint64_t last) {
    clfavor_tensor t = clfavor_tensor_dense(mem, heads, n, last);
    if (call->shared)
        t.stride_batch = t.stride_head = 0;
    return t;
}

bool verify_attention(verify_worker *worker, const verify_call *user, const clfavor_weights *weights) {
    verify_call call = *user;
    resolve(&call);
    clfavor_plan_desc desc = plan_desc(&call);
    verify_plan_entry *entry = find_plan(worker, &desc);
    if (!entry)
        return false;
    size_t d = call.dim, dv = call.value_dim, heads = (size_t)(call.batch * call.heads);
    size_t inputs = call.shared ? 1 : heads, inputs_kv = call.shared ? 1 : (size_t)(call.batch * call.heads_kv);
    size_t n = (size_t)call.n, n_k = (size_t)call.n_k, rows = heads * n;
    float *ones = NULL;
    if (!call.v) {
        if (!(ones = verify_alloc(worker, inputs_kv * n_k * dv, sizeof *ones)))
            return false;
        for (size_t i = 0; i < inputs_kv * n_k * dv; ++i)
            ones[i] = 1.0F;
        call.v = ones;
    }
    enum { Q, K, V, O, LSE, SIGN, EXACT, BUFFERS };
    const void *values[BUFFERS] = {[Q] = call.q, [K] = call.k, [V] = call.v, [EXACT] = call.exact_keys};
    size_t lists = call.shared ? 1 : (size_t)(call.batch * call.states);
    size_t counts[BUFFERS] = {inputs * n * d, inputs_kv * n_k * d,     inputs_kv * n_k * dv, rows * dv, rows,
                              rows,           lists * call.exact_count};
    cl_mem mem[BUFFERS] = {0};
    bool good = provide_workspace(worker, entry->info.workspace_size);
    for (int i = 0; good && i < BUFFERS; ++i)
        good = (mem[i] = buffer(worker, values[i], counts[i])) != NULL;
    clfavor_attention_args args = {.struct_size = sizeof args,
                                   .weights = weights,
                                   .batch = call.batch,
                                   .heads = call.heads,
                                   .heads_kv = call.heads_kv,
                                   .n = call.n,
                                   .n_k = call.n_k,
                                   .q = tensor(mem[Q], &call, call.heads, call.n, d),
                                   .k = tensor(mem[K], &call, call.heads_kv, call.n_k, d),
                                   .v = tensor(mem[V], &call, call.heads_kv, call.n_k, dv),
                                   .o = clfavor_tensor_dense(mem[O], call.heads, call.n, dv),
                                   .lse = clfavor_tensor_dense(mem[LSE], call.heads, call.n, 1),
                                   .sign = clfavor_tensor_dense(mem[SIGN], call.heads, call.n, 1),
                                   .scale = call.scale,
                                   .workspace = worker->workspace};
    if (call.exact_count)
        args.exact_keys = tensor(mem[EXACT], &call, call.states, call.exact_count, 1);
    bool first = begin_use(worker, entry);
    good = good && check(worker, clfavor_enqueue_attention(entry->plan, &args, worker->queue, 0, NULL, NULL),
                         "enqueueing attention");
    good = good && read_back(worker, mem[O], call.o, rows * dv) && read_back(worker, mem[LSE], call.lse, rows) &&
           read_back(worker, mem[SIGN], call.sign, rows) && check_cl(worker, clFinish(worker->queue), "clFinish");
    finish_use(worker, entry, first);
    for (int i = 0; i < BUFFERS; ++i)
        if (mem[i])
            clReleaseMemObject(mem[i]);
    free(ones);
    return good;
}

bool verify_estimates(verify_worker *worker, const verify_call *user, const clfavor_weights *weights,
                      double *estimates) {
    verify_call call = *user;
    resolve(&call);
    size_t rows = (size_t)(call.batch * call.heads * call.n);
    float *lse = verify_alloc(worker, 2 * rows, sizeof *lse);
    if (!lse)
        return false;
    verify_call own = *user;
    own.lse = lse;
    own.sign = lse + rows;
    bool good = verify_attention(worker, &own, weights);
    for (size_t i = 0; good && i < rows; ++i)
        estimates[i] = (double)own.sign[i] * exp((double)lse[i]);
    free(lse);
    return good;
}

bool verify_features(verify_worker *worker, const verify_call *call, bool key, const float *x, uint64_t n,
                     const clfavor_weights *weights, float *features, float *log_scale) {
    clfavor_plan_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.struct_size = sizeof desc;
    desc.operation = key ? CLFAVOR_OP_FEATURES_KEY : CLFAVOR_OP_FEATURES_QUERY;
    desc.map = call->map;
    desc.features = call->m;
    desc.dim = call->dim;
    desc.max_heads = call->heads ? call->heads : 1;
    desc.max_n = n;
    verify_plan_entry *entry = find_plan(worker, &desc);
    if (!entry)
        return false;
    bool one_scale =
        call->map == CLFAVOR_MAP_TRIG || call->map == CLFAVOR_MAP_TRIG_PHASE || call->map == CLFAVOR_MAP_GAUSSIAN;
    size_t heads = (size_t)desc.max_heads, columns = entry->info.features, tokens = (size_t)n;
    size_t scales = !key ? tokens : one_scale ? 1 : columns;
    size_t counts[3] = {tokens * call->dim, heads * tokens * columns, heads * scales};
    cl_mem mem[3] = {0};
    bool good = provide_workspace(worker, entry->info.workspace_size);
    for (int i = 0; good && i < 3; ++i)
        good = (mem[i] = buffer(worker, i == 0 ? x : NULL, counts[i])) != NULL;
    clfavor_features_args args = {.struct_size = sizeof args,
                                  .weights = weights,
                                  .heads = heads,
                                  .n = n,
                                  .x = clfavor_tensor_dense(mem[0], 1, n, call->dim),
                                  .features = clfavor_tensor_dense(mem[1], heads, n, columns),
                                  .log_scale = clfavor_tensor_dense(mem[2], heads, scales, 1),
                                  .workspace = worker->workspace};
    args.x.stride_batch = args.x.stride_head = 0;
    bool first = begin_use(worker, entry);
    good = good && check(worker, clfavor_enqueue_features(entry->plan, &args, worker->queue, 0, NULL, NULL),
                         "enqueueing features");
    good = good && read_back(worker, mem[1], features, counts[1]) && read_back(worker, mem[2], log_scale, counts[2]) &&
           check_cl(worker, clFinish(worker->queue), "clFinish");
    finish_use(worker, entry, first);
    for (int i = 0; i < 3; ++i)
        if (mem[i])
            clReleaseMemObject(mem[i]);
    return good;
}

clfavor_projection *verify_projection(verify_worker *worker, clfavor_projection_kind kind, uint32_t m, uint32_t dim,
                                      uint32_t sets, uint64_t seed) {
    clfavor_projection *p;
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .kind = kind, .features = m, .dim = dim, .sets = sets, .seed = seed};
    return check(worker, clfavor_projection_create(&p, &desc), "drawing a projection") ? p : NULL;
}

clfavor_projection *verify_projection_of(verify_worker *worker, uint32_t m, uint32_t dim, uint32_t sets,
                                         const double *w, const double *phases) {
    clfavor_projection *p;
    clfavor_projection_desc desc = {.struct_size = sizeof desc, .features = m, .dim = dim, .sets = sets};
    return check(worker, clfavor_projection_create_from_data(&p, &desc, w, phases), "making a projection") ? p : NULL;
}

clfavor_estimator *verify_estimator(verify_worker *worker, clfavor_map map, const clfavor_projection *projection,
                                    uint32_t dim, double scale) {
    clfavor_estimator *e;
    clfavor_estimator_desc desc = {
        .struct_size = sizeof desc, .map = map, .projection = projection, .dim = dim, .scale = scale};
    return check(worker, clfavor_estimator_create(&e, &desc), "making an estimator") ? e : NULL;
}
