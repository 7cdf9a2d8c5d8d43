# shellcheck shell=bash disable=SC2119,SC2120 # options are the story's to add
# SPDX-License-Identifier: MIT
#
# What a story can say. test/story/run starts a story in a shell of its own
# with this file read first; so a story is nothing but its sentences:
#
#	launch counter; await ready
#	checkpoint; kill_all; restart; resume
#	expect_exit 0
#
# It stands in its own folder $STORY_DIR (with a space in its name), with its
# own HOME, runtime folder and coordinator. Every wait has a deadline and no
# process is left behind (nursery.c). Directives, in comments at its head:
#
#	# run-as: user root	who runs it; default: user
#	# needs: python3 gcc	programs without which it is skipped
#	# timeout: 120		seconds for the whole story; default 120
#	# alone			not beside others (memory, timing)

set -uo pipefail
set -E

# Seconds that a single step may take.
PATIENCE=${STORY_PATIENCE:-60}
JOB=
WORD=
HEARD=
CKPTDIR=$STORY_DIR/ckpts

fail() {
	trap - ERR
	echo "FAIL: $*" >&2
	echo "  at: $(caller 0)" >&2
	exit 1
}

skip() {
	trap - ERR
	echo "SKIP: $*" >&2
	exit 77
}

trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

say() {
	echo "--- $*" >&2
}

# A command must succeed / must fail; what it says stands in "said".
check() {
	"$@" || fail "check $*"
}

check_fails() {
	local status=0

	"$@" >"$STORY_DIR/said" 2>&1 || status=$?
	cat "$STORY_DIR/said" >&2
	[ "$status" -ne 0 ] || fail "should have failed: $*"
	[ "$status" -ne 124 ] || fail "took over $PATIENCE s: $*"
}

# The last check_fails or refused checkpoint said this (a regular expression).
expect_said() {
	grep -Eq -- "$1" "$STORY_DIR/said" ||
		fail "expected to be told /$1/, but: $(cat "$STORY_DIR/said")"
}

expect_file() {
	grep -Eq -- "$2" "$1" || fail "no /$2/ in $1"
}

bounded() {
	timeout --kill-after=5 "$PATIENCE" "$@"
}

# ---- the coordinator

start_coordinator() {
	rm -f "$STORY_DIR/port"
	bounded ckpt_coordinator --daemon --port 0 \
		--port-file "$STORY_DIR/port" -d "$CKPTDIR" \
		--log "$STORY_DIR/coordinator.log" "$@" </dev/null \
		>>"$STORY_DIR/coordinator.out" 2>&1 ||
		fail "ckpt_coordinator does not start: $(cat "$STORY_DIR/coordinator.out")"
	PORT=$(cat "$STORY_DIR/port")
	[ -n "$PORT" ] || fail "the port file is empty"
}

ask() {
	bounded ckpt_command -p "$PORT" "$@"
}

# ---- the job: what launch or restart started last

# launch APP [ARG...]: a program of test/app or test/real, or any command.
# LAUNCH_OPTIONS are for ckpt_launch. Its output goes to "out" and "err".
launch() {
	local program

	[ -n "${PORT-}" ] || start_coordinator
	program=$(app_path "$1")
	shift
	say "launch $program $*"
	# shellcheck disable=SC2086 # options are words
	start ckpt_launch -p "$PORT" ${LAUNCH_OPTIONS-} "$program" "$@" \
		<"${STDIN-/dev/null}" >>"$STORY_DIR/out" 2>>"$STORY_DIR/err"
}

# The job, with none of the story's own descriptors.
start() {
	# <&0: or bash would give it /dev/null, in the background.
	(
		close_others
		exec "$@"
	) <&0 &
	JOB=$!
}

close_others() {
	local fd

	for fd in "/proc/$BASHPID/fd"/*; do
		fd=${fd##*/}
		[ "$fd" -le 2 ] || exec {fd}>&-
	done
}

app_path() {
	local folder

	for folder in app real; do
		if [ -x "$CKPT_BUILD/test/$folder/$1" ]; then
			echo "$CKPT_BUILD/test/$folder/$1"
			return
		fi
		if compgen -G "$CKPT_SOURCE/test/$folder/$1.c*" >/dev/null; then
			echo "SKIP: $1 could not be built here" >&2
			echo /nonexistent/unbuilt
			return
		fi
	done
	echo "$1"
}

