# SPDX-License-Identifier: MIT
# python3: an asyncio server on one host, its client with 200 connections, all
# in use, on another; restarted on the same hosts, on swapped ones, and again.
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
for where in 'a --hosts a,b' 'b --map a=b --map b=a' 'a --hosts a,b'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$STORY_DIR/gate"
await_output '^done 200 connections, rounds: True ok$'
ask -k
