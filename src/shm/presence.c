#include "shm/presence.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/fence.h"
#include "base/fork_lock.h"
#include "base/linux.h"
#include "base/stamp.h"
#include "shm/robust.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local struct brood__here brood__here;

/* The other segments this thread has entered lately. One that has more than so many finds
 * its slot by looking for it. */
#define SEAT_COUNT 8
static _Thread_local struct brood__here seats[SEAT_COUNT];
static _Thread_local unsigned next_seat;

const char *(*brood__presence_namer)(void);

/* What is the same for all threads of the process, found out once. */
static struct brood__fork_lock own_lock = BROOD__FORK_LOCK_INIT;
static struct {
    pid_t pid; /* of the process that the rest speaks of */
    uint64_t start;
    uint64_t pid_namespace;
    char name[BROOD__SLOT_NAME_BYTES];
} own;

/*
 * musl 1.2 leaves a forked child the head of its parent's robust list: the first mutex that
 * the child locks would be linked to those the parent holds, in shared memory, by addresses
 * that mean nothing to the parent. So a thread remembers where its head is, while the kernel
 * still knows it.
 */
#ifdef __GLIBC__
static void note_robust_head(void)
{
}

static void empty_robust_list(void)
{
}
#else
static _Thread_local void **robust_head;

static void note_robust_head(void)
{
    size_t bytes;

    if (syscall(SYS_get_robust_list, 0, &robust_head, &bytes) < 0)
        robust_head = NULL;
}

static void empty_robust_list(void)
{
    if (robust_head != NULL)
        robust_head[0] = robust_head;
}
#endif

static void forget_in_child(void)
{
    empty_robust_list();
    if (next_seat != 0) {
        memset(&brood__here, 0, sizeof brood__here);
        memset(seats, 0, sizeof seats);
        next_seat = 0;
    }
    /* The child may have its parent's number: in a new namespace, or when it came again. */
    if (own.pid != 0)
        own.pid = 0;
    brood__fork_lock_reset(&own_lock);
}

static void __attribute__((constructor)) install(void)
{
    (void)pthread_atfork(NULL, NULL, forget_in_child);
}

static uint64_t namespace_now(void)
{
    struct stat status;

    return stat("/proc/self/ns/pid", &status) == 0 ? (uint64_t)status.st_ino : 0;
}

static void name_from_proc(char *name)
{
    ssize_t n = 0;

    name[0] = '\0';
    if (brood__read_file("/proc/self/comm", name, BROOD__SLOT_NAME_BYTES, &n) == 0)
        name[strcspn(name, "\n")] = '\0';
}

/* With own_lock held. */
static void know_own(void)
{
    pid_t pid = brood__process_id();
    const char *name;

    if (own.pid == pid)
        return;
    if (brood__start_time(pid, &own.start) < 0)
        own.start = 0;
    own.pid_namespace = namespace_now();
    name = brood__presence_namer == NULL ? NULL : brood__presence_namer();
    if (name != NULL)
        (void)snprintf(own.name, sizeof own.name, "%s", name);
    else
        name_from_proc(own.name);
    own.pid = pid;
}

/* What is done with own_lock held reads files, which a thread may be cancelled in. */
static int lock_own(void)
{
    int state;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    brood__fork_lock(&own_lock);
    return state;
}

static void unlock_own(int state)
{
    brood__fork_unlock(&own_lock);
    (void)pthread_setcancelstate(state, NULL);
}

uint64_t brood__pid_namespace(void)
{
    uint64_t number;
    int state = lock_own();

    know_own();
    number = own.pid_namespace;
    unlock_own(state);
    return number;
}

int brood__presence_init(struct brood__header *header)
{
    return brood__robust_init(&header->slots_lock);
}

/* ---- who is alive ---- */

bool brood__slot_alive(struct brood__header *header, uint32_t index)
{
    struct brood__slot *slot = brood__slot_at(header, index);

    return brood__robust_owner(&slot->life) != 0;
}

int brood__thread_since(pid_t tid, uint64_t *ret_ticks)
{
    uint64_t ticks;
    int r = brood__running_since(tid, ret_ticks);

    /* A zombie is in /proc. What is not there and yet gets signals is only hidden. */
    if (r == -ESRCH && brood__start_time(tid, &ticks) < 0 &&
        (syscall(SYS_tkill, tid, 0) == 0 || errno != ESRCH))
        r = -EACCES;
    return r;
}

bool brood__slot_verify(struct brood__header *header, uint32_t index)
{
    struct brood__slot *slot = brood__slot_at(header, index);
    _Atomic uint32_t *word = brood__robust_word(&slot->life);
    uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
    uint64_t start = 0, noted;
    int r;

    if ((seen & BROOD__TID_MASK) == 0)
        return false;
    r = brood__thread_since((pid_t)(seen & BROOD__TID_MASK), &start);
    noted = atomic_load_explicit(&slot->thread_start, memory_order_relaxed);
    if (r != -ESRCH && (r < 0 || noted == 0 || start == noted))
        return true; /* it runs, or nobody can say */
    return !atomic_compare_exchange_strong(word, &seen, BROOD__OWNER_DIED) &&
           brood__slot_alive(header, index);
}

