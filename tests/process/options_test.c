/*
 * Each option, by each start method, and each wrong value. Method: the child tells what it
 * has become (directory, environment, priority, processors, group, descriptors); programs
 * whose stdio is closed are plain forks of the case.
 */
#include "helpers.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- the struct ---- */

static int create_error(const brood_process_options *options)
{
    brood_process *process = NULL;
    int r = brood_process_create(return_zero, NULL, 0, options, &process);

    brood_process_free(process);
    return r;
}

static void sizes_of_older_and_newer_callers(void **state)
{
    struct {
        brood_process_options options;
        unsigned char more[24];
    } newer = { BROOD_PROCESS_OPTIONS_INIT, { 0 } };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    (void)state;
    assert_int_equal(create_error(NULL), 0);
    assert_int_equal(create_error(&options), 0);
    options.size = 0;
    assert_int_equal(create_error(&options), -EINVAL);
    options.size = sizeof(size_t);
    assert_int_equal(create_error(&options), -EINVAL);
    options.size = sizeof options - 1;
    assert_int_equal(create_error(&options), -EINVAL);

    newer.options.size = sizeof newer;
    assert_int_equal(create_error(&newer.options), 0);
    for (size_t i = 0; i < sizeof newer.more; i++) {
        newer.more[i] = 1;
        assert_int_equal(create_error(&newer.options), -E2BIG);
        newer.more[i] = 0;
    }
    newer.more[10] = 1;
    newer.options.size = sizeof newer.options + 10; /* what lies beyond is not ours to read */
    assert_int_equal(create_error(&newer.options), 0);
}

#define REFUSES(field, value)                                                                  \
    do {                                                                                       \
        brood_process_options wrong = BROOD_PROCESS_OPTIONS_INIT;                              \
        wrong.field = value;                                                                   \
        assert_int_equal(create_error(&wrong), -EINVAL);                                       \
    } while (0)

static void unknown_values_are_refused(void **state)
{
    static const int stdio[] = { 0, 3, 4 };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int numbers[1] = { -1 };

    (void)state;
    REFUSES(daemon, -1);
    REFUSES(daemon, 3);
    REFUSES(start_method, -1);
    REFUSES(start_method, 4);
    REFUSES(process_group, -1);
    REFUSES(process_group, 3);
    REFUSES(nice_increment, 41);
    REFUSES(nice_increment, -41);
    REFUSES(stdin_fd, BROOD_STDIO_STDOUT);
    REFUSES(stdout_fd, BROOD_STDIO_STDOUT);
    REFUSES(stdin_fd, -3);
    REFUSES(stderr_fd, -3);
    REFUSES(flags, 2u);
    REFUSES(flags, 0x80000000u);
    REFUSES(descriptor_count, 1); /* with a NULL list */
    REFUSES(cpu_count, 1);

    options.cpus = numbers;
    options.cpu_count = 1;
    assert_int_equal(create_error(&options), -EINVAL);
    numbers[0] = 1 << 20;
    assert_int_equal(create_error(&options), -EINVAL);

    options = (brood_process_options)BROOD_PROCESS_OPTIONS_INIT;
    options.descriptors = stdio;
    options.descriptor_count = 1; /* 0-2 are stdio, not for this list */
    assert_int_equal(create_error(&options), -EINVAL);

    for (size_t m = 1; m < START_METHOD_COUNT; m++) {
        options = options_of(start_methods[m]);
        options.flags = BROOD_PROCESS_KEEP_DESCRIPTORS;
        assert_int_equal(create_error(&options), -EINVAL);
    }
}

static void bad_descriptors_are_refused(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int descriptors[241], good = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    for (int i = 0; i < 241; i++)
        descriptors[i] = good;
    options.descriptors = descriptors;
    options.descriptor_count = 241;
    assert_int_equal(create_error(&options), -EINVAL);
    options.descriptor_count = 240;
    assert_int_equal(create_error(&options), 0);
    descriptors[239] = 1000;
    assert_int_equal(create_error(&options), -EBADF);
    descriptors[239] = -1;
    assert_int_equal(create_error(&options), -EBADF);

    options = (brood_process_options)BROOD_PROCESS_OPTIONS_INIT;
    options.stdin_fd = 1000;
    assert_int_equal(create_error(&options), -EBADF);
    options.stdin_fd = 0;
    options.stderr_fd = 1000;
    assert_int_equal(create_error(&options), -EBADF);
    assert_int_equal(close(good), 0);
}

