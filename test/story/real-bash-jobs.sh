# SPDX-License-Identifier: MIT
# A shell with background jobs, subshells, a trap, a pipeline and wait goes on
# with all of them.
# needs: bash
# run-as: user root
cat >"$STORY_DIR/script" <<'SCRIPT'
set -m
trap 'echo trapped' USR1
work() {
	for ((i = 0; i < 40; i++)); do
		(exit $((i % 7)))
		sleep 0.05
	done
	return "$1"
}
work 3 & a=$!
(work 4 & wait $!) & b=$!
seq 200 | while read -r n; do sleep 0.01; echo "$n"; done | tail -n 1 >"$1/last" & c=$!
echo ready
wait $a; sa=$?
wait $b; sb=$?
wait $c
while [ ! -e "$1/gate" ]; do sleep 0.05; done
kill -USR1 $$
echo "done $sa $sb $(cat "$1/last") ok"
SCRIPT
play bash "$STORY_DIR/script" "$STORY_DIR"
expect_file "$STORY_DIR/out" '^trapped$'
expect_file "$STORY_DIR/out" '^done 3 4 200 ok$'
