/*
 * Named segments: a process killed while it creates one leaves its name with all behind it,
 * or nothing; one killed while it removes what a crash left, the same.
 */
#include "step.h"

#include "shm/heap.h"
#include "shm/segment.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char name[64];
static char path[BROOD__PATH_BYTES];

static brood_shared_options options_of(void)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;

    options.name = name;
    options.bytes_max = 1 << 20;
    options.members_max = 8;
    return options;
}

static void make_name(void)
{
    (void)snprintf(name, sizeof name, "crash-%d", (int)getpid());
    assert_int_equal(brood__name_path(name, path), 0);
}

static void create(int who)
{
    brood_shared_options options = options_of();
    brood_shared *made = NULL;

    (void)who;
    (void)brood_shared_create(&options, &made);
}

/* It can be attached and used, and removed. */
static const char *whole(void)
{
    brood_shared_options options = options_of();
    brood_shared *made = NULL;
    void *memory;
    int r = brood_shared_attach(&options, &made);

    if (r == 0)
        r = brood_shared_alloc(made, 1000, 0, &memory);
    if (r == 0)
        r = brood__heap_check(made->header) < 0 ? -EBADMSG : 0;
    brood_shared_detach(made);
    return r < 0 ? step_wrong("not whole: %d", r) : NULL;
}

static const char *check_created(const struct step_death *death)
{
    const char *wrong;
    int r;

    if (access(path, F_OK) != 0)
        return death->done[0] ? "nothing was created" : NULL;
    wrong = whole();
    r = brood_shared_clean(name);
    if (wrong == NULL && r != 0)
        wrong = step_wrong("what was left cannot be cleaned: %d", r);
    (void)unlink(path);
    return wrong;
}

static void creating(void **state)
{
    static const struct step_scenario scenario = { .name = "segment, create",
                                                   .setup = make_name,
                                                   .operate = create,
                                                   .check = check_created,
                                                   .flags = STEP_OUTSIDE,
                                                   .seconds = 2 };

    (void)state;
    step_single(&scenario);
}

static void leave_behind(int who)
{
    brood_shared_options options = options_of();
    brood_shared *made = NULL;
    pid_t pid = fork();

    (void)who;
    if (pid == 0)
        _exit(brood_shared_create(&options, &made) != 0);
    (void)waitpid(pid, NULL, 0);
}

static void clean(int who)
{
    (void)who;
    (void)brood_shared_clean(name);
}

static const char *check_cleaned(const struct step_death *death)
{
    if (death->done[0] && access(path, F_OK) == 0)
        return "still there";
    return check_created(&(struct step_death){ .killed = 0 });
}

static void cleaning(void **state)
{
    static const struct step_scenario scenario = { .name = "segment, clean",
                                                   .setup = make_name,
                                                   .begin = leave_behind,
                                                   .operate = clean,
                                                   .check = check_cleaned,
                                                   .flags = STEP_OUTSIDE,
                                                   .seconds = 2 };

    (void)state;
    step_single(&scenario);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(creating, 1800),
    TEST_CASE_LIMIT(cleaning, 1800),
};
TEST_SUITE(crash_segment, cases)
