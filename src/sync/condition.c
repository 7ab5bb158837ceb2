#include "sync/condition.h"

#include "base/clock.h"
#include "base/linux.h"
#include "shm/robust.h"
#include "shm/segment.h"

/* Deaths are looked for after so long, then twice as long, but never later than the last,
 * which leaves the promised 100 ms some room. */
#define SLICE_FIRST_NS 500000
#define SLICE_LAST_NS 50000000

enum state { NOTHING, WAITING, NOTIFIED };

#define STATE_MASK 3u
#define NUMBER_SHIFT 2
#define NUMBER_MASK 0x3fffffffu
#define AGE_MAX 0x10000000u /* of a ticket: at twice that it would look like a later one */

static enum state state_of(uint64_t word)
{
    return (enum state)(brood__roll_value(word) & STATE_MASK);
}

static uint32_t number_of(uint64_t word)
{
    return brood__roll_value(word) >> NUMBER_SHIFT;
}

static uint64_t word_of(uint32_t generation, uint32_t number, enum state state)
{
    return brood__roll_pack(generation, number << NUMBER_SHIFT | (uint32_t)state);
}

static bool comes_before(uint32_t number, uint32_t other)
{
    return ((number - other) & NUMBER_MASK) > NUMBER_MASK / 2;
}

static uint64_t look(const brood_condition *condition, uint32_t index)
{
    return atomic_load_explicit(&condition->roll[index], memory_order_seq_cst);
}

static struct brood__header *header_of(const brood_condition *condition)
{
    return brood__object_header(&condition->object);
}

static int enter(const brood_condition *condition)
{
    return condition == NULL ? -EINVAL
                             : brood__object_enter(&condition->object, BROOD__CONDITION);
}

/* ---- making ---- */

int brood_condition_create(brood_shared *shared, brood_condition **ret_condition)
{
    struct brood__header *header;
    brood_condition *condition = NULL;
    int r;

    if (ret_condition == NULL)
        return -EINVAL;
    r = brood__segment_of(shared, &header);
    if (r == 0)
        r = brood__object_alloc(
            shared, sizeof *condition + header->members_max * sizeof condition->roll[0],
            &condition);
    if (r < 0)
        return r;
    r = brood__robust_init(&condition->passing);
    if (r < 0) {
        (void)brood__object_free(&condition->object);
        return r;
    }
    brood__object_finish(&condition->object, BROOD__CONDITION);
    *ret_condition = condition;
    return 0;
}

/* Those who have been notified, but do not have the lock again, are counted if `told`. */
static int count_waiters(brood_condition *condition, bool told)
{
    struct brood__header *header = header_of(condition);
    uint32_t used = brood__slots_used(header);
    int count = 0;

    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = look(condition, i);

        count += (state_of(word) == WAITING || (told && state_of(word) == NOTIFIED)) &&
                 brood__roll_counts(header, i, word);
    }
    return count;
}

int brood_condition_destroy(brood_condition *condition)
{
    int r;

    if (condition == NULL)
        return 0;
    r = enter(condition);
    if (r == 0 && count_waiters(condition, true) > 0)
        r = -EBUSY; /* whoever waits writes to his word at the end */
    return r < 0 ? r : brood__object_free(&condition->object);
}

/* ---- notifying ---- */

/* Whether a notification is with a dead one. */
static bool is_stranded(struct brood__header *header, uint32_t index, uint64_t word)
{
    return state_of(word) == NOTIFIED && !brood__roll_counts(header, index, word);
}

/* Who of the living has waited longest, of those with a ticket before `bound`. Notices on the
 * way whether there is something to pass on. */
static bool find_first(brood_condition *condition, uint32_t bound, uint32_t *ret_index,
                       uint64_t *ret_word, bool *stranded)
{
    struct brood__header *header = header_of(condition);
    uint32_t used = brood__slots_used(header);
    uint32_t first = bound;

    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = look(condition, i);

        if (state_of(word) == WAITING && comes_before(number_of(word), first) &&
            brood__roll_counts(header, i, word)) {
            first = number_of(word);
            *ret_index = i;
            *ret_word = word;
        } else if (is_stranded(header, i, word)) {
            *stranded = true;
        }
    }
    return first != bound;
}

