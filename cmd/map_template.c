/*
 * The command is taken apart once; a job then only copies pieces together.
 */
#include "map_template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than this is given back after an unusually large job. */
#define ARGS_KEEP_BYTES 65536

enum piece_kind {
    PIECE_TEXT,
    PIECE_ITEM,
    PIECE_NO_EXTENSION,
    PIECE_LAST,
    PIECE_DIRECTORY,
    PIECE_LAST_NO_EXTENSION,
    PIECE_SEQ,
    PIECE_SLOT
};

static const struct {
    const char *text;
    enum piece_kind kind;
} replacements[] = {
    { "{}", PIECE_ITEM },        { "{.}", PIECE_NO_EXTENSION },       { "{/}", PIECE_LAST },
    { "{//}", PIECE_DIRECTORY }, { "{/.}", PIECE_LAST_NO_EXTENSION }, { "{#}", PIECE_SEQ },
    { "{%}", PIECE_SLOT },
};

struct piece {
    enum piece_kind kind;
    const char *text; /* PIECE_TEXT only */
    size_t length;
};

struct template_word {
    const char *text;
    struct piece *pieces; /* NULL: the word is `text` as it stands */
    size_t piece_count;
};

/* The replacement string at `text`, as an index, or -1. */
static int replacement_at(const char *text)
{
    for (size_t i = 0; i < sizeof replacements / sizeof replacements[0]; i++) {
        if (strncmp(text, replacements[i].text, strlen(replacements[i].text)) == 0)
            return (int)i;
    }
    return -1;
}

/* {{}} and its like at `text`: an escaped replacement string, as an index, or -1. */
static int escaped_at(const char *text)
{
    int found;

    if (text[0] != '{' || text[1] != '{')
        return -1;
    found = replacement_at(text + 1);
    if (found < 0 || text[1 + strlen(replacements[found].text)] != '}')
        return -1;
    return found;
}

bool template_names_item(const char *text)
{
    for (; *text != '\0'; text++) {
        int found = *text == '{' ? replacement_at(text) : -1;

        if (found >= 0 && replacements[found].kind < PIECE_SEQ)
            return true;
    }
    return false;
}

/* Room for one more piece was made by the caller: a word has at most a piece a byte. */
static void add_text(struct template_word *word, const char *text, size_t length)
{
    struct piece *piece = &word->pieces[word->piece_count];

    if (length == 0)
        return;
    piece->kind = PIECE_TEXT;
    piece->text = text;
    piece->length = length;
    word->piece_count++;
}

/* Returns 1 if the word holds a replacement string, 0 if not, or -ENOMEM. */
static int word_parse(struct template_word *word, const char *text, bool literal)
{
    const char *plain = text, *at = text;
    int holds = 0;

    word->text = text;
    if (literal || strchr(text, '{') == NULL)
        return 0;
    word->pieces = calloc(strlen(text) + 1, sizeof *word->pieces);
    if (word->pieces == NULL)
        return -ENOMEM;
    while (*at != '\0') {
        int found = *at == '{' ? escaped_at(at) : -1;

        if (found >= 0) {
            size_t length = strlen(replacements[found].text);

            add_text(word, plain, (size_t)(at - plain));
            add_text(word, replacements[found].text, length);
            at += length + 2;
            plain = at;
            continue;
        }
        found = *at == '{' ? replacement_at(at) : -1;
        if (found < 0) {
            at++;
            continue;
        }
        add_text(word, plain, (size_t)(at - plain));
        word->pieces[word->piece_count++].kind = replacements[found].kind;
        at += strlen(replacements[found].text);
        plain = at;
        holds = 1;
    }
    add_text(word, plain, (size_t)(at - plain));
    return holds;
}

int template_create(struct template *ret_template, char *const *words, size_t word_count,
                    bool literal)
{
    struct template tmpl = { .word_count = word_count, .command_is_fixed = true };

    tmpl.appends = true;
    tmpl.words = calloc(word_count, sizeof *tmpl.words);
    if (tmpl.words == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < word_count; i++) {
        int holds = word_parse(&tmpl.words[i], words[i], literal);

        if (holds < 0) {
            template_free(&tmpl);
            return holds;
        }
        if (holds > 0) {
            tmpl.appends = false;
            if (i == 0)
                tmpl.command_is_fixed = false;
        }
    }
    *ret_template = tmpl;
    return 0;
}

void template_free(struct template *tmpl)
{
    for (size_t i = 0; i < tmpl->word_count && tmpl->words != NULL; i++)
        free(tmpl->words[i].pieces);
    free(tmpl->words);
    tmpl->words = NULL;
}

static int add_bytes(struct args *args, const char *bytes, size_t length)
{
    if (length > args->byte_capacity - args->byte_count) {
        size_t capacity = args->byte_capacity < 128 ? 256 : args->byte_capacity * 2;
        char *grown;

        if (capacity < args->byte_count + length)
            capacity = args->byte_count + length;
        grown = realloc(args->bytes, capacity);
        if (grown == NULL)
            return -ENOMEM;
        args->bytes = grown;
        args->byte_capacity = capacity;
    }
    if (length > 0)
        memcpy(args->bytes + args->byte_count, bytes, length);
    args->byte_count += length;
    return 0;
}

