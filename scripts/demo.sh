#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make demo: a queue forms in the kernel, and capacity is on its way. Root, because of network namespaces and BPF.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "the demo makes a network namespace and loads kernel programs: run it as root (sudo make demo)" >&2
	exit 1
fi
exec "${BUILD:-build}/venv/bin/python" scripts/demo.py "$@"
