/*
 * Shortage: whatever call of the system fails, a start fails with an error that its header
 * lists, and leaves no process, no descriptor and no memory; and the same handle starts when
 * the shortage is over.
 *
 * Method: for each way to start and each call, the k-th such call is made to fail, k = 1, 2,
 * ..., until a start passes without having made so many. Cold: in a fresh program for each k,
 * so that what is made once is made under fire as well. Warm: in one program that has made
 * it, where descriptors and memory must be exactly the same before and after.
 */
#include "../process/deaths.h"
#include "fault.h"

#include <sys/resource.h>

#define CALLS_MAX 400 /* of one kind in one start: a loop otherwise */

static const struct {
    enum fault fault;
    int error;
    const char *name;
} faults[] = {
    { FAULT_FORK, EAGAIN, "fork" },
    { FAULT_FORK, ENOMEM, "fork" },
    { FAULT_CLONE, EAGAIN, "clone" },
    { FAULT_SYS_CLONE, EAGAIN, "clone syscall" },
    { FAULT_PIPE, EMFILE, "pipe2" },
    { FAULT_SOCKETPAIR, EMFILE, "socketpair" },
    { FAULT_MEMFD, EMFILE, "memfd_create" },
    { FAULT_EPOLL_CREATE, EMFILE, "epoll_create1" },
    { FAULT_EPOLL_CTL, ENOSPC, "epoll_ctl" },
    { FAULT_EVENTFD, EMFILE, "eventfd" },
    { FAULT_THREAD, EAGAIN, "pthread_create" },
    { FAULT_MALLOC, ENOMEM, "malloc" },
    { FAULT_CALLOC, ENOMEM, "calloc" },
    { FAULT_REALLOC, ENOMEM, "realloc" },
    { FAULT_MMAP, ENOMEM, "mmap" },
    { FAULT_OPEN, EMFILE, "open" },
    { FAULT_DUP, EMFILE, "dup" },
    { FAULT_PIDFD_OPEN, EMFILE, "pidfd_open" },
};
#define FAULTS (sizeof faults / sizeof faults[0])

/* ---- ways to start ---- */

struct way {
    const char *name;
    int method; /* COMMAND; 0: the guardian alone */
    int daemon;
};

static const struct way ways[] = {
    { "fork", BROOD_START_FORK, BROOD_DAEMON_NO },
    { "daemon fork", BROOD_START_FORK, BROOD_DAEMON_YES },
    { "command", COMMAND, BROOD_DAEMON_NO },
    { "daemon command", COMMAND, BROOD_DAEMON_YES },
    { "spawn", BROOD_START_SPAWN, BROOD_DAEMON_NO },
    { "forkserver", BROOD_START_FORKSERVER, BROOD_DAEMON_NO },
    { "guardian", 0, 0 },
};

static int seven(void *argument, size_t argument_bytes)
{
    (void)argument;
    (void)argument_bytes;
    return 7;
}

