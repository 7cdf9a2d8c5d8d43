#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# A connection whose writer is always ahead of its reader, by more than the
# reader's queue may hold. Until the file "gate" exists; then what has come is
# what was sent, and the options of both ends are what they were.
import hashlib
import mmap
import os
import socket
import struct
import sys
import time

UNSENT, LOCKS = 25, 72
TOO_MUCH = 3 << 20  # half of the limit that the story sets
shared = mmap.mmap(-1, 4096)  # how much has been sent


def writer(name):
    end = socket.create_connection(name)
    first = end.getsockopt(socket.IPPROTO_TCP, UNSENT)
    sent, data, turn = hashlib.md5(), os.urandom(1 << 20), 0
    total = 0
    while not os.path.exists("gate"):
        piece = data[turn % 1000 :][:65536]
        length = end.send(piece)
        sent.update(piece[:length])
        turn += 1
        total += length
        shared[:8] = struct.pack("q", total)
    assert end.getsockopt(socket.IPPROTO_TCP, UNSENT) == first
    end.shutdown(socket.SHUT_WR)
    with open("sent", "w") as file:
        file.write(sent.hexdigest())


listener = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    writer(listener.getsockname())
    os._exit(0)
end, _ = listener.accept()
locks = end.getsockopt(socket.SOL_SOCKET, LOCKS)
got, count = hashlib.md5(), 0
quick = int(sys.argv[1]) << 20  # so much, that the kernel widens the queue
ready = False
while True:
    data = end.recv(65536)
    if not data:
        break
    got.update(data)
    count += len(data)
    if count < quick or os.path.exists("gate"):
        continue
    if not ready:
        while struct.unpack("q", shared[:8])[0] - count <= TOO_MUCH:
            time.sleep(0.001)
        print("ready", flush=True)
        ready = True
    time.sleep(len(data) / 8e6)
assert end.getsockopt(socket.SOL_SOCKET, LOCKS) == locks
assert os.wait()[1] == 0
with open("sent") as file:
    assert got.hexdigest() == file.read()
print("whole", count)
