# SPDX-License-Identifier: MIT
# The ids of a restarted job end where they do on this machine.
# run-as: user root
mkfifo never
play bash -c 'echo ready
	while [ ! -e "$1" ]; do read -r -t 0.02 line <>never; done
	[ "$(cat /proc/sys/kernel/pid_max)" = "$2" ] && echo "done ok"' _ \
	GATE "$(cat /proc/sys/kernel/pid_max)"
