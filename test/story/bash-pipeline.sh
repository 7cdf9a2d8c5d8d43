# SPDX-License-Identifier: MIT
# A pipeline of bash, busy all the time, loses nothing.
# run-as: user root
launch bash -c 'for i in $(seq 1 200000); do echo line $i; done | gzip | gunzip | sha256sum; echo over'
await_running
checkpoint; checkpoint; kill_all; restart; await_running; checkpoint; kill_all; restart
expect_exit 0
expect_file "$STORY_DIR/out" over
expect_file "$STORY_DIR/out" "$(for i in $(seq 1 200000); do echo line "$i"; done | sha256sum | cut -c1-64)"
