/* What a device is called, and what its compiler can be asked for. */
#include "device.h"

#include <stdio.h>

/* Queries of vendors' extensions (cl_nv_device_attribute_query, cl_amd_device_attribute_query). */
#define COMPUTE_CAPABILITY_MAJOR_NV 0x4000
#define COMPUTE_CAPABILITY_MINOR_NV 0x4001
#define SUB_GROUP_SIZES_INTEL       0x4108 /* cl_intel_required_subgroup_size */

/* Of ASCII; tolower asks the locale. */
static char lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Whether `part` is in `text`, whatever the case. */
bool clfavor_contains(const char *text, const char *part) {
    for (; *text; ++text) {
        size_t i = 0;
        while (part[i] && lower(text[i]) == lower(part[i]))
            ++i;
        if (!part[i])
            return true;
    }
    return !*part;
}

static clfavor_status query_text(clfavor_context *context, cl_device_info what, char *text, size_t size,
                                 const char *call) {
    char value[1024] = "";
    size_t length = 0;
    cl_int code = clGetDeviceInfo(context->device, what, 0, NULL, &length);
    if (code == CL_SUCCESS && length <= sizeof value)
        code = clGetDeviceInfo(context->device, what, length, value, NULL);
    clfavor_status status = clfavor_check_cl(context, code, call);
    value[sizeof value - 1] = '\0';
    snprintf(text, size, "%.*s", (int)(size - 1), value);
    return status;
}

clfavor_status clfavor_device_names(clfavor_context *context) {
    clfavor_status status;
    if ((status = query_text(context, CL_DEVICE_VENDOR, context->vendor, sizeof context->vendor,
                             "clGetDeviceInfo(CL_DEVICE_VENDOR)")) ||
        (status = query_text(context, CL_DEVICE_NAME, context->name, sizeof context->name,
                             "clGetDeviceInfo(CL_DEVICE_NAME)")))
        return status;
    cl_uint major = 0, minor = 0;
    char *out = context->architecture;
    size_t size = sizeof context->architecture;
    out[0] = '\0';
    if (context->is_cpu)
        snprintf(out, size, "cpu");
    else if (clfavor_contains(context->vendor, "nvidia") &&
             clGetDeviceInfo(context->device, COMPUTE_CAPABILITY_MAJOR_NV, sizeof major, &major, NULL) == CL_SUCCESS &&
             clGetDeviceInfo(context->device, COMPUTE_CAPABILITY_MINOR_NV, sizeof minor, &minor, NULL) == CL_SUCCESS)
        snprintf(out, size, "sm_%u%u", major, minor);
    else if (strncmp(context->name, "gfx", 3) == 0) /* AMD's name of a device is its architecture, then its features */
        snprintf(out, size, "%.*s", (int)strcspn(context->name, ":- "), context->name);
    return CLFAVOR_SUCCESS;
}

static bool has_extension(cl_device_id device, const char *name) {
    char list[16384];
    size_t size = 0, length = strlen(name);
    if (clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, sizeof list - 1, list, &size) != CL_SUCCESS)
        return false;
    list[size] = '\0';
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

/* sm_70 and before have more spills under a limit than work-groups by it. */
void clfavor_device_compiler(clfavor_context *context) {
    size_t sizes[16], length = 0;
    context->sub_group = 0;
    cl_uint major = 0;
    if (!has_extension(context->device, "cl_nv_compiler_options") ||
        clGetDeviceInfo(context->device, COMPUTE_CAPABILITY_MAJOR_NV, sizeof major, &major, NULL) != CL_SUCCESS)
        major = 0;
    context->limits_registers = major >= 8;
    if (context->is_cpu || !has_extension(context->device, "cl_intel_required_subgroup_size") ||
        clGetDeviceInfo(context->device, SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &length) != CL_SUCCESS)
        return;
    for (size_t i = 0; i < length / sizeof *sizes; ++i)
        if (!context->sub_group || sizes[i] < context->sub_group)
            context->sub_group = (uint32_t)sizes[i];
}
