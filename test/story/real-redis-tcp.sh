# shellcheck disable=SC2034 # lib.sh uses it
# SPDX-License-Identifier: MIT
# Redis over TCP with two clients that write through pipelines: no acknowledged
# write is lost, and the clients notice nothing.
# run-as: user root
# needs: redis-server /usr/bin/python3
# timeout: 300
cat >"$STORY_DIR/work/job.sh" <<'END'
#!/bin/bash
# None that connections of others get by chance.
port=$(/usr/bin/python3 -c 'import random, socket
while True:
    port = random.randrange(10000, 30000)
    try:
        socket.socket().bind(("127.0.0.1", port))
        break
    except OSError:
        pass
print(port)')
redis-server --port "$port" --bind 127.0.0.1 --save "" --dir . \
	--daemonize no >redis.log 2>&1 &
server=$!
until grep -q "Ready to accept" redis.log; do :; done
/usr/bin/python3 client.py "$port" one "$1" &
first=$!
/usr/bin/python3 client.py "$port" two "$1" && wait "$first"
status=$?
kill "$server"
wait "$server"
[ "$status" -ne 0 ] || echo "done ok"
exit "$status"
END
cat >"$STORY_DIR/work/client.py" <<'END'
import os, socket, sys
port, name, gate = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]
s = socket.create_connection(("127.0.0.1", port))
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
    if n == 1000 and name == b"two":
        print("ready", flush=True)
for k in range(n):
    ask(b"GET", b"%s%d" % (name, k))
    assert answer() == b"value%d" % k
END
play bash "$STORY_DIR/work/job.sh" GATE
