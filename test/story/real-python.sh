# SPDX-License-Identifier: MIT
# python3: twenty threads with a generator, a dict and an open file each.
# run-as: user root
# needs: /usr/bin/python3
# timeout: 300
play /usr/bin/python3 "$CKPT_SOURCE/test/real/python-threads.py" GATE WORK
