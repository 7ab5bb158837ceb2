#include "sync/barrier.h"

#include "base/clock.h"
#include "shm/robust.h"
#include "shm/segment.h"

#include <limits.h>
#include <sched.h>

#define BROKEN BROOD__BARRIER_BROKEN
#define ROUND_SHIFT BROOD__BARRIER_ROUND_SHIFT

#define ROUND_COUNT (1u << (64 - ROUND_SHIFT))
#define ROUNDS_OLD (1u << 20) /* a mark of so many rounds ago is of no use to anybody */

/* The death of one that waits rings no bell, so the others look now and then, never later
 * than the promised 100 ms allow. The first look is not sooner than the kernel's own tick: a
 * nearer timer must be set in hardware, which on a virtual machine costs more than a round. */
#define SLICE_FIRST_NS 10000000
#define SLICE_LAST_NS 50000000

/* Where processors are short, to yield twice lets the others come without anybody being put
 * to sleep and woken. That pays unless something else wants the processors: then a yield
 * takes so long that a sleep would have been over. After one that did, so many rounds go by
 * without, and each time twice as many up to a limit. */
#define YIELD_COUNT 2
#define YIELD_PARTIES 2 /* a processor at most: more would have to run in between */
#define YIELD_NS_MAX 50000
#define ROUNDS_WITHOUT_MIN 64
#define ROUNDS_WITHOUT_MAX 16384

/* Spinning pays if the others run on other processors, now, and wastes time otherwise. So it
 * goes on for longer, up to so many times the usual count, while it has success, and for
 * shorter while it has none; and sometimes it is tried at length, as things may have changed.
 */
#define SPIN_TIMES_MAX 10
#define ROUNDS_BETWEEN_TRIALS 256

enum { WAITING = 1, OUT = 2 }; /* the low bits of a word of the roll */

int brood_barrier_create(brood_shared *shared, uint32_t parties, brood_barrier **ret_barrier)
{
    struct brood__header *header;
    brood_barrier *barrier = NULL;
    int r;

    if (ret_barrier == NULL)
        return -EINVAL;
    r = brood__segment_of(shared, &header);
    if (r < 0)
        return r;
    if (parties == 0 || parties > header->members_max)
        return -EINVAL;
    r = brood__object_alloc(
        shared, sizeof *barrier + header->members_max * sizeof(brood__roll_word), &barrier);
    if (r < 0)
        return r;
    barrier->parties = parties;
    atomic_init(&barrier->calm, ROUNDS_WITHOUT_MIN);
    brood__object_finish(&barrier->object, BROOD__BARRIER);
    *ret_barrier = barrier;
    return 0;
}

/* ---- the state, and what stands on the roll ---- */

static int check(const brood_barrier *barrier)
{
    return barrier == NULL ? -EINVAL : brood__object_check(&barrier->object, BROOD__BARRIER);
}

static int enter(const brood_barrier *barrier)
{
    return barrier == NULL ? -EINVAL : brood__object_enter(&barrier->object, BROOD__BARRIER);
}

static uint64_t state_of(const brood_barrier *barrier)
{
    return atomic_load_explicit(&barrier->state, memory_order_acquire);
}

static uint32_t arrived(uint64_t state)
{
    return (uint32_t)state;
}

static bool same_round(uint64_t a, uint64_t b)
{
    return a >> ROUND_SHIFT == b >> ROUND_SHIFT;
}

/* The next round, with nobody there. */
static uint64_t after(uint64_t state)
{
    return ((state >> ROUND_SHIFT) + 1) << ROUND_SHIFT; /* the oldest bit falls off */
}

/* What a word says in the round of the state. */
static uint32_t mark_of(uint64_t state, uint32_t what)
{
    return (uint32_t)(state >> ROUND_SHIFT) << 2 | what;
}

static bool change(brood_barrier *barrier, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&barrier->state, &from, to,
                                                   memory_order_seq_cst, memory_order_relaxed);
}

static void tell_all(brood_barrier *barrier)
{
    brood__bell_ring(&barrier->bell, INT_MAX);
    brood__object_changed(&barrier->object);
}

/*
 * Breaks the round of `seen`. False: it is over, or was broken by somebody else.
 *
 * Dying    after the exchange leaves the others to find it when their slice ends.
 */
static bool break_round(brood_barrier *barrier, uint64_t seen)
{
    uint64_t state = state_of(barrier);

    while (same_round(state, seen) && (state & BROKEN) == 0) {
        if (change(barrier, state, state | BROKEN)) {
            tell_all(barrier);
            return true;
        }
        state = state_of(barrier);
    }
    return false;
}

/* Whether one that waits in the round of `state` is dead. With `ask_kernel`, of those who
 * look alive as well. */
