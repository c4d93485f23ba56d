/* Whole runs: records, seeds, the environment, calibration. */
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#define SCHEMA 1u /* changes when records of the same name mean something else */

uint64_t verify_job_key(const verify_job *job) {
    char full[128];
    int length = snprintf(full, sizeof full, "%s/%s/%zu", job->suite, job->name, job->size);
    return XXH64(full, (size_t)length, SCHEMA);
}

static void take_record(void *user, uint64_t key, uint32_t block, const double *values, uint32_t count) {
    verify_run *run = user;
    for (size_t j = 0; j < run->job_count; ++j) {
        verify_job *job = &run->jobs[j];
        if (verify_job_key(job) != key || block >= job->blocks || count != job->size || job->records[block])
            continue;
        if (!(job->records[block] = verify_new(run, count, sizeof *values)))
            return;
        memcpy(job->records[block], values, count * sizeof *values);
        job->missing--;
        run->result->blocks_resumed += job->selected;
    }
}

/* What must be the same for two runs to share records. */
static uint64_t fingerprint(const verify_run *run) {
    const verify_result *r = run->result;
    char text[1200];
    int length =
        snprintf(text, sizeof text, "%u|%s|%llu|%a|%s|%s|%s|%s|%s", SCHEMA, verify_level_name(r->level),
                 (unsigned long long)r->seed, r->alpha, r->device_class, r->device, r->platform, r->driver, r->version);
    return XXH64(text, (size_t)length, 0);
}

static void describe(verify_run *run) {
    verify_result *r = run->result;
    const verify_options *o = &run->options;
    cl_platform_id platform = NULL;
    clGetDeviceInfo(o->device, CL_DEVICE_NAME, sizeof r->device, r->device, NULL);
    clGetDeviceInfo(o->device, CL_DRIVER_VERSION, sizeof r->driver, r->driver, NULL);
    clGetDeviceInfo(o->device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL);
    if (platform)
        clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof r->platform, r->platform, NULL);
    clfavor_context_info info = {.struct_size = sizeof info};
    clfavor_context_get_info(o->context, &info);
    snprintf(r->device_class, sizeof r->device_class, "%s", info.device_class == CLFAVOR_CLASS_GPU ? "gpu" : "cpu");
    snprintf(r->version, sizeof r->version, "%s", clfavor_version_string());
}

bool verify_run_start(verify_run *run, const verify_options *options, verify_result *result, char error[512],
                      bool *bad_input) {
    *run = (verify_run){.options = *options, .result = result};
    memset(result, 0, sizeof *result);
    *bad_input = false;
    if (options->resume_count && !options->seed_given)
        verify_records_seed(options->resume[0], &run->options.seed);
    result->level = options->level;
    result->alpha = options->alpha;
    result->seed = run->options.seed;
    result->shard = options->shard;
    result->shards = options->shards;
    if (mtx_init(&run->lock, mtx_plain) != thrd_success || mtx_init(&run->judging, mtx_plain) != thrd_success ||
        mtx_init(&run->compiling, mtx_plain) != thrd_success)
        return verify_refuse(error, "%s", "host memory is exhausted");
    return verify_jobs_build(run, error, bad_input);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

bool verify_run_all(const verify_options *options, verify_result *result, char error[512], bool *bad_input) {
    verify_run run;
    verify_records records = {.descriptor = -1};
    double began = now();
    bool good = verify_run_start(&run, options, result, error, bad_input);
    if (good) {
        describe(&run);
        for (size_t j = 0; j < run.job_count; ++j)
            result->blocks += run.jobs[j].selected ? run.jobs[j].blocks : 0;
    }
    for (size_t i = 1; good && i < options->resume_count; ++i)
        good = verify_records_read(options->resume[i], fingerprint(&run), take_record, &run, error, bad_input);
    if (good && options->resume_count)
        good = verify_records_open(&records, options->resume[0], fingerprint(&run), run.options.seed, take_record, &run,
                                   error, bad_input);
    if (good) {
        good = verify_execute(&run, options->resume_count ? &records : NULL);
        if (good)
            verify_judge_all(&run);
        if (run.out_of_memory && !run.error[0])
            snprintf(run.error, sizeof run.error, "host memory is exhausted");
        if (run.error[0])
            good = verify_refuse(error, "%s", run.error);
    }
    verify_records_close(&records);
    verify_run_release(&run);
    result->wall_seconds = now() - began;
    return good;
}

bool verify_has_seed(const char *path, uint64_t *seed) {
    return verify_records_seed(path, seed);
}

/* ------------------------------------------------------------------------------------------------------ calibration */

/* P(Binomial(n, p) >= k), the terms from k upwards. */
static double at_least(double k, double n, double p) {
    double sum = k <= 0.0 ? 1.0 : 0.0;
    for (double i = k; i >= 1.0 && i <= n; i += 1.0) {
        double term = exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) + i * log(p) + (n - i) * log1p(-p));
        sum += term;
        if (term < 1e-17 * sum)
            break;
    }
    return sum;
}

