/*
 * The stamp in every handle, checked at every public door: a process that did not make the
 * handle hears -ECHILD.
 */
#ifndef BROOD__STAMP_H
#define BROOD__STAMP_H

#include <sys/types.h>

/*
 * This process's id, cached, and refreshed in each child by pthread_atfork(); a raw clone()
 * escapes it. Costs a load.
 */
pid_t brood__process_id(void);

/* After a raw clone() of our own. */
void brood__process_id_refresh(void);

#endif
