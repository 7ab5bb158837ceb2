/*
 * The condition (src/sync/condition.h): notifications, and what becomes of them when those
 * who got them die.
 *
 * Holds: when nothing moves any more, no notification lies with a dead one while somebody
 * waits who waited when it was given, and none was taken from a dead one that was not given
 * on; nobody who was notified sleeps; and nobody gets on without a notification. Without
 * deaths there are as many as were given.
 *
 *     (nothing)          no deaths, and sleeps without an end
 *     KILLS=n SLICES     n deaths anywhere, and sleeps that end
 *
 * Must fail:
 *
 *     KILLS=1            deaths, and sleeps without an end
 *     KILLS=1 SLICES TAKE_FIRST   what a dead one had is taken from it before it is given
 *     WAKE_FIRST         wakes first, and writes the word then
 */
#ifndef KILLS
#define KILLS 0
#endif

#define WAITERS 3
#define NOTIFIERS 2
#define NOBODY 9

mtype = { NOTHING, WAITING, NOTIFIED };

mtype word[WAITERS] = NOTHING;
byte number[WAITERS]; /* the ticket, or the bound of a notification */
bool dead_one[WAITERS], in_futex[WAITERS], woken[WAITERS];
byte tickets, lock = NOBODY, passing = NOBODY, kills_left = KILLS;
byte given, got, finished;
byte passed, taken; /* notifications of the dead: given on, and taken from them */

#if KILLS > 0
#define MAY_DIE                                                                                \
    if                                                                                         \
    :: atomic { kills_left > 0 -> kills_left--; goto dead }                                    \
    :: true                                                                                    \
    fi;
#else
#define MAY_DIE
#endif

#define STRANDED(i) (word[i] == NOTIFIED && dead_one[i])
#define CAN_GET(i, bound) (word[i] == WAITING && !dead_one[i] && number[i] < bound)

/* Who comes before all others that can get it; WAITERS: nobody. One look at the roll here,
 * where the code looks word by word: a word that changes meanwhile fails the exchange. */
inline find_first(bound)
{
    d_step {
        first = WAITERS;
        k = 0;
        do
        :: k == WAITERS -> break
        :: k < WAITERS ->
            if
            :: CAN_GET(k, bound) && first == WAITERS -> first = k
            :: CAN_GET(k, bound) && first < WAITERS && number[k] < number[first] -> first = k
            :: else
            fi;
            k++
        od;
        k = 0;
        ticket = 0;
        if
        :: first < WAITERS -> ticket = number[first]
        :: else
        fi
    }
}

inline wake(i)
{
    atomic {
        if
        :: in_futex[i] -> woken[i] = true
        :: else
        fi
    }
}

/* Gives one notification to the first who can get it, or to nobody. */
inline give(bound)
{
    do
    :: find_first(bound);
        MAY_DIE
        if
        :: first == WAITERS -> break
#ifdef WAKE_FIRST
        :: first < WAITERS ->
            wake(first);
            atomic {
                word[first] == WAITING && number[first] == ticket ->
                word[first] = NOTIFIED; number[first] = bound; given++
            }
            break
#else
        :: atomic {
               first < WAITERS && word[first] == WAITING && number[first] == ticket ->
               word[first] = NOTIFIED; number[first] = bound; given++
           }
            MAY_DIE
            wake(first);
            break
        :: first < WAITERS && !(word[first] == WAITING && number[first] == ticket)
#endif
        fi
    od
}

inline pass_on()
{
    if
    :: atomic { passing == NOBODY -> passing = _pid }
        i = 0;
        do
        :: i == WAITERS -> break
        :: i < WAITERS ->
            MAY_DIE
            if
            :: STRANDED(i) ->
                bound = number[i];
#ifdef TAKE_FIRST
                atomic { word[i] = NOTHING; taken++ };
                MAY_DIE
                give(bound);
                passed++
#else
                give(bound);
                passed++;
                MAY_DIE
                atomic { word[i] = NOTHING; taken++ }
#endif
            :: else
            fi;
            i++
        od;
        MAY_DIE
        passing = NOBODY
    :: passing != NOBODY
    fi
}

active [WAITERS] proctype waiter()
{
    byte i, k, first, ticket, bound, me = _pid;

    atomic { lock == NOBODY -> lock = _pid };
    MAY_DIE
    atomic { word[me] = WAITING; number[me] = tickets; tickets++ };
    MAY_DIE
    lock = NOBODY;
    do
    :: word[me] != WAITING -> break
    :: word[me] == WAITING ->
        MAY_DIE
        atomic {
            if
            :: word[me] == WAITING -> in_futex[me] = true
            :: else
            fi
        }
        if
        :: !in_futex[me]
        :: in_futex[me] ->
end_asleep:
            if
            :: atomic { woken[me] -> woken[me] = false; in_futex[me] = false }
            :: atomic { !woken[me] && kills_left > 0 ->
                kills_left--; in_futex[me] = false; goto dead }
#ifdef SLICES
            :: atomic { !woken[me] && word[me] != WAITING -> in_futex[me] = false }
            :: atomic {
                   !woken[me] && (STRANDED(0) || STRANDED(1) || STRANDED(2)) &&
                   passing == NOBODY -> in_futex[me] = false
               }
                pass_on()
#endif
            fi
        fi
    od;
    MAY_DIE
    atomic { lock == NOBODY -> lock = _pid };
    MAY_DIE
    atomic { assert(word[me] == NOTIFIED); word[me] = NOTHING; got++ };
    MAY_DIE
    lock = NOBODY;
dead:
    atomic {
        if
        :: lock == _pid -> lock = NOBODY
        :: else
        fi;
        if
        :: passing == _pid -> passing = NOBODY
        :: else
        fi;
        dead_one[me] = word[me] != NOTHING;
        finished++
    }
}

active [NOTIFIERS] proctype notifier()
{
    byte k, first, ticket, bound;

    atomic { lock == NOBODY -> lock = _pid };
    MAY_DIE
    bound = tickets;
    give(bound);
    MAY_DIE
    lock = NOBODY;
dead:
    atomic {
        if
        :: lock == _pid -> lock = NOBODY
        :: else
        fi;
        finished++
    }
}

#define OWED(i)                                                                                \
    (STRANDED(i) && (CAN_GET(0, number[i]) || CAN_GET(1, number[i]) || CAN_GET(2, number[i])))

active proctype monitor()
{
    timeout ->
        assert(!OWED(0) && !OWED(1) && !OWED(2));
        assert(!(word[0] == NOTIFIED && !dead_one[0]) && !(word[1] == NOTIFIED && !dead_one[1]) &&
               !(word[2] == NOTIFIED && !dead_one[2]));
        assert(taken <= passed);
        assert(KILLS > 0 || got == given)
}
