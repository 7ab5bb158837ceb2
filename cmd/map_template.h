/*
 * template: the command with its replacement strings, and what it becomes for a job.
 *
 *     {}    the item              {/}   its last component        {#}   number of the job
 *     {.}   without extension     {//}  its directory             {%}   number of its slot
 *     {/.}  last component without extension                      {{}}  a literal {}
 *
 * Anything else in braces stands for itself. No shell is involved: each word of the command
 * becomes one argument whatever bytes the item holds.
 */
#ifndef BROOD_MAP_TEMPLATE_H
#define BROOD_MAP_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One item of input; `bytes` is followed by a NUL that does not count. */
struct item {
    const char *bytes;
    size_t length;
};

/*
 * The arguments of one job, ended by NULL. Kept and refilled job after job, so that in the
 * long run a job costs no allocation here. While being built, `vector` holds offsets.
 */
struct args {
    char **vector;
    size_t count;
    size_t capacity;
    char *bytes;
    size_t byte_count;
    size_t byte_capacity;
};

struct template_word;

struct template
{
    struct template_word *words;
    size_t word_count;
    bool command_is_fixed; /* the first word holds no replacement string */
    bool appends;          /* no word holds one: items go to the end */
};

/*
 * Takes the command apart; its words are borrowed. If they are `literal`, braces in them
 * mean nothing and items go to the end. Returns 0 or -ENOMEM.
 */
int template_create(struct template *ret_template, char *const *words, size_t word_count,
                    bool literal);
void template_free(struct template *tmpl);

/* Tells whether `text` holds a replacement string that stands for the item. */
bool template_names_item(const char *text);

/* Fills `args` for one job. Returns 0 or -ENOMEM. */
int template_expand(const struct template *tmpl, const struct item *items, size_t item_count,
                    uint64_t seq, unsigned slot, struct args *args);

void args_free(struct args *args);

#endif
