/*
 * Maps: each change is there as a whole or not at all, all other entries are as they were,
 * and when the map is destroyed no memory is missing.
 */
#include "step.h"

#include "shm/presence.h"
#include "typed/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OTHERS 3 /* entries that are never changed */
#define BYTES 65536

static brood_map *map;
static uint64_t used_without; /* by the heap, without the map */
static int fill_count;        /* further entries */

static void make(void)
{
    brood_map_options options = BROOD_MAP_OPTIONS_INIT;

    options.lock_records_max = 8;
    options.lock_key_bytes_max = 8;
    fill_count = 0;
    assert_int_equal(brood__enter(step_header), 0);
    used_without = step_used();
    assert_int_equal(brood_map_create(step_shared, &options, &map), 0);
    for (int i = 0; i < OTHERS; i++)
        assert_int_equal(brood_map_put(map, &i, sizeof i, "other", 5), 0);
}

static void make_with_old(void)
{
    make();
    assert_int_equal(brood_map_put(map, "key", 3, "old", 3), 0);
}

static uint64_t buckets(void)
{
    uint64_t count = 0;

    for (int i = 0; i < BROOD__MAP_PARTS; i++)
        count += atomic_load(&map->parts[i].bucket_count);
    return count;
}

static int fill(int i)
{
    char key[16];

    (void)snprintf(key, sizeof key, "fill %d", i);
    return brood_map_put(map, key, strlen(key), "filled", 6);
}

/* So full that the next one makes a part larger. */
static void make_full(void)
{
    size_t bytes = (size_t)atomic_load(&step_header->bytes);
    void *before = malloc(bytes);
    uint64_t at_first;

    make();
    at_first = buckets();
    assert_non_null(before);
    for (;; fill_count++) {
        assert_int_equal(atomic_load(&step_header->bytes), bytes);
        memcpy(before, step_header, bytes);
        assert_int_equal(fill(fill_count), 0);
        if (buckets() != at_first)
            break;
    }
    memcpy(step_header, before, bytes);
    free(before);
}

static void enter(int who)
{
    (void)who;
    (void)brood__enter(step_header);
}

static void put_new(int who)
{
    (void)who;
    (void)brood_map_put(map, "key", 3, "new", 3);
}

static void put_one_more(int who)
{
    (void)who;
    (void)fill(fill_count);
}

static void remove_it(int who)
{
    (void)who;
    (void)brood_map_remove(map, "key", 3);
}

static int make_new(void *bytes, size_t *bytes_count, size_t bytes_max, void *user)
{
    (void)bytes_max, (void)user;
    memcpy(bytes, "new", 3);
    *bytes_count = 3;
    return 0;
}

static void update_it(int who)
{
    (void)who;
    (void)brood_map_update(map, "key", 3, 16, make_new, NULL, BROOD_FOREVER);
}

static void clear_it(int who)
{
    (void)who;
    (void)brood_map_clear(map);
}

static void lock_key(int who)
{
    (void)who;
    (void)brood_map_acquire(map, "key", 3, BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER);
    (void)brood_map_release(map, "key", 3);
}

/* ---- what is found ---- */

enum { ABSENT, OLD, NEW, ODD };

static int found(void)
{
    char bytes[8];
    size_t count = 0;
    int r = brood_map_get(map, "key", 3, bytes, sizeof bytes, &count);

    if (r == -ENOENT)
        return ABSENT;
    if (r != 0 || count != 3)
        return ODD;
    return memcmp(bytes, "old", 3) == 0 ? OLD : memcmp(bytes, "new", 3) == 0 ? NEW : ODD;
}

static int listed(void)
{
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    int count = 0, r;

    while ((r = brood_map_next(map, &cursor, NULL, 0, NULL, NULL, 0, NULL)) == 1)
        if (++count > 10000)
            return -ELOOP;
    return r < 0 ? r : count;
}

/* The others are there, all calls agree, and at the end no memory is missing. */
static const char *whole(int entries)
{
    int r;

    if (entries >= OTHERS)
        for (int i = 0; i < OTHERS; i++)
            if (brood_map_contains(map, &i, sizeof i) != 1)
                return step_wrong("entry %d is gone", i);
    for (int i = 0; i < fill_count; i++)
        if (fill(i) != 0)
            return step_wrong("cannot fill %d", i);
    if (brood_map_count(map) != entries || listed() != entries)
        return step_wrong("%d entries counted, %d listed, not %d", (int)brood_map_count(map),
                          listed(), entries);
    r = brood_map_put(map, "more", 4, "more", 4);
    if (r != 0 || brood_map_count(map) != entries + 1 || brood_map_remove(map, "more", 4) != 0)
        return step_wrong("cannot be changed: %d", r);
    r = brood_map_acquire(map, "key", 3, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT);
    if (r >= 0)
        r = brood_map_release(map, "key", 3);
    if (r == 0)
        r = brood_map_destroy(map);
    if (r < 0)
        return step_wrong("lock, or destroy: %d", r);
    return step_heap_wrong(used_without - step_used_before());
}

