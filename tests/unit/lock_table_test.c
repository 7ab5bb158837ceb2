/*
 * The lock table inside one process: keys, modes, order, cycles, marks, and the repair of the
 * index.
 *
 * Method: partners are threads that do what they are told over a socket, one call at a time,
 * so that each case is a script. Where a script needs a partner to be waiting, it looks at
 * the records, with the internal headers, until that is so.
 */
#include "test.h"

#include "sync/lock_table.h"

#include <brood.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define S BROOD_LOCK_SHARED
#define X BROOD_LOCK_EXCLUSIVE

static brood_shared *shared; /* a fresh one for each table */
static brood_lock_table *table;

static void make_table(uint32_t records_max, uint32_t key_bytes_max)
{
    brood_lock_table_options options = BROOD_LOCK_TABLE_OPTIONS_INIT;

    options.records_max = records_max;
    options.key_bytes_max = key_bytes_max;
    table = NULL;
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_lock_table_create(shared, &options, &table), 0);
    assert_non_null(table);
}

static void end_table(void)
{
    assert_int_equal(brood_lock_table_destroy(table), 0);
    table = NULL;
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

static int held(int key)
{
    return brood_lock_table_held(table, &key, sizeof key);
}

static int held_table(void)
{
    return brood_lock_table_held(table, NULL, 0);
}

/* ---- looking inside ---- */

static unsigned waiting_count(void)
{
    struct brood__visit visit;
    unsigned count = 0;

    assert_int_equal(brood__object_enter(&table->object, BROOD__LOCK_TABLE), 0);
    assert_int_equal(brood__visit_enter(&visit, table), 0);
    for (uint32_t i = 0; i < table->members_max; i++)
        count += brood__lock_record_waits(&brood__seat_at(table, i)->record);
    for (uint32_t i = 0; i < table->rows_used; i++)
        count +=
            brood__lock_record_waits(brood__lock_record_at(table, table->members_max + 1 + i));
    brood__visit_leave(&visit);
    return count;
}

static void await_waiting(unsigned count)
{
    const struct timespec moment = { .tv_nsec = 100000 };

    while (waiting_count() != count)
        (void)nanosleep(&moment, NULL);
}

/* ---- partners ---- */

enum order { ACQUIRE, RELEASE, ACQUIRE_TABLE, RELEASE_TABLE, RELEASE_ALL, LEAVE };

struct word {
    enum order order;
    int key;
    uint64_t mode; /* as wide as the timeout: no padding is sent */
    int64_t timeout;
};

struct answer {
    int result;
    brood_deadlock cycle;
};

struct partner {
    pthread_t thread;
    int ends[2];
};

static void *obey(void *argument)
{
    const struct partner *partner = argument;
    struct answer answer;
    struct word word = { .order = LEAVE };

    do {
        memset(&answer, 0, sizeof answer);
        answer.cycle = (brood_deadlock)BROOD_DEADLOCK_INIT;
        INSIST(read(partner->ends[1], &word, sizeof word) == (ssize_t)sizeof word, "%d", errno);
        switch (word.order) {
        case ACQUIRE:
            answer.result =
                brood_lock_table_acquire(table, &word.key, sizeof word.key, (uint32_t)word.mode,
                                         word.timeout, &answer.cycle);
            break;
        case RELEASE: answer.result = release(word.key); break;
        case ACQUIRE_TABLE:
            answer.result = brood_lock_table_acquire_table(table, (uint32_t)word.mode,
                                                           word.timeout, &answer.cycle);
            break;
        case RELEASE_TABLE: answer.result = brood_lock_table_release_table(table); break;
        case RELEASE_ALL: answer.result = brood_lock_table_release_all(table); break;
        case LEAVE: return NULL; /* with all it has: it dies */
        }
        INSIST(write(partner->ends[1], &answer, sizeof answer) == (ssize_t)sizeof answer, "%d",
               errno);
    } while (word.order != LEAVE);
    return NULL;
}

static void begin(struct partner *partner)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, partner->ends), 0);
    assert_int_equal(pthread_create(&partner->thread, NULL, obey, partner), 0);
}

static void tell(struct partner *partner, struct word word)
{
    assert_int_equal(write(partner->ends[0], &word, sizeof word), sizeof word);
}

static struct answer hear(struct partner *partner)
{
    struct answer answer;

    assert_int_equal(read(partner->ends[0], &answer, sizeof answer), sizeof answer);
    return answer;
}

