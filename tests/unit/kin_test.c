/*
 * Who belongs to whom: marks, kin, and the board. Method: small families of plain forks,
 * some marked by a mapping, some by the environment, some not at all, and a stranger that
 * must always be spared.
 */
#include "base/clock.h"
#include "base/linux.h"
#include "process/board.h"
#include "process/kin.h"
#include "process/mark.h"

#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that, once it is ready, lives on; with `mark`, marked with the index. */
static pid_t fork_child(const struct brood__mark *mark, uint64_t index, pid_t *ret_grandchild)
{
    int ends[2];
    pid_t pid, grandchild = 0;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (mark != NULL && brood__mark_map(mark, index) != 0)
            _exit(1);
        if (ret_grandchild != NULL && (grandchild = fork()) == 0)
            (void)setsid();
        else if (write(ends[1], &grandchild, sizeof grandchild) < 0)
            _exit(2);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    if (ret_grandchild != NULL)
        *ret_grandchild = grandchild;
    assert_int_equal(close(ends[0]) + close(ends[1]), 0);
    return pid;
}

static struct brood__kin_ref ref_of(pid_t pid)
{
    struct brood__kin_ref ref = { pid, 0 };

    assert_int_equal(brood__start_time(pid, &ref.start_time), 0);
    return ref;
}

static int end_signal(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void marks_are_seen(void **state)
{
    struct brood__mark mark, other;
    pid_t three, none;

    (void)state;
    assert_int_equal(brood__mark_create(&mark), 0);
    assert_int_equal(brood__mark_create(&other), 0);
    assert_int_equal(strlen(mark.id), 16);
    assert_string_not_equal(mark.id, other.id);
    three = fork_child(&mark, 3, NULL);
    none = fork_child(NULL, 0, NULL);
    assert_int_equal(brood__mark_on(three, mark.id, 3), MARKED_YES);
    assert_int_equal(brood__mark_on(three, mark.id, 0), MARKED_YES);
    assert_int_equal(brood__mark_on(three, mark.id, 2), MARKED_NO);
    assert_int_equal(brood__mark_on(three, mark.id, 30), MARKED_NO);
    assert_int_equal(brood__mark_on(three, other.id, 0), MARKED_NO);
    assert_int_equal(brood__mark_on(none, mark.id, 0), MARKED_NO);
    assert_int_equal(brood__mark_on(getpid(), mark.id, 0), MARKED_NO);
    assert_int_equal(kill(three, SIGKILL) + kill(none, SIGKILL), 0);
    assert_int_equal(end_signal(three), SIGKILL);
    assert_int_equal(end_signal(none), SIGKILL);
    assert_int_equal(close(mark.fd) + close(other.fd), 0);
}

static void marks_in_the_environment_add_up(void **state)
{
    char first[BROOD__MARK_ENTRY_BYTES], second[BROOD__MARK_ENTRY_BYTES];
    char *argv[] = { (char *)"sleep", (char *)"1000", NULL };
    char *envp[] = { second, NULL };
    struct brood__mark outer, inner;
    enum brood__marked seen;
    pid_t pid;

    (void)state;
    assert_int_equal(brood__mark_create(&outer), 0);
    assert_int_equal(brood__mark_create(&inner), 0);
    assert_int_equal(unsetenv(BROOD__MARK_VARIABLE), 0);
    brood__mark_entry(&outer, 12, first);
    assert_int_equal(setenv(BROOD__MARK_VARIABLE, first + sizeof BROOD__MARK_VARIABLE, 1), 0);
    brood__mark_entry(&inner, 1, second);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execve("/bin/sleep", argv, envp);
        _exit(127);
    }
    do /* until exec is over */
        seen = brood__mark_on(pid, inner.id, 1);
    while (seen != MARKED_YES && kill(pid, 0) == 0);
    assert_int_equal(seen, MARKED_YES);
    assert_int_equal(brood__mark_on(pid, outer.id, 12), MARKED_YES);
    assert_int_equal(brood__mark_on(pid, outer.id, 1), MARKED_NO);
    assert_int_equal(brood__mark_on(pid, inner.id, 12), MARKED_NO);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(end_signal(pid), SIGKILL);

    /* Nested beyond reason, the newest are kept whole. */
    for (int i = 0; i < 300; i++) {
        assert_int_equal(setenv(BROOD__MARK_VARIABLE, second + sizeof BROOD__MARK_VARIABLE, 1),
                         0);
        brood__mark_entry(i < 299 ? &inner : &outer, 7, second);
    }
    assert_true(strlen(second) < BROOD__MARK_ENTRY_BYTES);
    (void)strcat(outer.id, ":7");
    assert_string_equal(second + strlen(second) - strlen(outer.id), outer.id);
    assert_int_equal(close(outer.fd) + close(inner.fd), 0);
}

