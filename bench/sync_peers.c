#include "sync_peers.h"

#include <brood.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

/* A cache line each, and more: neighbours must not disturb each other. */
#define APART _Alignas(256)

static struct peers {
    APART pthread_mutex_t plain;
    APART pthread_mutex_t robust;
    APART pthread_rwlock_t rwlock;
    APART sem_t semaphore;
    APART pthread_barrier_t barrier;
    APART _Atomic int event; /* a plain flag: the least that a set event can cost */
} * peers;

static brood_lock *lock;
static brood_rwlock *rwlock;
static brood_semaphore *semaphore, *counting;
static brood_event *event;
static brood_barrier *barrier;
static char lock_path[] = "/tmp/brood-bench-XXXXXX";

static int mutex_create(pthread_mutex_t *mutex, int robust)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, robust);
    return -pthread_mutex_init(mutex, &attributes);
}

static int pthread_create_all(void)
{
    pthread_rwlockattr_t attributes;
    int r;

    peers =
        mmap(NULL, sizeof *peers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (peers == MAP_FAILED)
        return -errno;
    r = mutex_create(&peers->plain, PTHREAD_MUTEX_STALLED);
    if (r == 0)
        r = mutex_create(&peers->robust, PTHREAD_MUTEX_ROBUST);
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (r == 0)
        r = -pthread_rwlock_init(&peers->rwlock, &attributes);
    if (r == 0 && sem_init(&peers->semaphore, 1, 1) < 0)
        r = -errno;
    return r;
}

int sync_peers_create(void)
{
    brood_semaphore_options options = BROOD_SEMAPHORE_OPTIONS_INIT;
    int fd = mkstemp(lock_path);
    int r = fd < 0 ? -errno : pthread_create_all();

    if (r == 0)
        r = brood_lock_create(NULL, NULL, &lock);
    if (r == 0)
        r = brood_rwlock_create(NULL, &rwlock);
    if (r == 0)
        r = brood_semaphore_create(NULL, 1, NULL, &semaphore);
    options.flags = BROOD_SEMAPHORE_COUNTING;
    if (r == 0)
        r = brood_semaphore_create(NULL, 1, &options, &counting);
    if (r == 0)
        r = brood_event_create(NULL, &event);
    if (fd >= 0)
        close(fd);
    return r;
}

int sync_barriers_create(unsigned parties)
{
    pthread_barrierattr_t attributes;
    int r;

    if (peers == NULL) {
        r = pthread_create_all();
        if (r < 0)
            return r;
    }
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    r = -pthread_barrier_init(&peers->barrier, &attributes, parties);
    return r < 0 ? r : brood_barrier_create(NULL, parties, &barrier);
}

/* ---- pairs ---- */

static void pair_robust(void)
{
    pthread_mutex_lock(&peers->robust);
    pthread_mutex_unlock(&peers->robust);
}

static void pair_plain(void)
{
    pthread_mutex_lock(&peers->plain);
    pthread_mutex_unlock(&peers->plain);
}

static void pair_lock(void)
{
    brood_lock_acquire(lock, BROOD_FOREVER);
    brood_lock_release(lock);
}

static void pair_posix_semaphore(void)
{
    sem_wait(&peers->semaphore);
    sem_post(&peers->semaphore);
}

static void pair_semaphore(void)
{
    brood_semaphore_acquire(semaphore, BROOD_FOREVER);
    brood_semaphore_release(semaphore, 1);
}

static void pair_counting(void)
{
    brood_semaphore_acquire(counting, BROOD_FOREVER);
    brood_semaphore_release(counting, 1);
}

/* A descriptor for each process: a lock of flock() is the open file's, which a fork shares. */
static void pair_flock(void)
{
    static pid_t owner;
    static int fd = -1;

    if (owner != getpid()) {
        owner = getpid();
        fd = open(lock_path, O_RDWR | O_CLOEXEC);
    }
    flock(fd, LOCK_EX);
    flock(fd, LOCK_UN);
}

static void pair_write(void)
{
    brood_rwlock_acquire_write(rwlock, BROOD_FOREVER);
    brood_rwlock_release_write(rwlock);
}

static void pair_pthread_read(void)
{
    pthread_rwlock_rdlock(&peers->rwlock);
    pthread_rwlock_unlock(&peers->rwlock);
}

static void pair_read(void)
{
    brood_rwlock_acquire_read(rwlock, BROOD_FOREVER);
    brood_rwlock_release_read(rwlock);
}

/* The semaphore stands in for an event, which POSIX lacks: posted, and waited for. */
static void pair_event(void)
{
    brood_event_set(event);
    brood_event_wait(event, BROOD_FOREVER);
    brood_event_clear(event);
}

const struct sync_peer sync_peers[] = {
    { "pthread_robust", NULL, 0, 0, pair_robust },
    { "pthread_plain", "pthread_robust", 0, 0, pair_plain },
    { "brood_lock", "pthread_robust", 1.15, 0.9, pair_lock },
    { "posix_semaphore", NULL, 0, 0, pair_posix_semaphore },
    { "brood_semaphore", "posix_semaphore", 1, 1, pair_semaphore },
    { "brood_semaphore_counting", "posix_semaphore", 1, 1, pair_counting },
    { "flock", "pthread_robust", 0, 0, pair_flock },
    { "brood_rwlock_write", NULL, 0, 0, pair_write },
    { "pthread_rwlock_read", NULL, 0, 0, pair_pthread_read },
    { "brood_rwlock_read", "pthread_rwlock_read", 1, 1, pair_read },
    { "brood_event", "posix_semaphore", 1, 0, pair_event },
    { NULL, NULL, 0, 0, NULL },
};

void sync_meet_brood(void)
{
    uint32_t index;

    brood_barrier_wait(barrier, BROOD_FOREVER, &index);
}

void sync_meet_pthread(void)
{
    pthread_barrier_wait(&peers->barrier);
}

/* ---- recovery ---- */

int sync_keep_brood(void)
{
    return brood_lock_acquire(lock, BROOD_FOREVER);
}

int sync_take_brood(void)
{
    int r = brood_lock_acquire(lock, BROOD_FOREVER);

    brood_lock_release(lock);
    return r == BROOD_LOCK_RECOVERED;
}

int sync_keep_pthread(void)
{
    return -pthread_mutex_lock(&peers->robust);
}

int sync_take_pthread(void)
{
    int r = pthread_mutex_lock(&peers->robust);

    if (r == EOWNERDEAD)
        pthread_mutex_consistent(&peers->robust);
    pthread_mutex_unlock(&peers->robust);
    return r == EOWNERDEAD;
}
