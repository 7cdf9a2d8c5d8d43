# SPDX-License-Identifier: MIT
# The death of the agent does not touch the program; the next checkpoint
# finds it again.
launch counter 2; await ready
for pid in $(story_pids ckpt_agent); do kill_now "$pid"; done
job_runs || fail "the program ended with its agent"
resume; await ready; resume
expect_exit 0
