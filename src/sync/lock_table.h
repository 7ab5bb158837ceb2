/*
 * The lock table, inside: records, the index of them, and what happens to them.
 *
 *     FREE --acquire--> GRANTED --release--> FREE
 *       '----acquire--> WAITING --grant----> GRANTED
 *                          '-----timeout, deadlock, its thread dies--> FREE
 *     GRANTED --acquire stronger--> WAITING, holding what it has --grant--> GRANTED
 *                                                      '--timeout, deadlock--> GRANTED
 *     GRANTED, exclusively --its thread dies--> MARK --------------------------> FREE
 *                                                '--acquire--> GRANTED   one releases
 *     GRANTED, otherwise --its thread dies--> FREE                       that had it X
 *
 * A record says what one thread has and wants of one thing: of a row, the row of a key; of
 * the table, the record of the thread's seat. There is a seat for each slot of the segment.
 * Each record has one word:
 *
 *     generation:32 | slot:16 | - :4 | wanted:4 | held:4 | state:4
 *
 * Invariant: the words, with `ticket` and the key of each record that is not FREE, are the
 * truth, and every change of it is one store to one word. The chains, the lists of what a
 * thread has, the free list and the counts are an index, which is made anew from the words by
 * whoever enters after a process died inside. So the truth is never half-changed but in one
 * way: a thread died between two of its own steps. Then all it has goes, and nothing else was
 * touched; with others' records a thread does nothing but grant them, or bury the dead.
 *
 * Who writes what: everything under `mutex`, but `asleep`, which is its thread's. Of another
 * living thread's record and seat only the word and the links are written. Waiting threads
 * read their own word without the mutex, and sleep on its low half.
 *
 *     lock_table.c           the public face
 *     lock_table_index.c     entering, repair, records, chains
 *     lock_table_grant.c     modes, who may have what, burying the dead
 *     lock_table_wait.c      sleeping until a grant
 *     lock_table_deadlock.c  cycles of waits
 */
#ifndef BROOD__SYNC_LOCK_TABLE_H
#define BROOD__SYNC_LOCK_TABLE_H

#include "shm/robust.h"
#include "sync/object.h"

#include <brood/lock_table.h>

/* NONE, then those of the public header. */
enum brood__mode {
    BROOD__MODE_NONE = 0,
    BROOD__MODE_IS = BROOD_LOCK_INTEND_SHARED,
    BROOD__MODE_IX = BROOD_LOCK_INTEND_EXCLUSIVE,
    BROOD__MODE_S = BROOD_LOCK_SHARED,
    BROOD__MODE_SIX = BROOD_LOCK_SHARED_INTEND_EXCLUSIVE,
    BROOD__MODE_X = BROOD_LOCK_EXCLUSIVE,
    BROOD__MODE_COUNT
};

enum brood__lock_record_state {
    BROOD__RECORD_FREE = 0,
    BROOD__RECORD_WAITING,
    BROOD__RECORD_GRANTED,
    BROOD__RECORD_MARK, /* nobody's: one died who had the row exclusively */
};

/* Records are named by number, 0 being none: the seats', slot by slot, then the rows'. */
struct brood__lock_record {
    _Atomic uint64_t word;
    _Atomic uint32_t asleep; /* its thread sleeps on the word, or is about to */
    uint32_t number;         /* its own; never changes */
    uint64_t ticket;         /* in the order in which they came, or asked for more */
    uint64_t hash;
    uint32_t key_bytes; /* 0: a seat's; the key of a row's follows the record */
    uint32_t depth;     /* acquisitions not yet released */
    uint32_t next;      /* in its chain, by ticket */
    uint32_t prev;
    uint32_t next_own; /* rows: of the same seat; the free list */
    uint32_t prev_own;
};

