/** @file status.h
 *  Status codes: one list makes the enum, the names and the messages. The values are part of the ABI and never change.
 */
#ifndef CLFAVOR_STATUS_H
#define CLFAVOR_STATUS_H

/** X(value, name, message) for every status. */
#define CLFAVOR_STATUS_LIST(X)                                                                                         \
    X(0, SUCCESS, "success")                                                                                           \
    X(-1, INVALID_ARGUMENT, "an argument is missing or has a value that is not allowed")                               \
    X(-2, INVALID_SHAPE, "a dimension is zero, too large or does not fit the others")                                  \
    X(-3, INVALID_TENSOR, "a tensor's offset, strides or buffer do not fit its shape")                                 \
    X(-4, OVERLAP, "an output overlaps another tensor or itself")                                                      \
    X(-5, MISMATCH, "the objects do not belong together (device, context, map, dimensions)")                           \
    X(-6, UNSUPPORTED, "this combination is valid but not supported yet")                                              \
    X(-7, OUT_OF_MEMORY, "host memory is exhausted")                                                                   \
    X(-8, DEVICE_MEMORY, "the device cannot allocate or address this much memory")                                     \
    X(-9, WORKSPACE, "the workspace is missing, too small, or its limit cannot hold one head's state")                 \
    X(-10, NO_DEVICE, "no usable OpenCL device")                                                                       \
    X(-11, BUILD_FAILED, "the OpenCL compiler rejected a kernel; the build log went to the log callback")              \
    X(-12, OPENCL, "an OpenCL call failed; its name and code went to the log callback")                                \
    X(-13, SOURCE, "a kernel source file could not be read")                                                           \
    X(-14, NOT_FINITE, "a parameter is NaN or infinite")

/** What every function of the library that can fail returns. */
typedef enum clfavor_status {
#define CLFAVOR_STATUS_ENUM(value, name, message) CLFAVOR_##name = (value),
    CLFAVOR_STATUS_LIST(CLFAVOR_STATUS_ENUM)
#undef CLFAVOR_STATUS_ENUM
} clfavor_status;

#endif
