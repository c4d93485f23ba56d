#include <stdlib.h>

#include "exact.h"

static bool work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    (void)drawn;
    (void)block;
    const verify_exact *exact = job->data;
    return exact->run(worker, exact, (verify_exact_value *)(void *)record);
}

static void judge(verify_run *run, const verify_job *job, const double *const *records) {
    const verify_exact *exact = job->data;
    const verify_exact_value *values = (const verify_exact_value *)(const void *)records[0];
    for (size_t i = 0; i < exact->count; ++i) {
        char name[160];
        snprintf(name, sizeof name, "%s/%s", job->name, exact->labels[i]);
        verify_check check = verify_check_init(job, "bound", values[i].value, values[i].tolerance, 0.0);
        check.name = name;
        verify_add_check(run, &check);
    }
}

void verify_add_exact(verify_run *run, const verify_exact *exact) {
    verify_exact *own = verify_new(run, 1, sizeof *own);
    if (!own)
        return;
    *own = *exact;
    verify_job job = {.suite = "deterministic",
                      .text = exact->text,
                      .method = "bounds of rounding",
                      .exact = (unsigned)exact->count,
                      .blocks = 1,
                      .size = exact->count * sizeof(verify_exact_value) / sizeof(double),
                      .cost = exact->cost,
                      .data = own,
                      .work = work,
                      .judge = judge,
                      .release = free};
    snprintf(job.name, sizeof job.name, "%s", exact->name);
    verify_add_job(run, &job);
}

void verify_suite_deterministic(verify_run *run) {
    verify_exact_numbers(run);
    verify_exact_kernels(run);
    verify_exact_keys(run);
    verify_exact_rules(run);
    verify_exact_fit(run);
}