bool brood__thread_alive(struct brood__header *header, uint32_t index, uint32_t generation)
{
    struct brood__slot *slot;

    if (index >= brood__slots_used(header))
        return false;
    slot = brood__slot_at(header, index);
    return atomic_load_explicit(&slot->generation, memory_order_acquire) == generation &&
           brood__slot_alive(header, index);
}

/* Whether a process that we know by pid and start time has a thread left. A pidfd tells a
 * zombie from a process whose first thread has ended; without one (no descriptor is free) a
 * zombie passes for alive. The start time is looked at after the pidfd was opened, so the two
 * speak of one process. */
static bool process_runs(pid_t pid, uint64_t start)
{
    uint64_t found = 0;
    bool runs = true;
    int pidfd, r;

    if (pid <= 0)
        return false;
    pidfd = brood__pidfd_open(pid);
    if (pidfd == -ESRCH)
        return false;
    r = brood__start_time(pid, &found);
    if (r == 0 && start != 0 && found != start)
        runs = false;
    else if (pidfd >= 0) /* also where /proc does not show it */
        runs = brood__pidfd_alive(pidfd);
    else
        runs = r == 0 || brood__thread_since(pid, &found) != -ESRCH;
    brood__fd_close(&pidfd);
    return runs;
}

bool brood__process_alive(struct brood__header *header, uint32_t index, uint32_t tenancy)
{
    struct brood__slot *slot;
    uint64_t start;
    pid_t pid;

    if (index >= brood__slots_used(header))
        return false;
    slot = brood__slot_at(header, index);
    if (atomic_load_explicit(&slot->tenancy, memory_order_acquire) != tenancy)
        return false;
    if (brood__slot_alive(header, index))
        return true;
    pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    start = atomic_load_explicit(&slot->process_start, memory_order_relaxed);
    return process_runs(pid, start) &&
           atomic_load_explicit(&slot->tenancy, memory_order_acquire) == tenancy;
}

int brood__slot_find(struct brood__header *header, pid_t tid, uint32_t *ret_index)
{
    uint32_t used = brood__slots_used(header);

    for (uint32_t i = 0; i < used; i++)
        if (brood__robust_owner(&brood__slot_at(header, i)->life) == tid) {
            *ret_index = i;
            return 0;
        }
    return -ESRCH;
}

/* ---- a slot for this thread ---- */

enum { SLOT_OTHERS, SLOT_FREE, SLOT_OURS };

static int slot_state(struct brood__header *header, uint32_t index)
{
    struct brood__slot *slot = brood__slot_at(header, index);
    pid_t pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    uint64_t start = atomic_load_explicit(&slot->process_start, memory_order_relaxed);

    if (brood__slot_alive(header, index))
        return SLOT_OTHERS;
    if (pid == own.pid && start == own.start)
        return SLOT_OURS;
    return process_runs(pid, start) ? SLOT_OTHERS : SLOT_FREE;
}

/* A dead slot of ours, else one whose process is gone, else one never used. */
static int choose(struct brood__header *header, uint32_t *ret_index, bool *ret_ours)
{
    uint32_t used = brood__slots_used(header);
    int found = SLOT_OTHERS;

    for (uint32_t i = 0; i < used; i++) {
        struct brood__slot *slot = brood__slot_at(header, i);

        /* Asking about a process costs a system call or three: once is enough. */
        if (found == SLOT_FREE &&
            atomic_load_explicit(&slot->pid, memory_order_relaxed) != own.pid)
            continue;
        switch (slot_state(header, i)) {
        case SLOT_OURS:
            *ret_index = i;
            *ret_ours = true;
            return 0;
        case SLOT_FREE:
            if (found == SLOT_OTHERS) {
                *ret_index = i;
                found = SLOT_FREE;
            }
            break;
        default: break;
        }
    }
    *ret_ours = false;
    if (found == SLOT_FREE)
        return 0;
    if (used < header->members_max) {
        *ret_index = used;
        return 0;
    }
    for (uint32_t i = 0; i < used; i++) /* the kernel's word, before giving up */
        if (!brood__slot_verify(header, i) && slot_state(header, i) == SLOT_FREE) {
            *ret_index = i;
            return 0;
        }
    return -EUSERS;
}

/* 0: unknown. */
static uint64_t thread_start(pid_t tid)
{
    uint64_t start = own.start;

    if (tid != own.pid && brood__start_time(tid, &start) < 0)
        start = 0;
    return start;
}

/*
 * Before   The slot is unused or dead, slots_lock and own_lock are held.
 * After    The slot is alive, under new counters.
 * Dying    before `life` is held leaves it dead, under counters that nobody has seen alive.
 */
static void claim(struct brood__header *header, uint32_t index, bool ours,
                  struct brood__here *ret_here)
{
    struct brood__slot *slot = brood__slot_at(header, index);
    uint32_t used = brood__slots_used(header);
    int r;

