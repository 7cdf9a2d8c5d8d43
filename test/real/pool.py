# SPDX-License-Identifier: MIT
"""A multiprocessing pool with a queue, a lock, a shared array and a shared
counter, in rounds until the gate file exists; then compared."""
import multiprocessing as mp
import os
import sys
import time
import zlib


def init(lock, counter, array):
    global g_lock, g_counter, g_array
    g_lock, g_counter, g_array = lock, counter, array


def work(n):
    value = n
    for _ in range(2000):
        value = zlib.crc32(b"%d" % value)
    with g_lock:
        g_counter.value += 1
        g_array[n % len(g_array)] += value % 1000
    return n, value


def serve(questions, answers):
    for n in iter(questions.get, None):
        answers.put((n, n * n))


def main():
    gate = sys.argv[1]
    lock, counter = mp.Lock(), mp.Value("q", 0)
    array = mp.Array("q", 50, lock=False)
    questions, answers = mp.Queue(), mp.Queue()
    server = mp.Process(target=serve, args=(questions, answers))
    server.start()
    rounds, ok, expect = 0, True, [0] * 50
    with mp.Pool(4, init, (lock, counter, array)) as pool:
        while rounds < 5 or not os.path.exists(gate):
            numbers = range(rounds * 20, rounds * 20 + 20)
            for n in numbers:
                questions.put(n)
            for n, value in pool.imap_unordered(work, numbers):
                again = n
                for _ in range(2000):
                    again = zlib.crc32(b"%d" % again)
                ok = ok and again == value
                expect[n % 50] += value % 1000
            for n in numbers:
                ok = ok and answers.get() == (n, n * n)
            rounds += 1
            if rounds == 5:
                print("ready", flush=True)
            time.sleep(0.01)
    questions.put(None)
    server.join()
    ok = ok and counter.value == rounds * 20 and list(array) == expect
    print("done rounds=%d %s" % (rounds, "ok" if ok else "WRONG"), flush=True)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
