/*
 * The lock table between processes, some of which die: who has a row is known, who died with
 * one is told, cycles are named, and nothing is lost.
 *
 * Method: partners are forked processes that do what they are told over a socket, one call at
 * a time. That one of them waits for a row shows in the number of records. The last cases let
 * many run freely and kill some at random, and compare what the rows guard.
 */
#include "helpers.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define S BROOD_LOCK_SHARED
#define X BROOD_LOCK_EXCLUSIVE

static brood_shared *shared;
static brood_lock_table *table;

static void make_table(uint32_t records_max)
{
    brood_lock_table_options options = BROOD_LOCK_TABLE_OPTIONS_INIT;

    options.records_max = records_max;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_lock_table_create(shared, &options, &table), 0);
}

static void end_table(void)
{
    assert_int_equal(brood_lock_table_count(table), 0);
    assert_int_equal(brood_lock_table_destroy(table), 0);
    brood_shared_detach(shared);
}

static int acquire(int key, uint32_t mode, int64_t timeout)
{
    return brood_lock_table_acquire(table, &key, sizeof key, mode, timeout, NULL);
}

static int release(int key)
{
    return brood_lock_table_release(table, &key, sizeof key);
}

static void await_count(int count)
{
    while (brood_lock_table_count(table) != count)
        test_pause();
}

/* ---- partners ---- */

enum order { ACQUIRE, RELEASE, ACQUIRE_TABLE, RELEASE_TABLE, RELEASE_ALL, END };

struct word {
    enum order order;
    int key;
    uint32_t mode;
    int64_t timeout;
};

struct answer {
    int result;
    brood_deadlock cycle;
};

struct partner {
    pid_t pid;
    int end; /* of the socket */
};

_Noreturn static void obey(int end)
{
    struct answer answer;
    struct word word;

    while (read(end, &word, sizeof word) == (ssize_t)sizeof word) {
        memset(&answer, 0, sizeof answer);
        answer.cycle = (brood_deadlock)BROOD_DEADLOCK_INIT;
        switch (word.order) {
        case ACQUIRE:
            answer.result = brood_lock_table_acquire(table, &word.key, sizeof word.key,
                                                     word.mode, word.timeout, &answer.cycle);
            break;
        case RELEASE: answer.result = release(word.key); break;
        case ACQUIRE_TABLE:
            answer.result =
                brood_lock_table_acquire_table(table, word.mode, word.timeout, &answer.cycle);
            break;
        case RELEASE_TABLE: answer.result = brood_lock_table_release_table(table); break;
        case RELEASE_ALL: answer.result = brood_lock_table_release_all(table); break;
        case END: _exit(0);
        }
        if (write(end, &answer, sizeof answer) != (ssize_t)sizeof answer)
            _exit(1);
    }
    _exit(0);
}

static struct partner begin(void)
{
    struct partner partner;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    partner.pid = fork();
    assert_true(partner.pid >= 0);
    if (partner.pid == 0) {
        (void)close(ends[0]);
        obey(ends[1]);
    }
    assert_int_equal(close(ends[1]), 0);
    partner.end = ends[0];
    return partner;
}

static void tell(const struct partner *partner, enum order order, int key, uint32_t mode)
{
    struct word word = { order, key, mode, BROOD_FOREVER };

    assert_int_equal(write(partner->end, &word, sizeof word), sizeof word);
}

static struct answer hear(const struct partner *partner)
{
    struct answer answer;

    assert_int_equal(read(partner->end, &answer, sizeof answer), sizeof answer);
    return answer;
}

