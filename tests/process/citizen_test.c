/*
 * P11: a good citizen. Method: note everything about this process that a library might
 * change (signal actions and mask, errno, umask, directory, threads, output), use all of
 * the library, and compare.
 */
#include "helpers.h"

#include <pthread.h>
#include <sys/stat.h>

struct manners {
    void (*handlers[65])(int);
    int flags[65];
    int blocked[65];
    char directory[4096];
    mode_t umask_bits;
    pid_t group, session;
};

static void note(struct manners *manners)
{
    sigset_t mask;

    memset(manners, 0, sizeof *manners);
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &mask), 0);
    for (int number = 1; number < 65; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) < 0)
            continue;
        manners->handlers[number] = action.sa_handler;
        manners->flags[number] = action.sa_flags;
        manners->blocked[number] = sigismember(&mask, number);
    }
    assert_non_null(getcwd(manners->directory, sizeof manners->directory));
    manners->umask_bits = umask(0);
    (void)umask(manners->umask_bits);
    manners->group = getpgrp();
    manners->session = getsid(0);
}

static size_t thread_count(void)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    size_t count = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count;
}

static void use_all(void)
{
    static const char *const argv[] = { "true", NULL };
    brood_process *process;

    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        options.daemon = m == 1 ? BROOD_DAEMON_YES : BROOD_DAEMON_NO;
        options.working_directory = "/";
        assert_int_equal(end_of(start(return_zero, NULL, 0, &options)), 0);
        process = start(live_on, NULL, 0, &options);
        assert_int_equal(brood_process_stop(process, 0, BROOD_SCOPE_TREE), 0);
        brood_process_free(process);
    }
    assert_int_equal(end_of(start_command(argv, NULL)), 0);
}

static void nothing_of_the_programs_is_changed(void **state)
{
    static struct manners before, after;

    (void)state;
    note(&before);
    use_all();
    note(&after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    note(&after);
    assert_memory_equal(&before, &after, sizeof before);
}

static void one_thread_and_none_after_the_shutdown(void **state)
{
    size_t before = thread_count();

    (void)state;
    brood_process_free(create(return_zero, NULL, 0, NULL));
    assert_int_equal(thread_count(), before);
    use_all();
    assert_int_equal(thread_count(), before + 1);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(thread_count(), before);
}

/* Every signal is blocked in the thread, so that handlers run in the program's own. */
static void the_thread_takes_no_signals(void **state)
{
    char path[64], line[256];
    struct dirent *entry;
    bool found = false;
    DIR *directory;

    (void)state;
    kill_and_free(start(live_on, NULL, 0, NULL));
    directory = opendir("/proc/self/task");
    while ((entry = readdir(directory)) != NULL) {
        unsigned long long blocked = 0;
        FILE *file;

        if (atoi(entry->d_name) == 0 || atoi(entry->d_name) == getpid())
            continue;
        (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/status", entry->d_name);
        file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
                break;
        (void)fclose(file);
        /* All but SIGKILL, SIGSTOP and those that libc keeps to itself. */
        assert_int_equal(blocked | 1ull << 8 | 1ull << 18 | 7ull << 31, UINT64_MAX);
        found = true;
    }
    (void)closedir(directory);
    assert_true(found);
}

/* The pages say that errno is left alone; errors are returned. */
static void errors_are_returned(void **state)
{
    brood_process *process = create(return_zero, NULL, 0, NULL);

    (void)state;
    errno = 12345;
    assert_int_equal(brood_process_join(process, 0), -ESRCH);
    assert_int_equal(brood_process_start(NULL), -EINVAL);
    assert_int_equal(brood_set_start_method(77), -EINVAL);
    assert_int_equal(errno, 12345);
    brood_process_free(process);
}

static void misuse_in_fork(void)
{
    use_all();
    (void)brood_process_join(NULL, -5);
    (void)brood_guardian_start(NULL);
    (void)brood_shutdown(BROOD_FOREVER);
    (void)brood_guardian_start(NULL);
}

static void nothing_is_printed(void **state)
{
    int out = memfd_create("out", MFD_CLOEXEC), saved[2] = { dup(1), dup(2) };
    struct stat status;

    (void)state;
    (void)fflush(NULL);
    assert_int_equal(dup2(out, 1), 1);
    assert_int_equal(dup2(out, 2), 2);
    assert_int_equal(status_of_fork(misuse_in_fork), 0);
    assert_int_equal(dup2(saved[0], 1), 1);
    assert_int_equal(dup2(saved[1], 2), 2);
    assert_int_equal(fstat(out, &status), 0);
    assert_int_equal(status.st_size, 0);
    assert_int_equal(close(out) + close(saved[0]) + close(saved[1]), 0);
}

/* ---- the log ---- */

struct heard {
    int count, lowest, highest;
    char last[512];
};

static void hear(int level, const char *message, void *user)
{
    struct heard *heard = user;

    heard->lowest = heard->count == 0 || level < heard->lowest ? level : heard->lowest;
    heard->highest = level > heard->highest ? level : heard->highest;
    heard->count++;
    (void)snprintf(heard->last, sizeof heard->last, "%s", message);
}

static void *sleep_on(void *fd)
{
    char byte;

    (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

/* A guardian that comes late, in a program with threads, is worth a warning: it is heard at
 * that level and below, and not above. */
static void a_late_guardian_is_a_warning(void **state)
{
    static const int levels[] = { 0, BROOD_LOG_WARNING, BROOD_LOG_WARNING + 1,
                                  BROOD_LOG_ERROR };
    int ends[2];

    (void)state;
    assert_int_equal(brood_set_log(NULL, NULL, -1), -EINVAL);
    for (size_t i = 0; i < 4; i++) {
        int status;
        pid_t pid;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        (void)fflush(NULL);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;
            struct heard heard = { 0 };
            pthread_t thread;

            if (brood_set_log(hear, &heard, levels[i]) != 0 ||
                pthread_create(&thread, NULL, sleep_on, &ends[0]) != 0 ||
                brood_guardian_start(NULL) != 0 || brood_guardian_status(&info) != 0)
                _exit(1);
            if (info.started_late != 1)
                _exit(2);
            if ((heard.highest == BROOD_LOG_WARNING) != (levels[i] <= BROOD_LOG_WARNING))
                _exit(3);
            if (heard.count > 0 && (heard.lowest < levels[i] || strchr(heard.last, '\n')))
                _exit(4);
            (void)brood_set_log(NULL, NULL, 0);
            (void)brood_shutdown(BROOD_FOREVER);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(close(ends[0]) + close(ends[1]), 0);
    }
}

static void an_early_guardian_is_not(void **state)
{
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;
    struct heard heard = { 0 };

    (void)state;
    assert_int_equal(brood_set_log(hear, &heard, BROOD_LOG_WARNING), 0);
    assert_int_equal(brood_guardian_start(NULL), 0);
    assert_int_equal(brood_guardian_status(&info), 0);
    assert_int_equal(info.started_late, 0);
    assert_int_equal(info.restart_count, 0);
    assert_int_equal(heard.count, 0);
    assert_int_equal(brood_set_log(NULL, NULL, 0), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(nothing_of_the_programs_is_changed),
    TEST_CASE(one_thread_and_none_after_the_shutdown),
    TEST_CASE(the_thread_takes_no_signals),
    TEST_CASE(errors_are_returned),
    TEST_CASE(nothing_is_printed),
    TEST_CASE(a_late_guardian_is_a_warning),
    TEST_CASE(an_early_guardian_is_not),
};
TEST_SUITE(citizen, cases)
