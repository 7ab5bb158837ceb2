/*
 * Maps: entries, iteration, the locks of keys, memory given back, and what is left by one who
 * died half-way. Method: one process, and threads where two are needed; a death is acted by
 * leaving a part of the map as the dead one would have.
 */
#include "test.h"

#include "shm/heap.h"
#include "typed/block.h"
#include "typed/map.h"

#include <brood.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The segment that the case works in; made by the first who asks. */
static brood_shared *segment;

static brood_shared *here(void)
{
    if (segment == NULL)
        assert_int_equal(brood_shared_create(NULL, &segment), 0);
    return segment;
}

static void end(void)
{
    brood_shared_detach(segment);
}

static size_t used(void)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;

    assert_int_equal(brood_shared_info_get(here(), &info), 0);
    return info.used_bytes;
}

static brood_map *new_map(void)
{
    brood_map *map = NULL;

    assert_int_equal(brood_map_create(here(), NULL, &map), 0);
    assert_non_null(map);
    return map;
}

static void put(brood_map *map, int key, long value)
{
    assert_int_equal(brood_map_put(map, &key, sizeof key, &value, sizeof value), 0);
}

static long get(brood_map *map, int key)
{
    long value = -1;
    size_t bytes = 0;

    assert_int_equal(brood_map_get(map, &key, sizeof key, &value, sizeof value, &bytes), 0);
    assert_int_equal(bytes, sizeof value);
    return value;
}

static int has(brood_map *map, int key)
{
    return brood_map_contains(map, &key, sizeof key);
}

/* ---- entries ---- */

