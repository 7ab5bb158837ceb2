/*
 * Segments between processes: who attaches owns nothing, what dies leaves nothing it should
 * not (rows t and u of the failure matrix), and who is present. Method: children attach,
 * allocate, and end in every way; the parent looks at /dev/shm and at the segment.
 */
#include "helpers.h"

#include "shm/heap.h"
#include "shm/presence.h"
#include "shm/segment.h"

#include <pthread.h>
#include <sched.h>

static brood_shared_options named(char name[64], const char *what)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;

    (void)snprintf(name, 64, "test.%d.%s", (int)getpid(), what);
    options.name = name;
    options.members_max = 16;
    return options;
}

static int exit_code_of(pid_t pid)
{
    int status = 0;

    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static unsigned members_of(brood_shared *shared)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;

    assert_int_equal(brood_shared_info_get(shared, &info), 0);
    return info.members;
}

/* ---- row t: to attach is not to own ---- */

static void row_t_attaching_and_exiting_destroys_nothing(void **state)
{
    brood_shared *shared = NULL;
    char name[64];
    brood_shared_options options = named(name, "row-t");
    char *text = NULL;

    (void)state;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    assert_int_equal(brood_shared_alloc(shared, 100, 0, (void **)&text), 0);
    strcpy(text, "still here");
    assert_int_equal(brood_shared_set_root(shared, brood_shared_place(shared, text)), 0);
    for (int way = 0; way < 3; way++) {
        pid_t pid = fork();

        if (pid == 0) { /* as unrelated as a fork can be: it uses its own mapping only */
            brood_shared *other = NULL;
            const char *there;

            if (brood_shared_attach(&options, &other) < 0)
                _exit(1);
            there = brood_shared_at(other, brood_shared_root(other));
            if (there == NULL || strcmp(there, "still here") != 0)
                _exit(2);
            if (way == 0)
                brood_shared_detach(other);
            if (way < 2)
                exit(0);
            (void)raise(SIGKILL);
        }
        assert_int_equal(exit_code_of(pid), way < 2 ? 0 : -SIGKILL);
    }
    assert_string_equal(text, "still here");
    assert_int_equal(brood_shared_clean(name), -EBUSY); /* we have it */
    assert_int_equal(brood_shared_unlink(name), 0);
    brood_shared_detach(shared);
}

/* ---- row u: the creator is killed ---- */

static void row_u_anonymous_leaves_nothing(void **state)
{
    int ends[2];
    pid_t pid;
    char byte;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        void *pointer = NULL;

        if (brood_shared_alloc(NULL, 1 << 20, BROOD_ALLOC_ZERO, &pointer) == 0)
            (void)!write(ends[1], "x", 1);
        (void)raise(SIGKILL);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    assert_int_equal(exit_code_of(pid), -SIGKILL);
    /* The runner compares /dev/shm before and after each case. */
}

static int count_named(const brood_shared_info *info, void *user)
{
    brood_shared_info *wanted = user;

    if (strcmp(info->name, wanted->name) != 0)
        return 0;
    *wanted = *info;
    return 1;
}

static void row_u_named_leftovers_are_found_and_cleaned(void **state)
{
    char name[64];
    brood_shared_options options = named(name, "row-u");
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    brood_shared *shared = NULL;
    pid_t pid;

    (void)state;
    options.layout = 42;
    pid = fork();
    if (pid == 0) {
        if (brood_shared_create(&options, &shared) < 0)
            _exit(1);
        (void)raise(SIGKILL);
    }
    assert_int_equal(exit_code_of(pid), -SIGKILL);
    strcpy(info.name, name);
    assert_int_equal(brood_shared_list(count_named, &info), 1);
    assert_int_equal(info.in_use, 0);
    assert_int_equal(info.layout, 42);
    assert_int_equal(info.members, 0);
    assert_int_equal(info.owner, geteuid());

    assert_int_equal(brood_shared_attach(&options, &shared), 0); /* it can still be used */
    assert_int_equal(brood_shared_list(count_named, &info), 1);
    assert_int_equal(info.in_use, 1);
    assert_int_equal(brood_shared_clean(name), -EBUSY);
    brood_shared_detach(shared);
    assert_int_equal(brood_shared_clean(name), 0);
    assert_int_equal(brood_shared_clean(name), -ENOENT);
    assert_int_equal(brood_shared_list(count_named, &info), 0);
}

