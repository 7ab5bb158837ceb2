/*
 * process: run a function or a command in a process of its own.
 *
 *     static int greet(void *argument, size_t argument_bytes)
 *     {
 *         (void)argument_bytes;
 *         printf("hello, %s\n", (const char *)argument);
 *         return 0;
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         brood_process *process = NULL;
 *         int r = brood_main(argc, argv);
 *
 *         if (r == 0)
 *             r = brood_process_create(greet, "bob", 4, NULL, &process);
 *         if (r == 0)
 *             r = brood_process_start(process);
 *         if (r == 0)
 *             r = brood_process_join(process, BROOD_FOREVER);
 *         brood_process_free(process);
 *         return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
 *     }
 *
 * A child that ends is reaped at once whether or not anybody joins it; its exit is kept in
 * the handle for whoever asks later. Only brood's own children are reaped. When the program
 * ends, its daemon children are killed and the others joined: see brood_shutdown().
 *
 * Before a process is started, and where nothing is said otherwise, each call that needs a
 * running or ended child answers -ESRCH; -EINVAL is the answer to NULL, and -ECHILD to a
 * handle of another process, such as one's own after fork(). Those three are not repeated
 * below.
 */
#ifndef BROOD_PROCESS_H
#define BROOD_PROCESS_H

#include <brood/base.h>
#include <brood/function.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct brood_process brood_process;

/*
 * How a child that runs a function comes to be. Commands have only one way, as cheap as
 * vfork, and ignore this.
 *
 *   fork        a copy of the calling process, made in the calling thread. The argument may
 *               be a pointer. Costs time with the program's memory; in a program with
 *               threads the child must stay with what is safe there (malloc is, in glibc).
 *   forkserver  a copy of the program as it was when the guardian started, in a session of
 *               the guardian's, which no terminal interrupts. The same small cost for any
 *               program; safe whatever threads the program has.
 *   spawn       the program executed anew, entered through brood_main().
 */
#define BROOD_START_DEFAULT 0 /* what brood_set_start_method() set; fork at first */
#define BROOD_START_FORK 1
#define BROOD_START_FORKSERVER 2
#define BROOD_START_SPAWN 3

#define BROOD_DAEMON_INHERIT 0 /* as the process that starts it */
#define BROOD_DAEMON_YES 1     /* killed, with its descendants, when the program ends */
#define BROOD_DAEMON_NO 2      /* joined when the program ends */

#define BROOD_GROUP_INHERIT 0
#define BROOD_GROUP_NEW 1     /* leads a process group of its own */
#define BROOD_GROUP_SESSION 2 /* leads a session of its own, without a terminal */

#define BROOD_STDIO_INHERIT 0
#define BROOD_STDIO_NULL (-1)   /* /dev/null */
#define BROOD_STDIO_STDOUT (-2) /* for stderr_fd: wherever stdout goes */

#define BROOD_SCOPE_PROCESS 0 /* the child alone */
#define BROOD_SCOPE_GROUP 1   /* its process group, if it leads one; else as PROCESS */
#define BROOD_SCOPE_TREE 2    /* the child and its descendants; daemon: setsid'ed ones too */

/* For `flags`. */
#define BROOD_PROCESS_KEEP_DESCRIPTORS 1u /* fork only: the child keeps all it inherits */

/*
 * A zero field asks for its default. Start from BROOD_PROCESS_OPTIONS_INIT. Everything is
 * copied at creation.
 */
