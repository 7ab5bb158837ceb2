#include "sync/bell.h"

#include "base/clock.h"
#include "base/linux.h"

#include <errno.h>

int brood__bell_sleep(struct brood__bell *bell, uint32_t seen, int64_t deadline,
                      int64_t slice_ns)
{
    int64_t left = brood__time_left(deadline);

    if (left <= 0)
        return -ETIMEDOUT;
    brood__futex_wait(&bell->turn, seen, left < slice_ns ? left : slice_ns);
    return 0;
}

void brood__bell_ring_slowly(struct brood__bell *bell, int count)
{
    if (atomic_exchange_explicit(&bell->asleep, 0, memory_order_seq_cst) == 0)
        return; /* another ringer has the token */
    (void)atomic_fetch_add_explicit(&bell->turn, 1, memory_order_seq_cst);
    brood__futex_wake(&bell->turn, count);
}
