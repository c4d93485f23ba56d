/* Takes the place of the ICD loader's functions that the library calls: each asks verdict(), which the including test
 * defines, and fails with the code that it gives. Counts what was made and not released. */
#ifndef TESTS_SHIM_OPENCL_H
#define TESTS_SHIM_OPENCL_H

#include <clfavor/clfavor.h>
#include <dlfcn.h>
#include <stdatomic.h>

static cl_int verdict(const char *name); /* CL_SUCCESS: the call is made */
static atomic_int alive;                 /* buffers, programs, kernels and events */
static atomic_int retained;              /* retains of contexts less releases; making one does not count */

#define SHIM_REAL(name)                                                                                                \
    __typeof__(name) *real;                                                                                            \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* Calls that make nothing. */
#define SHIM_CALL(name, parameters, arguments)                                                                         \
    cl_int name parameters {                                                                                           \
        SHIM_REAL(name);                                                                                               \
        cl_int code = verdict(#name);                                                                                  \
        return code ? code : real arguments;                                                                           \
    }

/* Calls that return what they made. */
#define SHIM_MAKE(type, name, parameters, arguments)                                                                   \
    type name parameters {                                                                                             \
        SHIM_REAL(name);                                                                                               \
        cl_int failed = verdict(#name);                                                                                \
        if (failed) {                                                                                                  \
            *code = failed;                                                                                            \
            return NULL;                                                                                               \
        }                                                                                                              \
        type made = real arguments;                                                                                    \
        alive += made != NULL;                                                                                         \
        return made;                                                                                                   \
    }

/* Commands, which may make an event. */
#define SHIM_COMMAND(name, parameters, arguments)                                                                      \
    cl_int name parameters {                                                                                           \
        SHIM_REAL(name);                                                                                               \
        cl_int code = verdict(#name);                                                                                  \
        if (code)                                                                                                      \
            return code;                                                                                               \
        code = real arguments;                                                                                         \
        alive += code == CL_SUCCESS && event;                                                                          \
        return code;                                                                                                   \
    }

/* Releases, which do not fail. */
#define SHIM_RELEASE(name, type, count)                                                                                \
    cl_int name(type object) {                                                                                         \
        SHIM_REAL(name);                                                                                               \
        --count;                                                                                                       \
        return real(object);                                                                                           \
    }

cl_int clRetainContext(cl_context context) {
    SHIM_REAL(clRetainContext);
    cl_int code = verdict("clRetainContext");
    if (!code && !(code = real(context)))
        ++retained;
    return code;
}

SHIM_MAKE(cl_mem, clCreateBuffer, (cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *code),
          (context, flags, size, host, code))
SHIM_MAKE(cl_program, clCreateProgramWithSource,
          (cl_context context, cl_uint count, const char **text, const size_t *sizes, cl_int *code),
          (context, count, text, sizes, code))
SHIM_MAKE(cl_program, clCreateProgramWithBinary,
          (cl_context context, cl_uint count, const cl_device_id *devices, const size_t *sizes,
           const unsigned char **binaries, cl_int *status, cl_int *code),
          (context, count, devices, sizes, binaries, status, code))
SHIM_MAKE(cl_kernel, clCreateKernel, (cl_program program, const char *name, cl_int *code), (program, name, code))

SHIM_CALL(clBuildProgram,
          (cl_program program, cl_uint count, const cl_device_id *devices, const char *options,
           void(CL_CALLBACK *notify)(cl_program, void *), void *user),
          (program, count, devices, options, notify, user))
SHIM_CALL(clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t size, const void *value),
          (kernel, index, size, value))
SHIM_CALL(clWaitForEvents, (cl_uint count, const cl_event *events), (count, events))
SHIM_CALL(clGetDeviceInfo, (cl_device_id device, cl_device_info name, size_t size, void *value, size_t *used),
          (device, name, size, value, used))
SHIM_CALL(clGetPlatformInfo, (cl_platform_id platform, cl_platform_info name, size_t size, void *value, size_t *used),
          (platform, name, size, value, used))
SHIM_CALL(clGetContextInfo, (cl_context context, cl_context_info name, size_t size, void *value, size_t *used),
          (context, name, size, value, used))
SHIM_CALL(clGetCommandQueueInfo,
          (cl_command_queue queue, cl_command_queue_info name, size_t size, void *value, size_t *used),
          (queue, name, size, value, used))
SHIM_CALL(clGetMemObjectInfo, (cl_mem mem, cl_mem_info name, size_t size, void *value, size_t *used),
          (mem, name, size, value, used))
SHIM_CALL(clGetProgramInfo, (cl_program program, cl_program_info name, size_t size, void *value, size_t *used),
          (program, name, size, value, used))
SHIM_CALL(clGetProgramBuildInfo,
          (cl_program program, cl_device_id device, cl_program_build_info name, size_t size, void *value, size_t *used),
          (program, device, name, size, value, used))
SHIM_CALL(clGetKernelWorkGroupInfo,
          (cl_kernel kernel, cl_device_id device, cl_kernel_work_group_info name, size_t size, void *value,
           size_t *used),
          (kernel, device, name, size, value, used))

SHIM_COMMAND(clEnqueueNDRangeKernel,
             (cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset, const size_t *global,
              const size_t *local, cl_uint waits, const cl_event *wait_list, cl_event *event),
             (queue, kernel, dims, offset, global, local, waits, wait_list, event))
SHIM_COMMAND(clEnqueueWriteBuffer,
             (cl_command_queue queue, cl_mem to, cl_bool block, size_t offset, size_t size, const void *from,
              cl_uint waits, const cl_event *wait_list, cl_event *event),
             (queue, to, block, offset, size, from, waits, wait_list, event))
SHIM_COMMAND(clEnqueueBarrierWithWaitList,
             (cl_command_queue queue, cl_uint waits, const cl_event *wait_list, cl_event *event),
             (queue, waits, wait_list, event))

SHIM_RELEASE(clReleaseContext, cl_context, retained)
SHIM_RELEASE(clReleaseMemObject, cl_mem, alive)
SHIM_RELEASE(clReleaseProgram, cl_program, alive)
SHIM_RELEASE(clReleaseKernel, cl_kernel, alive)
SHIM_RELEASE(clReleaseEvent, cl_event, alive)

#endif
