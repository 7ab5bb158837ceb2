#include "sync/semaphore.h"

#include "base/clock.h"
#include "base/options.h"
#include "shm/robust.h"

#define OPTIONS_BYTES_FIRST sizeof(brood_semaphore_options)

/* Deaths are looked for after so long, then twice as long, up to a slice. */
#define FIRST_SLICE_NS 500000

/* How often all permits are looked at for a moment at which nothing changed. */
#define ROUNDS_MAX 100

/* Whose owners the kernel is asked about at a time. */
#define DOUBTS 8

/* Up to so many permits have a cache line each, of so many words. */
#define SPREAD_COUNT 64
#define SPREAD_SHIFT 3
static_assert(sizeof(uint64_t) << SPREAD_SHIFT == BROOD__LINE, "a line has so many words");

enum state { ABSENT, FREE, TAKEN, LEAVING, RISING };

/* The turn is on top, so that it goes round by itself; below it stands who has the permit. */
#define STATE_MASK UINT64_C(7)
#define SLOT_SHIFT 3
#define SLOT_MASK UINT64_C(0x7fff)
#define TENANCY_SHIFT 18
#define OWNER_MASK ((UINT64_C(1) << 50) - 8)
#define TURN_SHIFT 50
#define TURN_ONE (UINT64_C(1) << TURN_SHIFT)

static enum state state_of(uint64_t word)
{
    return (enum state)(word & STATE_MASK);
}

static uint32_t slot_of(uint64_t word)
{
    return (uint32_t)(word >> SLOT_SHIFT & SLOT_MASK);
}

static uint32_t tenancy_of(uint64_t word)
{
    return (uint32_t)(word >> TENANCY_SHIFT);
}

static uint64_t turn_of(uint64_t word)
{
    return word >> TURN_SHIFT;
}

/* Owner and state, all but the turn. */
static uint64_t has_of(uint64_t word)
{
    return word & (TURN_ONE - 1);
}

static uint64_t this_thread(void)
{
    return (uint64_t)brood__here.tenancy << TENANCY_SHIFT | (uint64_t)brood__here.slot
                                                                << SLOT_SHIFT;
}

static uint64_t look(const brood_semaphore *semaphore, uint32_t index)
{
    return atomic_load_explicit(&semaphore->permits[(size_t)index << semaphore->spread],
                                memory_order_acquire);
}

/* From the word that was looked at, whose owner and state are `from`, to the next; FREE and
 * ABSENT have no owner. */
static inline bool exchange(brood_semaphore *semaphore, uint32_t index, uint64_t *word,
                            uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(
        &semaphore->permits[(size_t)index << semaphore->spread], word,
        *word + (TURN_ONE + to - from));
}

/* ---- making ---- */

static int options_check(uint32_t value, brood_semaphore_options *o)
{
    bool counting = (o->flags & BROOD_SEMAPHORE_COUNTING) != 0;

    if ((o->flags & ~BROOD_SEMAPHORE_COUNTING) != 0)
        return -EINVAL;
    if (o->value_max == 0)
        o->value_max = counting ? BROOD_SEMAPHORE_VALUE_MAX : value;
    if (o->value_max == 0 || value > o->value_max)
        return -EINVAL;
    return o->value_max > (counting ? BROOD_SEMAPHORE_VALUE_MAX : BROOD_SEMAPHORE_OWNED_MAX)
               ? -EINVAL
               : 0;
}

