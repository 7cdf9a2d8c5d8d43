# SPDX-License-Identifier: MIT
"""Connections that come and go all the time: each has one request, one answer.

    churn.py serve PORT
    churn.py call HOST PORT GATE      until the gate file exists
"""
import os
import socket
import sys
import threading

SIZE = 2000
CALLERS = 8


def read_all(end):
    data = b""
    while len(data) < SIZE:
        more = end.recv(4096)
        assert more, "ended after %d bytes" % len(data)
        data += more
    return data


def answer(end):
    with end:
        end.sendall(read_all(end)[::-1])


def serve(port):
    with socket.create_server(("0.0.0.0", port), backlog=100) as listening:
        print("listening", flush=True)
        while True:
            end, _ = listening.accept()
            threading.Thread(target=answer, args=(end,)).start()


def ask(place, caller, gate, counts):
    while not os.path.exists(gate):
        data = (b"%d %d " % (caller, counts[caller])).ljust(SIZE, b"x")
        with socket.create_connection(place) as end:
            end.sendall(data)
            assert read_all(end) == data[::-1]
        counts[caller] += 1
        if caller == 0 and counts[0] == 20:
            print("ready", flush=True)


def call(host, port, gate):
    counts = [0] * CALLERS
    callers = [threading.Thread(target=ask, args=((host, port), k, gate,
                                                  counts))
               for k in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print("done, all answered ok" if min(counts) else counts, flush=True)


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    call(sys.argv[2], int(sys.argv[3]), sys.argv[4])