static bool dead_among(brood_barrier *barrier, uint64_t state, bool ask_kernel)
{
    struct brood__header *header = brood__object_header(&barrier->object);
    uint32_t used = brood__slots_used(header);
    uint32_t waits = mark_of(state, WAITING);

    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = atomic_load_explicit(&barrier->roll[i], memory_order_acquire);

        if (brood__roll_value(word) != waits)
            continue;
        if (!brood__thread_alive(header, i, brood__roll_generation(word)) ||
            (ask_kernel && !brood__slot_verify(header, i)))
            return true;
    }
    return false;
}

/* Breaks the barrier if one that waits is dead. Returns the state after that. */
static uint64_t sweep(brood_barrier *barrier)
{
    uint64_t state = state_of(barrier);

    if (arrived(state) != 0 && (state & BROKEN) == 0 && dead_among(barrier, state, false)) {
        (void)break_round(barrier, state);
        state = state_of(barrier);
    }
    return state;
}

/* ---- waiting ---- */

/* Processors this process may run on, asked once. */
static uint32_t processors(void)
{
    static _Atomic uint32_t known;
    uint32_t count = atomic_load_explicit(&known, memory_order_relaxed);

    if (count == 0) {
        cpu_set_t set;

        count = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
        atomic_store_explicit(&known, count, memory_order_relaxed);
    }
    return count;
}

/* Whether the round that the calling thread has joined is over for it, and how. */
static bool over(brood_barrier *barrier, uint64_t joined, int *ret)
{
    uint64_t state = state_of(barrier);
    uint64_t word;

    if (same_round(state, joined)) {
        *ret = -EPIPE;
        return (state & BROKEN) != 0;
    }
    word = atomic_load_explicit(&barrier->roll[brood__here.slot], memory_order_relaxed);
    *ret = brood__roll_value(word) == mark_of(joined, OUT) ? -EPIPE : 0;
    return true;
}

/* Notes how spinning went; two who do so at a time may lose one of the notes. */
static void set_patience(brood_barrier *barrier, uint32_t before, uint32_t patience)
{
    if (patience != before)
        atomic_store_explicit(&barrier->patience, patience, memory_order_relaxed);
}

/* Waits a little for the end of the round. False: it is not over. */
static bool spin(brood_barrier *barrier, uint64_t joined, int *ret)
{
    uint32_t usual = brood__spin_count();
    uint32_t most = usual * SPIN_TIMES_MAX;
    uint32_t patience = atomic_load_explicit(&barrier->patience, memory_order_relaxed);
    uint32_t count = patience < most ? patience : most;

    if ((joined >> ROUND_SHIFT) % ROUNDS_BETWEEN_TRIALS == 0)
        count = most;
    for (uint32_t i = 0; i < count; i++) {
        if (over(barrier, joined, ret)) {
            count = patience * 2 + usual;
            set_patience(barrier, patience, count < most ? count : most);
            return true;
        }
        brood__pause();
    }
    set_patience(barrier, patience, patience / 2);
    return false;
}

/* Lets others run, if that has been quick lately. False: the round is not over. */
static bool yield(brood_barrier *barrier, uint64_t joined, int *ret)
{
    uint64_t calm = atomic_load_explicit(&barrier->calm, memory_order_relaxed);
    uint32_t number = (uint32_t)(joined >> ROUND_SHIFT);
    uint32_t without = (uint32_t)calm;
    bool is_over = false;
    int64_t start;

    if (((number - (uint32_t)(calm >> 32)) & (ROUND_COUNT - 1)) < without)
        return false;
    start = brood__now();
    for (int i = 0; i < YIELD_COUNT && !is_over; i++) {
        (void)sched_yield();
        is_over = over(barrier, joined, ret);
    }
    if (brood__now() - start > YIELD_NS_MAX) {
        without = without < ROUNDS_WITHOUT_MAX ? without * 2 : without;
        atomic_store_explicit(&barrier->calm, (uint64_t)number << 32 | without,
                              memory_order_relaxed);
    }
    return is_over;
}

/* Waits a little, without a sleep. False: the round is not over. */
static bool await_shortly(brood_barrier *barrier, uint64_t joined, int *ret)
{
    /* With more parties than processors, those who spin keep the others from coming. */
    if (barrier->parties <= processors() && spin(barrier, joined, ret))
        return true;
    return barrier->parties <= YIELD_PARTIES * processors() && yield(barrier, joined, ret);
}

