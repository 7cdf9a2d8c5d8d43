# SPDX-License-Identifier: MIT
# A program at a terminal goes on at the terminal where it is restarted.
# needs: script
mkfifo keys1 keys2
exec {keys1}<>keys1 {keys2}<>keys2
start_coordinator
script -qefc "ckpt_launch -p $PORT '$CKPT_BUILD/test/app/terminal'" \
	typescript <keys1 >screen1 2>&1 &
JOB=$!
await ready
checkpoint; kill_all
script -qefc "ckpt_restart -p $PORT '$CKPTDIR'" \
	typescript <keys2 >screen2 2>&1 &
JOB=$!
resume
await listening
echo hello >&"$keys2"
await_line screen2 'got hello'
printf '\003' >&"$keys2"
expect_exit 42
expect_file screen2 interrupted
