/*
 * Locks: whoever is killed at whatever instruction of an acquire or a release, the lock is
 * had by the next one at once, who hears BROOD_LOCK_RECOVERED if and only if the dead one
 * died with it, and hears it once.
 */
#include "step.h"

#include "sync/lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the lock protects: two numbers that are equal whenever nobody is inside. */
struct guarded {
    _Atomic int64_t first, second;
};

static brood_lock *lock;
static uint64_t lock_bytes; /* of the heap */
static struct guarded *guarded;

/* Notes. */
enum { INSIDE, HELD, MADE };

static void make(uint32_t flags)
{
    brood_lock_options options = BROOD_LOCK_OPTIONS_INIT;

    options.flags = flags;
    lock_bytes = step_used();
    assert_int_equal(brood_lock_create(step_shared, &options, &lock), 0);
    lock_bytes = step_used() - lock_bytes;
    assert_int_equal(
        brood_shared_alloc(step_shared, sizeof *guarded, BROOD_ALLOC_ZERO, (void **)&guarded),
        0);
}

static int mend(void *user)
{
    struct guarded *g = user;

    atomic_store(&g->second, atomic_load(&g->first));
    return 0;
}

static void make_plain(void)
{
    make(0);
}

static void make_timed(void)
{
    make(BROOD_LOCK_TIMED);
}

static void make_recursive(void)
{
    make(BROOD_LOCK_RECURSIVE);
}

static void make_hooked(void)
{
    make(0);
    assert_int_equal(brood_lock_set_repair(lock, mend, guarded), 0);
}

/* Uses the lock once, so that the first use is over. */
static void enter(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
    (void)brood_lock_release(lock);
}

static void change(void)
{
    atomic_fetch_add(&guarded->first, 1);
    atomic_fetch_add(&guarded->second, 1);
}

static void use(int who)
{
    int r = brood_lock_acquire(lock, BROOD_FOREVER);

    (void)who;
    if (r == BROOD_LOCK_RECOVERED)
        (void)mend(guarded);
    if (r < 0)
        return;
    atomic_store(&step_notes->number[INSIDE], 1);
    change();
    atomic_store(&step_notes->number[INSIDE], 0);
    (void)brood_lock_release(lock);
}

static void use_twice(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
    atomic_store(&step_notes->number[INSIDE], 1);
    change();
    atomic_store(&step_notes->number[INSIDE], 0);
    (void)brood_lock_release(lock);
    (void)brood_lock_release(lock);
}

/* The lock is had, recovered when it must be, and then once more, as new. */
static const char *usable(bool may_be_recovered, bool must_be_recovered)
{
    uint32_t word = atomic_load(brood__robust_word(&lock->mutex));
    bool died_with_it = (word & BROOD__OWNER_DIED) != 0;
    int r = brood_lock_acquire(lock, BROOD_NOWAIT);

    if (r < 0)
        return step_wrong("acquire: %d, word %#x", r, word);
    if (must_be_recovered && !died_with_it)
        return step_wrong("died inside, but the word is %#x", word);
    if ((r == BROOD_LOCK_RECOVERED) != died_with_it)
        return step_wrong("acquire: %d, word %#x", r, word);
    if (r == BROOD_LOCK_RECOVERED && !may_be_recovered)
        return step_wrong("recovered, and nobody died with it");
    if (r == BROOD_LOCK_RECOVERED)
        (void)mend(guarded);
    if (atomic_load(&guarded->first) != atomic_load(&guarded->second))
        return "what it protects is torn, and nobody said so";
    r = brood_lock_release(lock);
    if (r < 0)
        return step_wrong("release: %d", r);
    if (brood_lock_owner(lock, NULL) != 0)
        return "still held after the release";
    r = brood_lock_acquire(lock, BROOD_NOWAIT);
    if (r != 0)
        return step_wrong("second acquire: %d", r);
    r = brood_lock_release(lock);
    if (r != 0)
        return step_wrong("second release: %d", r);
    if (brood_lock_release(lock) != -EPERM)
        return "released once more";
    return NULL;
}

static const char *check(const struct step_death *death)
{
    return usable(!death->done[0], atomic_load(&step_notes->number[INSIDE]) != 0);
}

/* ---- alone ---- */

static void acquire_and_release(void **state)
{
    static const struct step_scenario scenario = {
        .name = "lock", .setup = make_plain, .begin = enter, .operate = use, .check = check
    };

    (void)state;
    step_single(&scenario);
}

static void timed(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, timed",
                                                   .setup = make_timed,
                                                   .begin = enter,
                                                   .operate = use,
                                                   .check = check };

    (void)state;
    step_single(&scenario);
}

static void recursive(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, recursive",
                                                   .setup = make_recursive,
                                                   .begin = enter,
                                                   .operate = use_twice,
                                                   .check = check };

    (void)state;
    step_single(&scenario);
}

/* ---- after a death ---- */

