/*
 * The allocator of a segment: what is allocated does not overlap, what is freed comes back,
 * and the row of blocks is whole after every step. Method: allocate and free at random, fill
 * each allocation with a pattern of its own, and let brood__heap_check() walk the blocks.
 */
#include "test.h"

#include "shm/heap.h"
#include "shm/presence.h"
#include "shm/segment.h"

#include <brood/shared.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static brood_shared *segment_of(size_t bytes, size_t bytes_max)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    brood_shared *shared = NULL;

    options.bytes = bytes;
    options.bytes_max = bytes_max;
    options.members_max = 32;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    return shared;
}

static size_t used_of(brood_shared *shared)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;

    assert_int_equal(brood_shared_info_get(shared, &info), 0);
    return info.used_bytes;
}

static void *alloc(brood_shared *shared, size_t bytes)
{
    void *pointer = NULL;

    assert_int_equal(brood_shared_alloc(shared, bytes, 0, &pointer), 0);
    assert_int_equal((uintptr_t)pointer % 16, 0);
    return pointer;
}

struct piece {
    unsigned char *at;
    size_t bytes;
    unsigned char pattern;
};

static void fill(struct piece *piece, void *at, size_t bytes, unsigned char pattern)
{
    piece->at = at;
    piece->bytes = bytes;
    piece->pattern = pattern;
    memset(at, pattern, bytes);
}

static bool whole(const struct piece *piece)
{
    for (size_t i = 0; i < piece->bytes; i++)
        if (piece->at[i] != piece->pattern)
            return false;
    return true;
}

static size_t random_bytes(void)
{
    switch (rand() % 4) {
    case 0: return 1 + (size_t)rand() % 32;
    case 1: return 1 + (size_t)rand() % 300;
    case 2: return 1 + (size_t)rand() % 5000;
    default: return 1 + (size_t)rand() % 60000;
    }
}

static void keeps_its_pieces_apart(void **state)
{
    brood_shared *shared = segment_of(1 << 16, 1 << 26);
    struct piece pieces[200] = { 0 };
    size_t used = used_of(shared);

    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        struct piece *piece = &pieces[rand() % 200];

        if (piece->at == NULL) {
            size_t bytes = random_bytes();

            fill(piece, alloc(shared, bytes), bytes, (unsigned char)i);
        } else {
            assert_true(whole(piece));
            assert_int_equal(brood_shared_free(shared, piece->at), 0);
            piece->at = NULL;
        }
        if (i % 100 == 0)
            assert_true(brood__heap_check(shared->header) > 0);
    }
    for (int i = 0; i < 200; i++)
        if (pieces[i].at != NULL) {
            assert_true(whole(&pieces[i]));
            assert_int_equal(brood_shared_free(shared, pieces[i].at), 0);
        }
    assert_int_equal(used_of(shared), used);
    assert_int_equal(brood_shared_reclaim(shared), 0);
    assert_true(brood__heap_check(shared->header) > 0);
    brood_shared_detach(shared);
}

/* TestHeap of CPython: all that was allocated and freed makes one free block again. */
static void joins_what_was_freed(void **state)
{
    brood_shared *shared = segment_of(1 << 20, 1 << 20);
    void *pieces[500], *large = NULL;
    size_t free_bytes = (1 << 20) - 64 * 1024;

    (void)state;
    for (int i = 0; i < 500; i++)
        pieces[i] = alloc(shared, 1000);
    for (int i = 0; i < 500; i += 2)
        assert_int_equal(brood_shared_free(shared, pieces[i]), 0);
    for (int i = 499; i > 0; i -= 2)
        assert_int_equal(brood_shared_free(shared, pieces[i]), 0);
    assert_int_equal(brood_shared_alloc(shared, free_bytes, 0, &large), 0);
    assert_int_equal(brood_shared_free(shared, large), 0);
    assert_true(brood__heap_check(shared->header) > 0);
    brood_shared_detach(shared);
}

static void says_when_it_is_full(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 18);
    void *pointer = NULL, *untouched = &pointer;
    int count = 0, r;

    (void)state;
    assert_int_equal(brood_shared_alloc(shared, 1 << 20, 0, &untouched), -ENOSPC);
    assert_ptr_equal(untouched, &pointer);
    while ((r = brood_shared_alloc(shared, 1000, 0, &pointer)) == 0)
        count++;
    assert_int_equal(r, -ENOSPC);
    assert_true(count > 200); /* it has grown to bytes_max */
    assert_int_equal(brood_shared_free(shared, pointer), 0);
    assert_int_equal(brood_shared_alloc(shared, 1000, 0, &pointer), 0);
    assert_true(brood__heap_check(shared->header) > 0);
    brood_shared_detach(shared);
}

