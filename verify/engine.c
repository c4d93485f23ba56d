#include "engine.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "device.h"
#include "pool.h"
#include "records.h"

#define SCHEMA 1u /* changes when records of the same name mean something else */

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

static bool refuse(char error[512], const char *format, const char *word) {
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
            return refuse(error, "no suite or job is called '%.200s'; --list shows them all", o->selection[i]);
    }
    return true;
}

static bool build(verify_run *run, char error[512], bool *bad_input) {
    for (size_t i = 0; i < SUITES; ++i)
        suites[i](run);
    if (run->out_of_memory)
        return refuse(error, "%s", "host memory is exhausted");
    run->result->statistical = 0;
    for (size_t j = 0; j < run->job_count; ++j)
        run->result->statistical += run->jobs[j].tests;
    /* calibration looks at each check by itself */
    run->share = run->options.alpha / (run->options.reduced > 0.0 ? 1.0 : (double)run->result->statistical);
    for (size_t j = 0; j < run->job_count; ++j)
        if (run->jobs[j].size_up)
            run->jobs[j].size_up(&run->jobs[j], &run->options, run->share);
    for (size_t j = 0; j < run->job_count; ++j) {
        verify_job *job = &run->jobs[j];
        job->missing = job->blocks;
        if (!(job->records = verify_new(run, job->blocks, sizeof *job->records)))
            return refuse(error, "%s", "host memory is exhausted");
    }
    return select_jobs(run, error, bad_input);
}

