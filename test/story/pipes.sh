# SPDX-License-Identifier: MIT
# Standard streams that lead to somebody else: after the restart they are
# those of ckpt_restart.
start_coordinator
mkfifo in1 out1 in2 out2
exec {hold1}<>in1 {hold2}<>in2
cat out1 >text1 &
cat out2 >text2 &
start ckpt_launch -p "$PORT" cat <in1 >out1 2>>"$STORY_DIR/err"
echo one >&"$hold1"
await_line text1 one
checkpoint; kill_all
start ckpt_restart -p "$PORT" "$CKPTDIR" <in2 >out2 2>>"$STORY_DIR/restart.err"
echo two >&"$hold2"
await_line text2 two
check_fails grep two text1
ask -k
wait_job
