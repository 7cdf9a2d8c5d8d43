# SPDX-License-Identifier: MIT
# run-as: user root
if [ "$(ulimit -l)" = unlimited ] || [ "$(id -u)" -eq 0 ]; then
	survives memory-locked
	exit
fi
launch memory-locked; await ready
checkpoint_fails
expect_said 'limit of locked memory'
resume; await ready; resume
expect_exit 0
