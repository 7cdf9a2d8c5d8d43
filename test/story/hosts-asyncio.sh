# SPDX-License-Identifier: MIT
# python3: an asyncio server on one host, its client with 200 connections, all
# in use, on another; killed and restarted twice.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3
# timeout: 300
hosts a b
echo=$CKPT_SOURCE/test/real/asyncio-echo.py
start_coordinator_on a
launch_on a /usr/bin/python3 "$echo" serve 5000
await_output '^listening'
launch_on b /usr/bin/python3 "$echo" call a 5000 "$STORY_DIR/gate"
await_output '^ready'
checkpoint
for _ in 1 2; do
	checkpoint; kill_all
	restart_on a --hosts a,b
	await_running
done
: >"$STORY_DIR/gate"
await_output '^done 200 connections, rounds: True ok$'
ask -k
