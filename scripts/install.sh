#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts what `make` built into place: install.sh install|uninstall. PREFIX (default /usr/local) and
# DESTDIR are honoured. Configuration that exists is never overwritten, and never removed.
set -eu

prefix=${PREFIX:-/usr/local}
dest=${DESTDIR:-}
build=${BUILD:-build}
cd "$(dirname "$0")/.."

bin=$dest$prefix/bin/forerun
man=$dest$prefix/share/man/man8/forerun.8
unit=$dest$prefix/lib/systemd/system/forerun.service
users=$dest$prefix/lib/sysusers.d/forerun.conf
doc=$dest$prefix/share/doc/forerun
etc=$dest/etc/forerun

# Only on the running system itself, not while a package is put together.
on_this_system() {
	[ -z "$dest" ] && [ -d /run/systemd/system ]
}

install_all() {
	install -D -m 755 "$build/forerun" "$bin"
	install -D -m 644 deploy/forerun.8 "$man"
	mkdir -p "$(dirname "$unit")"
	sed "s|/usr/bin/forerun|$prefix/bin/forerun|" deploy/systemd/forerun.service > "$unit"
	chmod 644 "$unit"
	install -D -m 644 deploy/systemd/forerun.sysusers "$users"
	mkdir -p "$doc"
	if [ -d deploy/examples ]; then
		cp -R deploy/examples "$doc/"
	fi
	mkdir -p "$etc/conf.d"
	[ -e "$etc/forerun.yaml" ] || install -m 644 deploy/forerun.yaml "$etc/forerun.yaml"
	if on_this_system; then
		systemd-sysusers "$users"
		systemctl daemon-reload
	fi
	echo "installed $bin; nothing is enabled or started: systemctl enable --now forerun"
}

uninstall_all() {
	if on_this_system; then
		systemctl disable --now forerun.service 2>/dev/null || true
	fi
	rm -f "$bin" "$man" "$unit" "$users"
	rm -rf "$doc"
	if on_this_system; then
		systemctl daemon-reload
	fi
	rmdir "$etc/conf.d" 2>/dev/null || true
	echo "removed; what is yours is left: $etc, /var/lib/forerun, the user forerun"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*)
	echo "usage: install.sh install|uninstall" >&2
	exit 2
	;;
esac
