#include "sync/rwlock.h"

#include "base/clock.h"
#include "base/options.h"
#include "shm/segment.h"
#include "sync/hooks.h"

#include <string.h>

#define OWNER_BYTES_FIRST sizeof(brood_owner)
#define WORDS_A_LINE (BROOD__LINE / sizeof(brood__roll_word))

/* A reader's death rings no bell. A writer that waits looks soon at first, and never later
 * than this, which leaves the promised 100 ms some room. */
#define SLICE_FIRST_NS 500000
#define SLICE_LAST_NS 50000000

int brood_rwlock_create(brood_shared *shared, brood_rwlock **ret_rwlock)
{
    struct brood__header *header;
    brood_rwlock *rwlock = NULL;
    uint32_t shift = 0;
    int r;

    if (ret_rwlock == NULL)
        return -EINVAL;
    r = brood__segment_of(shared, &header);
    if (r < 0)
        return r;
    while (((uint64_t)WORDS_A_LINE << shift) < header->members_max)
        shift++;
    r = brood__object_alloc(shared, sizeof *rwlock + ((size_t)BROOD__LINE << shift), &rwlock);
    if (r < 0)
        return r;
    rwlock->lines_shift = shift;
    r = brood__robust_init(&rwlock->mutex);
    if (r < 0) {
        (void)brood__object_free(&rwlock->object);
        return r;
    }
    brood__object_finish(&rwlock->object, BROOD__RWLOCK);
    *ret_rwlock = rwlock;
    return 0;
}

/* ---- small questions ---- */

static int check(const brood_rwlock *rwlock)
{
    return rwlock == NULL ? -EINVAL : brood__object_check(&rwlock->object, BROOD__RWLOCK);
}

static int enter(const brood_rwlock *rwlock)
{
    return rwlock == NULL ? -EINVAL : brood__object_enter(&rwlock->object, BROOD__RWLOCK);
}

static struct brood__header *header_of(const brood_rwlock *rwlock)
{
    return brood__object_header(&rwlock->object);
}

static uint32_t gate_of(const brood_rwlock *rwlock)
{
    return atomic_load_explicit(&rwlock->gate, memory_order_seq_cst);
}

static void set_gate(brood_rwlock *rwlock, uint32_t gate)
{
    atomic_store_explicit(&rwlock->gate, gate, memory_order_release);
}

/* Whether the calling thread, which has entered the segment, has the mutex. */
static bool held(const brood_rwlock *rwlock)
{
    uint32_t word =
        atomic_load_explicit(brood__robust_word(&rwlock->mutex), memory_order_relaxed);

    return (word & BROOD__TID_MASK) == (uint32_t)brood__here.tid;
}

static brood__roll_word *my_word(brood_rwlock *rwlock)
{
    return brood__rwlock_word(rwlock, brood__here.slot);
}

/* How often the calling thread has it for reading. */
static uint32_t my_depth(const brood__roll_word *word)
{
    uint64_t value = atomic_load_explicit(word, memory_order_relaxed);

    return brood__roll_generation(value) == brood__here.generation ? brood__roll_value(value)
                                                                   : 0;
}

/* Speaks for the calling thread in its own word, before it looks at the gate or the bell. */
static void say(brood__roll_word *word, uint32_t depth)
{
    (void)atomic_exchange_explicit(word, brood__roll_pack(brood__here.generation, depth),
                                   memory_order_seq_cst);
}

/* The same where nobody is to be noticed in return. */
static void say_quietly(brood__roll_word *word, uint32_t depth)
{
    atomic_store_explicit(word, brood__roll_pack(brood__here.generation, depth),
                          memory_order_release);
}

/* Whether the thread of a slot is on the roll, and lives. */
static bool reads(brood_rwlock *rwlock, uint32_t index)
{
    uint64_t word =
        atomic_load_explicit(brood__rwlock_word(rwlock, index), memory_order_seq_cst);

    return brood__roll_counts(header_of(rwlock), index, word);
}

/* How long a call may wait. The clock is read only by those who do. */
struct limit {
    int64_t timeout;
    int64_t deadline; /* 0: not known yet */
};

