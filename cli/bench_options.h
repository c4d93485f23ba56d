/* What the command line of `clfavor bench` asks for. */
#ifndef CLI_BENCH_OPTIONS_H
#define CLI_BENCH_OPTIONS_H

#include "bench.h"
#include "options.h"

typedef struct bench_arguments {
    bench_shape *shapes;
    size_t shape_count;
    bench_work *work; /* what the shapes and flags amount to */
    size_t work_count;
    clfavor_operation operation;
    clfavor_map map;
    uint32_t repeats; /* 0: not given */
    const char *json, *report, *device, *tuning, *kernel_dir;
    clfavor_device_class device_class;
    clfavor_backend backends[4]; /* those given, once each */
    size_t backend_count;
    bool map_given, causal, bidirectional, sweep, peers, fitted;
} bench_arguments;

/* Appends a shape "H,n,d,m"; free(*shapes). Returns CLI_OK or an error that was printed. */
int bench_parse_shape(const char *text, bench_shape **shapes, size_t *count);
/* As options_parse; free with bench_arguments_free in any case. */
int bench_arguments_parse(bench_arguments *a, int argc, char **argv);
void bench_arguments_free(bench_arguments *a);

#endif
