/*
 * The program: finds the entry, pins, runs it, prints. `bench/run` runs all.
 *
 *     brood-bench --list
 *     brood-bench --machine BUILD_DIR JSON_FILE
 *     brood-bench NAME BUILD_DIR JSON_FILE
 *
 * Lines are appended to the JSON file, and rows of a table go to stdout.
 */
#include "bench.h"

#include <brood.h>

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SERIES_COUNT_MAX 32

static const struct bench_entry bench_list[] = {
    { "process_start_2", process_start, 2, -1, 0 },
    { "process_start_2_pinned", process_start, 2, 0, 0 },
    { "process_start_256", process_start, 256, -1, 0 },
    { "process_start_2048", process_start, 2048, -1, 0 },
    { "command_start_2", command_start, 2, -1, 0 },
    { "command_start_2_pinned", command_start, 2, 0, 0 },
    { "command_start_2048", command_start, 2048, -1, 0 },
    { "unclaimed", unclaimed, 2, -1, 0 },
    { "orphans", orphans, 2, -1, 0 },
    { "guardian", guardian_start, 2, -1, 0 },
    { "map_jobs", map_jobs, 2, -1, 0 },
    { "map_memory", map_memory, 2, -1, 0 },
    { "map_million", map_million, 2, -1, 1 },
    { "sync_alone", sync_alone, 2, 0, 0 },
    { "sync_2", sync_2, 2, -1, 0 },
    { "sync_4", sync_4, 2, -1, 0 },
    { "sync_barrier", sync_barrier, 2, -1, 0 },
    { "sync_recovery", sync_recovery, 2, -1, 0 },
    { "heap_pairs", heap_pairs, 2, 0, 0 },
};

struct series {
    const char *peer;
    const char *unit;
    double *figures;
    size_t count;
    size_t capacity;
};

struct comparison {
    const char *peer;
    const char *against;
    enum bench_bar kind;
    double bar;
};

struct bench {
    const struct bench_entry *entry;
    const char *build;
    struct series series[SERIES_COUNT_MAX];
    size_t series_count;
    struct comparison comparisons[SERIES_COUNT_MAX];
    size_t comparison_count;
};

const struct bench_entry *bench_entry_of(const struct bench *bench)
{
    return bench->entry;
}

const char *bench_built(const struct bench *bench, const char *name)
{
    size_t bytes = strlen(bench->build) + strlen(name) + 2;
    char *path = malloc(bytes);

    if (path == NULL)
        abort();
    snprintf(path, bytes, "%s/%s", bench->build, name);
    return path;
}

/* ---- figures ---- */

static struct series *series_find(struct bench *bench, const char *peer)
{
    for (size_t i = 0; i < bench->series_count; i++)
        if (strcmp(bench->series[i].peer, peer) == 0)
            return &bench->series[i];
    return NULL;
}

void bench_add(struct bench *bench, const char *peer, const char *unit, double figure)
{
    struct series *series = series_find(bench, peer);

    if (series == NULL) {
        if (bench->series_count == SERIES_COUNT_MAX)
            abort();
        series = &bench->series[bench->series_count++];
        series->peer = peer;
        series->unit = unit;
    }
    if (series->count == series->capacity) {
        series->capacity = series->capacity == 0 ? 64 : series->capacity * 2;
        series->figures = realloc(series->figures, series->capacity * sizeof(double));
        if (series->figures == NULL)
            abort();
    }
    series->figures[series->count++] = figure;
}