static bool silent(struct partner *partner)
{
    struct answer answer;

    return recv(partner->ends[0], &answer, sizeof answer, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           errno == EAGAIN;
}

static int call(struct partner *partner, enum order order, int key, uint32_t mode,
                int64_t timeout)
{
    tell(partner, (struct word){ order, key, mode, timeout });
    return hear(partner).result;
}

static void ask_for(struct partner *partner, int key, uint32_t mode)
{
    tell(partner, (struct word){ ACQUIRE, key, mode, BROOD_FOREVER });
}

static void ask_for_table(struct partner *partner, uint32_t mode)
{
    tell(partner, (struct word){ ACQUIRE_TABLE, 0, mode, BROOD_FOREVER });
}

static void end(struct partner *partner)
{
    tell(partner, (struct word){ .order = LEAVE });
    assert_int_equal(pthread_join(partner->thread, NULL), 0);
    assert_int_equal(close(partner->ends[0]), 0);
    assert_int_equal(close(partner->ends[1]), 0);
}

/* ---- one thread ---- */

static void refuses_bad_arguments(void **state)
{
    brood_lock_table_options options = BROOD_LOCK_TABLE_OPTIONS_INIT;
    brood_deadlock small = BROOD_DEADLOCK_INIT;
    brood_lock_table *other = NULL;
    brood_lock *lock = NULL;
    char key[65] = { 0 };

    (void)state;
    assert_int_equal(brood_lock_table_create(NULL, NULL, NULL), -EINVAL);
    options.records_max = (1u << 24) + 1;
    assert_int_equal(brood_lock_table_create(NULL, &options, &other), -EINVAL);
    options.records_max = 0;
    options.key_bytes_max = 4097;
    assert_int_equal(brood_lock_table_create(NULL, &options, &other), -EINVAL);
    options.key_bytes_max = 0;
    options.size--;
    assert_int_equal(brood_lock_table_create(NULL, &options, &other), -EINVAL);
    assert_null(other);

    make_table(0, 0);
    assert_int_equal(brood_lock_table_acquire(NULL, key, 1, S, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire(table, NULL, 1, S, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire(table, key, 0, S, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire(table, key, 65, S, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire(table, key, 1, 0, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire(table, key, 1, 1, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire(table, key, 1, 6, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire(table, key, 1, S, -2, NULL), -EINVAL);
    small.size = 4;
    assert_int_equal(brood_lock_table_acquire(table, key, 1, S, 0, &small), -EINVAL);
    assert_int_equal(brood_lock_table_release(table, NULL, 0), -EINVAL);
    assert_int_equal(brood_lock_table_release(NULL, key, 1), -EINVAL);
    assert_int_equal(brood_lock_table_release_all(NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire_table(table, 0, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire_table(table, 6, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_acquire_table(table, S, -2, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_release_table(NULL), -EINVAL);
    assert_int_equal(brood_lock_table_owner(table, key, 0, NULL), -EINVAL);
    assert_int_equal(brood_lock_table_held(table, NULL, 3), -EINVAL);
    assert_int_equal(brood_lock_table_count(NULL), -EINVAL);
    assert_int_equal(brood_lock_table_count(table), 0);
    assert_int_equal(brood_lock_table_destroy(NULL), 0);

    assert_int_equal(brood_lock_create(shared, NULL, &lock), 0);
    assert_int_equal(brood_lock_table_count((brood_lock_table *)(void *)lock), -EINVAL);
    assert_int_equal(brood_lock_destroy(lock), 0);
    end_table();
}

static void acquires_and_releases(void **state)
{
    (void)state;
    make_table(0, 0);
    assert_int_equal(release(1), -EPERM);
    assert_int_equal(held(1), 0);
    assert_int_equal(acquire(1, X, BROOD_FOREVER), 0);
    assert_int_equal(held(1), X);
    assert_int_equal(held_table(), BROOD_LOCK_INTEND_EXCLUSIVE);
    assert_int_equal(acquire(2, S, BROOD_NOWAIT), 0);
    assert_int_equal(held(2), S);
    assert_int_equal(brood_lock_table_count(table), 2);
    assert_int_equal(brood_lock_table_destroy(table), -EBUSY);
    assert_int_equal(release(3), -EPERM);
    assert_int_equal(release(1), 0);
    assert_int_equal(release(1), -EPERM);
    assert_int_equal(held_table(), BROOD_LOCK_INTEND_SHARED);
    assert_int_equal(release(2), 0);
    assert_int_equal(held_table(), 0);
    assert_int_equal(brood_lock_table_count(table), 0);
    end_table();
}

static void compares_keys_whole(void **state)
{
    unsigned char key[200];

    (void)state;
    memset(key, 0, sizeof key);
    make_table(300, sizeof key);
    for (size_t n = 1; n <= sizeof key; n++) /* all zero, and of different lengths */
        assert_int_equal(brood_lock_table_acquire(table, key, n, X, 0, NULL), 0);
    assert_int_equal(brood_lock_table_count(table), sizeof key);
    assert_int_equal(brood_lock_table_release_all(table), sizeof key);
    for (size_t i = 0; i < sizeof key; i++) { /* and different in one byte */
        key[i] = 1;
        assert_int_equal(brood_lock_table_held(table, key, sizeof key), 0);
        assert_int_equal(brood_lock_table_acquire(table, key, sizeof key, X, 0, NULL), 0);
        key[i] = 0;
    }
    assert_int_equal(brood_lock_table_release_all(table), sizeof key);
    end_table();
}

static void counts_acquisitions(void **state)
{
    (void)state;
    make_table(0, 0);
    assert_int_equal(acquire(1, S, 0), 0);
    assert_int_equal(acquire(1, X, 0), 0);
    assert_int_equal(acquire(1, S, 0), 0);
    assert_int_equal(held(1), X);
    assert_int_equal(brood_lock_table_count(table), 1);
    assert_int_equal(release(1), 0);
    assert_int_equal(release(1), 0);
    assert_int_equal(held(1), X); /* the strongest, to the end */
    assert_int_equal(release(1), 0);
    assert_int_equal(release(1), -EPERM);
    assert_int_equal(brood_lock_table_release_table(table), -EPERM);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), 0);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(held_table(), X);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(held_table(), 0);
    end_table();
}

static void joins_table_modes_and_intentions(void **state)
{
    (void)state;
    make_table(0, 0);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), 0);
    assert_int_equal(acquire(1, S, 0), 0);
    assert_int_equal(held_table(), S);
    assert_int_equal(acquire(2, X, 0), 0);
    assert_int_equal(held_table(), BROOD_LOCK_SHARED_INTEND_EXCLUSIVE);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(held_table(), BROOD_LOCK_INTEND_EXCLUSIVE);
    assert_int_equal(release(2), 0);
    assert_int_equal(held_table(), BROOD_LOCK_INTEND_SHARED);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), 0);
    assert_int_equal(release(1), 0);
    assert_int_equal(held_table(), X);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    assert_int_equal(held_table(), 0);
    assert_int_equal(brood_lock_table_release_all(table), 0);
    assert_int_equal(
        brood_lock_table_acquire_table(table, BROOD_LOCK_INTEND_EXCLUSIVE, 0, NULL), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), 0);
    assert_int_equal(held_table(), BROOD_LOCK_SHARED_INTEND_EXCLUSIVE);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    end_table();
}

static void says_when_it_is_full_and_loses_nothing(void **state)
{
    (void)state;
    make_table(8, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(acquire(i, i % 2 == 0 ? X : S, 0), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(acquire(100 + i, X, BROOD_FOREVER), -ENOSPC);
    assert_int_equal(acquire(1, X, 0), 0); /* needs no record */
    assert_int_equal(acquire(2, X, 0), 0);
    assert_int_equal(brood_lock_table_count(table), 8);
    assert_int_equal(release(0), 0);
    assert_int_equal(acquire(100, S, 0), 0);
    assert_int_equal(acquire(101, S, 0), -ENOSPC);
    for (int i = 1; i < 8; i++)
        assert_int_equal(held(i), i % 2 == 0 || i == 1 ? X : S);
    assert_int_equal(brood_lock_table_release_all(table), 8);
    assert_int_equal(brood_lock_table_count(table), 0);
    assert_int_equal(acquire(1, X, 0), 0);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    for (int i = 0; i < 100; i++) { /* a refusal leaves no intention */
        assert_int_equal(acquire(i, X, 0), i < 8 ? 0 : -ENOSPC);
        if (i == 7)
            assert_int_equal(held_table(), BROOD_LOCK_INTEND_EXCLUSIVE);
    }
    assert_int_equal(brood_lock_table_release_all(table), 8);
    assert_int_equal(held_table(), 0);
    end_table();
}

static void takes_any_number_of_keys(void **state)
{
    (void)state;
    make_table(16, 0);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(acquire(i, X, 0), 0);
        if (i >= 15)
            assert_int_equal(release(i - 15), 0);
    }
    assert_int_equal(brood_lock_table_count(table), 15);
    assert_int_equal(brood_lock_table_release_all(table), 15);
    end_table();
}

static void says_who_has_a_row(void **state)
{
    brood_owner owner = BROOD_OWNER_INIT;
    int key = 4;

    (void)state;
    make_table(0, 0);
    assert_int_equal(brood_lock_table_owner(table, &key, sizeof key, &owner), 0);
    assert_int_equal(brood_lock_table_owner(table, NULL, 0, &owner), 0);
    assert_int_equal(acquire(key, S, 0), 0);
    assert_int_equal(brood_lock_table_owner(table, &key, sizeof key, NULL), S);
    assert_int_equal(brood_lock_table_owner(table, &key, sizeof key, &owner), S);
    assert_int_equal(owner.pid, getpid());
    assert_int_equal(owner.tid, getpid());
    assert_int_equal(brood_lock_table_owner(table, NULL, 0, &owner), BROOD_LOCK_INTEND_SHARED);
    owner.size = 1;
    assert_int_equal(brood_lock_table_owner(table, &key, sizeof key, &owner), -EINVAL);
    assert_int_equal(release(key), 0);
    end_table();
}

/* ---- several threads ---- */

static void threads_share_as_the_matrix_says(void **state)
{
    /* Rows: what one has; columns: what another asks for; IS IX S SIX X. */
    static const char *const matrix[] = { "yyyy-", "yy---", "y-y--", "y----", "-----" };
    struct partner one, other;

    (void)state;
    make_table(0, 0);
    begin(&one);
    begin(&other);
    for (uint32_t has = 1; has <= 5; has++)
        for (uint32_t asks = 1; asks <= 5; asks++) {
            bool fits = matrix[has - 1][asks - 1] == 'y';

            assert_int_equal(call(&one, ACQUIRE_TABLE, 0, has, 0), 0);
            assert_int_equal(call(&other, ACQUIRE_TABLE, 0, asks, 0), fits ? 0 : -ETIMEDOUT);
            assert_int_equal(call(&other, RELEASE_TABLE, 0, 0, 0), fits ? 0 : -EPERM);
            if (!fits) { /* and by waiting */
                ask_for_table(&other, asks);
                await_waiting(1);
                assert_true(silent(&other));
            }
            assert_int_equal(call(&one, RELEASE_TABLE, 0, 0, 0), 0);
            if (!fits) {
                assert_int_equal(hear(&other).result, 0);
                assert_int_equal(call(&other, RELEASE_TABLE, 0, 0, 0), 0);
            }
            assert_int_equal(brood_lock_table_owner(table, NULL, 0, NULL), 0);
        }
    end(&other);
    end(&one);
    end_table();
}

static void threads_convert_as_the_matrix_says(void **state)
{
    static const char *const matrix[] = { "yyyy-", "yy---", "y-y--", "y----", "-----" };
    /* What has and asks make together; the header's order of strength. */
    static const uint32_t joined[5][5] = {
        { 1, 2, 3, 4, 5 }, { 2, 2, 4, 4, 5 }, { 3, 4, 3, 4, 5 },
        { 4, 4, 4, 4, 5 }, { 5, 5, 5, 5, 5 },
    };
    struct partner other;

    (void)state;
    make_table(0, 0);
    begin(&other);
    for (uint32_t has = 1; has <= 5; has++)
        for (uint32_t asks = 1; asks <= 5; asks++)
            for (uint32_t others = 1; others <= 5; others++) {
                uint32_t makes = joined[has - 1][asks - 1];
                bool fits = matrix[others - 1][makes - 1] == 'y';

                if (matrix[has - 1][others - 1] != 'y')
                    continue;
                assert_int_equal(call(&other, ACQUIRE_TABLE, 0, others, 0), 0);
                assert_int_equal(brood_lock_table_acquire_table(table, has, 0, NULL), 0);
                assert_int_equal(brood_lock_table_acquire_table(table, asks, 0, NULL),
                                 fits ? 0 : -ETIMEDOUT);
                assert_int_equal(held_table(), fits ? makes : has);
                assert_int_equal(brood_lock_table_release_all(table), 1);
                assert_int_equal(call(&other, RELEASE_ALL, 0, 0, 0), 1);
            }
    end(&other);
    end_table();
}

static void threads_with_rows_keep_others_from_the_table(void **state)
{
    struct partner other;

    (void)state;
    make_table(0, 0);
    begin(&other);
    assert_int_equal(call(&other, ACQUIRE, 1, S, 0), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), -ETIMEDOUT);
    assert_int_equal(call(&other, ACQUIRE, 1, X, 0), -ETIMEDOUT);
    assert_int_equal(call(&other, ACQUIRE, 2, X, 0), -ETIMEDOUT);
    assert_int_equal(call(&other, ACQUIRE, 2, S, 0), 0);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(call(&other, ACQUIRE, 1, X, 0), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), -ETIMEDOUT);
    assert_int_equal(brood_lock_table_acquire_table(table, S, brood_ms(5), NULL), -ETIMEDOUT);
    assert_int_equal(call(&other, RELEASE_ALL, 0, 0, 0), 2);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), 0);
    assert_int_equal(call(&other, ACQUIRE, 1, S, 0), -ETIMEDOUT);
    ask_for(&other, 1, S);
    await_waiting(1);
    assert_int_equal(acquire(1, X, 0), 0); /* who has the table has the rows */
    assert_int_equal(brood_lock_table_release_table(table), 0);
    await_waiting(1); /* now for the row */
    assert_true(silent(&other));
    assert_int_equal(release(1), 0);
    assert_int_equal(hear(&other).result, 0);
    assert_int_equal(call(&other, RELEASE, 1, 0, 0), 0);
    end(&other);
    end_table();
}

static void threads_get_a_row_in_order(void **state)
{
    struct partner p[5];

    (void)state;
    make_table(0, 0);
    for (int i = 0; i < 5; i++)
        begin(&p[i]);
    assert_int_equal(acquire(7, X, 0), 0);
    for (unsigned i = 0; i < 5; i++) { /* X S S X S */
        ask_for(&p[i], 7, i == 0 || i == 3 ? X : S);
        await_waiting(i + 1);
    }
    assert_int_equal(release(7), 0);
    assert_int_equal(hear(&p[0]).result, 0);
    assert_int_equal(waiting_count(), 4);
    assert_int_equal(acquire(7, S, 0), -ETIMEDOUT);
    assert_int_equal(call(&p[0], RELEASE, 7, 0, 0), 0);
    assert_int_equal(hear(&p[1]).result, 0);
    assert_int_equal(hear(&p[2]).result, 0);
    assert_int_equal(waiting_count(), 2);
    assert_true(silent(&p[4])); /* not before the exclusive one ahead of it */
    assert_int_equal(acquire(7, S, 0), -ETIMEDOUT); /* nor anybody else */
    assert_int_equal(call(&p[2], RELEASE, 7, 0, 0), 0);
    assert_int_equal(call(&p[1], RELEASE, 7, 0, 0), 0);
    assert_int_equal(hear(&p[3]).result, 0);
    assert_true(silent(&p[4]));
    assert_int_equal(call(&p[3], RELEASE, 7, 0, 0), 0);
    assert_int_equal(hear(&p[4]).result, 0);
    assert_int_equal(call(&p[4], RELEASE, 7, 0, 0), 0);
    assert_int_equal(brood_lock_table_count(table), 0);
    for (int i = 0; i < 5; i++)
        end(&p[i]);
    end_table();
}

static void thread_that_has_it_shared_goes_first(void **state)
{
    struct partner one, late;

    (void)state;
    make_table(0, 0);
    begin(&one);
    begin(&late);
    assert_int_equal(acquire(7, S, 0), 0);
    assert_int_equal(call(&one, ACQUIRE, 7, S, 0), 0);
    ask_for(&late, 7, X);
    await_waiting(1);
    ask_for(&one, 7, X);
    await_waiting(2);
    assert_int_equal(release(7), 0);
    assert_int_equal(hear(&one).result, 0);
    assert_true(silent(&late));
    assert_int_equal(call(&one, RELEASE, 7, 0, 0), 0);
    assert_true(silent(&late)); /* it was acquired twice */
    assert_int_equal(call(&one, RELEASE, 7, 0, 0), 0);
    assert_int_equal(hear(&late).result, 0);
    end(&late); /* dies with it */
    end(&one);
    assert_int_equal(acquire(7, X, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(release(7), 0);
    end_table();
}

static void thread_that_gives_up_lets_others_pass(void **state)
{
    struct partner one, other;

    (void)state;
    make_table(0, 0);
    begin(&one);
    begin(&other);
    assert_int_equal(acquire(7, S, 0), 0);
    tell(&one, (struct word){ ACQUIRE, 7, X, brood_ms(50) });
    await_waiting(1);
    ask_for(&other, 7, S); /* behind it */
    assert_int_equal(hear(&one).result, -ETIMEDOUT);
    assert_int_equal(hear(&other).result, 0);
    assert_int_equal(brood_lock_table_count(table), 2);
    assert_int_equal(acquire(7, X, brood_ms(5)), -ETIMEDOUT);
    assert_int_equal(held(7), S); /* as before */
    assert_int_equal(held_table(), BROOD_LOCK_INTEND_SHARED);
    assert_int_equal(call(&other, RELEASE, 7, 0, 0), 0);
    assert_int_equal(acquire(7, X, brood_ms(5)), 0);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    end(&other);
    end(&one);
    end_table();
}

static void threads_hear_of_a_full_table_while_others_wait(void **state)
{
    struct partner one, other;

    (void)state;
    make_table(2, 0);
    begin(&one);
    begin(&other);
    assert_int_equal(acquire(1, X, 0), 0);
    ask_for(&one, 1, X);
    await_waiting(1);
    assert_int_equal(call(&other, ACQUIRE, 1, X, BROOD_FOREVER), -ENOSPC);
    assert_int_equal(call(&other, ACQUIRE, 2, X, BROOD_FOREVER), -ENOSPC);
    assert_int_equal(release(1), 0);
    assert_int_equal(hear(&one).result, 0);
    assert_int_equal(call(&other, ACQUIRE, 2, X, 0), 0);
    assert_int_equal(call(&one, RELEASE_ALL, 0, 0, 0), 1);
    assert_int_equal(call(&other, RELEASE_ALL, 0, 0, 0), 1);
    assert_int_equal(brood_lock_table_count(table), 0);
    end(&other);
    end(&one);
    end_table();
}

/* ---- cycles ---- */

static void assert_member(const brood_deadlock_member *member, int key, uint32_t mode)
{
    int found;

    assert_int_equal(member->pid, getpid());
    assert_int_equal(member->mode, mode);
    assert_int_equal(member->key_bytes, sizeof found);
    memcpy(&found, member->key, sizeof found);
    assert_int_equal(found, key);
}

static void threads_in_a_cycle_of_two_are_told(void **state)
{
    brood_deadlock cycle = BROOD_DEADLOCK_INIT;
    struct partner one;
    int key = 1;

    (void)state;
    make_table(0, 0);
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), 0);
    assert_int_equal(acquire(2, X, 0), 0);
    ask_for(&one, 2, S);
    await_waiting(1);
    assert_int_equal(acquire(1, X, BROOD_NOWAIT), -ETIMEDOUT); /* who does not wait... */
    assert_int_equal(brood_lock_table_acquire(table, &key, sizeof key, X, BROOD_FOREVER, NULL),
                     -EDEADLK);
    assert_int_equal(
        brood_lock_table_acquire(table, &key, sizeof key, X, BROOD_FOREVER, &cycle), -EDEADLK);
    assert_int_equal(cycle.count, 2);
    assert_member(&cycle.members[0], 1, X);
    assert_member(&cycle.members[1], 2, S);
    assert_int_equal(cycle.members[0].tid, getpid());
    assert_int_not_equal(cycle.members[1].tid, getpid());
    assert_int_equal(held(1), 0);
    assert_int_equal(held(2), X);
    assert_int_equal(brood_lock_table_count(table), 3);
    assert_int_equal(release(2), 0);
    assert_int_equal(hear(&one).result, 0);
    assert_int_equal(call(&one, RELEASE_ALL, 0, 0, 0), 2);
    end(&one);
    end_table();
}

static void threads_in_a_cycle_of_many_are_told(void **state)
{
    enum { COUNT = 20 };
    brood_deadlock cycle = BROOD_DEADLOCK_INIT;
    struct partner p[COUNT - 1];
    int key = 0;

    (void)state;
    make_table(0, 0);
    for (unsigned i = 0; i < COUNT - 1; i++) {
        begin(&p[i]);
        assert_int_equal(call(&p[i], ACQUIRE, (int)i, X, 0), 0);
    }
    assert_int_equal(acquire(COUNT - 1, X, 0), 0);
    for (unsigned i = 0; i < COUNT - 1; i++) { /* each the next one's */
        ask_for(&p[i], (int)i + 1, X);
        await_waiting(i + 1);
    }
    assert_int_equal(
        brood_lock_table_acquire(table, &key, sizeof key, X, BROOD_FOREVER, &cycle), -EDEADLK);
    assert_int_equal(cycle.count, COUNT);
    for (int i = 0; i < BROOD_DEADLOCK_MEMBERS; i++)
        assert_member(&cycle.members[i], i, X);
    assert_int_equal(release(COUNT - 1), 0);
    for (int i = COUNT - 2; i >= 0; i--) {
        assert_int_equal(hear(&p[i]).result, 0);
        assert_int_equal(call(&p[i], RELEASE_ALL, 0, 0, 0), 2);
    }
    for (int i = 0; i < COUNT - 1; i++)
        end(&p[i]);
    end_table();
}

static void threads_that_both_want_more_are_told(void **state)
{
    brood_deadlock cycle = BROOD_DEADLOCK_INIT;
    struct partner one;
    int key = 1;

    (void)state;
    make_table(0, 0);
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE, 1, S, 0), 0);
    assert_int_equal(acquire(1, S, 0), 0);
    ask_for(&one, 1, X);
    await_waiting(1);
    assert_int_equal(
        brood_lock_table_acquire(table, &key, sizeof key, X, BROOD_FOREVER, &cycle), -EDEADLK);
    assert_int_equal(cycle.count, 2);
    assert_member(&cycle.members[0], 1, X);
    assert_member(&cycle.members[1], 1, X);
    assert_int_equal(held(1), S);
    assert_true(silent(&one));
    assert_int_equal(release(1), 0);
    assert_int_equal(hear(&one).result, 0);
    assert_int_equal(call(&one, RELEASE_ALL, 0, 0, 0), 1);
    end(&one);
    end_table();
}

