/*
 * The halt policy: reading it and deciding by it.
 */
#include "map_halt.h"

#include "cmd.h"

#include <errno.h>
#include <string.h>

/* Steps over `word` at *text. */
static bool skip_word(const char **text, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(*text, word, length) != 0)
        return false;
    *text += length;
    return true;
}

int halt_parse(const char *text, struct halt *ret_halt)
{
    struct halt halt = { .why = HALT_NEVER };
    char digits[16];
    uint64_t limit;
    size_t length;

    if (strcmp(text, "never") == 0) {
        *ret_halt = halt;
        return 0;
    }
    if (skip_word(&text, "now,"))
        halt.now = true;
    else if (!skip_word(&text, "soon,"))
        return -EINVAL;
    if (skip_word(&text, "fail="))
        halt.why = HALT_FAIL;
    else if (skip_word(&text, "success="))
        halt.why = HALT_SUCCESS;
    else if (skip_word(&text, "done="))
        halt.why = HALT_DONE;
    else
        return -EINVAL;

    length = strlen(text);
    if (length >= sizeof digits)
        return -EINVAL;
    memcpy(digits, text, length + 1);
    if (length > 0 && digits[length - 1] == '%') {
        halt.is_percent = true;
        digits[length - 1] = '\0';
    }
    if (cmd_parse_count(digits, 1, halt.is_percent ? 100 : UINT32_MAX, &limit) < 0)
        return -EINVAL;
    halt.limit = (uint32_t)limit;
    *ret_halt = halt;
    return 0;
}

bool halt_is_met(const struct halt *halt, uint64_t done, uint64_t failed, uint64_t total)
{
    uint64_t matched = failed;

    if (halt->why == HALT_NEVER)
        return false;
    if (halt->why == HALT_SUCCESS)
        matched = done - failed;
    else if (halt->why == HALT_DONE)
        matched = done;
    if (!halt->is_percent)
        return matched >= halt->limit;
    if (total > 0)
        return matched > 0 && matched * 100 >= total * halt->limit;
    return matched >= 3 && matched * 100 >= done * halt->limit;
}