static bool may_wait(struct limit *limit)
{
    if (limit->deadline == 0)
        (void)brood__deadline(limit->timeout, &limit->deadline);
    return limit->timeout != BROOD_NOWAIT;
}

/* ---- with the mutex ---- */

static void forget_note(brood_rwlock *rwlock)
{
    if (atomic_load_explicit(&rwlock->since, memory_order_relaxed) != 0)
        atomic_store_explicit(&rwlock->since, 0, memory_order_relaxed);
}

/* Leaves a note that somebody waits since now, for brood_rwlock_writer(). */
static void note_wait(brood_rwlock *rwlock)
{
    int64_t none = 0;

    if (atomic_load_explicit(&rwlock->since, memory_order_relaxed) == 0 &&
        gate_of(rwlock) == BROOD__GATE_WRITING)
        (void)atomic_compare_exchange_strong(&rwlock->since, &none, brood__now());
}

/*
 * Opens the gate, or leaves it poisoned, and gives the mutex up.
 *
 * Before   The calling thread has the mutex.
 * After    Others may come in, or hear that they may not.
 * Dying    before the gate's store hands on what the gate says; after it, a mutex with
 *          nothing to repair.
 */
static void leave(brood_rwlock *rwlock, uint32_t gate)
{
    forget_note(rwlock);
    set_gate(rwlock, gate);
    brood__robust_unlock(&rwlock->mutex);
    brood__object_changed(&rwlock->object);
}

/*
 * Takes the mutex to itself, waiting if somebody has it. 0 or a negative errno; the gate
 * says what the one before left.
 */
static int take(brood_rwlock *rwlock, struct limit *limit)
{
    int r = brood__robust_try(&rwlock->mutex);

    if (r == -EBUSY) {
        if (held(rwlock))
            return -EDEADLK;
        if (!may_wait(limit))
            return -ETIMEDOUT;
        note_wait(rwlock);
        r = brood__robust_lock(header_of(rwlock), &rwlock->mutex, limit->deadline);
    }
    if (r == -EOWNERDEAD) {
        brood__robust_repaired(&rwlock->mutex); /* the gate knows what is to be repaired */
        r = 0;
    }
    if (r == 0 && gate_of(rwlock) == BROOD__GATE_POISONED) {
        brood__robust_unlock(&rwlock->mutex);
        r = -ENOTRECOVERABLE;
    }
    return r;
}

/*
 * Before   A writer died inside; the calling thread has the mutex, and nobody is in.
 * After    1: repaired by the hook; 0: the caller is to repair; -ENOTRECOVERABLE: poisoned,
 *          without the mutex.
 * Dying    leaves the gate at WRITING, so that the next one comes here again.
 */
static int recover(brood_rwlock *rwlock)
{
    int r;

    forget_note(rwlock); /* the dead one's */
    r = brood__hook_run(rwlock);
    /* The hook may have used another segment, so that brood__here speaks of that. */
    (void)brood__enter(header_of(rwlock));
    if (r < 0) {
        leave(rwlock, BROOD__GATE_POISONED);
        return -ENOTRECOVERABLE;
    }
    return r;
}

/* ---- reading ---- */

static void turn_away(brood_rwlock *rwlock, brood__roll_word *word)
{
    say(word, 0);
    brood__bell_ring(&rwlock->bell, 1); /* a writer may have taken us for a reader */
}

/*
 * Comes in by way of the mutex.
 *
 * Before   The gate was not OPEN; the calling thread is not on the roll.
 * After    It is on the roll. With BROOD_LOCK_RECOVERED and no hook it also keeps the
 *          mutex, and the gate stays WRITING: nobody else is in.
 * Dying    leaves a word that does not count, and the mutex with the gate as it is.
 */
static int acquire_read_slowly(brood_rwlock *rwlock, brood__roll_word *word, int64_t timeout)
{
    struct limit limit = { timeout, 0 };
    int r;

    turn_away(rwlock, word);
    if (gate_of(rwlock) == BROOD__GATE_POISONED)
        return -ENOTRECOVERABLE;
    r = take(rwlock, &limit);
    if (r < 0)
        return r;
    if (gate_of(rwlock) == BROOD__GATE_WRITING) {
        r = recover(rwlock);
        if (r < 0)
            return r;
        say_quietly(word, 1);
        if (r > 0)
            leave(rwlock, BROOD__GATE_OPEN);
        return BROOD_LOCK_RECOVERED;
    }
    say_quietly(word, 1); /* the next writer takes the mutex first, and then sees it */
    leave(rwlock, BROOD__GATE_OPEN);
    return 0;
}