void bench_compare(struct bench *bench, const char *peer, const char *against,
                   enum bench_bar kind, double bar)
{
    if (bench->comparison_count == SERIES_COUNT_MAX)
        abort();
    bench->comparisons[bench->comparison_count++] =
        (struct comparison){ peer, against, kind, bar };
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Of a sorted series. */
static double percentile(const struct series *series, double part)
{
    size_t index = (size_t)(part * (double)series->count);

    return series->figures[index < series->count ? index : series->count - 1];
}

static double median(const struct series *series)
{
    size_t half = series->count / 2;

    if (series->count % 2 == 1)
        return series->figures[half];
    return (series->figures[half - 1] + series->figures[half]) / 2;
}

/* Writes the bar as text, "" for none. Returns whether it was met. */
static bool bar_describe(const struct comparison *comparison, const struct series *series,
                         double ratio, char *text, size_t bytes)
{
    switch (comparison->kind) {
    case BAR_MAX:
        snprintf(text, bytes, "at most %g %s", comparison->bar, series->unit);
        return median(series) <= comparison->bar;
    case BAR_RATIO_MAX:
        snprintf(text, bytes, "at most %gx", comparison->bar);
        return ratio <= comparison->bar;
    case BAR_RATIO_MIN:
        snprintf(text, bytes, "at least %gx", comparison->bar);
        return ratio >= comparison->bar;
    case BAR_NONE: break;
    }
    text[0] = '\0';
    return true;
}

static void row_print(const struct bench *bench, const struct series *series,
                      const struct comparison *comparison, const struct series *against,
                      FILE *json)
{
    double low = series->figures[0], high = series->figures[series->count - 1];
    double p99 = percentile(series, 0.99);
    double ratio = against == NULL ? 0 : median(series) / median(against);
    char bar[64], ratio_text[96] = "";
    bool met = bar_describe(comparison, series, ratio, bar, sizeof bar);

    fprintf(json,
            "{\"bench\":\"%s\",\"peer\":\"%s\",\"unit\":\"%s\",\"median\":%.6g,\"min\":%.6g,"
            "\"p99\":%.6g,\"max\":%.6g,\"count\":%zu",
            bench->entry->name, series->peer, series->unit, median(series), low, p99, high,
            series->count);
    if (against != NULL) {
        fprintf(json, ",\"against\":\"%s\",\"ratio\":%.4g", against->peer, ratio);
        snprintf(ratio_text, sizeof ratio_text, "%.2f x %s", ratio, against->peer);
    }
    if (bar[0] != '\0')
        fprintf(json, ",\"bar\":\"%s\",\"met\":%s", bar, met ? "true" : "false");
    fputs("}\n", json);
    printf("| %s | %s | %s | %.5g %s | %.5g | %.5g | %.5g | %zu | %s%s |\n", bench->entry->name,
           series->peer, ratio_text, median(series), series->unit, low, p99, high,
           series->count, bar,
           bar[0] == '\0' ? ""
           : met          ? ": met"
                          : ": MISSED");
}

static void print_all(struct bench *bench, FILE *json)
{
    const struct comparison none = { NULL, NULL, BAR_NONE, 0 };

    for (size_t i = 0; i < bench->series_count; i++)
        qsort(bench->series[i].figures, bench->series[i].count, sizeof(double), compare);
    for (size_t i = 0; i < bench->series_count; i++) {
        const struct series *series = &bench->series[i];
        bool printed = false;

        for (size_t n = 0; n < bench->comparison_count; n++) {
            const struct comparison *comparison = &bench->comparisons[n];
            const struct series *against = NULL;

            if (strcmp(comparison->peer, series->peer) != 0)
                continue;
            if (comparison->against != NULL)
                against = series_find(bench, comparison->against);
            row_print(bench, series, comparison, against, json);
            printed = true;
        }
        if (!printed)
            row_print(bench, series, &none, NULL, json);
    }
}

/* ---- the program ---- */

static void processor_name(char *text, size_t bytes)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(text, bytes, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            line[strcspn(line, "\n\"\\")] = '\0';
            snprintf(text, bytes, "%s", colon + 2);
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

static int print_machine(FILE *json)
{
    double load[3] = { 0, 0, 0 };
    char processor[256], when[32];
    time_t now = time(NULL);
    struct utsname system;

    uname(&system);
    (void)getloadavg(load, 3);
    processor_name(processor, sizeof processor);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime(&now));
    fprintf(json,
            "{\"machine\":\"%s %s\",\"processor\":\"%s\",\"cores\":%d,\"load\":%.2f,"
            "\"brood\":\"%s\",\"time\":\"%s\"}\n",
            system.release, system.machine, processor, brood_cpu_count(), load[0],
            brood_version(), when);
    printf("%s; Linux %s %s; %s; %d cores; load %.2f; brood %s\n", when, system.release,
           system.machine, processor, brood_cpu_count(), load[0], brood_version());
    return EXIT_SUCCESS;
}

static int pin(int cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return 0;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

static int run_entry(const struct bench_entry *entry, const char *build, FILE *json)
{
    static struct bench bench;
    int r;

    bench.entry = entry;
    bench.build = build;
    r = pin(entry->cpu);
    if (r == 0)
        r = entry->run(&bench);
    if (r < 0) {
        fprintf(stderr, "brood-bench: %s: %s\n", entry->name, brood_strerror(r));
        return EXIT_FAILURE;
    }
    print_all(&bench, json);
    return EXIT_SUCCESS;
}

static const struct bench_entry *entry_find(const char *name)
{
    for (size_t i = 0; i < sizeof bench_list / sizeof bench_list[0]; i++)
        if (strcmp(bench_list[i].name, name) == 0)
            return &bench_list[i];
    return NULL;
}

int main(int argc, char **argv)
{
    int r;
    FILE *json;

    if (argc == 2 && strcmp(argv[1], "--nothing") == 0)
        return EXIT_SUCCESS; /* what posix_spawn() of this program is to run */
    r = brood_main(argc, argv);
    if (r < 0)
        return EXIT_FAILURE;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < sizeof bench_list / sizeof bench_list[0]; i++)
            if (!bench_list[i].only_if_named)
                puts(bench_list[i].name);
        return EXIT_SUCCESS;
    }
    if (argc != 4 || (strcmp(argv[1], "--machine") != 0 && entry_find(argv[1]) == NULL)) {
        fprintf(stderr, "usage: brood-bench --list\n"
                        "       brood-bench --machine|NAME BUILD_DIR JSON_FILE\n");
        return 2;
    }
    json = fopen(argv[3], "ae");
    if (json == NULL) {
        perror(argv[3]);
        return EXIT_FAILURE;
    }
    r = strcmp(argv[1], "--machine") == 0 ? print_machine(json)
                                          : run_entry(entry_find(argv[1]), argv[2], json);
    if (fclose(json) != 0)
        r = EXIT_FAILURE;
    return r;
}
