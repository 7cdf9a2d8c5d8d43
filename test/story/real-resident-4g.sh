# shellcheck disable=SC2034 # lib.sh uses them
# SPDX-License-Identifier: MIT
# Four gibibytes resident, every page of its own.
# run-as: user
# timeout: 400
# alone
[ "$(awk '/MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 12 ] ||
	skip "less than 12 GiB of memory available"
PATIENCE=200
play resident GATE 4096
