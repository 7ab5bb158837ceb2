/*
 * Descriptors that say whether an object can be had.
 *
 * The watcher sleeps at the bells of the segments and at the lives of those who hold what is
 * watched, as a wait for several objects does, and takes nothing: it makes an eventfd
 * readable when its object can be had, and no longer so when it cannot. Nobody rings when an
 * object is taken, so while one can be had the watcher looks again by itself, ever less
 * often; and brood_wait_any() corrects the descriptors of what it took.
 *
 *     hidden --can be had--> shown --cannot be had, or no longer--> hidden
 *
 * Who writes what: the list and what is in it, whoever has `lock`; `running` and the thread,
 * whoever has `starting`; `nudge`, everybody.
 */
#include "sync/watch.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "sync/waitable.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (256u * 1024)
#define SLICE_FIRST_NS 1000000
#define SLICE_DEAF_NS 5000000 /* at most, where a bell is not heard */

struct watch {
    int fd;
    bool shown;
    brood_waitable item; /* `seen` is what was told of what moves */
    struct brood__header *header;
    struct watch *next;
};

static struct {
    pthread_mutex_t starting;
    pthread_mutex_t lock; /* never held over a sleep */
    struct watch *list;
    struct watch *spare; /* a forked child's heritage, to be used again */
    _Atomic bool used;   /* there was a descriptor once */
    _Atomic unsigned count;
    _Atomic uint32_t nudge; /* bumped, and woken, when the list has changed */
    _Atomic bool up;
    _Atomic bool stopping;
    bool running;
    pthread_t thread;
} watcher = { .starting = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER };

/* Cancelled in read(), write() or pthread_join(), a thread would keep what it has locked. */
static int lock_uncancelled(pthread_mutex_t *mutex)
{
    int cancel;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    (void)pthread_mutex_lock(mutex);
    return cancel;
}

static void unlock_uncancelled(pthread_mutex_t *mutex, int cancel)
{
    (void)pthread_mutex_unlock(mutex);
    (void)pthread_setcancelstate(cancel, NULL);
}

/* ---- fork ---- */

/* A program that has no descriptor does not pay for it in each fork. */
static _Thread_local bool locked_for_fork;

static void before_fork(void)
{
    locked_for_fork = watcher.used;
    if (locked_for_fork)
        (void)pthread_mutex_lock(&watcher.lock);
}

static void after_fork_in_parent(void)
{
    if (locked_for_fork)
        (void)pthread_mutex_unlock(&watcher.lock);
}

/* The thread is the parent's, and so are the counts in the objects. An eventfd left open here
 * would look ready when the parent's is. */
static void after_fork_in_child(void)
{
    struct watch *watch;

    if (!watcher.used)
        return;
    while ((watch = watcher.list) != NULL) {
        watcher.list = watch->next;
        brood__fd_close(&watch->fd);
        watch->next = watcher.spare;
        watcher.spare = watch;
    }
    atomic_store_explicit(&watcher.count, 0, memory_order_relaxed);
    watcher.running = false;
    (void)pthread_mutex_init(&watcher.lock, NULL);
    (void)pthread_mutex_init(&watcher.starting, NULL);
}