int brood_semaphore_create(brood_shared *shared, uint32_t value,
                           const brood_semaphore_options *options,
                           brood_semaphore **ret_semaphore)
{
    brood_semaphore *semaphore = NULL;
    brood_semaphore_options o;
    bool counting;
    uint32_t spread;
    size_t words;
    int r;

    if (ret_semaphore == NULL)
        return -EINVAL;
    r = brood__options_read(&o, sizeof o, OPTIONS_BYTES_FIRST, options);
    if (r == 0)
        r = options_check(value, &o);
    if (r < 0)
        return r;
    counting = (o.flags & BROOD_SEMAPHORE_COUNTING) != 0;
    spread = counting || o.value_max > SPREAD_COUNT ? 0 : SPREAD_SHIFT;
    words = counting ? 1 : (size_t)o.value_max << spread;
    r = brood__object_alloc(shared, sizeof *semaphore + words * sizeof semaphore->permits[0],
                            &semaphore);
    if (r < 0)
        return r;
    semaphore->flags = o.flags;
    semaphore->value_max = o.value_max;
    semaphore->spread = spread;
    if (counting)
        atomic_init(&semaphore->permits[0], value);
    else
        for (uint32_t i = 0; i < value; i++)
            atomic_init(&semaphore->permits[(size_t)i << spread], FREE);
    brood__object_finish(&semaphore->object, BROOD__SEMAPHORE);
    *ret_semaphore = semaphore;
    return 0;
}

int brood_semaphore_destroy(brood_semaphore *semaphore)
{
    int r;

    if (semaphore == NULL)
        return 0;
    r = brood__object_enter(&semaphore->object, BROOD__SEMAPHORE);
    return r < 0 ? r : brood__object_free(&semaphore->object);
}

static inline int check(const brood_semaphore *semaphore)
{
    return semaphore == NULL ? -EINVAL
                             : brood__object_check(&semaphore->object, BROOD__SEMAPHORE);
}

/* Counting ones can do without, and so serve signal handlers. */
static int enter(const brood_semaphore *semaphore)
{
    return (semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0
               ? 0
               : brood__enter(brood__object_header(&semaphore->object));
}

/* ---- finding a permit ---- */

/* The permit that this thread changed last, to begin with. Without one, threads begin a
 * cache line apart. */
static _Thread_local __attribute__((tls_model("initial-exec"))) struct {
    const brood_semaphore *semaphore;
    uint32_t index;
} last;

static uint32_t beginning(const brood_semaphore *semaphore)
{
    if (last.semaphore == semaphore && last.index < semaphore->value_max)
        return last.index;
    return brood__here.slot * (1u << SPREAD_SHIFT >> semaphore->spread) % semaphore->value_max;
}

/* Whether `last` is of this one, and brood__here of its segment. */
static inline bool is_remembered(const brood_semaphore *semaphore)
{
    return last.semaphore == semaphore && last.index < semaphore->value_max &&
           brood__here.header == brood__object_header(&semaphore->object);
}

static void remember(const brood_semaphore *semaphore, uint32_t index)
{
    last.semaphore = semaphore;
    last.index = index;
}

/* Whether an owner is a thread of this process: that of its slot, or one before it. */
static bool is_ours(struct brood__header *header, uint64_t owner)
{
    struct brood__slot *slot = brood__slot_at(header, slot_of(owner));
    struct brood__slot *mine = brood__slot_at(header, brood__here.slot);

    return owner == this_thread() ||
           (atomic_load_explicit(&slot->tenancy, memory_order_acquire) == tenancy_of(owner) &&
            atomic_load_explicit(&slot->pid, memory_order_relaxed) ==
                atomic_load_explicit(&mine->pid, memory_order_relaxed) &&
            atomic_load_explicit(&slot->process_start, memory_order_relaxed) ==
                atomic_load_explicit(&mine->process_start, memory_order_relaxed));
}

/*
 * Turns one permit that is `from`, and if that is TAKEN, this process's, into `to`, and says
 * by *at which. With rounds of ROUNDS_MAX, false means that there was a moment at which none
 * of them was; with 1, only that this look met none.
 */
static bool change_one(brood_semaphore *semaphore, enum state from, enum state to,
                       uint64_t owner, unsigned rounds, uint32_t *at)
{
    struct brood__header *header = brood__object_header(&semaphore->object);
    const uint32_t count = semaphore->value_max;
    uint64_t earlier = 0;

    if (count == 1)
        rounds = 1;
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t turns = 0;
        uint32_t i = *at;

        for (uint32_t left = count; left > 0; left--) {
            uint64_t word = look(semaphore, i);

            if (state_of(word) == from &&
                (from != TAKEN || is_ours(header, word & OWNER_MASK)) &&
                exchange(semaphore, i, &word, has_of(word), owner | to)) {
                *at = i;
                return true;
            }
            turns += turn_of(word);
            /* What was taken last is found first, if permits are given back downwards. */
            if (from == TAKEN)
                i = i == 0 ? count - 1 : i - 1;
            else
                i = i + 1 == count ? 0 : i + 1;
        }
        if (round > 0 && turns == earlier)
            return false;
        earlier = turns;
    }
    return false;
}