static void forget_records(verify_run *run) {
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

static void release(verify_run *run) {
    forget_records(run);
    for (size_t j = 0; j < run->job_count; ++j) {
        free(run->jobs[j].records);
        if (run->jobs[j].release)
            run->jobs[j].release(run->jobs[j].data);
    }
    free(run->jobs);
    verify_plans_release(run);
    verify_pools_release(run);
    mtx_destroy(&run->judging);
    mtx_destroy(&run->lock);
}

/* ---------------------------------------------------------------------------------------------------- records */

static uint64_t job_key(const verify_job *job) {
    char full[128];
    int length = snprintf(full, sizeof full, "%s/%s/%zu", job->suite, job->name, job->size);
    return XXH64(full, (size_t)length, SCHEMA);
}

static void take_record(void *user, uint64_t key, uint32_t block, const double *values, uint32_t count) {
    verify_run *run = user;
    for (size_t j = 0; j < run->job_count; ++j) {
        verify_job *job = &run->jobs[j];
        if (job_key(job) != key || block >= job->blocks || count != job->size || job->records[block])
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

/* ------------------------------------------------------------------------------------------------------ workers */

typedef struct task {
    const verify_group *group; /* NULL: of one job */
    verify_job *job;           /* the first of the group */
    uint32_t block;
} task;

typedef struct work {
    verify_run *run;
    verify_records *records;
    task *tasks;
    size_t first, end; /* of what nobody has taken; guarded by run->lock */
    double done, total;
} work;

static bool needs(const verify_job *job, const task *t) {
    return job->selected && job->group == t->group && (t->group || job == t->job) && t->block < job->blocks &&
           !job->records[t->block];
}

static void judge(verify_run *run, verify_job *job) {
    mtx_lock(&run->judging);
    job->judge(run, job, (const double *const *)job->records);
    job->judged = true;
    bool failed = run->result->failed > 0;
    mtx_unlock(&run->judging);
    mtx_lock(&run->lock);
    run->stop |= failed && run->options.stop_early;
    mtx_unlock(&run->lock);
}

/* Takes a job's record into the run and into the file. */
static bool keep(work *w, verify_job *job, uint32_t block, double *record) {
    verify_run *run = w->run;
    char error[512];
    mtx_lock(&run->lock);
    bool good =
        !w->records || verify_records_append(w->records, job_key(job), block, record, (uint32_t)job->size, error);
    if (!good && !run->error[0])
        memcpy(run->error, error, sizeof run->error);
    job->records[block] = record;
    run->result->blocks_done++;
    bool complete = --job->missing == 0;
    run->stop |= !good;
    w->done += job->cost;
    double done = w->done;
    mtx_unlock(&run->lock);
    if (complete && run->options.stop_early)
        judge(run, job);
    if (run->options.progress)
        run->options.progress(run->options.user, done, w->total);
    return good;
}

static bool do_task(verify_worker *worker, work *w, const task *t) {
    verify_run *run = w->run;
    void *drawn = NULL;
    bool good = true;
    if (t->group && !(drawn = t->group->draw(worker, t->group->data, t->block)))
        return false;
    for (size_t j = 0; good && j < run->job_count; ++j) {
        verify_job *job = &run->jobs[j];
        if (!needs(job, t) || run->stop)
            continue;
        double *record = verify_alloc(worker, job->size, sizeof *record);
        if (!record || !job->work(worker, job, drawn, t->block, record)) {
            free(record);
            good = false;
        } else
            good = keep(w, job, t->block, record);
    }
    if (drawn)
        t->group->drop(drawn);
    return good;
}

typedef struct thread_argument {
    work *work;
    unsigned index;
} thread_argument;

/* Threads take tasks from the two ends in turn: while one waits for a kernel that is compiled, the other rarely wants
 * the same. */
static int work_thread(void *argument) {
    const thread_argument *own = argument;
    work *w = own->work;
    verify_run *run = w->run;
    verify_worker worker;
    bool good = verify_worker_open(&worker, run);
    while (good) {
        mtx_lock(&run->lock);
        bool more = w->first < w->end && !run->stop;
        task t = {0};
        if (more)
            t = own->index % 2 ? w->tasks[--w->end] : w->tasks[w->first++];
        mtx_unlock(&run->lock);
        if (!more)
            break;
        good = do_task(&worker, w, &t);
    }
    mtx_lock(&run->lock);
    if (!good) {
        run->stop = true;
        if (!run->error[0])
            memcpy(run->error, worker.error, sizeof run->error);
    }
    mtx_unlock(&run->lock);
    verify_worker_close(&worker);
    return 0;
}

/* Every shard cuts the same list, whatever is done already. */
static bool make_tasks(work *w) {
    verify_run *run = w->run;
    size_t count = 0, index = 0;
    for (size_t j = 0; j < run->job_count; ++j)
        count += run->jobs[j].blocks;
    if (!(w->tasks = verify_new(run, count, sizeof *w->tasks)))
        return false;
    for (size_t j = 0; j < run->job_count; ++j) {
        verify_job *job = &run->jobs[j];
        bool first = job->selected;
        uint32_t blocks = job->blocks;
        for (size_t i = 0; job->group && i < run->job_count; ++i)
            if (run->jobs[i].group == job->group && run->jobs[i].selected) {
                first &= i >= j;
                blocks = run->jobs[i].blocks > blocks ? run->jobs[i].blocks : blocks;
            }
        for (uint32_t b = 0; first && b < blocks; ++b, ++index) {
            task t = {job->group, job, b};
            bool mine = !run->options.shards || index % run->options.shards == run->options.shard % run->options.shards;
            double cost = 0.0;
            for (size_t i = 0; i < run->job_count; ++i)
                cost += needs(&run->jobs[i], &t) ? run->jobs[i].cost : 0.0;
            if (!mine || cost == 0.0)
                continue;
            w->total += cost;
            w->tasks[w->end++] = t;
        }
    }
    return true;
}

static bool execute(verify_run *run, verify_records *records) {
    work w = {.run = run, .records = records};
    if (!make_tasks(&w)) {
        snprintf(run->error, sizeof run->error, "host memory is exhausted");
        return false;
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = run->options.workers ? run->options.workers : processors > 0 ? (size_t)processors : 1;
    enum { MOST = 64 };
    count = count > MOST ? MOST : count > w.end ? w.end : count;
    thrd_t threads[MOST];
    thread_argument arguments[MOST];
    size_t started = 0;
    for (; started + 1 < count; ++started) {
        arguments[started] = (thread_argument){&w, (unsigned)started + 1};
        if (thrd_create(&threads[started], work_thread, &arguments[started]) != thrd_success)
            break;
    }
    thread_argument own = {&w, 0};
    if (count)
        work_thread(&own);
    for (size_t i = 0; i < started; ++i)
        thrd_join(threads[i], NULL);
    free(w.tasks);
    return !run->error[0];
}

static void judge_all(verify_run *run) {
    for (size_t j = 0; j < run->job_count && !run->stop; ++j) {
        verify_job *job = &run->jobs[j];
        if (!job->selected || job->judged)
            continue;
        if (job->missing == 0) {
            judge(run, job);
        } else {
            verify_check check = verify_check_init(job, job->name, 0.0, 0.0, 0.0);
            check.outcome = VERIFY_PENDING;
            check.test = job->method;
            check.samples = job->blocks - job->missing;
            check.expected = job->blocks;
            check.note = "blocks done of those needed; the others belong to another shard";
            verify_add_check(run, &check);
        }
    }
}

/* ------------------------------------------------------------------------------------------------- entry points */

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

static bool start(verify_run *run, const verify_options *options, verify_result *result, char error[512],
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
    if (mtx_init(&run->lock, mtx_plain) != thrd_success || mtx_init(&run->judging, mtx_plain) != thrd_success)
        return refuse(error, "%s", "host memory is exhausted");
    return build(run, error, bad_input);
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
    bool good = start(&run, options, result, error, bad_input);
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
        good = execute(&run, options->resume_count ? &records : NULL);
        if (good)
            judge_all(&run);
        if (run.out_of_memory && !run.error[0])
            snprintf(run.error, sizeof run.error, "host memory is exhausted");
        if (run.error[0])
            good = refuse(error, "%s", run.error);
    }
    verify_records_close(&records);
    release(&run);
    result->wall_seconds = now() - began;
    return good;
}

bool verify_has_seed(const char *path, uint64_t *seed) {
    return verify_records_seed(path, seed);
}

bool verify_list(const verify_options *options, FILE *to, char error[512]) {
    verify_run run;
    verify_result result;
    bool bad_input, good = start(&run, options, &result, error, &bad_input);
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
    release(&run);
    verify_result_free(&result);
    return good;
}
