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
units=$dest$prefix/lib/systemd/system
users=$dest$prefix/lib/sysusers.d/forerun.conf
doc=$dest$prefix/share/doc/forerun
etc=$dest/etc/forerun

# forerun runs alone; an agent reports to a core. Which of them a host runs is its owner's choice.
unit_files="deploy/systemd/forerun.service deploy/standalone/forerun-agent.service
 deploy/standalone/forerun-core.service"

# Only on the running system itself, not while a package is put together.
on_this_system() {
	[ -z "$dest" ] && [ -d /run/systemd/system ]
}

install_all() {
	install -D -m 755 "$build/forerun" "$bin"
	install -D -m 644 deploy/forerun.8 "$man"
	mkdir -p "$units"
	for file in $unit_files; do
		sed "s|/usr/bin/forerun|$prefix/bin/forerun|" "$file" > "$units/$(basename "$file")"
		chmod 644 "$units/$(basename "$file")"
	done
	install -D -m 644 deploy/systemd/forerun.sysusers "$users"
	mkdir -p "$doc"
	if [ -d deploy/examples ]; then
		cp -R deploy/examples "$doc/"
	fi
	mkdir -p "$doc/standalone"
	cp -R deploy/standalone/cloudformation.yaml deploy/standalone/user-data.sh deploy/standalone/iam "$doc/standalone/"
	mkdir -p "$etc/conf.d"
	for file in deploy/forerun.yaml deploy/standalone/agent.yaml deploy/standalone/core.yaml; do
		[ -e "$etc/$(basename "$file")" ] || install -m 644 "$file" "$etc/$(basename "$file")"
	done
	if on_this_system; then
		systemd-sysusers "$users"
		systemctl daemon-reload
	fi
	echo "installed $bin; nothing is enabled or started: systemctl enable --now forerun (or forerun-agent, forerun-core)"
}

uninstall_all() {
	if on_this_system; then
		systemctl disable --now forerun.service forerun-agent.service forerun-core.service 2>/dev/null || true
	fi
	rm -f "$bin" "$man" "$users"
	for file in $unit_files; do
		rm -f "$units/$(basename "$file")"
	done
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
