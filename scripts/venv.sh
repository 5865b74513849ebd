#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes $BUILD/venv (default: build/venv) with the Python modules of tests/requirements.txt.
# Costs nothing when that file has not changed since.
set -eu

cd "$(dirname "$0")/.."
build=${BUILD:-build}
venv=$build/venv
wanted=tests/requirements.txt
done=$venv/requirements.installed

if [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$done" && "$venv/bin/python" -c '' 2>/dev/null; then
	exit 0
fi

if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
	echo "python3 cannot make virtual environments here; install it: sudo apt-get install python3-venv" >&2
	exit 1
fi

mkdir -p "$build"
log=$build/venv.log
echo "python: making $venv"
# A venv that was moved or half made is made anew.
python3 -m venv --clear "$venv" >"$log" 2>&1 || {
	cat "$log" >&2
	exit 1
}
echo "python: installing $(grep -c '^[A-Za-z]' "$wanted") modules of $wanted (about half a minute)"
if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -r "$wanted" >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "the modules of $wanted could not be installed; the whole output is in $log" >&2
	exit 1
fi
cp "$wanted" "$done"
echo "python: ready"
