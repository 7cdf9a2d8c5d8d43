# SPDX-License-Identifier: MIT
# tmux with a shell in one window and vim in the other, typed at before the
# checkpoint and after the restart.
# run-as: user root
# needs: tmux vim
export PS1='> ' TERM=screen
unset TMUX
socket=$STORY_DIR/tmp/tmux
tm() { bounded tmux -S "$socket" -f /dev/null "$@"; }
shown() { # window, what its screen shows within the time
	local deadline=$((SECONDS + PATIENCE))

	until tm capture-pane -p -t "$1" | grep -Eq -- "$2"; do
		[ "$SECONDS" -lt "$deadline" ] ||
			fail "window $1 does not show /$2/: $(tm capture-pane -p -t "$1")"
	done
}
runs() { # window, the program in its foreground
	local deadline=$((SECONDS + PATIENCE))

	until [ "$(tm display-message -p -t "$1" '#{pane_current_command}')" = "$2" ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "window $1 does not run $2"
	done
}
looks() { tm capture-pane -p -t "$1"; }

start_coordinator
start ckpt_launch -p "$PORT" tmux -S "$socket" -f /dev/null -D \
	</dev/null >out 2>&1
until [ -S "$socket" ]; do
	job_runs || fail "tmux has ended: $(cat out)"
done
tm new-session -d -s s -n shell -x 90 -y 30 'bash --norc --noprofile'
tm new-window -t s: -n editor 'vim -u NONE -N -n text'
tm send-keys -t s:shell 'tty; x=kept; sleep 1000 & jobs' Enter
shown s:shell 'Running.*sleep'
tm send-keys -t s:editor 'iwritten before' Enter 'half a li'
shown s:editor 'half a li'
shell=$(looks s:shell) editor=$(looks s:editor)
checkpoint
[ "$(looks s:shell)" = "$shell" ] || fail "the shell's window has changed"
tm send-keys -t s:editor 'ne'
shown s:editor 'half a line'
editor=$(looks s:editor)
checkpoint; kill_all
start ckpt_restart -p "$PORT" "$CKPTDIR" </dev/null >restarted 2>&1
await_running
[ "$(looks s:shell)" = "$shell" ] || fail "the shell's window has changed: $(looks s:shell)"
[ "$(looks s:editor)" = "$editor" ] || fail "vim's window has changed: $(looks s:editor)"
tm send-keys -t s:editor ' and the rest' Escape ':wq' Enter
tm send-keys -t s:shell 'clear; echo "on $x"; tty; jobs' Enter
shown s:shell 'on kept'
shown s:shell "$(grep -o '^/dev/pts/[0-9]*' <<<"$shell")"
shown s:shell 'Running.*sleep'
tm send-keys -t s:shell 'kill %1; wait; fg' Enter
shown s:shell 'no such job|current'
tm send-keys -t s:shell 'clear; cat -n' Enter
runs s:shell cat
tm send-keys -t s:shell 'line' Enter
shown s:shell '1 +line'
tm send-keys -t s:shell C-z
shown s:shell 'Stopped'
tm resize-window -t s:shell -x 71
tm send-keys -t s:shell 'fg' Enter
runs s:shell cat
tm send-keys -t s:shell 'more' Enter
shown s:shell '2 +more'
tm send-keys -t s:shell C-d
runs s:shell bash
tm send-keys -t s:shell 'clear; stty size' Enter
shown s:shell '30 71'
tm kill-server
expect_exit 0
printf 'written before\nhalf a line and the rest\n' >expected
check cmp text expected