static void a_descriptor_closed_after_creation(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        int fd = fcntl(0, F_DUPFD_CLOEXEC, 100);
        brood_process *process;

        assert_true(fd >= 100);
        options.descriptors = &fd;
        options.descriptor_count = 1;
        process = create(return_zero, NULL, 0, &options);
        assert_int_equal(close(fd), 0);
        assert_int_equal(brood_process_start(process), -EBADF);
        assert_int_equal(brood_process_pid(process), -ESRCH);
        brood_process_free(process);
    }
}

/* ---- directory, environment ---- */

static int print_directory(void *argument, size_t argument_bytes)
{
    char path[4096];

    (void)argument, (void)argument_bytes;
    if (getcwd(path, sizeof path) == NULL)
        return 1;
    dprintf(1, "%s", path);
    return 0;
}

static void working_directories(void **state)
{
    (void)state;
    assert_int_equal(mknod("file", S_IFREG | 0600, 0), 0);
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process;

        options.working_directory = "/proc";
        assert_string_equal(output_of(print_directory, NULL, 0, &options), "/proc");
        options.working_directory = "file";
        process = create(return_zero, NULL, 0, &options);
        assert_int_equal(brood_process_start(process), -ENOTDIR);
        brood_process_free(process);
        options.working_directory = "missing";
        process = create(return_zero, NULL, 0, &options);
        assert_int_equal(brood_process_start(process), -ENOENT);
        brood_process_free(process);
    }
}

extern char **environ;

static int print_environment(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, "BROOD_GUARD=", 12) != 0) /* by which it is found again */
            dprintf(1, "%s;", *entry);
    return 0;
}

static void environments_are_replaced(void **state)
{
    static const char *const two[] = { "A=1", "EMPTY=", NULL };
    static const char *const none[] = { NULL };

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        options.environment = two;
        assert_string_equal(output_of(print_environment, NULL, 0, &options), "A=1;EMPTY=;");
        options.environment = none;
        assert_string_equal(output_of(print_environment, NULL, 0, &options), "");
    }
}

static void an_environment_is_copied_at_creation(void **state)
{
    char entry[] = "A=before";
    const char *environment[] = { entry, NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process;
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.environment = environment;
    options.stdout_fd = ends[1];
    process = create(print_environment, NULL, 0, &options);
    memcpy(entry, "A=after!", sizeof entry);
    assert_string_equal(output_from(process, ends), "A=before;");
}

static int print_variable(void *argument, size_t argument_bytes)
{
    const char *value = getenv(argument);

    (void)argument_bytes;
    dprintf(1, "%s", value == NULL ? "(none)" : value);
    return 0;
}

/* By default ours as it is at the start, or the guardian's as it was at its own. */
static void environments_are_inherited(void **state)
{
    static const char *const wanted[] = { "late", "early", "late" };

    (void)state;
    assert_int_equal(setenv("BROOD_TEST", "early", 1), 0);
    assert_int_equal(brood_guardian_start(NULL), 0);
    assert_int_equal(setenv("BROOD_TEST", "late", 1), 0);
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        assert_string_equal(output_of(print_variable, "BROOD_TEST", 11, &options), wanted[m]);
    }
}

/* ---- priority, processors, group ---- */

static int print_nice(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    dprintf(1, "%d", getpriority(PRIO_PROCESS, 0));
    return 0;
}

static void nice_values_are_added(void **state)
{
    int before = getpriority(PRIO_PROCESS, 0);

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        char wanted[16];

        options.nice_increment = 3;
        (void)snprintf(wanted, sizeof wanted, "%d", before + 3 > 19 ? 19 : before + 3);
        assert_string_equal(output_of(print_nice, NULL, 0, &options), wanted);
        options.nice_increment = 40;
        assert_string_equal(output_of(print_nice, NULL, 0, &options), "19");
    }
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

static int print_cpus(void *argument, size_t argument_bytes)
{
    cpu_set_t set;

    (void)argument, (void)argument_bytes;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set))
            dprintf(1, "%zu ", cpu);
    return 0;
}

