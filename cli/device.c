#define _GNU_SOURCE /* strcasestr */
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

#ifndef CL_PLATFORM_NOT_FOUND_KHR
#define CL_PLATFORM_NOT_FOUND_KHR (-1001)
#endif

static const char install[] = "install an OpenCL driver (Debian: apt install pocl-opencl-icd for the CPU, or the GPU "
                              "vendor's) and see what clinfo lists";

static void device_text(cl_device_id id, cl_device_info what, char text[DEVICE_TEXT]) {
    if (clGetDeviceInfo(id, what, DEVICE_TEXT, text, NULL) != CL_SUCCESS)
        snprintf(text, DEVICE_TEXT, "unknown");
    text[DEVICE_TEXT - 1] = '\0';
}

static bool device_flag(cl_device_id id, cl_device_info what) {
    cl_bool flag = CL_FALSE;
    return clGetDeviceInfo(id, what, sizeof flag, &flag, NULL) == CL_SUCCESS && flag;
}

static void fill(device_entry *entry) {
    cl_device_id id = entry->id;
    device_text(id, CL_DEVICE_NAME, entry->name);
    device_text(id, CL_DEVICE_VERSION, entry->version);
    if (clGetPlatformInfo(entry->platform, CL_PLATFORM_NAME, DEVICE_TEXT, entry->platform_name, NULL) != CL_SUCCESS)
        snprintf(entry->platform_name, DEVICE_TEXT, "unknown");
    if (clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof entry->type, &entry->type, NULL) != CL_SUCCESS)
        entry->type = 0;
    int major = 0, minor = 0;
    if (sscanf(entry->version, "OpenCL %d.%d", &major, &minor) != 2 || major < 1 || (major == 1 && minor < 2))
        snprintf(entry->problem, DEVICE_TEXT, "it has %.100s, but 1.2 is needed", entry->version);
    else if (!device_flag(id, CL_DEVICE_AVAILABLE))
        snprintf(entry->problem, DEVICE_TEXT, "the driver says that it is not available");
    else if (!device_flag(id, CL_DEVICE_COMPILER_AVAILABLE))
        snprintf(entry->problem, DEVICE_TEXT, "its driver has no OpenCL C compiler");
}

int device_list(device_entry **out, size_t *count) {
    *out = NULL;
    *count = 0;
    cl_platform_id platforms[32];
    cl_uint platform_count = 0;
    cl_int code = clGetPlatformIDs(32, platforms, &platform_count);
    if (code == CL_PLATFORM_NOT_FOUND_KHR || (code == CL_SUCCESS && platform_count == 0))
        return cli_error(CLI_NO_DEVICE, "no OpenCL platform found; %s", install);
    if (code != CL_SUCCESS)
        return cli_error(CLI_NO_DEVICE, "the OpenCL platforms cannot be listed (clGetPlatformIDs: %d); %s", code,
                         install);
    for (cl_uint p = 0; p < platform_count && p < 32; ++p) {
        cl_device_id ids[64];
        cl_uint found = 0;
        if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 64, ids, &found) != CL_SUCCESS)
            continue;
        found = found < 64 ? found : 64;
        device_entry *grown = realloc(*out, (*count + found) * sizeof **out);
        if (!grown) {
            free(*out);
            *out = NULL;
            return cli_error(CLI_FAILED, "host memory is exhausted");
        }
        *out = grown;
        for (cl_uint d = 0; d < found; ++d) {
            grown[*count] =
                (device_entry){.platform = platforms[p], .id = ids[d], .platform_index = p, .device_index = d};
            fill(&grown[(*count)++]);
        }
    }
    if (*count == 0) {
        free(*out);
        *out = NULL;
        return cli_error(CLI_NO_DEVICE, "%u OpenCL platform(s) found, but no device; %s", platform_count, install);
    }
    return CLI_OK;
}

static bool matches(const device_entry *entry, const char *selector) {
    unsigned p, d;
    int used = -1;
    if (strspn(selector, "0123456789:") == strlen(selector) && sscanf(selector, "%9u:%9u%n", &p, &d, &used) == 2 &&
        used >= 0 && selector[used] == '\0')
        return entry->platform_index == p && entry->device_index == d;
    return strcasestr(entry->name, selector) || strcasestr(entry->platform_name, selector);
}

static int rank(const device_entry *entry) {
    if (entry->problem[0])
        return 0;
    return entry->type & CL_DEVICE_TYPE_GPU ? 3 : entry->type & CL_DEVICE_TYPE_ACCELERATOR ? 2 : 1;
}

int device_choose(const device_entry *devices, size_t count, const char *selector, size_t *chosen,
                  char why[DEVICE_TEXT]) {
    const char *source = "--device";
    if (!selector) {
        selector = getenv("CLFAVOR_DEVICE");
        source = "CLFAVOR_DEVICE";
    }
    bool selected = selector && *selector;
    const device_entry *best = NULL;
    size_t fit = 0;
    for (size_t i = 0; i < count; ++i)
        if (!selected || matches(&devices[i], selector)) {
            ++fit;
            if (!best || rank(&devices[i]) > rank(best))
                best = &devices[i];
        }
    if (!best)
        return cli_error(CLI_NO_DEVICE,
                         "%s '%s' matches no device; give P:D or a part of a name that `clfavor devices` lists", source,
                         selector);
    if (best->problem[0])
        return cli_error(CLI_NO_DEVICE, "device %u:%u (%s) cannot be used: %s; choose another or %s",
                         best->platform_index, best->device_index, best->name, best->problem, install);
    *chosen = (size_t)(best - devices);
    static const char *const kinds[] = {"", "first CPU, since there is no usable GPU or accelerator",
                                        "first accelerator, since there is no usable GPU", "first GPU"};
    if (selected)
        snprintf(why, DEVICE_TEXT, "%s '%.100s' matches it%s", source, selector,
                 fit > 1 ? " first of several" : " and no other");
    else
        snprintf(why, DEVICE_TEXT, "%s", kinds[rank(best)]);
    return CLI_OK;
}
