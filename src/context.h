/* The context: what the device can do, the log, and the programs built so far. */
#ifndef CLFAVOR_CONTEXT_H
#define CLFAVOR_CONTEXT_H

#include <stdatomic.h>
#include <threads.h>

#include "common.h"

typedef struct clfavor_program_entry clfavor_program_entry; /* program.c */

struct clfavor_context {
    atomic_uint references; /* one for the user, one for each object made from it */
    cl_context cl;
    cl_device_id device;
    clfavor_log_fn log;
    void *log_user;
    char *kernel_dir;
    char *cache_dir;      /* of cache.c; NULL: built programs are not kept */
    uint64_t cache_limit; /* bytes */
    clfavor_device_class device_class;
    char reason[160];
    bool is_cpu;           /* the device, whatever the class */
    uint32_t sub_group;    /* Intel GPUs: the smallest one that can be asked for; 0: there is no such extension */
    bool limits_registers; /* NVIDIA from sm_80 on: the compiler takes a limit of registers a work-item */
    char vendor[64], name[256], architecture[64];
    clfavor_tuning tuning; /* with every size; its strings are the next ones */
    char tuning_vendor[64], tuning_architecture[64], tuning_device[256];
    char tuning_reason[160];
    uint32_t vector_width; /* lanes of the cpu class's vectors: 4, 8 or 16 */
    uint32_t panel;        /* rows of a packed panel of weights: 2 vectors (cpu), 16 (gpu) */
    uint32_t token_panel;  /* tokens of a panel, TOKENS of kernels/cpu_tile.clh */
    uint32_t compute_units;
    uint64_t local_memory;   /* bytes */
    uint64_t max_allocation; /* bytes */
    uint64_t max_work_group;
    mtx_t lock; /* guards what follows */
    clfavor_program_entry *programs;
    uint32_t program_count;
    double build_seconds;
};

void clfavor_context_retain(clfavor_context *context);

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void clfavor_log(const clfavor_context *context, clfavor_log_level level, const char *format, ...);

/* clfavor_desc_read with a line in the log when it refuses. */
clfavor_status clfavor_desc_check(const clfavor_context *context, const char *name, void *own, size_t own_size,
                                  const void *theirs);

/* Maps an OpenCL code to a status; a failure is logged with the call's name and code. */
clfavor_status clfavor_check_cl(const clfavor_context *context, cl_int code, const char *call);

/* Logs why and returns the status: one line at each place that refuses something. */
#define CLFAVOR_REFUSE(context, status, ...) (clfavor_log((context), CLFAVOR_LOG_ERROR, __VA_ARGS__), (status))

#endif
