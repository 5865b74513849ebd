#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# boot.sh DIRECTORY: systemd as process 1 on an overlay of this system's root, for machine.py. It runs in namespaces of its
# own (mount, pid, uts, ipc, cgroup, network); DIRECTORY/files is laid over the root. Nothing of this system is changed.
set -eu

directory=$1
root=$directory/root

mount --make-rprivate /
mount -t tmpfs none "$directory/disk"
mkdir "$directory/disk/upper" "$directory/disk/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$directory/disk/upper,workdir=$directory/disk/work" "$root"

mount -t proc proc "$root/proc"
mount -o bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -o remount,bind,ro "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
	touch "$root/dev/$node"
	mount -o bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# Only what the test brings is to start.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/systemd/system/*.requires "$root"/lib/systemd/system/timers.target.wants
for unit in udevd udev-trigger sysctl modules-load remount-fs random-seed; do
	ln -sf /dev/null "$root/etc/systemd/system/systemd-$unit.service"
done
cp -R "$directory/files/." "$root/"
cat "$directory/ca.pem" >>"$root/etc/ssl/certs/ca-certificates.crt"

mkdir "$root/mnt/old"
cd "$root"
pivot_root . mnt/old
umount -l /mnt/old
exec env -i container=forerun-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=test.target systemd.log_target=journal
