/* What the parts of the engine ask of each other: jobs.c (the list of jobs), work.c (doing them), engine.c (whole
 * runs). */
#ifndef VERIFY_RUN_H
#define VERIFY_RUN_H

#include "engine.h"
#include "records.h"

/* error = format with word, false. */
bool verify_refuse(char error[512], const char *format, const char *word);

/* --- jobs.c --- */
bool verify_jobs_build(verify_run *run, char error[512], bool *bad_input);
/* Drops all records, for another seed. */
void verify_jobs_forget(verify_run *run);
void verify_run_release(verify_run *run);

/* --- work.c --- */
/* Does what is selected and not there yet; records: NULL, or where blocks are kept. false: run->error says why. */
bool verify_execute(verify_run *run, verify_records *records);
void verify_judge_all(verify_run *run);

/* --- engine.c --- */
/* An empty run with its jobs; verify_run_release in any case. */
bool verify_run_start(verify_run *run, const verify_options *options, verify_result *result, char error[512],
                      bool *bad_input);
/* What a job's records are called in files. */
uint64_t verify_job_key(const verify_job *job);

#endif
