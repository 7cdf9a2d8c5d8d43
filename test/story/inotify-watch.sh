# SPDX-License-Identifier: MIT
# Watches keep their numbers and see what happens afterwards.
# run-as: user root
survives inotify-watch
