# SPDX-License-Identifier: MIT
# A coordinator that is killed and started again on its port has its agents on
# all hosts again before it makes the next checkpoint.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a counter 2; JOB_A=$JOB
await ready
launch_on b counter 2
await ready
checkpoint
for pid in $(story_pids ckpt_coordinator); do kill_now "$pid"; done
resume_on a; resume_on b; await ready; await ready
FIXED_PORT=$PORT start_coordinator_on a
checkpoint
expect_said '2 processes'
expect_said 'generation 2'
check [ "$(find "$CKPTDIR"/*/gen-000002 -name '*.img' | wc -l)" -eq 2 ]
resume_on a; resume_on b
expect_exit 0
JOB=$JOB_A; expect_exit 0
