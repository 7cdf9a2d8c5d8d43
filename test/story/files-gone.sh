# SPDX-License-Identifier: MIT
# Files that have been removed since come back with their content.
echo ABCDEFGHIJ >reader
launch files rollback
await ready; checkpoint; kill_all
rm append data reader
restart; resume; await ready; resume
expect_exit 0
