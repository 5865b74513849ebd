# SPDX-License-Identifier: Apache-2.0
"""What all benches use: children, processor time, memory, percentiles."""

import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests/ec2"), str(ROOT / "tests/chaos")]

from testbed import BUILD  # noqa: E402
from whole import child, cpu_seconds, resident_mib  # noqa: E402

TOOLS = BUILD / "tools"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(values, digits=2):
    return {"p50": round(statistics.median(values), digits), "p99": round(percentile(values, 0.99), digits), "n": len(values)}


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def fdatasync_ms(directory, count=200):
    """The disk's own: what one journal line costs at least."""
    times = []
    path = directory / "fdatasync"
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            start = time.monotonic()
            file.write(b"x" * 1024)
            os.fdatasync(file.fileno())
            times.append((time.monotonic() - start) * 1000)
    path.unlink()
    return times


__all__ = ["BUILD", "ROOT", "TOOLS", "child", "cpu_seconds", "fdatasync_ms", "percentile", "progress", "resident_mib", "spread"]
