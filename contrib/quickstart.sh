#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sh contrib/quickstart.sh [REGISTRY[/NAMESPACE]] [MOUNTPOINT]
# sh contrib/quickstart.sh --stop [MOUNTPOINT]
#
# Builds registryfs on a fresh Debian 12 and mounts REGISTRY.  Without REGISTRY
# it starts a private docker-registry on a loopback port, puts a small real
# image into it and mounts that.  Run it again as often as you like.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=contrib/debian.sh
. "$top/contrib/debian.sh"

build=${BUILD:-$top/build/quickstart}
program=$build/registryfs

usage() {
	sed -n '4,9s/^# \{0,1\}//p' "$0"
	exit "$1"
}

# -- where things are -------------------------------------------------------

default_mountpoint() {
	if [ "$(id -u)" -eq 0 ]; then
		say /mnt/registryfs
	else
		say "$HOME/registryfs"
	fi
}

# One private folder per mount point: registry, image, process id, log.
find_state() {
	base=${XDG_RUNTIME_DIR:-/tmp}
	[ -d "$base" ] && [ -w "$base" ] || base=/tmp
	base=$base/registryfs-quickstart-$(id -u)
	state=$base/$(printf %s "$mountpoint" | cksum | cut -d ' ' -f 1)
}

# In /tmp anybody could have made it first: it must be ours and closed.
make_state() {
	for folder in "$base" "$state"; do
		[ -d "$folder" ] || mkdir -m 700 "$folder"
		{ [ ! -h "$folder" ] && [ "$(stat -c %u "$folder")" = "$(id -u)" ]; } ||
			die "$folder is not yours: remove it"
		chmod 700 "$folder"
	done
	say "$mountpoint" >"$state/mountpoint"
}

is_mounted() {
	awk -v p="$mountpoint" '
		BEGIN { gsub(/ /, "\\040", p) }
		$5 == p && / - fuse/ { found = 1 }
		END { exit !found }' /proc/self/mountinfo
}

answers() {
	timeout 30 ls -A "$mountpoint" >/dev/null 2>&1
}

# -- the private registry ---------------------------------------------------

registry_runs() {
	[ -s "$state/registry.pid" ] || return 1
	pid=$(cat "$state/registry.pid")
	tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" |
		grep -qF "serve $state/registry.yml"
}

# serve ADDRESS: starts it and waits till its log names the port it got.
serve() {
	cat >"$state/registry.yml" <<-END
		version: 0.1
		log: {level: info, accesslog: {disabled: true}}
		storage:
		  filesystem: {rootdirectory: $state/storage}
		http:
		  addr: $1
	END
	# A clean environment: proxy and AWS_ variables lead it astray.
	env -i PATH="$PATH" HOME="$state" setsid docker-registry serve \
		"$state/registry.yml" >"$state/registry.log" 2>&1 </dev/null &
	say $! >"$state/registry.pid"
	tries=0
	while [ $tries -lt 100 ]; do
		port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' \
			"$state/registry.log")
		if [ -n "$port" ]; then
			say "$port" >"$state/port"
			return 0
		fi
		registry_runs || [ $tries -lt 5 ] || break
		sleep 0.1
		tries=$((tries + 1))
	done
	return 1
}

start_registry() {
	if registry_runs && [ -s "$state/port" ]; then
		return
	fi
	say 'starting a private registry'
	# The port it had, so that a mount that is there finds it again.
	if [ -s "$state/port" ] && serve "127.0.0.1:$(cat "$state/port")"; then
		return
	fi
	serve 127.0.0.1:0 ||
		die "docker-registry did not start: $(tail -n 3 "$state/registry.log")"
}

stop_registry() {
	if registry_runs; then
		kill "$(cat "$state/registry.pid")"
	fi
}

# -- the image: an OCI layout made by hand ----------------------------------

# blob FILE: moves it into the layout; prints "digest size".
blob() {
	sum=$(sha256sum "$1" | cut -d ' ' -f 1)
	size=$(stat -c %s "$1")
	mv "$1" "$layout/blobs/sha256/$sum"
	say "$sum $size"
}