    if (index == used) {
        /* Zero bytes may be no robust mutex: the slot counts as used only with one. */
        (void)brood__robust_init(&slot->life);
        atomic_store_explicit(&header->slots_used, used + 1, memory_order_release);
    }
    atomic_fetch_add_explicit(&slot->generation, 1, memory_order_acq_rel);
    if (!ours)
        atomic_fetch_add_explicit(&slot->tenancy, 1, memory_order_acq_rel);
    ret_here->header = header;
    ret_here->slot = index;
    ret_here->tid = (pid_t)syscall(SYS_gettid);
    ret_here->generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    ret_here->tenancy = atomic_load_explicit(&slot->tenancy, memory_order_relaxed);
    atomic_store_explicit(&slot->pid, own.pid, memory_order_relaxed);
    atomic_store_explicit(&slot->process_start, own.start, memory_order_relaxed);
    atomic_store_explicit(&slot->tid, ret_here->tid, memory_order_relaxed);
    atomic_store_explicit(&slot->thread_start, thread_start(ret_here->tid),
                          memory_order_relaxed);
    memcpy(slot->name, own.name, sizeof slot->name);
    /* Taking the mutex only acquires. Pairs with the load of its word by who asks if it lives:
     * one that does is seen with its own id and start time, not with its predecessor's. */
    brood__fence(memory_order_release);
    r = brood__robust_try(&slot->life);
    if (r == -EOWNERDEAD)
        brood__robust_repaired(&slot->life);
    assert(r == 0 || r == -EOWNERDEAD);
    ret_here->list = brood__robust_list_of(&slot->life);
    note_robust_head();
}

static int register_here(struct brood__header *header, struct brood__here *ret_here)
{
    uint32_t index = 0;
    bool ours = false;
    int r;

    /* Until the slot is ours the lock's own second opinion knows nothing of this thread. */
    r = brood__robust_lock(header, &header->slots_lock, BROOD__NEVER);
    if (r == -EOWNERDEAD)
        brood__robust_repaired(&header->slots_lock); /* claim() leaves nothing to repair */
    else if (r < 0)
        return r;
    r = choose(header, &index, &ours);
    if (r == 0)
        claim(header, index, ours, ret_here);
    brood__robust_unlock(&header->slots_lock);
    return r;
}

/* This thread's slot, if it has one that its seats have forgotten. */
static bool find_again(struct brood__header *header, struct brood__here *ret_here)
{
    pid_t tid = (pid_t)syscall(SYS_gettid);
    struct brood__slot *slot;
    uint64_t start, noted;
    uint32_t index;

    if (brood__slot_find(header, tid, &index) < 0)
        return false;
    slot = brood__slot_at(header, index);
    ret_here->header = header;
    ret_here->slot = index;
    ret_here->tid = tid;
    ret_here->list = brood__here.list;
    ret_here->generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    ret_here->tenancy = atomic_load_explicit(&slot->tenancy, memory_order_relaxed);
    /* A thread that died unnoticed may have had this id. */
    start = thread_start(tid);
    noted = atomic_load_explicit(&slot->thread_start, memory_order_relaxed);
    return atomic_load_explicit(&slot->pid, memory_order_relaxed) == own.pid &&
           atomic_load_explicit(&slot->process_start, memory_order_relaxed) == own.start &&
           (start == noted || start == 0 || noted == 0);
}

int brood__enter_slow(struct brood__header *header)
{
    struct brood__here here = { 0 };
    int state, r = 0;

    for (unsigned i = 0; i < SEAT_COUNT; i++)
        if (seats[i].header == header) {
            brood__here = seats[i];
            return 0;
        }
    state = lock_own();
    know_own();
    if (own.pid_namespace != header->pid_namespace)
        r = -EXDEV;
    else if (!find_again(header, &here))
        r = register_here(header, &here);
    unlock_own(state);
    if (r < 0)
        return r;
    seats[next_seat % SEAT_COUNT] = here;
    next_seat = next_seat % SEAT_COUNT + 1; /* never 0 again: something to forget */
    brood__here = here;
    return 0;
}

bool brood__leave(struct brood__header *header)
{
    pid_t pid = brood__process_id();
    pid_t tid = (pid_t)syscall(SYS_gettid);
    bool others = false;

    for (uint32_t i = 0; i < brood__slots_used(header); i++) {
        struct brood__slot *slot = brood__slot_at(header, i);
        pid_t owner = brood__robust_owner(&slot->life);

        if (owner == 0 || atomic_load_explicit(&slot->pid, memory_order_relaxed) != pid)
            continue;
        if (owner == tid)
            brood__robust_unlock(&slot->life);
        else
            others = true;
    }
    /* The thread is still who it is: it may hold others'. But a seat may be in this segment by
     * another mapping of it; those of other segments are found again. */
    brood__here.header = NULL;
    memset(seats, 0, sizeof seats);
    return !others;
}
