/*
 * 20_shared_map: four processes count the words of a text in one map.
 * Prints how often each word was met, the most frequent first. One of the four is killed in
 * the middle of counting a word: nothing is lost but what it had not counted yet, which the
 * parent counts in its place. Next: 21_attach.c.
 */
#include <brood.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNTER_COUNT 4

static const char *const lines[] = {
    "who put the bell on the cat", "the mouse put the bell on", "who let the cat out",
    "the dog let the cat out",     "the cat saw the dog",       "and the mouse saw the cat",
};
#define LINE_COUNT (sizeof lines / sizeof lines[0])

/* In shared memory: the map, and how far each process has come. */
struct count {
    brood_map *words;
    size_t done[COUNTER_COUNT]; /* words, of all lines that are this one's */
};

struct counter {
    struct count *count;
    size_t number;
    bool dies;
};

/* Runs under the lock of the word. A new one starts with zeros. */
static int count_one(void *value, size_t *value_bytes, size_t value_bytes_max, void *user)
{
    const struct counter *counter = user;

    (void)value_bytes_max;
    *value_bytes = sizeof(long);
    ++*(long *)value;
    if (counter->dies && counter->count->done[counter->number] == 3)
        raise(SIGKILL); /* the word keeps the count that it had */
    return 0;
}

/* Counts the words of each fourth line, from where it was left. A death between the update
 * and the next line would count a word twice: a program that minds counts both under one
 * lock. */
static int count_words(void *argument, size_t argument_bytes)
{
    struct counter *counter = argument;
    size_t *done = &counter->count->done[counter->number], word = 0;
    int r = 0;

    (void)argument_bytes;
    for (size_t i = counter->number; i < LINE_COUNT; i += COUNTER_COUNT)
        for (const char *at = lines[i]; *at != '\0' && r >= 0; word++) {
            size_t bytes = strcspn(at, " ");

            if (word >= *done) {
                r = brood_map_update(counter->count->words, at, bytes, sizeof(long), count_one,
                                     counter, BROOD_FOREVER);
                if (r >= 0)
                    ++*done;
            }
            at += bytes;
            at += strspn(at, " ");
        }
    return r < 0;
}

static int count_all(struct count *count)
{
    brood_process *processes[COUNTER_COUNT] = { NULL };
    struct counter counters[COUNTER_COUNT];
    int r = 0, code = 0;

    for (size_t i = 0; r == 0 && i < COUNTER_COUNT; i++) {
        counters[i] = (struct counter){ count, i, i == 1 };
        r = brood_process_create(count_words, &counters[i], sizeof counters[i], NULL,
                                 &processes[i]);
        if (r == 0)
            r = brood_process_start(processes[i]);
    }
    for (size_t i = 0; r == 0 && i < COUNTER_COUNT; i++) {
        r = brood_process_join(processes[i], BROOD_FOREVER);
        if (r == 0)
            r = brood_process_exit_code(processes[i], &code);
        if (r == 0 && code == -SIGKILL) {
            printf("process %zu was killed after %zu words\n", i + 1, count->done[i]);
            counters[i].dies = false;
            code = count_words(&counters[i], sizeof counters[i]);
        }
        if (r == 0 && code != 0)
            r = -1;
    }
    for (size_t i = 0; i < COUNTER_COUNT; i++)
        brood_process_free(processes[i]);
    return r;
}

struct found {
    char word[16];
    long count;
};

static int by_count(const void *a, const void *b)
{
    const struct found *one = a, *other = b;

    if (one->count != other->count)
        return one->count < other->count ? 1 : -1;
    return strcmp(one->word, other->word);
}

static int print_all(brood_map *words)
{
    brood_map_cursor cursor = BROOD_MAP_CURSOR_INIT;
    struct found found[64] = { { { 0 }, 0 } };
    size_t count = 0;
    int r = 0;

    while (count < 64 && (r = brood_map_next(words, &cursor, found[count].word, 15, NULL,
                                             &found[count].count, sizeof(long), NULL)) > 0)
        count++;
    qsort(found, count, sizeof found[0], by_count);
    for (size_t i = 0; i < count; i++)
        printf("%ld %s\n", found[i].count, found[i].word);
    return r;
}

int main(void)
{
    struct count *count = NULL;
    int r = brood_shared_alloc(NULL, sizeof *count, BROOD_ALLOC_ZERO, (void **)&count);

    if (r == 0)
        r = brood_map_create(NULL, NULL, &count->words);
    if (r == 0)
        r = count_all(count);
    if (r == 0)
        r = print_all(count->words);
    if (r < 0)
        fprintf(stderr, "20_shared_map: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