static void __attribute__((constructor)) install(void)
{
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- what a descriptor says ---- */

static void show(struct watch *watch)
{
    const uint64_t one = 1;

    (void)!write(watch->fd, &one, sizeof one);
    watch->shown = true;
}

static void hide(struct watch *watch)
{
    uint64_t ignored;

    (void)!read(watch->fd, &ignored, sizeof ignored);
    watch->shown = false;
}

/* Makes the descriptor say what is so. True if that is news. */
static bool correct(struct watch *watch)
{
    bool ready;

    if (brood__waitable_moves(&watch->item)) {
        uint64_t turn = brood__waitable_turn(&watch->item);

        if (turn == watch->item.seen)
            return false;
        watch->item.seen = turn;
        show(watch);
        watch->shown = false; /* the program reads it when it has seen it */
        return true;
    }
    ready = brood__waitable_ready(&watch->item);
    if (ready == watch->shown)
        return false;
    if (ready)
        show(watch);
    else
        hide(watch);
    return true;
}

void brood__watch_correct(const brood_waitable *items, size_t count)
{
    int cancel;

    if (atomic_load_explicit(&watcher.count, memory_order_relaxed) == 0)
        return;
    cancel = lock_uncancelled(&watcher.lock);
    for (struct watch *watch = watcher.list; watch != NULL; watch = watch->next)
        for (size_t i = 0; i < count; i++)
            if (items[i].object == watch->item.object)
                (void)correct(watch);
    unlock_uncancelled(&watcher.lock, cancel);
}

/* ---- the thread ---- */

/* What one look at everything comes to. */
struct look {
    struct brood__words words;
    bool news;  /* a descriptor changed */
    bool shown; /* some may have to be hidden, and nobody rings for that */
    bool deaf;  /* a bell is not heard */
};

/* Sleeps at the bell only of a segment that the watcher is a member of, for such a one stays
 * mapped. */
static void listen(struct look *look, const struct watch *watch)
{
    struct brood__bell *bell = &watch->header->watch;

    if (brood__enter(watch->header) == 0)
        brood__words_add(&look->words, &bell->turn, brood__bell_listen(bell));
    else
        look->words.missing = true;
}

static void look_at(struct look *look, struct watch *watch, bool verify)
{
    if (verify)
        brood__waitable_verify(&watch->item);
    look->news |= correct(watch);
    look->shown |= watch->shown;
    if (!watch->shown && brood__enter(watch->header) == 0)
        brood__waitable_add_lives(&watch->item, &look->words);
}

/* Listens first, then looks: see wait_any.c. False: the thread is to end. */
static bool look_at_all(struct look *look, bool verify)
{
    brood__words_clear(&look->words);
    look->news = look->shown = false;
    brood__words_add(&look->words, &watcher.nudge,
                     atomic_load_explicit(&watcher.nudge, memory_order_acquire));
    if (atomic_load_explicit(&watcher.stopping, memory_order_acquire))
        return false;
    (void)pthread_mutex_lock(&watcher.lock);
    for (const struct watch *watch = watcher.list; watch != NULL; watch = watch->next)
        listen(look, watch);
    look->deaf = !brood__words_heard(&look->words);
    for (struct watch *watch = watcher.list; watch != NULL; watch = watch->next)
        look_at(look, watch, verify);
    (void)pthread_mutex_unlock(&watcher.lock);
    return true;
}

static int64_t limit_of(const struct look *look, int64_t slice_ns)
{
    if (look->deaf && slice_ns > SLICE_DEAF_NS)
        return SLICE_DEAF_NS;
    return look->shown || !brood__words_heard(&look->words) ? slice_ns : BROOD__SLICE_NS;
}

static void *watcher_main(void *unused)
{
    int64_t slice_ns = SLICE_FIRST_NS;
    bool verify = false;
    struct look look;

    (void)pthread_setname_np(pthread_self(), "brood-watcher");
    atomic_store_explicit(&watcher.up, true, memory_order_release);
    while (look_at_all(&look, verify)) {
        enum brood__woken woken;
        int64_t limit_ns;

        if (look.news)
            slice_ns = SLICE_FIRST_NS;
        limit_ns = limit_of(&look, slice_ns);
        woken = brood__words_sleep(&look.words, limit_ns);
        verify = woken == BROOD__WOKEN_LATE && limit_ns == BROOD__SLICE_NS;
        if (woken == BROOD__WOKEN_LATE)
            slice_ns = slice_ns * 2 < BROOD__SLICE_NS ? slice_ns * 2 : BROOD__SLICE_NS;
        else if (woken == BROOD__WOKEN_DEATH)
            slice_ns = SLICE_FIRST_NS;
    }
    return unused;
}

static void nudge(void)
{
    (void)atomic_fetch_add_explicit(&watcher.nudge, 1, memory_order_seq_cst);
    brood__futex_wake_all(&watcher.nudge);
}

/* Runs with all signals blocked, so that the program's handlers run in its own threads. */
static int start_thread(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int r;

    atomic_store_explicit(&watcher.stopping, false, memory_order_relaxed);
    atomic_store_explicit(&watcher.up, false, memory_order_relaxed);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&watcher.thread, &attributes, watcher_main, NULL);
    while (r == 0 && !atomic_load_explicit(&watcher.up, memory_order_acquire))
        (void)sched_yield(); /* a fork must not meet it in libc's thread start */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    watcher.running = r == 0;
    return -r;
}

