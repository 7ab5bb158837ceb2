"""Serves bench_partner.c's requests with locks of Python's multiprocessing.

usage: python_sync.py      nanoseconds for an acquire and a release, or a set, a wait and a clear
       python_sync.py N    pairs a second of N processes that do nothing else
"""
import multiprocessing
import os
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


CONTENDED_SECONDS = 0.1


def contend(thing, number, count, start, results):
    acquire, release = thing.acquire, thing.release
    if count == 2:
        os.sched_setaffinity(0, {number})
    pairs = 0
    start.wait()
    begin = time.perf_counter()
    while time.perf_counter() - begin < CONTENDED_SECONDS:
        for _ in range(100):
            acquire()
            release()
        pairs += 100
    results.put(pairs / (time.perf_counter() - begin))


def measure_contended(thing, count):
    start, results = multiprocessing.Barrier(count), multiprocessing.SimpleQueue()
    processes = [multiprocessing.Process(target=contend,
                                         args=(thing, i, count, start, results))
                 for i in range(count)]
    for process in processes:
        process.start()
    rate = sum(results.get() for _ in processes)
    for process in processes:
        process.join()
    return int(rate)


def main():
    contenders = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    lock, semaphore = multiprocessing.Lock(), multiprocessing.Semaphore(1)
    event = multiprocessing.Event()
    measures = {"python_lock": lambda: measure_lock(lock),
                "python_semaphore": lambda: measure_lock(semaphore),
                "python_event": lambda: measure_event(event)}
    if contenders > 0:
        measures = {"python_lock": lambda: measure_contended(lock, contenders),
                    "python_semaphore": lambda: measure_contended(semaphore, contenders)}

    for line in sys.stdin:
        name, count = line.split()
        for _ in range(int(count)):
            print(measures[name]())
        sys.stdout.flush()


if __name__ == "__main__":
    main()