static bool any_free(const brood_semaphore *semaphore)
{
    if ((semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0)
        return look(semaphore, 0) > 0;
    for (uint32_t i = 0; i < semaphore->value_max; i++)
        if (state_of(look(semaphore, i)) == FREE)
            return true;
    return false;
}

static void announce(brood_semaphore *semaphore, uint32_t count)
{
    brood__bell_ring(&semaphore->bell, count > INT_MAX ? INT_MAX : (int)count);
    brood__object_changed(&semaphore->object);
}

/* ---- the dead ---- */

/*
 * Takes back the permits of dead processes; returns how many.
 *
 * Before   Some owners may be dead.
 * After    Permits of those who were dead before are FREE, or ABSENT if they were not one yet.
 * Dying    leaves each permit as it was or taken back. Sleepers who should have been woken
 *          sweep themselves, a slice later.
 */
static uint32_t sweep(brood_semaphore *semaphore)
{
    struct brood__header *header = brood__object_header(&semaphore->object);
    uint64_t alive = 0, dead = 0; /* neighbours often have one owner, and none is 0 */
    uint32_t freed = 0;

    if ((semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0)
        return 0;
    for (uint32_t i = 0; i < semaphore->value_max; i++) {
        uint64_t word = look(semaphore, i);
        uint64_t owner = word & OWNER_MASK;
        enum state state = state_of(word);

        if (state == FREE || state == ABSENT || owner == alive)
            continue;
        if (owner != dead && brood__process_alive(header, slot_of(word), tenancy_of(word))) {
            alive = owner;
            continue;
        }
        dead = owner;
        if (exchange(semaphore, i, &word, has_of(word), state == RISING ? ABSENT : FREE))
            freed += state != RISING;
    }
    if (freed > 0)
        announce(semaphore, freed);
    return freed;
}

/* After an OOM kill a slot may say that its thread lives. The owners of a few permits are
 * looked at more closely, others at each call. */
static void doubt(brood_semaphore *semaphore)
{
    struct brood__header *header = brood__object_header(&semaphore->object);
    uint32_t at = atomic_fetch_add_explicit(&semaphore->doubted, DOUBTS, memory_order_relaxed);

    if ((semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0)
        return;
    for (uint32_t i = 0; i < DOUBTS && i < semaphore->value_max; i++) {
        uint64_t word = look(semaphore, (at + i) % semaphore->value_max);

        if ((word & OWNER_MASK) != 0 && slot_of(word) < brood__slots_used(header))
            (void)brood__slot_verify(header, slot_of(word));
    }
}

/* ---- acquiring ---- */

static bool take_counted(brood_semaphore *semaphore)
{
    uint64_t count = atomic_load_explicit(&semaphore->permits[0], memory_order_relaxed);

    while (count > 0)
        if (atomic_compare_exchange_weak(&semaphore->permits[0], &count, count - 1))
            return true;
    return false;
}

static inline bool take_at(brood_semaphore *semaphore, uint32_t index)
{
    uint64_t word = look(semaphore, index);

    return has_of(word) == FREE &&
           exchange(semaphore, index, &word, FREE, this_thread() | TAKEN);
}

static bool take(brood_semaphore *semaphore, unsigned rounds)
{
    uint32_t at;

    if ((semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0)
        return take_counted(semaphore);
    at = beginning(semaphore);
    if (!change_one(semaphore, FREE, TAKEN, this_thread(), rounds, &at))
        return false;
    remember(semaphore, at);
    return true;
}

static bool spin(brood_semaphore *semaphore)
{
    const bool counting = (semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0;
    uint32_t at = counting ? 0 : beginning(semaphore);

    for (unsigned i = brood__spin_count(); i > 0; i--) {
        brood__pause();
        if (counting) {
            if (take_counted(semaphore))
                return true;
            continue;
        }
        if (take_at(semaphore, at)) {
            remember(semaphore, at);
            return true;
        }
        at = at + 1 == semaphore->value_max ? 0 : at + 1;
    }
    return false;
}

/* Whether it is time to sweep: after a slice without a ring, and, where rings are so many
 * that there is none, when nobody has for as long as that. */
static bool sweep_is_due(brood_semaphore *semaphore, uint32_t turn)
{
    int64_t now = brood__now();

    if (atomic_load_explicit(&semaphore->bell.turn, memory_order_relaxed) != turn &&
        now - atomic_load_explicit(&semaphore->swept, memory_order_relaxed) < BROOD__SLICE_NS)
        return false;
    atomic_store_explicit(&semaphore->swept, now, memory_order_relaxed);
    return true;
}

static int sleep_and_take(brood_semaphore *semaphore, int64_t deadline)
{
    const bool owned = (semaphore->flags & BROOD_SEMAPHORE_COUNTING) == 0;
    int64_t slice = owned ? FIRST_SLICE_NS : BROOD__SLICE_NS;
    bool slept = false;

    for (;;) {
        uint32_t turn = brood__bell_listen(&semaphore->bell);

        if (take(semaphore, 1)) {
            if (slept && any_free(semaphore)) /* the wake may have been meant for two */
                brood__bell_ring(&semaphore->bell, 1);
            return 0;
        }
        if (brood__bell_sleep(&semaphore->bell, turn, deadline, slice) < 0)
            return sweep(semaphore) > 0 && take(semaphore, 1) ? 0 : -ETIMEDOUT;
        slept = true;
        if (!sweep_is_due(semaphore, turn))
            continue;
        if (slice == BROOD__SLICE_NS)
            doubt(semaphore);
        (void)sweep(semaphore);
        slice = slice * 2 < BROOD__SLICE_NS ? slice * 2 : BROOD__SLICE_NS;
    }
}

__attribute__((noinline)) static int acquire_slowly(brood_semaphore *semaphore, int64_t timeout)
{
    int64_t deadline;
    int r = enter(semaphore);

    if (r < 0)
        return r;
    if (timeout < BROOD_FOREVER)
        return -EINVAL;
    if (take(semaphore, timeout == BROOD_NOWAIT ? ROUNDS_MAX : 1))
        return 0;
    if (timeout == BROOD_NOWAIT)
        return sweep(semaphore) > 0 && take(semaphore, ROUNDS_MAX) ? 0 : -ETIMEDOUT;
    (void)brood__deadline(timeout, &deadline); /* the clock is read only by those who wait */
    return spin(semaphore) ? 0 : sleep_and_take(semaphore, deadline);
}

int brood_semaphore_acquire(brood_semaphore *semaphore, int64_t timeout)
{
    int r = check(semaphore);

    if (r < 0)
        return r;
    if (timeout >= BROOD_FOREVER &&
        ((semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0
             ? take_counted(semaphore)
             : is_remembered(semaphore) && take_at(semaphore, last.index)))
        return 0;
    return acquire_slowly(semaphore, timeout);
}

/* ---- releasing ---- */

static int release_counted(brood_semaphore *semaphore, uint32_t count)
{
    uint64_t seen = atomic_load_explicit(&semaphore->permits[0], memory_order_relaxed);

    do {
        if (seen + count > semaphore->value_max)
            return -EOVERFLOW;
    } while (!atomic_compare_exchange_weak(&semaphore->permits[0], &seen, seen + count));
    announce(semaphore, count);
    return 0;
}

static inline bool release_at(brood_semaphore *semaphore, uint32_t index)
{
    uint64_t word = look(semaphore, index);

    return has_of(word) == (this_thread() | TAKEN) &&
           exchange(semaphore, index, &word, this_thread() | TAKEN, FREE);
}

/* One of ours, else a new one. When there is none of ours left, *ours says so, and the next
 * call need not look. */
static bool give(brood_semaphore *semaphore, enum state ours_to, enum state new_to,
                 uint64_t owner, uint32_t *at, bool *ours)
{
    if (*ours && change_one(semaphore, TAKEN, ours_to, owner, ROUNDS_MAX, at))
        return true;
    *ours = false;
    return change_one(semaphore, ABSENT, new_to, owner, ROUNDS_MAX, at);
}

/* What this thread has gathered becomes what it says. */
static void settle(brood_semaphore *semaphore, enum state leaving_to, enum state rising_to)
{
    for (uint32_t i = 0; i < semaphore->value_max; i++) {
        uint64_t word = look(semaphore, i);
        enum state state = state_of(word);

        if ((word & OWNER_MASK) != this_thread() || (state != LEAVING && state != RISING))
            continue;
        state = state == LEAVING ? leaving_to : rising_to;
        (void)exchange(semaphore, i, &word, has_of(word),
                       state == TAKEN ? this_thread() | TAKEN : state);
    }
}

/*
 * Before   This process holds so many permits or not.
 * After    `count` more are FREE, or nothing has changed.
 * Dying    while it gathers: what was LEAVING comes back as a dead one's, what was RISING was
 *          never there. While it settles: the same for those that are not FREE yet.
 */
static int release_several(brood_semaphore *semaphore, uint32_t count)
{
    uint32_t at = beginning(semaphore);
    bool ours = true;

    for (uint32_t i = 0; i < count; i++)
        if (!give(semaphore, LEAVING, RISING, this_thread(), &at, &ours)) {
            settle(semaphore, TAKEN, ABSENT);
            return -EOVERFLOW;
        }
    settle(semaphore, FREE, FREE);
    announce(semaphore, count);
    return 0;
}

__attribute__((noinline)) static int release_slowly(brood_semaphore *semaphore, uint32_t count)
{
    bool ours = true;
    uint32_t at;
    int r = enter(semaphore);

    if (r < 0)
        return r;
    if (count == 0)
        return -EINVAL;
    if (count > semaphore->value_max)
        return -EOVERFLOW;
    if (count > 1)
        return release_several(semaphore, count);
    at = beginning(semaphore);
    if (!give(semaphore, FREE, FREE, 0, &at, &ours))
        return -EOVERFLOW;
    remember(semaphore, at);
    announce(semaphore, 1);
    return 0;
}

/*
 * Before   This process holds the permit, or there may be one more.
 * After    The permit is FREE, and one who sleeps is awake.
 * Dying    before the exchange: the permit is a dead one's, and comes back. After it: whoever
 *          sleeps finds the permit at the end of its slice.
 */
int brood_semaphore_release(brood_semaphore *semaphore, uint32_t count)
{
    int r = check(semaphore);

    if (r < 0)
        return r;
    if ((semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0)
        return count == 0 ? -EINVAL : release_counted(semaphore, count);
    if (count != 1 || !is_remembered(semaphore) || !release_at(semaphore, last.index))
        return release_slowly(semaphore, count);
    announce(semaphore, 1);
    return 0;
}

/* ---- asking ---- */

int brood_semaphore_value(brood_semaphore *semaphore)
{
    uint64_t earlier = 0;
    int value = 0;
    int r = check(semaphore);

    if (r < 0)
        return r;
    if ((semaphore->flags & BROOD_SEMAPHORE_COUNTING) != 0)
        return (int)look(semaphore, 0);
    r = enter(semaphore);
    if (r < 0)
        return r;
    (void)sweep(semaphore);
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        uint64_t turns = 0;

        value = 0;
        for (uint32_t i = 0; i < semaphore->value_max; i++) {
            uint64_t word = look(semaphore, i);

            turns += turn_of(word);
            value += state_of(word) == FREE;
        }
        if (round > 0 && turns == earlier)
            break;
        earlier = turns;
    }
    return value;
}
