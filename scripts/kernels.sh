#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches what the kernel tests boot: kernels.sh CACHE [SERIES-ARCH...]
#
# Debian's own cloud kernels, a static busybox for each architecture, and the arm64 libraries to link against, by an apt of
# its own: neither the sources nor the dpkg architectures of this machine change, nothing is installed, no root is needed. What is
# in the cache already is not fetched again.
set -eu

cache=$(realpath -m "$1")
shift
[ $# -gt 0 ] || set -- 6.1-amd64 6.12-amd64 6.18-amd64 6.12-arm64
mkdir -p "$cache/debs"

# The machine's own sources, and trixie-backports (newer kernels) from the same mirror as the first of them.
sources() { # DIRECTORY
	if [ -e /etc/apt/sources.list.d/debian.sources ]; then
		cp /etc/apt/sources.list.d/debian.sources "$1/base.sources"
		sed '/^$/,$d; s/^Suites:.*/Suites: trixie-backports/' "$1/base.sources" >"$1/backports.sources"
	else
		cp /etc/apt/sources.list "$1/base.list"
		sed -n '/^deb /{s/^\(deb *\(\[[^]]*\] *\)\{0,1\}[^ ]* *\)[^ ]* .*/\1trixie-backports main/p;q}' \
			"$1/base.list" >"$1/backports.list"
	fi
}

private_apt() { # ARCHITECTURE
	d=$cache/apt-$1
	mkdir -p "$d/state/lists/partial" "$d/cache/archives/partial" "$d/sources"
	: >"$d/status"
	sources "$d/sources"
	printf '%s;\n' "APT::Architecture \"$1\"" "APT::Architectures { \"$1\"; }" "Dir::State \"$d/state\"" \
		"Dir::State::status \"$d/status\"" "Dir::Cache \"$d/cache\"" 'Dir::Etc::sourcelist "/dev/null"' \
		"Dir::Etc::sourceparts \"$d/sources\"" 'Dir::Etc::preferencesparts "/dev/null"' \
		'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false"' \
		"APT::Sandbox::User \"$(id -un)\"" >"$d/apt.conf"
	[ ! -e "$d/sources/base.list" ] || printf 'Dir::Etc::sourcelist "%s";\n' "$d/sources/base.list" >>"$d/apt.conf"
	export APT_CONFIG="$d/apt.conf"
	[ -n "$(find "$d/state/lists" -maxdepth 1 -name '*Packages*' -mmin -720 2>/dev/null | head -n 1)" ] ||
		apt-get -q update >"$d/update.log" 2>&1 || {
		cat "$d/update.log" >&2
		exit 1
	}
}

fetch() { (cd "$cache/debs" && apt-get -q download "$@" >/dev/null); }

kernel() { # ARCHITECTURE SERIES
	dir=$cache/$2-$1
	[ ! -e "$dir/vmlinuz" ] || return 0
	release=$(apt-cache pkgnames "linux-image-$2." | sed -n "s/^linux-image-\(.*-cloud-$1\)$/\1/p" | sort -V | tail -n 1)
	[ -n "$release" ] || {
		echo "Debian's archive has no cloud kernel $2 for $1 any more" >&2
		exit 1
	}
	package=linux-image-$release # since 6.19 the kernel alone is in linux-binary-*
	! apt-cache show "linux-binary-$release" >/dev/null 2>&1 || package=linux-binary-$release
	echo "fetching $package"
	fetch "$package"
	mkdir -p "$dir"
	dpkg-deb --fsys-tarfile "$cache/debs/${package}"_*.deb | tar -xO --wildcards '*/vmlinuz*' >"$dir/vmlinuz.part"
	echo "$release" >"$dir/release"
	mv "$dir/vmlinuz.part" "$dir/vmlinuz"
	rm -f "$cache/debs/${package}"_*.deb
}

busybox() { # ARCHITECTURE
	[ ! -x "$cache/busybox-$1" ] || return 0
	fetch busybox-static
	dpkg-deb --fsys-tarfile "$cache"/debs/busybox-static_*_"$1".deb | tar -xO ./bin/busybox >"$cache/busybox-$1.part"
	chmod +x "$cache/busybox-$1.part"
	mv "$cache/busybox-$1.part" "$cache/busybox-$1"
}

sysroot_arm64() { # libraries to link the test for arm64 on another machine
	[ ! -e "$cache/sysroot-arm64/done" ] || return 0
	dev="libc6-dev libgcc-12-dev linux-libc-dev libelf-dev zlib1g-dev libbpf-dev"
	# shellcheck disable=SC2086
	fetch $dev
	for package in $dev; do
		dpkg-deb -x "$cache"/debs/"$package"_*_arm64.deb "$cache/sysroot-arm64"
	done
	touch "$cache/sysroot-arm64/done"
}

for wanted in "$@"; do
	arch=${wanted##*-}
	series=${wanted%-*}
	[ -e "$cache/$wanted/vmlinuz" ] && [ -x "$cache/busybox-$arch" ] &&
		{ [ "$arch" != arm64 ] || [ -e "$cache/sysroot-arm64/done" ]; } && continue
	private_apt "$arch"
	busybox "$arch"
	kernel "$arch" "$series"
	[ "$arch" != arm64 ] || sysroot_arm64
done
