#include "peers.h"

bench_peer **bench_peers_open(const bench_inputs *inputs, unsigned threads, cl_context cl, cl_device_id device,
                              void (*note)(void *user, const char *line), void *user, size_t *count) {
    (void)inputs;
    (void)threads;
    (void)cl;
    (void)device;
    *count = 0;
    note(user, "no peers are built in");
    return NULL;
}

const char *bench_peer_name(const bench_peer *peer) {
    (void)peer;
    return "";
}

bench_computes bench_peer_computes(const bench_peer *peer) {
    (void)peer;
    return BENCH_EXACT;
}

double bench_peer_run(bench_peer *peer) {
    (void)peer;
    return 0.0;
}

const float *bench_peer_result(bench_peer *peer) {
    (void)peer;
    return NULL;
}

void bench_peers_close(bench_peer **peers, size_t count) {
    (void)peers;
    (void)count;
}