struct brood__table_seat {
    struct brood__lock_record
        record;             /* what the thread has of the table, intentions included */
    uint32_t generation;    /* of the thread that the rest speaks of */
    uint32_t first;         /* of its rows */
    uint32_t waiting;       /* the record it waits with, as of its last wait */
    uint32_t explicit_mode; /* of the table, as asked for; its depth is the record's */
    uint32_t shared_count;  /* rows by the mode in which they are held */
    uint32_t exclusive_count;
    uint32_t came_from; /* of a search for cycles: the seat that waits for this one */
    uint32_t cursor;    /* the record to look at next */
    uint64_t search;    /* the search that these two are of */
};

struct brood__chain {
    uint32_t first;
    uint32_t last;
};

struct brood_lock_table {
    struct brood__object object;
    uint32_t members_max; /* these never change */
    uint32_t records_max;
    uint32_t key_bytes_max;
    uint32_t record_bytes;
    uint64_t bucket_mask;
    uint64_t buckets; /* bytes from here, as the next two */
    uint64_t seats;
    uint64_t rows;

    _Alignas(BROOD__LINE) pthread_mutex_t mutex;
    _Atomic uint64_t busy;   /* who is inside, as generation:32 | slot:32, 0: nobody */
    _Atomic uint32_t broken; /* truth: one died who had the whole table exclusively */
    uint32_t rows_used;      /* truth: those from here on were never used */
    uint64_t ticket;         /* truth: those from here on were never used */
    uint64_t search;
    uint32_t free_first;
    uint32_t in_use_count;
    uint32_t mark_count;
    uint32_t seats_held[BROOD__MODE_COUNT]; /* how many have the table in each mode */
    uint32_t seats_waiting;
    struct brood__chain chain; /* of the table's own locks */
};

#define BROOD__WAKES_MAX 16

/* A stay under the mutex. */
struct brood__visit {
    brood_lock_table *table;
    struct brood__header *header;
    struct brood__table_seat *seat; /* the calling thread's */
    bool dead_seen;                 /* one who waits is dead: leaving sweeps */
    unsigned wake_count;
    _Atomic uint64_t *wakes[BROOD__WAKES_MAX];
};

/* What is locked, a row or the table: where its records are found, and the key. */
struct brood__target {
    struct brood__chain *chain;
    uint64_t hash;
    const void *key;
    uint32_t key_bytes; /* 0: the table */
};

/* What a thread asks for, or waits for. */
struct brood__wish {
    const struct brood__lock_record *self; /* NULL: no record yet */
    enum brood__mode wanted;
    bool converting; /* it holds something already, and goes first */
    uint64_t ticket;
};

/* The words of a call. */
struct brood__lock_request {
    int64_t timeout;
    int64_t deadline; /* 0: not known yet */
    brood_deadlock *ret_cycle;
};

/* ---- words ---- */

static inline uint64_t brood__lock_record_word(const struct brood__lock_record *record)
{
    return atomic_load_explicit(&record->word, memory_order_acquire);
}

static inline enum brood__lock_record_state brood__lock_word_state(uint64_t word)
{
    return (enum brood__lock_record_state)(word & 15);
}

static inline enum brood__mode brood__lock_word_held(uint64_t word)
{
    return (enum brood__mode)(word >> 4 & 15);
}

static inline enum brood__mode brood__lock_word_wanted(uint64_t word)
{
    return (enum brood__mode)(word >> 8 & 15);
}

static inline uint32_t brood__lock_word_slot(uint64_t word)
{
    return (uint32_t)(word >> 16) & 0xffff;
}

