# SPDX-License-Identifier: MIT
# node: timers, worker_threads and messages between them.
# run-as: user root
# needs: node
# timeout: 300
play node "$CKPT_SOURCE/test/real/node-workers.js" GATE