/* What is free at the end and what may be added to it make one piece. */
static void grows_to_all_that_it_may_have(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 20);
    void *pointer = alloc(shared, (1 << 20) - (1 << 15));

    (void)state;
    memset(pointer, 1, (1 << 20) - (1 << 15));
    assert_int_equal(brood_shared_free(shared, pointer), 0);
    assert_true(brood__heap_check(shared->header) > 0);
    brood_shared_detach(shared);
}

static void refuses_what_it_did_not_give(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 20);
    unsigned char *pointer = alloc(shared, 500);
    void *out = NULL;
    int local = 0;

    (void)state;
    memset(pointer, 0xff, 500);
    assert_int_equal(brood_shared_free(shared, pointer + 16), -EINVAL);
    assert_int_equal(brood_shared_free(shared, pointer + 1), -EINVAL);
    assert_int_equal(brood_shared_free(shared, &local), -EINVAL);
    assert_int_equal(brood_shared_keep(shared, &local), -EINVAL);
    assert_int_equal(brood_shared_keep(shared, NULL), -EINVAL);
    assert_int_equal(brood_shared_free(shared, NULL), 0);
    assert_int_equal(brood_shared_free(shared, pointer), 0);
    assert_int_equal(brood_shared_free(shared, pointer), -EINVAL);
    assert_int_equal(brood_shared_alloc(shared, 0, 0, &out), -EINVAL);
    assert_int_equal(brood_shared_alloc(shared, 1, 1u << 30, &out), -EINVAL);
    assert_int_equal(brood_shared_alloc(shared, 1, 0, NULL), -EINVAL);
    assert_int_equal(brood_shared_alloc(shared, SIZE_MAX, 0, &out), -EINVAL);
    assert_int_equal(brood_shared_alloc(shared, SIZE_MAX / 2, 0, &out), -EINVAL);
    assert_true(brood__heap_check(shared->header) > 0);
    brood_shared_detach(shared);
}

static void zeroes_when_asked(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 20);
    unsigned char *pointer = alloc(shared, 333);
    void *again = NULL;

    (void)state;
    memset(pointer, 0xaa, 333);
    assert_int_equal(brood_shared_free(shared, pointer), 0);
    assert_int_equal(brood_shared_alloc(shared, 333, BROOD_ALLOC_ZERO, &again), 0);
    for (int i = 0; i < 333; i++)
        assert_int_equal(((unsigned char *)again)[i], 0);
    brood_shared_detach(shared);
}

static void aligns_objects_to_lines(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 22);

    (void)state;
    for (size_t bytes = 1; bytes < 700; bytes += 13) {
        void *line = NULL, *odd = alloc(shared, bytes);

        assert_int_equal(brood__enter(shared->header), 0);
        assert_int_equal(brood__heap_alloc(shared->header, bytes, true, &line), 0);
        assert_int_equal((uintptr_t)line % 64, 0);
        assert_true(brood__heap_bytes(shared->header, line) >= bytes);
        if (bytes % 2 == 0)
            assert_int_equal(brood_shared_free(shared, odd), 0);
    }
    assert_true(brood__heap_check(shared->header) > 0);
    brood_shared_detach(shared);
}

/* Owned memory goes with its process, kept memory stays. */
static void takes_back_what_the_dead_owned(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 20);
    uint64_t *kept_place = alloc(shared, sizeof *kept_place);
    size_t used = used_of(shared);
    int status = 0;
    pid_t pid;

    (void)state;
    *kept_place = 0;
    pid = fork();
    if (pid == 0) {
        void *pointer = NULL;

        for (int i = 0; i < 10; i++)
            if (brood_shared_alloc(shared, 100, BROOD_ALLOC_OWNED, &pointer) < 0)
                _exit(1);
        *kept_place = brood_shared_place(shared, pointer);
        (void)brood_shared_keep(shared, pointer);
        _exit(brood_shared_reclaim(shared) == 0 ? 0 : 2); /* nobody has died yet */
    }
    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(brood_shared_reclaim(shared), 9);
    assert_int_equal(brood_shared_reclaim(shared), 0);
    assert_true(used_of(shared) > used);
    assert_int_equal(brood_shared_free(shared, brood_shared_at(shared, *kept_place)), 0);
    assert_int_equal(used_of(shared), used);
    brood_shared_detach(shared);
}

