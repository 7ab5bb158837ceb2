#include "base/clock.h"

#include <brood/base.h>

#include <errno.h>
#include <pthread.h>
#include <time.h>

int64_t brood__now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int brood__deadline(int64_t timeout, int64_t *ret_deadline)
{
    int64_t now;

    if (timeout == BROOD_FOREVER) {
        *ret_deadline = BROOD__NEVER;
        return 0;
    }
    if (timeout < 0)
        return -EINVAL;
    now = brood__now();
    *ret_deadline = timeout > BROOD__NEVER - 1 - now ? BROOD__NEVER - 1 : now + timeout;
    return 0;
}

int64_t brood__time_left(int64_t deadline)
{
    int64_t now;

    if (deadline == BROOD__NEVER)
        return BROOD__NEVER;
    now = brood__now();
    return deadline > now ? deadline - now : 0;
}

static int poll_until(struct pollfd *entries, nfds_t count, int64_t deadline)
{
    for (;;) {
        int64_t left = brood__time_left(deadline);
        struct timespec limit = { .tv_sec = (time_t)(left / 1000000000),
                                  .tv_nsec = (long)(left % 1000000000) };
        int r = ppoll(entries, count, deadline == BROOD__NEVER ? NULL : &limit, NULL);

        if (r >= 0)
            return r;
        if (errno != EINTR)
            return -errno;
    }
}

int brood__poll(struct pollfd *entries, nfds_t count, int64_t deadline)
{
    int cancel, r;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    r = poll_until(entries, count, deadline);
    (void)pthread_setcancelstate(cancel, NULL);
    return r;
}

static int64_t scaled(int64_t count, int64_t unit_ns)
{
    if (count < 0)
        return BROOD_FOREVER;
    return count > INT64_MAX / unit_ns ? INT64_MAX : count * unit_ns;
}

int64_t brood_ms(int64_t milliseconds)
{
    return scaled(milliseconds, 1000000);
}

int64_t brood_seconds(int64_t seconds)
{
    return scaled(seconds, 1000000000);
}
