#include "sync/lock_table.h"

#include "base/clock.h"
#include "base/linux.h"

#include <string.h>

/* ---- where things are ---- */

struct brood__lock_record *brood__lock_record_at(brood_lock_table *table, uint32_t number)
{
    char *rows = (char *)table + table->rows;

    assert(number != 0);
    if (number <= table->members_max)
        return &brood__seat_at(table, number - 1)->record;
    return (struct brood__lock_record *)(rows + (uint64_t)(number - table->members_max - 1) *
                                                    table->record_bytes);
}

static struct brood__table_seat *seat_of(brood_lock_table *table,
                                         const struct brood__lock_record *record)
{
    return brood__seat_at(table, brood__lock_word_slot(brood__lock_record_word(record)));
}

/* By the number, which a row has from its first use; its key is written later. */
static bool is_row(const brood_lock_table *table, const struct brood__lock_record *record)
{
    return record->number > table->members_max;
}

static struct brood__chain *bucket_of(brood_lock_table *table, uint64_t hash)
{
    return (struct brood__chain *)((char *)table + table->buckets) +
           (hash & table->bucket_mask);
}

size_t brood__lock_table_lay_out(brood_lock_table *table)
{
    uint64_t count = 1, end = sizeof *table;

    while (count < table->records_max)
        count *= 2;
    table->bucket_mask = count - 1;
    table->record_bytes =
        (uint32_t)((sizeof(struct brood__lock_record) + table->key_bytes_max + 7) & ~(size_t)7);
    table->buckets = end;
    end += count * sizeof(struct brood__chain);
    table->seats = end;
    end += (uint64_t)table->members_max * sizeof(struct brood__table_seat);
    table->rows = end;
    end += (uint64_t)table->records_max * table->record_bytes;
    table->ticket = 1;
    return (size_t)end;
}

/* ---- targets ---- */

/* Eight bytes at a time, mixed as in splitmix64. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t hash_of(const void *key, size_t key_bytes)
{
    const unsigned char *from = key;
    uint64_t hash = key_bytes * UINT64_C(0x9e3779b97f4a7c15), part;

    for (; key_bytes > sizeof part; key_bytes -= sizeof part, from += sizeof part) {
        memcpy(&part, from, sizeof part);
        hash = mix(hash ^ part);
    }
    part = 0;
    memcpy(&part, from, key_bytes);
    return mix(hash ^ part);
}

struct brood__target brood__target_of_key(brood_lock_table *table, const void *key,
                                          size_t key_bytes)
{
    struct brood__target target = { .key = key, .key_bytes = (uint32_t)key_bytes };

    if (key_bytes == 0) {
        target.chain = &table->chain;
    } else {
        target.hash = hash_of(key, key_bytes);
        target.chain = bucket_of(table, target.hash);
    }
    return target;
}

struct brood__target brood__target_of_record(brood_lock_table *table,
                                             const struct brood__lock_record *record)
{
    struct brood__target target = { .chain = &table->chain };

    if (is_row(table, record)) {
        target.chain = bucket_of(table, record->hash);
        target.hash = record->hash;
        target.key = brood__lock_record_key(record);
        target.key_bytes = record->key_bytes;
    }
    return target;
}

static bool matches(const struct brood__target *target, const struct brood__lock_record *record)
{
    return record->hash == target->hash && record->key_bytes == target->key_bytes &&
           (target->key_bytes == 0 ||
            memcmp(brood__lock_record_key(record), target->key, target->key_bytes) == 0);
}

struct brood__lock_record *brood__target_next(brood_lock_table *table,
                                              const struct brood__target *target, uint32_t from)
{
    while (from != 0) {
        struct brood__lock_record *record = brood__lock_record_at(table, from);

        if (matches(target, record))
            return record;
        from = record->next;
    }
    return NULL;
}

static bool is_own(uint64_t word)
{
    return brood__lock_word_slot(word) == brood__here.slot &&
           brood__lock_word_generation(word) == brood__here.generation;
}

struct brood__lock_record *brood__target_own(struct brood__visit *visit,
                                             const struct brood__target *target)
{
    struct brood__lock_record *seat = &visit->seat->record;

    if (target->key_bytes == 0)
        return brood__lock_record_word(seat) != 0 ? seat : NULL;
    BROOD__TARGET_FOR(record, visit->table, target)
    {
        if (is_own(brood__lock_record_word(record)))
            return record;
    }
    return NULL;
}

struct brood__lock_record *brood__target_mark(struct brood__visit *visit,
                                              const struct brood__target *target)
{
    if (visit->table->mark_count == 0 || target->key_bytes == 0)
        return NULL;
    BROOD__TARGET_FOR(record, visit->table, target)
    {
        if (brood__lock_word_state(brood__lock_record_word(record)) == BROOD__RECORD_MARK)
            return record;
    }
    return NULL;
}

/* ---- chains and lists ---- */

