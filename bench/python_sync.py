"""Serves bench_partner.c's requests with locks of Python's multiprocessing: nanoseconds for an
acquire and a release, or a set, a wait and a clear.
"""
import multiprocessing
import sys
import time

PAIR_COUNT = 5000


def measure_lock(thing):
    """Without a call of our own in between: it would cost as much again."""
    acquire, release = thing.acquire, thing.release
    start = time.perf_counter_ns()
    for _ in range(PAIR_COUNT):
        acquire()
        release()
    return (time.perf_counter_ns() - start) // PAIR_COUNT


def measure_event(event):
    start = time.perf_counter_ns()
    for _ in range(PAIR_COUNT):
        event.set()
        event.wait()
        event.clear()
    return (time.perf_counter_ns() - start) // PAIR_COUNT


def main():
    lock, semaphore = multiprocessing.Lock(), multiprocessing.Semaphore(1)
    event = multiprocessing.Event()
    measures = {"python_lock": lambda: measure_lock(lock),
                "python_semaphore": lambda: measure_lock(semaphore),
                "python_event": lambda: measure_event(event)}

    for line in sys.stdin:
        name, count = line.split()
        for _ in range(int(count)):
            print(measures[name]())
        sys.stdout.flush()


if __name__ == "__main__":
    main()
