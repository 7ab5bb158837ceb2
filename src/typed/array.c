/*
 * An array: elements, and a journal by which a write is whole.
 *
 *     QUIET --the bytes are in the journal--> PENDING --they are in the elements--> QUIET
 *                                                ^                |
 *                                                +---a death------+
 *
 * Invariant: while journal_bytes is not 0, the journal is whole, and whoever has the lock
 * copies it to its place before anything else. Doing that twice is as good as once.
 *
 * Who writes what: the sizes never change. All else, the holder of the lock. The commit of a
 * write is the store of journal_bytes. A single element of 1, 2, 4 or 8 bytes needs no
 * journal: its own store is the commit.
 */
#include "typed/inside.h"

#include <brood/value.h>

#include <string.h>

#define BYTES_MAX (UINT64_C(1) << 44)

struct brood_array {
    struct brood__object object;
    struct brood_lock lock;
    uint64_t count;
    uint64_t element_bytes;
    uint64_t journal_bytes_max;                    /* a multiple of a cache line */
    _Atomic uint64_t journal_at;                   /* from the first element, in bytes */
    _Atomic uint64_t journal_bytes;                /* 0: nothing pending */
    _Alignas(BROOD__LINE) unsigned char journal[]; /* then the elements */
};

static unsigned char *elements_of(brood_array *array)
{
    return array->journal + array->journal_bytes_max;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + BROOD__LINE - 1) / BROOD__LINE * BROOD__LINE;
}

/* Room for a write of BROOD_ARRAY_WHOLE_BYTES and for an element, but no more than for all. */
static uint64_t journal_for(uint64_t element_bytes, uint64_t all)
{
    uint64_t bytes =
        element_bytes > BROOD_ARRAY_WHOLE_BYTES ? element_bytes : BROOD_ARRAY_WHOLE_BYTES;

    return round_up(bytes < all ? bytes : all);
}

/* The object comes first; array may be NULL. */
static int check(const brood_array *array)
{
    return brood__object_check((const struct brood__object *)array, BROOD__ARRAY);
}

static int enter(const brood_array *array)
{
    return brood__object_enter((const struct brood__object *)array, BROOD__ARRAY);
}

int brood_array_create(brood_shared *shared, size_t element_count, size_t element_bytes,
                       const void *initial, brood_array **ret_array)
{
    brood_array *array = NULL;
    uint64_t all, journal;
    int r;

    if (ret_array == NULL || element_count == 0 || element_bytes == 0 ||
        element_count > BYTES_MAX / element_bytes)
        return -EINVAL;
    all = (uint64_t)element_count * element_bytes;
    journal = journal_for(element_bytes, all);
    r = brood__object_alloc(shared, sizeof *array + journal + all, &array);
    if (r < 0)
        return r;
    array->count = element_count;
    array->element_bytes = element_bytes;
    array->journal_bytes_max = journal;
    if (initial != NULL)
        memcpy(elements_of(array), initial, all);
    r = brood__inside_init(&array->object, &array->lock);
    if (r < 0) {
        (void)brood__object_free(&array->object);
        return r;
    }
    brood__object_finish(&array->object, BROOD__ARRAY);
    *ret_array = array;
    return 0;
}

int brood_array_destroy(brood_array *array)
{
    int r;

    if (array == NULL)
        return 0;
    r = enter(array);
    if (r == 0)
        r = brood__inside_end(&array->lock);
    return r == 0 ? brood__object_free(&array->object) : r;
}

/* ---- the journal ---- */

/*
 * PENDING -> QUIET.
 *
 * Before   The lock is held, `bytes` is what journal_bytes says.
 * After    The elements are as the journal says.
 * Dying    leaves it PENDING: the next one does it again.
 */
static void apply(brood_array *array, uint64_t bytes)
{
    uint64_t at = atomic_load_explicit(&array->journal_at, memory_order_relaxed);

    memcpy(elements_of(array) + at, array->journal, bytes);
    atomic_store_explicit(&array->journal_bytes, 0, memory_order_release);
}

