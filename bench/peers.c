#include "peers_list.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void peer_note(const peer_notes *notes, const char *format, ...) {
    if (!notes->note)
        return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; ++c) /* messages of other programs may hold anything */
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    notes->note(notes->user, line);
}

void peer_list_add(peer_list *list, bench_peer *peer) {
    bench_peer **items = realloc(list->items, (list->count + 1) * sizeof(bench_peer *));
    if (!items) {
        peer_note(&list->notes, "%s: host memory is exhausted", peer->name);
        peer->close(peer);
        return;
    }
    list->items = items;
    items[list->count++] = peer;
}

bench_peer **bench_peers_open(const bench_inputs *inputs, unsigned threads, cl_context cl, cl_device_id device,
                              void (*note)(void *user, const char *line), void *user, size_t *count) {
    peer_list list = {.notes = {note, user}};
    threads = threads ? threads : 1;
    peers_open_python(&list, inputs, threads);
    peers_open_openblas(&list, inputs, threads);
#ifdef BENCH_CLBLAST
    if (cl && !inputs->causal)
        peers_open_clblast(&list, inputs, cl, device);
#else
    (void)cl;
    (void)device;
    if (!inputs->causal)
        peer_note(&list.notes, "clblast: not built in; install CLBlast (libclblast-dev) and configure again");
#endif
    *count = list.count;
    return list.items;
}

const char *bench_peer_name(const bench_peer *peer) {
    return peer->name;
}

bench_computes bench_peer_computes(const bench_peer *peer) {
    return peer->computes;
}

double bench_peer_run(bench_peer *peer) {
    return peer->run(peer);
}

const float *bench_peer_result(bench_peer *peer) {
    return peer->result(peer);
}

void bench_peers_close(bench_peer **peers, size_t count) {
    for (size_t i = 0; i < count; ++i)
        peers[i]->close(peers[i]);
    free(peers);
}
