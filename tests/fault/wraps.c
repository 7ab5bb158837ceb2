/*
 * The wrappers. They write nothing but the shared orders, for one of them runs in a child
 * that shares our memory (clone with CLONE_VM).
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static struct orders {
    _Atomic int fault; /* FAULT_COUNT: none */
    _Atomic int error;
    _Atomic unsigned left; /* calls until the one that fails */
    _Atomic int done;
} * orders;

/* True, with errno set, if this call is the one. */
static bool strikes(enum fault fault)
{
    if (orders == NULL || atomic_load(&orders->fault) != (int)fault)
        return false;
    if (atomic_fetch_sub(&orders->left, 1) != 1)
        return false;
    atomic_store(&orders->done, 1);
    errno = atomic_load(&orders->error);
    return true;
}

/* The linker gives both names to what tests/meson.build lists. */
pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __real_vfork(void);
pid_t __wrap_vfork(void);
int __real_clone(int (*entry)(void *), void *stack, int flags, void *argument, ...);
int __wrap_clone(int (*entry)(void *), void *stack, int flags, void *argument, int *pidfd);
int __real_pipe2(int pair[2], int flags);
int __wrap_pipe2(int pair[2], int flags);
int __real_socketpair(int domain, int type, int protocol, int pair[2]);
int __wrap_socketpair(int domain, int type, int protocol, int pair[2]);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);
int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*entry)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*entry)(void *), void *argument);
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
char *__wrap_strdup(const char *text);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

void fault_init(void)
{
    void *memory = __real_mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        abort();
    orders = memory;
    atomic_store(&orders->fault, FAULT_COUNT);
}

void fault_arm(enum fault fault, int error, unsigned k)
{
    atomic_store(&orders->error, error);
    atomic_store(&orders->left, k);
    atomic_store(&orders->done, 0);
    atomic_store(&orders->fault, (int)fault);
}

bool fault_disarm(void)
{
    atomic_store(&orders->fault, FAULT_COUNT);
    return atomic_load(&orders->done) != 0;
}

/* ---- processes and threads ---- */

pid_t __wrap_fork(void)
{
    return strikes(FAULT_FORK) ? -1 : __real_fork();
}

/* vfork() cannot be wrapped: its caller's frame must not be left. fork() does for a test. */
pid_t __wrap_vfork(void)
{
    return strikes(FAULT_FORK) ? -1 : __real_fork();
}

int __wrap_clone(int (*entry)(void *), void *stack, int flags, void *argument, int *pidfd)
{
    return strikes(FAULT_CLONE) ? -1 : __real_clone(entry, stack, flags, argument, pidfd);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*entry)(void *), void *argument)
{
    int before = errno, error;

    if (!strikes(FAULT_THREAD))
        return __real_pthread_create(thread, attributes, entry, argument);
    error = errno;
    errno = before;
    return error;
}

/* ---- descriptors ---- */

int __wrap_pipe2(int pair[2], int flags)
{
    return strikes(FAULT_PIPE) ? -1 : __real_pipe2(pair, flags);
}

int __wrap_socketpair(int domain, int type, int protocol, int pair[2])
{
    return strikes(FAULT_SOCKETPAIR) ? -1 : __real_socketpair(domain, type, protocol, pair);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    return strikes(FAULT_MEMFD) ? -1 : __real_memfd_create(name, flags);
}

int __wrap_epoll_create1(int flags)
{
    return strikes(FAULT_EPOLL_CREATE) ? -1 : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && strikes(FAULT_EPOLL_CTL))
        return -1;
    return __real_epoll_ctl(epoll, operation, fd, event);
}

int __wrap_eventfd(unsigned count, int flags)
{
    return strikes(FAULT_EVENTFD) ? -1 : __real_eventfd(count, flags);
}

int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list arguments;

    if ((flags & O_CREAT) != 0) {
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return strikes(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && strikes(FAULT_DUP))
        return -1;
    return __real_fcntl(fd, command, argument);
}

/* ---- memory ---- */

void *__wrap_malloc(size_t bytes)
{
    return strikes(FAULT_MALLOC) ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return strikes(FAULT_CALLOC) ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return strikes(FAULT_REALLOC) ? NULL : __real_realloc(memory, bytes);
}

char *__wrap_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = __wrap_malloc(bytes);

    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return strikes(FAULT_MMAP) ? MAP_FAILED
                               : __real_mmap(at, bytes, protection, flags, fd, offset);
}

/* ---- the rest ---- */

/* Takes all six arguments, as libc's does, however few were given. */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long number, ...)
{
    va_list arguments;
    long a[6];

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if ((number == SYS_pidfd_open && strikes(FAULT_PIDFD_OPEN)) ||
        (number == SYS_clone && strikes(FAULT_SYS_CLONE)))
        return -1;
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
