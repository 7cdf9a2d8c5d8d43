# SPDX-License-Identifier: MIT
# A terminal's mode is kept; the size is the new one's, and the program learns.
# needs: script stty
mkfifo keys1 keys2
exec {keys1}<>keys1 {keys2}<>keys2
start_coordinator
script -qefc "stty rows 33 cols 99; ckpt_launch -p $PORT '$CKPT_BUILD/test/app/terminal-raw'" \
	typescript <keys1 >screen1 2>&1 &
JOB=$!
await ready
checkpoint; kill_all
script -qefc "stty rows 11 cols 44; ckpt_restart -p $PORT '$CKPTDIR'" \
	typescript <keys2 >screen2 2>&1 &
JOB=$!
resume
expect_exit 0
expect_file screen2 seen