# layer FOLDER TEXT: its tar becomes the next layer.
layer() {
	tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner \
		--mtime="$created" -cf "$work/layer.tar" .
	diff=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
	gzip -n "$work/layer.tar"
	# shellcheck disable=SC2046 # two words
	set -- "$1" "$2" $(blob "$work/layer.tar.gz")
	diffs=$diffs${diffs:+,}\"sha256:$diff\"
	layers=$layers${layers:+,}"{\"mediaType\":\"$oci.layer.v1.tar+gzip\","
	layers=$layers"\"digest\":\"sha256:$3\",\"size\":$4}"
	history=$history${history:+,}"{\"created\":\"$created\",\"created_by\":\"$2\"}"
}

# image TAG: config and manifest of the layers so far.
image() {
	cat >"$work/config" <<-END
		{"created":"$created","architecture":"$arch","os":"linux",
		 "config":{"Cmd":["/bin/sh"],"Env":["PATH=/bin:/usr/local/bin"]},
		 "rootfs":{"type":"layers","diff_ids":[$diffs]},
		 "history":[$history]}
	END
	# shellcheck disable=SC2046
	set -- "$1" $(blob "$work/config")
	cat >"$work/manifest" <<-END
		{"schemaVersion":2,"mediaType":"$oci.manifest.v1+json",
		 "config":{"mediaType":"$oci.config.v1+json",
		  "digest":"sha256:$2","size":$3},
		 "layers":[$layers],
		 "annotations":{"org.opencontainers.image.version":"$1"}}
	END
	# shellcheck disable=SC2046
	set -- "$1" $(blob "$work/manifest")
	manifests=$manifests${manifests:+,}"{\"mediaType\":\"$oci.manifest.v1+json\","
	manifests=$manifests"\"digest\":\"sha256:$2\",\"size\":$3,"
	manifests=$manifests"\"annotations\":{\"org.opencontainers.image.ref.name\":\"$1\"}}"
}

make_image() {
	oci=application/vnd.oci.image
	created=2024-05-01T10:00:00Z
	arch=$(dpkg --print-architecture)
	work=$state/work layout=$state/layout
	diffs='' layers='' history='' manifests=''
	rm -rf "$work" "$layout"
	mkdir -p "$work/base/bin" "$work/etc/etc" "$work/app/usr/local/bin" \
		"$layout/blobs/sha256"

	cp "$(command -v busybox)" "$work/base/bin/busybox"
	for name in $("$work/base/bin/busybox" --list); do
		[ "$name" = busybox ] || ln -s busybox "$work/base/bin/$name"
	done
	layer "$work/base" 'busybox-static of Debian'
	cp /etc/os-release /etc/debian_version "$work/etc/etc/"
	say 'root:x:0:0:root:/:/bin/sh' >"$work/etc/etc/passwd"
	layer "$work/etc" 'files of /etc'
	image 1.0
	# shellcheck disable=SC2016 # expanded in the image
	printf '#!/bin/sh\n. /etc/os-release\necho "hello from $PRETTY_NAME"\n' \
		>"$work/app/usr/local/bin/hello"
	chmod 755 "$work/app/usr/local/bin/hello"
	layer "$work/app" 'the program'
	image 1.1

	say '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
	say "{\"schemaVersion\":2,\"manifests\":[$manifests]}" >"$layout/index.json"
	rm -rf "$work"
}

push() {
	env -i PATH="$PATH" HOME="$state" TMPDIR="$state" skopeo --insecure-policy \
		copy -q --dest-tls-verify=false "oci:$layout:$1" \
		"docker://127.0.0.1:$(cat "$state/port")/team/app:$2"
}

fill_registry() {
	[ ! -e "$state/filled" ] || return 0
	say 'making a small image and pushing it as team/app:1.0, 1.1, latest'
	make_image
	push 1.0 1.0
	push 1.1 1.1
	push 1.1 latest
	rm -rf "$layout"
	: >"$state/filled"
}

# -- building and mounting --------------------------------------------------

build_program() {
	say "building in $build"
	make_configure "$top" >"$state/build.log" 2>&1 ||
		die "autoreconf failed: see $state/build.log"
	mkdir -p "$build"
	if ! (
		cd "$build"
		[ -f Makefile ] || "$top/configure"
		make -j "$(nproc)" registryfs
	) >>"$state/build.log" 2>&1; then
		tail -n 15 "$state/build.log" >&2
		die "the build failed: see $state/build.log"
	fi
}

