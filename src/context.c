/* The context: what the device can do, which class of kernels suits it, and the log. */
#include "cache.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"
#include "program.h"
#include "tuning.h"

void clfavor_log(const clfavor_context *context, clfavor_log_level level, const char *format, ...) {
    if (!context || !context->log)
        return;
    char line[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    context->log(context->log_user, level, line);
}

clfavor_status clfavor_desc_check(const clfavor_context *context, const char *name, void *own, size_t own_size,
                                  const void *theirs) {
    if (clfavor_desc_read(own, own_size, theirs))
        return CLFAVOR_SUCCESS;
    return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT,
                          "%s: NULL, or a struct_size below %zu, or fields set past the %zu bytes that are known", name,
                          sizeof own_size, own_size);
}

clfavor_status clfavor_check_cl(const clfavor_context *context, cl_int code, const char *call) {
    if (code == CL_SUCCESS)
        return CLFAVOR_SUCCESS;
    clfavor_log(context, CLFAVOR_LOG_ERROR, "%s failed with OpenCL code %d", call, (int)code);
    switch (code) {
    case CL_OUT_OF_HOST_MEMORY:
        return CLFAVOR_OUT_OF_MEMORY;
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_RESOURCES:
    case CL_INVALID_BUFFER_SIZE:
        return CLFAVOR_DEVICE_MEMORY;
    default:
        return CLFAVOR_OPENCL;
    }
}

static clfavor_status query(clfavor_context *context, cl_device_info name, size_t size, void *value, const char *what) {
    memset(value, 0, size);
    return clfavor_check_cl(context, clGetDeviceInfo(context->device, name, size, value, NULL), what);
}

