# SPDX-License-Identifier: Apache-2.0
"""Drives build/tools/probe_dump from a test."""

import json
import os
import pathlib
import queue
import re
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()


def free_port(family=socket.AF_INET, address="127.0.0.1"):
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def wait_until(condition, what, seconds=20):
    """Looks until condition() gives something true, and returns that."""
    until = time.monotonic() + seconds
    while not (seen := condition()):
        assert time.monotonic() < until, f"not within {seconds} s: {what} (last seen: {seen!r})"
        time.sleep(0.01)
    return seen


def bpf_ids():
    """Ids of every program, map and link of this host: {("prog", 12), ...}."""
    tool = "/usr/sbin/bpftool" if os.path.exists("/usr/sbin/bpftool") else "bpftool"
    return {(kind, one["id"]) for kind in ("prog", "map", "link")
            for one in json.loads(subprocess.run([tool, "-j", kind], check=True, capture_output=True).stdout or "[]")}


class Dump:
    """The probe in a process of its own. Edges that came are in .edges."""

    def __init__(self, *options, command=()):
        self.edges = []
        self._answers = queue.Queue()
        self.process = subprocess.Popen([*command, BUILD / "tools/probe_dump", *map(str, options)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._answer() == {"ready": True}

    def _read(self):
        for line in self.process.stdout:
            record = json.loads(line)
            if "edge" in record:
                self.edges.append(record["edge"])
            else:
                self._answers.put(record)
        self._answers.put(None)

    def _answer(self):
        answer = self._answers.get(timeout=60)
        assert answer is not None, "probe_dump ended: its errors are on standard error"
        return answer

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        return self._answer()

    def sample(self):
        return self.ask("sample")["sample"]

    def listeners(self, port, netns=None):
        return [found for found in self.sample()["listeners"]
                if found["port"] == port and netns in (None, found["netns"])]

    def listener(self, port, netns=None):
        """The only listener on that port (of that network namespace), waited for."""
        until = time.monotonic() + 10
        while True:
            found = self.listeners(port, netns)
            if len(found) == 1:
                return found[0]
            assert time.monotonic() < until, f"{len(found)} listeners on port {port}"
            time.sleep(0.02)

    def wait(self, port, netns=None, seconds=20, **expected):
        """The listener on that port once its fields read as expected."""
        until = time.monotonic() + seconds
        while True:
            listener = self.listener(port, netns)
            if all(listener[name] == value for name, value in expected.items()):
                return listener
            assert time.monotonic() < until, f"expected {expected}, seen {({n: listener[n] for n in expected})}: {listener}"
            time.sleep(0.01)

    def edge(self, identity=None, seconds=20):
        """The next edge that no call has returned yet (of the listener with that id), waited for."""
        return wait_until(lambda: self._take_edge(identity), "an edge", seconds)

    def _take_edge(self, identity):
        for edge in self.edges:
            if identity in (None, edge["listener_id"]):
                self.edges.remove(edge)
                return edge
        return None

    def no_edge(self, identity, seconds):
        """Fails when an edge of that listener comes within that time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert not (edge := self._take_edge(identity)), f"an edge that should not be: {edge}"
            time.sleep(0.01)

    def bpf_objects(self):
        """Ids of what this process holds in the kernel: {("prog", 12), ...}."""
        held = set()
        for path in pathlib.Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            held.update((kind, int(number)) for kind, number in
                        re.findall(r"^(prog|map|link)_id:\s+(\d+)", path.read_text(), re.MULTILINE))
        return held

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.write("quit\n")
        assert self.process.wait(20) == 0
        self._reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.close()
        self.process.wait(20)
        self._reader.join(10)
        self.process.stdout.close()
