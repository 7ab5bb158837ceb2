/* Time: the monotonic clock, and timeouts turned into deadlines on it. */
#ifndef BROOD__CLOCK_H
#define BROOD__CLOCK_H

#include <poll.h>
#include <stdint.h>

#define BROOD__NEVER INT64_MAX

/* Nanoseconds on CLOCK_MONOTONIC. */
int64_t brood__now(void);

/* Turns a timeout of the public interface into a deadline: BROOD__NEVER for
 * BROOD_FOREVER, -EINVAL for any other negative one. */
int brood__deadline(int64_t timeout, int64_t *ret_deadline);

/* Nanoseconds from now to the deadline, 0 if it has passed, BROOD__NEVER if it never does. */
int64_t brood__time_left(int64_t deadline);

/* poll() until a deadline. Returns the number of ready entries, 0 when the deadline has
 * passed, or a negative errno; neither signals nor pthread_cancel() end it. */
int brood__poll(struct pollfd *entries, nfds_t count, int64_t deadline);

#endif
