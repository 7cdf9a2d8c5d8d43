# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What quickstart and runtests have in common: Debian's packages, the build.

# shellcheck disable=SC2034 # whoever reads this file uses it
BUILD_PACKAGES="gcc libc6-dev make binutils autoconf automake pkg-config
liblz4-dev libxxhash-dev libjansson-dev libsodium-dev libedit-dev"

stop() {
	echo "$(basename "$0"): $*" >&2
	exit 99
}

# Those of the named packages that are not there, one a line.
missing_packages() {
	local package

	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
			grep -q 'ok installed' || echo "$package"
	done
}

# Installs what is missing: as root, or by sudo when that asks nothing.
install_packages() {
	local missing as=()

	type -P dpkg-query >/dev/null || {
		echo "Not Debian: make sure that these are there: $*" >&2
		return 0
	}
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		if ! sudo -n true 2>/dev/null; then
			echo "Missing. Please install: sudo apt-get install" \
				"--no-install-recommends ${missing[*]}" >&2
			return 1
		fi
		as=(sudo -n)
	fi
	echo "Installing: ${missing[*]}"
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update \
		>/dev/null 2>&1 || :
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
		--no-install-recommends "${missing[@]}" >/tmp/ckpt-apt.$$ 2>&1 || {
		tail -n 5 /tmp/ckpt-apt.$$ >&2
		rm -f /tmp/ckpt-apt.$$
		return 1
	}
	rm -f /tmp/ckpt-apt.$$
}

# build_in FOLDER [CONFIGURE OPTION...]: what takes long writes to a log.
build_in() {
	local folder=$1

	shift
	mkdir -p "$folder"
	[ -w "$folder" ] ||
		stop "$PWD/$folder cannot be written to: is it somebody else's?"
	echo "Building in $folder ..."
	build_steps "$folder" "$@" >"$folder/build.log" 2>&1 || {
		tail -n 20 "$folder/build.log" >&2
		stop "the build failed: $folder/build.log"
	}
}

# A subshell: where we stand is our own business.
build_steps() (
	local folder=$1

	shift
	if [ ! -x configure ] || [ configure.ac -nt configure ]; then
		./bootstrap || return
	fi
	cd "$folder" || return
	if [ ! -f Makefile ] || [ ../configure -nt config.status ] ||
		[ "$(cat .options 2>/dev/null)" != "$*" ]; then
		../configure "$@" || return
		echo "$*" >.options
	fi
	make -j"$(nproc)" || return
)
