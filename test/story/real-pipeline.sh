# SPDX-License-Identifier: MIT
# tar | gzip | sha256sum over a large tree: the sum is that of a run without us.
# run-as: user root
# timeout: 300
mkdir -p "$STORY_DIR/files/tree"
for n in $(seq 60); do
	head -c 400000 /dev/urandom | od -An -tx4 >"$STORY_DIR/files/tree/$n"
done
pipeline="tar --sort=name --mtime=@0 -C '$STORY_DIR/files' -cf - tree | gzip -6 -n | sha256sum"
expected=$(bash -c "$pipeline")
launch bash -c "echo ready; $pipeline"
await_output '^ready'
checkpoint
for _ in 1 2; do
	checkpoint
	kill_all
	restart
	await_running
done
expect_exit 0
grep -qF "$expected" "$STORY_DIR/out" || fail "another sum than $expected"
