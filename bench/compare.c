/* Other implementations beside the library, in turns on the same inputs with the same W, and their results beside
 * ours. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inputs.h"
#include "job.h"
#include "measure.h"
#include "peers.h"

/* Some peers are a hundred times slower than we are: after so many seconds a shape gets FEW rounds only. */
#define FEW  3
#define TIME 20.0

/* What peers said, so that nothing is said again at the next shape. */
typedef struct notes {
    bench_device *device;
    char (*lines)[BENCH_TEXT];
    size_t count;
} notes;

static void say_once(void *user, const char *line) {
    notes *n = user;
    for (size_t i = 0; i < n->count; ++i)
        if (strncmp(n->lines[i], line, BENCH_TEXT - 1) == 0)
            return;
    bench_note(n->device, line);
    char(*grown)[BENCH_TEXT] = realloc(n->lines, (n->count + 1) * sizeof *grown);
    if (!grown) /* then it is said again */
        return;
    n->lines = grown;
    snprintf(grown[n->count++], BENCH_TEXT, "%s", line);
}

/* All that is needed at one shape. */
typedef struct match {
    bench_device *device;
    size_t index; /* of the work */
    bench_memory memory;
    bench_job linear, exact;
    size_t floats; /* of each array */
    float *in[3], *linear_out, *exact_out;
    bench_peer **peers;
    size_t count;
    bench_samples *samples; /* of the peers */
    bench_comparison *out;  /* of the peers */
} match;

static bool download(match *m, float *out) {
    return bench_check_cl(
        m->device,
        clEnqueueReadBuffer(m->device->queue, m->memory.out, CL_TRUE, 0, m->floats * sizeof *out, out, 0, NULL, NULL),
        "clEnqueueReadBuffer");
}

static bool open_match(match *m, const bench_work *work, notes *said) {
    const bench_shape *s = &work->shape;
    bench_device *d = m->device;
    bench_work exact = *work;
    exact.operation = CLFAVOR_OP_EXACT;
    m->floats = (size_t)(s->heads * s->n * s->dim);
    float **arrays[] = {&m->in[0], &m->in[1], &m->in[2], &m->linear_out, &m->exact_out};
    for (size_t i = 0; i < 5; ++i)
        if (!(*arrays[i] = bench_alloc(d, m->floats, sizeof(float))))
            return false;
    for (uint64_t i = 0; i < 3; ++i)
        bench_inputs_fill(m->in[i], m->floats, i);
    if (!bench_job_open(&m->linear, &m->memory, work) || !download(m, m->linear_out) ||
        !bench_job_open(&m->exact, &m->memory, &exact) || !download(m, m->exact_out))
        return false;
    bench_inputs inputs = {s->heads,    s->n,         s->dim,
                           s->features, work->causal, m->in[0],
                           m->in[1],    m->in[2],     clfavor_projection_data(m->linear.projection)};
    m->peers = bench_peers_open(&inputs, d->info.compute_units, d->cl, d->id, say_once, said, &m->count);
    m->samples = bench_alloc(d, m->count, sizeof *m->samples);
    m->out = bench_alloc(d, m->count, sizeof *m->out);
    return m->samples && m->out;
}

static void close_match(match *m) {
    if (m->peers)
        bench_peers_close(m->peers, m->count);
    bench_job_close(&m->linear);
    bench_job_close(&m->exact);
    bench_memory_free(&m->memory);
    for (int i = 0; i < 3; ++i)
        free(m->in[i]);
    free(m->linear_out);
    free(m->exact_out);
    for (size_t i = 0; m->samples && i < m->count; ++i)
        bench_samples_free(&m->samples[i]);
    free(m->samples);
    free(m->out);
}

/* ------------------------------------------------------------------------------------------------------- results */

static double norm(const float *a, const float *b, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; ++i) {
        double difference = b ? (double)a[i] - b[i] : a[i];
        sum += difference * difference;
    }
    return sqrt(sum);
}