static void what_was_put_is_found(void **state)
{
    brood_map *map = new_map();
    char text[16];
    size_t bytes = 99;

    (void)state;
    assert_int_equal(brood_map_get(map, "pear", 4, text, sizeof text, &bytes), -ENOENT);
    assert_int_equal(brood_map_put(map, "pear", 4, "green", 5), 0);
    assert_int_equal(brood_map_put(map, "plum", 4, "blue", 4), 0);
    assert_int_equal(brood_map_get(map, "pear", 4, text, sizeof text, &bytes), 0);
    assert_int_equal(bytes, 5);
    assert_memory_equal(text, "green", 5);
    assert_int_equal(brood_map_put(map, "pear", 4, "yellowish", 9), 0);
    assert_int_equal(brood_map_get(map, "pear", 4, text, sizeof text, &bytes), 0);
    assert_int_equal(bytes, 9);
    assert_memory_equal(text, "yellowish", 9);
    assert_int_equal(brood_map_count(map), 2);
    assert_int_equal(brood_map_contains(map, "plum", 4), 1);
    assert_int_equal(brood_map_contains(map, "plu", 3), 0);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void add_leaves_what_is_there(void **state)
{
    brood_map *map = new_map();
    long one = 1, two = 2;
    int key = 5;

    (void)state;
    assert_int_equal(brood_map_add(map, &key, sizeof key, &one, sizeof one), 0);
    assert_int_equal(brood_map_add(map, &key, sizeof key, &two, sizeof two), -EEXIST);
    assert_int_equal(get(map, 5), 1);
    assert_int_equal(brood_map_count(map), 1);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void what_was_removed_is_gone(void **state)
{
    brood_map *map = new_map();
    int key = 3;

    (void)state;
    assert_int_equal(brood_map_remove(map, &key, sizeof key), -ENOENT);
    put(map, 3, 33);
    put(map, 4, 44);
    assert_int_equal(brood_map_remove(map, &key, sizeof key), 0);
    assert_int_equal(brood_map_remove(map, &key, sizeof key), -ENOENT);
    assert_int_equal(has(map, 3), 0);
    assert_int_equal(get(map, 4), 44);
    assert_int_equal(brood_map_count(map), 1);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

/* What ShareableList loses: zeros at the end, and lengths that are none of a text's. */
static void bytes_are_kept_as_they_are(void **state)
{
    brood_map *map = new_map();
    unsigned char key[300], value[5000], found[5000];
    size_t bytes;

    (void)state;
    memset(key, 0, sizeof key);
    for (size_t n = 1; n <= sizeof key; n++) {
        memset(value, 0, sizeof value);
        value[0] = (unsigned char)n;
        assert_int_equal(brood_map_put(map, key, n, value, n * 16), 0);
    }
    assert_int_equal(brood_map_put(map, "empty", 5, NULL, 0), 0);
    for (size_t n = 1; n <= sizeof key; n++) {
        memset(found, 0xff, sizeof found);
        assert_int_equal(brood_map_get(map, key, n, found, sizeof found, &bytes), 0);
        assert_int_equal(bytes, n * 16);
        assert_int_equal(found[0], (unsigned char)n);
        assert_int_equal(found[bytes - 1], 0);
        assert_int_equal(found[bytes], 0xff);
    }
    assert_int_equal(brood_map_get(map, "empty", 5, NULL, 0, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void a_value_that_does_not_fit_tells_its_size(void **state)
{
    brood_map *map = new_map();
    char small[4] = "abc";
    size_t bytes = 0;

    (void)state;
    assert_int_equal(brood_map_put(map, "k", 1, "12345678", 8), 0);
    assert_int_equal(brood_map_get(map, "k", 1, small, sizeof small, &bytes), -EMSGSIZE);
    assert_int_equal(bytes, 8);
    assert_string_equal(small, "abc");
    assert_int_equal(brood_map_get(map, "k", 1, NULL, 0, NULL), -EMSGSIZE);
    assert_int_equal(brood_map_contains(map, "k", 1), 1);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

#define MANY 100000

static void many_entries_come_and_go(void **state)
{
    brood_map *map = new_map();
    size_t before;

    (void)state;
    for (int i = 0; i < MANY; i++)
        put(map, i, i * 3L);
    assert_int_equal(brood_map_count(map), MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(get(map, i), i * 3L);
    for (int i = 0; i < MANY; i += 2)
        assert_int_equal(brood_map_remove(map, &i, sizeof i), 0);
    assert_int_equal(brood_map_count(map), MANY / 2);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(has(map, i), i % 2);
    before = used();
    for (int i = 0; i < MANY; i += 2)
        put(map, i, i);
    assert_true(used() > before);
    assert_int_equal(brood_map_count(map), MANY);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void a_million_entries(void **state)
{
    brood_map *map = new_map();

    (void)state;
    for (int i = 0; i < 1000000; i++)
        put(map, i, i);
    assert_int_equal(brood_map_count(map), 1000000);
    for (int i = 0; i < 1000000; i += 97)
        assert_int_equal(get(map, i), i);
    assert_int_equal(brood_map_clear(map), 0);
    assert_int_equal(brood_map_count(map), 0);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void clear_removes_all(void **state)
{
    brood_map *map = new_map();
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++)
            put(map, i, round);
        assert_int_equal(brood_map_count(map), 1000);
        assert_int_equal(brood_map_clear(map), 0);
        assert_int_equal(brood_map_count(map), 0);
        assert_int_equal(has(map, 7), 0);
        assert_int_equal(brood_map_next(map, &cursor, NULL, 0, NULL, NULL, 0, NULL), 0);
    }
    put(map, 1, 1);
    assert_int_equal(brood_map_count(map), 1);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

/* ---- iteration ---- */

static void each_entry_is_met_once(void **state)
{
    static unsigned char met[3000];
    brood_map *map = new_map();
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    int key, count = 0;
    long value;
    size_t key_bytes, value_bytes;

    (void)state;
    for (int i = 0; i < 3000; i++)
        put(map, i, i + 1L);
    while (brood_map_next(map, &cursor, &key, sizeof key, &key_bytes, &value, sizeof value,
                          &value_bytes) == 1) {
        assert_int_equal(key_bytes, sizeof key);
        assert_int_equal(value_bytes, sizeof value);
        assert_int_equal(value, key + 1);
        assert_int_equal(met[key]++, 0);
        count++;
    }
    assert_int_equal(count, 3000);
    assert_int_equal(brood_map_next(map, &cursor, NULL, 0, NULL, NULL, 0, NULL), 0);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

/* Keys under 1000 stay, though with new values; others come and go, and buckets are added. */
static void iteration_bears_changes(void **state)
{
    static unsigned char met[1000];
    brood_map *map = new_map();
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    int key, count = 0, fresh = 100000;

    (void)state;
    for (int i = 0; i < 2000; i++)
        put(map, i, i);
    while (brood_map_next(map, &cursor, &key, sizeof key, NULL, NULL, 0, NULL) == 1) {
        if (key < 1000) {
            assert_int_equal(met[key]++, 0);
            count++;
            put(map, key, -1);
        } else if (key < 2000) {
            assert_int_equal(brood_map_remove(map, &key, sizeof key), 0);
        }
        if (fresh < 110000)
            put(map, fresh++, 0);
    }
    assert_int_equal(count, 1000);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void an_entry_that_does_not_fit_is_not_passed_over(void **state)
{
    brood_map *map = new_map();
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    char key[8], value[8];
    size_t key_bytes = 0, value_bytes = 0;

    (void)state;
    assert_int_equal(brood_map_put(map, "long key", 8, "value", 5), 0);
    assert_int_equal(brood_map_next(map, &cursor, key, 4, &key_bytes, value, 8, &value_bytes),
                     -EMSGSIZE);
    assert_int_equal(key_bytes, 8);
    assert_int_equal(value_bytes, 5);
    assert_int_equal(brood_map_next(map, &cursor, key, 8, NULL, value, 4, NULL), -EMSGSIZE);
    assert_int_equal(brood_map_next(map, &cursor, key, 8, NULL, value, 8, NULL), 1);
    assert_memory_equal(key, "long key", 8);
    assert_memory_equal(value, "value", 5);
    assert_int_equal(brood_map_next(map, &cursor, NULL, 0, NULL, NULL, 0, NULL), 0);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

/* Puts a key as if its hash were another's. */
static void put_beside(brood_map *map, uint64_t order, int key, long value)
{
    struct brood__header *header = brood__object_header(&map->object);
    struct brood__map_target target = { &map->parts[0], order, &key, sizeof key };
    struct brood__map_entry *entry = NULL;
    struct brood__map_spot spot;

    assert_int_equal(brood__map_entry_alloc(header, &target, sizeof value, &entry), 0);
    memcpy(brood__map_value(entry), &value, sizeof value);
    assert_int_equal(brood__map_enter(map, target.part), 0);
    spot = brood__map_find(header, &target);
    brood__map_link(map, target.part, &spot, entry);
    brood__map_leave(target.part);
}

/* Keys of one hash: found each, met each once, also when the one just met is replaced. */
static void keys_of_one_hash_are_kept_apart(void **state)
{
    brood_map *map = new_map();
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    const uint64_t order = UINT64_C(0x123456789abcdef3);
    int key, met = 0;
    long value;

    (void)state;
    for (int i = 0; i < 20; i++)
        put_beside(map, order, i, i);
    put_beside(map, order, 7, 70);
    assert_int_equal(brood_map_count(map), 20);
    while (brood_map_next(map, &cursor, &key, sizeof key, NULL, &value, sizeof value, NULL) ==
           1) {
        assert_int_equal(key, met++);
        assert_int_equal(value, key == 7 ? 70 : key);
        put_beside(map, order, key, value);
    }
    assert_int_equal(met, 20);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

/* ---- updates and locks ---- */

static int count_one(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
{
    (void)user;
    assert_int_equal((uintptr_t)value % 16, 0);
    assert_true(value_bytes_max >= sizeof(long));
    *value_bytes = sizeof(long);
    ++*(long *)value;
    return 0;
}

static int append_letter(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
{
    if (*value_bytes < value_bytes_max)
        ((char *)value)[*value_bytes] = *(const char *)user;
    ++*value_bytes;
    return 0;
}

static int remove_it(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
{
    (void)value, (void)value_bytes, (void)value_bytes_max, (void)user;
    return BROOD_MAP_REMOVE;
}

static int say(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
{
    (void)value_bytes;
    memset(value, 0xee, value_bytes_max);
    return *(int *)user;
}

static int update(brood_map *map, const char *key, size_t max, brood_map_function *function,
                  void *user)
{
    return brood_map_update(map, key, strlen(key), max, function, user, BROOD_NOWAIT);
}

static void update_makes_a_new_value_of_the_old_one(void **state)
{
    brood_map *map = new_map();
    char text[8], letter;
    size_t bytes;
    long count = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(update(map, "counter", 100, count_one, NULL), 0);
    assert_int_equal(brood_map_get(map, "counter", 7, &count, sizeof count, &bytes), 0);
    assert_int_equal(bytes, sizeof count);
    assert_int_equal(count, 3);
    for (letter = 'a'; letter <= 'e'; letter++)
        assert_int_equal(update(map, "text", 5, append_letter, &letter), 0);
    assert_int_equal(update(map, "text", 5, append_letter, &letter), -EOVERFLOW);
    assert_int_equal(update(map, "text", 4, append_letter, &letter), -EMSGSIZE);
    assert_int_equal(brood_map_get(map, "text", 4, text, sizeof text, &bytes), 0);
    assert_int_equal(bytes, 5);
    assert_memory_equal(text, "abcde", 5);
    assert_int_equal(update(map, "text", 5, remove_it, NULL), 0);
    assert_int_equal(update(map, "text", 5, remove_it, NULL), 0);
    assert_int_equal(brood_map_contains(map, "text", 4), 0);
    assert_int_equal(brood_map_count(map), 1);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void an_update_that_fails_changes_nothing(void **state)
{
    brood_map *map = new_map();
    int cancelled = -ECANCELED, nonsense = 5;
    size_t before;
    long count = 0;

    (void)state;
    assert_int_equal(update(map, "k", 8, count_one, NULL), 0);
    before = used();
    assert_int_equal(update(map, "k", 64, say, &cancelled), -ECANCELED);
    assert_int_equal(update(map, "new", 64, say, &cancelled), -ECANCELED);
    assert_int_equal(update(map, "k", 64, say, &nonsense), -EINVAL);
    assert_int_equal(brood_map_get(map, "k", 1, &count, sizeof count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(brood_map_contains(map, "new", 3), 0);
    assert_int_equal(used(), before);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void keys_are_locked_one_by_one(void **state)
{
    brood_map_options options = BROOD_MAP_OPTIONS_INIT;
    brood_lock_table *locks = NULL;
    brood_map *map = NULL;

    (void)state;
    options.lock_records_max = 2;
    options.lock_key_bytes_max = 4;
    assert_int_equal(brood_map_create(here(), &options, &map), 0);
    assert_int_equal(brood_map_acquire(map, "a", 1, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT), 0);
    assert_int_equal(brood_map_acquire(map, "b", 1, BROOD_LOCK_SHARED, BROOD_NOWAIT), 0);
    assert_int_equal(brood_map_acquire(map, "c", 1, BROOD_LOCK_SHARED, BROOD_NOWAIT), -ENOSPC);
    assert_int_equal(brood_map_acquire(map, "abcde", 5, BROOD_LOCK_SHARED, BROOD_NOWAIT),
                     -EINVAL);
    assert_int_equal(brood_map_locks(map, &locks), 0);
    assert_int_equal(brood_lock_table_held(locks, "a", 1), BROOD_LOCK_EXCLUSIVE);
    assert_int_equal(brood_map_destroy(map), -EBUSY);
    assert_int_equal(brood_map_put(map, "a", 1, "x", 1), 0);
    assert_int_equal(brood_map_release(map, "a", 1), 0);
    assert_int_equal(brood_map_release(map, "a", 1), -EPERM);
    assert_int_equal(brood_map_release(map, "b", 1), 0);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

/* ---- mistakes, and memory ---- */

static void refuses_what_makes_no_sense(void **state)
{
    brood_map_options options = BROOD_MAP_OPTIONS_INIT;
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    brood_map *map = NULL;
    brood_value *value = NULL;
    char byte = 0;

    (void)state;
    options.lock_key_bytes_max = 1u << 30;
    assert_int_equal(brood_map_create(here(), &options, &map), -EINVAL);
    assert_int_equal(brood_map_create(here(), NULL, NULL), -EINVAL);
    map = new_map();
    assert_int_equal(brood_value_create(here(), 1, NULL, &value), 0);
    assert_int_equal(brood_map_put(map, NULL, 1, "x", 1), -EINVAL);
    assert_int_equal(brood_map_put(map, "k", 0, "x", 1), -EINVAL);
    assert_int_equal(brood_map_put(map, "k", 0x40000000, "x", 1), -EINVAL);
    assert_int_equal(brood_map_put(map, "k", 1, NULL, 1), -EINVAL);
    assert_int_equal(brood_map_put(map, "k", 1, "x", SIZE_MAX), -EINVAL);
    assert_int_equal(brood_map_get(map, "k", 1, NULL, 1, NULL), -EINVAL);
    assert_int_equal(brood_map_next(map, NULL, NULL, 0, NULL, NULL, 0, NULL), -EINVAL);
    assert_int_equal(brood_map_next(map, &cursor, NULL, 1, NULL, NULL, 0, NULL), -EINVAL);
    assert_int_equal(brood_map_update(map, "k", 1, 1, NULL, NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_map_update(map, "k", 1, 8, count_one, NULL, -3), -EINVAL);
    assert_int_equal(brood_map_locks(map, NULL), -EINVAL);
    assert_int_equal(brood_map_put((brood_map *)value, "k", 1, &byte, 1), -EINVAL);
    assert_int_equal(brood_map_count(NULL), -EINVAL);
    assert_int_equal(brood_map_clear((brood_map *)value), -EINVAL);
    assert_int_equal(brood_map_destroy((brood_map *)value), -EINVAL);
    assert_int_equal(brood_map_destroy(NULL), 0);
    assert_int_equal(brood_value_destroy(value), 0);
    assert_int_equal(brood_map_destroy(map), 0);
    assert_int_equal(brood_map_count(map), -EINVAL);
    end();
}

/* CPython's TestHeap: whatever was done, in the end all is as it was. */
static void all_memory_comes_back(void **state)
{
    size_t before = used(), empty;
    brood_map *map = new_map();
    unsigned seed = 1;
    char value[2000] = { 0 };

    (void)state;
    empty = used();
    for (int i = 0; i < 20000; i++) {
        int key = (int)((seed = seed * 1103515245 + 12345) / 65536 % 700);

        if (seed / 256 % 3 == 0)
            (void)brood_map_remove(map, &key, sizeof key);
        else
            assert_int_equal(brood_map_put(map, &key, sizeof key, value, seed / 4096 % 2000),
                             0);
    }
    for (int i = 0; i < 700; i++)
        (void)brood_map_remove(map, &i, sizeof i);
    assert_int_equal(brood_map_count(map), 0);
    /* What is left beside the map itself is buckets. */
    assert_true(used() - empty < 700 * 4 * sizeof(struct brood__map_node));
    assert_int_equal(brood_map_acquire(map, "k", 1, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT), 0);
    assert_int_equal(brood_map_release(map, "k", 1), 0);
    put(map, 1, 1);
    assert_int_equal(brood_map_destroy(map), 0);
    assert_int_equal(used(), before);
    end();
}

static void without_memory_all_stays_as_it_was(void **state)
{
    brood_shared_options options = BROOD_SHARED_OPTIONS_INIT;
    brood_shared *shared = NULL;
    brood_map *map = NULL;
    char big[4000] = { 0 };
    int stored = 0, r;

    (void)state;
    options.bytes = options.bytes_max = 512 * 1024;
    assert_int_equal(brood_shared_create(&options, &shared), 0);
    assert_int_equal(brood_map_create(shared, NULL, &map), 0);
    while ((r = brood_map_put(map, &stored, sizeof stored, big, sizeof big)) == 0)
        stored++;
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(brood_map_count(map), stored);
    assert_int_equal(has(map, stored), 0);
    assert_int_equal(brood_map_put(map, &(int){ 0 }, sizeof(int), big, sizeof big), -ENOSPC);
    assert_int_equal(brood_map_acquire(map, "k", 1, BROOD_LOCK_SHARED, BROOD_NOWAIT), -ENOSPC);
    for (int i = 0; i < stored; i++)
        assert_int_equal(brood_map_get(map, &i, sizeof i, big, sizeof big, NULL), 0);
    assert_int_equal(brood_map_clear(map), 0);
    assert_int_equal(brood_map_acquire(map, "k", 1, BROOD_LOCK_SHARED, BROOD_NOWAIT), 0);
    assert_int_equal(brood_map_release(map, "k", 1), 0);
    assert_int_equal(brood_map_destroy(map), 0);
    brood_shared_detach(shared);
    end();
}

/* ---- what the dead leave ---- */

/* What map_part.c relies on, of the heap: a block that is kept says so, and loses its first
 * word when it is freed. */
static void the_heap_marks_what_is_kept_and_overwrites_what_is_freed(void **state)
{
    struct brood__header *header;
    brood_map *map = new_map();

    (void)state;
    header = brood__object_header(&map->object);
    for (size_t bytes = 1; bytes < 3000; bytes += 37) {
        void *memory = NULL, *guard = NULL;
        uint64_t tag = UINT64_MAX;

        assert_int_equal(brood__heap_alloc(header, bytes, false, &memory), 0);
        assert_int_equal(brood__heap_alloc(header, 16, false, &guard), 0);
        assert_false(brood__block_kept(header, memory));
        assert_int_equal(brood__heap_keep(header, memory), 0);
        assert_true(brood__block_kept(header, memory));
        memcpy(memory, &tag, sizeof tag);
        assert_int_equal(brood__heap_free(header, memory), 0);
        assert_false(brood__block_kept(header, memory));
        memcpy(&tag, memory, sizeof tag);
        assert_true(tag < UINT64_C(1) << 63);
        assert_int_equal(brood__heap_free(header, guard), 0);
    }
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

enum half { NAMED_FRESH, KEPT_FRESH, LINKED_FRESH, NAMED_STALE, UNLINKED_STALE, FREED_STALE };

struct half_way {
    brood_map *map;
    enum half where;
};

static void half_put(brood_map *map, struct brood__header *header, enum half where)
{
    int key = 2;
    struct brood__map_target target = brood__map_target_of(map, &key, sizeof key);
    struct brood__map_entry *entry = NULL;
    struct brood__map_spot spot;
    long value = 2;

    INSIST(brood__map_entry_alloc(header, &target, sizeof value, &entry) == 0, "alloc");
    memcpy(brood__map_value(entry), &value, sizeof value);
    INSIST(brood__map_enter(map, target.part) == 0, "enter");
    spot = brood__map_find(header, &target);
    entry->tag = UINT64_MAX;
    entry->serial = 1000;
    entry->node.next = spot.before->next;
    target.part->fresh.tag = UINT64_MAX;
    target.part->fresh.order = target.order;
    target.part->fresh.place = brood__map_place(header, entry);
    if (where >= KEPT_FRESH)
        INSIST(brood__heap_keep(header, entry) == 0, "keep");
    if (where >= LINKED_FRESH)
        spot.before->next = brood__map_place(header, &entry->node);
}

static void half_remove(brood_map *map, struct brood__header *header, enum half where)
{
    int key = 1;
    struct brood__map_target target = brood__map_target_of(map, &key, sizeof key);
    struct brood__map_spot spot;

    INSIST(brood__map_enter(map, target.part) == 0, "enter");
    spot = brood__map_find(header, &target);
    target.part->stale.tag = spot.found->tag;
    target.part->stale.order = target.order;
    target.part->stale.place = brood__map_place(header, spot.found);
    if (where >= UNLINKED_STALE)
        spot.before->next = spot.found->node.next;
    if (where >= FREED_STALE)
        INSIST(brood__heap_free(header, spot.found) == 0, "free");
}

/* Ends with the part's mutex, as if killed there. */
static void *stop_half_way(void *argument)
{
    const struct half_way *half = argument;
    struct brood__header *header = brood__object_header(&half->map->object);

    INSIST(brood__enter(header) == 0, "enter");
    if (half->where <= LINKED_FRESH)
        half_put(half->map, header, half->where);
    else
        half_remove(half->map, header, half->where);
    return NULL;
}

static void leave_half_way(brood_map *map, enum half where)
{
    struct half_way half = { map, where };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_half_way, &half), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* The thread's process lives on, so what it never kept is its process's still. */
static void a_thread_that_ends_half_way_is_cleaned_up_after(void **state)
{
    static const struct {
        enum half where;
        int has_1, has_2;
    } all[] = {
        { NAMED_FRESH, 1, 0 }, { KEPT_FRESH, 1, 0 },     { LINKED_FRESH, 1, 1 },
        { NAMED_STALE, 1, 0 }, { UNLINKED_STALE, 0, 0 }, { FREED_STALE, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t before = used(), with_one, without;
        brood_map *map = new_map();

        without = used();
        put(map, 1, 1);
        with_one = used() - without;
        leave_half_way(map, all[i].where);
        assert_int_equal(has(map, 1), all[i].has_1);
        assert_int_equal(has(map, 2), all[i].has_2);
        assert_int_equal(brood_map_count(map), all[i].has_1 + all[i].has_2);
        if (all[i].where != NAMED_FRESH)
            assert_int_equal(used() - without,
                             (size_t)(all[i].has_1 + all[i].has_2) * with_one);
        put(map, 1, 10);
        put(map, 2, 20);
        assert_int_equal(get(map, 1) + get(map, 2), 30);
        assert_int_equal(brood_map_count(map), 2);
        assert_int_equal(brood_map_destroy(map), 0);
        if (all[i].where != NAMED_FRESH)
            assert_int_equal(used(), before);
    }
    end();
}

/* The block of a stale entry was freed, and is somebody else's by the time of the repair. */
static void what_was_freed_is_not_freed_again_after_a_thread_ends(void **state)
{
    brood_map *map = new_map();
    struct brood__header *header = brood__object_header(&map->object);
    void *taken[64];
    int key = 1, count = 0;
    struct brood__map_target target = brood__map_target_of(map, &key, sizeof key);
    uint64_t place;

    (void)state;
    put(map, 1, 1);
    leave_half_way(map, FREED_STALE);
    place = target.part->stale.place;
    do { /* some allocation gets that very block, and leaves in it what was there */
        assert_true(count < 64);
        assert_int_equal(brood__heap_alloc(header, 72, false, &taken[count]), 0);
        assert_int_equal(brood__heap_keep(header, taken[count]), 0);
        count++;
    } while (brood__map_place(header, taken[count - 1]) != place);
    assert_int_equal(has(map, 1), 0);
    while (count > 0)
        assert_int_equal(brood__heap_free(header, taken[--count]), 0);
    assert_true(brood__heap_check(header) > 0);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 3000

struct worker {
    brood_map *map;
    int number;
};

static void *work_on_all_keys(void *argument)
{
    const struct worker *worker = argument;
    unsigned seed = (unsigned)worker->number;

    for (int i = 0; i < ROUNDS; i++) {
        int key = (int)((seed = seed * 1103515245 + 12345) / 65536 % 50), r;
        long row[20];
        size_t bytes;

        for (int k = 0; k < 20; k++)
            row[k] = i;
        if (seed / 256 % 4 == 0)
            r = brood_map_remove(worker->map, &key, sizeof key);
        else
            r = brood_map_put(worker->map, &key, sizeof key, row, 8 + seed / 4096 % 19 * 8);
        INSIST(r == 0 || r == -ENOENT, "%d", r);
        r = brood_map_get(worker->map, &key, sizeof key, row, sizeof row, &bytes);
        INSIST(r == 0 || r == -ENOENT, "%d", r);
        if (r == 0)
            for (size_t k = 1; k < bytes / 8; k++)
                INSIST(row[k] == row[0], "%ld and %ld", row[k], row[0]);
        if (i % 100 == 0)
            INSIST(brood_map_count(worker->map) <= 50, "count");
    }
    return NULL;
}

static void *count_for_all(void *argument)
{
    const struct worker *worker = argument;

    for (int i = 0; i < ROUNDS; i++) {
        int key = i % 5, r;

        r = brood_map_update(worker->map, &key, sizeof key, sizeof(long), count_one, NULL,
                             BROOD_FOREVER);
        INSIST(r == 0, "%d", r);
    }
    return NULL;
}

static void run_threads(brood_map *map, void *(*body)(void *))
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ map, i };
        assert_int_equal(pthread_create(&threads[i], NULL, body, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void threads_find_whole_entries_only(void **state)
{
    brood_map *map = new_map();

    (void)state;
    run_threads(map, work_on_all_keys);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static void updates_of_threads_add_up(void **state)
{
    brood_map *map = new_map();

    (void)state;
    run_threads(map, count_for_all);
    for (int key = 0; key < 5; key++)
        assert_int_equal(get(map, key), THREADS * ROUNDS / 5);
    assert_int_equal(brood_map_destroy(map), 0);
    end();
}

static const struct test_case cases[] = {
    TEST_CASE(what_was_put_is_found),
    TEST_CASE(add_leaves_what_is_there),
    TEST_CASE(what_was_removed_is_gone),
    TEST_CASE(bytes_are_kept_as_they_are),
    TEST_CASE(a_value_that_does_not_fit_tells_its_size),
    TEST_CASE(many_entries_come_and_go),
    TEST_CASE_LIMIT(a_million_entries, 120),
    TEST_CASE(clear_removes_all),
    TEST_CASE(each_entry_is_met_once),
    TEST_CASE(iteration_bears_changes),
    TEST_CASE(an_entry_that_does_not_fit_is_not_passed_over),
    TEST_CASE(keys_of_one_hash_are_kept_apart),
    TEST_CASE(update_makes_a_new_value_of_the_old_one),
    TEST_CASE(an_update_that_fails_changes_nothing),
    TEST_CASE(keys_are_locked_one_by_one),
    TEST_CASE(refuses_what_makes_no_sense),
    TEST_CASE(all_memory_comes_back),
    TEST_CASE(without_memory_all_stays_as_it_was),
    TEST_CASE(the_heap_marks_what_is_kept_and_overwrites_what_is_freed),
    TEST_CASE(a_thread_that_ends_half_way_is_cleaned_up_after),
    TEST_CASE(what_was_freed_is_not_freed_again_after_a_thread_ends),
    TEST_CASE(threads_find_whole_entries_only),
    TEST_CASE(updates_of_threads_add_up),
};
TEST_SUITE(map, cases)
