/*
 * What lies at the start of a segment, and where the rest is.
 *
 *     | header | slots, members_max of them | blocks of the heap ... | not reserved yet |
 *     0        slots                        heap                     bytes bytes_max
 *
 * The file has bytes_max bytes from the start and is mapped whole, so nothing ever moves;
 * up to `bytes` its pages are reserved. Places are bytes from the start of the segment.
 *
 * Who writes what: everything up to `created` is written before anybody else can see the
 * segment and never changes. `bytes` and the heap's words change under heap_lock, the use of
 * slots under slots_lock; `root` by one store; the watch words as sync/bell.h says.
 */
#ifndef BROOD__SHM_LAYOUT_H
#define BROOD__SHM_LAYOUT_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define BROOD__SHM_MAGIC UINT64_C(0x646f6f72622e6d68) /* "hm.brood" */
#define BROOD__SHM_VERSION 1

#define BROOD__LINE 64 /* bytes of a cache line */

#define BROOD__BIN_COUNT 128

/* Those who sleep until something happens: see sync/bell.h. */
struct brood__bell {
    _Atomic uint32_t turn;
    _Atomic uint32_t asleep;
};

struct brood__heap {
    pthread_mutex_t lock;
    _Atomic uint64_t used_bytes;
    uint64_t filled[BROOD__BIN_COUNT / 64]; /* a bit for each bin that has a block */
    uint64_t bins[BROOD__BIN_COUNT];        /* the first free block of each size, 0: none */
};

struct brood__header {
    uint64_t magic;
    uint32_t version;
    uint32_t flavour; /* of the C library: mutexes of another one look different */
    uint32_t layout;  /* the program's */
    uint32_t members_max;
    uint64_t bytes_max;
    uint64_t slots;
    uint64_t heap_start;
    uint64_t pid_namespace; /* inode number, 0: unknown */
    int64_t created;        /* nanoseconds since 1970 */

    _Atomic uint64_t bytes;
    _Atomic uint64_t root;
    struct brood__bell watch; /* rings for whoever watches several objects */

    _Alignas(BROOD__LINE) pthread_mutex_t slots_lock;
    _Atomic uint32_t slots_used; /* slots from here on were never used */

    _Alignas(BROOD__LINE) struct brood__heap heap;
};

#endif
