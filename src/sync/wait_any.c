/*
 * Waiting for one of several objects.
 *
 * Whoever waits counts himself in `watchers` of each object, listens at the segment's bell,
 * and then looks at all of them: so who changes one either sees the watchers and rings, or
 * changed it before the look. Deaths ring no bell; they are heard at the lives of the
 * holders. A watcher that dies leaves `watchers` too high, which costs others a load more.
 */
#include "base/clock.h"
#include "sync/waitable.h"
#include "sync/watch.h"

/* Between two looks, where a death might not be heard. */
#define SLICE_FIRST_NS 500000

struct wait {
    const brood_waitable *items;
    size_t count;
    struct brood__header *header;
    uint64_t since[BROOD_WAIT_ITEMS_MAX];
};

static int check_items(const brood_waitable *items, size_t count,
                       struct brood__header **ret_header)
{
    struct brood__header *header = NULL;

    if (items == NULL || count > BROOD_WAIT_ITEMS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct brood__header *one;
        int r;

        if (items[i].object == NULL)
            continue;
        r = brood__waitable_check(&items[i]);
        if (r < 0)
            return r;
        one = brood__object_header(brood__waitable_object(&items[i]));
        if (header != NULL && one != header)
            return -EXDEV;
        header = one;
    }
    if (header == NULL)
        return -EINVAL;
    *ret_header = header;
    return 0;
}

int brood_wait_mark(brood_waitable *items, size_t count)
{
    struct brood__header *header;
    int r = check_items(items, count, &header);

    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        if (items[i].object != NULL)
            items[i].seen = brood__waitable_turn(&items[i]);
    return 0;
}

static void begin(struct wait *wait)
{
    for (size_t i = 0; i < wait->count; i++)
        if (wait->items[i].object != NULL)
            wait->since[i] = wait->items[i].seen != 0 ? wait->items[i].seen
                                                      : brood__waitable_turn(&wait->items[i]);
}

static void count_watcher(const struct wait *wait, uint32_t change)
{
    for (size_t i = 0; i < wait->count; i++)
        if (wait->items[i].object != NULL)
            (void)atomic_fetch_add_explicit(&brood__waitable_object(&wait->items[i])->watchers,
                                            change, memory_order_seq_cst);
}

/* Takes the first that can be had. -ETIMEDOUT: none. */
static int take_first(const struct wait *wait, size_t *ret_index)
{
    for (size_t i = 0; i < wait->count; i++) {
        int r;

        if (wait->items[i].object == NULL)
            continue;
        r = brood__waitable_take(&wait->items[i], wait->since[i]);
        if (r != -ETIMEDOUT) {
            *ret_index = i;
            return r;
        }
    }
    return -ETIMEDOUT;
}

static void verify_all(const struct wait *wait)
{
    for (size_t i = 0; i < wait->count; i++)
        if (wait->items[i].object != NULL)
            brood__waitable_verify(&wait->items[i]);
}

static void add_lives(const struct wait *wait, struct brood__words *words)
{
    for (size_t i = 0; i < wait->count; i++)
        if (wait->items[i].object != NULL)
            brood__waitable_add_lives(&wait->items[i], words);
}

static int wait_watching(const struct wait *wait, int64_t deadline, size_t *ret_index)
{
    struct brood__bell *bell = &wait->header->watch;
    int64_t slice_ns = SLICE_FIRST_NS;
    struct brood__words words;

    for (;;) {
        uint32_t seen = brood__bell_listen(bell);
        int r = take_first(wait, ret_index);
        int64_t left, limit_ns;

        if (r != -ETIMEDOUT)
            return r;
        brood__words_clear(&words);
        brood__words_add(&words, &bell->turn, seen);
        add_lives(wait, &words);
        left = brood__time_left(deadline);
        if (left <= 0) {
            verify_all(wait);
            return take_first(wait, ret_index);
        }
        limit_ns = brood__words_heard(&words) ? BROOD__SLICE_NS : slice_ns;
        switch (brood__words_sleep(&words, left < limit_ns ? left : limit_ns)) {
        case BROOD__WOKEN_LATE:
            if (limit_ns == BROOD__SLICE_NS)
                verify_all(wait);
            slice_ns = slice_ns * 2 < BROOD__SLICE_NS ? slice_ns * 2 : BROOD__SLICE_NS;
            break;
        case BROOD__WOKEN_DEATH: slice_ns = SLICE_FIRST_NS; break;
        default: break;
        }
    }
}

int brood_wait_any(const brood_waitable *items, size_t count, int64_t timeout,
                   size_t *ret_index)
{
    struct wait wait = { .items = items, .count = count };
    int64_t deadline;
    int r;

    if (ret_index == NULL)
        return -EINVAL;
    r = brood__deadline(timeout, &deadline);
    if (r == 0)
        r = check_items(items, count, &wait.header);
    if (r == 0)
        r = brood__enter(wait.header);
    if (r < 0)
        return r;
    begin(&wait);
    r = take_first(&wait, ret_index);
    if (r == -ETIMEDOUT && timeout != BROOD_NOWAIT) {
        count_watcher(&wait, 1);
        r = wait_watching(&wait, deadline, ret_index);
        count_watcher(&wait, (uint32_t)-1);
    }
    brood__watch_correct(items, count);
    return r;
}
