# SPDX-License-Identifier: MIT
# A program that a debugger holds cannot be checkpointed now; the reason is
# told, and when it is let go all is well.
# run-as: root
launch counter 3; await ready; checkpoint
job=$JOB
"$(app_path tracer)" "$job" &
tracer=$!
await held
checkpoint_fails
expect_said "tracer, process $tracer"
expect_nothing_partial
resume
wait "$tracer"
checkpoint; resume; await ready
kill_all; restart; resume; await ready; resume; await ready; resume
expect_exit 0
