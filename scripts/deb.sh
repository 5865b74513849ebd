#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds build/forerun_VERSION_ARCH.deb from what `make` built. Needs dpkg-dev.
set -eu

version=$1
build=${BUILD:-build}
cd "$(dirname "$0")/.."
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

DESTDIR=$root PREFIX=/usr BUILD=$build sh scripts/install.sh install >/dev/null
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/forerun"
gzip -9n "$root/usr/share/man/man8/forerun.8"
install -m 644 deploy/deb/copyright "$root/usr/share/doc/forerun/copyright"
gzip -9nc deploy/deb/changelog > "$root/usr/share/doc/forerun/changelog.gz"
# Debian's units live in /lib, and its user is made by postinst.
mkdir -p "$root/lib"
mv "$root/usr/lib/systemd" "$root/lib/systemd"
rm -rf "$root/usr/lib"
find "$root" -type d -exec chmod 755 {} +
find "$root/usr/share" -type f -exec chmod 644 {} +

mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: forerun\n\nPackage: forerun\nArchitecture: any\n' > "$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/forerun 2>/dev/null |
	sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "deb.sh: dpkg-shlibdeps found no libraries" >&2; exit 1; }
size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@DEPENDS@|$depends|" \
	-e "s|@SIZE@|$size|" deploy/deb/control.in > "$root/DEBIAN/control"
install -m 644 deploy/deb/conffiles "$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
	install -m 755 "deploy/deb/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr lib -type f -exec md5sum {} + | sort -k2 > DEBIAN/md5sums)
chmod 644 "$root/DEBIAN/md5sums"

package=$build/forerun_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