static clfavor_status query_device(clfavor_context *context, clfavor_device_class wanted) {
    cl_device_type type;
    cl_uint width, units;
    cl_ulong local, allocation;
    size_t work_group;
    clfavor_status status;
#define QUERY(name, variable)                                                                                          \
    if ((status = query(context, name, sizeof(variable), &(variable), "clGetDeviceInfo(" #name ")")))                  \
    return status
    QUERY(CL_DEVICE_TYPE, type);
    QUERY(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, width);
    QUERY(CL_DEVICE_MAX_COMPUTE_UNITS, units);
    QUERY(CL_DEVICE_LOCAL_MEM_SIZE, local);
    QUERY(CL_DEVICE_MAX_MEM_ALLOC_SIZE, allocation);
    QUERY(CL_DEVICE_MAX_WORK_GROUP_SIZE, work_group);
#undef QUERY
    context->compute_units = units ? units : 1;
    context->local_memory = local;
    context->max_allocation = allocation;
    context->max_work_group = work_group;
    context->vector_width = width >= 16 ? 16 : width >= 8 ? 8 : 4;
    bool cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    context->is_cpu = cpu;
    if (wanted == CLFAVOR_CLASS_AUTO) {
        context->device_class = cpu ? CLFAVOR_CLASS_CPU : CLFAVOR_CLASS_GPU;
        snprintf(context->reason, sizeof context->reason, "the device reports the type %s",
                 cpu                                 ? "CPU"
                 : type & CL_DEVICE_TYPE_GPU         ? "GPU"
                 : type & CL_DEVICE_TYPE_ACCELERATOR ? "ACCELERATOR"
                                                     : "other than CPU");
    } else {
        context->device_class = wanted;
        snprintf(context->reason, sizeof context->reason, "asked for by the caller; the device reports the type %s",
                 cpu ? "CPU" : "other than CPU");
    }
    context->panel = context->device_class == CLFAVOR_CLASS_CPU ? 2 * context->vector_width : 16;
    context->token_panel = (context->vector_width == 16 ? 2 : 3) * context->vector_width;
    return CLFAVOR_SUCCESS;
}

/* The device must be one of the OpenCL context's. */
static clfavor_status check_member(clfavor_context *context) {
    size_t size = 0;
    clfavor_status status = clfavor_check_cl(context, clGetContextInfo(context->cl, CL_CONTEXT_DEVICES, 0, NULL, &size),
                                             "clGetContextInfo");
    if (status)
        return status;
    cl_device_id *devices = malloc(size ? size : 1);
    if (!devices)
        return CLFAVOR_OUT_OF_MEMORY;
    status = clfavor_check_cl(context, clGetContextInfo(context->cl, CL_CONTEXT_DEVICES, size, devices, NULL),
                              "clGetContextInfo");
    bool found = false;
    for (size_t i = 0; !status && i < size / sizeof *devices; ++i)
        found |= devices[i] == context->device;
    free(devices);
    if (!status && !found)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH, "the device is not one of the OpenCL context's devices");
    return status;
}

clfavor_status clfavor_context_create(clfavor_context **out, const clfavor_context_desc *user_desc) {
    clfavor_context_desc desc;
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    if (!clfavor_desc_read(&desc, sizeof desc, user_desc))
        return CLFAVOR_INVALID_ARGUMENT;
    if (!desc.context || !desc.device || (unsigned)desc.device_class > CLFAVOR_CLASS_GPU) {
        const clfavor_context logger = {.log = desc.log, .log_user = desc.log_user};
        return CLFAVOR_REFUSE(&logger, CLFAVOR_INVALID_ARGUMENT,
                              "a context needs an OpenCL context, a device and a class of 0 to 2; they are %s, %s, %d",
                              desc.context ? "given" : "NULL", desc.device ? "given" : "NULL", (int)desc.device_class);
    }
    clfavor_context *context = calloc(1, sizeof *context);
    if (!context)
        return CLFAVOR_OUT_OF_MEMORY;
    if (mtx_init(&context->lock, mtx_plain) != thrd_success) {
        free(context);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    atomic_init(&context->references, 1);
    context->log = desc.log;
    context->log_user = desc.log_user;
    context->device = desc.device;
    clfavor_status status = clfavor_check_cl(context, clRetainContext(desc.context), "clRetainContext");
    if (!status)
        context->cl = desc.context;
    if (!status)
        status = check_member(context);
    if (!status)
        status = query_device(context, desc.device_class);
    if (!status)
        status = clfavor_device_names(context);
    if (!status) {
        clfavor_device_compiler(context);
        status = clfavor_tuning_choose(context, desc.tuning, desc.tuning ? desc.tuning_count : 0);
    }
    if (!status && desc.kernel_dir) {
        size_t size = strlen(desc.kernel_dir) + 1;
        context->kernel_dir = malloc(size);
        if (context->kernel_dir)
            memcpy(context->kernel_dir, desc.kernel_dir, size);
        else
            status = CLFAVOR_OUT_OF_MEMORY;
    }
    if (!status)
        status = clfavor_cache_open(context, &desc);
    if (status) {
        clfavor_context_destroy(context);
        return status;
    }
    clfavor_log(context, CLFAVOR_LOG_INFO, "class %s: %s", context->device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu",
                context->reason);
    *out = context;
    return CLFAVOR_SUCCESS;
}

void clfavor_context_retain(clfavor_context *context) {
    atomic_fetch_add(&context->references, 1);
}

void clfavor_context_destroy(clfavor_context *context) {
    if (!context || atomic_fetch_sub(&context->references, 1) != 1)
        return;
    clfavor_programs_release(context);
    if (context->cl)
        clReleaseContext(context->cl);
    mtx_destroy(&context->lock);
    clfavor_cache_close(context);
    free(context->kernel_dir);
    free(context);
}

clfavor_status clfavor_context_get_info(const clfavor_context *context, clfavor_context_info *info) {
    if (!context || !info)
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_context_info own = {.device_class = context->device_class,
                                .vector_width = context->vector_width,
                                .compute_units = context->compute_units,
                                .local_memory = context->local_memory,
                                .tuning = context->tuning};
    mtx_t *lock = &((clfavor_context *)context)->lock;
    mtx_lock(lock);
    own.programs = context->program_count;
    own.build_seconds = context->build_seconds;
    mtx_unlock(lock);
    memcpy(own.reason, context->reason, sizeof own.reason);
    memcpy(own.architecture, context->architecture, sizeof own.architecture);
    own.backend = clfavor_tuning_backend(context, own.backend_reason, sizeof own.backend_reason);
    if (context->device_class == CLFAVOR_CLASS_GPU) {
        own.fused = *clfavor_tuning_fused(context);
        own.fused.vendor = own.fused.architecture = own.fused.device = NULL;
        own.fused_local_memory = clfavor_tuning_local_bytes(&own.fused);
    }
    memcpy(own.tuning_reason, context->tuning_reason, sizeof own.tuning_reason);
    return clfavor_info_write(info, &own, sizeof own);
}
