# SPDX-License-Identifier: MIT
# Many launches at once find one coordinator, also one that is just ending
# with the computation before.
export CKPT_PORT_FILE=$STORY_DIR/many
for round in 1 2 3; do
	pids=()
	for _ in 1 2 3 4 5 6; do
		ckpt_launch sh -c 'exit 5' </dev/null &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		status=0; wait "$pid" || status=$?
		[ "$status" = 5 ] || fail "round $round: exit status $status"
	done
done