typedef struct brood_process_options {
    size_t size;             /* sizeof(brood_process_options) as the caller was compiled */
    const char *name;        /* default by lineage: process-1, its child process-1:2 */
    int32_t daemon;          /* BROOD_DAEMON_* */
    int32_t start_method;    /* BROOD_START_* */
    int32_t process_group;   /* BROOD_GROUP_* */
    int32_t nice_increment;  /* added to the nice value, -40 to 40 */
    int32_t stdin_fd;        /* a descriptor to become 0, or BROOD_STDIO_*; inherited ones
                                are ours, or for a forkserver child the guardian's */
    int32_t stdout_fd;       /* to become 1; descriptor 0 cannot be named here */
    int32_t stderr_fd;       /* to become 2; likewise */
    uint32_t flags;          /* BROOD_PROCESS_* */
    const int *descriptors;  /* passed on under the same numbers, 3 and up; all others */
    size_t descriptor_count; /* but 0-2 are closed in the child; 240 at most */
    const int *cpus;         /* numbers of the processors it may run on; */
    size_t cpu_count;        /* default: no change */
    const char *const *environment; /* "NAME=value" strings ended by NULL; default: ours,
                                       or for a forkserver child the guardian's. Daemons and
                                       forkserver children have BROOD_GUARD added */
    const char *working_directory;  /* default: no change */
} brood_process_options;
#define BROOD_PROCESS_OPTIONS_INIT                                                             \
    {                                                                                          \
        sizeof(brood_process_options), NULL, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, 0, NULL,   \
            NULL                                                                               \
    }

/*
 * The object form, Python's subclass with run(). The table must be a static object of a
 * module, for forkserver and spawn find it as they find functions. NULL hooks are skipped;
 * `run` must be there. `object` is the copy of the object's bytes, or the pointer itself
 * when `object_bytes` is 0.
 */
typedef struct brood_process_ops {
    size_t size;                                   /* sizeof(brood_process_ops) */
    int (*run)(void *object, size_t object_bytes); /* in the child; returns the exit code */
    void (*after_fork_child)(void *object, size_t object_bytes); /* in it, before run */
    void (*after_fork_parent)(void *object, size_t object_bytes, brood_process *process);
} brood_process_ops;

/* How a child ended. The rest is only meaningful where `kind` says so. */
#define BROOD_EXIT_UNKNOWN 0 /* somebody else's wait() took the status */
#define BROOD_EXIT_CODE 1
#define BROOD_EXIT_SIGNAL 2

typedef struct brood_exit {
    size_t size;           /* set by the caller: BROOD_EXIT_INIT */
    int32_t kind;          /* BROOD_EXIT_UNKNOWN, _CODE or _SIGNAL */
    int32_t code;          /* 0 to 255 */
    int32_t signal;        /* 1 to 64 */
    int32_t core_dumped;   /* 1: a core was written */
    int64_t wall_ns;       /* from start to reaping */
    int64_t user_ns;       /* processor time, with that of reaped descendants */
    int64_t system_ns;     /* likewise */
    int64_t max_rss_bytes; /* largest resident set of it or a reaped descendant */
    int64_t minor_faults;  /* page faults served from memory */
    int64_t major_faults;  /* page faults served from a disk */
} brood_exit;
#define BROOD_EXIT_INIT                                                                        \
    {                                                                                          \
        sizeof(brood_exit), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                       \
    }

#define BROOD_NAME_BYTES 128

/* Who a process is: this one, its parent, or an active child. */
typedef struct brood_process_info {
    size_t size;                 /* set by the caller: BROOD_PROCESS_INFO_INIT */
    int32_t pid;                 /* as this process sees it */
    int32_t daemon;              /* 1: it is a daemon */
    int32_t start_method;        /* BROOD_START_*; 0 for a program not started by brood */
    int32_t is_command;          /* 1: it runs a command */
    char name[BROOD_NAME_BYTES]; /* longer ones are cut */
} brood_process_info;
#define BROOD_PROCESS_INFO_INIT                                                                \
    {                                                                                          \
        sizeof(brood_process_info), 0, 0, 0, 0,                                                \
        {                                                                                      \
            0                                                                                  \
        }                                                                                      \
    }