int brood_rwlock_acquire_read(brood_rwlock *rwlock, int64_t timeout)
{
    brood__roll_word *word;
    uint32_t depth;
    int r = enter(rwlock);

    if (r < 0)
        return r;
    if (timeout < BROOD_FOREVER)
        return -EINVAL;
    word = my_word(rwlock);
    depth = my_depth(word);
    if (depth != 0) {
        if (depth == UINT32_MAX)
            return -EOVERFLOW;
        say_quietly(word, depth + 1);
        return 0;
    }
    say(word, 1); /* pairs with the writer's closing of the gate */
    if (__builtin_expect(gate_of(rwlock) == BROOD__GATE_OPEN, 1))
        return 0;
    return acquire_read_slowly(rwlock, word, timeout);
}

static void release_read_slowly(brood_rwlock *rwlock)
{
    if (held(rwlock))
        leave(rwlock, BROOD__GATE_OPEN); /* had it alone, to repair */
    else
        brood__bell_ring(&rwlock->bell, 1);
}

int brood_rwlock_release_read(brood_rwlock *rwlock)
{
    brood__roll_word *word;
    uint32_t depth;
    int r = enter(rwlock);

    if (r < 0)
        return r;
    word = my_word(rwlock);
    depth = my_depth(word);
    if (depth == 0)
        return -EPERM;
    if (depth > 1) {
        say_quietly(word, depth - 1);
        return 0;
    }
    say(word, 0);
    if (__builtin_expect(gate_of(rwlock) != BROOD__GATE_OPEN, 0))
        release_read_slowly(rwlock);
    brood__object_changed(&rwlock->object);
    return 0;
}

/* ---- writing ---- */

static bool spin_while_reads(brood_rwlock *rwlock, uint32_t index)
{
    for (unsigned i = brood__spin_count(); i > 0 && reads(rwlock, index); i--)
        brood__pause();
    return reads(rwlock, index);
}

/* Waits for one reader to leave or die. */
static int await_reader(brood_rwlock *rwlock, uint32_t index, int64_t deadline,
                        int64_t *slice_ns)
{
    while (reads(rwlock, index)) {
        uint32_t seen = brood__bell_listen(&rwlock->bell);
        int r;

        if (!reads(rwlock, index))
            break;
        r = brood__bell_sleep(&rwlock->bell, seen, deadline, *slice_ns);
        if (r < 0)
            return r;
        if (atomic_load_explicit(&rwlock->bell.turn, memory_order_relaxed) != seen)
            continue;
        if (*slice_ns < SLICE_LAST_NS)
            *slice_ns = *slice_ns * 2 < SLICE_LAST_NS ? *slice_ns * 2 : SLICE_LAST_NS;
        else
            (void)brood__slot_verify(header_of(rwlock), index);
    }
    return 0;
}

/*
 * Before   The gate is CLOSING, so whoever is not on the roll now will not come in.
 * After    Nobody is in; or -ETIMEDOUT.
 */
static int await_readers(brood_rwlock *rwlock, struct limit *limit)
{
    int64_t slice_ns = SLICE_FIRST_NS;
    uint32_t used;

    (void)atomic_fetch_or(&rwlock->gate, 0); /* a slot not counted here sees the gate */
    used = brood__slots_used(header_of(rwlock));
    for (uint32_t i = 0; i < used; i++) {
        int r;

        if (!reads(rwlock, i))
            continue;
        if (!may_wait(limit))
            return -ETIMEDOUT;
        if (!spin_while_reads(rwlock, i))
            continue;
        r = await_reader(rwlock, i, limit->deadline, &slice_ns);
        if (r < 0)
            return r;
    }
    return 0;
}

/*
 * With the mutex, and nothing to repair.
 *
 * Dying    up to the last store leaves the gate at OPEN or CLOSING, which the next one to
 *          take the mutex makes OPEN; after it, at WRITING.
 */
