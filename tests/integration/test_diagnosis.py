# SPDX-License-Identifier: Apache-2.0
"""Each diagnosis, made for real: real servers, real connections, the kernel's own queues, read by probe, place and signal."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve() / "tools" / "signal_dump"

# Accepts, works for some time of CPU or sleep, answers, closes. Listens on a port of its own and prints it.
SERVER = """
import socket, sys, time
backlog, busy, pause = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[4], 0))
listener.listen(backlog)
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    connection.settimeout(float(sys.argv[5]))
    try:
        connection.recv(4096)
        end = time.process_time() + busy
        while time.process_time() < end:
            pass
        time.sleep(pause)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    except OSError:
        pass
    connection.close()
"""

# A bounded number of SYNs from addresses that do not answer, to one port of its own network namespace.
FLOOD = """
import random, socket, struct, sys, time
port, count, per_second = map(int, sys.argv[1:])
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
target = socket.inet_aton("10.77.0.1")
started = time.monotonic()
for sent in range(count):
    source = socket.inet_aton(f"10.77.{random.randrange(1, 250)}.{random.randrange(1, 250)}")
    tcp = struct.pack("!HHIIBBHHH", random.randrange(1024, 65000), port, random.randrange(2**32), 0, 5 << 4, 2, 64240, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), sent & 0xffff, 0, 64, 6, 0, source, target)
    raw.sendto(header + tcp, ("10.77.0.1", 0))
    behind = started + sent / per_second - time.monotonic()
    if behind > 0:
        time.sleep(behind)
"""


class Dump:
    """signal_dump, read line by line as it comes."""

    def __init__(self):
        assert TOOL.exists(), f"{TOOL} is missing: make tools"
        # Port 1 has no listener: nothing is told until a port is watched, however many listeners this host has.
        self.process = subprocess.Popen([TOOL, "300", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.arrived = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.next_sample()

    def _read(self):
        for text in self.process.stdout:
            with self.arrived:
                self.lines.append(json.loads(text))
                self.arrived.notify_all()

    def watch(self, port):
        """From now on only this port is told. Returns the line from which on it is."""
        self.process.stdin.write(f"{port}\n")
        self.process.stdin.flush()
        return self.next_sample()

    def next_sample(self):
        with self.arrived:
            seen = len(self.lines)
            assert self.arrived.wait_for(lambda: len(self.lines) > seen, 20), "signal_dump says nothing"
            return seen

    def of(self, port, since=0):
        """(kind, listener) of each line since then that has this port."""
        with self.arrived:
            lines = self.lines[since:]
        return [(line["kind"], listener) for line in lines for listener in line["listeners"] if listener["port"] == port]

    def wait(self, port, condition, seconds=20, since=0):
        """The first listener on that port, since then, for which the condition holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _, listener in self.of(port, since):
                if condition(listener):
                    return listener
            time.sleep(0.05)
        told = [(listener["diagnosis"], listener["reason"]) for _, listener in self.of(port, since)]
        pytest.fail(f"never in {seconds} s; last: {told[-3:]}")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.reader.join(10)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def dump():
    running = Dump()
    yield running
    running.close()


@contextlib.contextmanager
def server(backlog, busy=0.0, pause=0.0, netns=None, address="127.0.0.1", patience=10.0):
    command = [sys.executable, "-c", SERVER, str(backlog), str(busy), str(pause), address, str(patience)]
    if netns:
        command = ["ip", "netns", "exec", netns, *command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    process.port = int(process.stdout.readline())
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
    return client


def ask(port):
    with connect(port) as client:
        while client.recv(4096):
            pass


class Clients:
    """Threads that ask again and again, with a pause between."""

    def __init__(self, port, count, pause):
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(port, pause), daemon=True) for _ in range(count)]

    def _run(self, port, pause):
        while not self.stopped.wait(pause):
            with contextlib.suppress(OSError):
                ask(port)

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)


def diagnosed(diagnosis):
    return lambda listener: listener["diagnosis"] == diagnosis


def last(listener, metric):
    return listener["metrics"]["forerun_" + metric]["last"]


def test_idle(dump):
    with server(backlog=128) as target:
        dump.watch(target.port)
        since = dump.next_sample()
        listener = dump.wait(target.port, diagnosed("idle"), since=since)
        assert "no connection and no request" in listener["reason"]
        time.sleep(1)
        assert {listener["diagnosis"] for _, listener in dump.of(target.port, since)} == {"idle"}


def test_ok(dump):
    with server(backlog=128) as target:
        dump.watch(target.port)
        with Clients(target.port, count=1, pause=0.05):
            since = dump.next_sample()
            listener = dump.wait(target.port, lambda it: it["diagnosis"] == "ok" and
                                 (it["metrics"]["forerun_requests_per_second"]["slow"] or 0) > 3, since=since)
            assert "nothing to do" in listener["reason"]
        told = {listener["diagnosis"] for _, listener in dump.of(target.port, since)}
        assert told <= {"idle", "ok"}
        dump.wait(target.port, diagnosed("idle"), since=dump.next_sample())