/*
 * Before   The word was seen WAITING, under a ticket before `bound`.
 * After    It is NOTIFIED and its owner wakes; or false, he waits no more.
 * Dying    before the exchange changes nothing. After it, the owner finds the word changed at
 *          the end of his slice.
 */
static bool give_to(brood_condition *condition, uint32_t index, uint64_t word, uint32_t bound)
{
    brood__roll_word *at = &condition->roll[index];
    uint32_t generation = brood__roll_generation(word);

    while (!atomic_compare_exchange_strong(at, &word, word_of(generation, bound, NOTIFIED)))
        if (state_of(word) != WAITING || brood__roll_generation(word) != generation ||
            !comes_before(number_of(word), bound)) /* else he has only got a nearer ticket */
            return false;
    brood__futex_wake(brood__roll_futex(at), 1);
    return true;
}

static bool give(brood_condition *condition, uint32_t bound, bool *stranded)
{
    uint32_t index = 0;
    uint64_t word = 0;

    while (find_first(condition, bound, &index, &word, stranded))
        if (give_to(condition, index, word, bound))
            return true;
    return false;
}

static int give_all(brood_condition *condition, uint32_t bound, bool *stranded)
{
    struct brood__header *header = header_of(condition);
    uint32_t used = brood__slots_used(header);
    int count = 0;

    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = look(condition, i);

        if (state_of(word) == WAITING && comes_before(number_of(word), bound) &&
            brood__roll_counts(header, i, word))
            count += give_to(condition, i, word, bound);
        else if (is_stranded(header, i, word))
            *stranded = true;
    }
    return count;
}

/*
 * Passes on what the dead were notified of. Who finds another at it leaves it to him, unless
 * he insists.
 *
 * Before   Words of the dead may be NOTIFIED.
 * After    They are NOTHING, and for each one more who waited at that time is NOTIFIED.
 * Dying    between the two, the next one to come does it again: a notification too many is
 *          better than one that is lost.
 */
static void pass_on(brood_condition *condition, bool insist)
{
    struct brood__header *header = header_of(condition);
    uint32_t used = brood__slots_used(header);
    int r = insist ? brood__robust_lock(header, &condition->passing, BROOD__NEVER)
                   : brood__robust_try(&condition->passing);

    if (r < 0 && r != -EOWNERDEAD)
        return;
    for (uint32_t i = 0; i < used; i++) {
        uint64_t word = look(condition, i);
        bool stranded = false; /* we come by those anyway */

        if (!is_stranded(header, i, word))
            continue;
        (void)give(condition, number_of(word), &stranded);
        (void)atomic_compare_exchange_strong(&condition->roll[i], &word,
                                             word_of(brood__roll_generation(word), 0, NOTHING));
    }
    if (r == -EOWNERDEAD)
        brood__robust_repaired(&condition->passing);
    brood__robust_unlock(&condition->passing);
}

static int notify(brood_condition *condition, uint32_t count)
{
    uint32_t bound, given = 0;
    bool stranded = false;
    int r = enter(condition);

    if (r < 0)
        return r;
    (void)atomic_fetch_add_explicit(&condition->notified, 1, memory_order_seq_cst);
    bound = atomic_load_explicit(&condition->tickets, memory_order_seq_cst) & NUMBER_MASK;
    if (count >= brood__slots_used(header_of(condition)))
        given = (uint32_t)give_all(condition, bound, &stranded);
    else
        while (given < count && give(condition, bound, &stranded))
            given++;
    if (stranded)
        pass_on(condition, false);
    brood__object_changed(&condition->object);
    return (int)given;
}

int brood_condition_notify(brood_condition *condition, int count)
{
    return count < 0 ? -EINVAL : notify(condition, (uint32_t)count);
}

int brood_condition_notify_all(brood_condition *condition)
{
    return notify(condition, UINT32_MAX);
}

