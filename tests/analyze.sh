#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# analyze.sh [FILE...]
#
# Static analysis of src (or of these files) with what is installed of gcc,
# clang-tidy and cppcheck; findings fail, and with CI set what is absent.
# JOBS (2).  Some minutes.
# shellcheck disable=SC2086 # flags is a list
set -eu
cd "$(dirname "$0")/.."
jobs=${JOBS:-2}
# shellcheck disable=SC2046 # names without blanks
[ $# -gt 0 ] || set -- $(find src -name '*.c' | sort)
flags="-std=gnu11 -D_GNU_SOURCE -DFUSE_USE_VERSION=314 -D_FILE_OFFSET_BITS=64
	-DPACKAGE_VERSION=__FILE__ -Isrc
	$(pkg-config --cflags fuse3 libcurl jansson openssl sqlite3 zlib libzstd)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# verdict NAME: what was said is a finding.
verdict() {
	if grep -q . "$log"; then
		cat "$log"
		echo "$1: findings" >&2
		failed=1
	else
		echo "$1: clean"
	fi
}

# have TOOL: is it there?
have() {
	"$1" --version >/dev/null 2>&1 && return 0
	echo "$1: not installed" >&2
	[ -z "${CI:-}" ] || failed=1
	return 1
}

# The one version that is known: older ones cannot see through casts, newer
# ones have other checks.  gcc 12 loses who owns what once it is stored behind a
# pointer or counted, and does not connect "returned 0" with "has set its
# output", which is how every function here works: what follows from that is
# left to clang and the sanitizers.
if have gcc-12; then
	printf '%s\n' "$@" | xargs -P "$jobs" -I{} gcc-12 $flags -O1 -fanalyzer \
		-Wno-analyzer-malloc-leak -Wno-analyzer-use-after-free \
		-Wno-analyzer-use-of-uninitialized-value \
		-Wno-analyzer-null-dereference \
		-c -o /dev/null {} >"$log" 2>&1 || true
	verdict 'gcc -fanalyzer'
fi

# One file at a time: with several, clang 14 takes every va_list for
# uninitialised.
if have clang-tidy-14; then
	printf '%s\n' "$@" | xargs -P "$jobs" -I{} clang-tidy-14 --quiet {} -- \
		$flags 2>/dev/null >"$log" || true
	verdict clang-tidy
fi

# It does not know the cleanup attribute, and readdir_r is worse than readdir.
if have cppcheck; then
	cppcheck -q -j "$jobs" --std=c11 --language=c --library=posix --library=gnu \
		--enable=warning,performance,portability \
		--suppress=memleak --suppress=resourceLeak --suppress=readdirCalled \
		-D__linux__ -D__GNUC__ -DPACKAGE_VERSION=__FILE__ -Isrc "$@" >"$log" 2>&1 ||
		true
	verdict cppcheck
fi
exit $failed
