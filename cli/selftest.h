/* One report on a device that can be attached to an issue: what it is, whether the library is right on it, how fast.
 * Nothing in it tells of the machine's name, its users or its files. */
#ifndef CLI_SELFTEST_H
#define CLI_SELFTEST_H

#include <jansson.h>

#include "session.h"

typedef struct selftest_request {
    const char *device, *tuning;
    bool classes[3];           /* by clfavor_device_class; AUTO: the device's own */
    const char *const *suites; /* of the verification; count 0: all */
    size_t suite_count;
} selftest_request;

/* Does everything. *out: the report, whatever failed in the work itself; json_decref it. Returns CLI_OK, CLI_FAILED
 * where a check or the work failed, or an error that was printed and leaves *out NULL. */
int selftest_run(const selftest_request *request, json_t **out);

/* The report for people, with the JSON at its end. false: memory is exhausted, or the stream failed. */
bool selftest_write(const void *report, FILE *to);

#endif
