#include "sync/roll.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the futex of a roll's word is its low half"
#endif

int brood__roll_alloc(struct brood__header *header, uint64_t *ret_place)
{
    size_t bytes = header->members_max * sizeof(brood__roll_word);
    void *roll = NULL;
    int r = brood__heap_alloc(header, bytes, true, &roll);

    if (r < 0)
        return r;
    memset(roll, 0, bytes);
    *ret_place = (uint64_t)((char *)roll - (char *)header);
    return 0;
}
