# SPDX-License-Identifier: MIT
# A conversation of expect with a shell, over a terminal between them.
# run-as: user root
# needs: expect
play expect -f "$CKPT_SOURCE/test/real/session.exp" GATE