def test_a_busy_server_needs_capacity(dump):
    # 10 ms of CPU each: about 100 a second at most, and 20 clients who want more.
    with server(backlog=128, busy=0.010) as target:
        dump.watch(target.port)
        with Clients(target.port, count=20, pause=0):
            since = dump.next_sample()
            listener = dump.wait(target.port, lambda it: it["diagnosis"] == "needs-capacity" and
                                 (it["metrics"]["forerun_cpu_cores"]["fast"] or 0) > 0.2 and
                                 it["capacity"] is not None, since=since, seconds=30)
            assert "add capacity" in listener["reason"]
            assert 5 < listener["capacity"] < 110
        told = [listener["diagnosis"] for _, listener in dump.of(target.port, since)]
        assert not {"app-stalled", "backlog-too-small", "attack-or-scan"} & set(told)


def test_a_burst_on_an_idle_listener_needs_capacity_on_the_edge_itself(dump):
    with server(backlog=128, pause=0.05) as target:
        dump.watch(target.port)
        dump.wait(target.port, diagnosed("idle"), since=dump.next_sample())
        since = dump.next_sample()
        clients = [connect(target.port) for _ in range(12)]
        try:
            dump.wait(target.port, diagnosed("needs-capacity"), since=since)
            edges = [listener for kind, listener in dump.of(target.port, since) if kind == "edge" and
                     last(listener, "accept_queue_depth") >= 4]
            assert edges, "no edge came"
            assert edges[0]["diagnosis"] == "needs-capacity"
        finally:
            for client in clients:
                client.close()


def test_a_stopped_server_is_stalled_and_needs_nothing_more(dump):
    with server(backlog=64) as target:
        dump.watch(target.port)
        ask(target.port)
        # Its CPU is known once its process was found.
        dump.wait(target.port, lambda it: last(it, "cpu_cores") is not None, since=dump.next_sample())
        target.send_signal(signal.SIGSTOP)
        since = dump.next_sample()
        clients = [connect(target.port) for _ in range(20)]
        try:
            listener = dump.wait(target.port, diagnosed("app-stalled"), since=since)
            assert last(listener, "accept_queue_depth") == 20
            assert "stood at 20 of 64" in listener["reason"] and "stalled" in listener["reason"]
            told = [listener["diagnosis"] for _, listener in dump.of(target.port, since)]
            first = told.index("app-stalled")
            assert set(told[:first]) <= {"idle", "ok", "needs-capacity"}
            stalled = dump.next_sample()
            time.sleep(0.5)
            assert {listener["diagnosis"] for _, listener in dump.of(target.port, stalled)} == {"app-stalled"}
            moving = dump.next_sample()
            target.send_signal(signal.SIGCONT)
            dump.wait(target.port, lambda it: it["diagnosis"] in ("ok", "idle"), since=moving)
        finally:
            for client in clients:
                client.close()


def test_short_bursts_on_a_tiny_backlog_ask_for_a_larger_backlog(dump):
    # The clients of a burst say nothing: none of them may hold the server.
    with server(backlog=2, patience=0.001) as target:
        dump.watch(target.port)
        dump.wait(target.port, lambda it: True, since=dump.next_sample())
        since = dump.next_sample()
        # The server is held for a moment, as by a short pause of garbage collection, and a burst comes.
        for _ in range(3):
            target.send_signal(signal.SIGSTOP)
            burst = []
            for _ in range(12):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", target.port))
                burst.append(client)
            time.sleep(0.1)
            target.send_signal(signal.SIGCONT)
            time.sleep(0.7)
            for client in burst:
                client.close()
        listener = dump.wait(target.port, diagnosed("backlog-too-small"), since=since)
        assert "backlog of 2" in listener["reason"] and "somaxconn" in listener["reason"]
        assert listener["metrics"]["forerun_overflows_per_second"]["slow"] > 0


@pytest.fixture
def namespace():
    name = f"forerun-flood-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in ("link set lo up", "addr add 10.77.0.1/16 dev lo"):
            subprocess.run(["ip", "-n", name, *command.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_syn_flood_is_an_attack(dump, namespace):
    with server(backlog=64, netns=namespace, address="10.77.0.1") as target:
        dump.watch(target.port)
        dump.wait(target.port, lambda it: it["netns"] != os.stat("/proc/self/ns/net").st_ino, since=dump.next_sample())
        since = dump.next_sample()
        flood = subprocess.Popen(["ip", "netns", "exec", namespace, sys.executable, "-c", FLOOD, str(target.port), "2500", "500"])
        try:
            listener = dump.wait(target.port, diagnosed("attack-or-scan"), since=since)
            assert "SYN flood" in listener["reason"]
            assert last(listener, "accept_queue_depth") == 0
            assert flood.wait(30) == 0
        finally:
            flood.kill()
            flood.wait(10)
        told = {listener["diagnosis"] for _, listener in dump.of(target.port, since)}
        assert "needs-capacity" not in told and "app-stalled" not in told
        dump.wait(target.port, lambda it: it["diagnosis"] in ("ok", "idle"), since=dump.next_sample())
