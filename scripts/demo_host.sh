#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo_host.sh DIRECTORY COMMAND...: what runs on one of the demo's hosts, in namespaces of its own (network, pid, mounts,
# cgroup): nginx, and the command, which sees nothing of the other hosts. Everything ends with this process.
set -eu
directory=$1
shift
mount --make-rprivate /
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
nginx -p "$directory" -c "$directory/nginx.conf" 2>/dev/null &
exec "$@"
