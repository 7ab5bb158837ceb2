/*
 * Commands: what exec says reaches the caller of start, PATH is searched as execvp() would,
 * and the command starts as from a clean shell whatever the program does with signals.
 * Method: small scripts in the case's own directory, whose output and exit code tell.
 */
#include "helpers.h"

#include <sys/stat.h>

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

/* What start says of a command; one that does start is waited for. */
static int start_error(const char *command, const brood_process_options *options)
{
    const char *argv[] = { command, NULL };
    brood_process *process = NULL;
    int r;

    assert_int_equal(brood_process_create_command(argv, options, &process), 0);
    r = brood_process_start(process);
    if (r == 0)
        return end_of(process);
    assert_int_equal(brood_process_pid(process), -ESRCH);
    assert_int_equal(brood_active_children(NULL, 0), 0);
    brood_process_free(process);
    return r;
}

static void a_command_runs(void **state)
{
    static const char *const argv[] = { "sh",  "-c", "printf %s, \"$0\" \"$@\"; exit 0",
                                        "a b", "",   "*",
                                        NULL };
    brood_process_info info = BROOD_PROCESS_INFO_INIT;
    static const char *const forever[] = { "sleep", "1000", NULL };
    brood_process *process;

    (void)state;
    assert_string_equal(output_of_command(argv, NULL), "a b,,*,");
    process = start_command(forever, NULL);
    assert_int_equal(brood_active_children(&info, 1), 1);
    assert_int_equal(info.is_command, 1);
    assert_int_equal(info.pid, brood_process_pid(process));
    kill_and_free(process);
}

static void exit_codes_of_commands(void **state)
{
    static const int codes[] = { 0, 1, 126, 127, 255 };

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        char script[32];
        const char *argv[] = { "sh", "-c", script, NULL };

        (void)snprintf(script, sizeof script, "exit %d", codes[i]);
        assert_int_equal(end_of(start_command(argv, NULL)), codes[i]);
    }
}

static void the_words_are_copied(void **state)
{
    char script[] = "exit 3";
    const char *argv[] = { "sh", "-c", script, NULL };
    brood_process *process = NULL;

    (void)state;
    assert_int_equal(brood_process_create_command(argv, NULL, &process), 0);
    memcpy(script, "exit 4", sizeof script);
    argv[0] = "nothing";
    assert_int_equal(brood_process_start(process), 0);
    assert_int_equal(end_of(process), 3);
}

/* ---- what exec says ---- */

static void errors_of_exec(void **state)
{
    (void)state;
    write_file("not-executable", "#!/bin/sh\n", 0644);
    write_file("text", "exit 0\n", 0755);
    write_file("no-interpreter", "#!/not/there\n", 0755);
    assert_int_equal(mkdir("directory", 0755), 0);

    assert_int_equal(start_error("no-such-command-anywhere", NULL), -ENOENT);
    assert_int_equal(start_error("./missing", NULL), -ENOENT);
    assert_int_equal(start_error("./not-executable", NULL), -EACCES);
    assert_int_equal(start_error("./directory", NULL), -EACCES);
    assert_int_equal(start_error("./text", NULL), -ENOEXEC);
    assert_int_equal(start_error("./no-interpreter", NULL), -ENOENT);
    assert_int_equal(start_error("./text/below", NULL) == -ENOTDIR ||
                         start_error("./text/below", NULL) == -ENOENT,
                     1);
}

