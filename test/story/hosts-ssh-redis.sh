# SPDX-License-Identifier: MIT
# A script that runs Redis here and, by ssh, its clients on other hosts: one
# directly, one over two hops, and a pipeline from host to host. All is one
# computation, restarted on the same hosts, in a ring, on one and on three.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3 redis-server redis-cli
# timeout: 300
hosts a b c
cd "$STORY_DIR/work" || exit
cat >client.py <<'END'
import os, socket, sys
name, gate = sys.argv[1].encode(), sys.argv[2]
f = socket.create_connection(("a", 5000)).makefile("rwb")
n = 0
while n < 300 or not os.path.exists(gate):
    for i in range(10):
        f.write(b"INCR %s\r\n" % name)
    f.flush()
    for i in range(10):
        n += 1
        assert f.readline() == b":%d\r\n" % n
    # To the caller, by what ssh has become.
    print(name.decode(), n, flush=True)
f.write(b"LPUSH ended %s\r\n" % name)
f.flush()
assert f.readline()[:1] == b":"
END
cat >lines.py <<'END'
import os, sys
n = 0
while n < 300 or not os.path.exists(sys.argv[1]):
    n += 1
    print(n, "x" * (n % 1000), flush=True)
END
cat >job.sh <<'END'
#!/bin/bash
cd "$1" && gate=$2 || exit
here() { # a command that runs in this folder, for a shell
	printf 'cd %q && ' "$PWD"
	printf '%q ' "$@"
}
even() { # the name; lines of it count on
	local n=0 name count

	while read -r name count; do
		[ "$name" = "$1" ] && [ "$count" -eq $((n += 10)) ] || return
		[ "$n" -ne 100 ] || echo "ready $1"
	done
	[ "$n" -ge 300 ] && echo "counted $1 $n"
}
set -o pipefail
redis-server --port 5000 --bind 0.0.0.0 --save "" --dir . \
	--protected-mode no >redis.log 2>&1 &
server=$!
until grep -q "Ready to accept" redis.log; do :; done
ssh b "$(here python3 client.py one "$gate")" | even one & jobs=($!)
ssh b ssh c "$(printf %q "$(here python3 client.py two "$gate")")" |
	even two & jobs+=($!)
ssh b "$(here python3 lines.py "$gate")" | ssh c awk \
	"'{ if (\$1 != NR || length(\$2) != NR % 1000) exit 9 } END { print \"lines\" }'" &
jobs+=($!)
ssh c redis-cli -h a -p 5000 -r 2 BRPOP ended 0 & jobs+=($!)
for job in "${jobs[@]}"; do
	wait "$job" || exit
done
kill "$server" && wait "$server" && echo done ok
END
chown -R "$STORY_USER:$STORY_USER" .
start_coordinator_on a
launch_on a bash job.sh "$PWD" "$STORY_DIR/gate"
await_output '^ready one'
await_output '^ready two'
checkpoint
for where in 'a --hosts a,b,c' 'b --map a=b --map b=c --map c=a' 'c --hosts c' \
	'a --hosts a,b,c'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$STORY_DIR/gate"
expect_exit 0
for line in 'counted one [0-9]+' 'counted two [0-9]+' lines one two 'done ok'; do
	expect_file "$STORY_DIR/out" "^$line\$"
done
