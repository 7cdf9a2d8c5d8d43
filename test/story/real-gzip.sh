# shellcheck disable=SC2034 # lib.sh uses it
# SPDX-License-Identifier: MIT
# gzip of a large file: what comes out is the same as without us.
# run-as: user root
# timeout: 300
PATIENCE=200
mkdir -p "$STORY_DIR/files"
head -c 25000000 /dev/urandom | od -An -tx4 >"$STORY_DIR/files/input"
launch gzip -9 -c -k "$STORY_DIR/files/input"
await_line "$STORY_DIR/out" .
checkpoint
checkpoint
for _ in 1 2; do
	kill_all
	restart
	await_running
	checkpoint
done
expect_exit 0
gunzip -c <"$STORY_DIR/out" | cmp - "$STORY_DIR/files/input" ||
	fail "what gzip wrote is not what it read"
