/* What the library says, to a hook or to nobody. Never call it between fork and exec, in
 * the guardian or with a lock held. */
#ifndef BROOD__LOG_H
#define BROOD__LOG_H

void brood__log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* In a child, right after fork: another thread may have held the lock. */
void brood__log_after_fork(void);

#endif
