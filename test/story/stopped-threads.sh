# SPDX-License-Identifier: MIT
# Twenty threads that are stopped are saved, again and again, and go on when
# they are continued.
expect_stopped()
{
	! grep -h '^State:' /proc/"$1"/task/*/status | grep -qv '[[:space:]]T' ||
		fail "process $1 is not stopped"
}
launch threads 20; await ready
kill -STOP "$JOB"
checkpoint; expect_stopped "$JOB"
checkpoint; expect_stopped "$JOB"
kill -CONT "$JOB"
resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