/* How far two right results in single precision can be apart, relative to ours. An exponent is a sum of d products of
 * magnitude at most |w||x| = d^3/4 and, for features, |x|^2/2 = sqrt(d)/2 (scores: |q||k|/sqrt(d) = sqrt(d)); its
 * rounding is the relative error of a feature or weight. A term of the output has two features (one weight), in both
 * numerator and denominator, and sums over n keys round once a key. Values cancel, so that the output is smaller than
 * what is summed, by |V|/|O|. */
static double tolerance(const bench_shape *s, bool exact, double values_over_output) {
    double d = s->dim, unit = 0.5 * FLT_EPSILON;
    double exponent = (d + 2.0) * unit * (exact ? sqrt(d) : sqrt(d) * sqrt(sqrt(d)) + 0.5 * sqrt(d));
    return ((exact ? 2.0 : 4.0) * exponent + 2.0 * (double)s->n * unit) * values_over_output;
}

static void judge(match *m, size_t i) {
    bench_comparison *c = &m->out[i];
    const bench_work *work = &m->linear.work;
    const float *theirs = bench_peer_result(m->peers[i]);
    c->shape = work->shape;
    c->causal = work->causal;
    snprintf(c->name, sizeof c->name, "%s", bench_peer_name(m->peers[i]));
    c->exact = bench_peer_computes(m->peers[i]) == BENCH_EXACT;
    const float *ours = c->exact ? m->exact_out : m->linear_out;
    /* performer-pytorch is made to add a constant to every feature. peers.py asks it for none, but what an installed
     * version makes of that is not for us to promise. */
    c->enforced = !strstr(c->name, "performer");
    c->seconds = bench_times(&m->samples[i]);
    double length = norm(ours, NULL, m->floats);
    c->tolerance = tolerance(&c->shape, c->exact, norm(m->in[2], NULL, m->floats) / length);
    c->error = theirs ? norm(theirs, ours, m->floats) / length : NAN;
    c->failed |= c->enforced && !(c->error <= c->tolerance);
}

/* share: of this match. */
static void progress(const match *m, double share) {
    double count = (double)m->device->options->count;
    bench_progress(m->device, count + (double)m->index + share, 2.0 * count);
}

static bool run_match(match *m, uint32_t rounds) {
    double start = bench_now();
    /* round 0 warms up */
    for (uint32_t round = 0; round <= rounds && (round <= FEW || bench_now() - start < TIME); ++round) {
        for (size_t i = 0; i < m->count + 2; ++i) {
            if (i >= m->count) {
                if (round > 0 && !bench_job_round(i == m->count ? &m->linear : &m->exact))
                    return false;
                continue;
            }
            double seconds = m->out[i].failed ? NAN : bench_peer_run(m->peers[i]);
            m->out[i].failed |= isnan(seconds);
            if (round > 0 && !isnan(seconds) && !bench_samples_add(m->device, &m->samples[i], seconds))
                return false;
        }
        progress(m, (round + 1.0) / (rounds + 1.0));
    }
    bench_spread linear = bench_times(&m->linear.samples), exact = bench_times(&m->exact.samples);
    for (size_t i = 0; i < m->count; ++i) {
        m->out[i].linear = linear;
        m->out[i].own_exact = exact;
        judge(m, i);
    }
    return true;
}

static bool append(bench_device *d, bench_result *r, const bench_comparison *more, size_t count) {
    if (count == 0)
        return true;
    bench_comparison *grown = realloc(r->comparisons, (r->comparison_count + count) * sizeof *grown);
    if (!grown)
        return bench_fail(d, "host memory is exhausted");
    memcpy(grown + r->comparison_count, more, count * sizeof *more);
    r->comparisons = grown;
    r->comparison_count += count;
    return true;
}

bool bench_compare(bench_device *d, bench_result *result) {
    const bench_options *o = d->options;
    bool good = true;
    notes said = {d, NULL, 0};
    for (size_t i = 0; i < o->count && good; ++i) {
        match m = {.device = d, .index = i, .memory = {.device = d}};
        good = open_match(&m, &o->work[i], &said);
        if (good && m.count) /* without peers there is nothing to wait for */
            good = run_match(&m, o->repeats ? o->repeats : BENCH_REPEATS) && append(d, result, m.out, m.count);
        close_match(&m);
        progress(&m, 1.0);
    }
    free(said.lines);
    return good;
}
