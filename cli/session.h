/* One device opened for work: OpenCL context, in-order profiling queue and clfavor context. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "device.h"

typedef struct session {
    device_entry device;
    cl_context cl;
    cl_command_queue queue;
    clfavor_context *context;
    clfavor_context_info info;
    uint64_t max_allocation, global_memory; /* bytes */
    char log[512];                          /* the library's last error */
} session;

/* What a session is opened with; every field may be 0. */
typedef struct session_request {
    const char *selector; /* of the device */
    clfavor_device_class device_class;
    const char *tuning;     /* a file of tuning rows; NULL: $CLFAVOR_TUNING, "": none */
    const char *kernel_dir; /* as in clfavor_context_desc */
} session_request;

/* Each returns CLI_OK or an error that was printed. */
int session_open(session *s, const session_request *request);
int session_open_device(session *s, const device_entry *device, const session_request *request);
void session_close(session *s);

/* Print what failed, and why as far as the library or the code tells, and return the exit code. Both return CLI_OK for
 * success. */
int session_check(const session *s, clfavor_status status, const char *doing);
int session_check_cl(cl_int code, const char *doing);

/* Refuses what cannot fit before anything is allocated. what: "Q" and the like. */
int session_check_size(const session *s, const char *what, uint64_t bytes);

/* Makes a buffer. */
int session_buffer(const session *s, cl_mem_flags flags, uint64_t bytes, void *host, const char *what, cl_mem *out);

#endif
