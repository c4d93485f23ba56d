#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache_folder.h"
#include "message.h"
#include "tuning_file.h"

static void on_log(void *user, clfavor_log_level level, const char *message) {
    session *s = user;
    if (level == CLFAVOR_LOG_ERROR)
        snprintf(s->log, sizeof s->log, "%s", message);
    else if (level == CLFAVOR_LOG_WARNING || getenv("CLFAVOR_LOG"))
        cli_note("%s", message);
}

int session_check(const session *s, clfavor_status status, const char *doing) {
    if (status == CLFAVOR_SUCCESS)
        return CLI_OK;
    int code = CLI_FAILED;
    if (status == CLFAVOR_NO_DEVICE)
        code = CLI_NO_DEVICE;
    else if (status == CLFAVOR_INVALID_ARGUMENT || status == CLFAVOR_INVALID_SHAPE || status == CLFAVOR_UNSUPPORTED ||
             status == CLFAVOR_NOT_FINITE)
        code = CLI_USAGE;
    return cli_error(code, "%s failed: %s (%s%s%s)%s", doing, clfavor_status_message(status),
                     clfavor_status_name(status), s->log[0] ? ": " : "", s->log,
                     status == CLFAVOR_WORKSPACE ? "; give fewer --pieces or --features" : "");
}

int session_check_cl(cl_int code, const char *doing) {
    if (code == CL_SUCCESS)
        return CLI_OK;
    const char *meaning = code == CL_MEM_OBJECT_ALLOCATION_FAILURE ? "the device's memory is exhausted"
                          : code == CL_OUT_OF_RESOURCES            ? "the device ran out of resources"
                          : code == CL_OUT_OF_HOST_MEMORY          ? "host memory is exhausted"
                          : code == CL_INVALID_BUFFER_SIZE         ? "larger than the device can allocate"
                          : code == CL_DEVICE_NOT_AVAILABLE        ? "the device is not available"
                                                                   : "see CL/cl.h for the code";
    return cli_error(CLI_FAILED, "%s failed: OpenCL error %d, %s", doing, code, meaning);
}

/* With the rows of a file; what the library has against one of them is told with the file's name. */
static int make_context(session *s, const session_request *request) {
    tuning_file file;
    int status = tuning_file_read(&file, tuning_file_path(request->tuning));
    if (!status) {
        char folder[4096];
        clfavor_context_desc desc = {.struct_size = sizeof desc,
                                     .context = s->cl,
                                     .device = s->device.id,
                                     .device_class = request->device_class,
                                     .log = on_log,
                                     .log_user = s,
                                     .kernel_dir = request->kernel_dir,
                                     .tuning = file.rows,
                                     .tuning_count = file.count,
                                     .cache_dir = cache_folder(folder, sizeof folder)};
        clfavor_status made = clfavor_context_create(&s->context, &desc);
        size_t row;
        int used = 0;
        if (made == CLFAVOR_INVALID_ARGUMENT && sscanf(s->log, "tuning row %zu: %n", &row, &used) == 1 && used)
            status =
                cli_error(CLI_USAGE, "'%s': rows[%zu]: %s; correct or remove that row", file.path, row, s->log + used);
        else
            status = session_check(s, made, "opening the device");
    }
    tuning_file_close(&file);
    return status;
}

int session_open_device(session *s, const device_entry *device, const session_request *request) {
    *s = (session){.device = *device, .info.struct_size = sizeof s->info};
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    cl_int code;
    int status;
    s->cl = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
    if (!(status = session_check_cl(code, "making the OpenCL context"))) {
        s->queue = clCreateCommandQueue(s->cl, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
        status = session_check_cl(code, "making the command queue");
    }
    if (!status)
        status = make_context(s, request);
    if (!status)
        status = session_check(s, clfavor_context_get_info(s->context, &s->info), "opening the device");
    if (status) {
        session_close(s);
        return status;
    }
    clGetDeviceInfo(device->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof s->max_allocation, &s->max_allocation, NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof s->global_memory, &s->global_memory, NULL);
    return CLI_OK;
}

int session_open(session *s, const session_request *request) {
    *s = (session){0};
    device_entry *devices;
    size_t count, chosen;
    char why[DEVICE_TEXT];
    int status = device_list(&devices, &count);
    if (!status)
        status = device_choose(devices, count, request->selector, &chosen, why);
    if (!status)
        status = session_open_device(s, &devices[chosen], request);
    free(devices);
    return status;
}

void session_close(session *s) {
    clfavor_context_destroy(s->context);
    if (s->queue)
        clReleaseCommandQueue(s->queue);
    if (s->cl)
        clReleaseContext(s->cl);
    *s = (session){0};
}

int session_check_size(const session *s, const char *what, uint64_t bytes) {
    if (bytes <= s->max_allocation && bytes <= SIZE_MAX)
        return CLI_OK;
    return cli_error(CLI_FAILED,
                     "%s takes %" PRIu64 " MiB, but the device allocates at most %" PRIu64
                     " MiB at once; split the input by batch or head, or choose another device",
                     what, (bytes >> 20) + 1, s->max_allocation >> 20);
}

int session_buffer(const session *s, cl_mem_flags flags, uint64_t bytes, void *host, const char *what, cl_mem *out) {
    *out = NULL;
    int status = session_check_size(s, what, bytes);
    if (status)
        return status;
    cl_int code;
    char doing[64];
    snprintf(doing, sizeof doing, "allocating %.40s", what);
    *out = clCreateBuffer(s->cl, flags, (size_t)bytes, host, &code);
    return session_check_cl(code, doing);
}
