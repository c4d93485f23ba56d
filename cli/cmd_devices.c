#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "options.h"
#include "report.h"
#include "session.h"

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

static json_t *describe(const device_entry *device) {
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
    json_object_set_new(object, "fp16", json_boolean(has_extension(device->id, "cl_khr_fp16")));
    json_object_set_new(object, "fp64", json_boolean(has_extension(device->id, "cl_khr_fp64")));
    json_object_set_new(object, "usable", json_boolean(!device->problem[0]));
    if (device->problem[0])
        json_object_set_new(object, "problem", json_string(device->problem));
    session s;
    if (!device->problem[0] && session_open_device(&s, device, CLFAVOR_CLASS_AUTO, NULL) == CLI_OK) {
        json_object_set_new(object, "class", json_string(s.info.device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu"));
        json_object_set_new(object, "class_reason", json_string(s.info.reason));
        session_close(&s);
    }
    return object;
}

int cmd_devices(int argc, char **argv) {
    options o;
    int status = options_parse(&o, COMMAND_DEVICES, argc, argv);
    if (status)
        return status == OPTIONS_EXIT ? CLI_OK : status;
    device_entry *devices;
    size_t count, chosen = 0;
    status = device_list(&devices, &count);
    if (status)
        return status;
    char why[DEVICE_TEXT];
    status = device_choose(devices, count, NULL, &chosen, why);
    bool any = status == CLI_OK;

    json_t *list = json_array();
    for (size_t i = 0; i < count; ++i) {
        json_t *device = describe(&devices[i]);
        json_object_set_new(device, "chosen", json_boolean(any && i == chosen));
        if (any && i == chosen)
            json_object_set_new(device, "chosen_reason", json_string(why));
        json_array_append_new(list, device);
    }
    free(devices);
    int printed;
    if (o.json) {
        printed = report_print(json_pack("{s:o}", "devices", list), true);
    } else {
        for (size_t i = 0; i < count; ++i) {
            json_t *device = json_array_get(list, i);
            printf("%s %s\n", json_string_value(json_object_get(device, "index")),
                   json_string_value(json_object_get(device, "name")));
            report_lines(device, "    ", "");
        }
        json_decref(list);
        printed = report_print(json_object(), false); /* flushes */
    }
    return status ? status : printed;
}
