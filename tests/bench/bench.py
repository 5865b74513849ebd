# SPDX-License-Identifier: Apache-2.0
"""make bench: what forerun costs and how fast it is, measured here and now. Table to stdout, JSON to $BUILD/bench.json.

Every row runs the real thing. EC2's stand-in answers CreateFleet without moto, and its time of arrival is the receiving
kernel's, so no figure holds a millisecond of Python. Some fifteen minutes; run it on a machine that is otherwise idle.
    python tests/bench/bench.py [--only edge,throughput,...] [--edges 250] [--agents 10000]
"""

import argparse
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile
import time

import fleet_rows
import host_rows
import plan_rows
from parts import BUILD, progress


def print_table(machine, results, failures):
    print(f"\n{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB; Linux {machine['kernel']}; load before {machine['load_before']}\n")
    table = [("what", "measured", "reach", "reached")] + [row for room in ROOMS for row in room.rows(results)]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for index, row in enumerate(table):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if index == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for name, why in failures.items():
        print(f"\nnot measured: {name}: {why}")


def machine_facts():
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith(("model name", "Model"))), platform.machine())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return {"cpu": model, "cpus": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release(), "load_before": os.getloadavg()[0],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


ROOMS = (host_rows, fleet_rows, plan_rows)
BENCHES = {name: bench for room in ROOMS for name, bench in room.BENCHES.items()}


def main():
    parser = argparse.ArgumentParser(description="what forerun costs and how fast it is")
    parser.add_argument("--only", default=",".join(BENCHES), help="which rows, by comma")
    parser.add_argument("--edges", type=int, default=250)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--agent-seconds", type=int, default=20)
    parser.add_argument("--agents", type=int, default=10_000, help="of the largest fleet")
    parser.add_argument("--decisions", type=int, default=100_000, help="in the journal that is read back")
    parser.add_argument("--instances", type=int, default=10_000, help="that a core finds")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    unknown = [name for name in options.only.split(",") if name not in BENCHES]
    if unknown:
        parser.error(f"--only: found {', '.join(unknown)}, expected of {', '.join(BENCHES)}")
    if os.geteuid() != 0:
        print("the benches load kernel programs: run them as root (sudo make bench)", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine, results, failures = machine_facts(), {}, {}
    # On the disk that a journal would be on, not on a tmpfs.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as directory:
        for name in options.only.split(","):
            progress(name)
            try:
                results[name] = BENCHES[name](pathlib.Path(directory), options)
            except (RuntimeError, OSError, subprocess.SubprocessError, AssertionError) as why:
                failures[name] = str(why)
    print_table(machine, results, failures)
    (BUILD / "bench.json").write_text(json.dumps({"machine": machine, "results": results, "failures": failures}, indent=1) + "\n")
    print(f"\nJSON: {BUILD / 'bench.json'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
