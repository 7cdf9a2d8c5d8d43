# SPDX-License-Identifier: MIT
# So many TCP connections between two hosts: how long checkpoints and a restart
# take. BENCH="CONNECTIONS CHECKPOINTS"; run.py starts it like a story.
read -r count times <<<"$BENCH"
hosts a b
start_coordinator_on a
launch_bench() { # host, arguments
	local name=$1

	shift
	start "$STORY_DIR/on" "$name" ckpt_launch -h a -p "$PORT" -j \
		"$CKPT_BUILD/test/bench/connections" "$@" </dev/null \
		>"$STORY_DIR/out-$name" 2>>"$STORY_DIR/err"
}
await_line() { # host, awk condition
	until awk "$2 { found = 1 } END { exit !found }" "$STORY_DIR/out-$1"; do
		sleep 0.005
	done
}
for name in a b; do
	: >"$STORY_DIR/out-$name"
	chown "$STORY_USER:$STORY_USER" "$STORY_DIR/out-$name"
done
launch_bench a "$count" 5000
launch_bench b "$count" 5000 10.77.0.1
await_line a '/^ready/'
await_line b '/^ready/'
reports=
for ((i = 0; i < times; i++)); do
	reports+="${reports:+,}$(ask --json -c | tail -n 1)"
done
kill_all
began=$(date +%s%N)
restart_on a --hosts a,b
await_line a "/^gap/ && \$3 > $began"
await_line b "/^gap/ && \$3 > $began"
ended=$(awk '/^gap/ { print $3 }' "$STORY_DIR/out-a" "$STORY_DIR/out-b" |
	awk -v began="$began" '$1 > began && $1 > last { last = $1 }
		END { printf "%.0f", (last - began) / 1e6 }')
echo "{\"checkpoints\": [$reports], \"restart_ms\": $ended}" \
	>"$STORY_DIR/result"
kill_all