static void threads_in_a_cycle_through_the_table_are_told(void **state)
{
    brood_deadlock cycle = BROOD_DEADLOCK_INIT;
    struct partner one;

    (void)state;
    make_table(0, 0);
    begin(&one);
    /* A row each, and both want the whole. */
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), 0);
    assert_int_equal(acquire(2, X, 0), 0);
    ask_for_table(&one, S);
    await_waiting(1);
    assert_int_equal(brood_lock_table_acquire_table(table, X, BROOD_FOREVER, &cycle), -EDEADLK);
    assert_int_equal(cycle.count, 2);
    assert_int_equal(cycle.members[0].key_bytes, 0);
    assert_int_equal(cycle.members[0].mode, X);
    assert_int_equal(cycle.members[1].key_bytes, 0);
    assert_int_equal(cycle.members[1].mode, BROOD_LOCK_SHARED_INTEND_EXCLUSIVE);
    assert_int_equal(release(2), 0);
    assert_int_equal(hear(&one).result, 0);
    /* One has the whole, the other waits for a row, the first for what that has. */
    assert_int_equal(call(&one, RELEASE_ALL, 0, 0, 0), 2);
    assert_int_equal(call(&one, ACQUIRE, 1, S, 0), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), 0);
    ask_for(&one, 3, X);
    await_waiting(1);
    assert_int_equal(brood_lock_table_acquire_table(table, X, BROOD_FOREVER, NULL), -EDEADLK);
    assert_int_equal(acquire(1, X, BROOD_FOREVER), -EDEADLK);
    assert_int_equal(held_table(), S);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(hear(&one).result, 0);
    assert_int_equal(call(&one, RELEASE_ALL, 0, 0, 0), 2);
    end(&one);
    end_table();
}

