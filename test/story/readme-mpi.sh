# SPDX-License-Identifier: MIT
# The commands of README.md, "MPI jobs", as they stand there.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv mpicc.mpich mpiexec.mpich mpicc.openmpi mpirun.openmpi
hosts a b
[ -f "$CKPT_SOURCE/README.md" ] || skip "README.md is not here"
for kind in mpich openmpi; do
	files=("$CKPT_SOURCE/test/real/mpi/halo.c")
	[ $kind = openmpi ] || files+=("$CKPT_SOURCE/test/real/mpi/mpich-end.c")
	"mpicc.$kind" -O2 -w -o "$kind" "${files[@]}" ||
		skip "$kind cannot build a program here"
done
# Both are installed: the names without an ending are those that README means.
mkdir bin
printf '#!/bin/sh\nexec mpiexec.mpich "$@"\n' >bin/mpiexec
printf '#!/bin/sh\nexec mpirun.openmpi "$@"\n' >bin/mpirun
cat >program <<'SCRIPT'
#!/bin/sh
[ -z "$OMPI_COMM_WORLD_RANK" ] || exec ./openmpi gate
exec ./mpich gate
SCRIPT
chmod +x bin/* program
chown -R "$STORY_USER" .
export PATH="$PWD/bin:$PATH"

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