/* ---- waiting ---- */

/* One wait of the calling thread. Repairs and predicates may use other segments, so what
 * brood__here says of this one is kept. */
struct wait {
    brood_condition *condition;
    brood_lock *lock;
    uint32_t depth; /* further levels of the lock */
    uint32_t generation;
    brood__roll_word *word;
    uint64_t waiting; /* what it was set to */
};

/*
 * Before   The lock is held.
 * After    The word is WAITING, under the last ticket.
 * Dying    leaves a word that does not count; what a predecessor was notified of has been
 *          passed on, or is still there.
 */
static void enroll(struct wait *wait)
{
    brood_condition *condition = wait->condition;
    uint32_t ticket =
        atomic_fetch_add_explicit(&condition->tickets, 1, memory_order_seq_cst) & NUMBER_MASK;
    uint64_t seen;

    wait->generation = brood__here.generation;
    wait->word = &condition->roll[brood__here.slot];
    wait->waiting = word_of(wait->generation, ticket, WAITING);
    seen = atomic_load_explicit(wait->word, memory_order_seq_cst);
    do {
        while (state_of(seen) == NOTIFIED && brood__roll_generation(seen) != wait->generation) {
            pass_on(condition, true);
            seen = atomic_load_explicit(wait->word, memory_order_seq_cst);
        }
    } while (!atomic_compare_exchange_strong(wait->word, &seen, wait->waiting));
}

static bool is_told(const struct wait *wait)
{
    return atomic_load_explicit(wait->word, memory_order_seq_cst) != wait->waiting;
}

/*
 * Numbers go round: who has waited while very many tickets were given out takes one that is
 * not so far back, before his would look like a later one. So he stays before all but those
 * who have waited nearly as long.
 */
static void keep_place(struct wait *wait)
{
    uint32_t now = atomic_load_explicit(&wait->condition->tickets, memory_order_seq_cst);
    uint64_t seen = wait->waiting;
    uint64_t fresh = word_of(wait->generation, (now - AGE_MAX) & NUMBER_MASK, WAITING);

    if (((now - number_of(seen)) & NUMBER_MASK) > AGE_MAX &&
        atomic_compare_exchange_strong(wait->word, &seen, fresh))
        wait->waiting = fresh;
}

/* Out of the roll; false if a notification came first. */
static bool withdraw(const struct wait *wait)
{
    uint64_t seen = wait->waiting;

    return atomic_compare_exchange_strong(wait->word, &seen,
                                          word_of(wait->generation, 0, NOTHING));
}

static void look_for_stranded(brood_condition *condition)
{
    struct brood__header *header = header_of(condition);
    uint32_t used = brood__slots_used(header);

    for (uint32_t i = 0; i < used; i++)
        if (is_stranded(header, i, look(condition, i))) {
            pass_on(condition, false);
            return;
        }
}

/*
 * Whether the lock's holder died and nobody has come for it. Then we do, for the notification
 * that we wait for may have died with him. True: *ret_result is what acquiring it said.
 */
static bool come_for_lock(const struct wait *wait, int *ret_result)
{
    uint32_t lock_word =
        atomic_load_explicit(brood__robust_word(&wait->lock->mutex), memory_order_acquire);
    int r;

    if ((lock_word & BROOD__OWNER_DIED) == 0 || (lock_word & BROOD__TID_MASK) != 0)
        return false;
    r = brood__lock_restore(wait->lock, wait->depth, 0);
    if (r == BROOD_LOCK_RECOVERED || r == -ENOTRECOVERABLE) {
        *ret_result = r;
        return true;
    }
    if (r == 0) /* another was quicker, and is done with it */
        (void)brood__lock_release_all(wait->lock);
    return false;
}

/*
 * 1: the lock has been acquired meanwhile, or is lost, as *ret_result says; 0: notified;
 * -ETIMEDOUT: not, and out of the roll.
 */
