#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes cases.txt anew from the real controller: generate.sh [COUNT [SEED]]. Needs Go and its modules
# (several minutes the first time). `make test` does not run it: it reads what it wrote.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export GOFLAGS="${GOFLAGS:-} -mod=mod"

# The controller's memory is private to its package: inside.go.txt joins it in a copy of the module.
original=$(go mod download -json k8s.io/kubernetes | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
mkdir "$scratch/kubernetes"
cp -r "$original/pkg" "$original/go.mod" "$scratch/kubernetes/"
chmod -R u+w "$scratch/kubernetes"
cp inside.go.txt "$scratch/kubernetes/pkg/controller/podautoscaler/peer.go"

mkdir "$scratch/main"
cp go.mod main.go "$scratch/main/"
[ ! -f go.sum ] || cp go.sum "$scratch/main/"
here=$PWD
cd "$scratch/main"
go mod edit -replace "k8s.io/kubernetes=$scratch/kubernetes"
go build -o "$scratch/hpa" .
"$scratch/hpa" -count "${1:-3000}" -seed "${2:-1}" >"$scratch/cases.txt"
mv "$scratch/cases.txt" "$here/cases.txt"
cp go.sum "$here/go.sum"
