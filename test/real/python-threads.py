# SPDX-License-Identifier: MIT
"""Twenty threads, each with a generator, a dict and a file of its own, that
work in rounds until the gate file exists. Then everything is computed again
from nothing and compared."""
import os
import sys
import threading
import zlib

gate, folder = sys.argv[1], sys.argv[2]
THREADS = 20
stop = threading.Event()
everybody_busy = threading.Barrier(THREADS + 1)


def chain(seed):
    value = zlib.crc32(b"%d" % seed)
    table = {}
    while True:
        for step in range(50):
            value = zlib.crc32(b"%d:%d" % (value, step))
            table[value % 5000] = (value, str(step))
        yield value, zlib.crc32(repr(sorted(table.items())[:20]).encode())


class Worker(threading.Thread):
    def __init__(self, number):
        super().__init__()
        self.number = number
        self.rounds = 0
        self.generator = chain(number)
        self.path = os.path.join(folder, "worker-%d.log" % number)

    def run(self):
        with open(self.path, "w+") as log:
            while not stop.is_set() or self.rounds < 10:
                value = next(self.generator)
                self.rounds += 1
                self.last = value
                log.write("%d %d %d\n" % (self.rounds, *value))
                if self.rounds == 5:
                    everybody_busy.wait()
                stop.wait(0.005)
            log.flush()
            log.seek(0)
            self.lines = log.read().splitlines()


big = {i: str(i) * 3 for i in range(300000)}
workers = [Worker(n) for n in range(THREADS)]
for w in workers:
    w.start()
everybody_busy.wait()
print("ready", flush=True)
waiter = threading.Event()
while not os.path.exists(gate):
    waiter.wait(0.05)
stop.set()
ok = all(big[i] == str(i) * 3 for i in range(300000))
for w in workers:
    w.join()
    again = chain(w.number)
    expect = []
    for r in range(w.rounds):
        value = next(again)
        expect.append("%d %d %d" % (r + 1, *value))
    if value != w.last or expect != w.lines:
        print("WRONG: worker", w.number, w.rounds, value, w.last)
        ok = False
print("done rounds=%d" % sum(w.rounds for w in workers), "ok" if ok else "WRONG",
      flush=True)
sys.exit(0 if ok else 1)
