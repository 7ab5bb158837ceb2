/*
 * Locks between processes: mutual exclusion, who may release, what becomes of a lock whose
 * holder dies (row d of the failure matrix), and who holds it. Method: forked children take
 * the lock, say so over a pipe, and are killed at that very point; the parent goes on.
 */
#include "helpers.h"

#include "shm/segment.h"
#include "sync/lock.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- children that hold ---- */

static brood_shared *segment(void)
{
    brood_shared *shared = NULL;

    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    return shared;
}

static brood_lock *lock_in(brood_shared *shared, uint32_t flags)
{
    brood_lock_options options = BROOD_LOCK_OPTIONS_INIT;
    brood_lock *lock = NULL;

    options.flags = flags;
    assert_int_equal(brood_lock_create(shared, &options, &lock), 0);
    return lock;
}

/* A child that has acquired the lock and waits to be killed. */
static pid_t holder_of(brood_lock *lock)
{
    int ends[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        if (brood_lock_acquire(lock, BROOD_FOREVER) < 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_true(pid > 1);
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    return pid;
}

static void end_by_kill(pid_t pid)
{
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int exit_code_of(pid_t pid)
{
    int status = 0;

    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the truth table, as TestLock has it, seen from two processes ---- */

static void is_held_by_one(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    pid_t pid;

    (void)state;
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), -EDEADLK);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), -EDEADLK);
    pid = fork();
    if (pid == 0) {
        int64_t before = test_now();

        if (brood_lock_acquire(lock, BROOD_NOWAIT) != -ETIMEDOUT)
            _exit(1);
        if (brood_lock_acquire(lock, brood_ms(30)) != -ETIMEDOUT)
            _exit(2);
        if (test_now() - before < 30 * MS)
            _exit(3);
        if (brood_lock_release(lock) != -EPERM || brood_lock_poison(lock) != -EPERM)
            _exit(4);
        _exit(0);
    }
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(brood_lock_destroy(lock), -EBUSY);
    assert_int_equal(brood_lock_release(lock), 0);
    assert_int_equal(brood_lock_release(lock), -EPERM);
    pid = holder_of(lock);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), -ETIMEDOUT);
    end_by_kill(pid);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_release(lock), 0);
    assert_int_equal(brood_lock_destroy(lock), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), -EINVAL);
    brood_shared_detach(shared);
}

static void recursive_one_counts(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = NULL;
    pid_t pid;

    (void)state;
    assert_int_equal(brood_rlock_create(shared, &lock), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        pid = fork();
        if (pid == 0)
            _exit(brood_lock_acquire(lock, BROOD_NOWAIT) == -ETIMEDOUT ? 0 : 1);
        assert_int_equal(exit_code_of(pid), 0);
        assert_int_equal(brood_lock_release(lock), 0);
    }
    assert_int_equal(brood_lock_release(lock), -EPERM);
    pid = fork();
    if (pid == 0) { /* dies two levels deep */
        (void)brood_lock_acquire(lock, BROOD_FOREVER);
        (void)brood_lock_acquire(lock, BROOD_FOREVER);
        _exit(0);
    }
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_release(lock), 0); /* one level again */
    assert_int_equal(brood_lock_release(lock), -EPERM);
    brood_shared_detach(shared);
}

static void excludes(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    volatile long *count = NULL;
    pid_t pids[3];

    (void)state;
    assert_int_equal(
        brood_shared_alloc(shared, sizeof *count, BROOD_ALLOC_ZERO, (void **)(uintptr_t)&count),
        0);
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int n = 0; n < 20000; n++) {
                if (brood_lock_acquire(lock, BROOD_FOREVER) != 0)
                    _exit(1);
                *count = *count + 1;
                if (brood_lock_release(lock) != 0)
                    _exit(2);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(exit_code_of(pids[i]), 0);
    assert_int_equal(*count, 60000);
    brood_shared_detach(shared);
}

/* ---- row d: the holder is killed ---- */

/* A waiter that sleeps is in within moments of the death; every time. */
static void row_d_next_owner_is_told(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);

    (void)state;
    for (int i = 0; i < 100; i++) {
        pid_t waiter, pid = holder_of(lock);
        int64_t before;

        waiter = fork();
        if (waiter == 0) {
            int r = brood_lock_acquire(lock, brood_seconds(20));

            if (r == BROOD_LOCK_RECOVERED && brood_lock_release(lock) == 0)
                _exit(0);
            _exit(1);
        }
        if (i % 2 == 0)
            test_pause(); /* so that it sleeps by now, most times */
        before = test_now();
        end_by_kill(pid);
        assert_int_equal(exit_code_of(waiter), 0);
        assert_true(test_now() - before < 10000 * MS);
        assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), 0); /* told once only */
        assert_int_equal(brood_lock_release(lock), 0);
    }
    brood_shared_detach(shared);
}

