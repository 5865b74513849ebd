#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes types.txt.gz anew: what Karpenter's own provider makes of the instance types of moto's data,
# which is where user/plan/catalog.json is from. Needs Go and its modules (some minutes the first
# time), and the Python modules of the tests. `make test` does not run it: it reads what it wrote.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-../../../build/venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export GOFLAGS="${GOFLAGS:-} -mod=mod"

"$python" -c 'import gzip, pathlib, sys, moto.ec2
data = pathlib.Path(moto.ec2.__file__).parent / "resources/instance_types.json.gz"
sys.stdout.buffer.write(gzip.decompress(data.read_bytes()))' >"$scratch/types.json"
go build -o "$scratch/types" .
"$scratch/types" "$scratch/types.json" classes.yaml >"$scratch/types.txt"
gzip -9nc "$scratch/types.txt" >types.txt.gz
