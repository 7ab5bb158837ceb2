/*
 * Maps between processes: what one puts others find; and what is left by those who are
 * killed, at a chosen point (row d of the failure matrix: the holder of a lock) and at random
 * ones. Method: forked children; those that are to be killed at a point say over a pipe that
 * they are there.
 */
#include "helpers.h"

#include <stdatomic.h>

static brood_shared *shared;

static brood_map *new_map(void)
{
    brood_map *map = NULL;

    if (shared == NULL)
        assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_map_create(shared, NULL, &map), 0);
    return map;
}

static size_t used(void)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;

    assert_int_equal(brood_shared_info_get(shared, &info), 0);
    return info.used_bytes;
}

static int wait_for(pid_t pid)
{
    int status = -1;

    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void kill_child(pid_t pid)
{
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(wait_for(pid), SIGKILL);
}

#define CHILDREN 4
#define KEYS 2000

static void what_children_put_their_parent_finds(void **state)
{
    brood_map *map = new_map();
    pid_t pids[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int key = i; key < KEYS; key += CHILDREN)
                if (brood_map_add(map, &key, sizeof key, &i, sizeof i) != 0)
                    _exit(1);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    assert_int_equal(brood_map_count(map), KEYS);
    for (int key = 0, who; key < KEYS; key++) {
        assert_int_equal(brood_map_get(map, &key, sizeof key, &who, sizeof who, NULL), 0);
        assert_int_equal(who, key % CHILDREN);
    }
    assert_int_equal(brood_map_destroy(map), 0);
    brood_shared_detach(shared);
}

/* Of several who add the same key, one does. */
static void one_of_many_adds_a_key(void **state)
{
    brood_map *map = new_map();
    int *won = shared_page();
    pid_t pids[CHILDREN];
    int sum = 0;

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int key = 0; key < KEYS; key++)
                won[i] += brood_map_add(map, &key, sizeof key, &i, sizeof i) == 0;
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(wait_for(pids[i]), 0);
        sum += won[i];
    }
    assert_int_equal(sum, KEYS);
    assert_int_equal(brood_map_count(map), KEYS);
    assert_int_equal(brood_map_destroy(map), 0);
    assert_int_equal(munmap(won, 4096), 0);
    brood_shared_detach(shared);
}