static inline uint32_t brood__lock_word_generation(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static inline uint64_t brood__lock_word_of(uint32_t slot, uint32_t generation,
                                           enum brood__lock_record_state state,
                                           enum brood__mode held, enum brood__mode wanted)
{
    return (uint64_t)generation << 32 | (uint64_t)slot << 16 | (uint64_t)wanted << 8 |
           (uint64_t)held << 4 | (uint64_t)state;
}

static inline _Atomic uint32_t *brood__lock_record_futex(struct brood__lock_record *record)
{
    return (_Atomic uint32_t *)(void *)&record->word;
}

/* Whether its thread still waits; also asked without the mutex, by that thread. */
static inline bool brood__lock_record_waits(const struct brood__lock_record *record)
{
    return brood__lock_word_state(brood__lock_record_word(record)) == BROOD__RECORD_WAITING;
}

/* Counts one of the table's own locks in or out. */
static inline void brood__seat_count(brood_lock_table *table, uint64_t word, int sign)
{
    table->seats_held[brood__lock_word_held(word)] += (uint32_t)sign;
    table->seats_waiting +=
        brood__lock_word_state(word) == BROOD__RECORD_WAITING ? (uint32_t)sign : 0;
}

/* The commit of every change. Pairs with `asleep`: see brood__visit_wake(). */
static inline void brood__lock_record_store(struct brood__lock_record *record, uint64_t word)
{
    atomic_store_explicit(&record->word, word, memory_order_seq_cst);
}

/* ---- lock_table_index.c ---- */

/* Says where the parts are, given the table's limits. Returns the bytes of it all. */
size_t brood__lock_table_lay_out(brood_lock_table *table);

/*
 * Enters: takes the mutex, repairs the index if a process died inside, buries what the last
 * owner of the calling thread's slot left. The thread has entered the segment.
 *
 * Dying anywhere until the end of brood__visit_leave() makes the next one repair.
 */
int brood__visit_enter(struct brood__visit *visit, brood_lock_table *table);

/* The same, of a thread that has been in here before: it cannot fail. */
void brood__visit_again(struct brood__visit *visit);

/* Unlocks, and wakes those who have been granted what they wait for. One who dies between
 * the two leaves them asleep until the end of their slices. */
void brood__visit_leave(struct brood__visit *visit);

/* The thread of a record just granted is to be woken, if it sleeps. */
void brood__visit_wake(struct brood__visit *visit, struct brood__lock_record *record);

struct brood__lock_record *brood__lock_record_at(brood_lock_table *table, uint32_t number);

static inline struct brood__table_seat *brood__seat_at(brood_lock_table *table, uint32_t slot)
{
    return (struct brood__table_seat *)((char *)table + table->seats) + slot;
}

static inline void *brood__lock_record_key(const struct brood__lock_record *record)
{
    return (char *)(uintptr_t)record + sizeof *record;
}

struct brood__target brood__target_of_key(brood_lock_table *table, const void *key,
                                          size_t key_bytes);
struct brood__target brood__target_of_record(brood_lock_table *table,
                                             const struct brood__lock_record *record);

/* The records of a target, by ticket: the first from number `from` on, NULL at the end. */
struct brood__lock_record *
brood__target_next(brood_lock_table *table, const struct brood__target *target, uint32_t from);

#define BROOD__TARGET_FOR(record, table, target)                                               \
    for (struct brood__lock_record *record =                                                   \
             brood__target_next(table, target, (target)->chain->first);                        \
         record != NULL; record = brood__target_next(table, target, record->next))

/* The calling thread's record of a target, and its mark. */
struct brood__lock_record *brood__target_own(struct brood__visit *visit,
                                             const struct brood__target *target);
struct brood__lock_record *brood__target_mark(struct brood__visit *visit,
                                              const struct brood__target *target);

/* A record for the caller, its word still FREE, linked to the chain and the caller's seat;
 * NULL if there is none. */
struct brood__lock_record *brood__lock_record_take(struct brood__visit *visit,
                                                   const struct brood__target *target);

/* A new ticket, and the place in the chain that goes with it; `linked`: it has one now. */
void brood__lock_record_requeue(struct brood__visit *visit, const struct brood__target *target,
                                struct brood__lock_record *record, bool linked);

/* The single links of a record: to the rows of the caller or of a seat, its chain, the free
 * list. */
void brood__lock_record_own(struct brood__visit *visit, struct brood__lock_record *record);
void brood__lock_record_disown(struct brood__visit *visit, struct brood__table_seat *seat,
                               struct brood__lock_record *record);
void brood__lock_record_unchain(struct brood__visit *visit, struct brood__lock_record *record);
void brood__lock_record_reuse(struct brood__visit *visit, struct brood__lock_record *record);

/* ---- lock_table_grant.c ---- */

bool brood__modes_fit(enum brood__mode one, enum brood__mode other);
enum brood__mode brood__modes_join(enum brood__mode one, enum brood__mode other);

/*
 * Makes the caller have what it asks for of a target, waiting if need be. *record is its
 * record there, or NULL; set on success. The mutex is held before and after, not while
 * waiting. Returns 0, or BROOD_LOCK_RECOVERED for a row with a mark; -ETIMEDOUT, -EDEADLK or
 * -ENOSPC: then all is as it was.
 */
int brood__lock_obtain(struct brood__visit *visit, const struct brood__target *target,
                       enum brood__mode mode, struct brood__lock_request *request,
                       struct brood__lock_record **record);

/* Gives up a row of the caller's, with the mark of it if the caller had it exclusively. */
void brood__lock_release_row(struct brood__visit *visit, struct brood__lock_record *record);

/* Gives up the wish of the caller's record that waits. */
void brood__lock_withdraw(struct brood__visit *visit, struct brood__lock_record *record);

/* Lowers the caller's lock of the table to what it asked for and its rows need. */
void brood__seat_adjust(struct brood__visit *visit);

/* Ends all marks, the table's and the rows': the caller has it exclusively. */
void brood__marks_remove(struct brood__visit *visit);

/* Grants what can be granted of a target. */
void brood__target_settle(struct brood__visit *visit, const struct brood__target *target);

/* Takes away what a dead thread had and wanted. */
void brood__seat_bury(struct brood__visit *visit, struct brood__table_seat *seat);

/* Buries all the dead. */
void brood__lock_table_sweep(struct brood__visit *visit);

/* Buries those dead that are in the way of a wish; true if a living one is. */
bool brood__wish_blocked(struct brood__visit *visit, const struct brood__target *target,
                         const struct brood__wish *wish);

/* Whether the thread that a word names lives. */
static inline bool brood__lock_word_alive(const struct brood__visit *visit, uint64_t word)
{
    return brood__thread_alive(visit->header, brood__lock_word_slot(word),
                               brood__lock_word_generation(word));
}

/* What a record waits for. */
struct brood__wish brood__wish_of(const struct brood__lock_record *record);

/* Whether one record is in the way of a wish of the same target. */
bool brood__wish_stopped_by(const struct brood__wish *wish,
                            const struct brood__lock_record *record);

/* The first record, from number `from` on, that is. */
struct brood__lock_record *brood__wish_blocker(brood_lock_table *table,
                                               const struct brood__target *target,
                                               const struct brood__wish *wish, uint32_t from);

/* ---- lock_table_wait.c ---- */

/* Waits until the record, WAITING, is granted. -ETIMEDOUT: its wish is withdrawn. */
int brood__lock_await(struct brood__visit *visit, struct brood__lock_record *record,
                      const struct brood__lock_request *request);

/* ---- lock_table_deadlock.c ---- */

/* Whether the caller's wait closes a cycle, which *ret_cycle, if not NULL, then names. */
bool brood__lock_cycle(struct brood__visit *visit, brood_deadlock *ret_cycle);

/* ---- for nouns that have a lock table in them: lock_table.c ---- */

/* The two halves of brood_lock_table_create(): until the second, the table is the calling
 * process's, and goes when that dies. */
int brood__lock_table_prepare(brood_shared *shared, const brood_lock_table_options *options,
                              brood_lock_table **ret_table);
void brood__lock_table_finish(brood_lock_table *table);

#endif
