/*
 * shared: memory that several processes use, and an allocator inside it.
 *
 *     struct office {
 *         brood_lock *lock;
 *         long tickets;
 *     };
 *
 *     static int sell(void *argument, size_t argument_bytes)
 *     {
 *         struct office *office = argument;
 *         ...
 *     }
 *
 *     struct office *office;
 *     int r = brood_shared_alloc(NULL, sizeof *office, BROOD_ALLOC_ZERO, (void **)&office);
 *
 *     if (r == 0)
 *         r = brood_lock_create(NULL, NULL, &office->lock);
 *     ... start children with `office` as their argument
 *
 * A segment is a piece of memory with an allocator in it. Whatever processes share lies in
 * one: locks, semaphores, queues, and the program's own structs. Where a call takes a
 * segment, NULL means the program's common one, made at its first use; make it, by whatever
 * call, before starting the children that are to have it.
 *
 * Pointers into a segment work in the process that got them and in its forked children,
 * where the segment lies at the same address. A process that attaches it finds it at some
 * other address: to it, say where by a place (bytes from the start of the segment), which
 * brood_shared_place() and brood_shared_at() turn pointers into and back. Store places, not
 * pointers, in memory that such processes share.
 *
 * A segment is anonymous unless it is given a name: then nothing is left when its last
 * process ends. Forked children have it anyway; other processes get its descriptor, by
 * inheritance or over a socket, and attach that. A named one stays until it is unlinked.
 * Attaching, detaching and exiting never destroy anything.
 *
 * Processes of different PID namespaces cannot share a segment (the kernel could not tell
 * who holds a lock): attaching it, or using what is in it, is -EXDEV there. So is sharing
 * between programs of different C libraries: -EPROTO.
 *
 * Where nothing else is said, -EINVAL is the answer to NULL where a pointer is needed and to
 * pointers that do not lie in a segment. Any call here that allocates may say -ENOSPC (the
 * segment is full and cannot grow, or the machine has no memory for it), and any but the
 * questions -EUSERS (more threads than `members_max`) and -EXDEV. These are not repeated.
 */
#ifndef BROOD_SHARED_H
#define BROOD_SHARED_H

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_shared brood_shared;

/* For `flags` of a segment. */
#define BROOD_SHARED_HUGE_PAGES 1u /* ask for transparent huge pages; a hint */
#define BROOD_SHARED_HUGETLB 2u    /* anonymous only: from the pool of reserved huge pages */
#define BROOD_SHARED_ANY_OWNER 4u  /* attach: also what another user than root created */

/* Start from BROOD_SHARED_OPTIONS_INIT. A zero field asks for its default. */
typedef struct brood_shared_options {
    size_t size;          /* sizeof(brood_shared_options) as the caller was compiled */
    const char *name;     /* 1 to 200 bytes without '/' (one in front does not count) */
    size_t bytes;         /* reserved at creation, so never missing later; 256 KiB */
    size_t bytes_max;     /* it may grow to this; the larger of `bytes` and 1 GiB */
    uint32_t members_max; /* threads that use it at one time: 512; at most 32,768; 128 B each */
    uint32_t layout;      /* the program's own version of what is inside; attach compares */
    uint32_t mode;        /* permission bits of a named one; default 0600 */
    uint32_t flags;       /* BROOD_SHARED_* */
    uint64_t numa_nodes;  /* bit n: interleave over node n, as a preference; default: none */
} brood_shared_options;
#define BROOD_SHARED_OPTIONS_INIT                                                              \
    {                                                                                          \
        sizeof(brood_shared_options), NULL, 0, 0, 0, 0, 0, 0, 0                                \
    }

/* For `flags` of an allocation. */
#define BROOD_ALLOC_ZERO 1u /* zeroed */
#define BROOD_ALLOC_OWNED                                                                      \
    2u /* taken back when the calling process ends, unless kept; exec()                        \
        * is not the end of a process */

#define BROOD_SHARED_NAME_BYTES 204