/* Told again and again until somebody releases in order. */
static void a_repairer_that_dies_hands_it_on(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);

    (void)state;
    end_by_kill(holder_of(lock));
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(brood_lock_acquire(lock, BROOD_FOREVER)); /* and dies with it */
        assert_int_equal(exit_code_of(pid), BROOD_LOCK_RECOVERED);
    }
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_release(lock), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), 0);
    assert_int_equal(brood_lock_release(lock), 0);
    brood_shared_detach(shared);
}

struct repaired {
    brood_lock *lock;
    int count;
    int answer;
};

static int repair(void *user)
{
    struct repaired *repaired = user;

    repaired->count++;
    return repaired->answer;
}

static int repair_and_die(void *user)
{
    (void)user;
    _exit(7);
}

static void hook_runs_before_the_acquire_returns(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    struct repaired repaired = { lock, 0, 0 };
    pid_t pid;

    (void)state;
    assert_int_equal(brood_lock_set_repair(lock, repair, &repaired), 0);
    end_by_kill(holder_of(lock));
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(repaired.count, 1);
    assert_int_equal(brood_lock_release(lock), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
    assert_int_equal(repaired.count, 1);
    assert_int_equal(brood_lock_release(lock), 0);

    end_by_kill(holder_of(lock));
    pid = fork();
    if (pid == 0) { /* dies in its repair */
        (void)brood_lock_set_repair(lock, repair_and_die, NULL);
        (void)brood_lock_acquire(lock, BROOD_FOREVER);
        _exit(1);
    }
    assert_int_equal(exit_code_of(pid), 7);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(repaired.count, 2);
    assert_int_equal(brood_lock_release(lock), 0);

    repaired.answer = -EIO; /* cannot: nobody may have it any more */
    end_by_kill(holder_of(lock));
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), -ENOTRECOVERABLE);
    assert_int_equal(repaired.count, 3);
    assert_int_equal(brood_lock_release(lock), -EPERM);
    assert_int_equal(brood_lock_destroy(lock), 0);
    brood_shared_detach(shared);
}

static void poison_reaches_those_who_wait(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    pid_t pid;

    (void)state;
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
    pid = fork();
    if (pid == 0)
        _exit(brood_lock_acquire(lock, brood_seconds(20)) == -ENOTRECOVERABLE ? 0 : 1);
    test_pause();
    assert_int_equal(brood_lock_poison(lock), 0);
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_NOWAIT), -ENOTRECOVERABLE);
    assert_int_equal(brood_lock_owner(lock, NULL), 0);
    brood_shared_detach(shared);
}

/* Exec, exit and the end of a thread count as deaths too. */
static void *hold_and_end(void *lock)
{
    INSIST(brood_lock_acquire(lock, BROOD_FOREVER) >= 0, "not acquired");
    return NULL;
}

static void every_kind_of_end_counts(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    pthread_t thread;
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        (void)brood_lock_acquire(lock, BROOD_FOREVER);
        (void)execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_release(lock), 0);

    pid = fork();
    if (pid == 0) {
        (void)brood_lock_acquire(lock, BROOD_FOREVER);
        exit(0);
    }
    assert_int_equal(exit_code_of(pid), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_release(lock), 0);

    assert_int_equal(pthread_create(&thread, NULL, hold_and_end, lock), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_release(lock), 0);
    brood_shared_detach(shared);
}

/*
 * The OOM reaper may take the memory by which the kernel finds a dead thread's locks. A
 * child that tells the kernel to forget its list, and is killed, dies the same way.
 */
static void a_death_the_kernel_missed_is_found(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    struct {
        void *next;
        long offset;
        void *pending;
    } empty = { &empty, 0, NULL };
    int ends[2];
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        (void)brood_lock_acquire(lock, BROOD_FOREVER);
        if (syscall(SYS_set_robust_list, &empty, sizeof empty) < 0)
            _exit(1);
        (void)!write(ends[1], "x", 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    end_by_kill(pid);
    assert_int_equal(brood_lock_acquire(lock, brood_seconds(20)), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_release(lock), 0);
    brood_shared_detach(shared);
}

/* Waits, longer than a look for the dead is away, for a lock that the caller holds. */
static int wait_in_child(brood_lock *held, brood_lock *other, bool without_proc)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (without_proc && (brood_lock_acquire(other, BROOD_FOREVER) < 0 || chroot(".") < 0))
            _exit(77);
        _exit(brood_lock_acquire(held, brood_ms(350)) == -ETIMEDOUT ? 0 : 1);
    }
    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Who waits may see nothing of the holder: after chroot(), or where /proc hides others. */