/* Begins an argument: its offset stands in the vector until args_close(). */
static int args_begin(struct args *args)
{
    if (args->count + 1 >= args->capacity) {
        size_t capacity = args->capacity == 0 ? 16 : args->capacity * 2;
        char **grown = realloc(args->vector, capacity * sizeof *grown);

        if (grown == NULL)
            return -ENOMEM;
        args->vector = grown;
        args->capacity = capacity;
    }
    args->vector[args->count++] = (char *)args->byte_count;
    return 0;
}

/* The bytes no longer move: offsets become pointers. */
static void args_close(struct args *args)
{
    for (size_t i = 0; i < args->count; i++)
        args->vector[i] = args->bytes + (size_t)args->vector[i];
    args->vector[args->count] = NULL;
}

static void args_reset(struct args *args)
{
    if (args->byte_capacity > ARGS_KEEP_BYTES || args->capacity > ARGS_KEEP_BYTES / 8)
        args_free(args);
    args->count = 0;
    args->byte_count = 0;
}

void args_free(struct args *args)
{
    free(args->vector);
    free(args->bytes);
    *args = (struct args){ .vector = NULL };
}

static size_t last_component(const struct item *item)
{
    const char *slash = memrchr(item->bytes, '/', item->length);

    return slash == NULL ? 0 : (size_t)(slash - item->bytes) + 1;
}

/* Where the extension of the last component begins. A leading dot does not begin one. */
static size_t extension(const struct item *item)
{
    size_t start = last_component(item);
    const char *dot = memrchr(item->bytes + start, '.', item->length - start);

    if (dot == NULL || dot == item->bytes + start)
        return item->length;
    return (size_t)(dot - item->bytes);
}

static int add_directory(struct args *args, const struct item *item)
{
    size_t length = last_component(item);

    if (length == 0)
        return add_bytes(args, ".", 1);
    while (length > 1 && item->bytes[length - 1] == '/')
        length--;
    return add_bytes(args, item->bytes, length);
}

static int add_item(struct args *args, enum piece_kind kind, const struct item *item)
{
    size_t start = 0, end = item->length;

    if (kind == PIECE_DIRECTORY)
        return add_directory(args, item);
    if (kind == PIECE_LAST || kind == PIECE_LAST_NO_EXTENSION)
        start = last_component(item);
    if (kind == PIECE_NO_EXTENSION || kind == PIECE_LAST_NO_EXTENSION)
        end = extension(item);
    return add_bytes(args, item->bytes + start, end - start);
}

static int add_number(struct args *args, uint64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);

    return add_bytes(args, digits, (size_t)length);
}

/* A word that is one replacement string and nothing else becomes an argument an item. */
static int add_alone(struct args *args, enum piece_kind kind, const struct item *items,
                     size_t item_count)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < item_count; i++) {
        r = args_begin(args);
        if (r == 0)
            r = add_item(args, kind, &items[i]);
        if (r == 0)
            r = add_bytes(args, "", 1);
    }
    return r;
}

static int add_piece(struct args *args, const struct piece *piece, const struct item *items,
                     size_t item_count, uint64_t seq, unsigned slot)
{
    int r = 0;

    if (piece->kind == PIECE_TEXT)
        return add_bytes(args, piece->text, piece->length);
    if (piece->kind == PIECE_SEQ)
        return add_number(args, seq);
    if (piece->kind == PIECE_SLOT)
        return add_number(args, slot);
    for (size_t i = 0; r == 0 && i < item_count; i++) {
        if (i > 0)
            r = add_bytes(args, " ", 1);
        if (r == 0)
            r = add_item(args, piece->kind, &items[i]);
    }
    return r;
}

static int add_word(struct args *args, const struct template_word *word,
                    const struct item *items, size_t item_count, uint64_t seq, unsigned slot)
{
    int r;

    if (word->piece_count == 1 && word->pieces[0].kind != PIECE_TEXT &&
        word->pieces[0].kind < PIECE_SEQ)
        return add_alone(args, word->pieces[0].kind, items, item_count);
    r = args_begin(args);
    if (r == 0 && word->pieces == NULL)
        return add_bytes(args, word->text, strlen(word->text) + 1);
    for (size_t i = 0; r == 0 && i < word->piece_count; i++)
        r = add_piece(args, &word->pieces[i], items, item_count, seq, slot);
    return r == 0 ? add_bytes(args, "", 1) : r;
}

int template_expand(const struct template *tmpl, const struct item *items, size_t item_count,
                    uint64_t seq, unsigned slot, struct args *args)
{
    int r = 0;

    args_reset(args);
    for (size_t i = 0; r == 0 && i < tmpl->word_count; i++)
        r = add_word(args, &tmpl->words[i], items, item_count, seq, slot);
    if (r == 0 && tmpl->appends)
        r = add_alone(args, PIECE_ITEM, items, item_count);
    if (r < 0)
        return r;
    args_close(args);
    return 0;
}