static int count_one(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
{
    (void)value_bytes_max, (void)user;
    *value_bytes = sizeof(long);
    ++*(long *)value;
    return 0;
}

static void updates_of_processes_add_up(void **state)
{
    brood_map *map = new_map();
    pid_t pids[CHILDREN];
    long count = 0;

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int k = 0; k < 2000; k++) {
                char key = (char)('a' + k % 3);

                if (brood_map_update(map, &key, 1, 64, count_one, NULL, BROOD_FOREVER) != 0)
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    assert_int_equal(brood_map_get(map, "b", 1, &count, sizeof count, NULL), 0);
    assert_int_equal(count, CHILDREN * 667);
    assert_int_equal(brood_map_count(map), 3);
    assert_int_equal(brood_map_destroy(map), 0);
    brood_shared_detach(shared);
}

/* ---- deaths at a chosen point ---- */

static int ready_end;

static int spoil_and_stay(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
{
    (void)value_bytes, (void)user;
    memset(value, 0xee, value_bytes_max);
    if (write(ready_end, "x", 1) != 1)
        _exit(1);
    return live_on(NULL, 0);
}

static pid_t child_in_an_update(brood_map *map)
{
    int ends[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        ready_end = ends[1];
        (void)brood_map_update(map, "k", 1, 100, spoil_and_stay, NULL, BROOD_FOREVER);
        _exit(1);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    return pid;
}

static void who_dies_in_an_update_leaves_the_entry_row_d(void **state)
{
    brood_map *map = new_map();
    size_t before;
    long count = 0;
    pid_t pid;

    (void)state;
    assert_int_equal(brood_map_update(map, "k", 1, 8, count_one, NULL, BROOD_NOWAIT), 0);
    before = used();
    pid = child_in_an_update(map);
    assert_int_equal(brood_map_update(map, "k", 1, 8, count_one, NULL, BROOD_NOWAIT),
                     -ETIMEDOUT);
    /* Those who do not ask for the lock are not in each other's way. */
    assert_int_equal(brood_map_get(map, "k", 1, &count, sizeof count, NULL), 0);
    assert_int_equal(count, 1);
    kill_child(pid);
    assert_int_equal(brood_map_update(map, "k", 1, 8, count_one, NULL, brood_seconds(20)),
                     BROOD_LOCK_RECOVERED);
    assert_int_equal(brood_map_update(map, "k", 1, 8, count_one, NULL, BROOD_NOWAIT), 0);
    assert_int_equal(brood_map_get(map, "k", 1, &count, sizeof count, NULL), 0);
    assert_int_equal(count, 3);
    assert_true(brood_shared_reclaim(shared) >= 1); /* what it was changing */
    assert_int_equal(used(), before);
    assert_int_equal(brood_map_destroy(map), 0);
    brood_shared_detach(shared);
}

static void who_waits_for_a_dead_one_goes_on_row_d(void **state)
{
    brood_map *map = new_map();
    pid_t holder = child_in_an_update(map), waiter;
    int64_t killed;

    (void)state;
    waiter = fork();
    if (waiter == 0)
        _exit(brood_map_update(map, "k", 1, 8, count_one, NULL, BROOD_FOREVER) !=
              BROOD_LOCK_RECOVERED);
    test_pause();
    killed = test_now();
    kill_child(holder);
    assert_int_equal(wait_for(waiter), 0);
    assert_true(test_now() - killed < 10000 * MS);
    assert_int_equal(brood_map_destroy(map), 0);
    brood_shared_detach(shared);
}

/* ---- deaths at random points ---- */

#define KILLS 200
#define ROW 100

struct tally {
    _Atomic long rounds[CHILDREN];
    _Atomic long begun[CHILDREN];
    _Atomic long done[CHILDREN];
    _Atomic long wrong;
    _Atomic int last_wrong;
};

/* Each value says whose it is, and is the same all over. */
struct row {
    int key;
    int count;
    int same[ROW];
};

static bool sound(const struct row *row, size_t bytes, int key)
{
    if (bytes < offsetof(struct row, same) || row->key != key ||
        bytes != offsetof(struct row, same) + (size_t)row->count * sizeof(int))
        return false;
    for (int i = 1; i < row->count; i++)
        if (row->same[i] != row->same[0])
            return false;
    return true;
}

static void expect(struct tally *tally, bool right, int r)
{
    if (!right) {
        atomic_store(&tally->last_wrong, r);
        atomic_fetch_add(&tally->wrong, 1);
    }
}

static void change_once(brood_map *map, struct tally *tally, int number, unsigned chance)
{
    struct row row = { (int)(chance % 61), (int)(chance / 64 % ROW), { 0 } };
    size_t bytes = 0;
    int key = row.key, r;

    for (int i = 0; i < row.count; i++)
        row.same[i] = (int)chance;
    bytes = offsetof(struct row, same) + (size_t)row.count * sizeof(int);
    switch (chance / 8192 % 8) {
    case 0:
    case 1:
    case 2:
        r = brood_map_put(map, &key, sizeof key, &row, bytes);
        expect(tally, r == 0, r);
        break;
    case 3:
        r = brood_map_add(map, &key, sizeof key, &row, bytes);
        expect(tally, r == 0 || r == -EEXIST, r);
        break;
    case 4:
        r = brood_map_remove(map, &key, sizeof key);
        expect(tally, r == 0 || r == -ENOENT, r);
        break;
    case 5:
        r = brood_map_get(map, &key, sizeof key, &row, sizeof row, &bytes);
        expect(tally, r == -ENOENT || (r == 0 && sound(&row, bytes, key)), r);
        break;
    case 6:
        r = chance % 50 == 0 ? brood_map_clear(map) : (int)brood_map_count(map);
        expect(tally, r >= 0 && r <= 61 + CHILDREN, r);
        break;
    default:
        atomic_fetch_add(&tally->begun[number], 1);
        r = brood_map_update(map, "counters", 8, sizeof(long), count_one, NULL, BROOD_FOREVER);
        expect(tally, r >= 0, r);
        atomic_fetch_add(&tally->done[number], 1);
        break;
    }
}

_Noreturn static void change_for_ever(brood_map *map, struct tally *tally, int number,
                                      unsigned chance)
{
    for (;;) {
        chance = chance * 1103515245 + 12345;
        change_once(map, tally, number, chance / 4096);
        atomic_fetch_add(&tally->rounds[number], 1);
    }
}

/* What is in the map, met one by one: as many as it says, each found, each sound. */
static void look_at_all(brood_map *map)
{
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    char key[16];
    struct row row;
    size_t key_bytes, bytes;
    int64_t met = 0;
    int number;

    while (brood_map_next(map, &cursor, key, sizeof key, &key_bytes, &row, sizeof row,
                          &bytes) == 1) {
        met++;
        assert_int_equal(brood_map_contains(map, key, key_bytes), 1);
        if (key_bytes != sizeof number)
            continue;
        memcpy(&number, key, sizeof number);
        assert_true(sound(&row, bytes, number));
    }
    assert_int_equal(brood_map_count(map), met);
}

static void kills_at_random_leave_a_sound_map(void **state)
{
    brood_map *map = new_map();
    struct tally *tally = shared_page();
    size_t before;
    pid_t pids[CHILDREN] = { 0 };
    unsigned chance = 1;

    (void)state;
    assert_int_equal(brood_map_destroy(map), 0);
    before = used();
    map = new_map();
    for (int kills = -CHILDREN; kills < KILLS; kills++) {
        int i = (kills + CHILDREN) % CHILDREN;
        long from = atomic_load(&tally->rounds[i]);

        if (pids[i] != 0)
            kill_child(pids[i]);
        chance = chance * 1103515245 + 12345;
        pids[i] = fork();
        if (pids[i] == 0)
            change_for_ever(map, tally, i, chance);
        while (atomic_load(&tally->rounds[i]) < from + 20)
            test_pause();
        for (unsigned spin = chance / 65536 % 5000; spin > 0; spin--)
            (void)atomic_load(&tally->wrong);
        if (kills % 50 == 0)
            assert_true(brood_map_count(map) >= 0);
    }
    for (int i = 0; i < CHILDREN; i++)
        kill_child(pids[i]);
    assert_int_equal(tally->last_wrong, 0);
    assert_int_equal(tally->wrong, 0);
    look_at_all(map);
    assert_int_equal(brood_map_destroy(map), 0);
    assert_true(brood_shared_reclaim(shared) >= 0);
    assert_int_equal(used(), before);
    assert_int_equal(munmap(tally, 4096), 0);
    brood_shared_detach(shared);
}

_Noreturn static void count_for_ever(brood_map *map, struct tally *tally, int number)
{
    for (;;) {
        int r;

        atomic_fetch_add(&tally->begun[number], 1);
        r = brood_map_update(map, "n", 1, sizeof(long), count_one, NULL, BROOD_FOREVER);
        expect(tally, r >= 0, r);
        atomic_fetch_add(&tally->done[number], 1);
    }
}

static void kills_at_random_lose_no_update(void **state)
{
    brood_map *map = new_map();
    struct tally *tally = shared_page();
    pid_t pids[CHILDREN] = { 0 };
    long begun = 0, done = 0, count = 0;

    (void)state;
    for (int kills = -CHILDREN; kills < KILLS / 2; kills++) {
        int i = (kills + CHILDREN) % CHILDREN;
        long from = atomic_load(&tally->done[i]);

        if (pids[i] != 0)
            kill_child(pids[i]);
        pids[i] = fork();
        if (pids[i] == 0)
            count_for_ever(map, tally, i);
        while (atomic_load(&tally->done[i]) < from + 5)
            test_pause();
    }
    for (int i = 0; i < CHILDREN; i++) {
        kill_child(pids[i]);
        begun += tally->begun[i];
        done += tally->done[i];
    }
    assert_int_equal(tally->wrong, 0);
    assert_int_equal(brood_map_get(map, "n", 1, &count, sizeof count, NULL), 0);
    assert_true(count >= done && count <= begun);
    assert_int_equal(brood_map_destroy(map), 0);
    assert_int_equal(munmap(tally, 4096), 0);
    brood_shared_detach(shared);
}

/* A destroy that was begun by one who died is done again by another. */
static void a_destroy_is_done_again_after_a_death(void **state)
{
    brood_map *map = new_map();
    size_t before;
    pid_t pid;
    int r;

    (void)state;
    assert_int_equal(brood_map_destroy(map), 0);
    before = used();
    map = new_map();
    for (int i = 0; i < 20000; i++)
        assert_int_equal(brood_map_put(map, &i, sizeof i, &i, sizeof i), 0);
    pid = fork();
    if (pid == 0) {
        (void)brood_map_destroy(map);
        _exit(0);
    }
    while (brood_map_count(map) > 10000) /* until it is at it: then -EINVAL */
        test_pause();
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void)wait_for(pid);
    r = brood_map_destroy(map);
    assert_true(r == 0 || r == -EINVAL); /* it was done */
    assert_true(brood_shared_reclaim(shared) >= 0);
    assert_int_equal(used(), before);
    brood_shared_detach(shared);
}

static const struct test_case cases[] = {
    TEST_CASE(what_children_put_their_parent_finds),
    TEST_CASE(one_of_many_adds_a_key),
    TEST_CASE(updates_of_processes_add_up),
    TEST_CASE(who_dies_in_an_update_leaves_the_entry_row_d),
    TEST_CASE(who_waits_for_a_dead_one_goes_on_row_d),
    TEST_CASE_LIMIT(kills_at_random_leave_a_sound_map, 120),
    TEST_CASE_LIMIT(kills_at_random_lose_no_update, 120),
    TEST_CASE(a_destroy_is_done_again_after_a_death),
};
TEST_SUITE(map_processes, cases)
