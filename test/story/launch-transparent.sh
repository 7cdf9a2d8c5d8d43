# SPDX-License-Identifier: MIT
# A launched program is what it would be without us: pid, descriptors, signals
# ignored and blocked, limits, no children; and nobody keeps the caller's pipes
# open.
start_coordinator
# shellcheck disable=SC2016 # the inner shell's
as_is() {
	(
		trap '' PIPE
		bash -c 'echo $$ >shell; exec "$@"' _ "$@" </dev/null
	)
}
alike() {
	as_is "$@" >plain
	as_is ckpt_launch -p "$PORT" "$@" >launched
	check diff plain launched >&2
}
alike grep -E 'Sig(Blk|Ign)|Shd' /proc/self/status
alike sh -c 'cat /proc/self/limits; umask; pwd'
alike sh -c 'for fd in /proc/$$/fd/*; do echo "${fd##*/}"; done'
alike sh -c 'exec cat "/proc/$$/task/$$/children"'
as_is ckpt_launch -p "$PORT" sh -c 'echo $$' >launched
check diff shell launched >&2
# A coordinator and an agent that are started do not hold this pipe.
said=$(bounded ckpt_launch --new-coordinator --port-file new echo over)
[ "$said" = over ] || fail "said '$said'"
# argv[0] as it was given, found in PATH
ln -s "$(type -P cat)" mycat
[ "$(PATH=$PWD:$PATH ckpt_launch -p "$PORT" mycat /proc/self/cmdline |
	tr '\0' ' ')" = "mycat /proc/self/cmdline " ] || fail "argv"
