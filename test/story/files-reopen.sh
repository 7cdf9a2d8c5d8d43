# SPDX-License-Identifier: MIT
# With --files reopen what was written since stays.
echo ABCDEFGHIJ >reader
launch files reopen
await ready; checkpoint; resume; await ready
kill_all
restart --files reopen; resume; await ready; resume
expect_exit 0
[ "$(cat append)" = "one
two
two" ] || fail "append holds: $(cat append)"
