# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Slurm on hosts of lib-hosts.sh, the first of which has the controller. A story
# needs slurmctld, slurmd, munged and says
#
#	hosts a b; slurm a b
#	submit job.sh
#
# All of it is in /run, which is each host's own: Slurm takes no path with spaces.

export SLURM_CONF=/run/slurm/slurm.conf
SLURM_JOB=

root_on() { # name COMMAND...
	nsenter -t "${HOST_PID[$1]}" --net --uts --ipc --pid --mount --wd=. \
		"${@:2}"
}

slurm_files() { # name controller
	root_on "$1" mkdir -p /run/munge /run/slurm/{state,spool}
	root_on "$1" chmod 755 /run/munge /run/slurm
	root_on "$1" bash -c 'umask 077 && cat >/run/munge/key' \
		<"$STORY_DIR/munge.key"
	root_on "$1" bash -c 'cat >/run/slurm/slurm.conf' <<-CONF
		ClusterName=story
		SlurmctldHost=$2
		AuthType=auth/munge
		AuthInfo=socket=/run/munge/socket,cred_expire=5
		SlurmUser=root
		SlurmdUser=root
		StateSaveLocation=/run/slurm/state
		SlurmdSpoolDir=/run/slurm/spool
		SlurmctldPidFile=/run/slurm/slurmctld.pid
		SlurmdPidFile=/run/slurm/slurmd.pid
		SlurmctldLogFile=/run/slurm/slurmctld.log
		SlurmdLogFile=/run/slurm/slurmd.log
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		SelectType=select/linear
		SchedulerParameters=batch_sched_delay=0,sched_interval=1
		NodeName=$SLURM_NODES $(slurmd -C | grep -o 'CPUs=[0-9]*')
		PartitionName=all Nodes=ALL Default=YES State=UP
	CONF
}

# By slurm of lib.sh.
slurm_make() { # controller [name...]
	local name

	SLURM_NODES=$(IFS=,; echo "$*")
	(umask 077 && head -c 1024 /dev/urandom >"$STORY_DIR/munge.key")
	for name; do
		slurm_files "$name" "$1"
		root_on "$name" munged --force --socket=/run/munge/socket \
			--key-file=/run/munge/key --pid-file=/run/munge/pid \
			--log-file=/run/munge/log --seed-file=/run/munge/seed ||
			skip "munged does not start here"
	done
	root_on "$1" slurmctld || skip "Slurm does not start here"
	for name; do
		root_on "$name" slurmd || skip "Slurm does not start here"
	done
}

# The job of that script, which writes into "out".
submit() { # script
	SLURM_JOB=$(on "${HOST_NAMES[0]}" sbatch --parsable -o out "$1")
}

# Its turns before, state and exit status, in one line.
job_says() {
	on "${HOST_NAMES[0]}" scontrol show job "$SLURM_JOB" |
		grep -oE '(Restarts|JobState|ExitCode)=[^ ]*' | sort -r |
		tr '\n' ' '
}

# Slurm tells the job, in that turn, that its time is nearly over; it has its next.
next_turn() { # turn
	say "the time of turn $1 is nearly over"
	check on "${HOST_NAMES[0]}" scancel --signal=USR1 --batch "$SLURM_JOB"
	until [[ $(job_says) == *"Restarts=$1 "*RUNNING* ]]; do
		[[ $(job_says) != *@(FAILED|COMPLETED|CANCELLED)* ]] ||
			fail "the job has ended: $(job_says) $(cat out)"
	done
}

await_job() {
	until [[ $(job_says) == *COMPLETED* ]]; do
		[[ $(job_says) != *FAILED* ]] || fail "$(cat out)"
	done
}

# The job script of README.md; for MPI with the other lines, that of KIND.
readme_job() { # [KIND]
	local section

	section=$(sed -n '/^## Batch systems/,/^## Now/p' \
		"$CKPT_SOURCE/README.md")
	# shellcheck disable=SC2016 # no command
	sed -n '/^#!/,/^```/{/^```/!p}' <<<"$section" >job.sh
	[ $# -eq 0 ] || {
		# shellcheck disable=SC2016 # no command
		sed -n '/^#SBATCH --nodes/,/^```/{/^```/!p}' <<<"$section" >"more"
		check grep -q "mpi.*# .*$1" more
		{
			sed '/^trap/,$d' job.sh
			grep -v "	" "more"
			sed -n '/^trap/,$p' job.sh | sed '/ckpt_launch/d' |
				sed "/^else/r"<(grep "# .*$1" more)
		} >job-mpi.sh
		mv job-mpi.sh job.sh
	}
	cat job.sh >&2
	chown "$STORY_USER" . job.sh
}
