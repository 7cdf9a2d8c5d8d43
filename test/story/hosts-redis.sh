# SPDX-License-Identifier: MIT
# Redis on one host, a client on each of two others that writes through
# pipelines: no acknowledged write is lost, and the clients notice nothing.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3 redis-server
# timeout: 300
hosts a b c
cat >"$STORY_DIR/client.py" <<'END'
import os, socket, sys
name, gate = sys.argv[1].encode(), sys.argv[2]
s = socket.create_connection(("a", 5000))
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
END
start_coordinator_on a
launch_on a redis-server --port 5000 --bind 0.0.0.0 --save "" \
	--protected-mode no --dir "$STORY_DIR/work" --daemonize no
await_output 'Ready to accept'
launch_on b /usr/bin/python3 "$STORY_DIR/client.py" one "$STORY_DIR/gate"
launch_on c /usr/bin/python3 "$STORY_DIR/client.py" two "$STORY_DIR/gate"
until [ "$(grep -c '^ready' "$STORY_DIR/out")" -eq 2 ]; do :; done
checkpoint
for where in 'a --hosts a,b,c' 'b --map a=b --map b=a'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$STORY_DIR/gate"
until [ "$(grep -c '^done ok' "$STORY_DIR/out")" -eq 2 ]; do
	job_runs || fail "a client has failed: $(cat "$STORY_DIR/err")"
done
ask -k
