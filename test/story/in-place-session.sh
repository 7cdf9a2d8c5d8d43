# SPDX-License-Identifier: MIT
# Who led the session has ended, but others are still in it: its number is not
# the job's, and cannot be taken in place.
# run-as: root
start_coordinator
program=$(app_path counter)
# shellcheck disable=SC2016 # the inner shell's
setsid bash -c '
	tail -f /dev/null &
	ckpt_launch -p "$1" "$2" 2>>err >>out &
	echo $! >job
' _ "$PORT" "$program" </dev/null
JOB=$(cat job)
await ready
session=$(ps -o sid= -p "$JOB")
[ ! -e "/proc/${session// /}" ] || fail "its session still has a leader"
checkpoint
ask -k >&2
restart --capsule never
resume
expect_exit 0
