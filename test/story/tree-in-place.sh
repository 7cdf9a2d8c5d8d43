# SPDX-License-Identifier: MIT
# Without a capsule the pids must be free. If one of them is not, nothing of
# the tree is left; when all are, it comes back in place.
# run-as: root
launch tree-fork 3; await ready
checkpoint
kill -KILL "$JOB"; wait_job >/dev/null
children=$(story_pids tree-fork) || :
[ -n "$children" ] || fail "nobody is left to be in the way"
restart --capsule never
expect_exit 99
expect_file "$STORY_DIR/restart.err" 'process id [0-9]+ is in use here'
[ ! -e "/proc/$JOB" ] || fail "half a job is left"
# shellcheck disable=SC2086 # they are words
[ "$(story_pids tree-fork)" = "$children" ] || fail "somebody else has come or gone"
ask -k >&2
for pid in $children; do
	bounded tail --pid="$pid" -f /dev/null
done
restart --capsule never
resume
expect_exit 0
