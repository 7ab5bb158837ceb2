/*
 * The heap: after a kill at any instruction of any of its operations its row of blocks is
 * whole, and after a reclaim as much is allocated as before the operation or after it.
 */
#include "step.h"

#include "shm/heap.h"
#include "shm/presence.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES 200
#define BLOCK_BYTES 224 /* with the header, in units of 16 */
#define HALF 96         /* half such a block, for those that are to be split */
#define HALF_BYTES 112
#define COUNT 6

static void *blocks[COUNT];
static int64_t dead_bytes; /* allocated, and a dead process's */

static void make_nothing(void)
{
    assert_int_equal(brood__enter(step_header), 0);
    dead_bytes = 0;
}

/* Some blocks, with every other one free again. */
static void make_holes(void)
{
    make_nothing();
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(brood_shared_alloc(step_shared, BYTES, 0, &blocks[i]), 0);
    for (int i = 0; i < COUNT; i += 2)
        assert_int_equal(brood_shared_free(step_shared, blocks[i]), 0);
}

/* Blocks of a process that is dead, one behind the other, after one of the stage's. */
static void die_with_blocks(void)
{
    uint64_t before = step_used();
    pid_t pid = fork();

    if (pid == 0) {
        bool well = true;

        for (int i = 1; i < COUNT; i++)
            well = well &&
                   brood_shared_alloc(step_shared, BYTES, BROOD_ALLOC_OWNED, &blocks[i]) == 0;
        _exit(!well);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    dead_bytes = (int64_t)(step_used() - before);
    assert_int_equal(dead_bytes, (COUNT - 1) * BLOCK_BYTES);
}

static void make_dead(void)
{
    make_nothing();
    assert_int_equal(brood_shared_alloc(step_shared, BYTES, 0, &blocks[0]), 0);
    die_with_blocks();
}

/* The same, and nothing is free but what comes back from the dead. */
static void make_dead_and_full(void)
{
    uint64_t all = atomic_load(&step_header->bytes) - step_header->heap_start;
    void *rest;

    make_nothing();
    assert_int_equal(
        brood_shared_alloc(step_shared, (size_t)all - (COUNT - 1) * BLOCK_BYTES - 16, 0, &rest),
        0);
    die_with_blocks();
    assert_int_equal(step_used(), all);
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static void allocate(int who)
{
    void *got = NULL;

    if (brood_shared_alloc(step_shared, HALF, 0, &got) == 0)
        atomic_store(&step_notes->number[who], (int64_t)brood_shared_place(step_shared, got));
}

static void allocate_owned(int who)
{
    void *got = NULL;

    if (brood_shared_alloc(step_shared, HALF, BROOD_ALLOC_OWNED, &got) == 0)
        atomic_store(&step_notes->number[who], (int64_t)brood_shared_place(step_shared, got));
}

static void allocate_line(int who)
{
    void *got = NULL;

    if (brood__heap_alloc(step_header, BYTES, true, &got) == 0)
        atomic_store(&step_notes->number[who], (int64_t)brood_shared_place(step_shared, got));
}

static void allocate_much(int who)
{
    void *got = NULL;

    if (brood_shared_alloc(step_shared, 12000, BROOD_ALLOC_OWNED, &got) == 0)
        atomic_store(&step_notes->number[who], (int64_t)brood_shared_place(step_shared, got));
}

static void free_one(int who)
{
    (void)brood_shared_free(step_shared, blocks[1 + 2 * who]);
}

/* Free on both sides. */
static void free_between(int who)
{
    (void)brood_shared_free(step_shared, blocks[3]);
    (void)who;
}

static void keep_own(int who)
{
    void *got = (void *)(intptr_t)atomic_load(&step_notes->number[8]);

    (void)who;
    (void)brood_shared_keep(step_shared, got);
}

static void allocate_to_keep(int who)
{
    void *got = NULL;

    (void)who;
    (void)brood_shared_alloc(step_shared, BYTES, BROOD_ALLOC_OWNED, &got);
    atomic_store(&step_notes->number[8], (int64_t)(intptr_t)got);
}

static void grow(int who)
{
    (void)brood_shared_grow(step_shared, (size_t)step_header->bytes + 4096 * (1 + (size_t)who));
}

static void reclaim(int who)
{
    (void)who;
    (void)brood_shared_reclaim(step_shared);
}

/* As much as before, or `change` more, which it must be when all was done. */
static const char *before_or_after(bool done, int64_t change)
{
    int64_t more;

    if (brood__heap_check(step_header) < 0)
        return "the heap is not sound";
    (void)brood_shared_reclaim(step_shared);
    more = (int64_t)(step_used() - step_used_before()) + dead_bytes;
    if (more != change && (done || more != 0))
        return step_wrong("%lld bytes more are allocated, not %lld", (long long)more,
                          (long long)change);
    return step_heap_wrong((uint64_t)(more - dead_bytes));
}

static const char *check_allocated(const struct step_death *death)
{
    return before_or_after(death->done[0], HALF_BYTES);
}

static const char *check_kept_own(const struct step_death *death)
{
    return before_or_after(death->done[0], BLOCK_BYTES);
}

/* What a dead process owned is gone in any case. */
static const char *check_as_before(const struct step_death *death)
{
    (void)death;
    return before_or_after(true, 0);
}

static const char *check_freed(const struct step_death *death)
{
    return before_or_after(death->done[0], -BLOCK_BYTES);
}

static const char *check_grown(const struct step_death *death)
{
    uint64_t bytes = atomic_load(&step_header->bytes);

    if (death->done[0] && bytes < step_header->heap_start + 8192 + 4096)
        return "not grown";
    return before_or_after(true, 0);
}

static void single(const char *name, void (*setup)(void), void (*begin)(int who),
                   void (*operate)(int who),
                   const char *(*look)(const struct step_death *death))
{
    struct step_scenario scenario = {
        .name = name, .setup = setup, .begin = begin, .operate = operate, .check = look
    };

    step_single(&scenario);
}

static void alloc(void **state)
{
    (void)state;
    single("heap, alloc", make_holes, enter, allocate, check_allocated);
}

static void alloc_owned(void **state)
{
    (void)state;
    single("heap, alloc owned", make_holes, enter, allocate_owned, check_as_before);
}

static void alloc_line(void **state)
{
    (void)state;
    single("heap, alloc aligned", make_holes, enter, allocate_line, check_as_before);
}

static void alloc_that_reclaims(void **state)
{
    (void)state;
    single("heap, alloc that reclaims", make_dead_and_full, enter, allocate_owned,
           check_as_before);
}

static void alloc_that_grows(void **state)
{
    (void)state;
    single("heap, alloc that grows", make_holes, enter, allocate_much, check_as_before);
}

static void freeing(void **state)
{
    (void)state;
    single("heap, free", make_holes, enter, free_one, check_freed);
}

static void freeing_between(void **state)
{
    (void)state;
    single("heap, free between free ones", make_holes, enter, free_between, check_freed);
}

static void keep(void **state)
{
    (void)state;
    single("heap, keep", make_holes, allocate_to_keep, keep_own, check_kept_own);
}

static void growing(void **state)
{
    (void)state;
    single("heap, grow", make_holes, enter, grow, check_grown);
}

static void reclaiming(void **state)
{
    (void)state;
    single("heap, reclaim", make_dead, enter, reclaim, check_as_before);
}

/* ---- pairs ---- */

/* One of them ran to its end; the other's block may be there or not. */
static const char *check_pair(const struct step_death *death)
{
    int64_t more;

    if (!death->done[!death->killed])
        return "the other one did not come to its end";
    if (brood__heap_check(step_header) < 0)
        return "the heap is not sound";
    (void)brood_shared_reclaim(step_shared);
    more = (int64_t)(step_used() - step_used_before()) + dead_bytes;
    if (more < -2 * BLOCK_BYTES || more > 2 * BLOCK_BYTES || more % HALF_BYTES != 0)
        return step_wrong("%lld bytes more are allocated", (long long)more);
    return step_heap_wrong((uint64_t)(more - dead_bytes));
}

static void alloc_or_free(int who)
{
    if (who == 0)
        allocate(0);
    else
        free_one(1);
}

static void keep_or_reclaim(int who)
{
    if (who == 0)
        atomic_store(&step_notes->number[0],
                     1 + brood_shared_keep(step_shared, (char *)blocks[0] + BLOCK_BYTES));
    else
        reclaim(1);
}

static void alloc_or_grow(int who)
{
    if (who == 0)
        allocate_owned(0);
    else
        grow(1);
}

/* Who was told that it is kept has it. */
static const char *check_kept(const struct step_death *death)
{
    int64_t kept = atomic_load(&step_notes->number[0]);
    int64_t more;

    if (!death->done[!death->killed])
        return "the other one did not come to its end";
    if (brood__heap_check(step_header) < 0)
        return "the heap is not sound";
    (void)brood_shared_reclaim(step_shared);
    more = (int64_t)(step_used() - step_used_before()) + dead_bytes;
    if (more != BLOCK_BYTES && (kept == 1 || more != 0))
        return step_wrong("keep said %lld, and %lld bytes are kept", (long long)kept - 1,
                          (long long)more);
    return step_heap_wrong((uint64_t)(more - dead_bytes));
}

static void pairs(const char *name, void (*setup)(void), void (*operate)(int who),
                  const char *(*look)(const struct step_death *death))
{
    struct step_scenario scenario = {
        .name = name, .setup = setup, .begin = enter, .operate = operate, .check = look
    };

    step_pairs(&scenario);
}

static void two_allocs(void **state)
{
    (void)state;
    pairs("heap, alloc", make_holes, allocate, check_pair);
}

static void alloc_and_free(void **state)
{
    (void)state;
    pairs("heap, alloc and free", make_holes, alloc_or_free, check_pair);
}

static void alloc_and_grow(void **state)
{
    (void)state;
    pairs("heap, alloc and grow", make_dead_and_full, alloc_or_grow, check_pair);
}

/* The block is a dead process's: one comes to keep it, the other to take it back. */
static void keep_and_reclaim(void **state)
{
    (void)state;
    pairs("heap, keep and reclaim", make_dead, keep_or_reclaim, check_kept);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(alloc, 1800),
    TEST_CASE_LIMIT(alloc_owned, 1800),
    TEST_CASE_LIMIT(alloc_line, 1800),
    TEST_CASE_LIMIT(alloc_that_reclaims, 1800),
    TEST_CASE_LIMIT(alloc_that_grows, 1800),
    TEST_CASE_LIMIT(freeing, 1800),
    TEST_CASE_LIMIT(freeing_between, 1800),
    TEST_CASE_LIMIT(keep, 1800),
    TEST_CASE_LIMIT(growing, 1800),
    TEST_CASE_LIMIT(reclaiming, 1800),
    TEST_CASE_LIMIT(two_allocs, 1800),
    TEST_CASE_LIMIT(alloc_and_free, 1800),
    TEST_CASE_LIMIT(alloc_and_grow, 1800),
    TEST_CASE_LIMIT(keep_and_reclaim, 1800),
};
TEST_SUITE(crash_heap, cases)
