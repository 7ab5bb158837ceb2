/*
 * The reader-writer lock (src/sync/rwlock.h): the handshake of roll and gate, deaths, and who
 * waits at the bell.
 *
 * Holds: a writer is alone among the living; who finds the work of a dead writer knows it;
 * and when nothing moves any more, everybody alive has been in.
 *
 *     (nothing)          no deaths, and sleeps without an end
 *     KILLS=n SLICES     n deaths anywhere, and sleeps that end
 *
 * Must fail:
 *
 *     KILLS=1            deaths, and sleeps without an end
 *     GATE_FIRST         a reader looks at the gate before it says that it is there
 *     OPEN_FIRST         a writer that died in its work left the gate open
 */
#ifndef KILLS
#define KILLS 0
#endif

#define READERS 2
#define WRITERS 2
#define NOBODY 9

mtype = { OPEN, CLOSING, WRITING };

mtype gate = OPEN;
byte roll[READERS], mutex = NOBODY, kills_left = KILLS;
byte reading, writing; /* how many alive are in */
bool torn;             /* a writer died in its work, and nobody has repaired it */
byte asleep, turn;
bool in_futex[WRITERS], woken[WRITERS];
byte finished;

/* The kernel hands the mutex on. */
#if KILLS > 0
#define MAY_DIE                                                                                \
    if                                                                                         \
    :: atomic { kills_left > 0 -> kills_left--; goto dead }                                    \
    :: true                                                                                    \
    fi;
#else
#define MAY_DIE
#endif

inline take_mutex()
{
    atomic { mutex == NOBODY -> mutex = _pid }
}

inline ring()
{
    if
    :: atomic { asleep == 1 -> asleep = 0 }
        MAY_DIE
        turn++;
        MAY_DIE
        atomic {
            if
            :: in_futex[0] && !woken[0] -> woken[0] = true
            :: in_futex[1] && !woken[1] -> woken[1] = true
            :: else
            fi
        }
    :: asleep == 0
    fi
}

active [READERS] proctype reader()
{
    bool alone; /* came to the work of a dead writer, and keeps the mutex */

    MAY_DIE
#ifdef GATE_FIRST
    if
    :: gate == OPEN -> MAY_DIE roll[_pid] = 1; goto in
    :: gate != OPEN
    fi;
#else
    roll[_pid] = 1;
    MAY_DIE
    if
    :: gate == OPEN -> goto in
    :: gate != OPEN
    fi;
    MAY_DIE
    roll[_pid] = 0;
#endif
    MAY_DIE
    ring();
    MAY_DIE
    take_mutex();
    MAY_DIE
    alone = gate == WRITING;
    roll[_pid] = 1;
    MAY_DIE
    if
    :: alone
    :: !alone ->
        gate = OPEN;
        MAY_DIE
        mutex = NOBODY
    fi;
in:
    atomic { reading++; assert(writing == 0 && torn == alone && (!alone || reading == 1)) };
    if
    :: atomic { kills_left > 0 -> kills_left--; reading--; goto dead }
    :: true
    fi;
    atomic { reading--; torn = false };
    roll[_pid] = 0;
    MAY_DIE
    if
    :: alone ->
        gate = OPEN;
        MAY_DIE
        mutex = NOBODY
    :: !alone && gate != OPEN -> ring()
    :: !alone && gate == OPEN
    fi;
dead:
    atomic {
        roll[_pid] = 0; /* what it says counts no longer */
        if
        :: mutex == _pid -> mutex = NOBODY
        :: else
        fi;
        finished++
    }
}

active [WRITERS] proctype writer()
{
    byte i, seen, me = _pid - READERS;

    MAY_DIE
    take_mutex();
    MAY_DIE
    if
    :: gate == WRITING -> goto in
    :: gate != WRITING
    fi;
    gate = CLOSING;
    do
    :: i == READERS -> break
    :: i < READERS ->
        MAY_DIE
        if
        :: roll[i] == 0 -> i++
        :: roll[i] == 1 ->
            seen = turn;
            MAY_DIE
            asleep = 1;
            MAY_DIE
            if
            :: roll[i] == 0
            :: roll[i] == 1 ->
                MAY_DIE
                atomic {
                    if
                    :: turn == seen -> in_futex[me] = true
                    :: else
                    fi
                }
                if
                :: !in_futex[me]
                :: atomic { woken[me] -> woken[me] = false; in_futex[me] = false }
                :: atomic { in_futex[me] && !woken[me] && kills_left > 0 ->
                    kills_left--; in_futex[me] = false; goto dead }
#ifdef SLICES
                :: atomic { in_futex[me] && !woken[me] && roll[i] == 0 -> in_futex[me] = false }
#endif
                fi
            fi
        fi
    od;
    MAY_DIE
#ifndef OPEN_FIRST
    gate = WRITING;
#endif
in:
    atomic { writing++; assert(writing == 1 && reading == 0 && (!torn || gate == WRITING)) };
    if
    :: atomic { kills_left > 0 -> kills_left--; writing--; torn = true; goto dead }
    :: true
    fi;
    atomic { writing--; torn = false };
    gate = OPEN;
    MAY_DIE
    mutex = NOBODY;
dead:
    atomic {
        if
        :: mutex == _pid -> mutex = NOBODY
        :: else
        fi;
        finished++
    }
}

active proctype monitor()
{
    timeout -> assert(finished == READERS + WRITERS)
}
