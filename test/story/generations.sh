# SPDX-License-Identifier: MIT
# Two generations are kept; an older one can be restarted by its number.
launch counter 6
for number in 1 2 3; do
	await ready; checkpoint; resume
done
await ready
[ "$(generations | wc -l)" = 2 ] || fail "kept: $(generations)"
expect_status generation 3
kill_all
restart --generation 2
resume; await ready; resume; await ready; resume; await ready; resume
await ready; resume
expect_exit 0
