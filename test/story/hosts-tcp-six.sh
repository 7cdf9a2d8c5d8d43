# SPDX-License-Identifier: MIT
# TCP connections in many states between two hosts by IPv6: restarted on the
# same hosts, and on swapped ones, where they go by IPv6 still. What was closed
# there its kernel has forgotten.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
for name in a b; do
	nsenter -t "${HOST_PID[$name]}" -n sh -c \
		'echo 1 >/proc/sys/net/ipv4/tcp_fin_timeout'
done
launch_on a hosts-tcp serve6 5000 3
launch_on b hosts-tcp call a-6 5000 3
await ready; await ready
# Until its kernel has forgotten the end that was closed: the other one is known
# by what it has not read.
port=$(on b awk '$4 == "08" && $5 ~ /:00001389$/ { print $2 }' /proc/net/tcp6)
check [ -n "$port" ]
while on a grep -q ":1388 [0-9A-F]*:${port##*:} " /proc/net/tcp6; do
	:
done
checkpoint; kill_all
restart_on a --hosts a,b; resume_on a; resume_on b; await ready; await ready
check [ "$(grep -c 'names of side . are old\|^[12] names of side . are new' \
	"$STORY_DIR/out")" -eq 2 ]
checkpoint; kill_all
restart_on b --map a=b --map b=a; resume_on a; resume_on b
await ready; await ready
expect_file "$STORY_DIR/restart.err" \
	'from \[fd77::2\]:[0-9]* to \[fd77::1\]:50[0-9]* goes from \[fd77::1\]:[0-9]* to \[fd77::2\]'
checkpoint; kill_all
say "the same connections three times"
restart_on a --hosts a,b; await_running
checkpoint; kill_all
restart_on b --map a=b --map b=a; await_running
checkpoint; kill_all
restart_on a --hosts a,b; resume_on a; resume_on b
expect_exit 0
check [ "$(grep -c '::ffff:' "$STORY_DIR/restart.err")" -eq 0 ]
