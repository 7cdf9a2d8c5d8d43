# SPDX-License-Identifier: MIT
# node: an HTTP server and clients that keep their connections.
# run-as: user root
# needs: node
# timeout: 300
play node "$CKPT_SOURCE/test/real/node-http.js" GATE
