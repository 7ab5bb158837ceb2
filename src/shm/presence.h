/*
 * Presence: who uses a segment, and is still alive.
 *
 * Each thread that uses a segment has a slot in it. The slot's mutex, `life`, is robust and
 * held for as long as the thread lives; the kernel marks it when the thread ends, is killed
 * or execs. So "is it alive?" is one load, and needs neither pids, which are used again, nor
 * a helper.
 *
 *     unused --claim--> alive --the thread ends--> dead --claim--> alive ...
 *
 * Two counters name what a slot's owner leaves elsewhere in the segment:
 *
 *     generation   of the thread: changes whenever the slot is claimed. For what ends with
 *                  the thread: locks held, places in a wait.
 *     tenancy      of the process: changes only when another process claims the slot. For
 *                  what ends with the process: memory, permits. A thread's death does not
 *                  mean that its process has stopped writing.
 *
 * Invariant: a slot's counters change before its life does, so a mark under the old counters
 * never looks alive again. A slot whose thread is dead but whose process is not is claimed
 * only by a thread of that process.
 *
 * Who writes what: `life` and all the rest, the thread that claims the slot, under
 * slots_lock; after that nobody until the next claim. Everybody reads.
 *
 * A child made by fork has no slot until it uses the segment: the handler of
 * pthread_atfork() sees to that, so children made by a raw clone() must not use segments.
 */
#ifndef BROOD__SHM_PRESENCE_H
#define BROOD__SHM_PRESENCE_H

#include "shm/layout.h"

#include <stdbool.h>
#include <sys/types.h>

#define BROOD__SLOT_NAME_BYTES 32

struct brood__slot {
    _Alignas(BROOD__LINE) pthread_mutex_t life;
    _Atomic uint32_t generation;
    _Atomic uint32_t tenancy;
    _Atomic int32_t tid;
    _Atomic int32_t pid;
    _Atomic uint64_t thread_start; /* clock ticks since boot; with the id, a name for good;
                                    * 0: unknown, no descriptor was free to ask */
    _Atomic uint64_t process_start;
    char name[BROOD__SLOT_NAME_BYTES]; /* of the process */
};

static_assert(sizeof(struct brood__slot) == 128, "a slot is two cache lines");

struct brood__robust_list;

/* The calling thread in the segment it used last. */
struct brood__here {
    struct brood__header *header;
    uint32_t slot;
    uint32_t generation;
    uint32_t tenancy;
    pid_t tid;
    struct brood__robust_list *list; /* NULL: locks go through the C library */
};
extern _Thread_local struct brood__here brood__here __attribute__((tls_model("initial-exec")));

int brood__enter_slow(struct brood__header *header);

/*
 * Makes brood__here speak of this thread in this segment, claiming a slot the first time.
 * Returns 0, -EUSERS (all slots are in use) or -EXDEV (another PID namespace).
 *
 * Dying in a claim leaves a slot that is unused or dead.
 */
static inline int brood__enter(struct brood__header *header)
{
    return __builtin_expect(brood__here.header == header, 1) ? 0 : brood__enter_slow(header);
}

/* Gives up the calling thread's slot, and forgets its seats. True if no other thread of this
 * process has one that is alive: only then may the segment be unmapped. */
bool brood__leave(struct brood__header *header);

static inline struct brood__slot *brood__slot_at(struct brood__header *header, uint32_t index)
{
    return (struct brood__slot *)((char *)header + header->slots) + index;
}

/* A bound of all slots ever used, for loops. */
static inline uint32_t brood__slots_used(struct brood__header *header)
{
    return atomic_load_explicit(&header->slots_used, memory_order_acquire);
}

/* Whether the slot's thread lives: a load. Wrong only after an OOM kill, or the death of a
 * thread with more than 2048 locks, for as long as nobody calls brood__slot_verify(). */
bool brood__slot_alive(struct brood__header *header, uint32_t index);

/* The same, asking the kernel if the slot says yes; a slot that lies is set right. Some
 * microseconds, for slow paths. */
bool brood__slot_verify(struct brood__header *header, uint32_t index);

/* Whether the thread that was `generation` of the slot lives. */
bool brood__thread_alive(struct brood__header *header, uint32_t index, uint32_t generation);

/* Whether the process that was `tenancy` of the slot lives: cheap while that very thread
 * does, otherwise some microseconds. */
bool brood__process_alive(struct brood__header *header, uint32_t index, uint32_t tenancy);

/* When a thread started, as brood__running_since() says. -ESRCH is the kernel's own word, for
 * /proc may not be there (chroot), or not show the threads of others (hidepid). */
int brood__thread_since(pid_t tid, uint64_t *ret_ticks);

/* The slot of a living thread, or -ESRCH. */
int brood__slot_find(struct brood__header *header, pid_t tid, uint32_t *ret_index);

/* Says what this process is called, or NULL: as in /proc. Set by a constructor of the layer
 * that knows, asked when the process claims its first slot. */
extern const char *(*brood__presence_namer)(void);

/* The inode number of this process's PID namespace, 0 if it cannot be known. */
uint64_t brood__pid_namespace(void);

int brood__presence_init(struct brood__header *header);

#endif