static void threads_behind_one_who_waits_are_in_cycles_too(void **state)
{
    struct partner reader, writer;

    (void)state;
    make_table(0, 0);
    begin(&reader);
    begin(&writer);
    /* The reader has 1 shared, a writer waits for it, and we come behind the writer. */
    assert_int_equal(call(&reader, ACQUIRE, 1, S, 0), 0);
    assert_int_equal(acquire(2, X, 0), 0);
    ask_for(&writer, 1, X);
    await_waiting(1);
    ask_for(&reader, 2, X);
    await_waiting(2);
    assert_int_equal(acquire(1, S, BROOD_FOREVER), -EDEADLK);
    assert_int_equal(release(2), 0);
    assert_int_equal(hear(&reader).result, 0);
    assert_int_equal(call(&reader, RELEASE_ALL, 0, 0, 0), 2);
    assert_int_equal(hear(&writer).result, 0);
    assert_int_equal(call(&writer, RELEASE_ALL, 0, 0, 0), 1);
    end(&writer);
    end(&reader);
    end_table();
}

/* ---- deaths ---- */

static void thread_that_ends_leaves_a_mark(void **state)
{
    struct partner one;

    (void)state;
    make_table(0, 0);
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), 0);
    assert_int_equal(call(&one, ACQUIRE, 2, S, 0), 0);
    end(&one);
    assert_int_equal(acquire(2, X, 0), 0); /* it changed nothing there */
    assert_int_equal(release(2), 0);
    assert_int_equal(brood_lock_table_count(table), 1);
    assert_int_equal(brood_lock_table_owner(table, NULL, 0, NULL), 0);
    /* Whoever can only read leaves the mark. */
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE, 1, S, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(acquire(1, S, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(call(&one, RELEASE, 1, 0, 0), 0);
    assert_int_equal(acquire(1, S, 0), 0); /* was told */
    assert_int_equal(acquire(1, X, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_count(table), 2);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    assert_int_equal(brood_lock_table_count(table), 0);
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), 0);
    end(&one);
    /* Whoever dies while putting it right leaves it too. */
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), BROOD_LOCK_RECOVERED);
    end(&one);
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE, 1, S, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), BROOD_LOCK_RECOVERED);
    end(&one);
    assert_int_equal(brood_lock_table_count(table), 1);
    assert_int_equal(acquire(1, X, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(release(1), 0);
    assert_int_equal(acquire(1, X, 0), 0);
    assert_int_equal(release(1), 0);
    end_table();
}

static void thread_that_ends_with_the_table_marks_it_all(void **state)
{
    struct partner one;

    (void)state;
    make_table(0, 0);
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE_TABLE, 0, X, 0), 0);
    assert_int_equal(call(&one, ACQUIRE, 5, X, 0), 0);
    end(&one);
    assert_int_equal(acquire(1, X, 0), BROOD_LOCK_TABLE_RECOVERED);
    assert_int_equal(acquire(5, S, 0), BROOD_LOCK_TABLE_RECOVERED);
    assert_int_equal(brood_lock_table_release_all(table), 2);
    assert_int_equal(acquire(1, S, 0), BROOD_LOCK_TABLE_RECOVERED);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    assert_int_equal(brood_lock_table_acquire_table(table, BROOD_LOCK_INTEND_SHARED, 0, NULL),
                     0);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), 0);
    assert_int_equal(brood_lock_table_release_all(table), 1);
    begin(&one); /* who dies while putting it right */
    assert_int_equal(call(&one, ACQUIRE_TABLE, 0, X, 0), BROOD_LOCK_RECOVERED);
    end(&one);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_count(table), 1); /* of row 5 */
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(brood_lock_table_count(table), 0);
    assert_int_equal(acquire(5, X, 0), 0);
    assert_int_equal(release(5), 0);
    end_table();
}