/*
 * Makes a process that will run `function` with `argument`. With `argument_bytes` over 0
 * that many bytes are copied now, and the child gets its own copy, aligned as malloc
 * aligns. With 0 the child gets the pointer itself, which only fork can do anything with;
 * for the other start methods it must be NULL.
 *
 * Returns    0, with *ret_process made; it is not started yet.
 * Errors     -EINVAL (NULL function, unknown option value, a pointer argument or
 *            BROOD_PROCESS_KEEP_DESCRIPTORS that the start method cannot pass, or too
 *            many descriptors), -E2BIG (options of a newer version), -EBADF (a descriptor
 *            that is negative or not open), -ENAMETOOLONG (name over 127 bytes), -ENOMEM
 * Ownership  The caller frees *ret_process with brood_process_free().
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_create(brood_process_function *function, const void *argument,
                                   size_t argument_bytes, const brood_process_options *options,
                                   brood_process **ret_process);

/*
 * Makes a process in the object form: the same, with `ops` instead of a function.
 *
 * Returns    0, with *ret_process made; it is not started yet.
 * Errors     -EINVAL (also: `ops` of an unknown size or without run), and those of
 *            brood_process_create()
 * Ownership  The caller frees *ret_process; `ops` is borrowed for the handle's life.
 * Threads    Any thread. after_fork_parent runs in the thread that starts the process.
 * Since      0.1
 */
BROOD_API int brood_process_create_object(const brood_process_ops *ops, const void *object,
                                          size_t object_bytes,
                                          const brood_process_options *options,
                                          brood_process **ret_process);

/*
 * Makes a process that will run a command: `argv[0]` is looked for in PATH (of the
 * environment the command gets) unless it holds a slash, and no shell sees it. The command
 * gets default signal dispositions and an empty signal mask.
 *
 * Returns    0, with *ret_process made; it is not started yet.
 * Errors     -EINVAL (argv or argv[0] NULL or empty), and those of brood_process_create()
 * Ownership  The caller frees *ret_process; argv is copied.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_create_command(const char *const argv[],
                                           const brood_process_options *options,
                                           brood_process **ret_process);

/*
 * Starts the process. What stdout and stderr hold in their buffers is written out first,
 * so that a copy does not write it again. In the child the function's return ends the
 * process: its own children are shut down as by brood_shutdown(), stdout and stderr are
 * flushed (other streams are the function's to close), and atexit handlers inherited from
 * this process are not run.
 *
 * Returns    0: the child runs, and for a command, spawn and forkserver it got as far as
 *            its program or function.
 * Errors     -EALREADY (started before); for a command what exec says: -ENOENT, -EACCES
 *            (also a directory), -ENOEXEC, -E2BIG; -ENOENT (the function is not there in
 *            the forkserver or spawned program); -ENOSYS (spawn, but brood_main() was not
 *            called); -EAGAIN (RLIMIT_NPROC or the like), -ENOMEM, -EMFILE, -ENFILE;
 *            -EBADF (a named descriptor was closed since creation), what chdir, setpriority
 *            and sched_setaffinity say; -ENOEXEC (a spawned program ended before it came to
 *            brood_main()); -EINVAL (the default start method has become one that cannot
 *            pass the argument or the flags); -ESHUTDOWN (after brood_shutdown()). Nothing
 *            runs then, nothing is leaked, and it may be tried again.
 * Threads    Any thread; one at a time on one handle.
 * Fork       -ECHILD in any process but the one that created it.
 * Crash      A parent killed in here leaves no child that it cannot account for: a daemon
 *            child is gone as if it had been started, any other runs or does not.
 * Since      0.1
 */
BROOD_API int brood_process_start(brood_process *process);

/*
 * Gives the handle up, in any state. A child that still runs goes on, is reaped when it
 * ends, and at the program's end is killed or joined like any other.
 *
 * Ownership  Frees `process`; NULL is fine.
 * Threads    Any thread, while no other uses the handle.
 * Fork       In another process than its creator's it frees the memory only.
 * Since      0.1
 */
