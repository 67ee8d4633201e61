#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh CORPORA SECONDS PROGRAM: one fuzzer for a while, on its corpus and on
# what it finds (kept in ./corpus); prints a line, and the log if it crashed.
set -eu

name=${3##*/fuzz-}
mkdir -p "corpus/$name"
if ! "./$3" -max_total_time="$2" -timeout=10 -rss_limit_mb=1024 \
	-print_final_stats=1 "corpus/$name" "$1/$name" >"fuzz-$name.log" 2>&1; then
	tail -n 40 "fuzz-$name.log"
	exit 255		# xargs starts no more
fi
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "fuzz-$name.log")
echo "fuzz-$name: $runs runs in $2 s, no crash"