/* A child whose parent is gone has the memory, but no descriptor of it any more. */
static void a_child_left_alone_counts_as_use(void **state)
{
    char name[64];
    brood_shared_options options = named(name, "alone");
    int ends[2], stop[2];
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(stop), 0);
    pid = fork();
    if (pid == 0) {
        brood_shared *shared = NULL;
        void *pointer = NULL;

        if (brood_shared_create(&options, &shared) < 0)
            _exit(1);
        if (fork() == 0) {
            if (brood_shared_fd(shared) != -ECHILD || close(shared->fd) < 0)
                _exit(2);
            (void)close(stop[1]);
            if (brood_shared_alloc(shared, 10, 0, &pointer) == 0)
                (void)!write(ends[1], "x", 1);
            _exit((int)read(stop[0], &byte, 1)); /* until the test closes its end */
        }
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(brood_shared_clean(name), -EBUSY);
    (void)close(stop[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* it has ended */
    while (brood_shared_clean(name) == -EBUSY)
        test_pause();
    (void)close(ends[0]);
    (void)close(stop[0]);
}

/* ---- presence ---- */

static void members_come_and_go(void **state)
{
    brood_shared *shared = NULL;
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    void *pointer = NULL;
    int ends[2], stop[2];
    pid_t pids[4];
    char byte;

    (void)state;
    options.members_max = 5;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    assert_int_equal(members_of(shared), 0);
    assert_int_equal(brood_shared_alloc(shared, 10, 0, &pointer), 0);
    assert_int_equal(members_of(shared), 1);
    for (int round = 0; round < 20; round++) {
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(pipe(stop), 0);
        for (int i = 0; i < 4; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                (void)close(stop[1]);
                if (brood_shared_alloc(shared, 10, BROOD_ALLOC_OWNED, &pointer) != 0)
                    _exit(1);
                (void)!write(ends[1], "x", 1);
                _exit((int)read(stop[0], &byte, 1));
            }
        }
        for (int i = 0; i < 4; i++)
            assert_int_equal(read(ends[0], &byte, 1), 1);
        assert_int_equal(members_of(shared), 5);
        if (round == 0) { /* no slot left */
            pid_t pid = fork();

            if (pid == 0)
                _exit(brood_shared_alloc(shared, 10, 0, &pointer) == -EUSERS ? 0 : 1);
            assert_int_equal(exit_code_of(pid), 0);
        }
        (void)close(stop[1]);
        for (int i = 0; i < 4; i++)
            assert_int_equal(exit_code_of(pids[i]), 0);
        assert_int_equal(members_of(shared), 1);
        assert_int_equal(brood_shared_reclaim(shared), 4);
        (void)close(stop[0]);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
    brood_shared_detach(shared);
}

/* Thousands of processes, one after the other, in a few slots; and PIDs that come again. */
static void slots_are_used_again(void **state)
{
    brood_shared *shared = NULL;
    void *pointer = NULL;
    int count = getenv("BROOD_TEST_LONG") != NULL ? 40000 : 1500;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_shared_alloc(shared, 10, 0, &pointer), 0);
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(brood_shared_alloc(shared, 10, BROOD_ALLOC_OWNED, &pointer) == 0 ? 0 : 1);
        assert_int_equal(exit_code_of(pid), 0);
    }
    assert_true(brood__slots_used(shared->header) <= 3);
    assert_int_equal(brood_shared_reclaim(shared), count);
    brood_shared_detach(shared);
}

/* A process that has the PID of a dead one is another process: its start time differs. */
static void a_pid_that_comes_again_is_another_process(void **state)
{
    brood_shared *shared = NULL;
    struct brood__slot *slot;
    void *pointer = NULL;
    pid_t pid;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    pid = fork();
    if (pid == 0)
        _exit(brood_shared_alloc(shared, 10, BROOD_ALLOC_OWNED, &pointer) == 0 ? 0 : 1);
    assert_int_equal(exit_code_of(pid), 0);
    slot = brood__slot_at(shared->header, 0);
    assert_int_equal(slot->pid, pid);
    slot->pid = getpid(); /* as if ours had been its PID, long ago */
    slot->process_start = slot->process_start / 2;
    assert_false(brood__process_alive(shared->header, 0, slot->tenancy));
    slot->pid = 1;
    assert_false(brood__process_alive(shared->header, 0, slot->tenancy));
    assert_int_equal(brood_shared_reclaim(shared), 1);
    brood_shared_detach(shared);
}

