/*
 * The bell (src/sync/bell.h): sleepers come for items, ringers bring one each.
 *
 * Holds: when nothing moves any more, no item lies there while somebody alive sleeps for one.
 *
 *     (nothing)         no deaths, and sleeps without an end: the protocol by itself
 *     KILLS=n SLICES    n deaths anywhere, and sleeps that end
 *
 * Must fail:
 *
 *     KILLS=1           deaths, and sleeps without an end
 *     NO_PASS_ON        who got something does not ring for what is left
 *     LISTEN_LATE       looks first, and listens then
 */
#ifndef KILLS
#define KILLS 0
#endif

#define SLEEPERS 2
#define RINGERS 2

byte items, asleep, turn, kills_left = KILLS;
bool in_futex[SLEEPERS], woken[SLEEPERS], gone[SLEEPERS];

/* Between any two steps a process may die. */
#if KILLS > 0
#define MAY_DIE                                                                                \
    if                                                                                         \
    :: atomic { kills_left > 0 -> kills_left--; goto dead }                                    \
    :: true                                                                                    \
    fi;
#else
#define MAY_DIE
#endif

/* Changes the word that `turn` is, and wakes one of those who sleep at it. */
inline futex_wake_one()
{
    atomic {
        if
        :: in_futex[0] && !woken[0] -> woken[0] = true
        :: in_futex[1] && !woken[1] -> woken[1] = true
        :: else
        fi
    }
}

/* The exchange of `asleep` is one step. */
inline ring()
{
    if
    :: atomic { asleep == 1 -> asleep = 0 }
        MAY_DIE
        turn++;
        MAY_DIE
        futex_wake_one()
    :: asleep == 0
    fi
}

active [RINGERS] proctype ringer()
{
    MAY_DIE
    items++;
    MAY_DIE
    ring();
dead:
    skip
}

active [SLEEPERS] proctype sleeper()
{
    byte seen, me = _pid - RINGERS;
    bool slept;

again:
    MAY_DIE
#ifdef LISTEN_LATE
    if
    :: atomic { items > 0 -> items-- }; goto got
    :: items == 0
    fi;
    seen = turn;
    asleep = 1;
#else
    seen = turn;
    MAY_DIE
    asleep = 1;
    MAY_DIE
    if
    :: atomic { items > 0 -> items-- }; goto got
    :: items == 0
    fi;
#endif
    MAY_DIE
    atomic {
        if
        :: turn == seen -> in_futex[me] = true
        :: else
        fi
    }
    if
    :: !in_futex[me]
    :: in_futex[me] ->
end_asleep:
        if
        :: atomic { woken[me] -> woken[me] = false; in_futex[me] = false }
        :: atomic { !woken[me] && kills_left > 0 -> kills_left--; in_futex[me] = false; goto dead }
#ifdef SLICES
        /* A slice ends whatever happens; it matters when there is something to find. */
        :: atomic { !woken[me] && items > 0 -> in_futex[me] = false }
#endif
        fi
    fi;
    slept = true;
    goto again;

got:
    MAY_DIE
#ifndef NO_PASS_ON
    if
    :: slept && items > 0 -> ring()
    :: else
    fi;
#endif
dead:
    gone[me] = true
}

active proctype monitor()
{
    timeout -> assert(items == 0 || (gone[0] && gone[1]))
}
