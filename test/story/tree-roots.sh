# SPDX-License-Identifier: MIT
# Programs launched separately into one computation come back together.
# ckpt_restart stands for the one that was launched first: it ends with that,
# and the other lives on; also when that has been restarted before.
# run-as: user root
mkfifo go-one go-two
ln -s "$PWD/go-one" "$PWD/go-two" "$STORY_DIR"
go() {
	bounded bash -c 'exec 9>"$1"' _ "go-$1"
}
launch tree-roots one 11; await one
launch tree-roots two 22; await two
checkpoint; expect_said '4 processes'
kill_all
restart; await_running
checkpoint; expect_said '4 processes'
kill_all
restart; await_running
go one; await 'one ends'
expect_exit 11
[ "$(status_field processes)" = 2 ] || fail "the other program has gone"
checkpoint; expect_said '2 processes'
go two
bounded bash -c 'while read -r word; do [ "$word" != "two ends" ] || exit 0; done' <&"$EVENTS"
