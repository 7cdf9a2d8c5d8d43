# SPDX-License-Identifier: MIT
# When one process of a tree cannot be made, none is left, and the reason is
# told; when it can, all come.
# needs: ps
# alone
launch tree-fork 6; await ready
checkpoint; kill_all
before=$(ps -L -u "$(id -u)" -o pid= | wc -l)
ulimit -S -u $((before + 12))
restart
ulimit -S -u hard
expect_exit 99
expect_file "$STORY_DIR/restart.err" 'cannot be made: the limit of processes is reached'
[ -z "$(story_pids ckpt_restart)$(story_pids tree-fork)" ] || fail "somebody is left"
restart; resume
expect_exit 0
