/*
 * runner: runs each test in a process of its own and fails those that leave things behind.
 * tests/README.md says how tests are written and what is checked.
 *
 * Two or more tests run at a time (-j). A new entry in /dev/shm names nobody, so when one
 * is seen the verdict on all that ran meanwhile waits until they have ended: an entry that
 * is then still there fails each of them that ran at the entry's birth.
 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOB_COUNT_MAX 64
#define PRINTED_BYTES_MAX 6000L /* of what a failed test wrote */

enum run_state { RUN_FREE, RUN_ACTIVE, RUN_SUSPECT };

/* One test at work, or one that has ended while /dev/shm held something new. */
struct run {
    enum run_state state;
    pid_t keeper;
    const struct entry *entry;
    struct run_files files;
    struct timespec started; /* on the clock of file times */
    char directory[64];
    struct verdict *verdict;
};

struct options {
    size_t job_count;
    size_t repeat_count;
    double limit_factor;
    const char *filter;
    bool list_only;
};

static struct run runs[JOB_COUNT_MAX];
static size_t active_count;
static size_t suspect_count;
static size_t passed_count;
static size_t failed_count;
static size_t skipped_count;

static void die(const char *what)
{
    fprintf(stderr, "runner: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int memory_file(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0)
        die("memfd_create");
    return fd;
}

/* A start with 0, 1 or 2 closed must not give a test's files these numbers. */
static void standard_descriptors_open(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd < 0)
        die("/dev/null");
    close(fd);
}

static int entry_remove(const char *path, const struct stat *status, int type,
                        struct FTW *position)
{
    (void)status, (void)type, (void)position;
    (void)remove(path);
    return 0;
}

static void run_start(struct run *run, const struct entry *entry, const struct options *options)
{
    const char *parent = getenv("TMPDIR");
    pid_t runner = getpid();
    pid_t keeper;

    snprintf(run->directory, sizeof run->directory, "%.40s/brood-test-XXXXXX",
             parent == NULL || strlen(parent) > 40 ? "/tmp" : parent);
    if (mkdtemp(run->directory) == NULL)
        die(run->directory);
    run->entry = entry;
    run->files.out = memory_file("test-stdout");
    run->files.err = entry->expected_path == NULL ? run->files.out : memory_file("test-stderr");
    run->files.report = memory_file("test-report");
    run->verdict->exit_code = EXIT_FAILURE;
    run->verdict->elapsed_ms = 0;
    clock_gettime(CLOCK_REALTIME, &run->started);

    fflush(NULL);
    keeper = fork();
    if (keeper < 0)
        die("fork");
    if (keeper == 0)
        keep(entry, &run->files, run->directory, entry->limit_s * options->limit_factor, runner,
             run->verdict);
    run->keeper = keeper;
    run->state = RUN_ACTIVE;
    active_count++;
}

/* Copies a memory file to stdout, each line indented; of a long one the end, which tells. */
static void file_print(int fd)
{
    FILE *file = fdopen(dup(fd), "r");
    off_t bytes = lseek(fd, 0, SEEK_END);
    size_t capacity = 0;
    char *line = NULL;
    ssize_t length;

    if (file == NULL)
        return;
    if (bytes > PRINTED_BYTES_MAX)
        puts("    [...]");
    (void)fseek(file, bytes > PRINTED_BYTES_MAX ? -PRINTED_BYTES_MAX : -(long)bytes, SEEK_END);
    while ((length = getline(&line, &capacity, file)) > 0)
        printf("    %.*s\n", (int)(line[length - 1] == '\n' ? length - 1 : length), line);
    free(line);
    fclose(file);
}

static void run_print(const struct run *run, const char *shm_text)
{
    const char *name = run->entry->name;
    int elapsed_ms = (int)run->verdict->elapsed_ms;
    int code = run->verdict->exit_code;

    if (code == 0 && shm_text == NULL) {
        printf("ok %s (%d ms)\n", name, elapsed_ms);
        passed_count++;
        return;
    }
    if (code == EXIT_SKIPPED && shm_text == NULL) {
        printf("skip %s\n", name);
        file_print(run->files.out);
        skipped_count++;
        return;
    }
    printf("FAIL %s (%d ms)\n", name, elapsed_ms);
    if (shm_text != NULL)
        printf("    new in /dev/shm, made while it ran:\n%s", shm_text);
    file_print(run->files.report);
    file_print(run->files.out);
    if (run->files.err != run->files.out)
        file_print(run->files.err);
    failed_count++;
}

static void run_finish(struct run *run, const char *shm_text)
{
    run_print(run, shm_text);
    fflush(stdout);
    close(run->files.out);
    if (run->files.err != run->files.out)
        close(run->files.err);
    close(run->files.report);
    run->state = RUN_FREE;
}

/* Nothing runs any more: what is new in /dev/shm now is left over. */
static void suspects_judge(void)
{
    for (size_t i = 0; i < JOB_COUNT_MAX; i++) {
        char *text = NULL;
        size_t text_bytes = 0;
        FILE *report;
        size_t found;

        if (runs[i].state != RUN_SUSPECT)
            continue;
        report = open_memstream(&text, &text_bytes);
        if (report == NULL)
            die("open_memstream");
        found = shm_print_new(runs[i].started, report);
        fclose(report);
        run_finish(&runs[i], found > 0 ? text : NULL);
        free(text);
    }
    suspect_count = 0;
    shm_remember();
}

