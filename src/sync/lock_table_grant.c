#include "sync/lock_table.h"

#include "base/clock.h"

#define BIT(mode) (1u << (mode))

/* ---- modes ---- */

/* What each mode goes together with: the matrix of the public header. */
static const unsigned fitting[BROOD__MODE_COUNT] = {
    [BROOD__MODE_NONE] = ~0u,
    [BROOD__MODE_IS] = BIT(BROOD__MODE_NONE) | BIT(BROOD__MODE_IS) | BIT(BROOD__MODE_IX) |
                       BIT(BROOD__MODE_S) | BIT(BROOD__MODE_SIX),
    [BROOD__MODE_IX] = BIT(BROOD__MODE_NONE) | BIT(BROOD__MODE_IS) | BIT(BROOD__MODE_IX),
    [BROOD__MODE_S] = BIT(BROOD__MODE_NONE) | BIT(BROOD__MODE_IS) | BIT(BROOD__MODE_S),
    [BROOD__MODE_SIX] = BIT(BROOD__MODE_NONE) | BIT(BROOD__MODE_IS),
    [BROOD__MODE_X] = BIT(BROOD__MODE_NONE),
};

bool brood__modes_fit(enum brood__mode one, enum brood__mode other)
{
    return (fitting[one] & BIT(other)) != 0;
}

/* The weakest mode that is as good as both: their order is IS < IX, S < SIX < X, where
 * only IX and S have neither above the other. */
enum brood__mode brood__modes_join(enum brood__mode one, enum brood__mode other)
{
    enum brood__mode low = one < other ? one : other;
    enum brood__mode high = one < other ? other : one;

    return low == BROOD__MODE_IX && high == BROOD__MODE_S ? BROOD__MODE_SIX : high;
}

static uint64_t own_word(enum brood__lock_record_state state, enum brood__mode held,
                         enum brood__mode wanted)
{
    return brood__lock_word_of(brood__here.slot, brood__here.generation, state, held, wanted);
}

/* The commit of a change. The table's own locks, which every thread with a row has, are
 * counted too: most of the time they all go together. */
static void commit(struct brood__visit *visit, struct brood__lock_record *record, uint64_t word)
{
    if (record->key_bytes == 0) {
        brood__seat_count(visit->table, brood__lock_record_word(record), -1);
        brood__seat_count(visit->table, word, 1);
    }
    brood__lock_record_store(record, word);
}

/* ---- who is in whose way ---- */

struct brood__wish brood__wish_of(const struct brood__lock_record *record)
{
    uint64_t word = brood__lock_record_word(record);
    struct brood__wish wish = {
        .self = record,
        .wanted = brood__lock_word_wanted(word),
        .converting = brood__lock_word_held(word) != BROOD__MODE_NONE,
        .ticket = record->ticket,
    };

    return wish;
}

/* What others have, and what those wait for who go first: they that have something already,
 * then by ticket. Whoever fits to all of these need not wait, also if others before do. */
bool brood__wish_stopped_by(const struct brood__wish *wish,
                            const struct brood__lock_record *record)
{
    uint64_t word = brood__lock_record_word(record);
    bool converting = brood__lock_word_held(word) != BROOD__MODE_NONE;

    if (record == wish->self)
        return false;
    if (!brood__modes_fit(brood__lock_word_held(word), wish->wanted))
        return true;
    if (brood__lock_word_state(word) != BROOD__RECORD_WAITING ||
        (converting == wish->converting ? record->ticket > wish->ticket : wish->converting))
        return false;
    return !brood__modes_fit(brood__lock_word_wanted(word), wish->wanted);
}

struct brood__lock_record *brood__wish_blocker(brood_lock_table *table,
                                               const struct brood__target *target,
                                               const struct brood__wish *wish, uint32_t from)
{
    struct brood__lock_record *record = brood__target_next(table, target, from);

    while (record != NULL && !brood__wish_stopped_by(wish, record))
        record = brood__target_next(table, target, record->next);
    return record;
}

/* Whether a mode fits to all that is held, but for one `own`. */
static bool fits_held(const uint32_t held[BROOD__MODE_COUNT], enum brood__mode own,
                      enum brood__mode wanted)
{
    for (unsigned i = BROOD__MODE_IS; i < BROOD__MODE_COUNT; i++)
        if (held[i] > (i == own) && !brood__modes_fit((enum brood__mode)i, wanted))
            return false;
    return true;
}

