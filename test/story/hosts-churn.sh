# SPDX-License-Identifier: MIT
# Connections between two hosts that come and go all the time: some are never
# accepted yet when a checkpoint begins. It gives the server the time to do so.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3
hosts a b
start_coordinator_on a
churn=$CKPT_SOURCE/test/real/churn.py
launch_on a /usr/bin/python3 "$churn" serve 5000
await_output '^listening'
launch_on b /usr/bin/python3 "$churn" call a 5000 "$STORY_DIR/gate"
await_output '^ready'
for _ in 1 2 3; do checkpoint; done
for _ in 1 2; do
	checkpoint; kill_all
	restart_on a --hosts a,b
	await_running
done
: >"$STORY_DIR/gate"
await_output '^done, all answered ok$'
ask -k