static const char *check_key(const struct step_death *death, int before, int after)
{
    int now = found();

    if (now != after && (death->done[0] || now != before))
        return step_wrong("found %d, not %d or %d", now, before, after);
    return whole(OTHERS + fill_count + (now != ABSENT));
}

static const char *check_put(const struct step_death *death)
{
    return check_key(death, ABSENT, NEW);
}

static const char *check_replaced(const struct step_death *death)
{
    return check_key(death, OLD, NEW);
}

static const char *check_removed(const struct step_death *death)
{
    return check_key(death, OLD, ABSENT);
}

static const char *check_same(const struct step_death *death)
{
    return check_key(death, OLD, OLD);
}

static const char *check_one_more(const struct step_death *death)
{
    int count = (int)brood_map_count(map);

    if (count != OTHERS + fill_count + 1 && (death->done[0] || count != OTHERS + fill_count))
        return step_wrong("%d entries", count);
    return whole(count);
}

static const char *check_cleared(const struct step_death *death)
{
    int count = (int)brood_map_count(map);

    if (count != 0 && (death->done[0] || count != OTHERS + 1))
        return step_wrong("%d entries", count);
    return whole(count);
}

static void single(const char *name, void (*setup)(void), void (*operate)(int who),
                   const char *(*check)(const struct step_death *death))
{
    struct step_scenario scenario = { .name = name,
                                      .setup = setup,
                                      .begin = enter,
                                      .operate = operate,
                                      .check = check,
                                      .bytes = BYTES };

    step_single(&scenario);
}

static void putting(void **state)
{
    (void)state;
    single("map, put", make, put_new, check_put);
}

static void replacing(void **state)
{
    (void)state;
    single("map, replace", make_with_old, put_new, check_replaced);
}

static void removing(void **state)
{
    (void)state;
    single("map, remove", make_with_old, remove_it, check_removed);
}

static void growing(void **state)
{
    (void)state;
    single("map, put that grows", make_full, put_one_more, check_one_more);
}

static void updating(void **state)
{
    (void)state;
    single("map, update", make_with_old, update_it, check_replaced);
}

static void clearing(void **state)
{
    (void)state;
    single("map, clear", make_with_old, clear_it, check_cleared);
}

static void locking(void **state)
{
    (void)state;
    single("map, first lock of a key", make_with_old, lock_key, check_same);
}

static void destroy_it(int who)
{
    (void)who;
    (void)brood_map_destroy(map);
}

/* What one has begun another can end. */
static const char *check_destroyed(const struct step_death *death)
{
    int r = death->done[0] ? 0 : brood_map_destroy(map);

    if (r != 0 && r != -EINVAL)
        return step_wrong("destroy: %d", r);
    return step_heap_wrong(used_without - step_used_before());
}

static void destroying(void **state)
{
    (void)state;
    single("map, destroy", make_with_old, destroy_it, check_destroyed);
}

/* ---- pairs ---- */

static const char *check_pair(const struct step_death *death)
{
    int now = found();

    if (!death->done[!death->killed])
        return "the other one did not come to its end";
    if (now == ODD)
        return "something odd is there";
    return whole(OTHERS + (now != ABSENT));
}

static void put_or_remove(int who)
{
    if (who == 0)
        put_new(0);
    else
        remove_it(1);
}

static void pairs(const char *name, void (*operate)(int who))
{
    struct step_scenario scenario = { .name = name,
                                      .setup = make_with_old,
                                      .begin = enter,
                                      .operate = operate,
                                      .check = check_pair,
                                      .bytes = BYTES };

    step_pairs(&scenario);
}

static void two_puts(void **state)
{
    (void)state;
    pairs("map, replace", put_new);
}

static void put_and_remove(void **state)
{
    (void)state;
    pairs("map, replace and remove", put_or_remove);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(putting, 1800),  TEST_CASE_LIMIT(replacing, 600),
    TEST_CASE_LIMIT(removing, 1800), TEST_CASE_LIMIT(growing, 600),
    TEST_CASE_LIMIT(updating, 1800), TEST_CASE_LIMIT(clearing, 600),
    TEST_CASE_LIMIT(locking, 1800),  TEST_CASE_LIMIT(destroying, 600),
    TEST_CASE_LIMIT(two_puts, 1800), TEST_CASE_LIMIT(put_and_remove, 600),
};
TEST_SUITE(crash_map, cases)
