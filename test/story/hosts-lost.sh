# SPDX-License-Identifier: MIT
# A host that vanishes in the middle of a checkpoint ends that checkpoint, not
# the programs of the other host, which run on.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
export CKPT_HOST_TIMEOUT=3
hosts a b
start_coordinator_on a
launch_on a counter 2; JOB_A=$JOB
await ready
launch_on b deaf-thread all
await ready
start "$STORY_DIR/on" a ckpt_command -p "$PORT" -c >"$STORY_DIR/said" 2>&1
asking=$JOB
until [ "$(status_field phase)" = stop ]; do
	kill -0 "$asking" || fail "no checkpoint is under way"
done
host_dies b
JOB=$asking; expect_exit 1
expect_said 'the agent on b \(10.77.0.2\) was lost in phase stop'
expect_nothing_partial
JOB=$JOB_A
check job_runs
resume_on a; await ready
resume_on a
expect_exit 0
