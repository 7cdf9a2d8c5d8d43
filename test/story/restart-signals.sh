# SPDX-License-Identifier: MIT
# Who signals ckpt_restart means the program.
# run-as: user root
launch obedient; await ready
checkpoint; kill_all; restart; resume
kill -USR1 "$JOB"; await usr1
kill -HUP "$JOB"; await hup
kill -TERM "$JOB"; await term
expect_exit 42
