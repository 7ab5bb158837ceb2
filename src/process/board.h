/*
 * The board: a page of shared memory on which a child made by fork leaves its exit code
 * before it exits, for the case that a wait() of the program's own takes the status from
 * us. One entry a running child.
 *
 *     0 --child's function returned--> 0x100 | code --read, left--> 0
 *
 * The parent alone gives out and takes back entries; the child writes its own once.
 * Dying before the write leaves 0: unknown, which is true.
 */
#ifndef BROOD__BOARD_H
#define BROOD__BOARD_H

#include <stdbool.h>

/* An entry, or -1 if there is none to be had: the board is a help, not a need. */
int brood__board_take(void);
void brood__board_leave(int *entry);

/* In the child: what was the parent's board is where it writes. */
void brood__board_after_fork(void);
void brood__board_write(int entry, int code);

/* True if the child left its code. */
bool brood__board_read(int entry, int *ret_code);

#endif