static void processors_are_chosen(void **state)
{
    int impossible = 60000, last = -1;
    char wanted[16];
    cpu_set_t set;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &set))
            last = cpu;
    assert_true(last >= 0);
    (void)snprintf(wanted, sizeof wanted, "%d ", last);
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process;

        options.cpus = &last;
        options.cpu_count = 1;
        assert_string_equal(output_of(print_cpus, NULL, 0, &options), wanted);
        options.cpus = &impossible;
        process = create(return_zero, NULL, 0, &options);
        assert_int_equal(brood_process_start(process), -EINVAL);
        brood_process_free(process);
    }
}

static void the_processor_count_follows_the_affinity(void **state)
{
    cpu_set_t before, one;
    int cpu = 0, all;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    all = brood_cpu_count();
    assert_in_range(all, 1, CPU_COUNT(&before));
    while (!CPU_ISSET((size_t)cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(brood_cpu_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(brood_cpu_count(), all);
}

/* 'g': leads its group, 's': its session as well. */
static int print_leadership(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    dprintf(1, "%s%s", getpgrp() == getpid() ? "g" : "-", getsid(0) == getpid() ? "s" : "-");
    return 0;
}

static void groups_and_sessions(void **state)
{
    static const char *const wanted[] = { "--", "g-", "gs" };

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        for (int group = BROOD_GROUP_INHERIT; group <= BROOD_GROUP_SESSION; group++) {
            brood_process_options options = options_of(start_methods[m]);

            options.process_group = group;
            assert_string_equal(output_of(print_leadership, NULL, 0, &options), wanted[group]);
        }
    }
}

/* ---- stdio ---- */

static int file_with(const char *text)
{
    int fd = memfd_create("options-test", MFD_CLOEXEC);

    assert_true(fd > 2);
    assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
    return fd;
}

static const char *text_of(int fd)
{
    static char text[2][256];
    static int turn;
    ssize_t n = pread(fd, text[turn ^= 1], sizeof text[0] - 1, 0);

    assert_true(n >= 0);
    text[turn][n] = '\0';
    return text[turn];
}

/* Copies its stdin to its stdout, and says "err" on stderr. */
static int use_stdio(void *argument, size_t argument_bytes)
{
    char text[64];
    ssize_t n = read(0, text, sizeof text);

    (void)argument, (void)argument_bytes;
    if (n < 0 || write(1, text, (size_t)n) != n || write(2, "err", 3) != 3)
        return 1;
    return 0;
}

static void stdio_goes_where_it_is_sent(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        int in = file_with("in"), out = file_with(""), err = file_with("");

        options.stdin_fd = in;
        options.stdout_fd = out;
        options.stderr_fd = err;
        assert_int_equal(end_of(start(use_stdio, NULL, 0, &options)), 0);
        assert_string_equal(text_of(out), "in");
        assert_string_equal(text_of(err), "err");

        assert_int_equal(ftruncate(out, 0), 0);
        assert_int_equal(lseek(out, 0, SEEK_SET), 0);
        assert_int_equal(lseek(in, 0, SEEK_SET), 0);
        options.stderr_fd = BROOD_STDIO_STDOUT;
        assert_int_equal(end_of(start(use_stdio, NULL, 0, &options)), 0);
        assert_string_equal(text_of(out), "inerr");

        options.stdin_fd = options.stdout_fd = options.stderr_fd = BROOD_STDIO_NULL;
        assert_int_equal(end_of(start(use_stdio, NULL, 0, &options)), 0);
        assert_string_equal(text_of(out), "inerr");
        assert_int_equal(close(in), 0);
        assert_int_equal(close(out), 0);
        assert_int_equal(close(err), 0);
    }
}

/* In a fork of the case, with two files as 1 and 2: they change places in the child. */
static void swap_in_fork(void)
{
    int out = file_with(""), err = file_with("");
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    (void)dup2(out, 1);
    (void)dup2(err, 2);
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        options.start_method = start_methods[m];
        options.stdin_fd = BROOD_STDIO_NULL;
        options.stdout_fd = 2;
        options.stderr_fd = 1;
        if (end_of(start(use_stdio, NULL, 0, &options)) != 0)
            _exit(1);
        if (strlen(text_of(out)) != 3 * (m + 1) || strlen(text_of(err)) != 0)
            _exit(2);
        options.stdout_fd = 2;
        options.stderr_fd = BROOD_STDIO_STDOUT;
        if (end_of(start(use_stdio, NULL, 0, &options)) != 0 ||
            strcmp(text_of(err), "err") != 0 || ftruncate(err, 0) < 0 ||
            lseek(err, 0, SEEK_SET) < 0)
            _exit(3);
    }
    (void)brood_shutdown(BROOD_FOREVER);
}