/* Behind `before`, a number; 0: at the start. */
static void chain_insert(brood_lock_table *table, struct brood__chain *chain,
                         struct brood__lock_record *record, uint32_t before)
{
    uint32_t *from_before =
        before == 0 ? &chain->first : &brood__lock_record_at(table, before)->next;
    uint32_t *from_after;

    record->prev = before;
    record->next = *from_before;
    from_after =
        record->next == 0 ? &chain->last : &brood__lock_record_at(table, record->next)->prev;
    *from_before = record->number;
    *from_after = record->number;
}

static void chain_remove(brood_lock_table *table, struct brood__chain *chain,
                         struct brood__lock_record *record)
{
    if (record->prev == 0)
        chain->first = record->next;
    else
        brood__lock_record_at(table, record->prev)->next = record->next;
    if (record->next == 0)
        chain->last = record->prev;
    else
        brood__lock_record_at(table, record->next)->prev = record->prev;
}

static void own_list_add(brood_lock_table *table, struct brood__table_seat *seat,
                         struct brood__lock_record *record)
{
    record->prev_own = 0;
    record->next_own = seat->first;
    if (seat->first != 0)
        brood__lock_record_at(table, seat->first)->prev_own = record->number;
    seat->first = record->number;
}

void brood__lock_record_own(struct brood__visit *visit, struct brood__lock_record *record)
{
    own_list_add(visit->table, visit->seat, record);
}

void brood__lock_record_disown(struct brood__visit *visit, struct brood__table_seat *seat,
                               struct brood__lock_record *record)
{
    brood_lock_table *table = visit->table;

    if (record->prev_own == 0)
        seat->first = record->next_own;
    else
        brood__lock_record_at(table, record->prev_own)->next_own = record->next_own;
    if (record->next_own != 0)
        brood__lock_record_at(table, record->next_own)->prev_own = record->prev_own;
}

static void free_list_add(brood_lock_table *table, struct brood__lock_record *record)
{
    record->next_own = table->free_first;
    table->free_first = record->number;
}

static struct brood__lock_record *free_list_get(brood_lock_table *table)
{
    struct brood__lock_record *record;
    uint32_t number = table->free_first;

    if (number != 0) {
        record = brood__lock_record_at(table, number);
        table->free_first = record->next_own;
        return record;
    }
    if (table->rows_used == table->records_max)
        return NULL;
    number = table->members_max + 1 + table->rows_used;
    record = brood__lock_record_at(table, number);
    record->number = number;
    atomic_signal_fence(memory_order_release); /* a row that counts as used has its number */
    table->rows_used++;
    return record;
}

void brood__lock_record_requeue(struct brood__visit *visit, const struct brood__target *target,
                                struct brood__lock_record *record, bool linked)
{
    brood_lock_table *table = visit->table;

    if (linked)
        chain_remove(table, target->chain, record);
    record->ticket = table->ticket++;
    chain_insert(table, target->chain, record, target->chain->last);
}

