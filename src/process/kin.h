/*
 * Kin: the processes that descend from one, or that carry a mark, found in /proc. Used by
 * the guardian's sweep and by signals to a whole tree. Not async-signal-safe.
 */
#ifndef BROOD__KIN_H
#define BROOD__KIN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A process by pid and start time: a name for good. */
struct brood__kin_ref {
    pid_t pid;
    uint64_t start_time;
};

struct brood__kin {
    struct brood__kin_ref root; /* it and its descendants; pid 0: none */
    pid_t below;                /* its descendants without itself; 0: none */
    const char *mark_id;        /* those marked, and their descendants; NULL: none */
    uint64_t mark_index;        /* with this index; 0: any */
    uint64_t not_before;        /* started at this clock tick or later, for the marked */
    pid_t group;                /* of all these, only who is in this process group; 0: all */
    const struct brood__kin_ref *also; /* these, and their descendants */
    size_t also_count;
    pid_t spare[3]; /* never these, nor what descends from them; 0: nobody */
};

/* Sends a signal to each once. Returns how many there were, or a negative errno. With
 * `ret_refs`, also a list of them for free(), *ret_count long. */
int brood__kin_signal(const struct brood__kin *kin, int signal,
                      struct brood__kin_ref **ret_refs, size_t *ret_count);

/*
 * Kills them all: stops each, so that none can fork away, until no new one turns up, and
 * then kills, until none is left or the deadline is over (-ETIMEDOUT).
 */
int brood__kin_kill(const struct brood__kin *kin, int64_t deadline);

#endif