static int create(const struct way *way, brood_process **ret_process)
{
    static const char *const command[] = { "sh", "-c", "exit 7", NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    options.daemon = way->daemon;
    if (way->method == COMMAND)
        return brood_process_create_command(command, &options, ret_process);
    options.start_method = way->method;
    return brood_process_create(seven, NULL, 0, &options, ret_process);
}

/* Makes and starts, or goes on from where the last call failed. */
static int start(const struct way *way, brood_process **process)
{
    brood_guardian_options options = BROOD_GUARDIAN_OPTIONS_INIT;
    int r = 0;

    options.tier = BROOD_TIER_A;
    if (way->method == 0)
        return brood_guardian_start(&options);
    if (*process == NULL)
        r = create(way, process);
    return r < 0 ? r : brood_process_start(*process);
}

static void join_seven(brood_process *process)
{
    int r, code = -1;

    if (process == NULL)
        return;
    r = brood_process_join(process, brood_seconds(10));
    INSIST(r == 0, "%d", r);
    r = brood_process_exit_code(process, &code);
    INSIST(r == 0 && code == 7, "%d, code %d", r, code);
    brood_process_free(process);
}

static bool is_listed(int error)
{
    return error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* ---- what may not be left ---- */

#define FDS_MAX 512

static void fds_look(bool open_ones[FDS_MAX])
{
    for (int fd = 0; fd < FDS_MAX; fd++)
        open_ones[fd] = fcntl(fd, F_GETFD) >= 0;
}

static void fds_print(const bool before[FDS_MAX], const bool after[FDS_MAX])
{
    for (int fd = 0; fd < FDS_MAX; fd++) {
        char path[64], target[256];
        ssize_t n;

        if (before[fd] == after[fd])
            continue;
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof target - 1);
        target[n < 0 ? 0 : n] = '\0';
        (void)fprintf(stderr, "descriptor %d %s %s\n", fd, before[fd] ? "closed" : "left",
                      target);
    }
}

/* Nothing lives below us but the helpers of a guardian that runs. */
static void check_kin(const char *when)
{
    static struct kin list[KIN_MAX];
    const int64_t deadline = now_ms() + GONE_MS;
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;

    for (;;) {
        bool runs = brood_guardian_status(&info) == 0;
        size_t count = kin_list(getpid(), list), strange = 0, last = 0;

        for (size_t i = 0; i < count; i++) {
            if (runs &&
                (list[i].pid == info.guardian_pid || list[i].pid == info.forkserver_pid))
                continue;
            strange++;
            last = i;
        }
        if (strange == 0)
            return;
        INSIST(now_ms() < deadline, "%s: %zu processes are left, such as %s", when, strange,
               list[last].name);
        nap_us(1000);
    }
}

static void check_no_children(const char *when)
{
    siginfo_t info = { 0 };

    /* The guardian is a child, hidden from a wait() that does not ask for all. */
    INSIST(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD,
           "%s: child %d is left", when, (int)info.si_pid);
}

/* ---- cold ---- */

struct shot {
    const struct way *way;
    size_t fault;
    unsigned k;
};

#define EXIT_NOT_HIT 10

static void program_under_fire(struct witness *w, void *argument)
{
    static bool before[FDS_MAX], after[FDS_MAX];
    const struct shot *shot = argument;
    brood_process *process = NULL;
    char when[128];
    bool hit;
    int r;

    (void)w;
    (void)snprintf(when, sizeof when, "%s, cold, %s no. %u (%s)", shot->way->name,
                   faults[shot->fault].name, shot->k, strerror(faults[shot->fault].error));
    fds_look(before);
    fault_arm(faults[shot->fault].fault, faults[shot->fault].error, shot->k);
    r = start(shot->way, &process);
    hit = fault_disarm();
    INSIST(r == 0 || hit, "%s: %d without a fault", when, r);
    if (r < 0) {
        INSIST(is_listed(r), "%s: %s is not listed", when, brood_strerror(r));
        check_no_children(when);
        check_kin(when);
        r = start(shot->way, &process);
        INSIST(r == 0, "%s: the second start says %d", when, r);
    }
    join_seven(process);
    r = brood_shutdown(BROOD_FOREVER);
    INSIST(r == 0, "%s: shutdown says %d", when, r);
    INSIST(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD, "%s: a child is left",
           when);
    fds_look(after);
    fds_print(before, after);
    INSIST(memcmp(before, after, sizeof before) == 0, "%s: descriptors", when);
    (void)fflush(NULL);
    _exit(hit ? 0 : EXIT_NOT_HIT);
}

static void fire_cold(const struct way *way)
{
    unsigned shots = 0, wrong = 0;

    fault_init();
    for (size_t fault = 0; fault < FAULTS; fault++) {
        for (unsigned k = 1;; k++) {
            struct shot shot = { way, fault, k };
            struct witness w;
            int status = 0;

            witness_begin(&w);
            (void)program_start(&w, program_under_fire, &shot);
            witness_let_go(&w);
            assert_int_equal(waitpid(w.program, &status, 0), w.program);
            (void)await_nothing_left(GONE_MS, 0);
            witness_end(&w);
            if (status == EXIT_NOT_HIT << 8)
                break;
            assert_true(k < CALLS_MAX);
            shots++;
            if (status != 0) { /* go on, to see all that is wrong at once */
                wrong++;
                print_message("%s, cold, %s no. %u (%s): status %#x\n", way->name,
                              faults[fault].name, k, strerror(faults[fault].error),
                              (unsigned)status);
            }
        }
    }
    print_message("%s, cold: %u faults\n", way->name, shots);
    assert_int_equal(wrong, 0);
    assert_true(shots > 0);
}

/* ---- warm ---- */

static long mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = -1;

    INSIST(file != NULL && fscanf(file, "%ld", &pages) == 1, "statm");
    (void)fclose(file);
    return pages;
}