static void thread_that_has_the_table_hears_of_marked_rows(void **state)
{
    struct partner one;

    (void)state;
    make_table(0, 0);
    begin(&one);
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), 0);
    assert_int_equal(call(&one, ACQUIRE, 2, X, 0), 0);
    end(&one);
    assert_int_equal(brood_lock_table_acquire_table(table, S, 0, NULL), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), BROOD_LOCK_RECOVERED);
    assert_int_equal(acquire(1, X, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(acquire(2, X, 0), 0);
    assert_int_equal(brood_lock_table_release_all(table), 2);
    assert_int_equal(acquire(1, X, 0), 0);
    assert_int_equal(release(1), 0);
    end_table();
}

static void thread_that_waits_gets_what_the_dead_had(void **state)
{
    struct partner one, other, third;

    (void)state;
    make_table(0, 0);
    begin(&one);
    begin(&other);
    begin(&third);
    assert_int_equal(call(&one, ACQUIRE, 1, X, 0), 0);
    ask_for(&other, 1, S);
    await_waiting(1);
    ask_for(&third, 1, S);
    await_waiting(2);
    end(&one);
    assert_int_equal(hear(&other).result, BROOD_LOCK_RECOVERED);
    assert_int_equal(hear(&third).result, BROOD_LOCK_RECOVERED);
    ask_for(&third, 1, X);
    await_waiting(1);
    end(&other);
    assert_int_equal(hear(&third).result, BROOD_LOCK_RECOVERED);
    assert_int_equal(call(&third, RELEASE_ALL, 0, 0, 0), 1);
    end(&third);
    assert_int_equal(brood_lock_table_count(table), 0);
    end_table();
}

static void threads_put_marked_rows_right_in_a_full_table(void **state)
{
    struct partner one;

    (void)state;
    make_table(4, 0);
    begin(&one);
    for (int i = 0; i < 4; i++)
        assert_int_equal(call(&one, ACQUIRE, i, i < 3 ? X : S, 0), 0);
    end(&one);
    assert_int_equal(acquire(10, X, 0), 0); /* in place of the dead reader */
    assert_int_equal(acquire(11, X, 0), -ENOSPC);
    assert_int_equal(acquire(0, S, 0), -ENOSPC);
    assert_int_equal(acquire(0, X, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(acquire(1, X, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(release(0), 0);
    assert_int_equal(acquire(11, X, 0), 0);
    assert_int_equal(brood_lock_table_release_all(table), 3);
    assert_int_equal(brood_lock_table_count(table), 1);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    assert_int_equal(brood_lock_table_count(table), 0);
    end_table();
}

/* Dies inside, having torn all of the index. The kernel hands the mutex on, which the thread
 * sanitizer does not see: so this case is not one of those with `thread` in their name. */
static void *tear(void *argument)
{
    struct brood__visit visit;
    int key = 1;

    (void)argument;
    INSIST(brood_lock_table_acquire(table, &key, sizeof key, X, 0, NULL) == 0, "row 1");
    INSIST(brood__visit_enter(&visit, table) == 0, "entering");
    memset((char *)table + table->buckets, 0xee,
           (table->bucket_mask + 1) * sizeof(struct brood__chain));
    memset(&table->chain, 0xee, sizeof table->chain);
    memset(table->seats_held, 0xee, sizeof table->seats_held);
    table->seats_waiting = table->free_first = table->in_use_count = table->mark_count = 77;
    for (uint32_t i = 0; i < brood__slots_used(visit.header); i++)
        brood__seat_at(table, i)->first = brood__seat_at(table, i)->waiting = 77777;
    for (uint32_t i = 0; i < table->rows_used; i++) {
        struct brood__lock_record *record =
            brood__lock_record_at(table, table->members_max + 1 + i);

        record->next = record->prev = record->next_own = record->prev_own = 99999;
    }
    return NULL;
}

static void dying_inside_leaves_the_truth(void **state)
{
    struct partner p[4];
    pthread_t thread;

    (void)state;
    make_table(0, 0);
    for (int i = 0; i < 4; i++)
        begin(&p[i]);
    assert_int_equal(acquire(2, X, 0), 0);
    assert_int_equal(acquire(3, S, 0), 0);
    assert_int_equal(call(&p[0], ACQUIRE, 3, S, 0), 0);
    for (unsigned i = 1; i < 4; i++) {
        ask_for(&p[i], 2, i == 2 ? X : S);
        await_waiting(i);
    }
    assert_int_equal(pthread_create(&thread, NULL, tear, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(brood_lock_table_count(table), 7); /* and the mark of row 1 */
    assert_int_equal(held(2), X);
    assert_int_equal(acquire(3, X, 0), -ETIMEDOUT);
    assert_int_equal(call(&p[0], ACQUIRE, 3, S, 0), 0);
    assert_int_equal(acquire(1, X, 0), BROOD_LOCK_RECOVERED);
    assert_int_equal(release(2), 0); /* the order of those who wait is as it was */
    assert_int_equal(hear(&p[1]).result, 0);
    assert_int_equal(waiting_count(), 2);
    assert_int_equal(call(&p[1], RELEASE_ALL, 0, 0, 0), 1);
    assert_int_equal(hear(&p[2]).result, 0);
    assert_int_equal(waiting_count(), 1);
    assert_int_equal(call(&p[2], RELEASE_ALL, 0, 0, 0), 1);
    assert_int_equal(hear(&p[3]).result, 0);
    assert_int_equal(call(&p[3], RELEASE_ALL, 0, 0, 0), 1);
    assert_int_equal(call(&p[0], RELEASE_ALL, 0, 0, 0), 1);
    assert_int_equal(brood_lock_table_release_all(table), 2);
    assert_int_equal(brood_lock_table_count(table), 0);
    assert_int_equal(brood_lock_table_acquire_table(table, X, 0, NULL), 0);
    assert_int_equal(brood_lock_table_release_table(table), 0);
    for (int i = 0; i < 4; i++)
        end(&p[i]);
    end_table();
}

/* ---- many at a time ---- */

enum { ROWS = 6, ROUNDS = 5000, WORKERS = 4 };

static pthread_barrier_t start_line;
static long balance[ROWS]; /* guarded by the rows, and by nothing else */

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

/* Moves one from a row to another, in whatever order they come; begins anew after a
 * deadlock. Now and then adds all up. */
static void *move(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    int deadlocks = 0;

    (void)pthread_barrier_wait(&start_line);
    for (int i = 0; i < ROUNDS; i++) {
        int from = (int)(next_random(&seed) % ROWS), to = (int)(next_random(&seed) % ROWS);
        int r = 0;

        if (i % 50 == 0) {
            long sum = 0;

            r = brood_lock_table_acquire_table(table, i % 100 == 0 ? S : X, BROOD_FOREVER,
                                               NULL);
            INSIST(r == 0, "%d", r);
            for (int k = 0; k < ROWS; k++)
                sum += balance[k];
            INSIST(sum == 0, "%ld", sum);
            INSIST(brood_lock_table_release_table(table) == 0, "table");
            continue;
        }
        r = acquire(from, next_random(&seed) % 2 == 0 ? S : X, BROOD_FOREVER);
        INSIST(r == 0 || r == -EDEADLK, "%d", r);
        if (i % 4 == 0)
            (void)sched_yield(); /* else one is through before the next begins */
        if (r == 0) {
            r = acquire(to, X, BROOD_FOREVER);
            INSIST(r == 0 || r == -EDEADLK, "%d", r);
        }
        if (r == 0) {
            r = acquire(from, X, BROOD_FOREVER);
            INSIST(r == 0 || r == -EDEADLK, "%d", r);
        }
        if (r == 0) {
            balance[from]--;
            balance[to]++;
        } else {
            deadlocks++;
        }
        (void)brood_lock_table_release_all(table);
    }
    *(unsigned *)argument = (unsigned)deadlocks;
    return NULL;
}

static void threads_move_and_lose_nothing(void **state)
{
    pthread_t threads[WORKERS];
    unsigned seeds[WORKERS], deadlocks = 0;
    long sum = 0;

    (void)state;
    make_table(0, 0);
    memset(balance, 0, sizeof balance);
    assert_int_equal(pthread_barrier_init(&start_line, NULL, WORKERS), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        seeds[i] = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, move, &seeds[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < ROWS; i++)
        sum += balance[i];
    assert_int_equal(sum, 0);
    for (int i = 0; i < WORKERS; i++)
        deadlocks += seeds[i];
    assert_true(deadlocks > 0);
    assert_int_equal(brood_lock_table_count(table), 0);
    assert_int_equal(waiting_count(), 0);
    end_table();
}

static const struct test_case cases[] = {
    TEST_CASE(refuses_bad_arguments),
    TEST_CASE(acquires_and_releases),
    TEST_CASE(compares_keys_whole),
    TEST_CASE(counts_acquisitions),
    TEST_CASE(joins_table_modes_and_intentions),
    TEST_CASE(says_when_it_is_full_and_loses_nothing),
    TEST_CASE(takes_any_number_of_keys),
    TEST_CASE(says_who_has_a_row),
    TEST_CASE(threads_share_as_the_matrix_says),
    TEST_CASE(threads_convert_as_the_matrix_says),
    TEST_CASE(threads_with_rows_keep_others_from_the_table),
    TEST_CASE(threads_get_a_row_in_order),
    TEST_CASE(thread_that_has_it_shared_goes_first),
    TEST_CASE(thread_that_gives_up_lets_others_pass),
    TEST_CASE(threads_hear_of_a_full_table_while_others_wait),
    TEST_CASE(threads_in_a_cycle_of_two_are_told),
    TEST_CASE(threads_in_a_cycle_of_many_are_told),
    TEST_CASE(threads_that_both_want_more_are_told),
    TEST_CASE(threads_in_a_cycle_through_the_table_are_told),
    TEST_CASE(threads_behind_one_who_waits_are_in_cycles_too),
    TEST_CASE(thread_that_ends_leaves_a_mark),
    TEST_CASE(thread_that_ends_with_the_table_marks_it_all),
    TEST_CASE(thread_that_has_the_table_hears_of_marked_rows),
    TEST_CASE(thread_that_waits_gets_what_the_dead_had),
    TEST_CASE(threads_put_marked_rows_right_in_a_full_table),
    TEST_CASE(dying_inside_leaves_the_truth),
    TEST_CASE_LIMIT(threads_move_and_lose_nothing, 60),
};
TEST_SUITE(lock_table, cases)
