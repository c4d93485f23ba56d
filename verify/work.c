/* Threads that do blocks of jobs, and the judging of what is complete. */
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

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
    bool good = !w->records ||
                verify_records_append(w->records, verify_job_key(job), block, record, (uint32_t)job->size, error);
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
    if (run->options.progress && !run->options.reduced)
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

bool verify_execute(verify_run *run, verify_records *records) {
    work w = {.run = run, .records = records};
    if (!make_tasks(&w)) {
        snprintf(run->error, sizeof run->error, "host memory is exhausted");
        return false;
    }
    char platform_version[256] = "";
    cl_platform_id platform = NULL;
    clGetDeviceInfo(run->options.device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL);
    if (platform)
        clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof platform_version, platform_version, NULL);
    run->turns = verify_needs_turns(platform_version);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    /* one more than processors: one may wait for a compiler */
    size_t count = run->options.workers ? run->options.workers : processors > 0 ? (size_t)processors + 1 : 2;
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

void verify_judge_all(verify_run *run) {
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
