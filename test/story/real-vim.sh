# SPDX-License-Identifier: MIT
# vim, alone on a terminal, comes back on another one of another size, and
# that is as it was when it has ended.
# run-as: user root
# needs: tmux vim
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
# (A subshell that is killed early has it still.)
trap '[ $$ != $BASHPID ] || tm kill-server 2>/dev/null' EXIT

start_coordinator
shell='bash --norc --noprofile'
(close_others; tm new-session -d -s one -x 80 -y 24 "$shell")
(close_others; tm new-session -d -s two -x 100 -y 40 "$shell")
tm send-keys -t one: "ckpt_launch -p $PORT vim -u NONE -N -n text" Enter
shown one: '^~'
tm send-keys -t one: 'ifirst' Enter 'sec'
shown one: '^sec'
checkpoint
tm send-keys -t one: 'ond'
shown one: '^second'
checkpoint; ask -k
shown one: 'Killed'
tm send-keys -t two: 'stty -g >before; stty icrnl' Enter
tm send-keys -t two: "ckpt_restart -p $PORT '$CKPTDIR'" Enter
# It has drawn as many lines as there are here.
shown two: '^second'
until [ "$(tm capture-pane -p -t two: | grep -c '^~')" -ge 36 ]; do :; done
tm send-keys -t two: ' line' Escape C-z
shown two: 'Stopped.*ckpt_restart'
tm send-keys -t two: 'clear; fg' Enter
shown two: '^second line'
tm send-keys -t two: ':wq' Enter
until [ "$(tm display-message -p -t two: '#{pane_current_command}')" = bash ]; do
	:
done
tm send-keys -t two: 'echo "status $?"' Enter
shown two: '^status 0'
tm send-keys -t two: 'stty -g >after; clear; stty size' Enter
shown two: '40 100'
printf 'first\nsecond line\n' >expected
check cmp text expected
check cmp before after