static void trees_are_killed_and_strangers_spared(void **state)
{
    pid_t grandchild, child = fork_child(NULL, 0, &grandchild);
    pid_t stranger = fork_child(NULL, 0, NULL);
    struct brood__kin kin = { .root = ref_of(child) };

    (void)state;
    assert_int_equal(brood__kin_signal(&kin, SIGCONT, NULL, NULL), 2);
    assert_int_equal(brood__kin_kill(&kin, brood__now() + 5000000000), 0);
    assert_int_equal(end_signal(child), SIGKILL);
    assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
    while (kill(grandchild, 0) == 0) /* reaped by whoever adopted it */
        (void)usleep(1000);
    kin = (struct brood__kin){ .root = ref_of(stranger), .spare = { stranger } };
    assert_int_equal(brood__kin_signal(&kin, SIGKILL, NULL, NULL), 0);
    assert_int_equal(waitpid(stranger, NULL, WNOHANG), 0);
    assert_int_equal(kill(stranger, SIGKILL), 0);
    assert_int_equal(end_signal(stranger), SIGKILL);
}

static void the_marked_are_found_wherever_they_are(void **state)
{
    struct brood__mark mark;
    struct brood__kin kin = { .mark_index = 4 };
    struct brood__kin_ref *refs = NULL;
    size_t count = 0;
    pid_t grandchild, child, other;

    (void)state;
    assert_int_equal(brood__mark_create(&mark), 0);
    child = fork_child(&mark, 4, &grandchild);
    other = fork_child(&mark, 5, NULL);
    kin.mark_id = mark.id;
    assert_int_equal(brood__kin_signal(&kin, SIGCONT, &refs, &count), 2);
    assert_int_equal(count, 2);
    assert_true(refs[0].pid == child || refs[1].pid == child);
    free(refs);
    kin.not_before = UINT64_MAX; /* started too early to be meant */
    assert_int_equal(brood__kin_signal(&kin, SIGKILL, NULL, NULL), 0);
    kin.not_before = 0;
    assert_int_equal(brood__kin_kill(&kin, brood__now() + 5000000000), 0);
    assert_int_equal(end_signal(child), SIGKILL);
    assert_int_equal(waitpid(other, NULL, WNOHANG), 0);
    kin.mark_index = 0;
    assert_int_equal(brood__kin_kill(&kin, brood__now() + 5000000000), 0);
    assert_int_equal(end_signal(other), SIGKILL);
    assert_int_equal(close(mark.fd), 0);
}

/* A number that has become another's is nobody's kin. */
static void a_reference_names_one_process_only(void **state)
{
    pid_t child = fork_child(NULL, 0, NULL);
    struct brood__kin_ref ref = { child, 0 };
    struct brood__kin kin = { .also = &ref, .also_count = 1 };

    (void)state;
    assert_int_equal(brood__start_time(child, &ref.start_time), 0);
    ref.start_time--;
    assert_int_equal(brood__kin_signal(&kin, SIGKILL, NULL, NULL), 0);
    ref.start_time++;
    assert_int_equal(brood__kin_signal(&kin, SIGKILL, NULL, NULL), 1);
    assert_int_equal(end_signal(child), SIGKILL);
}

/* ---- the board ---- */

static void the_board_keeps_codes(void **state)
{
    int entries[200], code = -1, none = -1;

    (void)state;
    for (int i = 0; i < 200; i++) {
        entries[i] = brood__board_take();
        assert_true(entries[i] >= 0);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(entries[k], entries[i]);
        assert_false(brood__board_read(entries[i], &code));
    }
    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            if (i < 3)
                brood__board_write(entries[i], 0x7f00 + i * 100);
            _exit(0);
        }
        assert_int_equal(end_signal(pid), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(brood__board_read(entries[i], &code));
        assert_int_equal(code, (0x7f00 + i * 100) & 0xff);
    }
    assert_false(brood__board_read(entries[3], &code)); /* died before it could say */
    assert_false(brood__board_read(-1, &code));
    brood__board_leave(&none);
    for (int i = 0; i < 200; i++) {
        brood__board_leave(&entries[i]);
        assert_int_equal(entries[i], -1);
    }
    /* What is taken again is blank again. */
    for (int i = 0; i < 200; i++) {
        entries[i] = brood__board_take();
        assert_false(brood__board_read(entries[i], &code));
    }
    for (int i = 0; i < 200; i++)
        brood__board_leave(&entries[i]);
}

static void a_full_board_is_no_obstacle(void **state)
{
    enum { MANY = 20000 };
    static int entries[MANY];
    int taken = 0;

    (void)state;
    for (int i = 0; i < MANY; i++)
        taken += (entries[i] = brood__board_take()) >= 0;
    assert_in_range(taken, 1000, MANY - 1);
    assert_int_equal(brood__board_take(), -1);
    for (int i = 0; i < MANY; i++)
        brood__board_leave(&entries[i]);
    entries[0] = brood__board_take();
    assert_true(entries[0] >= 0);
    brood__board_leave(&entries[0]);
}

static const struct test_case cases[] = {
    TEST_CASE(marks_are_seen),
    TEST_CASE(marks_in_the_environment_add_up),
    TEST_CASE(trees_are_killed_and_strangers_spared),
    TEST_CASE(the_marked_are_found_wherever_they_are),
    TEST_CASE(a_reference_names_one_process_only),
    TEST_CASE(the_board_keeps_codes),
    TEST_CASE(a_full_board_is_no_obstacle),
};
TEST_SUITE(kin_unit, cases)
