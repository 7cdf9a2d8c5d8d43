# SPDX-License-Identifier: MIT
# Redis on one host, a client on each of two others that writes through
# pipelines: no acknowledged write is lost, and the clients notice nothing.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3 redis-server
# timeout: 300
hosts a b c
start_coordinator_on a
launch_on a redis-server --port 5000 --bind 0.0.0.0 --save "" \
	--protected-mode no --dir "$STORY_DIR/work" --daemonize no
await_output 'Ready to accept'
launch_on b /usr/bin/python3 "$CKPT_SOURCE/test/real/redis-client.py" a 5000 one "$STORY_DIR/gate"
launch_on c /usr/bin/python3 "$CKPT_SOURCE/test/real/redis-client.py" a 5000 two "$STORY_DIR/gate"
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