static void stop_thread(void)
{
    atomic_store_explicit(&watcher.stopping, true, memory_order_release);
    nudge();
    (void)pthread_join(watcher.thread, NULL);
    watcher.running = false;
}

/* ---- the list ---- */

static void add(struct watch *watch)
{
    (void)atomic_fetch_add_explicit(&brood__waitable_object(&watch->item)->watchers, 1,
                                    memory_order_seq_cst);
    (void)pthread_mutex_lock(&watcher.lock);
    watch->next = watcher.list;
    watcher.list = watch;
    (void)atomic_fetch_add_explicit(&watcher.count, 1, memory_order_relaxed);
    (void)correct(watch); /* right from the start */
    (void)pthread_mutex_unlock(&watcher.lock);
    nudge();
}

static struct watch *take_out(int fd)
{
    struct watch **at = &watcher.list;
    struct watch *watch;

    (void)pthread_mutex_lock(&watcher.lock);
    while (*at != NULL && (*at)->fd != fd)
        at = &(*at)->next;
    watch = *at;
    if (watch != NULL) {
        *at = watch->next;
        (void)atomic_fetch_sub_explicit(&watcher.count, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&watcher.lock);
    return watch;
}

static struct watch *memory_for_watch(void)
{
    struct watch *watch = watcher.spare;

    if (watch == NULL)
        return malloc(sizeof *watch);
    watcher.spare = watch->next;
    return watch;
}

static int make(const brood_waitable *item, struct watch **ret_watch)
{
    struct watch *watch;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    fd = fd < 0 ? -errno : brood__fd_above_stdio(fd);
    if (fd < 0)
        return fd;
    watch = memory_for_watch();
    if (watch == NULL) {
        brood__fd_close(&fd);
        return -ENOMEM;
    }
    *watch = (struct watch){ .fd = fd, .item = *item };
    watch->item.seen = brood__waitable_turn(item);
    watch->header = brood__object_header(brood__waitable_object(item));
    *ret_watch = watch;
    return 0;
}

int brood_wait_descriptor(void *object, uint32_t what, int *ret_fd)
{
    const brood_waitable item = { .object = object, .what = what };
    struct watch *watch = NULL;
    int cancel, r;

    if (object == NULL || ret_fd == NULL)
        return -EINVAL;
    r = brood__waitable_check(&item);
    if (r == 0)
        r = brood__enter(brood__object_header(brood__waitable_object(&item)));
    if (r < 0)
        return r;
    watcher.used = true;
    cancel = lock_uncancelled(&watcher.starting);
    r = make(&item, &watch);
    if (r == 0 && !watcher.running) {
        r = start_thread();
        if (r < 0) {
            brood__fd_close(&watch->fd);
            free(watch);
        }
    }
    if (r == 0) {
        *ret_fd = watch->fd;
        add(watch);
    }
    unlock_uncancelled(&watcher.starting, cancel);
    return r;
}

int brood_wait_descriptor_close(int fd)
{
    int cancel = lock_uncancelled(&watcher.starting);
    struct watch *watch = take_out(fd);

    if (watch != NULL) {
        (void)atomic_fetch_sub_explicit(&brood__waitable_object(&watch->item)->watchers, 1,
                                        memory_order_relaxed);
        brood__fd_close(&watch->fd);
        free(watch);
        if (atomic_load_explicit(&watcher.count, memory_order_relaxed) == 0)
            stop_thread();
    }
    unlock_uncancelled(&watcher.starting, cancel);
    return watch == NULL ? -EBADF : 0;
}
