#include "device_info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "tune.h"

/* Of OpenCL 2.1 and 3.0, whose headers need not be there. */
#define MAX_NUM_SUB_GROUPS 0x105C
#define PREFERRED_MULTIPLE 0x1067

const char *device_class_name(clfavor_device_class device_class) {
    return device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu";
}

json_t *device_row(const clfavor_tuning *row) {
    char text[BENCH_TEXT];
    return json_string(bench_row_name(row, text));
}

static json_t *text_of(cl_device_id id, cl_device_info what) {
    char text[DEVICE_TEXT] = "unknown";
    clGetDeviceInfo(id, what, sizeof text, text, NULL);
    text[sizeof text - 1] = '\0';
    json_t *value = json_string(text);
    return value ? value : json_string("unknown"); /* a name that is no UTF-8 */
}

static json_t *bytes_of(cl_device_id id, cl_device_info what) {
    cl_ulong value = 0;
    clGetDeviceInfo(id, what, sizeof value, &value, NULL);
    return json_integer((json_int_t)value);
}

static json_t *size_of(cl_device_id id, cl_device_info what) {
    size_t value = 0;
    clGetDeviceInfo(id, what, sizeof value, &value, NULL);
    return json_integer((json_int_t)value);
}

static bool has_extension(cl_device_id id, const char *extension) {
    size_t size = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &size) != CL_SUCCESS || size == 0)
        return false;
    char *list = malloc(size + 1);
    bool found = false;
    if (list && clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, size, list, NULL) == CL_SUCCESS) {
        list[size] = '\0';
        char *rest;
        for (char *word = strtok_r(list, " ", &rest); word && !found; word = strtok_r(NULL, " ", &rest))
            found = strcmp(word, extension) == 0;
    }
    free(list);
    return found;
}

static bool has_sub_groups(cl_device_id id) {
    cl_uint most = 0; /* of OpenCL 2.1 and later */
    return has_extension(id, "cl_khr_subgroups") || has_extension(id, "cl_intel_subgroups") ||
           (clGetDeviceInfo(id, MAX_NUM_SUB_GROUPS, sizeof most, &most, NULL) == CL_SUCCESS && most > 0);
}

/* Asked of the device where it has OpenCL 3.0, else of a kernel of one line. 0: unknown. */
static size_t preferred_multiple(const session *s) {
    static const char *source = "kernel void f(global int *x) { x[get_global_id(0)] = 0; }";
    size_t multiple = 0;
    if (clGetDeviceInfo(s->device.id, PREFERRED_MULTIPLE, sizeof multiple, &multiple, NULL) == CL_SUCCESS && multiple)
        return multiple;
    cl_int code;
    cl_program program = clCreateProgramWithSource(s->cl, 1, &source, NULL, &code);
    if (code == CL_SUCCESS && clBuildProgram(program, 1, &s->device.id, "", NULL, NULL) == CL_SUCCESS) {
        cl_kernel kernel = clCreateKernel(program, "f", &code);
        if (code == CL_SUCCESS) {
            if (clGetKernelWorkGroupInfo(kernel, s->device.id, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
                                         sizeof multiple, &multiple, NULL) != CL_SUCCESS)
                multiple = 0;
            clReleaseKernel(kernel);
        }
    }
    if (program)
        clReleaseProgram(program);
    return multiple;
}

/* The class, and what the library would do with it. */
static void describe_class(json_t *object, const session *s) {
    const clfavor_context_info *info = &s->info;
    size_t multiple = preferred_multiple(s);
    json_object_set_new(object, "preferred_work_group_multiple",
                        multiple ? json_integer((json_int_t)multiple) : json_null());
    json_object_set_new(object, "class", json_string(device_class_name(info->device_class)));
    json_object_set_new(object, "class_reason", json_string(info->reason));
    json_object_set_new(object, "architecture", info->architecture[0] ? json_string(info->architecture) : json_null());
    json_object_set_new(object, "tuning", device_row(&info->tuning));
    json_object_set_new(object, "tuning_reason", json_string(info->tuning_reason));
    if (info->device_class == CLFAVOR_CLASS_CPU)
        return;
    json_object_set_new(object, "backend", json_string(bench_backend_name(info->backend)));
    json_object_set_new(object, "backend_reason", json_string(info->backend_reason));
    json_object_set_new(object, "fused",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "group", (json_int_t)info->fused.group, "rows",
                                  (json_int_t)info->fused.rows, "features", (json_int_t)info->fused.features, "columns",
                                  (json_int_t)info->fused.columns, "step", (json_int_t)info->fused.step,
                                  "local_memory_bytes", (json_int_t)info->fused_local_memory));
}

json_t *device_describe(const device_entry *device, const session_request *request, int *opened) {
    char index[32];
    snprintf(index, sizeof index, "%u:%u", device->platform_index, device->device_index);
    cl_uint units = 0;
    clGetDeviceInfo(device->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    char platform_version[DEVICE_TEXT] = "unknown";
    clGetPlatformInfo(device->platform, CL_PLATFORM_VERSION, sizeof platform_version, platform_version, NULL);
    const char *type = device->type & CL_DEVICE_TYPE_GPU           ? "GPU"
                       : device->type & CL_DEVICE_TYPE_ACCELERATOR ? "accelerator"
                       : device->type & CL_DEVICE_TYPE_CPU         ? "CPU"
                                                                   : "other";
    json_t *object = json_object();
    json_object_set_new(object, "index", json_string(index));
    json_object_set_new(object, "name", text_of(device->id, CL_DEVICE_NAME));
    json_object_set_new(object, "type", json_string(type));
    json_object_set_new(object, "platform", json_string(device->platform_name));
    json_object_set_new(object, "platform_version", json_string(platform_version));
    json_object_set_new(object, "version", text_of(device->id, CL_DEVICE_VERSION));
    json_object_set_new(object, "driver", text_of(device->id, CL_DRIVER_VERSION));
    json_object_set_new(object, "memory_bytes", bytes_of(device->id, CL_DEVICE_GLOBAL_MEM_SIZE));
    json_object_set_new(object, "max_allocation_bytes", bytes_of(device->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE));
    json_object_set_new(object, "local_memory_bytes", bytes_of(device->id, CL_DEVICE_LOCAL_MEM_SIZE));
    json_object_set_new(object, "compute_units", json_integer(units));
    json_object_set_new(object, "max_work_group", size_of(device->id, CL_DEVICE_MAX_WORK_GROUP_SIZE));
    json_object_set_new(object, "sub_groups", json_boolean(has_sub_groups(device->id)));
    json_object_set_new(object, "fp16", json_boolean(has_extension(device->id, "cl_khr_fp16")));
    json_object_set_new(object, "fp64", json_boolean(has_extension(device->id, "cl_khr_fp64")));
    json_object_set_new(object, "usable", json_boolean(!device->problem[0]));
    if (device->problem[0])
        json_object_set_new(object, "problem", json_string(device->problem));
    session s;
    *opened = device->problem[0] ? CLI_NO_DEVICE : session_open_device(&s, device, request);
    if (*opened == CLI_OK) {
        describe_class(object, &s);
        session_close(&s);
    }
    return object;
}
