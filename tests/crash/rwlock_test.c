/*
 * Reader-writer locks: whoever is killed reading is as good as gone; whoever is killed
 * writing leaves the lock to the next one, who hears BROOD_LOCK_RECOVERED and has it alone.
 */
#include "step.h"

#include "sync/rwlock.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

struct guarded {
    _Atomic int64_t first, second; /* equal while nobody writes */
};

static brood_rwlock *rwlock;
static struct guarded *guarded;

enum { INSIDE, HELD, BROKEN, READER }; /* notes */

static void make(void)
{
    assert_int_equal(brood_rwlock_create(step_shared, &rwlock), 0);
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

static bool torn(void)
{
    return atomic_load(&guarded->first) != atomic_load(&guarded->second);
}

static void leave_torn(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)brood_rwlock_acquire_write(rwlock, BROOD_FOREVER);
        atomic_fetch_add(&guarded->first, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void make_abandoned(void)
{
    make();
    leave_torn();
}

static void make_abandoned_hooked(void)
{
    make();
    assert_int_equal(brood_rwlock_set_repair(rwlock, mend, guarded), 0);
    leave_torn();
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

/* A note of who reads, which stops counting when that thread dies. */
static void say_reading(bool reads)
{
    atomic_store(&step_notes->number[READER],
                 reads ? (int64_t)brood__here.generation << 32 | brood__here.slot : 0);
}

static bool somebody_reads(void)
{
    int64_t reader = atomic_load(&step_notes->number[READER]);

    return reader != 0 &&
           brood__thread_alive(step_header, (uint32_t)reader, (uint32_t)(reader >> 32));
}

static void read_once(int who)
{
    int r = brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);

    (void)who;
    if (r == BROOD_LOCK_RECOVERED)
        (void)mend(guarded);
    if (r < 0)
        return;
    say_reading(true);
    if (torn())
        atomic_store(&step_notes->number[BROKEN], 1);
    say_reading(false);
    (void)brood_rwlock_release_read(rwlock);
}

static void read_twice(int who)
{
    (void)who;
    (void)brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);
    (void)brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);
    (void)brood_rwlock_release_read(rwlock);
    (void)brood_rwlock_release_read(rwlock);
}

static void write_once(int who)
{
    int r = brood_rwlock_acquire_write(rwlock, BROOD_FOREVER);

    (void)who;
    if (r == BROOD_LOCK_RECOVERED)
        (void)mend(guarded);
    if (r < 0)
        return;
    atomic_store(&step_notes->number[INSIDE], 1);
    if (torn() || somebody_reads())
        atomic_store(&step_notes->number[BROKEN], 1);
    atomic_fetch_add(&guarded->first, 1);
    atomic_fetch_add(&guarded->second, 1);
    atomic_store(&step_notes->number[INSIDE], 0);
    (void)brood_rwlock_release_write(rwlock);
}

/* Had for reading or writing, recovered if it must be and only if it may be, and then as
 * new. */
static const char *usable(bool may_be_recovered, bool must_be_recovered, bool by_reader)
{
    int r = by_reader ? brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT)
                      : brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT);

    if (atomic_load(&step_notes->number[BROKEN]) != 0)
        return "a writer was not alone";
    if (r < 0 || (r != 0 && !may_be_recovered) || (r == 0 && (must_be_recovered || torn())))
        return step_wrong("acquire: %d", r);
    if (r == BROOD_LOCK_RECOVERED)
        (void)mend(guarded);
    r = by_reader ? brood_rwlock_release_read(rwlock) : brood_rwlock_release_write(rwlock);
    if (r != 0)
        return step_wrong("release: %d", r);
    r = brood_rwlock_acquire_write(rwlock, BROOD_NOWAIT);
    if (r != 0)
        return step_wrong("acquire_write: %d", r);
    r = brood_rwlock_release_write(rwlock);
    if (r != 0)
        return step_wrong("release_write: %d", r);
    r = brood_rwlock_acquire_read(rwlock, BROOD_NOWAIT);
    if (r != 0 || brood_rwlock_readers(rwlock) != 1)
        return step_wrong("acquire_read: %d, %d readers", r, brood_rwlock_readers(rwlock));
    r = brood_rwlock_release_read(rwlock);
    return r != 0 ? step_wrong("release_read: %d", r) : NULL;
}

/* Dead readers left nothing to recover. */
static const char *check_read(const struct step_death *death)
{
    (void)death;
    return usable(false, false, false);
}

static bool inside(void)
{
    return atomic_load(&step_notes->number[INSIDE]) != 0;
}

