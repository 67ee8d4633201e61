#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sh contrib/coverage.sh [--system] [--soak MINUTES] [--json FILE]
#
# Builds with gcc's coverage counters, runs make check, with --system the system
# tests too, and with --soak for so long each the parts of make soak that let
# allocations fail: only they get to where memory has run out.  Prints lines and
# branches executed, file by file and by folder.  CHECK_FLAGS and PYTEST_FLAGS go
# to the first two.  FILE gets the totals, for tests/proof-table.py.
set -eu

system='' soak='' json='' tests='unit'
while [ $# -gt 0 ]; do
	case $1 in
	--system) system=1 ;;
	--soak)
		soak=$2
		shift
		;;
	--json)
		json=$(realpath "$2")
		shift
		;;
	*)
		echo "coverage.sh: $1?" >&2
		exit 2
		;;
	esac
	shift
done

top=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$top/build/coverage}

mkdir -p "$build"
cd "$build"
[ -f Makefile ] ||
	"$top/configure" CC=gcc \
		CFLAGS='-g -O0 --coverage -fprofile-update=atomic' \
		LDFLAGS='-Wl,-u,__gcov_dump,--export-dynamic-symbol=__gcov_dump' \
		>configure.log # for tests/soak/failalloc.c
make -s -j2
make -s -j2 check TESTS= >check.log 2>&1 || { tail -n 40 check.log; exit 1; }

# Some tests give up root's rights before they begin: all may add to the counts,
# which begin as empty files.
find . -name '*.gcno' -exec sh -c '
	for notes do
		counts=${notes%.gcno}.gcda
		: >"$counts"
		chmod a+rw "$counts"
	done' sh {} +
# shellcheck disable=SC2086 # a list of words
make -s -j2 check ${CHECK_FLAGS:-} >check.log 2>&1 ||
	{ tail -n 40 check.log; exit 1; }
if grep -q 'profiling:.*Cannot open' check.log; then
	echo "coverage.sh: not all may enter $build: too little is counted" >&2
fi
if [ -n "$system" ]; then
	tests="$tests and system"
	make -s check-system PYTEST_FLAGS="${PYTEST_FLAGS:-}" || exit 1
fi
tests="$tests tests"
if [ -n "$soak" ]; then
	tests="$tests, and failing allocations"
	make -s soak SOAK_FLAGS="--only unit --only alloc --minutes $soak" || exit 1
fi
find . -name '*.gcda' -empty -exec rm -f {} +

# gcov names a file once for each object it is part of; the sources of the
# library each have one object, headers are left out.
find . -path './src/*' -name '*.gcno' -exec gcov -n -b {} + 2>/dev/null | awk -v top="$top/" -v json="$json" \
	-v tests="$tests" '
	function percent(part, all) {
		return all ? sprintf("%5.1f %% of %5d", 100 * part / all, all) : \
			"                "
	}
	/^File / {
		lines = 0
		file = substr($2, 2, length($2) - 2)
		sub(top, "", file)
		sub(/^.*\/src\//, "src/", file)
		if (file !~ /^src\/.*\.c$/)
			file = ""
		next
	}
	# A sum over all files may follow, and looks like one of a file.
	/^Lines/ && lines++ { file = "" }
	/^$/ { file = "" }
	file && (/^Lines executed/ || /^Taken at least once/) {
		split($0, part, /[:%]/)
		n = part[3]
		sub(/^ of /, "", n)
		kind = /^Lines/ ? "l" : "b"
		folder = file
		sub(/\/[^\/]*$/, "/", folder)
		split(file " " folder " total", where, " ")
		for (i = 1; i <= 3; i++) {
			all[where[i], kind] += n
			done[where[i], kind] += n * part[2] / 100
			names[where[i]] = 1
		}
	}
	# As one record of tests/proof.json.
	function total(kind) {
		return sprintf("{\"done\": %d, \"of\": %d}", done["total", kind] + 0.5, \
			all["total", kind])
	}
	END {
		if (json)
			printf "{\"coverage\": {\"tests\": \"%s\", \"lines\": %s, " \
				"\"branches\": %s}}\n", tests, total("l"), \
				total("b") >json
		printf "%-32s %16s   %16s\n", "", "lines", "branches"
		sorted = "LC_ALL=C sort"
		for (name in names)
			printf "%-32s %s   %s\n", name,
				percent(done[name, "l"], all[name, "l"]),
				percent(done[name, "b"], all[name, "b"]) | sorted
		close(sorted)
	}'
