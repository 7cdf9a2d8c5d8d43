# SPDX-License-Identifier: MIT
# python3: an asyncio server and its client with 200 connections, all in use.
# run-as: user root
# needs: /usr/bin/python3
# timeout: 300
play /usr/bin/python3 "$CKPT_SOURCE/test/real/asyncio-echo.py" GATE
