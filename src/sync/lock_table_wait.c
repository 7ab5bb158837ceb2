#include "sync/lock_table.h"

#include "base/clock.h"
#include "base/linux.h"

/* A death is met at the end of a slice: soon at first, for what is not there soon takes
 * long; and never later than this, which leaves the promised 100 ms some room. */
#define SLICE_NS_FIRST 500000
#define SLICE_NS_LAST 50000000

static void spin(const struct brood__lock_record *record)
{
    for (unsigned i = brood__spin_count(); i > 0 && brood__lock_record_waits(record); i--)
        brood__pause();
}

/* Sleeps until the word changes. See wake() in lock_table_index.c for the order. */
static void sleep_on(struct brood__lock_record *record, int64_t nanoseconds)
{
    uint64_t word;

    (void)atomic_exchange_explicit(&record->asleep, 1, memory_order_seq_cst);
    word = atomic_load_explicit(&record->word, memory_order_seq_cst);
    if (brood__lock_word_state(word) == BROOD__RECORD_WAITING)
        brood__futex_wait(brood__lock_record_futex(record), (uint32_t)word, nanoseconds);
    atomic_store_explicit(&record->asleep, 0, memory_order_relaxed);
}

/* Buries those in the way who are dead, which may grant the wish. True with one of the
 * others, another each `turn`. */
static bool look(struct brood__visit *visit, struct brood__lock_record *record, uint32_t turn,
                 uint32_t *ret_slot)
{
    struct brood__target target = brood__target_of_record(visit->table, record);
    struct brood__wish wish = brood__wish_of(record);
    struct brood__lock_record *other;
    uint32_t count = 0;

    if (!brood__wish_blocked(visit, &target, &wish))
        return false;
    for (other = brood__wish_blocker(visit->table, &target, &wish, target.chain->first);
         other != NULL; other = brood__wish_blocker(visit->table, &target, &wish, other->next))
        count++;
    turn %= count;
    other = brood__wish_blocker(visit->table, &target, &wish, target.chain->first);
    while (turn-- > 0)
        other = brood__wish_blocker(visit->table, &target, &wish, other->next);
    *ret_slot = brood__lock_word_slot(brood__lock_record_word(other));
    return true;
}

/* At the end of a slice. When it has been long, somebody in the way is asked after in the
 * kernel's table: what the robust list does not say, after an OOM kill, is found out so. */
static void look_around(struct brood__visit *visit, struct brood__lock_record *record,
                        uint32_t turn, bool ask_kernel)
{
    uint32_t slot;
    bool other = false;

    brood__visit_again(visit);
    if (brood__lock_record_waits(record))
        other = look(visit, record, turn, &slot);
    brood__visit_leave(visit);
    if (other && ask_kernel)
        (void)brood__slot_verify(visit->header, slot);
}

int brood__lock_await(struct brood__visit *visit, struct brood__lock_record *record,
                      const struct brood__lock_request *request)
{
    int64_t slice = SLICE_NS_FIRST;
    uint32_t turn = 0, slot;

    brood__visit_leave(visit);
    spin(record);
    while (brood__lock_record_waits(record)) {
        int64_t left = brood__time_left(request->deadline);

        if (left <= 0)
            break;
        sleep_on(record, left < slice ? left : slice);
        if (brood__lock_record_waits(record))
            look_around(visit, record, turn++, slice == SLICE_NS_LAST);
        slice = slice * 2 < SLICE_NS_LAST ? slice * 2 : SLICE_NS_LAST;
    }
    brood__visit_again(visit);
    if (brood__lock_record_waits(record))
        (void)look(visit, record, 0, &slot);
    if (!brood__lock_record_waits(record))
        return 0;
    brood__lock_withdraw(visit, record);
    return -ETIMEDOUT;
}
