#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The rules of the house that a pattern can see.
# Usage: check-source.sh [SOURCE-ROOT]
set -eu
cd "${1:-$(dirname "$0")/..}"
failed=0
sources=$(find src tests/unit tests/fuzz -name '*.[ch]' | sort)
product=$(echo "$sources" | grep '^src/')

# forbid WHY PATTERN FILE...: no line may match.
forbid() {
	why=$1 pattern=$2
	shift 2
	if grep -nE -- "$pattern" "$@" /dev/null; then
		echo "^ $why" >&2
		failed=1
	fi
}

word='(^|[^[:alnum:]_])'
# shellcheck disable=SC2086 # lists of paths without blanks, here and below
{
	forbid 'banned: unbounded, locale-bound or a shell' \
		"$word(v?sprintf|strcpy|strcat|strtok|ato[il]|atoll|gets|system|popen)\\(" \
		$sources
	forbid 'unfinished' "$word(TODO|FIXME|XXX)($|[^[:alnum:]_])" $sources
	forbid 'comments are /* */' '^[[:blank:]]*//' $sources
	forbid 'blank at the end of a line' '[[:blank:]]$' $sources
	# shellcheck disable=SC2046
	forbid 'SQL belongs in src/store' \
		'"[^"]*(SELECT .* FROM|INSERT (OR [A-Z]+ )?INTO|DELETE FROM|UPDATE [a-z_]+ SET|CREATE TABLE) ' \
		$(echo "$product" | grep -v '^src/store/')
	awk -v spdx='/* SPDX-License-Identifier: Apache-2.0 */' '
	function bad(what) { print FILENAME ":" FNR ": " what; failed = 1 }
	FNR == 1 && $0 != spdx { bad("the first line is not the licence") }
	FNR == 701 { bad("longer than 700 lines") }
	/^{/ { start = FNR }
	/^}/ && start && FNR - start > 60 && FILENAME ~ "^src/" {
		bad("function longer than 60 lines") # tables of tests may be
	}
	/^}/ { start = 0 }
	END { exit failed }' $sources || failed=1
}

# An archive has one member of a name, and so has a reader.
twins=$(echo "$product" | grep '\.c$' | sed 's,.*/,,' | sort | uniq -d)
[ -z "$twins" ] || { echo "file names used twice: $twins"; failed=1; }
exit "$failed"