static void what_proc_does_not_show_is_not_dead(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0), *other = lock_in(shared, 0);
    int code;

    (void)state;
    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
    code = wait_in_child(lock, other, true);
    assert_int_equal(brood_lock_release(lock), 0);
    brood_shared_detach(shared);
    if (code == 77)
        test_skip("no permission for chroot()");
    assert_int_equal(code, 0);
}

/* Who comes when no descriptor is free does not know his own start time. */
static void who_came_without_descriptors_is_not_dead(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    struct rlimit limit, none;
    int status = 0;
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        none = limit;
        none.rlim_cur = 0;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(wait_in_child(lock, NULL, false), 0);
        _exit(brood_lock_release(lock) == 0 ? 0 : 1);
    }
    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    brood_shared_detach(shared);
}

/* A waiter died between the two steps of his note; or nobody held the lock any more. */
static void an_old_note_speaks_of_no_new_holder(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    brood_owner owner = BROOD_OWNER_INIT;
    int64_t start = test_now();

    (void)state;
    for (uint8_t noted = 0; noted < 2; noted++) {
        atomic_store(&lock->since, 1);
        atomic_store(&lock->marks.noted, noted);
        assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
        assert_int_equal(brood_lock_owner(lock, &owner), 1);
        assert_true(owner.since >= start);
        assert_int_equal(brood_lock_release(lock), 0);
    }
    brood_shared_detach(shared);
}

/* One who comes first, when the lock is just given back: its word has no owner, and he no id.
 */
static void a_free_word_is_no_deadlock(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    int status = 0;
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        /* Nobody's, and with glibc not free to those who try. */
        atomic_store(brood__robust_word(&lock->mutex), BROOD__WAITERS);
        _exit(brood__robust_lock(shared->header, &lock->mutex, test_now() + 10 * MS) == -EDEADLK
                  ? 1
                  : 0);
    }
    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    brood_shared_detach(shared);
}

/* The clock of the wall plays no part: see deadline_test.c for the clock itself. */
static void owner_can_be_asked(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0), *timed = lock_in(shared, BROOD_LOCK_TIMED);
    brood_owner owner = BROOD_OWNER_INIT;
    int64_t before;
    pid_t pid;

    (void)state;
    assert_int_equal(brood_lock_owner(lock, &owner), 0);
    pid = holder_of(lock);
    before = test_now();
    assert_int_equal(brood_lock_owner(lock, NULL), 1);
    assert_int_equal(brood_lock_owner(lock, &owner), 1);
    assert_int_equal(owner.pid, pid);
    assert_int_equal(owner.tid, pid);
    assert_true(strlen(owner.name) > 0);
    assert_true(owner.since >= before && owner.since <= test_now());
    before = owner.since;
    assert_int_equal(brood_lock_acquire(lock, brood_ms(5)), -ETIMEDOUT);
    assert_int_equal(brood_lock_owner(lock, &owner), 1);
    assert_int_equal(owner.since, before); /* of the same tenure */
    end_by_kill(pid);
    assert_int_equal(brood_lock_owner(lock, &owner), 0);

    assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_owner(lock, &owner), 1);
    assert_int_equal(owner.pid, getpid());
    assert_true(owner.since > before);
    assert_int_equal(brood_lock_release(lock), 0);

    before = test_now();
    assert_int_equal(brood_lock_acquire(timed, BROOD_FOREVER), 0);
    assert_true(test_now() >= before);
    test_pause();
    assert_int_equal(brood_lock_owner(timed, &owner), 1);
    assert_true(owner.since >= before && owner.since < test_now());
    assert_int_equal(brood_lock_release(timed), 0);
    brood_shared_detach(shared);
}

