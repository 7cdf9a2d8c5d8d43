#!/bin/bash
# SPDX-License-Identifier: MIT
# A shell with background jobs, traps, subshells, here-documents and
# pipelines, in rounds until the gate file exists. Files of one round are not
# touched in later ones, which may come between a checkpoint and the end.
set -u
gate=$1 folder=$2
rounds=0 traps=0
trap 'traps=$((traps + 1))' USR1
while [ "$rounds" -lt 5 ] || [ ! -e "$gate" ]; do
	for n in 1 2 3; do
		(
			trap 'exit 1' TERM
			read -r -t 0.02 <>"$folder/never"
			echo $((n * n)) >"$folder/job-$n-$rounds"
			exit "$n"
		) &
		pids[n]=$!
	done
	kill -USR1 $$
	lines=$(seq 200 | grep 7 | sort -r | (while read -r l; do echo "<$l>"; done) | wc -l)
	[ "$lines" = 38 ] || { echo "WRONG: $lines lines"; exit 1; }
	for n in 1 2 3; do
		wait "${pids[n]}"
		status=$?
		[ "$status" = "$n" ] || { echo "WRONG: job $n ended with $status"; exit 1; }
		[ "$(<"$folder/job-$n-$rounds")" = $((n * n)) ] || { echo "WRONG: job $n"; exit 1; }
	done
	text=$(cat <<END
round $rounds
END
	)
	[ "$text" = "round $rounds" ] || { echo "WRONG: $text"; exit 1; }
	rounds=$((rounds + 1))
	[ "$rounds" -ne 5 ] || echo ready
done
[ "$traps" = "$rounds" ] || { echo "WRONG: $traps traps in $rounds rounds"; exit 1; }
echo "done rounds=$rounds ok"