static void an_executable_that_is_being_written(void **state)
{
    static const char *const copy[] = { "cp", "/bin/sh", "busy", NULL };
    int fd;

    (void)state;
    assert_int_equal(end_of(start_command(copy, NULL)), 0);
    fd = open("busy", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(start_error("./busy", NULL), -ETXTBSY);
    assert_int_equal(close(fd), 0);
}

static void too_many_words(void **state)
{
    size_t bytes = (size_t)4 << 20; /* more than one word may have, on any Linux */
    char *word = malloc(bytes);
    const char *argv[] = { "true", word, NULL };
    brood_process *process = NULL;

    (void)state;
    assert_non_null(word);
    memset(word, 'x', bytes);
    word[bytes - 1] = '\0';
    assert_int_equal(brood_process_create_command(argv, NULL, &process), 0);
    free(word);
    assert_int_equal(brood_process_start(process), -E2BIG);
    assert_int_equal(brood_process_start(process), -E2BIG);
    brood_process_free(process);
}

static void many_words_arrive(void **state)
{
    enum { COUNT = 5000 };
    static const char *argv[COUNT + 5] = { "sh", "-c", "exit $(($# % 251))", "sh" };

    (void)state;
    for (int i = 0; i < COUNT; i++)
        argv[4 + i] = "word";
    assert_int_equal(end_of(start_command(argv, NULL)), COUNT % 251);
}

/* ---- PATH ---- */

static void path_is_that_of_the_command(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    char path[4200], here[4000];
    const char *environment[] = { path, NULL };

    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(mkdir("one", 0755), 0);
    assert_int_equal(mkdir("two", 0755), 0);
    write_file("not-a-directory", "", 0644);
    write_file("one/tool", "#!/bin/sh\nexit 1\n", 0644);
    write_file("two/tool", "#!/bin/sh\nexit 22\n", 0755);
    write_file("one/closed", "#!/bin/sh\nexit 1\n", 0644);
    options.environment = environment;

    assert_int_equal(start_error("tool", NULL), -ENOENT); /* not in ours */
    (void)snprintf(path, sizeof path, "PATH=%s/two", here);
    assert_int_equal(start_error("tool", &options), 22);
    /* What cannot be a directory, is missing or may not be executed is passed over. */
    (void)snprintf(path, sizeof path,
                   "PATH=/not/there:%.900s/not-a-directory:%.900s/one:%.900s/two", here, here,
                   here);
    assert_int_equal(start_error("tool", &options), 22);
    /* But it is remembered that there was one. */
    assert_int_equal(start_error("closed", &options), -EACCES);
    assert_int_equal(start_error("nowhere", &options), -ENOENT);
}

/* An empty element means the working directory, the one the command gets. */
static void empty_elements_of_path(void **state)
{
    static const char *const paths[] = { "PATH=", "PATH=:/not/there",
                                         "PATH=/not/there:", "PATH=/not/there::/nor/there" };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    (void)state;
    assert_int_equal(mkdir("inside", 0755), 0);
    write_file("inside/local-tool", "#!/bin/sh\nexit 5\n", 0755);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const char *environment[] = { paths[i], NULL };

        options.environment = environment;
        options.working_directory = NULL;
        assert_int_equal(start_error("local-tool", &options), -ENOENT);
        options.working_directory = "inside";
        assert_int_equal(start_error("local-tool", &options), 5);
    }
}

static void without_path_there_is_a_default(void **state)
{
    static const char *const environment[] = { "ONLY=this", NULL };
    static const char *const empty[] = { NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    (void)state;
    options.environment = environment;
    assert_int_equal(start_error("true", &options), 0);
    options.environment = empty;
    assert_int_equal(start_error("true", &options), 0);
}

/* ---- a clean start ---- */

static void handle(int number)
{
    (void)number;
}

/* One line of /proc/self/status, as the command itself sees it. */
static const char *status_line(const char *name)
{
    char script[64];
    const char *argv[] = { "sh", "-c", script, NULL };

    (void)snprintf(script, sizeof script, "exec grep ^%s: /proc/self/status", name);
    return output_of_command(argv, NULL);
}

static void signals_are_as_in_a_fresh_program(void **state)
{
    sigset_t blocked;

    (void)state;
    assert_true(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    assert_true(signal(SIGRTMAX, SIG_IGN) != SIG_ERR);
    assert_true(signal(SIGUSR1, handle) != SIG_ERR);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGUSR2);
    (void)sigaddset(&blocked, SIGRTMIN);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);

    assert_string_equal(status_line("SigIgn"), "SigIgn:\t0000000000000000\n");
    assert_string_equal(status_line("SigBlk"), "SigBlk:\t0000000000000000\n");

    /* Ours are as they were. */
    assert_true(signal(SIGALRM, SIG_DFL) == SIG_IGN);
    assert_true(signal(SIGUSR1, SIG_DFL) == handle);
    assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_int_equal(sigismember(&blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&blocked, SIGINT), 0);
}