struct brood__lock_record *brood__lock_record_take(struct brood__visit *visit,
                                                   const struct brood__target *target)
{
    brood_lock_table *table = visit->table;
    struct brood__lock_record *record;

    if (target->key_bytes == 0) {
        record = &visit->seat->record;
    } else {
        record = free_list_get(table);
        if (record == NULL)
            return NULL;
        record->hash = target->hash;
        record->key_bytes = target->key_bytes;
        memcpy(brood__lock_record_key(record), target->key, target->key_bytes);
        brood__lock_record_own(visit, record);
        table->in_use_count++;
    }
    record->depth = 0;
    brood__lock_record_requeue(visit, target, record, false);
    return record;
}

void brood__lock_record_unchain(struct brood__visit *visit, struct brood__lock_record *record)
{
    struct brood__target target = brood__target_of_record(visit->table, record);

    chain_remove(visit->table, target.chain, record);
}

void brood__lock_record_reuse(struct brood__visit *visit, struct brood__lock_record *record)
{
    free_list_add(visit->table, record);
    visit->table->in_use_count--;
}

/* ---- repair ---- */

/* By ticket. Chains are short, and their records come nearly in order. */
static void chain_insert_sorted(brood_lock_table *table, struct brood__lock_record *record)
{
    struct brood__target target = brood__target_of_record(table, record);
    uint32_t before = target.chain->last;

    while (before != 0 && brood__lock_record_at(table, before)->ticket > record->ticket)
        before = brood__lock_record_at(table, before)->prev;
    chain_insert(table, target.chain, record, before);
}

static void index_forget(brood_lock_table *table, uint32_t seat_count)
{
    memset((char *)table + table->buckets, 0,
           (table->bucket_mask + 1) * sizeof(struct brood__chain));
    memset(&table->chain, 0, sizeof table->chain);
    for (uint32_t i = 0; i < seat_count; i++) {
        struct brood__table_seat *seat = brood__seat_at(table, i);

        seat->record.number = i + 1;
        seat->first = 0;
        seat->waiting = 0;
    }
    table->free_first = 0;
    table->in_use_count = 0;
    table->mark_count = 0;
    memset(table->seats_held, 0, sizeof table->seats_held);
    table->seats_waiting = 0;
}

static void index_add(brood_lock_table *table, struct brood__lock_record *record)
{
    uint64_t word = brood__lock_record_word(record);
    struct brood__table_seat *seat = seat_of(table, record);

    if (word == 0) {
        if (is_row(table, record))
            free_list_add(table, record);
        return;
    }
    chain_insert_sorted(table, record);
    if (is_row(table, record))
        table->in_use_count++;
    else
        brood__seat_count(table, word, 1);
    if (brood__lock_word_state(word) == BROOD__RECORD_MARK) {
        table->mark_count++;
        return;
    }
    seat->generation = brood__lock_word_generation(word);
    if (is_row(table, record))
        own_list_add(table, seat, record);
    if (brood__lock_word_state(word) == BROOD__RECORD_WAITING)
        seat->waiting = record->number;
}

/* Whoever granted or was to wake them may have died: all that may sleep on a grant. */
static void wake_granted(struct brood__visit *visit, struct brood__lock_record *record)
{
    if (brood__lock_word_state(brood__lock_record_word(record)) == BROOD__RECORD_GRANTED)
        brood__visit_wake(visit, record);
}

static void settle_waiting(struct brood__visit *visit, struct brood__lock_record *record)
{
    struct brood__target target;

    if (brood__lock_word_state(brood__lock_record_word(record)) == BROOD__RECORD_WAITING) {
        target = brood__target_of_record(visit->table, record);
        brood__target_settle(visit, &target);
    }
}

static void for_all(struct brood__visit *visit, uint32_t seat_count,
                    void (*body)(struct brood__visit *, struct brood__lock_record *))
{
    brood_lock_table *table = visit->table;

    for (uint32_t i = 0; i < seat_count; i++)
        body(visit, &brood__seat_at(table, i)->record);
    for (uint32_t i = 0; i < table->rows_used; i++)
        body(visit, brood__lock_record_at(table, table->members_max + 1 + i));
}