/* Of the table's own locks, and without looking at them: those who hold something do not
 * stop the wish, and nobody waits. */
static bool all_fit(const brood_lock_table *table, const struct brood__wish *wish)
{
    enum brood__mode own = BROOD__MODE_NONE;

    if (wish->self != NULL)
        own = brood__lock_word_held(brood__lock_record_word(wish->self));
    return table->seats_waiting == 0 && fits_held(table->seats_held, own, wish->wanted);
}

bool brood__wish_blocked(struct brood__visit *visit, const struct brood__target *target,
                         const struct brood__wish *wish)
{
    struct brood__lock_record *record;
    uint64_t word;
    bool blocked = false;
    uint32_t from = target->chain->first;

    if (target->key_bytes == 0 && all_fit(visit->table, wish))
        return false;
    while ((record = brood__wish_blocker(visit->table, target, wish, from)) != NULL) {
        word = brood__lock_record_word(record);
        if (brood__lock_word_alive(visit, word)) {
            blocked = true;
            from = record->next;
        } else { /* with it go others of its records, maybe the next one here */
            brood__seat_bury(visit, brood__seat_at(visit->table, brood__lock_word_slot(word)));
            blocked = false;
            from = target->chain->first;
        }
    }
    return blocked;
}

/* ---- granting ---- */

static void grant(struct brood__visit *visit, struct brood__lock_record *record, uint64_t word)
{
    commit(visit, record,
           brood__lock_word_of(brood__lock_word_slot(word), brood__lock_word_generation(word),
                               BROOD__RECORD_GRANTED, brood__lock_word_wanted(word),
                               BROOD__MODE_NONE));
    brood__visit_wake(visit, record);
}

/* One turn over those who wait: first the ones that have something already, then the rest.
 * `ahead` has what those want who could not be granted. */
static void settle_turn(struct brood__visit *visit, const struct brood__target *target,
                        uint32_t held[BROOD__MODE_COUNT], bool converting, unsigned *ahead)
{
    BROOD__TARGET_FOR(record, visit->table, target)
    {
        uint64_t word = brood__lock_record_word(record);
        enum brood__mode own = brood__lock_word_held(word);
        enum brood__mode wanted = brood__lock_word_wanted(word);

        if (brood__lock_word_state(word) != BROOD__RECORD_WAITING ||
            (own != BROOD__MODE_NONE) != converting)
            continue;
        if (!brood__lock_word_alive(visit, word)) {
            visit->dead_seen = true; /* buried later: its own settling comes with that */
        } else if ((*ahead & ~fitting[wanted]) == 0 && fits_held(held, own, wanted)) {
            held[own]--;
            held[wanted]++;
            grant(visit, record, word);
        } else {
            *ahead |= BIT(wanted);
        }
    }
}

/*
 * Before   Something was given up, or somebody ceased to wait.
 * After    Nobody waits whom nothing stops.
 * Dying    in here leaves some granted and asleep, and some not granted: the repair wakes
 *          the ones and settles the others.
 */
void brood__target_settle(struct brood__visit *visit, const struct brood__target *target)
{
    uint32_t held[BROOD__MODE_COUNT] = { 0 };
    unsigned ahead = 0;
    bool waits = false;

    if (target->key_bytes == 0 && visit->table->seats_waiting == 0)
        return;
    BROOD__TARGET_FOR(record, visit->table, target)
    {
        uint64_t word = brood__lock_record_word(record);

        held[brood__lock_word_held(word)]++;
        waits |= brood__lock_word_state(word) == BROOD__RECORD_WAITING;
    }
    if (!waits)
        return;
    settle_turn(visit, target, held, true, &ahead);
    settle_turn(visit, target, held, false, &ahead);
}

/* ---- giving up ---- */

/*
 * Before   The record is not FREE.
 * After    It is, and others have been granted what they can have.
 * Dying    after the store leaves it free, and the rest to the repair.
 */
static void drop(struct brood__visit *visit, struct brood__table_seat *seat,
                 struct brood__lock_record *record)
{
    struct brood__target target = brood__target_of_record(visit->table, record);
    bool row = target.key_bytes != 0;

    commit(visit, record, 0);
    brood__lock_record_unchain(visit, record);
    if (row && seat != NULL)
        brood__lock_record_disown(visit, seat, record);
    brood__target_settle(visit, &target);
    if (row)
        brood__lock_record_reuse(visit, record); /* its memory had the key until now */
}

