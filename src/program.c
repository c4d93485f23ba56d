/* The one place that builds programs; the context keeps each, keyed by file and options. */
#include "program.h"

#include <stdlib.h>
#include <time.h>

#include "cache.h"
#include "kernel_sources.h"

struct clfavor_program_entry {
    clfavor_program_entry *next;
    cl_program program;
    char *key; /* file, a space, options */
};

static double now(void) {
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void log_build(clfavor_context *context, cl_program program, const char *key) {
    size_t size = 0;
    char *text = NULL;
    if (clGetProgramBuildInfo(program, context->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) == CL_SUCCESS && size)
        text = malloc(size + 1);
    if (text && clGetProgramBuildInfo(program, context->device, CL_PROGRAM_BUILD_LOG, size, text, NULL) == CL_SUCCESS) {
        text[size] = '\0';
        clfavor_log(context, CLFAVOR_LOG_ERROR, "%s did not build:", key);
        for (char *line = text, *end; *line; line = end) { /* the log takes one line at a time */
            end = line + strcspn(line, "\n");
            if (*end)
                *end++ = '\0';
            if (*line)
                clfavor_log(context, CLFAVOR_LOG_ERROR, "%s", line);
        }
    }
    free(text);
}

static clfavor_status compile(clfavor_context *context, const char *source, size_t size, const char *options,
                              const char *key, cl_program *out) {
    cl_int code;
    cl_program program = clCreateProgramWithSource(context->cl, 1, &source, &size, &code);
    clfavor_status status = clfavor_check_cl(context, code, "clCreateProgramWithSource");
    if (status)
        return status;
    code = clBuildProgram(program, 1, &context->device, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        log_build(context, program, key);
        status = clfavor_check_cl(context, code, "clBuildProgram");
        clReleaseProgram(program);
        return code == CL_OUT_OF_HOST_MEMORY ? status : CLFAVOR_BUILD_FAILED;
    }
    *out = program;
    return CLFAVOR_SUCCESS;
}

/* *built: by the compiler, not from the cache. */
static clfavor_status build(clfavor_context *context, const char *file, const char *options, const char *key,
                            cl_program *out, bool *built) {
    char *text = NULL;
    size_t size = 0;
    clfavor_status status = clfavor_kernel_load(context->kernel_dir, file, &text, &size);
    if (status)
        return CLFAVOR_REFUSE(context, status, "the kernel source %s could not be read", file);
    clfavor_cache_identity identity;
    clfavor_cache_identify(context, text, size, options, &identity);
    if (!(*out = clfavor_cache_load(context, &identity, options))) {
        status = compile(context, text, size, options, key, out);
        *built = !status;
        if (*built)
            clfavor_cache_store(context, &identity, *out);
    }
    free(identity.text);
    free(text);
    return status;
}

clfavor_status clfavor_program_get(clfavor_context *context, const char *file, const clfavor_options *options,
                                   cl_program *program, bool *built, double *seconds) {
    *built = false;
    *seconds = 0.0;
    if (options->overflow)
        return CLFAVOR_REFUSE(context, CLFAVOR_BUILD_FAILED, "the build options of %s are too long or repeated", file);
    size_t file_size = strlen(file), key_size = file_size + 1 + options->used + 1;
    clfavor_program_entry *entry = calloc(1, sizeof *entry);
    char *key = malloc(key_size);
    if (!entry || !key) {
        free(entry);
        free(key);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    memcpy(key, file, file_size);
    key[file_size] = ' ';
    memcpy(key + file_size + 1, options->text, options->used + 1);

    mtx_lock(&context->lock);
    clfavor_status status = CLFAVOR_SUCCESS;
    const clfavor_program_entry *found = context->programs;
    while (found && strcmp(found->key, key) != 0)
        found = found->next;
    if (found) {
        *program = found->program;
    } else {
        double start = now();
        status = build(context, file, options->text, key, &entry->program, built);
        *seconds = now() - start;
        context->build_seconds += *seconds;
        if (!status) {
            clfavor_log(context, CLFAVOR_LOG_INFO, "%s %s in %.3f s", *built ? "built" : "loaded", key, *seconds);
            *program = entry->program;
            entry->key = key;
            entry->next = context->programs;
            context->programs = entry;
            context->program_count++;
            entry = NULL;
            key = NULL;
        }
    }
    mtx_unlock(&context->lock);
    free(entry);
    free(key);
    return status;
}

void clfavor_programs_release(clfavor_context *context) {
    while (context->programs) {
        clfavor_program_entry *entry = context->programs;
        context->programs = entry->next;
        clReleaseProgram(entry->program);
        free(entry->key);
        free(entry);
    }
}