/* A program that the segment reaches by descriptor finds the lock at another address. */
static int lock_elsewhere(void *argument, size_t argument_bytes)
{
    struct {
        uint64_t place;
        int fd;
    } given;
    brood_shared *shared = NULL;
    brood_lock *lock;

    if (argument_bytes != sizeof given)
        return 1;
    memcpy(&given, argument, sizeof given);
    if (brood_shared_attach_fd(given.fd, NULL, &shared) < 0)
        return 2;
    lock = brood_shared_at(shared, given.place);
    if (brood_lock_acquire(lock, BROOD_NOWAIT) != -ETIMEDOUT)
        return 3;
    if (brood_lock_acquire(lock, brood_seconds(20)) != 0)
        return 4;
    return 0; /* ends with it */
}

static void works_with_every_start_method(void **state)
{
    brood_shared *shared = segment();
    brood_lock *lock = lock_in(shared, 0);
    struct {
        uint64_t place;
        int fd;
    } given;

    (void)state;
    memset(&given, 0, sizeof given);
    given.place = brood_shared_place(shared, lock);
    given.fd = brood_shared_fd(shared);
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = NULL;

        options.descriptors = &given.fd;
        options.descriptor_count = 1;
        assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), 0);
        process = start(lock_elsewhere, &given, sizeof given, &options);
        test_pause();
        while (brood_lock_owner(lock, NULL) == 1 && brood_process_is_alive(process) == 1) {
            brood_shared_info info = BROOD_SHARED_INFO_INIT;

            /* It has entered, and so has tried: now it may have the lock. */
            assert_int_equal(brood_shared_info_get(shared, &info), 0);
            if (info.members > 1)
                break;
            test_pause();
        }
        assert_int_equal(brood_lock_release(lock), 0);
        assert_int_equal(end_of(process), 0);
        assert_int_equal(brood_lock_acquire(lock, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
        assert_int_equal(brood_lock_release(lock), 0);
    }
    brood_shared_detach(shared);
}

static void nothing_but_locks_is_taken(void **state)
{
    brood_shared *shared = segment();
    brood_lock_options options = BROOD_LOCK_OPTIONS_INIT;
    brood_lock *lock = NULL;
    uint64_t *memory = NULL;

    (void)state;
    assert_int_equal(brood_lock_acquire(NULL, BROOD_FOREVER), -EINVAL);
    assert_int_equal(brood_lock_release(NULL), -EINVAL);
    assert_int_equal(brood_lock_poison(NULL), -EINVAL);
    assert_int_equal(brood_lock_owner(NULL, NULL), -EINVAL);
    assert_int_equal(brood_lock_set_repair(NULL, repair, NULL), -EINVAL);
    assert_int_equal(brood_lock_destroy(NULL), 0);
    assert_int_equal(brood_lock_create(shared, NULL, NULL), -EINVAL);
    options.flags = 64;
    assert_int_equal(brood_lock_create(shared, &options, &lock), -EINVAL);
    options.size = 3;
    assert_int_equal(brood_lock_create(shared, &options, &lock), -EINVAL);
    assert_null(lock);
    assert_int_equal(
        brood_shared_alloc(shared, 200, BROOD_ALLOC_ZERO, (void **)(uintptr_t)&memory), 0);
    assert_int_equal(brood_lock_acquire((brood_lock *)(void *)memory, BROOD_FOREVER), -EINVAL);
    lock = lock_in(shared, 0);
    assert_int_equal(brood_lock_acquire(lock, -2), -EINVAL);
    assert_int_equal(brood_lock_acquire(lock, INT64_MAX), 0);
    assert_int_equal(brood_lock_release(lock), 0);
    brood_shared_detach(shared);
}

static const struct test_case cases[] = {
    TEST_CASE(is_held_by_one),
    TEST_CASE(recursive_one_counts),
    TEST_CASE(excludes),
    TEST_CASE_LIMIT(row_d_next_owner_is_told, 60),
    TEST_CASE(a_repairer_that_dies_hands_it_on),
    TEST_CASE(hook_runs_before_the_acquire_returns),
    TEST_CASE(poison_reaches_those_who_wait),
    TEST_CASE(every_kind_of_end_counts),
    TEST_CASE(a_death_the_kernel_missed_is_found),
    TEST_CASE(what_proc_does_not_show_is_not_dead),
    TEST_CASE(who_came_without_descriptors_is_not_dead),
    TEST_CASE(a_free_word_is_no_deadlock),
    TEST_CASE(an_old_note_speaks_of_no_new_holder),
    TEST_CASE(owner_can_be_asked),
    TEST_CASE(works_with_every_start_method),
    TEST_CASE(nothing_but_locks_is_taken),
};
TEST_SUITE(lock, cases)
