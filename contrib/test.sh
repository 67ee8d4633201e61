#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sh contrib/test.sh
#
# Installs what the tests need on a fresh Debian 12 and runs all of them, out of
# tree under build/.  Exits 0 only if everything passed; with CI set a skipped
# test is a failure too.  FUZZ_SECONDS (10): time of each fuzzer; JOBS (2);
# STAGES: only those whose names are given.
# shellcheck disable=SC2317 # stages are called by name
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=contrib/debian.sh
. "$top/contrib/debian.sh"

build=$top/build/test
logs=$build/logs
jobs=${JOBS:-2}
fuzz_seconds=${FUZZ_SECONDS:-10}
summary=$build/summary
failed=0
started=$(date +%s)

# Debian's own tools: the packages installed here are for its Python.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
[ -z "${CI:-}" ] || CI=true
export CI="${CI:-}"
unset MAKEFLAGS MAKELEVEL http_proxy https_proxy all_proxy HTTP_PROXY \
	HTTPS_PROXY ALL_PROXY AWS_CA_BUNDLE 2>/dev/null || true

# -- stages: each is a function, a log file and a line of the summary --------

# A clean build directory, configured.
configured() {
	rm -rf "${build:?}/$1"
	mkdir -p "$build/$1"
	cd "$build/$1"
	shift
	env "$@"
}

do_configure() {
	(cd "$top" && autoreconf -fi)
}

do_lint() {
	cd "$top"
	shellcheck -x contrib/*.sh tests/*.sh tests/fuzz/*.sh tests/soak/*.sh .ci/run
	python3 tests/bench/table.py --check
	mandoc -T lint -W warning man/*
	groff -mdoc -Tutf8 -ww -z man/*
	systemd-analyze verify contrib/*.service 2>&1 | tee "$build/verify"
	if grep -qE 'Unknown|Invalid|Failed to parse|lvalue' "$build/verify"; then
		return 1
	fi
	find src tests \( -name '*.c' -o -name '*.h' \) -exec \
		clang-format-14 --dry-run -Werror {} +
}

do_analyze() {
	CI=true JOBS="$jobs" sh "$top/tests/analyze.sh"
}

do_gcc() {
	configured gcc CC=gcc "$top/configure" -q --enable-werror
	make -s V=1 -j"$jobs"
	make -s V=1 -j"$jobs" check VERBOSE=1
}

do_asan() {
	configured asan CC=clang "$top/configure" -q --enable-werror \
		--enable-sanitize=address,undefined
	make -s V=1 -j"$jobs"
	$plain make -s V=1 -j"$jobs" check VERBOSE=1
}

do_tsan() {
	configured tsan CC=clang "$top/configure" -q --enable-werror \
		--enable-sanitize=thread
	make -s V=1 -j"$jobs"
	$plain make -s V=1 -j"$jobs" check VERBOSE=1
}

do_fuzz() {
	configured fuzz CC=clang "$top/configure" -q --enable-werror --enable-fuzz
	make -s V=1 -j"$jobs"
	$plain make -s V=1 -j"$jobs" fuzz FUZZ_SECONDS="$fuzz_seconds" FUZZ_JOBS="$jobs"
}

do_distcheck() {
	cd "$build/gcc"
	make -s V=1 -j"$jobs" distcheck
}

do_system() {
	cd "$build/asan"
	$plain make -s check-system PYTEST_FLAGS='-q -ra'
}

# What automake and pytest said in the end, in logs.  VERBOSE=1 shows a second
# copy of automake's counts before the summary.
endings() {
	cat "$@" | sed -n -e '/^Testsuite summary/,/^# ERROR/p' \
		-e '/^=*.*[0-9] \(passed\|failed\|errors\{0,1\}\).* in [0-9.]*s/p' \
		-e '/no crash$/p' -e '/archives ready/p'
}

skips() {
	endings "$1" | grep -E '^# SKIP: +[1-9]|[1-9][0-9]* skipped' || true
}

result_lines() {
	endings "$1" | grep -v '^Testsuite\|^===*$\|no crash' |
		sed 's/^# //; s/^=* *//; s/ *=*$//; s/  */ /g' | tr '\n' ' '
}

stage() {
	case " ${STAGES:-$1} " in
	*" $1 "*) ;;
	*) return 0 ;;
	esac
	log=$logs/$1.log
	before=$(date +%s)
	say "== $1"
	# Not in a condition: set -e would be off inside.
	set +e
	(set -e; "do_$1") >"$log" 2>&1
	status=$?
	set -e
	result=ok
	if [ $status -ne 0 ]; then
		result="FAILED ($status)"
	elif [ -n "$CI" ] && [ -n "$(skips "$log")" ]; then
		result='FAILED (skipped tests)'
	fi
	if [ "$result" != ok ]; then
		failed=1
		tail -n "${TAIL:-80}" "$log"
	fi
	printf '%-13s %-8s %4d s  %s\n' "$1" "$result" \
		$(($(date +%s) - before)) "$(result_lines "$log")" |
		tee -a "$summary"
}

# -- here it starts ---------------------------------------------------------

# shellcheck disable=SC2086 # a list of words
need $build_packages libcmocka-dev libarchive-dev zlib1g-dev clang \
	libclang-rt-14-dev clang-format-14 gcc-12 clang-tidy-14 cppcheck \
	xz-utils shellcheck mandoc groff python3 python3-pytest openssl curl jq attr \
	apache2-utils busybox-static docker-registry skopeo podman buildah \
	umoci systemd procps rsync cpio libarchive-tools zstd pigz isal libcap2-bin containerd \
	stargz-snapshotter strace libseccomp2

# The sanitizers of clang 14 and kernels with much address randomisation do not
# agree; where the personality may be changed it is switched off for them.
plain=
if setarch "$(uname -m)" -R true 2>/dev/null; then
	plain="setarch $(uname -m) -R"
fi

rm -rf "$logs"
mkdir -p "$logs"
: >"$summary"
for name in configure lint gcc asan distcheck analyze system tsan fuzz; do
	stage $name
done

# counted AUTOMAKE PYTEST: how many tests of all logs ended so.
counted() {
	endings "$logs"/*.log | sed -n \
		-e "s/^# $1: *\([0-9]*\)\$/\1/p" \
		-e "s/^\(.*[ =]\)\{0,1\}\([0-9][0-9]*\) $2.* in [0-9.]*s.*/\2/p" |
		awk '{ n += $1 } END { print n + 0 }'
}

say
say "registryfs: all stages, $(($(date +%s) - started)) s; logs in $logs"
cat "$summary"
say
say "$(counted PASS passed) passed, $(($(counted FAIL failed) + $(counted ERROR error))) failed, $(counted SKIP skipped) skipped"
exit $failed
