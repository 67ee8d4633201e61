# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What quickstart.sh and test.sh share; sourced by both.  Debian 12 or newer.

# shellcheck disable=SC2034 # for those who source this
build_packages='autoconf automake gcc libc6-dev make pkg-config
	fuse3 libfuse3-dev libcurl4-openssl-dev libjansson-dev libsqlite3-dev
	libssl-dev libisal-dev libzstd-dev ca-certificates'

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Runs a command as root: directly, or by sudo.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		die "needs root to run '$1': become root or install sudo"
	fi
}

# missing PACKAGE...: prints those that are not installed.
missing() {
	for package; do
		# shellcheck disable=SC2016 # dpkg's own field names
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
		*' installed') ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

# Installs packages without starting the services some of them bring: while it
# works, policy-rc.d (which maintainer scripts ask) answers "do not".  One that
# is there already is left alone, unless an interrupted run of ours left it.
# It is one root shell, so that its trap cleans up even if we are killed.
# shellcheck disable=SC2016 # expanded by that shell
install_as_root='
	policy=/usr/sbin/policy-rc.d
	mark="# made by registryfs while it installs packages; may be removed"
	ours=
	leave() {
		[ -z "$ours" ] || rm -f "$policy"
		ours=
	}
	trap leave EXIT
	trap "leave; exit 130" HUP INT TERM
	if [ -f "$policy" ] && grep -qxF "$mark" "$policy"; then
		rm -f "$policy"
	fi
	if [ ! -e "$policy" ] && [ ! -h "$policy" ]; then
		ours=yes
		(umask 022; set -C
		 printf "#!/bin/sh\n%s\nexit 101\n" "$mark" >"$policy") || exit 1
		chmod 755 "$policy"
	fi
	export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
	get() {
		apt-get install -y -q --no-install-recommends \
			-o DPkg::Lock::Timeout=300 "$@"
	}
	update() {
		apt-get update -q -o DPkg::Lock::Timeout=300
	}
	# Lists that are there may do; fresh ones are fetched if they do not.
	if [ -z "$(find /var/lib/apt/lists -name "*_Packages*" 2>/dev/null)" ]; then
		update || exit 1
	fi
	get "$@" || { update && get "$@"; }
'

# need PACKAGE...: installs what is missing of them.
need() {
	{ command -v dpkg-query && command -v apt-get; } >/dev/null 2>&1 ||
		die 'this script is for Debian; see README.md for other systems'
	absent=$(missing "$@")
	[ -n "$absent" ] || return 0
	say "installing: $absent"
	# shellcheck disable=SC2086 # a list of words
	as_root sh -c "$install_as_root" sh $absent ||
		die "could not install: $absent"
}

# make_configure SOURCE: runs autoreconf where its result is missing or old.
make_configure() {
	if [ ! -x "$1/configure" ] || [ ! -f "$1/Makefile.in" ] ||
		[ -n "$(find "$1/configure.ac" -newer "$1/configure")" ] ||
		[ -n "$(find "$1/Makefile.am" -newer "$1/Makefile.in")" ]; then
		(cd "$1" && autoreconf -fi)
	fi
}
