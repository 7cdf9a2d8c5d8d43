# shellcheck disable=SC2034 # lib.sh uses it
# SPDX-License-Identifier: MIT
# Redis, which writes a log and now and then forks to save all, with a client
# over a unix socket: no acknowledged write is lost, and the client notices
# nothing.
# run-as: user root
# needs: redis-server redis-cli /usr/bin/python3
# timeout: 300
cat >"$STORY_DIR/work/job.sh" <<'END'
#!/bin/bash
redis-server --port 0 --unixsocket redis.sock --save 1 10 --appendonly yes \
	--dir . --daemonize no >redis.log 2>&1 &
server=$!
until [ -S redis.sock ]; do :; done
/usr/bin/python3 client.py "$1"
status=$?
kill "$server"
wait "$server"
exit "$status"
END
cat >"$STORY_DIR/work/client.py" <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("redis.sock")
f = s.makefile("rwb")
def ask(*words):
    f.write(b"*%d\r\n" % len(words))
    for w in words:
        f.write(b"$%d\r\n%s\r\n" % (len(w), w))
    f.flush()
    line = f.readline()
    if line[:1] == b"$":
        return f.read(int(line[1:]) + 2)[:-2]
    return line[1:-2]
n = 0
while n < 200 or not os.path.exists(sys.argv[1]):
    n += 1
    assert ask(b"SET", b"key%d" % n, b"value%d" % n) == b"OK"
    assert ask(b"INCR", b"count") == b"%d" % n
    if n == 100:
        print("ready", flush=True)
assert ask(b"DBSIZE") == b"%d" % (n + 1)
for k in range(1, n + 1):
    assert ask(b"GET", b"key%d" % k) == b"value%d" % k
print("done %d writes ok" % n, flush=True)
END
play bash "$STORY_DIR/work/job.sh" GATE
