/*
 * Presence: a thread killed while it registers leaves a slot that is dead or unused, a
 * registry that works, and nothing that makes it look alive.
 */
#include "step.h"

#include "shm/presence.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PID, ENTERED }; /* notes; the second for each of two */

#define MEMBERS_FEW 3

static void make_nothing(void)
{
    assert_int_equal(brood__enter(step_header), 0);
}

static void leave_a_dead_slot(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(brood__enter(step_header) != 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* One dead slot, of another process. */
static void make_dead(void)
{
    make_nothing();
    leave_a_dead_slot();
}

/* Two processes at once, so that two slots are dead and none is left that was never used. */
static void make_full(void)
{
    pid_t pid;

    make_nothing();
    pid = fork();
    if (pid == 0) {
        bool well = brood__enter(step_header) == 0;

        leave_a_dead_slot();
        _exit(!well);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(brood__slots_used(step_header), MEMBERS_FEW);
}

static void *enter_and_end(void *unused)
{
    (void)brood__enter(step_header);
    return unused;
}

/* A thread of the victim's process has had a slot. */
static void have_an_own_dead_slot(int who)
{
    pthread_t thread;

    (void)who;
    if (pthread_create(&thread, NULL, enter_and_end, NULL) == 0)
        (void)pthread_join(thread, NULL);
}

static void enter(int who)
{
    (void)who;
    atomic_store(&step_notes->number[PID], getpid());
    atomic_store(&step_notes->number[ENTERED + who], 1 + brood__enter(step_header));
}

static void enter_first(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static void leave(int who)
{
    (void)who;
    (void)brood__leave(step_header);
}

/* Only the stage is alive, and whoever comes gets a slot, with counters of its own. */
static const char *check(const struct step_death *death)
{
    uint32_t used = brood__slots_used(step_header), alive = 0;
    int r;

    if (death->done[0] && atomic_load(&step_notes->number[PID]) != 0 &&
        atomic_load(&step_notes->number[ENTERED]) != 1)
        return step_wrong("enter: %lld",
                          (long long)atomic_load(&step_notes->number[ENTERED]) - 1);
    for (uint32_t i = 0; i < used; i++)
        alive += brood__slot_alive(step_header, i);
    if (alive != 1)
        return step_wrong("%u slots are alive", (unsigned)alive);
    r = brood__enter(step_header);
    if (r != 0)
        return step_wrong("enter: %d", r);
    if (!brood__thread_alive(step_header, brood__here.slot, brood__here.generation) ||
        !brood__process_alive(step_header, brood__here.slot, brood__here.tenancy))
        return "entered, and not alive";
    if (brood__thread_alive(step_header, brood__here.slot, brood__here.generation - 1) ||
        brood__process_alive(step_header, brood__here.slot, brood__here.tenancy - 1))
        return "who had the slot before looks alive";
    for (uint32_t i = 0; i < brood__slots_used(step_header); i++)
        if (i != brood__here.slot && brood__slot_alive(step_header, i) &&
            brood__slot_at(step_header, i)->tid == brood__here.tid)
            return "two slots of one thread";
    return NULL;
}

static void single(const char *name, void (*setup)(void), void (*begin)(int who),
                   void (*operate)(int who), uint32_t members)
{
    struct step_scenario scenario = { .name = name,
                                      .setup = setup,
                                      .begin = begin,
                                      .operate = operate,
                                      .check = check,
                                      .members = members };

    step_single(&scenario);
}

static void first_use(void **state)
{
    (void)state;
    single("presence, a slot never used", make_nothing, NULL, enter, 0);
}

static void slot_of_the_dead(void **state)
{
    (void)state;
    single("presence, a dead one's slot", make_dead, NULL, enter, 0);
}

static void last_slots(void **state)
{
    (void)state;
    single("presence, no slot but dead ones'", make_full, NULL, enter, MEMBERS_FEW);
}

static void slot_of_an_own_thread(void **state)
{
    (void)state;
    single("presence, an ended thread's slot", make_nothing, have_an_own_dead_slot, enter, 0);
}

static void leaving(void **state)
{
    (void)state;
    single("presence, leave", make_nothing, enter_first, leave, 0);
}

static const char *check_two(const struct step_death *death)
{
    for (int who = 0; who < 2; who++) {
        int64_t entered = atomic_load(&step_notes->number[ENTERED + who]);

        if (death->done[who] && entered != 1)
            return step_wrong("%s: enter: %d", who == 0 ? "A" : "B", (int)entered - 1);
    }
    return death->done[!death->killed] ? check(death) : "the other one did not get in";
}

static void two(const char *name, void (*setup)(void))
{
    struct step_scenario scenario = {
        .name = name, .setup = setup, .operate = enter, .check = check_two
    };

    step_pairs(&scenario);
}

static void two_first_uses(void **state)
{
    (void)state;
    two("presence, a slot never used", make_nothing);
}

static void two_for_a_dead_slot(void **state)
{
    (void)state;
    two("presence, a dead one's slot", make_dead);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(first_use, 1800),
    TEST_CASE_LIMIT(slot_of_the_dead, 1800),
    TEST_CASE_LIMIT(last_slots, 1800),
    TEST_CASE_LIMIT(slot_of_an_own_thread, 1800),
    TEST_CASE_LIMIT(leaving, 1800),
    TEST_CASE_LIMIT(two_first_uses, 1800),
    TEST_CASE_LIMIT(two_for_a_dead_slot, 1800),
};
TEST_SUITE(crash_presence, cases)