static void leave_torn(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)brood_lock_acquire(lock, BROOD_FOREVER);
        atomic_fetch_add(&guarded->first, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void make_abandoned(void)
{
    make_plain();
    leave_torn();
}

static void make_abandoned_hooked(void)
{
    make_hooked();
    leave_torn();
}

static int fail_to_mend(void *user)
{
    (void)user;
    return -EIO;
}

static void make_abandoned_for_good(void)
{
    make_plain();
    assert_int_equal(brood_lock_set_repair(lock, fail_to_mend, NULL), 0);
    leave_torn();
}

static void enter_segment(int who)
{
    (void)who;
    (void)brood_lock_owner(lock, NULL);
}

static void recovering(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, of a dead one",
                                                   .setup = make_abandoned,
                                                   .begin = enter_segment,
                                                   .operate = use,
                                                   .check = check };

    (void)state;
    step_single(&scenario);
}

static void repairing(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, of a dead one, with a hook",
                                                   .setup = make_abandoned_hooked,
                                                   .begin = enter_segment,
                                                   .operate = use,
                                                   .check = check };

    (void)state;
    step_single(&scenario);
}

static const char *check_lost(const struct step_death *death)
{
    int r = brood_lock_acquire(lock, BROOD_NOWAIT);

    (void)death;
    if (r != -ENOTRECOVERABLE)
        return step_wrong("acquire: %d", r);
    r = brood_lock_acquire(lock, BROOD_FOREVER);
    return r != -ENOTRECOVERABLE ? step_wrong("second acquire: %d", r) : NULL;
}

static void repair_that_fails(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, a repair that fails",
                                                   .setup = make_abandoned_for_good,
                                                   .begin = enter_segment,
                                                   .operate = use,
                                                   .check = check_lost };

    (void)state;
    step_single(&scenario);
}

static void acquire_first(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, BROOD_FOREVER);
}

static void poison(int who)
{
    (void)who;
    (void)brood_lock_poison(lock);
}

static const char *check_poisoned(const struct step_death *death)
{
    bool poisoned = atomic_load(&lock->marks.poisoned) != 0;
    int r = brood_lock_acquire(lock, BROOD_NOWAIT);

    if (death->done[0] && !poisoned)
        return "not poisoned";
    if (r != (poisoned ? -ENOTRECOVERABLE : BROOD_LOCK_RECOVERED))
        return step_wrong("acquire: %d", r);
    return poisoned ? check_lost(death) : NULL;
}

static void poisoning(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, poisoned",
                                                   .setup = make_plain,
                                                   .begin = acquire_first,
                                                   .operate = poison,
                                                   .check = check_poisoned };

    (void)state;
    step_single(&scenario);
}

/* ---- with others who wait ---- */

static const char *come_and_go(int index)
{
    int r;

    step_coming(index);
    r = brood_lock_acquire(lock, BROOD_FOREVER);
    step_got(index);
    if (r == BROOD_LOCK_RECOVERED)
        (void)mend(guarded);
    if (r < 0)
        return step_wrong("acquire: %d", r);
    r = brood_lock_release(lock);
    return r < 0 ? step_wrong("release: %d", r) : NULL;
}

static const char *wait_for_it(int index)
{
    (void)brood_lock_owner(lock, NULL);
    step_await_number(HELD, 1);
    return come_and_go(index);
}

static void hold_and_let_wait(int who)
{
    acquire_first(who);
    atomic_store(&step_notes->number[HELD], 1);
    step_await_asleep(0);
    step_await_asleep(1);
}

static void release(int who)
{
    (void)who;
    (void)brood_lock_release(lock);
}

static const char *check_waiters(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    return wrong != NULL ? wrong : usable(false, false);
}

static void release_to_waiters(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, release with two waiting",
                                                   .setup = make_plain,
                                                   .begin = hold_and_let_wait,
                                                   .operate = release,
                                                   .help = wait_for_it,
                                                   .helpers = 2,
                                                   .check = check_waiters };

    (void)state;
    step_single(&scenario);
}

/* Helper 0 has the lock until the victim sleeps for it, and helper 1 behind it. */
static const char *be_before_or_behind(int index)
{
    int r;

    (void)brood_lock_owner(lock, NULL);
    if (index == 1) {
        step_await_number(HELD, 1);
        (void)step_await_victim_asleep();
        return come_and_go(1);
    }
    r = brood_lock_acquire(lock, BROOD_FOREVER);
    if (r != 0)
        return step_wrong("first acquire: %d", r);
    atomic_store(&step_notes->number[HELD], 1);
    step_await_asleep(1);
    r = brood_lock_release(lock);
    return r != 0 ? step_wrong("release: %d", r) : NULL;
}

static void await_held(int who)
{
    enter_segment(who);
    step_await_number(HELD, 1);
}

static const char *check_behind(const struct step_death *death)
{
    const char *wrong = step_late(death, 1);

    return wrong != NULL ? wrong : usable(false, false);
}

