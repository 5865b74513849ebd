#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing of Debian's packages: install-deps.sh run|test
# Asks dpkg first, so that it costs nothing and needs no network when all is there.
set -eu

run="gcc make pkg-config clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev libcurl4-openssl-dev libcjson-dev libyaml-dev
 libexpat1-dev libmicrohttpd-dev libncurses-dev libssl-dev ca-certificates"
test="$run git libclang-rt-14-dev lld libcmocka-dev clang-format clang-tidy cppcheck python3-venv golang-go nginx-light wrk
 nghttp2-client libnghttp2-dev nodejs curl openssl iproute2 procps libcap2-bin util-linux prometheus adduser dpkg-dev fakeroot
 lintian tmux systemd qemu-system-x86 qemu-system-arm shellcheck spin"

case "${1:-}" in
run) packages=$run ;;
test) packages=$test ;;
*)
	echo "usage: $0 run|test" >&2
	exit 2
	;;
esac

have() { dpkg-query -W -f '${db:Status-Abbrev}\n' "$1" 2>/dev/null | grep -q '^ii'; }

missing=""
for package in $packages; do
	# A Go or a Node that is there already is as good as Debian's.
	[ "$package" = golang-go ] && command -v go >/dev/null && continue
	[ "$package" = nodejs ] && command -v node >/dev/null && continue
	have "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "missing:$missing" >&2
	echo "this is not Debian or Ubuntu: install the packages that your distribution calls by these names" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "missing:$missing" >&2
	echo "run this as root, or: sudo apt-get install$missing" >&2
	exit 1
fi

echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Services that packages bring (nginx, prometheus) are for tests only: they must not start by themselves.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f "$log" $policy' EXIT
fi
# shellcheck disable=SC2086
if ! { apt-get -q update && apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "the packages above could not be installed:$missing" >&2
	exit 1
fi