/* Waits for the end of a round that the calling thread is counted in. */
static int await_end(brood_barrier *barrier, uint64_t joined, int64_t timeout)
{
    int64_t slice_ns = SLICE_FIRST_NS;
    int64_t deadline = 0;
    int r;

    if (timeout != BROOD_NOWAIT && await_shortly(barrier, joined, &r))
        return r;
    (void)brood__deadline(timeout, &deadline);
    while (!over(barrier, joined, &r)) {
        uint32_t seen = brood__bell_listen(&barrier->bell);

        if (over(barrier, joined, &r))
            break;
        if (slice_ns > SLICE_FIRST_NS &&
            dead_among(barrier, joined, slice_ns == SLICE_LAST_NS)) {
            (void)break_round(barrier, joined);
            continue;
        }
        if (brood__bell_sleep(&barrier->bell, seen, deadline, slice_ns) < 0 &&
            break_round(barrier, joined))
            return -ETIMEDOUT;
        slice_ns = slice_ns * 2 < SLICE_LAST_NS ? slice_ns * 2 : SLICE_LAST_NS;
    }
    return r;
}

/* Waits while the others act in a round that the calling thread is not in: more use the
 * barrier than it has parties. Their death is found as if it were in. */
static int await_room(brood_barrier *barrier, uint64_t full, int64_t deadline)
{
    for (;;) {
        uint32_t seen = brood__bell_listen(&barrier->bell);
        uint64_t state = state_of(barrier);

        if (!same_round(state, full) || (state & BROKEN) != 0)
            return 0;
        if (dead_among(barrier, state, false))
            (void)break_round(barrier, state);
        else if (brood__bell_sleep(&barrier->bell, seen, deadline, SLICE_LAST_NS) < 0)
            return -ETIMEDOUT;
    }
}

/*
 * Takes away marks of rounds long ago, now and then: the numbers of rounds come again, and
 * an old mark would then speak of a dead party. Marks of later rounds than ours may be there
 * if somebody else has finished this one.
 */
static void forget_old_marks(brood_barrier *barrier, uint64_t state)
{
    uint32_t used = brood__slots_used(brood__object_header(&barrier->object));

    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = atomic_load_explicit(&barrier->roll[i], memory_order_relaxed);
        uint32_t value = brood__roll_value(word);
        uint32_t age = (mark_of(state, WAITING) - value) >> 2;

        if ((value & 3) == WAITING && age >= ROUNDS_OLD && age <= ROUND_COUNT / 2)
            (void)atomic_compare_exchange_strong(&barrier->roll[i], &word, 0);
    }
}

/*
 * Starts the next round.
 *
 * Before   All parties are there, the calling thread included, which is counted or not.
 * After    They go on; or the barrier is broken: -EPIPE; or the state has changed: -EAGAIN.
 * Dying    before the exchange is the death of a party that waits; after it, the others find
 *          the new round when their slice ends.
 */
static int finish_round(brood_barrier *barrier, uint64_t state)
{
    if (dead_among(barrier, state, false)) {
        (void)break_round(barrier, state);
        return -EPIPE;
    }
    if ((state >> ROUND_SHIFT) % ROUNDS_OLD == 0)
        forget_old_marks(barrier, state);
    if (!change(barrier, state, after(state)))
        return -EAGAIN;
    tell_all(barrier);
    return 0;
}

/* All are there, and the calling thread, which is counted, came last. */
static int act(brood_barrier *barrier, uint64_t state, brood_barrier_action *action, void *user)
{
    int r = action(user);

    if (r < 0) {
        (void)break_round(barrier, state);
        return r;
    }
    return finish_round(barrier, state) == 0 ? 0 : -EPIPE;
}

/* Whether the calling thread waits already: a second wait, from an action or the handler of a
 * signal, would count it twice. */
static bool waits_already(const brood_barrier *barrier, uint64_t state)
{
    return atomic_load_explicit(&barrier->roll[brood__here.slot], memory_order_relaxed) ==
           brood__roll_pack(brood__here.generation, mark_of(state, WAITING));
}

/*
 * Marks the calling thread as waiting in the round of `state`, which it is about to join.
 * -EPIPE: an earlier thread of its slot died in that round, and the mark that says so was
 * about to be overwritten.
 */
static int mark(brood_barrier *barrier, uint64_t state, uint64_t *own)
{
    brood__roll_word *word = &barrier->roll[brood__here.slot];
    uint64_t fresh = brood__roll_pack(brood__here.generation, mark_of(state, WAITING));

    if (*own == fresh)
        return 0;
    if (brood__roll_value(atomic_load_explicit(word, memory_order_relaxed)) ==
        mark_of(state, WAITING)) {
        (void)break_round(barrier, state);
        return -EPIPE;
    }
    atomic_store_explicit(word, fresh, memory_order_release);
    *own = fresh;
    return 0;
}

/* Takes a mark back that was not followed by an arrival. */
static void unmark(brood_barrier *barrier, uint64_t own)
{
    if (own != 0)
        atomic_store_explicit(&barrier->roll[brood__here.slot], 0, memory_order_release);
}

/*
 * Comes to the barrier, in the round that is on.
 *
 * After    0: counted in the round of *ret_state, the state before. 1: the round is over, for
 *          the calling thread was the last and had nothing to act. Or a negative errno.
 * Dying    between the mark and the count is the death of a party that waits, although it was
 *          not counted: it was about to be, and the others would wait for it.
 */
