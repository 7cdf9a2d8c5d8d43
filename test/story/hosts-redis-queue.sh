# SPDX-License-Identifier: MIT
# Redis with an append-only file on one host, a replica of it and a worker that
# blocks on a second, a producer and two redis-cli on a third: each job is done
# once and in order, each message is heard, and the replica has the same data.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3 redis-server redis-cli
# timeout: 300
hosts a b c
cd "$STORY_DIR/work" || exit
cat >resp.py <<'END'
import socket
class Redis:
    def __init__(self):
        self.f = socket.create_connection(("a", 5000)).makefile("rwb")
    def send(self, *words):
        self.f.write(b"*%d\r\n" % len(words))
        for w in words:
            w = w if isinstance(w, bytes) else str(w).encode()
            self.f.write(b"$%d\r\n%s\r\n" % (len(w), w))
    def answer(self):
        self.f.flush()
        line = self.f.readline()
        assert line.endswith(b"\r\n"), "the connection has ended"
        kind, rest = line[:1], line[1:-2]
        assert kind != b"-", rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self.f.read(int(rest) + 2)[:-2] if rest != b"-1" else None
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest
    def ask(self, *words):
        self.send(*words)
        return self.answer()
END
# A job is a number and some ballast, pushed and announced in one transaction.
cat >produce.py <<'END'
import os, sys
from resp import Redis
r, n = Redis(), 0
ballast = os.urandom(2000)
r.ask("SET", "ballast", ballast)
while n < 1000 or not os.path.exists(sys.argv[1]):
    for i in range(n, n + 20):
        for words in (("MULTI",), ("INCR", "made"), ("PUBLISH", "news", i),
                      ("LPUSH", "queue", b"%d:" % i + ballast), ("EXEC",)):
            r.send(*words)
    for i in range(n, n + 20):
        assert [r.answer() for _ in range(4)] == \
            [b"OK", b"QUEUED", b"QUEUED", b"QUEUED"]
        made, heard, length = r.answer()
        assert made == i + 1 and heard == 1
    n += 20
    if n == 200:
        print("ready producer", flush=True)
    # Small steps: the worker waits more often than not.
    r.ask("BRPOP", "worked", 0)
r.ask("LPUSH", "queue", "end")
r.ask("PUBLISH", "news", "end")
assert int(r.ask("GET", "made")) == n
print("done producer", n, flush=True)
END
cat >work.py <<'END'
import threading
from resp import Redis
def work():
    r, n = Redis(), 0
    while True:
        name, job = r.ask("BRPOP", "queue", 0)
        assert name == b"queue"
        if job == b"end":
            break
        number, ballast = job.split(b":", 1)
        assert int(number) == n and ballast == r.ask("GET", "ballast")
        n += 1
        if n % 20 == 0:
            r.ask("LPUSH", "worked", n)
    print("done worker", n, flush=True)
def listen():
    r, n = Redis(), 0
    r.ask("SUBSCRIBE", "news")
    print("ready listener", flush=True)
    while True:
        word = r.answer()[2]
        if word == b"end":
            break
        assert int(word) == n
        n += 1
    print("done listener", n, flush=True)
for what in work, listen:
    threading.Thread(target=what).start()
END
cat >mass.py <<'END'
import os, sys, time
n = 0
while not os.path.exists(sys.argv[1]):
    sys.stdout.write("INCR mass\r\n" * 100)
    n += 100
    time.sleep(0.001)	# not all of the machine
with open("mass", "w") as f:
    print(n, file=f)
END
mkdir first second
chown "$STORY_USER:$STORY_USER" first second
start_coordinator_on a
launch_on a redis-server --port 5000 --bind 0.0.0.0 --save "" \
	--protected-mode no --dir "$PWD/first" --appendonly yes \
	--enable-debug-command yes
server=$JOB
await_output 'Ready to accept'
launch_on b redis-server --port 5001 --bind 0.0.0.0 --save "" \
	--protected-mode no --dir "$PWD/second" --replicaof a 5000 \
	--enable-debug-command yes
await_output 'MASTER <-> REPLICA sync: Finished with success'
launch_on b /usr/bin/python3 work.py
await_output '^ready listener'
launch_on c /usr/bin/python3 produce.py "$STORY_DIR/gate"
launch_on c bash -c 'exec redis-cli -h a -p 5000 -r -1 -i 0.002 INCR count \
	>count 2>&1'
# shellcheck disable=SC2016 # the inner shell's
launch_on c bash -c '/usr/bin/python3 mass.py "$1" |
	redis-cli -h a -p 5000 --pipe && echo done mass' _ "$STORY_DIR/gate"
await_output '^ready producer'
JOB=$server
checkpoint
for where in 'a --hosts a,b,c' 'b --map a=b --map b=c --map c=a' 'c --hosts c' \
	'a --hosts a,b,c'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$STORY_DIR/gate"
for who in producer worker listener mass; do
	await_output "^done $who"
done
[ "$(sed -n 's/^done [plw][a-z]* //p' "$STORY_DIR/out" | sort -u | wc -l)" -eq 1 ] ||
	fail "not everybody has seen all: $(grep '^done' "$STORY_DIR/out")"
for pid in $(story_pids redis-cli); do
	kill_now "$pid"
done
check diff <(seq "$(wc -l <count)") count
ask_redis() { # port, words
	local host=c

	# Of those that were on one host, the first has stayed there.
	[ "$1" = 5000 ] || host=a
	bounded "$STORY_DIR/on" "$host" redis-cli -p "$@"
}
expect_file "$STORY_DIR/out" "^errors: 0, replies: $(cat mass)"
check [ "$(ask_redis 5000 GET mass)" = "$(cat mass)" ]
# It may have been killed before it wrote the last answer.
count=$(($(ask_redis 5000 GET count) - $(wc -l <count)))
check [ "$count" -ge 0 ]
check [ "$count" -le 1 ]
check [ "$(ask_redis 5000 WAIT 1 10000)" = 1 ]
[ "$(ask_redis 5000 DEBUG DIGEST)" = "$(ask_redis 5001 DEBUG DIGEST)" ] ||
	fail "the replica has other data"
check [ "$(ask_redis 5000 INFO stats | grep -c '^sync_full:1')" -eq 1 ]
check [ "$(ask_redis 5000 INFO stats | grep -c '^sync_partial_ok:0')" -eq 1 ]
ask -k
