#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every option that --help names is described in registryfs(1), every option
# described there is one that --help names, and both pages are clean mdoc where
# mandoc or groff are there to judge.
set -eu

src=${top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
program=${REGISTRYFS:-${top_builddir:-$src}/registryfs}
page=$src/man/registryfs.1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

[ -x "$program" ] || {
	echo "$program: not built"
	exit 1
}

# --help has a line "    name" or "    -x, name" or "    name=VALUE" for each.
# The page has ".It Cm name ..." or ".It Fl x , Fl Fl name" in one section.
"$program" --help |
	sed -n 's/^    \(-[A-Za-z], \)\{0,1\}\([a-z][a-z_]*\)\(=.*\)\{0,1\}$/\2/p' |
	sort -u >"$tmp/help"
sed -n '/^\.Sh OPTIONS/,/^\.Sh SIGNALS/{
	s/^\.It Cm \([a-z_]*\).*/\1/p
	s/^\.It Fl . , Fl Fl \([a-z]*\)$/\1/p
}' "$page" | sort -u >"$tmp/page"
[ -s "$tmp/help" ] || {
	echo "--help names no option"
	bad=1
}
for name in $(comm -23 "$tmp/help" "$tmp/page"); do
	echo "registryfs.1: option $name is not described"
	bad=1
done
for name in $(comm -13 "$tmp/help" "$tmp/page"); do
	echo "registryfs.1: there is no option $name"
	bad=1
done

for page in "$src"/man/registryfs.[15]; do
	if command -v mandoc >/dev/null; then
		mandoc -T lint -W warning "$page" || bad=1
	fi
	if command -v groff >/dev/null; then
		groff -mdoc -Tutf8 -ww -z "$page" >"$tmp/groff" 2>&1 || bad=1
		if [ -s "$tmp/groff" ]; then
			cat "$tmp/groff"
			bad=1
		fi
	fi
done
exit $bad