static const char *check_write(const struct step_death *death)
{
    return usable(!death->done[0], inside(), false);
}

static const char *check_by_reader(const struct step_death *death)
{
    return usable(!death->done[0], inside(), true);
}

static void single(const char *name, void (*setup)(void), void (*operate)(int who),
                   const char *(*check)(const struct step_death *death))
{
    struct step_scenario scenario = {
        .name = name, .setup = setup, .begin = enter, .operate = operate, .check = check
    };

    step_single(&scenario);
}

static void reading(void **state)
{
    (void)state;
    single("rwlock, read", make, read_once, check_read);
}

static void reading_twice(void **state)
{
    (void)state;
    single("rwlock, read within a read", make, read_twice, check_read);
}

static void writing(void **state)
{
    (void)state;
    single("rwlock, write", make, write_once, check_write);
}

static void writing_then_read(void **state)
{
    (void)state;
    single("rwlock, write, and a reader comes next", make, write_once, check_by_reader);
}

static void recovering_by_writer(void **state)
{
    (void)state;
    single("rwlock, of a dead writer, write", make_abandoned, write_once, check_write);
}

static void recovering_by_reader(void **state)
{
    (void)state;
    single("rwlock, of a dead writer, read", make_abandoned, read_once, check_by_reader);
}

static void repairing_by_writer(void **state)
{
    (void)state;
    single("rwlock, of a dead writer, with a hook, write", make_abandoned_hooked, write_once,
           check_write);
}

static void repairing_by_reader(void **state)
{
    (void)state;
    single("rwlock, of a dead writer, with a hook, read", make_abandoned_hooked, read_once,
           check_by_reader);
}

/* ---- with others who wait ---- */

static const char *come_and_go(int index)
{
    bool writes = index == 1;
    int r;

    step_coming(index);
    r = writes ? brood_rwlock_acquire_write(rwlock, BROOD_FOREVER)
               : brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);
    step_got(index);
    if (r == BROOD_LOCK_RECOVERED)
        (void)mend(guarded);
    if (r < 0)
        return step_wrong("acquire: %d", r);
    r = writes ? brood_rwlock_release_write(rwlock) : brood_rwlock_release_read(rwlock);
    return r < 0 ? step_wrong("release: %d", r) : NULL;
}

/* A reader and a writer wait for the victim. */
static const char *wait_for_it(int index)
{
    enter(index);
    step_await_number(HELD, 1);
    return come_and_go(index);
}

static void hold(int who, bool writes)
{
    enter(who);
    (void)(writes ? brood_rwlock_acquire_write(rwlock, BROOD_FOREVER)
                  : brood_rwlock_acquire_read(rwlock, BROOD_FOREVER));
    atomic_store(&step_notes->number[HELD], 1);
}

static void write_while_two_wait(int who)
{
    hold(who, true);
    step_await_asleep(0);
    step_await_asleep(1);
}

static void release_write(int who)
{
    (void)who;
    (void)brood_rwlock_release_write(rwlock);
}

static const char *check_both_got_it(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    if (wrong == NULL)
        wrong = step_late(death, 1);
    return wrong != NULL ? wrong : usable(false, false, false);
}

static void with_two(const char *name, void (*begin)(int who), void (*operate)(int who),
                     const char *(*help)(int index),
                     const char *(*check)(const struct step_death *death), unsigned flags)
{
    struct step_scenario scenario = { .name = name,
                                      .setup = make,
                                      .begin = begin,
                                      .operate = operate,
                                      .help = help,
                                      .helpers = 2,
                                      .check = check,
                                      .flags = flags };

    step_single(&scenario);
}

static void releasing_write(void **state)
{
    (void)state;
    with_two("rwlock, release after writing, two waiting", write_while_two_wait, release_write,
             wait_for_it, check_both_got_it, 0);
}

/* A writer waits for the reading victim, and then a reader behind it. */
static const char *wait_in_turn(int index)
{
    enter(index);
    step_await_number(HELD, 1);
    if (index == 0)
        step_await_asleep(1);
    return come_and_go(index);
}

static void read_while_two_wait(int who)
{
    hold(who, false);
    step_await_asleep(1);
    step_await_asleep(0);
}

static void release_read(int who)
{
    (void)who;
    (void)brood_rwlock_release_read(rwlock);
}

static void releasing_read(void **state)
{
    (void)state;
    with_two("rwlock, release after reading, two waiting", read_while_two_wait, release_read,
             wait_in_turn, check_both_got_it, 0);
}

