/* The list of a run's jobs. */
#include "run.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "device.h"
#include "pool.h"

const char *const verify_suites[] = {"deterministic", "law", "mean", "variance", "attention", "controls", NULL};
const char *const verify_suite_texts[] = {
    "without chance: known answers, injected W and hard inputs against double, Haar blocks entry by entry",
    "the law of W: lengths, directions, independence, orthogonality; the lognormal law of the estimate",
    "the mean of every map with every projection against its exact value, with one key and with many",
    "the error as m grows against its closed form, independent rows and orthogonal blocks; the slope",
    "normalised output against theory; figures of the Performer paper and of performer-pytorch",
    "known mistakes that must be found, or the harness itself is broken"};
static void (*const suites[])(verify_run *) = {verify_suite_deterministic, verify_suite_law,
                                               verify_suite_mean,          verify_suite_variance,
                                               verify_suite_attention,     verify_suite_controls};
#define SUITES (sizeof suites / sizeof *suites)

const char *verify_level_name(verify_level level) {
    return level == VERIFY_QUICK ? "quick" : level == VERIFY_FULL ? "full" : "nightly";
}

uint64_t verify_seed(uint64_t seed, const char *name, uint64_t index) {
    uint64_t place = XXH64(name, strlen(name), seed);
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)place, (uint32_t)(place >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t out[4];
    clfavor_philox4x32(counter, key, out);
    return (uint64_t)out[1] << 32 | out[0];
}

bool verify_fail(verify_worker *worker, const char *format, ...) {
    if (!worker->error[0]) { /* the first reason counts */
        va_list args;
        va_start(args, format);
        vsnprintf(worker->error, sizeof worker->error, format, args);
        va_end(args);
    }
    return false;
}

void *verify_alloc(verify_worker *worker, size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        verify_fail(worker, "host memory is exhausted");
    return memory;
}

void *verify_new(verify_run *run, size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        run->out_of_memory = true;
    return memory;
}

verify_job *verify_add_job(verify_run *run, const verify_job *job) {
    if (run->job_count == run->job_capacity) {
        size_t capacity = run->job_capacity ? 2 * run->job_capacity : 64;
        verify_job *grown = realloc(run->jobs, capacity * sizeof *grown);
        if (!grown) {
            run->out_of_memory = true;
            if (job->release)
                job->release(job->data);
            return NULL;
        }
        run->jobs = grown;
        run->job_capacity = capacity;
    }
    run->jobs[run->job_count] = *job;
    return &run->jobs[run->job_count++];
}

/* ---------------------------------------------------------------------------------------------------- the plan */

static bool is_selected(const verify_options *options, const verify_job *job) {
    char full[128];
    int length = snprintf(full, sizeof full, "%s/%s", job->suite, job->name);
    if (!options->selection)
        return true;
    for (size_t i = 0; i < options->selection_count; ++i) {
        size_t size = strlen(options->selection[i]); /* whole words between slashes */
        if (size <= (size_t)length && strncmp(full, options->selection[i], size) == 0 &&
            (full[size] == '\0' || full[size] == '/'))
            return true;
    }
    return false;
}

bool verify_refuse(char error[512], const char *format, const char *word) {
    snprintf(error, 512, format, word);
    return false;
}

/* Every word of the selection must mean something. */
static bool select_jobs(verify_run *run, char error[512], bool *bad_input) {
    const verify_options *o = &run->options;
    for (size_t j = 0; j < run->job_count; ++j)
        run->jobs[j].selected = is_selected(o, &run->jobs[j]);
    for (size_t i = 0; o->selection && i < o->selection_count; ++i) {
        verify_options one = *o;
        one.selection = &o->selection[i];
        one.selection_count = 1;
        bool any = false;
        for (size_t j = 0; j < run->job_count; ++j)
            any |= is_selected(&one, &run->jobs[j]);
        *bad_input |= !any;
        if (!any)
            return verify_refuse(error, "no suite or job is called '%.200s'; --list shows them all", o->selection[i]);
    }
    return true;
}

bool verify_jobs_build(verify_run *run, char error[512], bool *bad_input) {
    for (size_t i = 0; i < SUITES; ++i)
        suites[i](run);
    if (run->out_of_memory)
        return verify_refuse(error, "%s", "host memory is exhausted");
    run->result->statistical = 0;
    for (size_t j = 0; j < run->job_count; ++j)
        run->result->statistical += run->jobs[j].tests;
    /* calibration looks at each check by itself */
    run->share = run->options.alpha / (run->options.reduced ? 1.0 : (double)run->result->statistical);
    for (size_t j = 0; j < run->job_count; ++j)
        if (run->jobs[j].size_up)
            run->jobs[j].size_up(&run->jobs[j], &run->options, run->share);
    for (size_t j = 0; j < run->job_count; ++j) {
        verify_job *job = &run->jobs[j];
        job->missing = job->blocks;
        if (!(job->records = verify_new(run, job->blocks, sizeof *job->records)))
            return verify_refuse(error, "%s", "host memory is exhausted");
    }
    return select_jobs(run, error, bad_input);
}

void verify_jobs_forget(verify_run *run) {
    for (size_t j = 0; j < run->job_count; ++j) {
        verify_job *job = &run->jobs[j];
        for (uint32_t b = 0; job->records && b < job->blocks; ++b) {
            free(job->records[b]);
            job->records[b] = NULL;
        }
        job->missing = job->blocks;
        job->judged = false;
    }
}

void verify_run_release(verify_run *run) {
    verify_jobs_forget(run);
    for (size_t j = 0; j < run->job_count; ++j) {
        free(run->jobs[j].records);
        if (run->jobs[j].release)
            run->jobs[j].release(run->jobs[j].data);
    }
    free(run->jobs);
    verify_plans_release(run);
    verify_pools_release(run);
    mtx_destroy(&run->compiling);
    mtx_destroy(&run->judging);
    mtx_destroy(&run->lock);
}

bool verify_list(const verify_options *options, FILE *to, char error[512]) {
    verify_run run;
    verify_result result;
    bool bad_input, good = verify_run_start(&run, options, &result, error, &bad_input);
    for (size_t s = 0; good && verify_suites[s]; ++s) {
        unsigned tests = 0, exact = 0, jobs = 0;
        for (size_t j = 0; j < run.job_count; ++j)
            if (run.jobs[j].selected && strcmp(run.jobs[j].suite, verify_suites[s]) == 0) {
                tests += run.jobs[j].tests;
                exact += run.jobs[j].exact;
                ++jobs;
            }
        if (!jobs)
            continue;
        fprintf(to, "%s: %s; %u checks share alpha, %u are without chance or shown\n", verify_suites[s],
                verify_suite_texts[s], tests, exact);
        for (size_t j = 0; j < run.job_count; ++j) {
            const verify_job *job = &run.jobs[j];
            if (job->selected && strcmp(job->suite, verify_suites[s]) == 0)
                fprintf(to, "    %s/%s: %s; %u checks, %u blocks, %s\n", job->suite, job->name, job->text,
                        job->tests + job->exact, job->blocks, job->method);
        }
    }
    verify_run_release(&run);
    verify_result_free(&result);
    return good;
}