/* One shot in a warm program. Returns whether it hit. */
static bool fire_once(const struct way *way, size_t fault, unsigned k, int *wrong)
{
    static bool before[FDS_MAX], after[FDS_MAX];
    brood_process *process = NULL;
    char when[128];
    bool hit;
    int r;

    (void)snprintf(when, sizeof when, "%s, warm, %s no. %u (%s)", way->name, faults[fault].name,
                   k, strerror(faults[fault].error));
    fds_look(before);
    fault_arm(faults[fault].fault, faults[fault].error, k);
    r = start(way, &process);
    hit = fault_disarm();
    INSIST(r == 0 || hit, "%s: %d without a fault", when, r);
    if (r < 0) {
        fds_look(after);
        if (memcmp(before, after, sizeof before) != 0 || !is_listed(r)) {
            fds_print(before, after);
            print_message("%s: %s\n", when, brood_strerror(r));
            ++*wrong;
        }
        check_no_children(when);
        check_kin(when);
        INSIST(brood_active_children(NULL, 0) == 0, "%s: a child is active", when);
        r = start(way, &process);
        INSIST(r == 0, "%s: the second start says %d", when, r);
    }
    join_seven(process);
    return hit;
}

static void program_warm(struct witness *w, void *argument)
{
    static bool before[FDS_MAX], after[FDS_MAX];
    const struct way *way = argument;
    brood_process *process = NULL;
    long pages[4];
    int wrong = 0, r;

    (void)w;
    fds_look(before);
    r = start(way, &process);
    INSIST(r == 0, "%d", r);
    join_seven(process);
    for (int pass = 0; pass < 4; pass++) {
        for (size_t fault = 0; fault < FAULTS; fault++)
            for (unsigned k = 1; fire_once(way, fault, k, &wrong); k++)
                INSIST(k < CALLS_MAX, "%s: %u", faults[fault].name, k);
        pages[pass] = mapped_pages();
    }
    if (!SANITIZED) /* what a sanitizer keeps of freed memory grows */
        INSIST(pages[3] <= pages[2] || pages[2] <= pages[1] || pages[1] <= pages[0],
               "%s: %ld, %ld, %ld, %ld pages", way->name, pages[0], pages[1], pages[2],
               pages[3]);
    r = brood_shutdown(BROOD_FOREVER);
    INSIST(r == 0, "shutdown says %d", r);
    INSIST(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD, "a child is left");
    fds_look(after);
    fds_print(before, after);
    INSIST(memcmp(before, after, sizeof before) == 0, "descriptors");
    INSIST(wrong == 0, "%d faults", wrong);
}

static void run_program(void (*body)(struct witness *, void *), const struct way *way)
{
    struct way copy = *way;
    struct witness w;
    int status;

    witness_begin(&w);
    (void)program_start(&w, body, &copy);
    witness_let_go(&w);
    status = program_end(&w);
    (void)await_nothing_left(GONE_MS, 0);
    witness_end(&w);
    assert_int_equal(status, 0);
}

#define WAY_CASES(name, index)                                                                 \
    static void name##_cold(void **state)                                                      \
    {                                                                                          \
        (void)state;                                                                           \
        fire_cold(&ways[index]);                                                               \
    }                                                                                          \
    static void name##_warm(void **state)                                                      \
    {                                                                                          \
        (void)state;                                                                           \
        fault_init();                                                                          \
        run_program(program_warm, &ways[index]);                                               \
    }

WAY_CASES(fork_child, 0)
WAY_CASES(daemon_fork, 1)
WAY_CASES(command, 2)
WAY_CASES(daemon_command, 3)
WAY_CASES(spawn, 4)
WAY_CASES(forkserver, 5)
WAY_CASES(guardian, 6)

/* ---- real limits ---- */

/* Starts under a limit of `most` descriptors, and once more without it. */
static void start_with_few_descriptors(const struct way *way, rlim_t most)
{
    struct rlimit limit, low;
    brood_process *process = NULL;
    char when[64];
    int r;

    (void)snprintf(when, sizeof when, "%s, %u descriptors", way->name, (unsigned)most);
    INSIST(getrlimit(RLIMIT_NOFILE, &limit) == 0, "%s", when);
    low = limit;
    low.rlim_cur = most;
    r = create(way, &process);
    INSIST(r == 0, "%d", r);
    INSIST(setrlimit(RLIMIT_NOFILE, &low) == 0, "%s", when);
    r = brood_process_start(process);
    INSIST(setrlimit(RLIMIT_NOFILE, &limit) == 0, "%s", when);
    INSIST(r == 0 || r == -EMFILE || r == -EAGAIN, "%s: %d", when, r);
    if (r < 0) {
        check_no_children(when);
        check_kin(when);
        r = brood_process_start(process);
        INSIST(r == 0, "%s: the second start says %d", when, r);
    }
    join_seven(process);
}

