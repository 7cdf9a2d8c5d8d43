# SPDX-License-Identifier: MIT
# Lines on a pipe are commands, answered one after the other.
mkfifo console
ckpt_coordinator --port 0 --port-file port --log "$STORY_DIR/coordinator.log" \
	-d "$CKPTDIR" <console >answers 2>&1 &
served=$!
exec {CONSOLE}>console
await_line "$STORY_DIR/coordinator.log" listens
PORT=$(cat port)
launch counter; await ready
printf 's\nc\nl\nbogus\ni 1000\nkc\ns\n' >&"$CONSOLE"
await_line answers 'no program is running'
expect_file answers 'phase +running'
expect_file answers 'generation 1: 1 process'
expect_file answers '"bogus" is no command'
expect_file answers 'every 1000 s'
expect_file answers 'generation 2: 1 process'
[ "$(wait_job)" = 137 ] || fail "the program was not killed"
echo q >&"$CONSOLE"
exec {CONSOLE}>&-
check wait "$served"