static void stdout_and_stderr_may_change_places(void **state)
{
    (void)state;
    assert_int_equal(status_of_fork(swap_in_fork), 0);
}

/* Which of 0-2 are open. */
static int tell_open_stdio(void *argument, size_t argument_bytes)
{
    int code = 0;

    (void)argument, (void)argument_bytes;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            code |= 1 << fd;
    return code;
}

/*
 * A program without stdio: nothing of the library's may land on 0-2, in it or in its
 * children, however they are started, and redirections still work.
 */
static void without_stdio_in_fork(void)
{
    int file = fcntl(file_with(""), F_DUPFD_CLOEXEC, 10);

    (void)syscall(SYS_close_range, 0u, 9u, 0u);
    for (int round = 0; round < 2; round++) {
        for (size_t m = 0; m < START_METHOD_COUNT; m++) {
            brood_process_options options = options_of(start_methods[m]);
            static const char *const argv[] = { "/bin/true", NULL };

            options.daemon = round == 0 ? BROOD_DAEMON_NO : BROOD_DAEMON_YES;
            if (end_of(start(tell_open_stdio, NULL, 0, &options)) != 0)
                _exit(10 + (int)m);
            options.stdout_fd = file;
            if (end_of(start(tell_open_stdio, NULL, 0, &options)) != 2)
                _exit(20 + (int)m);
            options.stderr_fd = file;
            if (end_of(start(tell_open_stdio, NULL, 0, &options)) != 6)
                _exit(60 + (int)m);
            options.stdin_fd = options.stdout_fd = options.stderr_fd = BROOD_STDIO_NULL;
            if (end_of(start(tell_open_stdio, NULL, 0, &options)) != 7)
                _exit(30 + (int)m);
            if (end_of(start_command(argv, NULL)) != 0)
                _exit(40 + (int)m);
            if (tell_open_stdio(NULL, 0) != 0)
                _exit(50 + (int)m);
        }
    }
    (void)brood_shutdown(BROOD_FOREVER);
    _exit(tell_open_stdio(NULL, 0));
}

static void a_program_may_have_no_stdio(void **state)
{
    int status = status_of_fork(without_stdio_in_fork);

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* /dev/null for one of them is not opened in another's place. */
static void null_beside_closed_in_fork(void)
{
    (void)syscall(SYS_close_range, 0u, 9u, 0u);
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        options.stderr_fd = BROOD_STDIO_NULL;
        if (end_of(start(tell_open_stdio, NULL, 0, &options)) != 4)
            _exit(1 + (int)m);
    }
    (void)brood_shutdown(BROOD_FOREVER);
}

static void null_beside_closed_stdio(void **state)
{
    int status = status_of_fork(null_beside_closed_in_fork);

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- named descriptors ---- */

#define NAMED_COUNT 6

/* Each named descriptor must hold its own number as text; nothing else may be open. */
static int check_named(void *argument, size_t argument_bytes)
{
    const int *numbers = argument;
    size_t count = argument_bytes / sizeof(int);

    for (size_t i = 0; i < count; i++) {
        char text[16] = "";

        if (pread(numbers[i], text, sizeof text - 1, 0) <= 0 || atoi(text) != numbers[i])
            return 10 + (int)i;
    }
    return descriptor_count() == count + 3 ? 0 : 5;
}

/* A file that holds `number` as text, open as that number. */
static void open_as(int number)
{
    char text[16];
    int fd;

    (void)snprintf(text, sizeof text, "%d", number);
    fd = file_with(text);
    if (fd == number)
        return;
    assert_int_equal(dup3(fd, number, O_CLOEXEC), number);
    assert_int_equal(close(fd), 0);
}

/*
 * In each order, with gaps, and so low that what the forkserver receives, or a spawned
 * program is given beside them, has these very numbers at first.
 */
static void named_descriptors_keep_their_numbers(void **state)
{
    static const int sets[][NAMED_COUNT] = {
        { 3, 4, 5, 6, 7, 8 },      { 8, 7, 6, 5, 4, 3 },     { 20, 5, 19, 6, 18, 7 },
        { 12, 11, 10, 3, 9, 200 }, { 900, 4, 5, 901, 6, 3 },
    };

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
            brood_process_options options = options_of(start_methods[m]);
            int status;
            pid_t pid;

            (void)fflush(NULL);
            pid = fork(); /* where low numbers are free to be taken */
            assert_true(pid >= 0);
            if (pid == 0) {
                (void)syscall(SYS_close_range, 3u, ~0u, 0u);
                for (int k = 0; k < NAMED_COUNT; k++)
                    open_as(sets[i][k]);
                options.descriptors = sets[i];
                options.descriptor_count = NAMED_COUNT;
                for (int daemon = BROOD_DAEMON_INHERIT; daemon < BROOD_DAEMON_NO; daemon++) {
                    int code;

                    options.daemon = daemon;
                    code = end_of(start(check_named, sets[i], sizeof sets[i], &options));
                    if (code != 0)
                        _exit(code);
                }
                (void)brood_shutdown(BROOD_FOREVER);
                _exit(0);
            }
            assert_int_equal(waitpid(pid, &status, 0), pid);
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
        }
    }
}

