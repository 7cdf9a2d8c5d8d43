# SPDX-License-Identifier: MIT
# When a host has vanished, no checkpoint takes the place of those that hold its
# processes, unless somebody says so.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
export CKPT_HOST_TIMEOUT=3
hosts a b
start_coordinator_on a
launch_on a counter 6; await ready
launch_on b counter 6; await ready
check ask -kc >"$STORY_DIR/said"; wait_job >/dev/null
restart_on a --hosts a,b; await_running
host_dies b
until [[ $(ask -s --json) == *'"lost": "b/'* ]]; do :; done
check_fails ask -c
expect_said 'b/[0-9]* was lost and would be missing in it'
check_fails ask -kc
check job_runs
resume_on a; await ready
# From then on.
check ask -c --without-lost >"$STORY_DIR/said"
expect_file "$STORY_DIR/said" '1 process'
checkpoint
check ask -kc >"$STORY_DIR/said"; wait_job >/dev/null
restart_on a; await_running
resume_on a; await ready
checkpoint
