# SPDX-License-Identifier: MIT
# ssh inside a computation puts the remote command into it, and behaves as ssh:
# options, quoting, the three streams, exit status; no ssh stays.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
cat >"$STORY_DIR/calls" <<'SCRIPT'
try() { "$@"; echo "= $?"; }
try ssh b hostname
try ssh -x -T -p 2022 -o LogLevel=QUIET story@b 'exit 7'
try ssh b -q 'echo "two  blanks" $((1 + 1)) "it'\''s"; echo error >&2'
try ssh b echo a   b
printf 'line 1\nline 2' | try ssh b cat
printf 'not read' | try ssh -n b wc -c
try ssh b 'kill -TERM $$'
try ssh nowhere true
head -c 3000000 /dev/zero | ssh b 'cat; echo end >&2' | md5sum
ssh b yes | head -n 2
ln -sf "$(command -v ssh)" "$STORY_DIR/myssh"
export CKPT_REMOTE_SHELLS=rsh:myssh
[ "$(ssh b 'echo $CKPT_COMPUTATION')" = "" ] && echo outside
[ "$("$STORY_DIR/myssh" b 'echo $CKPT_COMPUTATION')" = "$CKPT_COMPUTATION" ] &&
	echo inside
unset CKPT_REMOTE_SHELLS
ssh b 'echo remote; read line; echo "got $line"; exit 5' <"$STORY_DIR/late"
echo "= $?"
SCRIPT
mkfifo "$STORY_DIR/at-a/late"
chown "$STORY_USER" "$STORY_DIR/at-a/late"
launch_on a bash "$STORY_DIR/calls"
exec {LATE}<>"$STORY_DIR/at-a/late"
await_output '^remote'
expect_status host_groups 2
check [ -z "$(story_pids ssh)" ]
checkpoint
expect_said '4 processes'
on a ckpt_command -p "$PORT" -l >&2
kill_all
STDIN=$STORY_DIR/at-a/late restart_on a --hosts a,b
await_running
echo word >"$STORY_DIR/at-a/late"
expect_exit 0
cat >"$STORY_DIR/expected" <<EXPECTED
b
= 0
= 7
two  blanks 2 it's
= 0
a b
= 0
line 1
line 2= 0
0
= 0
= 255
= 255
$(head -c 3000000 /dev/zero | md5sum)
y
y
outside
inside
remote
got word
= 5
EXPECTED
check diff "$STORY_DIR/expected" "$STORY_DIR/out"
check [ "$(grep -c '^error$\|^end$' "$STORY_DIR/err")" -eq 2 ]