static bool silent(const struct partner *partner)
{
    struct answer answer;

    return recv(partner->end, &answer, sizeof answer, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           errno == EAGAIN;
}

static int call(const struct partner *partner, enum order order, int key, uint32_t mode)
{
    tell(partner, order, key, mode);
    return hear(partner).result;
}

static void kill_partner(struct partner *partner)
{
    int status;

    assert_true(partner->pid > 1);
    assert_int_equal(kill(partner->pid, SIGKILL), 0);
    assert_int_equal(waitpid(partner->pid, &status, 0), partner->pid);
    assert_int_equal(close(partner->end), 0);
    partner->pid = 0;
}

/* In order, having released everything. */
static void end(struct partner *partner)
{
    int status;

    assert_true(call(partner, RELEASE_ALL, 0, 0) >= 0);
    tell(partner, END, 0, 0); /* later partners have the other end of its socket too */
    assert_int_equal(waitpid(partner->pid, &status, 0), partner->pid);
    assert_int_equal(status, 0);
    assert_int_equal(close(partner->end), 0);
}

/* ---- rows between processes ---- */

static void processes_lock_rows(void **state)
{
    struct partner one = (make_table(0), begin()), other = begin();
    brood_owner owner = BROOD_OWNER_INIT;
    int key = 1;

    (void)state;
    assert_int_equal(call(&one, ACQUIRE, 1, X), 0);
    assert_int_equal(acquire(1, X, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(acquire(1, S, brood_ms(10)), -ETIMEDOUT);
    assert_int_equal(release(1), -EPERM);
    assert_int_equal(brood_lock_table_owner(table, &key, sizeof key, &owner), X);
    assert_int_equal(owner.pid, one.pid);
    assert_int_equal(owner.tid, one.pid);
    tell(&other, ACQUIRE, 1, X);
    await_count(2);
    assert_true(silent(&other));
    assert_int_equal(call(&one, RELEASE, 1, 0), 0);
    assert_int_equal(hear(&other).result, 0);
    assert_int_equal(call(&other, RELEASE, 1, 0), 0);
    assert_int_equal(call(&one, ACQUIRE, 1, S), 0);
    assert_int_equal(call(&other, ACQUIRE, 1, S), 0);
    assert_int_equal(acquire(1, S, 0), 0);
    assert_int_equal(acquire(1, X, 0), -ETIMEDOUT);
    assert_int_equal(release(1), 0);
    end(&one);
    end(&other);
    end_table();
}

static void a_forked_child_holds_nothing(void **state)
{
    struct partner child;

    (void)state;
    make_table(0);
    assert_int_equal(acquire(1, X, 0), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), 0);
    child = begin();
    assert_int_equal(call(&child, RELEASE, 1, 0), -EPERM);
    assert_int_equal(call(&child, RELEASE_TABLE, 0, 0), -EPERM);
    assert_int_equal(call(&child, RELEASE_ALL, 0, 0), 0);
    tell(&child, ACQUIRE, 1, X);
    assert_int_equal(brood_lock_table_held(table, NULL, 0), BROOD_LOCK_SHARED_INTEND_EXCLUSIVE);
    assert_int_equal(brood_lock_table_release_all(table), 2);
    assert_int_equal(hear(&child).result, 0);
    end(&child);
    end_table();
}

/* The same memory at another address: what is in it may not depend on where it lies. */
static void works_where_the_segment_lies_elsewhere(void **state)
{
    brood_shared *again = NULL;
    brood_lock_table *here;
    struct partner one;
    int key = 1;

    (void)state;
    make_table(0);
    assert_int_equal(brood_shared_attach_fd(brood_shared_fd(shared), NULL, &again), 0);
    one = begin();
    here = table;
    table = brood_shared_at(again, brood_shared_place(shared, table));
    assert_ptr_not_equal(here, table);
    assert_int_equal(call(&one, ACQUIRE, 1, X), 0);
    assert_int_equal(acquire(1, X, 0), -ETIMEDOUT);
    assert_int_equal(acquire(2, X, 0), 0);
    tell(&one, ACQUIRE, 2, S);
    await_count(3);
    assert_int_equal(brood_lock_table_acquire(table, &key, sizeof key, X, BROOD_FOREVER, NULL),
                     -EDEADLK);
    assert_int_equal(release(2), 0);
    assert_int_equal(hear(&one).result, 0);
    kill_partner(&one);
    assert_int_equal(acquire(1, X, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(release(1), 0);
    table = here;
    end_table();
    brood_shared_detach(again);
}

/* ---- deaths ---- */

/* Row d of the failure matrix. */
static void d_killed_holder_is_recovered(void **state)
{
    struct partner one;
    int64_t start;

    (void)state;
    make_table(0);
    one = begin();
    assert_int_equal(call(&one, ACQUIRE, 1, X), 0);
    assert_int_equal(call(&one, ACQUIRE, 2, S), 0);
    assert_int_equal(acquire(1, X, BROOD_NOWAIT), -ETIMEDOUT);
    kill_partner(&one);
    start = test_now();
    assert_int_equal(acquire(1, X, BROOD_NOWAIT), BROOD_LOCK_RECOVERED);
    assert_int_equal(acquire(2, X, BROOD_NOWAIT), 0);
    assert_true(test_now() - start < 1000 * MS);
    assert_int_equal(release(1), 0);
    assert_int_equal(acquire(1, S, BROOD_NOWAIT), 0);
    assert_int_equal(brood_lock_table_release_all(table), 2);
    end_table();
}

static void a_waiter_hears_of_the_holder_killed(void **state)
{
    struct partner one, other, third;

    (void)state;
    make_table(0);
    one = begin();
    other = begin();
    third = begin();
    assert_int_equal(call(&one, ACQUIRE, 1, X), 0);
    tell(&other, ACQUIRE, 1, X);
    await_count(2);
    tell(&third, ACQUIRE, 1, S);
    await_count(3);
    kill_partner(&one);
    assert_int_equal(hear(&other).result, BROOD_LOCK_RECOVERED);
    assert_true(silent(&third));
    kill_partner(&other); /* before it could put the row right */
    assert_int_equal(hear(&third).result, BROOD_LOCK_RECOVERED);
    assert_int_equal(call(&third, ACQUIRE, 1, X), BROOD_LOCK_RECOVERED);
    assert_int_equal(call(&third, RELEASE, 1, 0), 0);
    assert_int_equal(call(&third, RELEASE, 1, 0), 0);
    assert_int_equal(acquire(1, S, 0), 0);
    assert_int_equal(release(1), 0);
    end(&third);
    end_table();
}

static void a_killed_waiter_is_in_nobodys_way(void **state)
{
    struct partner first, second, third;

    (void)state;
    make_table(0);
    first = begin();
    second = begin();
    third = begin();
    assert_int_equal(acquire(1, X, 0), 0);
    tell(&first, ACQUIRE, 1, X);
    await_count(2);
    tell(&second, ACQUIRE, 1, X);
    await_count(3);
    tell(&third, ACQUIRE, 1, X);
    await_count(4);
    kill_partner(&second);
    assert_int_equal(brood_lock_table_count(table), 3);
    kill_partner(&first);
    assert_int_equal(release(1), 0);
    assert_int_equal(hear(&third).result, 0); /* they had changed nothing */
    assert_int_equal(call(&third, RELEASE, 1, 0), 0);
    /* One who waits for a stronger mode is the first: the next gets by. */
    first = begin();
    assert_int_equal(acquire(1, S, 0), 0);
    assert_int_equal(call(&first, ACQUIRE, 1, S), 0);
    tell(&first, ACQUIRE, 1, X);
    tell(&third, ACQUIRE, 1, S);
    kill_partner(&first);
    assert_int_equal(hear(&third).result, 0);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    end(&third);
    end_table();
}

static void a_killed_holder_of_the_table_marks_it_all(void **state)
{
    struct partner one, other;

    (void)state;
    make_table(0);
    one = begin();
    other = begin();
    assert_int_equal(call(&one, ACQUIRE_TABLE, 0, X), 0);
    assert_int_equal(call(&one, ACQUIRE, 1, X), 0);
    tell(&other, ACQUIRE, 2, X);
    assert_int_equal(acquire(3, S, brood_ms(5)), -ETIMEDOUT);
    kill_partner(&one);
    assert_int_equal(hear(&other).result, BROOD_LOCK_TABLE_RECOVERED);
    assert_int_equal(acquire(3, S, BROOD_FOREVER), BROOD_LOCK_TABLE_RECOVERED);
    assert_int_equal(release(3), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), -ETIMEDOUT);
    assert_int_equal(call(&other, RELEASE, 2, 0), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, X, BROOD_FOREVER, NULL),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(acquire(1, X, 0), 0);
    assert_int_equal(release(1), 0);
    end(&other);
    end_table();
}

static void the_records_of_the_dead_are_used_again(void **state)
{
    struct partner one;

    (void)state;
    make_table(8);
    for (int round = 0; round < 3; round++) {
        one = begin();
        for (int i = 0; i < 8; i++)
            assert_int_equal(call(&one, ACQUIRE, i, i < 4 ? S : X), 0);
        assert_int_equal(acquire(100, X, 0), -ENOSPC);
        kill_partner(&one);
        for (int i = 0; i < 4; i++) /* what was shared is free, */
            assert_int_equal(acquire(100 + i, X, 0), 0);
        assert_int_equal(acquire(104, X, 0), -ENOSPC);
        for (int i = 4; i < 8; i++) /* the rest is to be put right */
            assert_int_equal(acquire(i, X, 0), BROOD_LOCK_RECOVERED);
        assert_int_equal(brood_lock_table_release_all(table), 8);
        assert_int_equal(brood_lock_table_count(table), 0);
    }
    end_table();
}

/* ---- cycles ---- */

static void assert_key(const brood_deadlock_member *member, int key)
{
    int found;

    assert_int_equal(member->key_bytes, sizeof found);
    memcpy(&found, member->key, sizeof found);
    assert_int_equal(found, key);
}

static void a_deadlock_of_two_is_named(void **state)
{
    brood_deadlock cycle = BROOD_DEADLOCK_INIT;
    struct partner one;
    int key = 1;

    (void)state;
    make_table(0);
    one = begin();
    assert_int_equal(call(&one, ACQUIRE, 1, X), 0);
    assert_int_equal(acquire(2, X, 0), 0);
    tell(&one, ACQUIRE, 2, X);
    await_count(3);
    assert_int_equal(
        brood_lock_table_acquire(table, &key, sizeof key, X, BROOD_FOREVER, &cycle), -EDEADLK);
    assert_int_equal(cycle.count, 2);
    assert_int_equal(cycle.members[0].pid, getpid());
    assert_int_equal(cycle.members[1].pid, one.pid);
    assert_int_equal(cycle.members[1].tid, one.pid);
    assert_int_equal(cycle.members[1].mode, X);
    assert_key(&cycle.members[0], 1);
    assert_key(&cycle.members[1], 2);
    assert_true(silent(&one));
    assert_int_equal(release(2), 0);
    assert_int_equal(hear(&one).result, 0);
    end(&one);
    end_table();
}

static void a_deadlock_of_three_is_named(void **state)
{
    struct partner p[3];
    struct answer answer;

    (void)state;
    make_table(0);
    for (int i = 0; i < 3; i++) {
        p[i] = begin();
        assert_int_equal(call(&p[i], ACQUIRE, i, X), 0);
    }
    for (int i = 0; i < 2; i++) {
        tell(&p[i], ACQUIRE, i + 1, S);
        await_count(4 + i);
    }
    tell(&p[2], ACQUIRE, 0, X);
    answer = hear(&p[2]);
    assert_int_equal(answer.result, -EDEADLK);
    assert_int_equal(answer.cycle.count, 3);
    for (int i = 0; i < 3; i++) {
        int who = (i + 2) % 3;

        assert_int_equal(answer.cycle.members[i].pid, p[who].pid);
        assert_int_equal(answer.cycle.members[i].mode, who == 2 ? X : S);
        assert_key(&answer.cycle.members[i], (who + 1) % 3);
    }
    assert_int_equal(call(&p[2], RELEASE, 2, 0), 0);
    assert_int_equal(hear(&p[1]).result, 0);
    assert_int_equal(call(&p[1], RELEASE_ALL, 0, 0), 2);
    assert_int_equal(hear(&p[0]).result, 0);
    for (int i = 0; i < 3; i++)
        end(&p[i]);
    end_table();
}

static void a_deadlock_of_two_who_want_more_is_named(void **state)
{
    struct partner one, other;
    struct answer answer;
    bool first;

    (void)state;
    make_table(0);
    one = begin();
    other = begin();
    assert_int_equal(call(&one, ACQUIRE, 1, S), 0);
    assert_int_equal(call(&other, ACQUIRE, 1, S), 0);
    tell(&one, ACQUIRE, 1, X);
    tell(&other, ACQUIRE, 1, X);
    while (silent(&one) && silent(&other))
        test_pause();
    first = !silent(&one); /* whoever came second is refused */
    answer = hear(first ? &one : &other);
    assert_int_equal(answer.result, -EDEADLK);
    assert_int_equal(answer.cycle.count, 2);
    assert_int_equal(answer.cycle.members[0].pid, (first ? &one : &other)->pid);
    assert_int_equal(answer.cycle.members[1].pid, (first ? &other : &one)->pid);
    assert_true(silent(first ? &other : &one));
    assert_int_equal(call(first ? &one : &other, RELEASE_ALL, 0, 0), 1);
    assert_int_equal(hear(first ? &other : &one).result, 0);
    end(&one);
    end(&other);
    end_table();
}

static void the_dead_are_in_no_cycle(void **state)
{
    struct partner one;

    (void)state;
    make_table(0);
    one = begin();
    assert_int_equal(call(&one, ACQUIRE, 1, X), 0);
    assert_int_equal(acquire(2, X, 0), 0);
    tell(&one, ACQUIRE, 2, X);
    await_count(3);
    kill_partner(&one);
    assert_int_equal(acquire(1, X, BROOD_FOREVER), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_release_all(table), 2);
    end_table();
}

/* ---- many at a time ---- */

enum { ROWS = 8, SELLERS = 6, TICKETS = 4000 };

/* What the rows guard, and what is counted beside. A row is whole when left + sold is what
 * there was. */
struct hall {
    long left[ROWS];
    long sold[ROWS];
    atomic_int errors;
    atomic_long done;
};

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

static void sell(struct hall *hall, int row)
{
    hall->left[row]--;
    if (row % 2 == 0)
        (void)sched_yield(); /* now it is half done */
    hall->sold[row]++;
}

static void repair(struct hall *hall, int row)
{
    hall->left[row] = TICKETS - hall->sold[row];
}

/* Sells from two rows at a time, in any order; repairs what it is told to. */
_Noreturn static void sell_for_ever(struct hall *hall, unsigned seed)
{
    for (;;) {
        int rows[2], r = 0;

        if (next_random(&seed) % 64 == 0) { /* the whole */
            r = brood_lock_table_acquire_table(table, X, BROOD_FOREVER, NULL);
            for (int i = 0; i < ROWS && r == BROOD_LOCK_RECOVERED; i++)
                repair(hall, i);
            for (int i = 0; i < ROWS && r >= 0; i++)
                if (hall->left[i] + hall->sold[i] != TICKETS)
                    atomic_fetch_add(&hall->errors, 1);
            if (r >= 0)
                sell(hall, (int)(next_random(&seed) % ROWS));
        }
        for (int i = 0; i < 2 && r >= 0; i++) {
            rows[i] = (int)(next_random(&seed) % ROWS);
            r = acquire(rows[i], X, next_random(&seed) % 4 == 0 ? brood_ms(1) : BROOD_FOREVER);
            if (r < 0)
                break;
            /* Without RECOVERED nobody may have left it half done. */
            if (r == 0 && hall->left[rows[i]] + hall->sold[rows[i]] != TICKETS)
                atomic_fetch_add(&hall->errors, 1);
            repair(hall, rows[i]);
            sell(hall, rows[i]);
        }
        if (r < 0 && r != -EDEADLK && r != -ETIMEDOUT)
            atomic_fetch_add(&hall->errors, 1);
        (void)brood_lock_table_release_all(table);
        atomic_fetch_add(&hall->done, 1);
    }
}

static pid_t start_seller(struct hall *hall, unsigned seed)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        sell_for_ever(hall, seed);
    return pid;
}

static void sellers_killed_at_random_lose_nothing(void **state)
{
    struct hall *hall = shared_page();
    pid_t pids[SELLERS];
    unsigned seed = 7;
    int status;

    (void)state;
    make_table(64);
    for (int i = 0; i < ROWS; i++)
        hall->left[i] = TICKETS;
    for (unsigned i = 0; i < SELLERS; i++)
        pids[i] = start_seller(hall, i);
    for (unsigned round = 0; round < 150; round++) {
        long before = atomic_load(&hall->done);
        unsigned i = next_random(&seed) % SELLERS;

        while (atomic_load(&hall->done) < before + (long)(next_random(&seed) % 8))
            test_pause(); /* somebody goes on */
        assert_true(pids[i] > 1);
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        pids[i] = start_seller(hall, 100 + round);
    }
    for (int i = 0; i < SELLERS; i++) {
        assert_true(pids[i] > 1);
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    }
    assert_int_equal(atomic_load(&hall->errors), 0);
    assert_true(brood_lock_table_acquire_table(table, X, BROOD_FOREVER, NULL) >= 0);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    end_table();
    assert_int_equal(munmap(hall, 4096), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(processes_lock_rows),
    TEST_CASE(a_forked_child_holds_nothing),
    TEST_CASE(works_where_the_segment_lies_elsewhere),
    TEST_CASE(d_killed_holder_is_recovered),
    TEST_CASE(a_waiter_hears_of_the_holder_killed),
    TEST_CASE(a_killed_waiter_is_in_nobodys_way),
    TEST_CASE(a_killed_holder_of_the_table_marks_it_all),
    TEST_CASE(the_records_of_the_dead_are_used_again),
    TEST_CASE(a_deadlock_of_two_is_named),
    TEST_CASE(a_deadlock_of_three_is_named),
    TEST_CASE(a_deadlock_of_two_who_want_more_is_named),
    TEST_CASE(the_dead_are_in_no_cycle),
    TEST_CASE_LIMIT(sellers_killed_at_random_lose_nothing, 60),
};
TEST_SUITE(lock_table_processes, cases)