job_runs() {
	local state

	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' \
		"/proc/$JOB/status" 2>/dev/null) || return 1
	[ -n "$state" ] && [ "$state" != Z ]
}

# A word that the program says (story_say) or has begun to say, in WORD; fails
# after so many seconds without. What a read that is out of time has got is not
# to be lost, be it the line without its end.
hear() { # seconds
	local line=

	if IFS= read -r -t "$1" line <&"$EVENTS"; then
		WORD=$HEARD$line
		HEARD=
		return 0
	fi
	HEARD+=$line
	WORD=$HEARD
	return 1
}

# The program has said the word.
await() {
	local deadline=$((SECONDS + PATIENCE))

	while [ "$SECONDS" -lt "$deadline" ]; do
		hear 1 || job_runs || hear 0.1 || :
		if [ "$WORD" = "$1" ]; then
			HEARD=
			return 0
		fi
		[ -n "$WORD" ] || job_runs ||
			fail "the program ended before it said '$1'"
		WORD=
	done
	fail "waited $PATIENCE s for '$1'"
}

# A line that matches stands, or comes to stand, in a file of the story.
await_line() {
	local file=$1 pattern=$2 watcher status=0

	: >>"$file"
	exec {LINES_FD}< <(exec timeout "$PATIENCE" tail -n +1 -F "$file" 2>/dev/null)
	watcher=$!
	grep -Eq -m1 -- "$pattern" <&"$LINES_FD" || status=$?
	kill "$watcher" 2>/dev/null || :
	exec {LINES_FD}<&-
	[ "$status" -eq 0 ] || fail "no line /$pattern/ in $file within $PATIENCE s"
}

await_output() {
	await_line "$STORY_DIR/out" "$1"
}

# The program's story_wait() returns. Opening is a rendezvous: this returns
# when the program has got there.
resume() {
	say resume
	# shellcheck disable=SC2016 # the inner shell's
	bounded bash -c 'exec 9>"$1"' _ "$STORY_DIR/resume" ||
		fail "the program does not resume"
}

checkpoint() {
	say "checkpoint $*"
	ask -c "$@" >"$STORY_DIR/said" 2>&1 || {
		cat "$STORY_DIR/said" >&2
		fail "the checkpoint failed"
	}
	cat "$STORY_DIR/said" >&2
}

# The checkpoint is refused or aborted; expect_said tells for what reason.
checkpoint_fails() {
	say "a checkpoint that must fail: $*"
	check_fails ask -c "$@"
}

kill_all() {
	say kill
	ask -k >&2 || fail "ckpt_command -k"
	wait_job >/dev/null
}

# restart [OPTION...]; RESTART_DIR when it is another folder than CKPTDIR.
restart() {
	say "restart $*"
	[ -n "${PORT-}" ] || start_coordinator
	start ckpt_restart -p "$PORT" "$@" "${RESTART_DIR-$CKPTDIR}" <"${STDIN-/dev/null}" \
		>>"$STORY_DIR/restart.out" 2>>"$STORY_DIR/restart.err"
}

# Its exit status, as $? tells it; fails when it does not come.
wait_job() {
	local timer late='' status=0

	# wait -n would not know a job that has ended before.
	trap 'late=1' USR1
	(
		trap 'kill "$sleeper"; exit' TERM
		sleep "$PATIENCE" &
		sleeper=$!
		wait "$sleeper" && kill -USR1 $$
	) 2>/dev/null &
	timer=$!
	{ wait "$JOB"; } 2>/dev/null || status=$?
	kill "$timer" 2>/dev/null || :
	[ -z "$late" ] || fail "the program does not end within $PATIENCE s"
	echo "$status"
}

# survives APP [ARG...], for programs with twice.h: checkpointed and going on,
# then checkpointed, killed and restarted, they find everything as it was.
survives() {
	launch "$@"; await ready
	checkpoint; resume; await ready
	checkpoint; kill_all; restart; resume
	expect_exit 0
}

