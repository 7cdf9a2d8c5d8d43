# SPDX-License-Identifier: MIT
# script(1) with a shell in it goes on recording, on the same terminal.
# run-as: user root
# needs: script
mkfifo keys
exec {keys}<>keys
start_coordinator
export PS1='> '
start ckpt_launch -p "$PORT" script -qefc 'bash --norc --noprofile' typescript \
	<keys >screen 2>&1
echo 'tty; x=kept; stty cols 77; echo begun' >&"$keys"
await_line screen '^begun'
terminal=$(grep -ao '/dev/pts/[0-9]*' screen)
checkpoint
echo 'echo "on $x"' >&"$keys"
await_line screen 'on kept'
checkpoint; kill_all
start ckpt_restart -p "$PORT" "$CKPTDIR" <keys >restarted 2>&1
await_running
echo 'tty; stty size; echo "again $x"; cat /dev/tty & wait; jobs; exit 7' >&"$keys"
await_line screen 'again kept'
await_line screen 'Stopped.*cat'
expect_exit 7
[ "$(grep -ao '/dev/pts/[0-9]*' screen)" = "$terminal
$terminal" ] || fail "another terminal than $terminal"
expect_file typescript 'on kept'
expect_file typescript 'again kept'
expect_file typescript ' 77'