/* In another PID namespace thread ids mean other threads: refused before any harm is done. */
static void another_pid_namespace_is_refused(void **state)
{
    brood_shared *shared = NULL;
    void *pointer = NULL;
    pid_t pid;
    int code;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    pid = fork();
    if (pid == 0) {
        pid_t inner;

        if (unshare(CLONE_NEWPID) < 0)
            _exit(77);
        inner = fork();
        if (inner == 0)
            _exit(brood_shared_alloc(shared, 10, 0, &pointer) == -EXDEV ? 0 : 1);
        _exit(inner < 0 ? 77 : exit_code_of(inner));
    }
    code = exit_code_of(pid);
    brood_shared_detach(shared);
    if (code == 77)
        test_skip("no permission for a PID namespace");
    assert_int_equal(code, 0);
}

static void many_segments_can_be_used_in_turn(void **state)
{
    brood_shared *shared[20];
    void *pointer = NULL;

    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(brood_shared_create(NULL, &shared[i]), 0);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 20; i++)
            assert_int_equal(brood_shared_alloc(shared[i], 10, 0, &pointer), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(members_of(shared[i]), 1);
        assert_int_equal(brood__slots_used(shared[i]->header), 1);
        brood_shared_detach(shared[i]);
    }
}

/* The first process of a namespace, and of one inside it, have the same number. */
static void the_same_pid_in_another_namespace_is_refused(void **state)
{
    brood_shared *shared = NULL;
    void *pointer = NULL;
    pid_t pid;
    int code;

    (void)state;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    pid = fork();
    if (pid == 0) {
        pid_t first, inner;

        if (unshare(CLONE_NEWPID) < 0)
            _exit(77);
        first = fork();
        if (first == 0) {
            brood_shared *own = NULL;

            if (brood_shared_create(NULL, &own) < 0 ||
                brood_shared_alloc(own, 10, 0, &pointer) < 0)
                _exit(1);
            if (unshare(CLONE_NEWPID) < 0)
                _exit(77);
            inner = fork();
            if (inner == 0)
                _exit(brood_shared_alloc(own, 10, 0, &pointer) == -EXDEV ? 0 : 1);
            _exit(inner < 0 ? 77 : exit_code_of(inner));
        }
        _exit(first < 0 ? 77 : exit_code_of(first));
    }
    code = exit_code_of(pid);
    brood_shared_detach(shared);
    if (code == 77)
        test_skip("no permission for a PID namespace");
    assert_int_equal(code, 0);
}

static int found(const brood_shared_info *info, void *user)
{
    return strcmp(info->name, user) == 0;
}

static void who_may_only_read_sees_it_listed(void **state)
{
    brood_shared *shared = NULL;
    char name[64];
    brood_shared_options options = named(name, "read");
    pid_t pid;
    int code;

    (void)state;
    options.mode = 0644;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    pid = fork();
    if (pid == 0)
        _exit(setresuid(65534, 65534, 65534) < 0    ? 77
              : brood_shared_list(found, name) == 1 ? 0
                                                    : 1);
    code = exit_code_of(pid);
    brood_shared_detach(shared);
    assert_int_equal(brood_shared_unlink(name), 0);
    if (code == 77)
        test_skip("no permission to be another user");
    assert_int_equal(code, 0);
}

static const struct test_case cases[] = {
    TEST_CASE(row_t_attaching_and_exiting_destroys_nothing),
    TEST_CASE(row_u_anonymous_leaves_nothing),
    TEST_CASE(row_u_named_leftovers_are_found_and_cleaned),
    TEST_CASE(a_child_left_alone_counts_as_use),
    TEST_CASE(members_come_and_go),
    TEST_CASE_LIMIT(slots_are_used_again, 120),
    TEST_CASE(a_pid_that_comes_again_is_another_process),
    TEST_CASE(another_pid_namespace_is_refused),
    TEST_CASE(the_same_pid_in_another_namespace_is_refused),
    TEST_CASE(who_may_only_read_sees_it_listed),
    TEST_CASE(many_segments_can_be_used_in_turn),
};
TEST_SUITE(shared_processes, cases)
