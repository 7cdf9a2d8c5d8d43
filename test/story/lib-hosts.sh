# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Hosts for stories, made of namespaces: each has its own network (joined by a
# bridge), host name, pids, IPC, shared memory, runtime folder and sshd; the rest
# of the file system is shared, as on a cluster. A story says
#
#	# run-as: root
#	# unshare: --mount --net --pid --fork --kill-child
#	# needs: ip sshd ssh nsenter setpriv
#	hosts a b c
#	on a ckpt_launch ...		as an ordinary user
#
# and all of it ends with the story, whose own namespaces hold it. Addresses
# are 10.77.0.1, .2 ... in the order of the names; and fd77::1, ::2 ..., of a-6,
# b-6 ...

# -g: we are read inside a function.
declare -gA HOST_PID HOST_ADDRESS
HOST_NAMES=()
SSH_PORT=2022

# Names and numbers that programs look up: ours in a mount namespace of ours.
host_files() {
	local name number=0

	mkdir -p "$STORY_DIR/etc"
	grep -v "^story:" /etc/passwd >"$STORY_DIR/etc/passwd"
	echo "story:x:$STORY_USER:$STORY_USER::$STORY_DIR/home:/bin/bash" \
		>>"$STORY_DIR/etc/passwd"
	echo "127.0.0.1 localhost" >"$STORY_DIR/etc/hosts"
	for name; do
		number=$((number + 1))
		HOST_ADDRESS[$name]=10.77.0.$number
		echo "${HOST_ADDRESS[$name]} $name" >>"$STORY_DIR/etc/hosts"
		echo "fd77::$number $name-6" >>"$STORY_DIR/etc/hosts"
	done
	# There is nobody to ask for names.
	sed 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf \
		>"$STORY_DIR/etc/nsswitch.conf"
	chmod -R a+rX "$STORY_DIR/etc"
	for name in passwd hosts nsswitch.conf; do
		mount --bind "$STORY_DIR/etc/$name" "/etc/$name" ||
			skip "bind mounts are not allowed here"
	done
}

