# SPDX-License-Identifier: MIT
# Children that are made while the others are being killed die too.
launch respawn; await ready
kill_all
