/*
 * Linux calls that libc lacks or wraps too narrowly. Each returns 0 or a value, or a
 * negative errno. All are async-signal-safe.
 */
#ifndef BROOD__LINUX_H
#define BROOD__LINUX_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A pidfd of 3 or higher, close-on-exec; -ESRCH if there is no such process. */
int brood__pidfd_open(pid_t pid);

/* Sends `signal` (0 probes); -ESRCH once the process has been reaped. */
int brood__pidfd_signal(int pidfd, int signal);

/* waitid() with the resource usage it can also give. -ECHILD: not ours, or reaped. With
 * WNOHANG and a process that still runs, info->si_pid is 0. */
int brood__wait_pidfd(int pidfd, int options, siginfo_t *info, struct rusage *usage);
int brood__wait_pid(pid_t pid, int options, siginfo_t *info, struct rusage *usage);
int brood__wait_any(int options, siginfo_t *info, struct rusage *usage);

/* True while the process behind the pidfd runs; a zombie does not. */
bool brood__pidfd_alive(int pidfd);

/* The pid behind a pidfd as this process sees it, from /proc; negative errno if unknown. */
pid_t brood__pidfd_pid(int pidfd);

/* The wait status of a process that somebody else reaped, which Linux 6.15 and later keep
 * with the pidfd; -ENODATA elsewhere. */
int brood__pidfd_lost_status(int pidfd, int *ret_status);

int brood__close_range(unsigned first, unsigned last);

/* A sealed-off anonymous file, close-on-exec, 3 or higher. */
int brood__memfd(const char *name);

/* Sleeps while *word == seen, at most `timeout_ns`; spurious returns are normal. The word
 * may lie in memory shared between processes. */
void brood__futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns);
void brood__futex_wake(_Atomic uint32_t *word, int count);
void brood__futex_wake_all(_Atomic uint32_t *word);

/* When the process started, in clock ticks since boot: with the pid, a name for good. */
int brood__start_time(pid_t pid, uint64_t *ret_ticks);

/* The same of a thread that runs; -ESRCH for one that does not, or is a zombie. */
int brood__running_since(pid_t tid, uint64_t *ret_ticks);

#endif