static void woken_waiter(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, a waiter that is woken",
                                                   .setup = make_plain,
                                                   .begin = await_held,
                                                   .operate = use,
                                                   .help = be_before_or_behind,
                                                   .helpers = 2,
                                                   .check = check_behind,
                                                   .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_require_short_spins();
    step_single(&scenario);
}

static const char *hold_to_the_end(int index)
{
    int r = brood_lock_acquire(lock, BROOD_FOREVER);

    (void)index;
    if (r != 0)
        return step_wrong("acquire: %d", r);
    atomic_store(&step_notes->number[HELD], 1);
    step_await_victim_dead();
    r = brood_lock_release(lock);
    return r != 0 ? step_wrong("release: %d", r) : NULL;
}

static void give_up(int who)
{
    (void)who;
    (void)brood_lock_acquire(lock, brood_ms(2));
}

static const char *check_untouched(const struct step_death *death)
{
    (void)death;
    return usable(false, false);
}

static void waiter_that_gives_up(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, a waiter that gives up",
                                                   .setup = make_plain,
                                                   .begin = await_held,
                                                   .operate = give_up,
                                                   .help = hold_to_the_end,
                                                   .helpers = 1,
                                                   .check = check_untouched,
                                                   .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_require_short_spins();
    step_single(&scenario);
}

/* ---- its memory ---- */

static void create(int who)
{
    brood_lock *made = NULL;

    (void)who;
    if (brood_lock_create(step_shared, NULL, &made) == 0)
        atomic_store(&step_notes->number[MADE], (int64_t)brood_shared_place(step_shared, made));
}

/* From the moment on in which it belongs to nobody it is there, though the caller may not
 * have come to know of it. */
static const char *check_created(const struct step_death *death)
{
    brood_lock *made =
        brood_shared_at(step_shared, (uint64_t)atomic_load(&step_notes->number[MADE]));
    uint64_t more;

    (void)brood_shared_reclaim(step_shared);
    more = step_used() - step_used_before();
    if (made == NULL && death->done[0])
        return "nothing was created";
    if (made != NULL && (more == 0 || brood_lock_destroy(made) != 0))
        return "created, but not there";
    return step_heap_wrong(made != NULL || more == 0 ? 0 : lock_bytes);
}

static void creating(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, create",
                                                   .setup = make_plain,
                                                   .begin = enter,
                                                   .operate = create,
                                                   .check = check_created };

    (void)state;
    step_single(&scenario);
}

static void destroy(int who)
{
    (void)who;
    (void)brood_lock_destroy(lock);
}

/* What one has begun is done, or another can do it. */
static const char *check_destroyed(const struct step_death *death)
{
    int r = death->done[0] ? 0 : brood_lock_destroy(lock);

    if (r != 0 && r != -EINVAL)
        return step_wrong("destroy: %d", r);
    return step_heap_wrong(0 - lock_bytes);
}

static void destroying(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, destroy",
                                                   .setup = make_plain,
                                                   .begin = enter,
                                                   .operate = destroy,
                                                   .check = check_destroyed };

    (void)state;
    step_single(&scenario);
}

/* ---- pairs ---- */

static const char *check_pair(const struct step_death *death)
{
    return usable(!death->done[death->killed], false);
}

static void two_at_once(void **state)
{
    static const struct step_scenario scenario = { .name = "lock",
                                                   .setup = make_plain,
                                                   .begin = enter_segment,
                                                   .operate = use,
                                                   .check = check_pair };

    (void)state;
    step_pairs(&scenario);
}

static void two_at_once_after_a_death(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, of a dead one",
                                                   .setup = make_abandoned,
                                                   .begin = enter_segment,
                                                   .operate = use,
                                                   .check = check_pair };

    (void)state;
    step_pairs(&scenario);
}

static void two_at_once_with_a_hook(void **state)
{
    static const struct step_scenario scenario = { .name = "lock, of a dead one, with a hook",
                                                   .setup = make_abandoned_hooked,
                                                   .begin = enter_segment,
                                                   .operate = use,
                                                   .check = check_pair };

    (void)state;
    step_pairs(&scenario);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(acquire_and_release, 1800),
    TEST_CASE_LIMIT(timed, 1800),
    TEST_CASE_LIMIT(recursive, 1800),
    TEST_CASE_LIMIT(recovering, 1800),
    TEST_CASE_LIMIT(repairing, 1800),
    TEST_CASE_LIMIT(repair_that_fails, 1800),
    TEST_CASE_LIMIT(poisoning, 1800),
    TEST_CASE_LIMIT(release_to_waiters, 1800),
    TEST_CASE_LIMIT(woken_waiter, 1800),
    TEST_CASE_LIMIT(waiter_that_gives_up, 1800),
    TEST_CASE_LIMIT(creating, 1800),
    TEST_CASE_LIMIT(destroying, 1800),
    TEST_CASE_LIMIT(two_at_once, 1800),
    TEST_CASE_LIMIT(two_at_once_after_a_death, 1800),
    TEST_CASE_LIMIT(two_at_once_with_a_hook, 1800),
};
TEST_SUITE(crash_lock, cases)