/* Set `size` to sizeof(brood_shared_info), or start from the initialiser. */
typedef struct brood_shared_info {
    size_t size;
    char name[BROOD_SHARED_NAME_BYTES]; /* empty: anonymous */
    uint32_t layout;
    uint32_t members; /* threads that use it now */
    uint32_t members_max;
    uint32_t owner; /* user id of its creator */
    size_t bytes;   /* reserved by now */
    size_t bytes_max;
    size_t used_bytes; /* allocated, with what the allocator adds */
    int64_t created;   /* nanoseconds since 1970 */
    int in_use;        /* 1: some process has it attached */
} brood_shared_info;
#define BROOD_SHARED_INFO_INIT                                                                 \
    {                                                                                          \
        sizeof(brood_shared_info), { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0                            \
    }

/*
 * Creates a segment and reserves its memory. A named one appears under its name only when
 * it is complete.
 *
 * Returns    0, with *ret_shared set.
 * Errors     -EINVAL (a bad name, sizes that do not fit each other, unknown flags),
 *            -EEXIST (the name is taken), -ENOMEM, -ENOSPC (no memory for `bytes`: nothing
 *            was created), -EFBIG (over RLIMIT_FSIZE), -EMFILE, -ENFILE, -EACCES,
 *            -E2BIG (options of a newer version), -ENOENT (no /dev/shm, or no /proc)
 * Ownership  Give the handle up by brood_shared_detach(); remove the name, if any, by
 *            brood_shared_unlink().
 * Threads    Any thread.
 * Fork       Children made by fork have the segment too, at the same address, and may use
 *            the handle for everything but brood_shared_fd().
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_shared_create(const brood_shared_options *options,
                                  brood_shared **ret_shared);

/*
 * Attaches the named segment that options->name says, which another process created. Of the
 * other options `layout`, if not 0, must be the creator's, and BROOD_SHARED_ANY_OWNER counts.
 *
 * Returns    0, with *ret_shared set.
 * Errors     -EINVAL (no name), -ENOENT (no segment of this name), -EACCES, -EPERM
 *            (another user's: see BROOD_SHARED_ANY_OWNER), -EBADMSG (not a segment, or a
 *            damaged one), -EPROTO (of another version, C library or layout), -EXDEV,
 *            -ENOMEM, -EMFILE, -ENFILE, -E2BIG
 * Ownership  As with brood_shared_create().
 * Threads    Any thread.
 * Fork       As with brood_shared_create().
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_shared_attach(const brood_shared_options *options,
                                  brood_shared **ret_shared);

/*
 * Attaches the segment behind a descriptor that came from brood_shared_fd(), by inheritance
 * or over a socket. `options` may be NULL; see brood_shared_attach().
 *
 * Returns    0, with *ret_shared set.
 * Errors     -EBADF, and those of brood_shared_attach()
 * Ownership  The descriptor stays the caller's, and may be closed at once.
 * Threads    Any thread.
 * Fork       As with brood_shared_create().
 * Crash      A process killed in here leaves nothing.
 * Since      0.1
 */
BROOD_API int brood_shared_attach_fd(int fd, const brood_shared_options *options,
                                     brood_shared **ret_shared);

/*
 * Gives up this process's handle and its mapping: pointers into it are no longer valid here.
 * Nothing changes for others. The memory stays mapped while this process has another handle
 * to it; and until the process ends if another thread of it has used the segment and still
 * runs, for the kernel keeps looking at what that thread has there. Does nothing for NULL, and
 * for the common segment.
 *
 * Threads    No other thread may use the segment during or after the call, and the calling one
 *            holds no lock in it.
 * Fork       A child gives up its own mapping only.
 * Crash      Dying in here is as good as having called it.
 * Since      0.1
 */
BROOD_API void brood_shared_detach(brood_shared *shared);

/*
 * Removes the name of a segment. Those who have it attached keep it; the memory goes with
 * the last of them.
 *
 * Returns    0.
 * Errors     -EINVAL (a bad name), -ENOENT, -EACCES, -EPERM, -EBADMSG (what has this name is
 *            not a segment: left alone)
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_shared_unlink(const char *name);

/* What brood_shared_list() calls for each segment; nonzero ends the listing. */
typedef int brood_shared_function(const brood_shared_info *info, void *user);

/*
 * Calls `function` for each named segment of the machine that the caller may read, until it
 * returns nonzero.
 *
 * Returns    0, or what `function` returned.
 * Errors     -EINVAL, -EMFILE, -ENOENT (no /dev/shm)
 * Threads    Any thread. `function` may call everything, brood_shared_unlink() included.
 * Since      0.1
 */
BROOD_API int brood_shared_list(brood_shared_function *function, void *user);

/*
 * Removes the name of a segment that no process has attached any more: what a crash left.
 *
 * Returns    0.
 * Errors     -EBUSY (in use), and those of brood_shared_unlink()
 * Threads    Any thread.
 * Crash      The name is there or not; who attaches at the same moment has the segment or
 *            gets -ENOENT.
 * Since      0.1
 */
BROOD_API int brood_shared_clean(const char *name);

/*
 * The program's common segment, which NULL stands for elsewhere: anonymous, of default
 * sizes. Made by the first call that needs it.
 *
 * Returns    0, with *ret_shared set.
 * Errors     those of brood_shared_create()
 * Ownership  Borrowed for the life of the process.
 * Threads    Any thread.
 * Fork       Children have their parent's, if it was made before they were.
 * Since      0.1
 */
BROOD_API int brood_shared_common(brood_shared **ret_shared);

/*
 * The descriptor by which other processes attach the segment. Close-on-exec: list it in
 * brood_process_options.descriptors for a child that is to have it.
 *
 * Returns    the descriptor.
 * Errors     -EINVAL, -ECHILD (in a process forked from the one that has the handle)
 * Ownership  Borrowed: do not close it; it lives until brood_shared_detach().
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_shared_fd(const brood_shared *shared);

/*
 * What there is to know about a segment.
 *
 * Returns    0, with *ret_info filled as far as its size reaches.
 * Errors     -EINVAL
 * Threads    Any thread. Exact as of the moment, apart from `members`, which counts on while
 *            it is asked.
 * Since      0.1
 */
BROOD_API int brood_shared_info_get(brood_shared *shared, brood_shared_info *ret_info);

/*
 * Reserves memory until the segment has `bytes`, so that later allocations find it. Growing
 * happens by itself too, when an allocation needs it.
 *
 * Returns    0, also if it is that large already.
 * Errors     -ENOSPC, -EFBIG (over bytes_max)
 * Threads    Any thread of any process.
 * Fork       Before Linux 5.14 a forked child cannot: -ENOSPC. It has no descriptor of it.
 * Crash      A process killed in here leaves the segment of the old size or the new one.
 * Since      0.1
 */
BROOD_API int brood_shared_grow(brood_shared *shared, size_t bytes);

/*
 * Allocates memory in a segment, aligned to 16 bytes. It belongs to no process and stays
 * until it is freed, unless BROOD_ALLOC_OWNED makes it the calling process's: then it is
 * taken back after the process has ended, however it ended.
 *
 * OWNED memory goes with its process until brood_shared_keep(), also if others know its
 * place already: store the place and keep the memory under one lock, and let who hears
 * BROOD_LOCK_RECOVERED take out, unread, a place that is not noted as kept.
 *
 * Returns    0, with *ret_pointer set.
 * Errors     -EINVAL (0 bytes, unknown flags), -ENOSPC
 * Threads    Any thread of any process.
 * Crash      A process killed in here leaks nothing for good: what it was about to get is
 *            taken back when memory is needed.
 * Since      0.1
 */
BROOD_API int brood_shared_alloc(brood_shared *shared, size_t bytes, uint32_t flags,
                                 void **ret_pointer);

/*
 * Frees what brood_shared_alloc() gave, in any process. NULL is fine.
 *
 * Returns    0.
 * Errors     -EINVAL (not the start of an allocation, or freed already; nothing happened)
 * Threads    Any thread of any process.
 * Crash      A process killed in here has freed it or not; the segment stays sound.
 * Since      0.1
 */
BROOD_API int brood_shared_free(brood_shared *shared, void *pointer);

/*
 * Makes OWNED memory stay after its process's end.
 *
 * Returns    0.
 * Errors     -EINVAL (not the start of an allocation)
 * Threads    Any thread of any process.
 * Since      0.1
 */
BROOD_API int brood_shared_keep(brood_shared *shared, void *pointer);

/*
 * Takes back the memory that dead processes owned. An allocation that finds no room does
 * this by itself.
 *
 * Returns    how many allocations were taken back.
 * Threads    Any thread of any process.
 * Since      0.1
 */
BROOD_API int brood_shared_reclaim(brood_shared *shared);

/*
 * Where a pointer lies in a segment, in bytes from its start: the same for every process.
 *
 * Returns    the place; 0 for NULL, and for a pointer that does not lie in the segment.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API uint64_t brood_shared_place(brood_shared *shared, const void *pointer);

/*
 * The pointer to a place in a segment, good in this process and its forked children.
 *
 * Returns    the pointer; NULL for 0, and for a place that the segment does not have.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API void *brood_shared_at(brood_shared *shared, uint64_t place);

/*
 * The root: one place that everyone who attaches the segment can ask for, 0 until it is set.
 * Set it when everything that it leads to is ready.
 *
 * Returns    brood_shared_root(): the place; brood_shared_set_root(): 0.
 * Errors     -EINVAL (a place that the segment does not have)
 * Threads    Any thread of any process; who sees the new root sees what was written before.
 * Since      0.1
 */
BROOD_API int brood_shared_set_root(brood_shared *shared, uint64_t place);

/* The other half of brood_shared_set_root().
 *
 * Returns    the place, or 0 if none was set.
 * Threads    Any thread of any process.
 * Since      0.1
 */
BROOD_API uint64_t brood_shared_root(brood_shared *shared);

#ifdef __cplusplus
}
#endif

#endif