static void the_most_descriptors_that_may_be_named(void **state)
{
    int numbers[240];

    (void)state;
    for (int i = 0; i < 240; i++) {
        numbers[i] = 300 + i;
        open_as(numbers[i]);
    }
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        options.descriptors = numbers;
        options.descriptor_count = 240;
        options.stdin_fd = options.stdout_fd = options.stderr_fd = numbers[0];
        assert_int_equal(end_of(start(check_named, numbers, sizeof numbers, &options)), 0);
    }
    for (int i = 0; i < 240; i++)
        assert_int_equal(close(numbers[i]), 0);
}

static void others_are_closed(void **state)
{
    int open_one = open("/dev/null", O_RDONLY);

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++)
        for (int daemon = BROOD_DAEMON_YES; daemon <= BROOD_DAEMON_NO; daemon++) {
            brood_process_options options = options_of(start_methods[m]);

            options.daemon = daemon;
            assert_int_equal(end_of(start(check_named, NULL, 0, &options)), 0);
        }
    assert_int_equal(close(open_one), 0);
}

static int has_all(void *argument, size_t argument_bytes)
{
    const size_t *wanted = argument;

    (void)argument_bytes;
    return descriptor_count() == wanted[0] && fcntl((int)wanted[1], F_GETFD) >= 0 ? 0 : 1;
}

/* All that the program has, and none that the library has. */
static void all_may_be_kept(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    size_t wanted[2] = { descriptor_count() + 1,
                         (size_t)open("/dev/null", O_RDONLY | O_CLOEXEC) };
    brood_process *other = start(live_on, NULL, 0, NULL);

    (void)state;
    options.flags = BROOD_PROCESS_KEEP_DESCRIPTORS;
    assert_int_equal(end_of(start(has_all, wanted, sizeof wanted, &options)), 0);
    options.daemon = BROOD_DAEMON_YES;
    assert_int_equal(end_of(start(has_all, wanted, sizeof wanted, &options)), 0);
    options.daemon = BROOD_DAEMON_NO;
    options.working_directory = "/";
    assert_int_equal(end_of(start(has_all, wanted, sizeof wanted, &options)), 0);
    kill_and_free(other);
    assert_int_equal(close((int)wanted[1]), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(sizes_of_older_and_newer_callers),
    TEST_CASE(unknown_values_are_refused),
    TEST_CASE(bad_descriptors_are_refused),
    TEST_CASE(a_descriptor_closed_after_creation),
    TEST_CASE(working_directories),
    TEST_CASE(environments_are_replaced),
    TEST_CASE(an_environment_is_copied_at_creation),
    TEST_CASE(environments_are_inherited),
    TEST_CASE(nice_values_are_added),
    TEST_CASE(processors_are_chosen),
    TEST_CASE(the_processor_count_follows_the_affinity),
    TEST_CASE(groups_and_sessions),
    TEST_CASE(stdio_goes_where_it_is_sent),
    TEST_CASE(stdout_and_stderr_may_change_places),
    TEST_CASE(a_program_may_have_no_stdio),
    TEST_CASE(null_beside_closed_stdio),
    TEST_CASE(named_descriptors_keep_their_numbers),
    TEST_CASE(the_most_descriptors_that_may_be_named),
    TEST_CASE(others_are_closed),
    TEST_CASE(all_may_be_kept),
};
TEST_SUITE(options, cases)