static void run_end(struct run *run, int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        dprintf(run->files.report, "the keeper of this test was killed or failed\n");
        run->verdict->exit_code = EXIT_FAILURE;
    }
    (void)nftw(run->directory, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
    active_count--;
    if (suspect_count > 0 || shm_print_new(run->started, NULL) > 0) {
        run->state = RUN_SUSPECT;
        suspect_count++;
    } else {
        run_finish(run, NULL);
    }
    if (active_count == 0 && suspect_count > 0)
        suspects_judge();
}

static void wait_for_one(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);

    if (pid < 0 && errno != EINTR)
        die("waitpid");
    for (size_t i = 0; i < JOB_COUNT_MAX; i++)
        if (runs[i].state == RUN_ACTIVE && runs[i].keeper == pid)
            run_end(&runs[i], status);
}

static struct run *run_free_slot(void)
{
    for (size_t i = 0; i < JOB_COUNT_MAX; i++)
        if (runs[i].state == RUN_FREE)
            return &runs[i];
    return NULL;
}

/* The filter is a shell pattern for the whole name, or without wildcards a part of it. */
static bool entry_wanted(const struct entry *entry, const struct options *options)
{
    if (options->filter == NULL)
        return true;
    if (strpbrk(options->filter, "*?[") != NULL)
        return fnmatch(options->filter, entry->name, 0) == 0;
    return strstr(entry->name, options->filter) != NULL;
}

static void run_all(const struct entry_list *list, const struct options *options)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!entry_wanted(&list->items[i], options))
            continue;
        while (active_count == options->job_count || suspect_count > 0)
            wait_for_one();
        run_start(run_free_slot(), &list->items[i], options);
    }
    while (active_count > 0)
        wait_for_one();
}

static void usage(void)
{
    fputs("usage: runner [-j N] [-f PATTERN] [--repeat N] [--list] [--manifest FILE]\n"
          "              [--script FILE]... [PROGRAM]...\n"
          "Runs each test in a process of its own; tests/README.md says the rest.\n",
          stderr);
    exit(2);
}

static size_t number_of(const char *text, size_t most)
{
    char *end;
    unsigned long number = text == NULL ? 0 : strtoul(text, &end, 10);

    if (number == 0 || *end != '\0')
        usage();
    return number > most ? most : (size_t)number;
}

static void arguments_read(char **argv, struct options *options, struct entry_list *list)
{
    int r = 0;

    for (char **at = argv + 1; r == 0 && *at != NULL; at++) {
        if (strcmp(*at, "--list") == 0)
            options->list_only = true;
        else if (at[0][0] != '-')
            r = list_add_program(list, "program", *at);
        else if (at[0][1] == 'j' && at[0][2] != '\0')
            options->job_count = number_of(*at + 2, JOB_COUNT_MAX);
        else if (at[1] == NULL)
            usage();
        else if (strcmp(*at, "-j") == 0)
            options->job_count = number_of(*++at, JOB_COUNT_MAX);
        else if (strcmp(*at, "--repeat") == 0)
            options->repeat_count = number_of(*++at, 1000000);
        else if (strcmp(*at, "-f") == 0)
            options->filter = *++at;
        else if (strcmp(*at, "--manifest") == 0)
            r = list_add_manifest(list, *++at);
        else if (strcmp(*at, "--script") == 0)
            r = list_add_script(list, "script", *++at);
        else
            usage();
    }
    if (r < 0)
        exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    struct options options = { .job_count = 1, .repeat_count = 1, .limit_factor = 1 };
    const char *factor = getenv("BROOD_TEST_TIMEOUT_FACTOR");
    struct entry_list list = { NULL, 0 };
    struct verdict *verdicts;

    (void)argc;
    standard_descriptors_open();
    if (factor != NULL && atof(factor) > 0)
        options.limit_factor = atof(factor);
    arguments_read(argv, &options, &list);
    for (size_t i = 0; options.list_only && i < list.count; i++)
        if (entry_wanted(&list.items[i], &options))
            puts(list.items[i].name);
    if (options.list_only)
        return EXIT_SUCCESS;

    verdicts = mmap(NULL, JOB_COUNT_MAX * sizeof *verdicts, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdicts == MAP_FAILED)
        die("mmap");
    for (size_t i = 0; i < JOB_COUNT_MAX; i++)
        runs[i].verdict = &verdicts[i];

    /* The keepers need SIGCHLD and SIGINT as they are by default, whoever started us. */
    (void)signal(SIGCHLD, SIG_DFL);
    shm_remember();
    for (size_t i = 0; i < options.repeat_count; i++)
        run_all(&list, &options);

    printf("%zu passed, %zu failed", passed_count, failed_count);
    if (skipped_count > 0)
        printf(", %zu skipped", skipped_count);
    putchar('\n');
    return failed_count == 0 && passed_count + skipped_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
