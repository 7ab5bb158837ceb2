#include "sync/lock_table.h"

#include "base/options.h"
#include "shm/segment.h"

#include <string.h>

#define OPTIONS_BYTES_FIRST sizeof(brood_lock_table_options)
#define DEADLOCK_BYTES_FIRST sizeof(brood_deadlock)
#define OWNER_BYTES_FIRST sizeof(brood_owner)

#define RECORDS_DEFAULT 1024
#define RECORDS_MAX (1u << 24)
#define KEY_BYTES_DEFAULT 64
#define KEY_BYTES_MAX 4096

/* ---- life ---- */

static int options_of(const brood_lock_table_options *options, brood_lock_table_options *o)
{
    int r = brood__options_read(o, sizeof *o, OPTIONS_BYTES_FIRST, options);

    if (r < 0)
        return r;
    if (o->records_max == 0)
        o->records_max = RECORDS_DEFAULT;
    if (o->key_bytes_max == 0)
        o->key_bytes_max = KEY_BYTES_DEFAULT;
    return o->records_max > RECORDS_MAX || o->key_bytes_max > KEY_BYTES_MAX ? -EINVAL : 0;
}

int brood__lock_table_prepare(brood_shared *shared, const brood_lock_table_options *options,
                              brood_lock_table **ret_table)
{
    brood_lock_table shape = { 0 }, *table = NULL;
    struct brood__header *header = NULL;
    brood_lock_table_options o;
    size_t bytes;
    int r = options_of(options, &o);

    if (r == 0)
        r = brood__segment_of(shared, &header);
    if (r < 0)
        return r;
    shape.members_max = header->members_max;
    shape.records_max = o.records_max;
    shape.key_bytes_max = o.key_bytes_max;
    bytes = brood__lock_table_lay_out(&shape);
    r = brood__object_alloc(shared, bytes, &table);
    if (r < 0)
        return r;
    shape.object.place = table->object.place;
    memcpy(table, &shape, sizeof shape); /* all the rest is zero: an empty table */
    r = brood__robust_init(&table->mutex);
    if (r < 0) {
        (void)brood__object_free(&table->object);
        return r;
    }
    *ret_table = table;
    return 0;
}

void brood__lock_table_finish(brood_lock_table *table)
{
    brood__object_finish(&table->object, BROOD__LOCK_TABLE);
}

int brood_lock_table_create(brood_shared *shared, const brood_lock_table_options *options,
                            brood_lock_table **ret_table)
{
    brood_lock_table *table;
    int r;

    if (ret_table == NULL)
        return -EINVAL;
    r = brood__lock_table_prepare(shared, options, &table);
    if (r < 0)
        return r;
    brood__lock_table_finish(table);
    *ret_table = table;
    return 0;
}

static int check(const brood_lock_table *table)
{
    return table == NULL ? -EINVAL : brood__object_enter(&table->object, BROOD__LOCK_TABLE);
}

/* Every public call, but for create. */
static int enter(struct brood__visit *visit, brood_lock_table *table)
{
    int r = check(table);

    return r < 0 ? r : brood__visit_enter(visit, table);
}

int brood_lock_table_destroy(brood_lock_table *table)
{
    struct brood__visit visit;
    bool busy;
    int r;

    if (table == NULL)
        return 0;
    r = enter(&visit, table);
    if (r < 0)
        return r;
    brood__lock_table_sweep(&visit);
    busy = table->in_use_count != table->mark_count || table->chain.first != 0;
    brood__visit_leave(&visit);
    return busy ? -EBUSY : brood__object_free(&table->object);
}

/* ---- acquiring ---- */

static bool key_good(const brood_lock_table *table, const void *key, size_t key_bytes)
{
    return key != NULL && key_bytes > 0 && key_bytes <= table->key_bytes_max;
}

static int request_of(int64_t timeout, brood_deadlock *ret_cycle,
                      struct brood__lock_request *request)
{
    *request = (struct brood__lock_request){ timeout, 0, ret_cycle };
    return timeout < BROOD_FOREVER ||
                   (ret_cycle != NULL && ret_cycle->size < DEADLOCK_BYTES_FIRST)
               ? -EINVAL
               : 0;
}

static enum brood__mode held_by(const struct brood__lock_record *record)
{
    return record == NULL ? BROOD__MODE_NONE
                          : brood__lock_word_held(brood__lock_record_word(record));
}

/* The intention at the table first, then the row. What the table says of the table's own
 * marks stays true while the intention is held. */
