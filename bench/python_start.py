"""Serves bench_partner.c's requests with Process(...).start() and .join() of Python.

usage: python_start.py MIB    with MIB of memory touched, in ordinary pages
"""
import mmap
import multiprocessing
import sys
import time


def nothing():
    pass


def measure(context):
    start = time.perf_counter_ns()
    process = context.Process(target=nothing)
    process.start()
    process.join()
    return time.perf_counter_ns() - start


def main():
    # The forkserver first: it is to be small.
    contexts = {"python_" + name: multiprocessing.get_context(name)
                for name in ("forkserver", "fork", "spawn")}
    measure(contexts["python_forkserver"])

    size = int(sys.argv[1]) << 20
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, size, 4096):
        memory[at] = 1

    for line in sys.stdin:
        name, count = line.split()
        for _ in range(int(count)):
            print(measure(contexts[name]))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