static void remove_mark(struct brood__visit *visit, struct brood__lock_record *mark)
{
    visit->table->mark_count--;
    drop(visit, NULL, mark);
}

/* The mark goes first: dying after that, but before the row is released, makes a new one. */
void brood__lock_release_row(struct brood__visit *visit, struct brood__lock_record *record)
{
    struct brood__target target = brood__target_of_record(visit->table, record);
    struct brood__table_seat *seat = visit->seat;
    struct brood__lock_record *mark;

    if (brood__lock_word_held(brood__lock_record_word(record)) == BROOD__MODE_X) {
        mark = brood__target_mark(visit, &target);
        if (mark != NULL)
            remove_mark(visit, mark);
        seat->exclusive_count--;
    } else {
        seat->shared_count--;
    }
    drop(visit, seat, record);
}

void brood__lock_withdraw(struct brood__visit *visit, struct brood__lock_record *record)
{
    enum brood__mode held = brood__lock_word_held(brood__lock_record_word(record));
    struct brood__target target;

    if (held == BROOD__MODE_NONE) {
        drop(visit, visit->seat, record);
        return;
    }
    target = brood__target_of_record(visit->table, record);
    commit(visit, record, own_word(BROOD__RECORD_GRANTED, held, BROOD__MODE_NONE));
    brood__target_settle(visit, &target); /* those behind had to wait for the wish */
}

void brood__seat_adjust(struct brood__visit *visit)
{
    struct brood__table_seat *seat = visit->seat;
    enum brood__mode held = brood__lock_word_held(brood__lock_record_word(&seat->record));
    enum brood__mode left = (enum brood__mode)seat->explicit_mode;
    struct brood__target target;

    if (seat->exclusive_count > 0)
        left = brood__modes_join(left, BROOD__MODE_IX);
    else if (seat->shared_count > 0)
        left = brood__modes_join(left, BROOD__MODE_IS);
    if (left == held)
        return;
    if (left == BROOD__MODE_NONE) {
        drop(visit, seat, &seat->record);
        return;
    }
    target = brood__target_of_record(visit->table, &seat->record);
    commit(visit, &seat->record, own_word(BROOD__RECORD_GRANTED, left, BROOD__MODE_NONE));
    brood__target_settle(visit, &target);
}

/* ---- the dead ---- */

void brood__marks_remove(struct brood__visit *visit)
{
    brood_lock_table *table = visit->table;

    atomic_store_explicit(&table->broken, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < table->rows_used && table->mark_count > 0; i++) {
        struct brood__lock_record *record =
            brood__lock_record_at(table, table->members_max + 1 + i);

        if (brood__lock_word_state(brood__lock_record_word(record)) == BROOD__RECORD_MARK)
            remove_mark(visit, record);
    }
}

/*
 * A row that a dead thread had or waited for.
 *
 * Before   The record is of a dead thread.
 * After    It is a mark if the row was held exclusively and has none yet; otherwise FREE.
 * Dying    leaves the one or the other: all else is index.
 */
static void bury_row(struct brood__visit *visit, struct brood__table_seat *seat,
                     struct brood__lock_record *record)
{
    struct brood__target target = brood__target_of_record(visit->table, record);

    if (brood__lock_word_held(brood__lock_record_word(record)) != BROOD__MODE_X ||
        brood__target_mark(visit, &target) != NULL) {
        drop(visit, seat, record);
        return;
    }
    commit(visit, record,
           brood__lock_word_of(0, 0, BROOD__RECORD_MARK, BROOD__MODE_NONE, BROOD__MODE_NONE));
    visit->table->mark_count++;
    brood__lock_record_disown(visit, seat, record);
    brood__target_settle(visit, &target);
}

/* Rows first: as long as the table's own lock is there, nobody has the whole table who could
 * meet a row that is still held. */
void brood__seat_bury(struct brood__visit *visit, struct brood__table_seat *seat)
{
    brood_lock_table *table = visit->table;
    uint64_t word = brood__lock_record_word(&seat->record);

    while (seat->first != 0)
        bury_row(visit, seat, brood__lock_record_at(table, seat->first));
    if (word != 0) {
        if (brood__lock_word_held(word) == BROOD__MODE_X)
            atomic_store_explicit(&table->broken, 1, memory_order_relaxed);
        drop(visit, seat, &seat->record);
    }
    seat->waiting = 0;
    seat->explicit_mode = BROOD__MODE_NONE;
    seat->shared_count = 0;
    seat->exclusive_count = 0;
}