/* How often each check failed in the runs so far: names are in the order of the first. */
static void tally(verify_result *total, const verify_result *one, bool first, verify_run *run) {
    for (size_t i = 0; i < one->check_count; ++i) {
        verify_check check = one->checks[i];
        if (first) {
            check.samples = 0.0;
            check.estimate = 0.0;
            verify_run whole = {.result = total};
            check.outcome = VERIFY_SHOWN;
            verify_add_check(&whole, &check);
            run->out_of_memory |= whole.out_of_memory;
        }
        if (i < total->check_count) {
            total->checks[i].samples += 1.0;
            total->checks[i].estimate += one->checks[i].outcome == VERIFY_FAILED;
        }
    }
}

/* A check is too eager when so many false alarms would have a probability below 1e-6 / checks at its alpha. */
static void judge_calibration(verify_result *total, double alpha) {
    double checks = 0.0;
    for (size_t i = 0; i < total->check_count; ++i)
        checks += total->checks[i].alpha > 0.0;
    total->shown = 0;
    for (size_t i = 0; i < total->check_count; ++i) {
        verify_check *c = &total->checks[i];
        double tail = at_least(c->estimate, c->samples, c->alpha > 0.0 ? alpha : 0.0);
        bool good = c->alpha > 0.0 ? tail >= 1e-6 / checks : c->estimate == 0.0;
        c->outcome = good ? VERIFY_PASSED : VERIFY_FAILED;
        c->test = "false alarms";
        c->statistic = c->estimate;
        c->threshold = c->alpha > 0.0 ? c->samples * alpha : 0.0;
        c->estimate /= c->samples;
        c->expected = c->alpha;
        c->band = c->sensitivity = NAN;
        c->note = "false alarms of so many runs with random seeds; at most alpha is claimed";
        ++*(good ? &total->passed : &total->failed);
    }
}

bool verify_calibrate(const verify_options *options, uint32_t runs, verify_result *result, char error[512],
                      bool *bad_input) {
    verify_run run;
    verify_options own = *options;
    verify_result one;
    double began = now();
    own.reduced = true;
    bool good = verify_run_start(&run, &own, &one, error, bad_input);
    memset(result, 0, sizeof *result);
    for (uint32_t r = 0; good && r < runs; ++r) {
        run.options.seed = verify_seed(options->seed, "calibrate", r);
        verify_jobs_forget(&run);
        good = verify_execute(&run, NULL);
        if (good)
            verify_judge_all(&run);
        good = good && !run.out_of_memory;
        if (good)
            tally(result, &one, r == 0, &run);
        else
            verify_refuse(error, "%s", run.error[0] ? run.error : "host memory is exhausted");
        verify_result_free(&one);
        if (options->progress)
            options->progress(options->user, r + 1.0, runs);
    }
    if (good) {
        run.result = result;
        describe(&run);
        judge_calibration(result, options->alpha);
        result->level = options->level;
        result->alpha = options->alpha;
        result->seed = options->seed;
        for (size_t i = 0; i < result->check_count; ++i)
            result->statistical += result->checks[i].alpha > 0.0;
    }
    run.result = &one;
    verify_run_release(&run);
    verify_result_free(&one);
    result->wall_seconds = now() - began;
    return good;
}
