# SPDX-License-Identifier: MIT
# The folders of a file that was open for writing come back with it, as on
# another machine or after /tmp has been cleaned. A restart that fails leaves
# none behind.
# run-as: user root
mkdir -p "a folder/of its"
# shellcheck disable=SC2016 # the inner shell's
mkfifo never
launch bash -c 'exec 3>"a folder/of its/log"
	echo before >&3
	echo ready
	until [ -e gate ]; do read -rt 0.05 _ <>never || :; done
	echo after >&3'
await_output '^ready'
checkpoint; kill_all
mv "a folder" away
if [ "$(id -u)" -ne 0 ]; then
	restart --capsule never # which only root can
	expect_exit 99
	[ ! -e "a folder" ] || fail "a failed restart has left a folder"
fi
restart; await_running
expect_file "$STORY_DIR/restart.err" 'folder .*/a folder/of its was gone; it has been made again'
: >gate
expect_exit 0
[ "$(cat "a folder/of its/log")" = $'before\nafter' ] || fail "the log is wrong"
