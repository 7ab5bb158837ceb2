/*
 * What every noun shares: the version, errors, timeouts, the log hook, the CPU count.
 *
 * Errors are negative errno values, returned; 0 is done. The library never sets errno,
 * prints or exits. Timeouts are relative nanoseconds in an int64_t, measured on
 * CLOCK_MONOTONIC: BROOD_NOWAIT tries once, BROOD_FOREVER does not expire, and a caught
 * signal does not end a wait. Any other negative value is -EINVAL.
 */
#ifndef BROOD_BASE_H
#define BROOD_BASE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BROOD_API __attribute__((visibility("default")))
#else
#define BROOD_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define BROOD_VERSION_MAJOR 0
#define BROOD_VERSION_MINOR 1
#define BROOD_VERSION_PATCH 0
#define BROOD_VERSION_STRING "0.1.0"

#define BROOD_NOWAIT ((int64_t)0)   /* try once */
#define BROOD_FOREVER ((int64_t)-1) /* no deadline */

/* Levels of the log hook, numbered as in Python's logging. */
#define BROOD_LOG_DEBUG 10
#define BROOD_LOG_INFO 20
#define BROOD_LOG_WARNING 30
#define BROOD_LOG_ERROR 40

/*
 * The version of the library that is running, which may be newer than the
 * BROOD_VERSION_STRING the caller was compiled with.
 *
 * Returns    a string such as "0.1.0"; it lives as long as the library.
 * Threads    Any thread, at any time.
 * Since      0.1
 */
BROOD_API const char *brood_version(void);

/*
 * Says in English what an error returned by this library means. Takes the value as it was
 * returned, negative, or as errno has it, positive.
 *
 * Returns    a constant string, never NULL; "unknown error" for what it does not know.
 * Threads    Any thread, at any time; unlike strerror() it shares no buffer.
 * Fork       Usable anywhere, also between fork() and exec().
 * Since      0.1
 */
BROOD_API const char *brood_strerror(int error);

/*
 * A timeout of so many milliseconds, in nanoseconds. Negative counts give BROOD_FOREVER; a
 * count too large for the type gives the largest timeout there is (292 years).
 *
 * Returns    the timeout.
 * Threads    Any thread, at any time.
 * Since      0.1
 */
BROOD_API int64_t brood_ms(int64_t milliseconds);

/*
 * A timeout of so many seconds, in nanoseconds, with brood_ms()'s limits.
 *
 * Returns    the timeout.
 * Threads    Any thread, at any time.
 * Since      0.1
 */
BROOD_API int64_t brood_seconds(int64_t seconds);

/*
 * How many processors this process can really use: the smallest of its affinity mask and
 * the CPU quotas of its cgroup and that cgroup's ancestors (v2 cpu.max, v1 cfs_quota_us),
 * a part of a processor counting as one.
 *
 * Returns    at least 1.
 * Threads    Any thread, at any time. Reads a few small files of /proc and /sys each time.
 * Since      0.1
 */
BROOD_API int brood_cpu_count(void);

/*
 * What the library would say, said to the program: one line without a newline. The hook
 * runs in whichever thread has something to say, the reaper included, with no lock of the
 * library held; it must not wait for long.
 */
typedef void brood_log_function(int level, const char *message, void *user);

/*
 * Installs the log hook for messages of `level` and above, or removes it (NULL, the state
 * at the start: silence). A child started by fork keeps the hook.
 *
 * Returns    0.
 * Errors     -EINVAL (a negative level)
 * Ownership  `user` stays the caller's; it must outlive the hook.
 * Threads    Any thread; a hook being replaced may still run once more.
 * Since      0.1
 */
BROOD_API int brood_set_log(brood_log_function *function, void *user, int level);

#ifdef __cplusplus
}
#endif

#endif