/* A command made by a child that has everything blocked and ignored: the same. */
static int check_in_child(void *argument, size_t argument_bytes)
{
    static const char *const argv[] = { "sh", "-c",
                                        "test $(grep -c '^Sig[BI].*0000000000000000$' "
                                        "/proc/self/status) = 2",
                                        NULL };
    brood_process *process = NULL;
    sigset_t all;
    int code = 99, r;

    (void)argument, (void)argument_bytes;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)signal(SIGQUIT, SIG_IGN);
    r = brood_process_create_command(argv, NULL, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        r = brood_process_exit_code(process, &code);
    brood_process_free(process);
    return r < 0 ? 98 : code;
}

static void signals_are_clean_whoever_starts_it(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        assert_int_equal(end_of(start(check_in_child, NULL, 0, &options)), 0);
    }
}

/* Functions by fork are copies: they keep handlers and mask. */
static int has_handler_and_mask(void *argument, size_t argument_bytes)
{
    struct sigaction action;
    sigset_t mask;

    (void)argument, (void)argument_bytes;
    if (sigaction(SIGUSR1, NULL, &action) != 0 || action.sa_handler != handle)
        return 1;
    if (sigaction(SIGALRM, NULL, &action) != 0 || action.sa_handler != SIG_IGN)
        return 2;
    if (sigprocmask(SIG_BLOCK, NULL, &mask) != 0)
        return 3;
    return sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGTERM) == 0 ? 0 : 4;
}

static void functions_by_fork_keep_handlers_and_mask(void **state)
{
    sigset_t blocked;

    (void)state;
    assert_true(signal(SIGUSR1, handle) != SIG_ERR);
    assert_true(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGUSR2);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    assert_int_equal(end_of(start(has_handler_and_mask, NULL, 0, NULL)), 0);
}

/* ---- daemons, and the failing ones among them ---- */

static void a_daemon_command_and_its_errors(void **state)
{
    static const char *const forever[] = { "sleep", "1000", NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    (void)state;
    options.daemon = BROOD_DAEMON_YES;
    assert_int_equal(start_error("./missing", &options), -ENOENT);
    assert_int_equal(start_error("true", &options), 0);
    kill_and_free(start_command(forever, &options));
}

static void descriptors_of_commands_are_closed(void **state)
{
    /* 3 is that of ls, for the directory; it would be higher if 3 were in use. */
    static const char *const argv[] = { "ls", "/proc/self/fd", NULL };
    int left_open = open("/dev/null", O_RDONLY); /* without close-on-exec */
    int named = fcntl(left_open, F_DUPFD_CLOEXEC, 50);
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    (void)state;
    assert_true(left_open > 2 && named >= 50);
    assert_string_equal(output_of_command(argv, NULL), "0\n1\n2\n3\n");
    options.descriptors = &named;
    options.descriptor_count = 1;
    assert_string_equal(output_of_command(argv, &options), "0\n1\n2\n3\n50\n");
    assert_int_equal(close(left_open), 0);
    assert_int_equal(close(named), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(a_command_runs),
    TEST_CASE(exit_codes_of_commands),
    TEST_CASE(the_words_are_copied),
    TEST_CASE(errors_of_exec),
    TEST_CASE(an_executable_that_is_being_written),
    TEST_CASE(too_many_words),
    TEST_CASE(many_words_arrive),
    TEST_CASE(path_is_that_of_the_command),
    TEST_CASE(empty_elements_of_path),
    TEST_CASE(without_path_there_is_a_default),
    TEST_CASE(signals_are_as_in_a_fresh_program),
    TEST_CASE(signals_are_clean_whoever_starts_it),
    TEST_CASE(functions_by_fork_keep_handlers_and_mask),
    TEST_CASE(a_daemon_command_and_its_errors),
    TEST_CASE(descriptors_of_commands_are_closed),
};
TEST_SUITE(command, cases)
