/*
 * Cycles of waits. Who waits, waits with one record, for all records that are in its way; a
 * cycle closes only when somebody begins to wait, for a grant makes nobody wait who did not
 * wait for the same thread before. So the one who is about to sleep looks, depth first, for a
 * way from itself back to itself. All under the mutex: nothing moves meanwhile.
 */
#include "sync/lock_table.h"

#include "base/options.h"

#include <string.h>

/* With so few rows it is cheaper to see first whether anybody waits for one of them. */
#define ROWS_FEW 16

static bool somebody_waits_for(struct brood__visit *visit,
                               const struct brood__lock_record *record)
{
    struct brood__target target = brood__target_of_record(visit->table, record);

    BROOD__TARGET_FOR(other, visit->table, &target)
    {
        if (other != record && brood__lock_record_waits(other)) {
            struct brood__wish wish = brood__wish_of(other);

            if (brood__wish_stopped_by(&wish, record))
                return true;
        }
    }
    return false;
}

static bool somebody_waits(struct brood__visit *visit)
{
    struct brood__table_seat *seat = visit->seat;
    uint32_t number = seat->first;

    if ((uint64_t)seat->shared_count + seat->exclusive_count > ROWS_FEW)
        return true;
    for (; number != 0; number = brood__lock_record_at(visit->table, number)->next_own)
        if (somebody_waits_for(visit, brood__lock_record_at(visit->table, number)))
            return true;
    return brood__lock_record_word(&seat->record) != 0 &&
           somebody_waits_for(visit, &seat->record);
}

/* The record with which a seat's thread waits now, or NULL. */
static struct brood__lock_record *wait_of(brood_lock_table *table,
                                          const struct brood__table_seat *seat)
{
    struct brood__lock_record *record;
    uint64_t word;

    if (seat->waiting == 0)
        return NULL;
    record = brood__lock_record_at(table, seat->waiting);
    word = brood__lock_record_word(record);
    return brood__lock_word_state(word) == BROOD__RECORD_WAITING &&
                   brood__lock_word_slot(word) == seat->record.number - 1
               ? record
               : NULL;
}

static void step_into(brood_lock_table *table, struct brood__table_seat *seat,
                      uint32_t came_from)
{
    struct brood__target target = brood__target_of_record(table, wait_of(table, seat));

    seat->search = table->search;
    seat->came_from = came_from;
    seat->cursor = target.chain->first;
}

/* The next one that the seat's thread waits for, NULL when there is none left. */
static struct brood__lock_record *next_blocker(brood_lock_table *table,
                                               struct brood__table_seat *seat)
{
    struct brood__lock_record *mine = wait_of(table, seat), *other;
    struct brood__target target = brood__target_of_record(table, mine);
    struct brood__wish wish = brood__wish_of(mine);

    other = brood__wish_blocker(table, &target, &wish, seat->cursor);
    seat->cursor = other == NULL ? 0 : other->next;
    return other;
}

/*
 * Returns the last seat of a cycle that begins with the caller's, or NULL. *ret_dead, if not
 * NULL then, is a dead one's that was met: the search is void.
 */
static struct brood__table_seat *search(struct brood__visit *visit,
                                        struct brood__table_seat **ret_dead)
{
    brood_lock_table *table = visit->table;
    struct brood__table_seat *seat = visit->seat, *other;
    struct brood__lock_record *blocker;
    uint64_t word;

    table->search++;
    step_into(table, seat, 0);
    for (;;) {
        blocker = next_blocker(table, seat);
        if (blocker == NULL) {
            if (seat == visit->seat)
                return NULL;
            seat = brood__seat_at(table, seat->came_from - 1);
            continue;
        }
        word = brood__lock_record_word(blocker);
        other = brood__seat_at(table, brood__lock_word_slot(word));
        if (!brood__lock_word_alive(visit, word)) {
            *ret_dead = other;
            return NULL;
        }
        if (other == visit->seat)
            return seat;
        if (other->search == table->search || wait_of(table, other) == NULL)
            continue;
        step_into(table, other, seat->record.number);
        seat = other;
    }
}

/* ---- the report ---- */

static void describe(struct brood__visit *visit, const struct brood__table_seat *seat,
                     brood_deadlock_member *member)
{
    struct brood__slot *slot = brood__slot_at(visit->header, seat->record.number - 1);
    const struct brood__lock_record *record = wait_of(visit->table, seat);

    member->pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    member->tid = atomic_load_explicit(&slot->tid, memory_order_relaxed);
    memcpy(member->name, slot->name, sizeof member->name);
    member->name[sizeof member->name - 1] = '\0';
    member->mode = brood__lock_word_wanted(brood__lock_record_word(record));
    member->key_bytes = record->key_bytes;
    memcpy(member->key, brood__lock_record_key(record),
           record->key_bytes < sizeof member->key ? record->key_bytes : sizeof member->key);
}

/* The way is known from its end. */
static void report(struct brood__visit *visit, const struct brood__table_seat *last,
                   brood_deadlock *ret_cycle)
{
    brood_deadlock cycle = BROOD_DEADLOCK_INIT;
    const struct brood__table_seat *seat = last;
    uint32_t place;

    for (cycle.count = 1; seat != visit->seat; cycle.count++)
        seat = brood__seat_at(visit->table, seat->came_from - 1);
    seat = last;
    for (place = cycle.count; place-- > 0;) {
        if (place < BROOD_DEADLOCK_MEMBERS)
            describe(visit, seat, &cycle.members[place]);
        if (place > 0)
            seat = brood__seat_at(visit->table, seat->came_from - 1);
    }
    (void)brood__result_write(ret_cycle, sizeof cycle.size, &cycle, sizeof cycle);
}

bool brood__lock_cycle(struct brood__visit *visit, brood_deadlock *ret_cycle)
{
    struct brood__table_seat *last, *dead;

    while (wait_of(visit->table, visit->seat) != NULL && somebody_waits(visit)) {
        dead = NULL;
        last = search(visit, &dead);
        if (last != NULL) {
            if (ret_cycle != NULL)
                report(visit, last, ret_cycle);
            return true;
        }
        if (dead == NULL)
            return false;
        brood__seat_bury(visit, dead);
    }
    return false;
}