static int acquire_row(struct brood__visit *visit, const struct brood__target *target,
                       enum brood__mode mode, struct brood__lock_request *request)
{
    brood_lock_table *table = visit->table;
    struct brood__target whole = brood__target_of_key(table, NULL, 0);
    struct brood__lock_record *intention = brood__target_own(visit, &whole);
    struct brood__lock_record *record = brood__target_own(visit, target);
    struct brood__table_seat *seat = visit->seat;
    enum brood__mode before = held_by(record);
    int r;

    if (record != NULL && record->depth == UINT32_MAX)
        return -EOVERFLOW;
    if (record == NULL || before != brood__modes_join(before, mode)) {
        r = brood__lock_obtain(visit, &whole,
                               mode == BROOD__MODE_X ? BROOD__MODE_IX : BROOD__MODE_IS, request,
                               &intention);
        if (r >= 0)
            r = brood__lock_obtain(visit, target, mode, request, &record);
        if (r < 0) {
            brood__seat_adjust(visit);
            return r;
        }
        seat->shared_count += (uint32_t)(mode == BROOD__MODE_S);
        seat->shared_count -= (uint32_t)(before == BROOD__MODE_S);
        seat->exclusive_count += (uint32_t)(mode == BROOD__MODE_X);
        if (atomic_load_explicit(&table->broken, memory_order_relaxed) != 0)
            r = BROOD_LOCK_TABLE_RECOVERED;
    } else {
        r = 0;
    }
    record->depth++;
    return r;
}

int brood_lock_table_acquire(brood_lock_table *table, const void *key, size_t key_bytes,
                             uint32_t mode, int64_t timeout, brood_deadlock *ret_cycle)
{
    struct brood__lock_request request;
    struct brood__target target;
    struct brood__visit visit;
    int r = request_of(timeout, ret_cycle, &request);

    if (r < 0 || (mode != BROOD_LOCK_SHARED && mode != BROOD_LOCK_EXCLUSIVE))
        return -EINVAL;
    r = check(table);
    if (r == 0 && !key_good(table, key, key_bytes))
        r = -EINVAL;
    if (r < 0)
        return r;
    target = brood__target_of_key(table, key, key_bytes);
    r = brood__visit_enter(&visit, table);
    if (r < 0)
        return r;
    r = acquire_row(&visit, &target, (enum brood__mode)mode, &request);
    brood__visit_leave(&visit);
    return r;
}

int brood_lock_table_acquire_table(brood_lock_table *table, uint32_t mode, int64_t timeout,
                                   brood_deadlock *ret_cycle)
{
    struct brood__lock_request request;
    struct brood__lock_record *record;
    struct brood__table_seat *seat;
    struct brood__target whole;
    struct brood__visit visit;
    enum brood__mode before;
    int r = request_of(timeout, ret_cycle, &request);

    if (r < 0 || mode < BROOD_LOCK_INTEND_SHARED || mode > BROOD_LOCK_EXCLUSIVE)
        return -EINVAL;
    r = enter(&visit, table);
    if (r < 0)
        return r;
    seat = visit.seat;
    whole = brood__target_of_key(table, NULL, 0);
    record = brood__target_own(&visit, &whole);
    before = held_by(record);
    r = seat->explicit_mode != BROOD__MODE_NONE && record->depth == UINT32_MAX
            ? -EOVERFLOW
            : brood__lock_obtain(&visit, &whole, (enum brood__mode)mode, &request, &record);
    if (r >= 0) {
        record->depth = seat->explicit_mode == BROOD__MODE_NONE ? 1 : record->depth + 1;
        seat->explicit_mode = (uint32_t)brood__modes_join((enum brood__mode)seat->explicit_mode,
                                                          (enum brood__mode)mode);
        if (before != held_by(record) && mode >= BROOD_LOCK_SHARED &&
            (table->mark_count > 0 ||
             atomic_load_explicit(&table->broken, memory_order_relaxed) != 0))
            r = BROOD_LOCK_RECOVERED;
    }
    brood__visit_leave(&visit);
    return r;
}

/* ---- releasing ---- */

int brood_lock_table_release(brood_lock_table *table, const void *key, size_t key_bytes)
{
    struct brood__lock_record *record;
    struct brood__target target;
    struct brood__visit visit;
    int r = check(table);

    if (r == 0 && !key_good(table, key, key_bytes))
        r = -EINVAL;
    if (r < 0)
        return r;
    target = brood__target_of_key(table, key, key_bytes);
    r = brood__visit_enter(&visit, table);
    if (r < 0)
        return r;
    record = brood__target_own(&visit, &target);
    if (record == NULL) {
        r = -EPERM;
    } else if (--record->depth == 0) {
        brood__lock_release_row(&visit, record);
        brood__seat_adjust(&visit);
    }
    brood__visit_leave(&visit);
    return r;
}

