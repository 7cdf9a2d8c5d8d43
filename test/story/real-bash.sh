# SPDX-License-Identifier: MIT
# bash: background jobs, traps, subshells, pipelines, wait.
# run-as: user root
# timeout: 300
mkdir -p "$STORY_DIR/files"
mkfifo "$STORY_DIR/files/never"
play bash "$CKPT_SOURCE/test/real/jobs.sh" GATE WORK
