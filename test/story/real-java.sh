# SPDX-License-Identifier: MIT
# Java: eight threads that allocate hard, so that the collector always runs.
# run-as: user root
# needs: java javac
# timeout: 300
check javac -d "$STORY_DIR/work" "$CKPT_SOURCE/test/real/Allocate.java"
play java -Xmx512m -cp "$STORY_DIR/work" Allocate GATE