expect_exit() {
	local status

	wait_job >"$STORY_DIR/status"
	status=$(cat "$STORY_DIR/status")
	[ "$status" = "$1" ] || fail "exit status $status instead of $1"
}

expect_signal() {
	expect_exit $((128 + $(kill -l "$1")))
}

# One field of the coordinator's state.
status_field() {
	ask --json -s | sed -n "s/.*\"$1\": *\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"
}

expect_status() {
	local value

	value=$(status_field "$1")
	[ "$value" = "$2" ] || fail "status: $1 is '$value' instead of '$2'"
}

# ---- for programs of test/real: they print "ready", work until the file
# "gate" exists and end with "done ... ok".

# play PROGRAM [ARG...]: checkpoint and continue, then two full cycles.
# GATE in the arguments stands for the gate file, WORK for a folder.
play() {
	local words=() word cycle

	mkdir -p "$STORY_DIR/files"
	for word; do
		case $word in
		GATE) words+=("$STORY_DIR/gate") ;;
		WORK) words+=("$STORY_DIR/files") ;;
		*) words+=("$word") ;;
		esac
	done
	launch "${words[@]}"
	await_output '^ready'
	checkpoint
	job_runs || fail "the program did not survive the checkpoint"
	for cycle in 1 2; do
		say "cycle $cycle"
		checkpoint
		kill_all
		restart
		await_running
	done
	: >"$STORY_DIR/gate"
	# It computes all again, which may take as long as all has taken.
	PATIENCE=$((PATIENCE * 4))
	expect_exit 0
	expect_file "$STORY_DIR/out" '^done.* ok$'
}

# SIGKILL, and back when there is nothing left of it.
kill_now() {
	kill -KILL "$1"
	bounded tail --pid="$1" -f /dev/null
}

# The restarted job runs: the coordinator says so.
await_running() {
	local deadline=$((SECONDS + PATIENCE))

	while [ "$SECONDS" -lt "$deadline" ]; do
		[ "$(status_field running)" != true ] || return 0
		job_runs || fail "the restart failed: $(cat "$STORY_DIR/restart.err")"
	done
	fail "the restarted job does not run within $PATIENCE s"
}

# The pids of this story's processes that run that program of ours, whoever
# their parent is by now: all of them stand below the nursery.
story_pids() { # program
	local pid

	while read -r pid; do
		[ "$(basename "$(readlink "/proc/$pid/exe" || :)")" != "$1" ] ||
			echo "$pid"
	done < <(descendants "$PPID")
}

descendants() {
	local child

	# shellcheck disable=SC2013 # they are words
	for child in $(cat "/proc/$1"/task/*/children 2>/dev/null || :); do
		echo "$child"
		descendants "$child"
	done
}

# Committed generations, oldest first.
generations() {
	local manifest

	for manifest in "$CKPTDIR"/*/gen-*/manifest.json; do
		[ -e "$manifest" ] || continue
		basename "$(dirname "$manifest")"
	done
}

# What a failed checkpoint must not leave: a generation without manifest.
expect_nothing_partial() {
	local folder

	for folder in "$CKPTDIR"/*/gen-*; do
		[ ! -d "$folder" ] || [ -e "$folder/manifest.json" ] ||
			fail "left behind: $(find "$folder")"
	done
}

need() {
	local program

	for program; do
		type -P "$program" >/dev/null || skip "$program is missing"
	done
}

# Several hosts: see lib-hosts.sh.
hosts() {
	# shellcheck disable=SC1091 # checked by itself
	. "$CKPT_SOURCE/test/story/lib-hosts.sh"
	hosts_make "$@"
}

slurm() {
	# shellcheck disable=SC1091 # checked by itself
	. "$CKPT_SOURCE/test/story/lib-slurm.sh"
	slurm_make "$@"
}

# ---- the story itself

mkdir -p "$STORY_DIR"/{home,work,run,tmp}
chmod 700 "$STORY_DIR/run"
mkfifo "$STORY_DIR/events" "$STORY_DIR/resume"
exec {EVENTS}<>"$STORY_DIR/events"
cd "$STORY_DIR/work" || exit 1
# shellcheck disable=SC1090 # whichever story
. "$STORY"
