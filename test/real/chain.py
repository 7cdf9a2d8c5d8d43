# SPDX-License-Identifier: MIT
"""Bulk transfer over a chain of hosts, there and back, to the byte.

    chain.py serve PORT               sends back what comes
    chain.py relay PORT HOST PORT     passes on, both ways
    chain.py call HOST PORT GATE      sends until the gate file exists
"""
import os
import random
import socket
import sys
import threading

SIZE = 65536
LEAST = 300


def pieces():
    maker = random.Random(7)
    while True:
        yield maker.randbytes(SIZE)


def accept_one(port):
    with socket.create_server(("0.0.0.0", port)) as listening:
        print("listening", flush=True)
        return listening.accept()[0]


def pass_on(source, to):
    while True:
        data = source.recv(50000)
        if not data:
            break
        to.sendall(data)
    to.shutdown(socket.SHUT_WR)


def relay(port, host, on):
    here = accept_one(port)
    there = socket.create_connection((host, on))
    back = threading.Thread(target=pass_on, args=(there, here))
    back.start()
    pass_on(here, there)
    back.join()


def send(to, gate):
    count = 0
    for piece in pieces():
        if count >= LEAST and os.path.exists(gate):
            break
        to.sendall(piece)
        count += 1
        if count == 20:
            print("ready", flush=True)
    to.sendall(b"end" + b"." * (SIZE - 3))
    to.shutdown(socket.SHUT_WR)


def receive(source):
    stream = source.makefile("rb")
    count = 0
    for piece in pieces():
        data = stream.read(SIZE)
        if data[:3] == b"end" and data[3:] == b"." * (SIZE - 3):
            break
        assert data == piece, "piece %d is another one" % count
        count += 1
    assert stream.read() == b""
    return count


def call(host, port, gate):
    to = socket.create_connection((host, port))
    sending = threading.Thread(target=send, args=(to, gate))
    sending.start()
    count = receive(to)
    sending.join()
    print("done, %s pieces ok" % ("many" if count >= LEAST else count),
          flush=True)


def main():
    what, *words = sys.argv[1:]
    if what == "serve":
        end = accept_one(int(words[0]))
        pass_on(end, end)
    elif what == "relay":
        relay(int(words[0]), words[1], int(words[2]))
    else:
        call(words[0], int(words[1]), words[2])


main()