/* Helper 1 has it until the victim sleeps for it, and helper 0, a reader, behind it. */
static const char *write_before_or_read_behind(int index)
{
    enter(index);
    if (index == 0) {
        step_await_number(HELD, 1);
        (void)step_await_victim_asleep();
        return come_and_go(0);
    }
    hold(1, true);
    step_await_asleep(0);
    release_write(1);
    return NULL;
}

/* The same, and helper 1 reads. */
static const char *read_before_or_read_behind(int index)
{
    enter(index);
    if (index == 0) {
        step_await_number(HELD, 1);
        (void)step_await_victim_asleep();
        return come_and_go(0);
    }
    hold(1, false);
    (void)step_await_victim_asleep();
    step_await_asleep(0);
    release_read(1);
    return NULL;
}

static void await_held(int who)
{
    enter(who);
    step_await_number(HELD, 1);
}

static const char *check_behind(const struct step_death *death)
{
    const char *wrong = step_late(death, 0);

    return wrong != NULL ? wrong : usable(false, false, false);
}

static void woken_reader(void **state)
{
    (void)state;
    step_require_short_spins();
    with_two("rwlock, a reader that waits for a writer", await_held, read_once,
             write_before_or_read_behind, check_behind, STEP_SLEEPS | STEP_VARIES);
}

static void woken_writer(void **state)
{
    (void)state;
    step_require_short_spins();
    with_two("rwlock, a writer that waits for a writer", await_held, write_once,
             write_before_or_read_behind, check_behind, STEP_SLEEPS | STEP_VARIES);
}

static void writer_before_readers(void **state)
{
    (void)state;
    with_two("rwlock, a writer that waits for a reader", await_held, write_once,
             read_before_or_read_behind, check_behind, STEP_SLEEPS | STEP_VARIES);
}

static const char *read_to_the_end(int index)
{
    enter(index);
    hold(index, false);
    step_await_victim_dead();
    release_read(index);
    return NULL;
}

static void give_up_writing(int who)
{
    (void)who;
    (void)brood_rwlock_acquire_write(rwlock, brood_ms(3));
}

static void writer_that_gives_up(void **state)
{
    struct step_scenario scenario = { .name = "rwlock, a writer that gives up",
                                      .setup = make,
                                      .begin = await_held,
                                      .operate = give_up_writing,
                                      .help = read_to_the_end,
                                      .helpers = 1,
                                      .check = check_read,
                                      .flags = STEP_SLEEPS | STEP_VARIES };

    (void)state;
    step_single(&scenario);
}

/* ---- pairs ---- */

static void read_or_write(int who)
{
    if (who == 0)
        read_once(0);
    else
        write_once(1);
}

/* A may have died writing, though B has written since. */
static const char *check_pair(const struct step_death *death)
{
    if (!death->done[!death->killed])
        return "the other one did not come to its end";
    return usable(!death->done[death->killed], false, false);
}

static void pairs(const char *name, void (*setup)(void), void (*operate)(int who))
{
    struct step_scenario scenario = {
        .name = name, .setup = setup, .begin = enter, .operate = operate, .check = check_pair
    };

    step_pairs(&scenario);
}

static void reader_and_writer(void **state)
{
    (void)state;
    pairs("rwlock, a reader and a writer", make, read_or_write);
}

static void two_writers(void **state)
{
    (void)state;
    pairs("rwlock, two writers", make, write_once);
}

static void reader_and_writer_after_a_death(void **state)
{
    (void)state;
    pairs("rwlock, of a dead writer, a reader and a writer", make_abandoned, read_or_write);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(reading, 1800),
    TEST_CASE_LIMIT(reading_twice, 1800),
    TEST_CASE_LIMIT(writing, 1800),
    TEST_CASE_LIMIT(writing_then_read, 1800),
    TEST_CASE_LIMIT(recovering_by_writer, 1800),
    TEST_CASE_LIMIT(recovering_by_reader, 1800),
    TEST_CASE_LIMIT(repairing_by_writer, 1800),
    TEST_CASE_LIMIT(repairing_by_reader, 1800),
    TEST_CASE_LIMIT(releasing_write, 1800),
    TEST_CASE_LIMIT(releasing_read, 1800),
    TEST_CASE_LIMIT(woken_reader, 1800),
    TEST_CASE_LIMIT(woken_writer, 1800),
    TEST_CASE_LIMIT(writer_before_readers, 1800),
    TEST_CASE_LIMIT(writer_that_gives_up, 1800),
    TEST_CASE_LIMIT(reader_and_writer, 1800),
    TEST_CASE_LIMIT(two_writers, 1800),
    TEST_CASE_LIMIT(reader_and_writer_after_a_death, 1800),
};
TEST_SUITE(crash_rwlock, cases)
