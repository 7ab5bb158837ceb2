/* What the entries about locks measure: one acquire and release of each peer, and a meeting
 * of each barrier. All peers lie in one shared mapping, made by sync_peers_create(). */
#ifndef BENCH_SYNC_PEERS_H
#define BENCH_SYNC_PEERS_H

#include <stddef.h>

struct sync_peer {
    const char *name;
    const char *against; /* NULL: none */
    double ratio_max;    /* of the time without contention, to `against`; 0: no bar */
    double rate_min;     /* of the rate under contention; 0: no bar */
    void (*pair)(void);
};

/* Ends with a peer without a name. Of those up to SYNC_LOCK_COUNT each pair excludes. */
extern const struct sync_peer sync_peers[];
#define SYNC_LOCK_COUNT 8

int sync_peers_create(void);

/* A meeting of `parties` processes; made for as many by sync_barriers_create(). */
int sync_barriers_create(unsigned parties);
void sync_meet_brood(void);
void sync_meet_pthread(void);

/* For recovery: takes the lock and keeps it; takes it from the dead and gives it back. */
int sync_keep_brood(void);
int sync_take_brood(void); /* 1: its holder had died */
int sync_keep_pthread(void);
int sync_take_pthread(void);

#endif