# One key for all: everybody is the same user.
host_keys() {
	local folder=$STORY_DIR/home/.ssh

	mkdir -p "$folder"
	ssh-keygen -q -t ed25519 -N '' -f "$folder/id"
	ssh-keygen -q -t ed25519 -N '' -f "$folder/host"
	cp "$folder/id.pub" "$folder/authorized_keys"
	cat >"$folder/config" <<-CONFIG
		Host *
		Port $SSH_PORT
		IdentityFile "$folder/id"
		UserKnownHostsFile /dev/null
		StrictHostKeyChecking no
		BatchMode yes
		LogLevel ERROR
	CONFIG
	chmod 700 "$folder"
	chmod 600 "$folder"/*
}

# The user's way onto a host: "on NAME COMMAND...". A script, so that it can
# be started as a job.
host_entry() {
	cat >"$STORY_DIR/on" <<-'SCRIPT'
		#!/bin/bash
		here=$(dirname "$0")
		name=$1
		shift
		read -r pid user <"$here/host-$name" || exit 99
		export XDG_RUNTIME_DIR=/run/story
		export STORY_DIR="$here/at-$name"
		exec nsenter -t "$pid" --net --uts --ipc --pid --mount --wd=. \
			setpriv --reuid "$user" --regid "$user" --clear-groups \
			--inh-caps=-all "$@"
	SCRIPT
	chmod 755 "$STORY_DIR/on"
}

on() {
	"$STORY_DIR/on" "$@"
}

host_start() { # name
	local name=$1 fifo=$STORY_DIR/host-ready word outer

	[ -p "$fifo" ] || mkfifo "$fifo"
	mkdir -p "$STORY_DIR/run/$name"
	chmod 700 "$STORY_DIR/run/$name"
	(
		close_others
		exec unshare --net --uts --ipc --pid --mount --mount-proc \
			--fork --kill-child bash -c '
			hostname "$1"
			ip link set lo up
			mount -t tmpfs tmpfs /run && mkdir /run/story &&
			mount -t tmpfs tmpfs /dev/shm &&
			mount --bind "$2" /run/story && echo ready >"$3"
			exec "$4" 100000 sleep infinity' _ \
			"$name" "$STORY_DIR/run/$name" "$fifo" \
			"$CKPT_BUILD/test/story/nursery"
	) </dev/null >>"$STORY_DIR/hosts.log" 2>&1 &
	outer=$!
	# Both ends: or it would wait for ever where unshare is refused.
	exec 8<>"$fifo"
	IFS= read -r -t "$PATIENCE" word <&8 || :
	[ "${word-}" = ready ] ||
		skip "no namespaces for a host: $(tail -n 1 "$STORY_DIR/hosts.log")"
	exec 8>&-
	HOST_PID[$name]=$(tr -d ' ' <"/proc/$outer/task/$outer/children")
	echo "${HOST_PID[$name]} $STORY_USER" >"$STORY_DIR/host-$name"
	mkdir -p "$STORY_DIR/at-$name"
	[ -p "$STORY_DIR/at-$name/resume" ] ||
		mkfifo "$STORY_DIR/at-$name/resume"
	ln -sfn ../events "$STORY_DIR/at-$name/events"
	chown "$STORY_USER:$STORY_USER" "$STORY_DIR/run/$name" \
		"$STORY_DIR/at-$name"{,/resume}
}

host_wire() { # name
	local name=$1 pid=${HOST_PID[$1]}

	# A host that comes back is known by its old hardware address.
	ip link add "to-$name" type veth peer name eth0 netns "$pid" \
		address "02:77:0:0:0:${HOST_ADDRESS[$name]##*.}"
	ip link set "to-$name" master wire up
	nsenter -t "$pid" --net ip address add "${HOST_ADDRESS[$name]}/24" \
		dev eth0
	nsenter -t "$pid" --net ip address add \
		"fd77::${HOST_ADDRESS[$name]##*.}/64" nodad dev eth0
	nsenter -t "$pid" --net ip link set eth0 up
}

host_sshd() { # name
	local name=$1

	cat >"$STORY_DIR/sshd-$name" <<-CONFIG
		Port $SSH_PORT
		HostKey "$STORY_DIR/home/.ssh/host"
		AuthorizedKeysFile "$STORY_DIR/home/.ssh/authorized_keys"
		StrictModes no
		UsePAM no
		PidFile none
		MaxStartups 200
		SetEnv "XDG_RUNTIME_DIR=/run/story" "STORY_DIR=$STORY_DIR/at-$name" "CKPT_BUILD=$CKPT_BUILD" "PATH=$PATH"
	CONFIG
	on "$name" "$(type -P sshd)" -f "$STORY_DIR/sshd-$name" \
		-E "$STORY_DIR/sshd-$name.log" ||
		fail "sshd on $name: $(cat "$STORY_DIR/sshd-$name.log")"
	# It goes to the background before it listens.
	# shellcheck disable=SC2016 # the inner shell's
	bounded "$STORY_DIR/on" "$name" bash -c '
		until : </dev/tcp/127.0.0.1/"$1"; do :; done 2>/dev/null' _ \
		"$SSH_PORT" || fail "sshd on $name does not answer"
}

# A host with all its processes is gone from one moment to the next.
host_dies() { # name
	say "host $1 dies"
	ip link delete "to-$1"
	kill -KILL "${HOST_PID[$1]}"
}

host_returns() { # name
	say "host $1 comes back"
	host_start "$1"
	host_wire "$1"
	host_sshd "$1"
}

# By hosts of lib.sh.
hosts_make() {
	local name

	[ -n "${STORY_USER-}" ] || skip "hosts need a user for their programs"
	mount -t proc proc /proc || skip "no /proc can be mounted here"
	HOST_NAMES=("$@")
	host_files "$@"
	host_keys
	host_entry
	ip link set lo up
	ip link add wire type bridge 2>/dev/null ||
		skip "network bridges are not allowed here"
	ip address add 10.77.0.254/24 dev wire
	ip link set wire up
	mkdir -p "$STORY_DIR"/{home,work,tmp}
	chown -R "$STORY_USER:$STORY_USER" "$STORY_DIR"/{home,work,tmp}
	chown "$STORY_USER:$STORY_USER" "$STORY_DIR" "$STORY_DIR"/{events,resume}
	if [[ $CKPTDIR == "$STORY_DIR"/* ]]; then
		mkdir -p "$CKPTDIR"
		chown "$STORY_USER:$STORY_USER" "$CKPTDIR"
	fi
	chmod 711 "$STORY_DIR/run"
	for name in out err restart.out restart.err; do
		: >"$STORY_DIR/$name"
		chown "$STORY_USER:$STORY_USER" "$STORY_DIR/$name"
	done
	for name; do
		host_start "$name"
		host_wire "$name"
		host_sshd "$name"
	done
}

# A coordinator on a host, that the others can reach.
start_coordinator_on() { # name [OPTION...]
	local name=$1

	shift
	COORDINATOR=$name
	rm -f "$STORY_DIR/port"
	bounded "$STORY_DIR/on" "$name" ckpt_coordinator --daemon \
		--port "${FIXED_PORT-0}" --bind 0.0.0.0 \
		--port-file "$STORY_DIR/port" -d "$CKPTDIR" \
		--log "$STORY_DIR/coordinator.log" "$@" </dev/null \
		>>"$STORY_DIR/coordinator.out" 2>&1 ||
		fail "ckpt_coordinator on $name: $(cat "$STORY_DIR/coordinator.out")"
	PORT=$(cat "$STORY_DIR/port")
}

# As lib.sh's, but asked on the coordinator's host.
ask() {
	bounded "$STORY_DIR/on" "$COORDINATOR" ckpt_command -p "$PORT" "$@"
}

# launch_on NAME APP [ARG...]: a job on that host.
launch_on() {
	local name=$1 program

	program=$(app_path "$2")
	shift 2
	say "launch $program $* on $name"
	# shellcheck disable=SC2086 # options are words
	start "$STORY_DIR/on" "$name" ckpt_launch -h "$COORDINATOR" -p "$PORT" \
		-j ${LAUNCH_OPTIONS-} "$program" "$@" \
		<"${STDIN-/dev/null}" >>"$STORY_DIR/out" 2>>"$STORY_DIR/err"
}

# The program that was launched on that host goes on.
resume_on() {
	say "resume on $1"
	# shellcheck disable=SC2016 # the inner shell's
	bounded bash -c 'exec 9>"$1"' _ "$STORY_DIR/at-$1/resume" ||
		fail "the program of $1 does not resume"
}

# restart_on NAME [OPTION...]
restart_on() {
	local name=$1

	shift
	say "restart on $name $*"
	start "$STORY_DIR/on" "$name" ckpt_restart -h "$COORDINATOR" \
		-p "$PORT" "$@" "${RESTART_DIR-$CKPTDIR}" \
		<"${STDIN-/dev/null}" \
		>>"$STORY_DIR/restart.out" 2>>"$STORY_DIR/restart.err"
}

# README's ./program, of either MPI, with both installed: the launchers' names
# without an ending are those that README means.
mpi_pair() {
	local kind files

	mkdir -p bin
	for kind in openmpi mpich; do
		files=("$CKPT_SOURCE/test/real/mpi/halo.c")
		[ $kind = openmpi ] ||
			files+=("$CKPT_SOURCE/test/real/mpi/mpich-end.c")
		"mpicc.$kind" -O2 -w -o "$kind" "${files[@]}" ||
			skip "$kind cannot build a program here"
	done
	printf '#!/bin/sh\nexec mpiexec.mpich "$@"\n' >bin/mpiexec
	printf '#!/bin/sh\nexec mpirun.openmpi "$@"\n' >bin/mpirun
	cat >program <<-'SCRIPT'
		#!/bin/sh
		[ -z "$OMPI_COMM_WORLD_RANK" ] || exec ./openmpi gate
		exec ./mpich gate
	SCRIPT
	chmod +x bin/* program
	chown -R "$STORY_USER" .
	export PATH="$PWD/bin:$PATH"
}
