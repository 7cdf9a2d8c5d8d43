# SPDX-License-Identifier: MIT
# More is on its way than a queue can be made to hold, without privilege and
# with the limits that a kernel has by itself: the checkpoint lets the reader
# catch up, and takes nothing out of the stream.
# run-as: root
# unshare: --net
# needs: ip setpriv /usr/bin/python3
ip link set lo up
echo 4096 131072 6291456 >/proc/sys/net/ipv4/tcp_rmem ||
	skip "net.ipv4.tcp_rmem cannot be set here"
for quick in 0 200; do
	rm -f gate sent
	: >"$STORY_DIR/out"
	launch setpriv --bounding-set=-net_admin --inh-caps=-net_admin \
		/usr/bin/python3 "$CKPT_SOURCE/test/real/saturated.py" "$quick"
	await_output '^ready'
	checkpoint
	checkpoint; kill_all; restart; await_running
	checkpoint
	: >gate
	expect_exit 0
	expect_file "$STORY_DIR/out" '^whole'
done