check_fuse() {
	[ -c /dev/fuse ] || (as_root modprobe fuse) 2>/dev/null || true
	[ -c /dev/fuse ] ||
		die 'no /dev/fuse: load the fuse module (in a container: --device /dev/fuse --cap-add SYS_ADMIN)'
	{ [ -r /dev/fuse ] && [ -w /dev/fuse ]; } ||
		die 'you may not open /dev/fuse: run this as root'
}

# mount_it [OPTION...] [SOURCE]
mount_it() {
	if is_mounted; then
		if answers && [ "$(cat "$state/source" 2>/dev/null)" = "$*" ]; then
			say "$mountpoint is mounted already"
			return
		fi
		fusermount3 -u "$mountpoint" 2>/dev/null ||
			fusermount3 -uz "$mountpoint"
	fi
	if [ ! -d "$mountpoint" ]; then
		mkdir -p "$mountpoint" || die "cannot make $mountpoint"
		say yes >"$state/made"
	fi
	"$program" "$@" "$mountpoint" || die 'the mount failed'
	say "$*" >"$state/source"
}

stop() {
	if is_mounted; then
		fusermount3 -u "$mountpoint" ||
			die "cannot unmount $mountpoint: leave it everywhere, then try again"
	fi
	if [ -d "$state" ]; then
		stop_registry
		if [ -e "$state/made" ]; then
			rmdir "$mountpoint" 2>/dev/null || true
		fi
		rm -rf "$state"
		rmdir "$base" 2>/dev/null || true
	fi
	say "stopped: nothing is mounted at $mountpoint"
}

show_demo() {
	image=$mountpoint/127.0.0.1:$port/team/app
	cat <<-END

		Mounted.  Try:

		    ls  $image/_tags
		    jq . $image:1.1/manifest.json
		    cat $image:1.1/history
		    ls -l $image:1.1/rootfs/
		    find $image:1.1/layers/00/ | head
		    getfattr -d $image:1.1
		    cp -r $image/_tags/1.1 /tmp/layout
		    cp -r $image/_tags/1.1 $mountpoint/127.0.0.1:$port/mirror/app/_tags/
		    cp -r /tmp/layout $image:2.0
		    ln -s 2.0 $image/_tags/stable
		    skopeo --insecure-policy inspect oci:$mountpoint/127.0.0.1+$port/team/app/_tags/1.1
		    cat $mountpoint/.registryfs/status
		    $program status $mountpoint

		The same mount reaches other registries by name:

		    ls $mountpoint/docker.io/library/alpine/_tags/latest/

		To stop the mount and the registry:

		    sh $top/contrib/quickstart.sh --stop $mountpoint
	END
}

show_registry() {
	cat <<-END

		Mounted $registry.  Try:

		    ls $mountpoint
		    ls $mountpoint/REPOSITORY/_tags
		    jq . $mountpoint/REPOSITORY:TAG/manifest.json
		    ls -l $mountpoint/REPOSITORY:TAG/rootfs/etc/
		    cp -r $mountpoint/REPOSITORY/_tags/TAG /tmp/layout
		    cp -r /tmp/layout $mountpoint/REPOSITORY:NEW-TAG
		    cat $mountpoint/.registryfs/status
		    $program check ${registry%%/*}

		Credentials of docker login and podman login are used as they are.
		To stop:

		    sh $top/contrib/quickstart.sh --stop $mountpoint
	END
}

# -- here it starts ---------------------------------------------------------

registry='' mountpoint='' stopping=''
case ${1:-} in
-h | --help) usage 0 ;;
--stop)
	stopping=yes
	shift
	;;
-*) usage 1 >&2 ;;
esac
[ $# -le 2 ] || usage 1 >&2
# A mount point is a path; a registry never begins with / or .
case ${1:-} in
'' | /* | .*) ;;
*)
	[ -n "$stopping" ] || {
		registry=$1
		shift
	}
	;;
esac
mountpoint=$(realpath -ms -- "${1:-$(default_mountpoint)}")
find_state
if [ -n "$stopping" ]; then
	stop
	exit 0
fi

packages=$build_packages
[ -n "$registry" ] || packages="$packages docker-registry skopeo busybox-static"
# shellcheck disable=SC2086 # a list of words
need $packages jq attr
check_fuse
make_state
build_program
if [ -n "$registry" ]; then
	mount_it "$registry"
	show_registry
else
	start_registry
	fill_registry
	port=$(cat "$state/port")
	mount_it
	show_demo
fi
