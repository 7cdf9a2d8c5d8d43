# SPDX-License-Identifier: MIT
# The commands of README.md, "MPI jobs", as they stand there.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv mpicc.mpich mpiexec.mpich mpicc.openmpi mpirun.openmpi
hosts a b
[ -f "$CKPT_SOURCE/README.md" ] || skip "README.md is not here"
mpi_pair

command_on_a() {
	bounded "$STORY_DIR/on" a ckpt_command "$@"
}

runs() {
	[[ $(command_on_a --json -s 2>/dev/null) == *'"running": true'* ]]
}

# Its coordinator ends after it; the next one listens elsewhere.
end() {
	wait_job >/dev/null
	while command_on_a -s >/dev/null 2>&1; do :; done
}

JOB=
lines=0
while IFS= read -r line; do
	say "$line"
	case $line in
	ckpt_command*)
		bounded "$STORY_DIR/on" a bash -c "$line" >"$STORY_DIR/said" ||
			fail "$line"
		[[ $line != *-kc* ]] || { end; JOB=; }
		;;
	*)
		[ -z "$JOB" ] || { command_on_a -kc >"$STORY_DIR/said"; end; }
		start "$STORY_DIR/on" a bash -c "$line" </dev/null \
			>>"$STORY_DIR/out" 2>>"$STORY_DIR/err"
		until runs; do
			job_runs || fail "$line: $(tail -n 3 "$STORY_DIR/err")"
		done
		[[ $line != ckpt_launch* ]] || {
			await_output '^ready'
			: >"$STORY_DIR/out"
		}
		;;
	esac
	lines=$((lines + 1))
done < <(sed -n '/^## MPI jobs/,/^## Now/{s/ *#.*//; /^ckpt_/p}' \
	"$CKPT_SOURCE/README.md")
check [ "$lines" -ge 8 ]
: >gate
expect_exit 0
expect_file "$STORY_DIR/out" '^done.* ok$'
