# SPDX-License-Identifier: MIT
# python3: a multiprocessing pool with queues, locks and shared memory.
# run-as: user root
# needs: /usr/bin/python3
# timeout: 300
play /usr/bin/python3 "$CKPT_SOURCE/test/real/pool.py" GATE