void brood__lock_table_sweep(struct brood__visit *visit)
{
    uint32_t used = brood__slots_used(visit->header);

    visit->dead_seen = false;
    for (uint32_t i = 0; i < used; i++) {
        struct brood__table_seat *seat = brood__seat_at(visit->table, i);

        if ((seat->first != 0 || brood__lock_record_word(&seat->record) != 0) &&
            !brood__thread_alive(visit->header, i, seat->generation))
            brood__seat_bury(visit, seat);
    }
}

/* ---- obtaining ---- */

/* The caller's record, new or of one that makes room by being dead. */
static struct brood__lock_record *take(struct brood__visit *visit,
                                       const struct brood__target *target)
{
    struct brood__lock_record *record = brood__lock_record_take(visit, target);

    if (record == NULL) {
        brood__lock_table_sweep(visit);
        record = brood__lock_record_take(visit, target);
    }
    return record;
}

/*
 * The mark of a row becomes the caller's record: so a row can be put right also when all
 * records are in use.
 *
 * Before   Nobody has the row, or nobody but the caller will.
 * After    The caller has it exclusively.
 * Dying    before the store leaves the mark, after it a record that will be one again.
 */
static struct brood__lock_record *adopt(struct brood__visit *visit,
                                        const struct brood__target *target,
                                        struct brood__lock_record *mark)
{
    mark->depth = 0;
    brood__lock_record_requeue(visit, target, mark, true);
    brood__lock_record_own(visit, mark);
    visit->table->mark_count--;
    return mark;
}

/* At once, nobody being in the way. */
static int obtain_now(struct brood__visit *visit, const struct brood__target *target,
                      const struct brood__wish *wish, struct brood__lock_record **record)
{
    struct brood__lock_record *mark = brood__target_mark(visit, target);

    if (*record == NULL)
        *record = mark != NULL && wish->wanted == BROOD__MODE_X ? adopt(visit, target, mark)
                                                                : take(visit, target);
    if (*record == NULL)
        return -ENOSPC;
    commit(visit, *record, own_word(BROOD__RECORD_GRANTED, wish->wanted, BROOD__MODE_NONE));
    return mark != NULL ? BROOD_LOCK_RECOVERED : 0;
}

/*
 * Before   The record, NULL if there is none, holds less than is wanted.
 * After    It holds what is wanted, or what it held.
 * Dying    leaves a dead one who waits, whom the others bury.
 */
static int obtain_later(struct brood__visit *visit, const struct brood__target *target,
                        const struct brood__wish *wish, struct brood__lock_request *request,
                        struct brood__lock_record **record)
{
    struct brood__lock_record *mine = *record;
    enum brood__mode held = BROOD__MODE_NONE;
    int r = 0;

    if (request->deadline == 0)
        (void)brood__deadline(request->timeout, &request->deadline);
    if (mine != NULL) {
        held = brood__lock_word_held(brood__lock_record_word(mine));
        brood__lock_record_requeue(visit, target, mine, true);
    } else {
        mine = take(visit, target);
        if (mine == NULL)
            return -ENOSPC;
    }
    commit(visit, mine, own_word(BROOD__RECORD_WAITING, held, wish->wanted));
    visit->seat->waiting = mine->number;
    if (brood__lock_cycle(visit, request->ret_cycle)) {
        brood__lock_withdraw(visit, mine);
        return -EDEADLK;
    }
    if (brood__lock_record_waits(mine))
        r = brood__lock_await(visit, mine, request);
    if (r < 0)
        return r;
    *record = mine;
    return brood__target_mark(visit, target) != NULL ? BROOD_LOCK_RECOVERED : 0;
}

int brood__lock_obtain(struct brood__visit *visit, const struct brood__target *target,
                       enum brood__mode mode, struct brood__lock_request *request,
                       struct brood__lock_record **record)
{
    struct brood__wish wish = { .self = *record, .ticket = UINT64_MAX };
    enum brood__mode held = BROOD__MODE_NONE;

    if (*record != NULL)
        held = brood__lock_word_held(brood__lock_record_word(*record));
    wish.wanted = brood__modes_join(held, mode);
    wish.converting = held != BROOD__MODE_NONE;
    if (wish.wanted == held)
        return 0;
    if (!brood__wish_blocked(visit, target, &wish))
        return obtain_now(visit, target, &wish, record);
    if (request->timeout == BROOD_NOWAIT)
        return -ETIMEDOUT;
    return obtain_later(visit, target, &wish, request, record);
}