BROOD_API void brood_process_free(brood_process *process);

/*
 * Waits until the child has ended. Joining an ended child again is fine.
 *
 * Returns    0: it has ended, and brood_process_exit() knows how.
 * Errors     -ETIMEDOUT, -EINVAL (a negative timeout other than BROOD_FOREVER)
 * Threads    Any number of threads may join one process.
 * Crash      The wait ends with the child in every case, whoever reaped it.
 * Since      0.1
 */
BROOD_API int brood_process_join(brood_process *process, int64_t timeout);

/*
 * Joins if that needs no waiting.
 *
 * Returns    0: it has ended.
 * Errors     -EBUSY (it still runs)
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_try_join(brood_process *process);

/*
 * Tells whether the child runs at this very moment: a zombie does not.
 *
 * Returns    1 or 0; 0 also before the start.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_is_alive(brood_process *process);

/*
 * The child's process id. It is a name only while the child lives; signals sent through
 * this library never reach a later process of the same number.
 *
 * Returns    the pid, over 0; -ESRCH also for a forkserver child of tier C that ended before
 *            its number in this namespace could be learnt.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_pid(brood_process *process);

/*
 * The process's name.
 *
 * Returns    a borrowed string that lives as long as the handle; "" for NULL.
 * Threads    Any thread.
 * Fork       Usable in any process that has the handle.
 * Since      0.1
 */
BROOD_API const char *brood_process_name(const brood_process *process);

/*
 * Tells whether the process is, or will be, a daemon.
 *
 * Returns    1 or 0.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_is_daemon(const brood_process *process);

/*
 * Tells how the child ended.
 *
 * Returns    0, with *ret_exit filled as far as its `size` reaches.
 * Errors     -EBUSY (it still runs), -EINVAL (also: a size that is too small)
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_exit(brood_process *process, brood_exit *ret_exit);

/*
 * Tells how the child ended, in Python's form: the exit code, or -N for signal N.
 *
 * Returns    0, with *ret_code filled.
 * Errors     -EBUSY (it still runs), -ENODATA (nobody knows: BROOD_EXIT_UNKNOWN)
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_exit_code(brood_process *process, int *ret_code);

/*
 * A descriptor that becomes readable when the child has ended, for poll, epoll and event
 * loops. It is a pidfd or, first asked for after the end, something that is readable; do not
 * read it. Whoever polls it still joins the child, which then does not wait.
 *
 * Returns    the descriptor, 3 or higher.
 * Errors     -EMFILE, -ENFILE
 * Ownership  Belongs to the handle and is closed with it.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_pidfd(brood_process *process);

/*
 * Sends a signal to the child, its group or its tree. To a child that has ended it does
 * nothing and succeeds; the group and tree are reached while the child lives, and a
 * daemon's marked descendants after that too. Where /proc cannot be read, or is another PID
 * namespace's, the tree is the child alone.
 *
 * Returns    0.
 * Errors     -EINVAL (no such signal or scope), -EPERM
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_signal(brood_process *process, int signal, int scope);

/*
 * Asks the child to end: SIGTERM to it alone.
 *
 * Returns    0, also if it has ended.
 * Errors     -EPERM
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_terminate(brood_process *process);

/*
 * Ends the child: SIGKILL to it alone.
 *
 * Returns    0, also if it has ended.
 * Errors     -EPERM
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_kill(brood_process *process);

/*
 * Interrupts the child as ^C does: SIGINT to it alone.
 *
 * Returns    0, also if it has ended.
 * Errors     -EPERM
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_interrupt(brood_process *process);

/*
 * Ends the child, politely first: SIGTERM to all in `scope`, SIGKILL to those left when the
 * child has ended or `grace` is over, and a join. A stopped child is continued, so that it
 * can hear the first signal.
 *
 * Returns    0: it has ended.
 * Errors     -EINVAL (negative grace other than BROOD_FOREVER, unknown scope), -EPERM
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_stop(brood_process *process, int64_t grace, int scope);

/*
 * Waits until any of `count` processes has ended. Entries that are NULL are passed over.
 *
 * Returns    0, with the lowest index of an ended one in *ret_index.
 * Errors     -ETIMEDOUT, -EINVAL (no entry that is not NULL), -ENOMEM
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_wait_any(brood_process *const *processes, size_t count,
                                     int64_t timeout, size_t *ret_index);

/*
 * Waits until all of `count` processes have ended. Entries that are NULL are passed over.
 *
 * Returns    0.
 * Errors     -ETIMEDOUT: at least one still runs.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_process_wait_all(brood_process *const *processes, size_t count,
                                     int64_t timeout);

/*
 * Tells who this process is: "main" in a program, its own name in a child.
 *
 * Returns    0, with *ret_info filled as far as its `size` reaches.
 * Errors     -EINVAL
 * Threads    Any thread.
 * Fork       Usable anywhere; after a plain fork() it has the name of the process that
 *            forked, and the pid of the caller.
 * Since      0.1
 */