static void finish_what_was_begun(brood_array *array)
{
    uint64_t bytes = atomic_load_explicit(&array->journal_bytes, memory_order_acquire);

    if (__builtin_expect(bytes != 0, 0))
        apply(array, bytes);
}

/* QUIET -> PENDING -> QUIET. Dying before the store of journal_bytes leaves it QUIET. */
static void write_whole(brood_array *array, uint64_t at, const void *from, uint64_t bytes)
{
    memcpy(array->journal, from, bytes);
    atomic_store_explicit(&array->journal_at, at, memory_order_relaxed);
    atomic_store_explicit(&array->journal_bytes, bytes, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst); /* no element changes before the commit */
    apply(array, bytes);
}

/* One store, if there is a store of that size. */
static bool write_at_once(void *to, const void *from, uint64_t bytes)
{
    uint64_t eight;
    uint32_t four;
    uint16_t two;

    switch (bytes) {
    case 8:
        memcpy(&eight, from, sizeof eight);
        atomic_store_explicit((_Atomic uint64_t *)to, eight, memory_order_relaxed);
        return true;
    case 4:
        memcpy(&four, from, sizeof four);
        atomic_store_explicit((_Atomic uint32_t *)to, four, memory_order_relaxed);
        return true;
    case 2:
        memcpy(&two, from, sizeof two);
        atomic_store_explicit((_Atomic uint16_t *)to, two, memory_order_relaxed);
        return true;
    case 1:
        atomic_store_explicit((_Atomic unsigned char *)to, *(const unsigned char *)from,
                              memory_order_relaxed);
        return true;
    default: return false;
    }
}

/* ---- reading and writing ---- */

static int acquire(brood_array *array, size_t first, size_t count, const void *buffer,
                   int64_t timeout)
{
    int r = enter(array);

    if (r < 0)
        return r;
    if (buffer == NULL)
        return -EINVAL;
    if (first > array->count || count > array->count - first)
        return -ERANGE;
    r = brood__inside_acquire(&array->lock, timeout);
    if (r >= 0)
        finish_what_was_begun(array);
    return r;
}

int brood_array_read(brood_array *array, size_t first, size_t count, void *ret_elements,
                     int64_t timeout)
{
    int r = acquire(array, first, count, ret_elements, timeout);

    if (r < 0)
        return r;
    memcpy(ret_elements, elements_of(array) + first * array->element_bytes,
           count * array->element_bytes);
    brood__inside_release(&array->lock);
    return r;
}

int brood_array_write(brood_array *array, size_t first, size_t count, const void *elements,
                      int64_t timeout)
{
    int r = acquire(array, first, count, elements, timeout);
    const unsigned char *from = elements;
    uint64_t at, left, piece;

    if (r < 0)
        return r;
    at = first * array->element_bytes;
    left = count * array->element_bytes;
    if (count != 1 || !write_at_once(elements_of(array) + at, from, left)) {
        /* Pieces end where an element does. */
        piece = array->journal_bytes_max / array->element_bytes * array->element_bytes;
        for (; left > 0; at += piece, from += piece, left -= piece) {
            if (piece > left)
                piece = left;
            write_whole(array, at, from, piece);
        }
    }
    brood__inside_release(&array->lock);
    return r;
}

void *brood_array_at(brood_array *array, size_t index)
{
    if (check(array) < 0 || index >= array->count)
        return NULL;
    if (brood__lock_held(&array->lock))
        finish_what_was_begun(array);
    return elements_of(array) + index * array->element_bytes;
}

/* ---- asking ---- */

brood_lock *brood_array_lock(brood_array *array)
{
    return check(array) < 0 ? NULL : &array->lock;
}

size_t brood_array_count(const brood_array *array)
{
    return check(array) < 0 ? 0 : array->count;
}

size_t brood_array_element_bytes(const brood_array *array)
{
    return check(array) < 0 ? 0 : array->element_bytes;
}
