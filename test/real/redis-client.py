#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""redis-client.py HOST PORT NAME GATE: writes through pipelines until the file
GATE exists; every acknowledged write was made once, and is there in the end."""
import os
import socket
import sys

host, port, name, gate = sys.argv[1:]
name = name.encode()
s = socket.create_connection((host, int(port)))
f = s.makefile("rwb")
def ask(*words):
    f.write(b"*%d\r\n" % len(words))
    for w in words:
        f.write(b"$%d\r\n%s\r\n" % (len(w), w))
def answer():
    f.flush()
    line = f.readline()
    if line[:1] == b"$":
        return f.read(int(line[1:]) + 2)[:-2]
    return line[1:-2]
n = 0
while n < 3000 or not os.path.exists(gate):
    for i in range(50):
        ask(b"SET", b"%s%d" % (name, n + i), b"value%d" % (n + i))
        ask(b"INCR", b"count" + name)
    for i in range(50):
        assert answer() == b"OK"
        n += 1
        assert answer() == b"%d" % n
    if n == 1000:
        print("ready", flush=True)
for k in range(n):
    ask(b"GET", b"%s%d" % (name, k))
    assert answer() == b"value%d" % k
print("done ok", flush=True)
