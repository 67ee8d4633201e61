#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Includes go one way only, and each outside library is known to one folder.
# Usage: check-layers.sh [SOURCE-ROOT]
set -eu
cd "${1:-$(dirname "$0")/..}/src"

# Folder: the folders it may include, besides itself.
layers='util: | oci: util | config: util oci | http: util | layer: util |
	registry/wire: util oci config http |
	registry/login: util oci config http registry/wire |
	registry: util oci config http registry/wire registry/login |
	registry/out: util oci config http registry/wire registry/login registry |
	store: util oci |
	content: util oci config http registry registry/out store layer |
	push: util oci config registry registry/out store content |
	fs: util oci config content push |
	cli: util oci config http registry registry/wire registry/login
		registry/out store layer content fs |
	main: util oci config http registry registry/wire store layer content push
		fs cli'
# Start of an outside header: the folder that may include it.
homes='fuse: fs | sqlite3: store | curl/: http | zlib: layer | zstd: layer |
	isa-l: layer | igzip_lib: layer | openssl/: util | jansson: util'

# shellcheck disable=SC2016 # the $0 is of awk
find . -name '*.[ch]' | sort | xargs awk \
	-v layers="$(echo "$layers" | tr '\n\t' '  ')" \
	-v homes="$(echo "$homes" | tr '\n\t' '  ')" '
function table(text, ret,    rows, n, i, cell) {
	n = split(text, rows, "|")
	for (i = 1; i <= n; i++) {
		split(rows[i], cell, ":")
		gsub(/ /, "", cell[1])
		ret[cell[1]] = " " cell[2] " "
	}
}
function bad(what) {
	printf "src/%s:%d: %s\n", substr(FILENAME, 3), FNR, what
	failed = 1
}
BEGIN { table(layers, allowed); table(homes, home) }
FNR == 1 {
	folder = substr(FILENAME, 3)
	if (!sub("/[^/]*$", "", folder))
		folder = "main"
	if (!(folder in allowed))
		bad("no such folder in the table of layers")
}
!/^[ \t]*#[ \t]*include/ { next }
/"/ {
	split($0, quoted, "\"")
	target = quoted[2]
	if (!sub("/[^/]*$", "", target))
		bad("include it as \"folder/file.h\"")
	else if (target != folder && !index(allowed[folder], " " target " "))
		bad(folder " must not include " target)
	next
}
{
	sub(/^[^<]*</, "")
	for (h in home)
		if (index($0, h) == 1 && !index(home[h], " " folder " "))
			bad("only" home[h] "may include <" h "...>")
}
END { exit failed }'