BROOD_API int brood_current_process(brood_process_info *ret_info);

/*
 * Tells who started this process: for a forkserver child the program, not the forkserver.
 *
 * Returns    0, with *ret_info filled as far as its `size` reaches.
 * Errors     -EINVAL, -ESRCH (this process was not started by brood)
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_parent_process(brood_process_info *ret_info);

/*
 * Tells whether the process that started this one still lives.
 *
 * Returns    1 or 0.
 * Errors     -ESRCH (this process was not started by brood), -EMFILE, -ENFILE
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_parent_is_alive(void);

/*
 * Waits until the process that started this one has ended. A daemon will hardly see it
 * happen.
 *
 * Returns    0: it has ended.
 * Errors     -ETIMEDOUT, -EINVAL (timeout), -ESRCH (this process was not started by brood),
 *            -EMFILE, -ENFILE
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_parent_join(int64_t timeout);

/*
 * Lists the children that run at this moment, oldest first, those whose handles were freed
 * included. `ret_infos` may be NULL if `capacity` is 0.
 *
 * Returns    how many there are, which may be more than the `capacity` that was filled.
 * Errors     -EINVAL (also: the `size` in the first entry, which counts for all)
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_active_children(brood_process_info *ret_infos, size_t capacity);

/*
 * Sets how BROOD_START_DEFAULT starts functions from now on. Children inherit it.
 *
 * Returns    0.
 * Errors     -EINVAL (not BROOD_START_FORK, _FORKSERVER or _SPAWN)
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_set_start_method(int start_method);

/*
 * Tells how BROOD_START_DEFAULT starts functions.
 *
 * Returns    BROOD_START_FORK, _FORKSERVER or _SPAWN.
 * Threads    Any thread.
 * Since      0.1
 */
BROOD_API int brood_start_method(void);

/*
 * Ends what this process started. In this order: no more starts; SIGTERM to the daemon
 * children, newest first; the other children are joined; daemon children still there 100 ms
 * after their SIGTERM, and what descends from them, are killed; the guardian ends.
 * With a timeout the joins end when it is over, and the remaining steps are done all
 * the same. Runs at exit() with BROOD_FOREVER, and when the function of a child returns,
 * unless it was called before; _exit() and death by a signal leave the work to the
 * guardian, and non-daemon children running.
 *
 * Returns    0: no child is left.
 * Errors     -ETIMEDOUT (non-daemon children still run; they go on), -EINVAL (timeout)
 * Threads    Any thread; others starting processes meanwhile get -ESHUTDOWN.
 * Fork       Concerns the children of the calling process only.
 * Since      0.1
 */
BROOD_API int brood_shutdown(int64_t timeout);

#ifdef __cplusplus
}
#endif

#endif