static void release_table(struct brood__visit *visit)
{
    if (held_by(&visit->seat->record) == BROOD__MODE_X)
        brood__marks_remove(visit);
    visit->seat->explicit_mode = BROOD__MODE_NONE;
    brood__seat_adjust(visit);
}

int brood_lock_table_release_table(brood_lock_table *table)
{
    struct brood__visit visit;
    int r = enter(&visit, table);

    if (r < 0)
        return r;
    if (visit.seat->explicit_mode == BROOD__MODE_NONE)
        r = -EPERM;
    else if (--visit.seat->record.depth == 0)
        release_table(&visit);
    brood__visit_leave(&visit);
    return r;
}

int brood_lock_table_release_all(brood_lock_table *table)
{
    struct brood__visit visit;
    struct brood__table_seat *seat;
    int count = 0, r = enter(&visit, table);

    if (r < 0)
        return r;
    seat = visit.seat;
    for (; seat->first != 0; count++)
        brood__lock_release_row(&visit, brood__lock_record_at(table, seat->first));
    if (seat->explicit_mode != BROOD__MODE_NONE) {
        release_table(&visit);
        count++;
    } else {
        brood__seat_adjust(&visit);
    }
    brood__visit_leave(&visit);
    return count;
}

/* ---- asking ---- */

/* The table, too: NULL with 0 bytes. */
static int ask(struct brood__visit *visit, brood_lock_table *table, const void *key,
               size_t key_bytes, struct brood__target *ret_target)
{
    int r = check(table);

    if (r == 0 && (key != NULL || key_bytes != 0) && !key_good(table, key, key_bytes))
        r = -EINVAL;
    if (r == 0)
        r = brood__visit_enter(visit, table);
    if (r == 0)
        *ret_target = brood__target_of_key(table, key, key_bytes);
    return r;
}

/* A living one who holds something. */
static struct brood__lock_record *holder(struct brood__visit *visit,
                                         const struct brood__target *target)
{
    BROOD__TARGET_FOR(record, visit->table, target)
    {
        if (held_by(record) != BROOD__MODE_NONE &&
            brood__lock_word_alive(visit, brood__lock_record_word(record)))
            return record;
    }
    return NULL;
}

static brood_owner owner_of(struct brood__visit *visit, const struct brood__lock_record *record)
{
    brood_owner owner = BROOD_OWNER_INIT;
    uint32_t index = brood__lock_word_slot(brood__lock_record_word(record));
    struct brood__slot *slot = brood__slot_at(visit->header, index);

    owner.pid = atomic_load_explicit(&slot->pid, memory_order_relaxed);
    owner.tid = atomic_load_explicit(&slot->tid, memory_order_relaxed);
    memcpy(owner.name, slot->name, sizeof owner.name);
    owner.name[sizeof owner.name - 1] = '\0';
    return owner;
}

int brood_lock_table_owner(brood_lock_table *table, const void *key, size_t key_bytes,
                           brood_owner *ret_owner)
{
    struct brood__lock_record *record;
    struct brood__target target;
    struct brood__visit visit;
    brood_owner owner = BROOD_OWNER_INIT;
    int mode, r = ask(&visit, table, key, key_bytes, &target);

    if (r < 0)
        return r;
    record = holder(&visit, &target);
    mode = (int)held_by(record);
    if (record != NULL)
        owner = owner_of(&visit, record);
    brood__visit_leave(&visit);
    if (record == NULL || ret_owner == NULL)
        return mode;
    r = brood__result_write(ret_owner, OWNER_BYTES_FIRST, &owner, sizeof owner);
    return r < 0 ? r : mode;
}

int brood_lock_table_held(brood_lock_table *table, const void *key, size_t key_bytes)
{
    struct brood__target target;
    struct brood__visit visit;
    int mode, r = ask(&visit, table, key, key_bytes, &target);

    if (r < 0)
        return r;
    mode = (int)held_by(brood__target_own(&visit, &target));
    brood__visit_leave(&visit);
    return mode;
}

int brood_lock_table_count(brood_lock_table *table)
{
    struct brood__visit visit;
    int count, r = enter(&visit, table);

    if (r < 0)
        return r;
    brood__lock_table_sweep(&visit);
    count = (int)table->in_use_count;
    brood__visit_leave(&visit);
    return count;
}
