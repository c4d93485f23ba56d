/* Between peers.c and the kinds of peers: what a peer is made of, and where an opened one is put. */
#ifndef BENCH_PEERS_LIST_H
#define BENCH_PEERS_LIST_H

#include "peers.h"

/* First member of every kind's own structure. */
struct bench_peer {
    const char *name;
    bench_computes computes;
    double (*run)(bench_peer *peer);
    const float *(*result)(bench_peer *peer);
    void (*close)(bench_peer *peer); /* frees the peer too */
};

typedef struct peer_notes {
    void (*note)(void *user, const char *line); /* may be NULL */
    void *user;
} peer_notes;

typedef struct peer_list {
    bench_peer **items;
    size_t count;
    peer_notes notes;
} peer_list;

/* Takes the peer over; closes it, with a note, where memory is exhausted. */
void peer_list_add(peer_list *list, bench_peer *peer);
void peer_note(const peer_notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each adds its peers to the list, or tells what is missing. */
void peers_open_python(peer_list *list, const bench_inputs *inputs, unsigned threads);
void peers_open_openblas(peer_list *list, const bench_inputs *inputs, unsigned threads);
void peers_open_clblast(peer_list *list, const bench_inputs *inputs, cl_context cl, cl_device_id device);

#endif
