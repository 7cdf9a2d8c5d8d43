# SPDX-License-Identifier: MIT
# What cannot be launched is refused before it starts, in one clear line.
start_coordinator
check_fails bounded ckpt_launch -p "$PORT" /nonexistent/program
expect_said 'nonexistent'
: >plain; chmod 644 plain
check_fails bounded ckpt_launch -p "$PORT" ./plain
expect_said 'plain'
printf '#!/bin/sh\nexit 3\n' >script; chmod 755 script
launch ./script
expect_exit 3
