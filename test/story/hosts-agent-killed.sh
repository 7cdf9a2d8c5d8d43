# SPDX-License-Identifier: MIT
# An agent that is killed in the middle of a checkpoint, on another host than
# the coordinator's, ends that checkpoint, with its host's name; all processes
# run on, and the next checkpoint finds another agent there.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b c
start_coordinator_on a
launch_on a hosts-tcp serve 5000 3; job_a=$JOB
launch_on b hosts-tcp call a 5000 3; job_b=$JOB
await ready; await ready
launch_on c deaf-thread all; deaf=$JOB
await ready
agent_of() {
	on "$1" sed -n 's/^.* agent \([0-9]*\) looks after.*/\1/p' \
		"$(echo "$STORY_DIR/run/$1/ckpt"/*-*/agent.log)" | tail -n 1
}
first=$(agent_of b)
check [ -n "$first" ]
start "$STORY_DIR/on" a ckpt_command -p "$PORT" -c >"$STORY_DIR/said" 2>&1
asking=$JOB
until [ "$(status_field phase)" = stop ]; do
	kill -0 "$asking" || fail "no checkpoint is under way"
done
check on b kill -KILL "$first"
JOB=$asking; expect_exit 1
expect_said 'the agent on b \(10.77.0.2\) was lost in phase stop'
expect_nothing_partial
for JOB in "$job_a" "$job_b" "$deaf"; do check job_runs; done
resume_on c; await hears
say "everybody runs on"
checkpoint
expect_said '3 processes'
check [ "$(agent_of b)" != "$first" ]
resume_on a; resume_on b; await ready; await ready
checkpoint; kill_all
restart_on a --hosts a,b,c; resume_on a; resume_on b
await ready; await ready
ask -k