static int arrive(brood_barrier *barrier, bool acts, int64_t timeout, uint64_t *ret_state)
{
    uint64_t own = 0;
    int64_t deadline = 0;
    int r;

    for (;;) {
        uint64_t state = *ret_state = state_of(barrier);

        if ((state & BROKEN) != 0)
            return -EPIPE;
        if (own == 0 && waits_already(barrier, state))
            return -EDEADLK;
        if (arrived(state) == barrier->parties) {
            unmark(barrier, own);
            own = 0;
            if (deadline == 0)
                (void)brood__deadline(timeout, &deadline);
            r = await_room(barrier, state, deadline);
        } else if (arrived(state) + 1 == barrier->parties && !acts) {
            r = finish_round(barrier, state);
            if (r == 0)
                return 1;
            if (r == -EAGAIN)
                continue;
        } else {
            r = mark(barrier, state, &own);
            if (r == 0 && change(barrier, state, state + 1))
                return 0;
        }
        if (r < 0)
            return r;
    }
}

static int wait_with(brood_barrier *barrier, brood_barrier_action *action, void *user,
                     int64_t timeout, uint32_t *ret_index)
{
    uint64_t state;
    int r = enter(barrier);

    if (r < 0)
        return r;
    if (timeout < BROOD_FOREVER)
        return -EINVAL;
    r = arrive(barrier, action != NULL, timeout, &state);
    if (r == 0)
        r = arrived(state) + 1 == barrier->parties ? act(barrier, state + 1, action, user)
                                                   : await_end(barrier, state, timeout);
    if (r < 0)
        return r;
    if (ret_index != NULL)
        *ret_index = arrived(state);
    return 0;
}

int brood_barrier_wait(brood_barrier *barrier, int64_t timeout, uint32_t *ret_index)
{
    return wait_with(barrier, NULL, NULL, timeout, ret_index);
}

int brood_barrier_wait_action(brood_barrier *barrier, brood_barrier_action *action, void *user,
                              int64_t timeout, uint32_t *ret_index)
{
    return action == NULL ? -EINVAL : wait_with(barrier, action, user, timeout, ret_index);
}

/* ---- breaking, and making good ---- */

int brood_barrier_abort(brood_barrier *barrier)
{
    int r = enter(barrier);
    uint64_t state;

    if (r < 0)
        return r;
    /* If the round was over in between, the one to break is the next. */
    do {
        state = state_of(barrier);
    } while ((state & BROKEN) == 0 && !break_round(barrier, state));
    return 0;
}

/* Tells those who wait in a broken round that they did not go on with the others. */
static void turn_out(brood_barrier *barrier, uint64_t broken)
{
    uint32_t used = brood__slots_used(brood__object_header(&barrier->object));

    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = atomic_load_explicit(&barrier->roll[i], memory_order_relaxed);

        if (brood__roll_value(word) == mark_of(broken, WAITING))
            (void)atomic_compare_exchange_strong(
                &barrier->roll[i], &word,
                brood__roll_pack(brood__roll_generation(word), mark_of(broken, OUT)));
    }
}

/*
 * Dying    before the last exchange leaves the round broken, and the next one to reset does
 *          all of it again.
 */
int brood_barrier_reset(brood_barrier *barrier)
{
    int r = enter(barrier);
    uint64_t state;

    if (r < 0)
        return r;
    state = state_of(barrier);
    while ((state & BROKEN) == 0) {
        if (arrived(state) == 0)
            return 0; /* nobody is there, and nothing is broken */
        if (change(barrier, state, state | BROKEN))
            state |= BROKEN;
        else
            state = state_of(barrier);
    }
    turn_out(barrier, state);
    if (change(barrier, state, after(state))) /* otherwise somebody else has reset it */
        tell_all(barrier);
    return 0;
}

/* ---- asking ---- */

int brood_barrier_parties(brood_barrier *barrier)
{
    int r = check(barrier);

    return r < 0 ? r : (int)barrier->parties;
}

int brood_barrier_waiting(brood_barrier *barrier)
{
    int r = enter(barrier);
    uint64_t state;

    if (r < 0)
        return r;
    state = sweep(barrier);
    return (state & BROKEN) != 0 ? 0 : (int)arrived(state);
}

int brood_barrier_is_broken(brood_barrier *barrier)
{
    int r = enter(barrier);

    return r < 0 ? r : (sweep(barrier) & BROKEN) != 0;
}

int brood_barrier_destroy(brood_barrier *barrier)
{
    int r;

    if (barrier == NULL)
        return 0;
    r = brood_barrier_waiting(barrier);
    if (r > 0)
        return -EBUSY;
    return r < 0 ? r : brood__object_free(&barrier->object);
}