static int sleep_until_told(struct wait *wait, int64_t deadline, int *ret_result)
{
    int64_t slice = SLICE_FIRST_NS;

    for (unsigned i = deadline == 0 ? 0 : brood__spin_count(); i > 0 && !is_told(wait); i--)
        brood__pause();
    while (!is_told(wait)) {
        int64_t left = deadline == 0 ? 0 : brood__time_left(deadline);

        if (left <= 0)
            return withdraw(wait) ? -ETIMEDOUT : 0;
        brood__futex_wait(brood__roll_futex(wait->word), brood__roll_value(wait->waiting),
                          left < slice ? left : slice);
        if (is_told(wait))
            return 0;
        look_for_stranded(wait->condition);
        if (come_for_lock(wait, ret_result)) {
            (void)withdraw(wait);
            return 1;
        }
        keep_place(wait);
        slice = slice * 2 < SLICE_LAST_NS ? slice * 2 : SLICE_LAST_NS;
    }
    return 0;
}

/* With the lock held, or lost, which leaves a notification to the others. */
static void leave(const struct wait *wait, bool lost)
{
    uint64_t word = atomic_load_explicit(wait->word, memory_order_seq_cst);
    bool stranded = false;

    if (lost && state_of(word) == NOTIFIED)
        (void)give(wait->condition, number_of(word), &stranded);
    atomic_store_explicit(wait->word, word_of(wait->generation, 0, NOTHING),
                          memory_order_seq_cst);
}

/*
 * Before   The lock is held, the thread has entered the segment.
 * After    As brood_condition_wait() says.
 * Dying    while the lock is held: it is handed on as RECOVERED. From the release on, the word
 *          is WAITING or NOTIFIED until the lock is held again; a dead one's WAITING is passed
 *          over, and its NOTIFIED passed on.
 */
static int wait_once(brood_condition *condition, brood_lock *lock, int64_t deadline)
{
    struct wait wait = { .condition = condition, .lock = lock };
    int told, r = 0;

    enroll(&wait);
    wait.depth = brood__lock_release_all(lock);
    told = sleep_until_told(&wait, deadline, &r);
    if (told <= 0)
        r = brood__lock_restore(lock, wait.depth, BROOD__NEVER);
    leave(&wait, r < 0);
    return r == 0 && told < 0 ? told : r;
}

static int check(brood_condition *condition, brood_lock *lock)
{
    int r = enter(condition);

    if (r == 0)
        r = lock == NULL ? -EINVAL : brood__object_check(&lock->object, BROOD__LOCK);
    if (r < 0)
        return r;
    if (brood__object_header(&lock->object) != header_of(condition))
        return -EXDEV;
    return brood__lock_held(lock) ? 0 : -EPERM;
}

static int64_t deadline_of(int64_t timeout)
{
    int64_t deadline = 0;

    if (timeout != BROOD_NOWAIT)
        (void)brood__deadline(timeout, &deadline);
    return deadline;
}

int brood_condition_wait(brood_condition *condition, brood_lock *lock, int64_t timeout)
{
    int r = timeout < BROOD_FOREVER ? -EINVAL : check(condition, lock);

    return r < 0 ? r : wait_once(condition, lock, deadline_of(timeout));
}

int brood_condition_wait_for(brood_condition *condition, brood_lock *lock,
                             brood_condition_function *predicate, void *user, int64_t timeout)
{
    bool late = false;
    int64_t deadline;
    int r;

    if (predicate == NULL || timeout < BROOD_FOREVER)
        return -EINVAL;
    r = check(condition, lock);
    deadline = deadline_of(timeout);
    while (r == 0) {
        r = predicate(user);
        if (r != 0)
            return r < 0 ? r : 0;
        if (late)
            return -ETIMEDOUT;
        r = check(condition, lock);
        if (r < 0)
            break;
        r = wait_once(condition, lock, deadline);
        if (r == -ETIMEDOUT) {
            late = true;
            r = 0;
        }
    }
    return r;
}

int brood_condition_waiters(brood_condition *condition)
{
    int r = enter(condition);

    return r < 0 ? r : count_waiters(condition, false);
}