/* An owner whose thread has ended lives on in the other threads of its process. */
static void *own_some(void *argument)
{
    void *pointer = NULL;

    INSIST(brood_shared_alloc(argument, 50, BROOD_ALLOC_OWNED, &pointer) == 0, "no memory");
    return pointer;
}

/* One keeps what another one, who dies, owned, while a third takes such things back. */
static void what_is_kept_is_not_taken_back(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 20);
    void *_Atomic *told = alloc(shared, 16);
    pid_t taker = fork();

    (void)state;
    if (taker == 0)
        for (;;)
            (void)brood_shared_reclaim(shared);
    assert_true(taker > 1);
    for (int i = 0; i < 300; i++) {
        void *given;
        pid_t pid;

        atomic_store(told, NULL);
        pid = fork();
        if (pid == 0) {
            (void)brood_shared_alloc(shared, 100, BROOD_ALLOC_OWNED, &given);
            atomic_store(told, given);
            _exit(0);
        }
        assert_true(pid > 1);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        given = atomic_load(told);
        for (int pause = 0; pause < i % 64 * 20; pause++)
            __asm__ __volatile__("" ::: "memory");
        if (brood_shared_keep(shared, given) == 0)
            assert_int_equal(brood_shared_free(shared, given), 0);
        assert_true(brood__heap_check(shared->header) > 0);
    }
    assert_int_equal(kill(taker, SIGKILL), 0);
    assert_int_equal(waitpid(taker, NULL, 0), taker);
    brood_shared_detach(shared);
}

static void memory_of_an_ended_thread_stays(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 20);
    void *pointer = NULL, *second = NULL;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, own_some, shared), 0);
    assert_int_equal(pthread_join(thread, &pointer), 0);
    assert_int_equal(brood_shared_reclaim(shared), 0);
    assert_int_equal(pthread_create(&thread, NULL, own_some, shared), 0); /* in the same slot */
    assert_int_equal(pthread_join(thread, &second), 0);
    assert_int_equal(brood_shared_reclaim(shared), 0);
    assert_int_equal(brood_shared_free(shared, pointer), 0);
    assert_int_equal(brood_shared_free(shared, second), 0);
    brood_shared_detach(shared);
}

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)&seed;
    struct piece pieces[30] = { 0 };

    for (int i = 0; i < 5000; i++) {
        struct piece *piece = &pieces[rand_r(&seed) % 30];
        void *at = NULL;

        if (piece->at == NULL) {
            size_t bytes = 1 + (size_t)rand_r(&seed) % 400;

            INSIST(brood_shared_alloc(argument, bytes, 0, &at) == 0, "no memory");
            fill(piece, at, bytes, (unsigned char)rand_r(&seed));
        } else {
            INSIST(whole(piece), "overwritten");
            INSIST(brood_shared_free(argument, piece->at) == 0, "not freed");
            piece->at = NULL;
        }
    }
    for (int i = 0; i < 30; i++)
        INSIST(brood_shared_free(argument, pieces[i].at) == 0, "not freed");
    return NULL;
}

static void threads_share_it(void **state)
{
    brood_shared *shared = segment_of(1 << 17, 1 << 22);
    size_t used = used_of(shared);
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, shared), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(used_of(shared), used);
    assert_true(brood__heap_check(shared->header) > 0);
    brood_shared_detach(shared);
}

static const struct test_case cases[] = {
    TEST_CASE(keeps_its_pieces_apart),
    TEST_CASE(joins_what_was_freed),
    TEST_CASE(says_when_it_is_full),
    TEST_CASE(grows_to_all_that_it_may_have),
    TEST_CASE(refuses_what_it_did_not_give),
    TEST_CASE(zeroes_when_asked),
    TEST_CASE(aligns_objects_to_lines),
    TEST_CASE(takes_back_what_the_dead_owned),
    TEST_CASE(what_is_kept_is_not_taken_back),
    TEST_CASE(memory_of_an_ended_thread_stays),
    TEST_CASE(threads_share_it),
};
TEST_SUITE(heap, cases)