static void index_record(struct brood__visit *visit, struct brood__lock_record *record)
{
    index_add(visit->table, record);
}

/*
 * Makes the index anew, and buries the one who died inside: the kernel may pass the mutex on
 * before it says so of his slot, and what he was about to do is half done.
 *
 * Before   The mutex is held, and inconsistent.
 * After    The index fits the words; everybody who can go on has been granted.
 * Dying    in here makes the next one do it all again, with `busy` as it was until his
 *          records are gone.
 */
static void repair(struct brood__visit *visit)
{
    brood_lock_table *table = visit->table;
    uint64_t busy = atomic_load_explicit(&table->busy, memory_order_relaxed);
    uint32_t seat_count = brood__slots_used(visit->header);
    uint32_t slot = (uint32_t)busy;

    index_forget(table, seat_count);
    for_all(visit, seat_count, index_record);
    if (busy != 0 && brood__seat_at(table, slot)->generation == (uint32_t)(busy >> 32))
        brood__seat_bury(visit, brood__seat_at(table, slot));
    brood__lock_table_sweep(visit);
    for_all(visit, seat_count, settle_waiting);
    for_all(visit, seat_count, wake_granted);
}

/* ---- entering and leaving ---- */

/* The seat is the slot's; what the thread that had the slot before had goes first. */
static void sit_down(struct brood__visit *visit)
{
    struct brood__table_seat *seat = brood__seat_at(visit->table, brood__here.slot);

    visit->seat = seat;
    if (__builtin_expect(seat->generation == brood__here.generation, 1))
        return;
    brood__seat_bury(visit, seat);
    seat->record.number = brood__here.slot + 1;
    seat->generation = brood__here.generation;
}

int brood__visit_enter(struct brood__visit *visit, brood_lock_table *table)
{
    int r;

    visit->table = table;
    visit->header = brood__object_header(&table->object);
    visit->seat = NULL;
    visit->dead_seen = false;
    visit->wake_count = 0;
    r = brood__robust_lock(visit->header, &table->mutex, BROOD__NEVER);
    if (r == -EOWNERDEAD) {
        repair(visit);
        atomic_store_explicit(&table->busy, 0, memory_order_release);
        brood__robust_repaired(&table->mutex);
    } else if (r < 0) {
        return r;
    }
    /* Ordered before every store to a word, for the one who finds us dead. */
    atomic_store_explicit(&table->busy,
                          brood__here.slot | (uint64_t)brood__here.generation << 32,
                          memory_order_release);
    sit_down(visit);
    return 0;
}

void brood__visit_again(struct brood__visit *visit)
{
    int r = brood__visit_enter(visit, visit->table);

    assert(r == 0);
    (void)r;
}

/*
 * The waiting thread sets `asleep`, and then sleeps if its word has not changed; here the
 * word has changed before `asleep` is read. Both being sequentially consistent, the one sees
 * the word or the other sees that somebody sleeps.
 */
static void wake(_Atomic uint64_t *word)
{
    struct brood__lock_record *record = (struct brood__lock_record *)(void *)word;

    if (atomic_load_explicit(&record->asleep, memory_order_seq_cst) != 0)
        brood__futex_wake(brood__lock_record_futex(record), 1);
}

void brood__visit_wake(struct brood__visit *visit, struct brood__lock_record *record)
{
    if (visit->wake_count == BROOD__WAKES_MAX)
        wake(&record->word);
    else
        visit->wakes[visit->wake_count++] = &record->word;
}

void brood__visit_leave(struct brood__visit *visit)
{
    while (__builtin_expect(visit->dead_seen, 0))
        brood__lock_table_sweep(visit);
    atomic_store_explicit(&visit->table->busy, 0, memory_order_release);
    brood__robust_unlock(&visit->table->mutex);
    for (unsigned i = 0; i < visit->wake_count; i++)
        wake(visit->wakes[i]);
    visit->wake_count = 0;
}