static int close_gate(brood_rwlock *rwlock, struct limit *limit)
{
    int r;

    /* Pairs with say(): the reader that this does not keep out is on the roll by now. */
    (void)atomic_exchange_explicit(&rwlock->gate, BROOD__GATE_CLOSING, memory_order_seq_cst);
    r = await_readers(rwlock, limit);
    if (r < 0) {
        leave(rwlock, BROOD__GATE_OPEN);
        return r;
    }
    forget_note(rwlock); /* one that came too late for an earlier tenure */
    set_gate(rwlock, BROOD__GATE_WRITING);
    return 0;
}

int brood_rwlock_acquire_write(brood_rwlock *rwlock, int64_t timeout)
{
    struct limit limit = { timeout, 0 };
    int r = enter(rwlock);

    if (r < 0)
        return r;
    if (timeout < BROOD_FOREVER)
        return -EINVAL;
    if (my_depth(my_word(rwlock)) != 0)
        return -EDEADLK;
    r = take(rwlock, &limit);
    if (r < 0)
        return r;
    if (gate_of(rwlock) != BROOD__GATE_WRITING)
        return close_gate(rwlock, &limit);
    r = recover(rwlock);
    return r < 0 ? r : BROOD_LOCK_RECOVERED;
}

int brood_rwlock_release_write(brood_rwlock *rwlock)
{
    int r = enter(rwlock);

    if (r < 0)
        return r;
    if (!held(rwlock) || my_depth(my_word(rwlock)) != 0)
        return -EPERM;
    leave(rwlock, BROOD__GATE_OPEN);
    return 0;
}

/* ---- the rest ---- */

int brood_rwlock_poison(brood_rwlock *rwlock)
{
    int r = enter(rwlock);

    if (r < 0)
        return r;
    if (!held(rwlock))
        return -EPERM;
    say_quietly(my_word(rwlock), 0);
    leave(rwlock, BROOD__GATE_POISONED);
    return 0;
}

int brood_rwlock_set_repair(brood_rwlock *rwlock, brood_repair_function *repair, void *user)
{
    int r = check(rwlock);

    return r < 0 ? r : brood__hook_set(rwlock, repair, user);
}

int brood_rwlock_writer(brood_rwlock *rwlock, brood_owner *ret_owner)
{
    brood_owner owner = BROOD_OWNER_INIT;
    struct brood__slot *slot;
    uint32_t index;
    pid_t tid;
    int r = enter(rwlock);

    if (r < 0)
        return r;
    tid = brood__robust_owner(&rwlock->mutex);
    if (gate_of(rwlock) != BROOD__GATE_WRITING || tid == 0 ||
        brood__slot_find(header_of(rwlock), tid, &index) < 0)
        return 0; /* without a slot: it has died just now */
    if (ret_owner == NULL)
        return 1;
    note_wait(rwlock);
    slot = brood__slot_at(header_of(rwlock), index);
    owner.pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    owner.tid = tid;
    memcpy(owner.name, slot->name, sizeof owner.name);
    owner.name[sizeof owner.name - 1] = '\0';
    owner.since = atomic_load_explicit(&rwlock->since, memory_order_relaxed);
    r = brood__result_write(ret_owner, OWNER_BYTES_FIRST, &owner, sizeof owner);
    return r < 0 ? r : 1;
}

static int count_readers(brood_rwlock *rwlock)
{
    uint32_t used = brood__slots_used(header_of(rwlock));
    int count = 0;

    for (uint32_t i = 0; i < used; i++)
        count += reads(rwlock, i);
    return count;
}

int brood_rwlock_readers(brood_rwlock *rwlock)
{
    int r = enter(rwlock);

    return r < 0 ? r : count_readers(rwlock);
}

int brood_rwlock_destroy(brood_rwlock *rwlock)
{
    int r;

    if (rwlock == NULL)
        return 0;
    r = enter(rwlock);
    if (r == 0 && (brood__robust_owner(&rwlock->mutex) != 0 || count_readers(rwlock) != 0))
        r = -EBUSY;
    if (r == 0)
        r = brood__hook_set(rwlock, NULL, NULL);
    return r == 0 ? brood__object_free(&rwlock->object) : r;
}