static int highest_descriptor(void)
{
    bool open_ones[FDS_MAX];
    int highest = 0;

    fds_look(open_ones);
    for (int fd = 0; fd < FDS_MAX; fd++)
        if (open_ones[fd])
            highest = fd;
    return highest;
}

static void program_with_few_descriptors(struct witness *w, void *argument)
{
    static bool before[FDS_MAX], after[FDS_MAX];
    const struct way *way = argument;
    brood_process *process = NULL;
    int r;

    (void)w;
    (void)close(LIFE_FD);
    r = start(way, &process);
    INSIST(r == 0, "%d", r);
    join_seven(process);
    fds_look(before);
    for (int most = 3; most < highest_descriptor() + 12; most++)
        start_with_few_descriptors(way, (rlim_t)most);
    fds_look(after);
    fds_print(before, after);
    INSIST(memcmp(before, after, sizeof before) == 0, "%s: descriptors", way->name);
}

static void few_descriptors(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++)
        run_program(program_with_few_descriptors, &ways[i]);
}

struct cold_limit {
    const struct way *way;
    int more;
};

static void program_cold_with_few_descriptors(struct witness *w, void *argument)
{
    const struct cold_limit *c = argument;

    (void)w;
    (void)close(LIFE_FD);
    start_with_few_descriptors(c->way, (rlim_t)(3 + c->more));
    exit(0);
}

static void few_descriptors_cold(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++)
        for (int more = 0; more < 20; more++) {
            struct cold_limit c = { &ways[i], more };
            struct witness w;
            int status;

            witness_begin(&w);
            (void)program_start(&w, program_cold_with_few_descriptors, &c);
            witness_let_go(&w);
            status = program_end(&w);
            (void)await_nothing_left(GONE_MS, 0);
            witness_end(&w);
            assert_int_equal(status, 0);
        }
}

#define NOBODY 54321 /* a user of whom no other process is, so that a count is ours alone */

static void program_with_few_processes(struct witness *w, void *argument)
{
    const struct cold_limit *c = argument;
    const struct rlimit enough = { 1000, 1000 };
    struct rlimit low = { (rlim_t)c->more, 1000 };
    brood_process *process = NULL;
    char when[64];
    int r;

    (void)w;
    (void)snprintf(when, sizeof when, "%s, %d processes", c->way->name, c->more);
    if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        _exit(TEST_EXIT_SKIPPED);
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* or /proc/self would still be root's */
    INSIST(setrlimit(RLIMIT_NPROC, &low) == 0, "%s", when);
    r = start(c->way, &process);
    INSIST(setrlimit(RLIMIT_NPROC, &enough) == 0, "%s", when);
    INSIST(r == 0 || r == -EAGAIN, "%s: %d", when, r);
    if (r < 0) {
        check_no_children(when);
        check_kin(when);
        /* A forkserver that is there already keeps the limit it was born with. */
        r = start(c->way, &process);
        INSIST(r == 0 || (c->way->method == BROOD_START_FORKSERVER && r == -EAGAIN),
               "%s: the second start says %d", when, r);
        if (r < 0) {
            brood_process_free(process);
            process = NULL;
        }
    }
    join_seven(process);
    exit(0);
}

static void few_processes(void **state)
{
    (void)state;
    if (getuid() != 0)
        test_skip("only root can become somebody without processes");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (int more = 0; more < 8; more++) {
            struct cold_limit c = { &ways[i], more };
            struct witness w;
            int status;

            if (SANITIZED && ways[i].method == BROOD_START_SPAWN)
                continue; /* the copy's leak check would need a process of its own */
            witness_begin(&w);
            (void)program_start(&w, program_with_few_processes, &c);
            witness_let_go(&w);
            status = program_end(&w);
            (void)await_nothing_left(GONE_MS, 0);
            witness_end(&w);
            assert_int_equal(status, 0);
        }
}

/* clang-format off */
#define WAY_LIST(name) TEST_CASE_LIMIT(name##_cold, 120), TEST_CASE_LIMIT(name##_warm, 120)
/* clang-format on */

static const struct test_case cases[] = {
    WAY_LIST(fork_child),
    WAY_LIST(daemon_fork),
    WAY_LIST(command),
    WAY_LIST(daemon_command),
    WAY_LIST(spawn),
    WAY_LIST(forkserver),
    WAY_LIST(guardian),
    TEST_CASE(few_descriptors),
    TEST_CASE(few_descriptors_cold),
    TEST_CASE(few_processes),
};
TEST_SUITE(fault, cases)
