# SPDX-License-Identifier: MIT
# The hosts that other stories stand on: they reach each other by name and by
# ssh, each is its own, and one that dies is gone.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
check [ "$(on a hostname)" = a ]
check [ "$(on a ssh b hostname)" = b ]
check [ "$(on b ssh a id -u)" = "$STORY_USER" ]
check [ "$(on a ssh b 'echo $XDG_RUNTIME_DIR')" = /run/story ]
check [ "$(on a ssh b readlink /proc/self/ns/pid)" != \
	"$(on a readlink /proc/self/ns/pid)" ]
host_dies b
check_fails on a ssh -o ConnectTimeout=1 b true
host_returns b
check [ "$(on a ssh b hostname)" = b ]
