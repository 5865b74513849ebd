# SPDX-License-Identifier: Apache-2.0
"""What forerun counts against what the load generator counted: to the last request.

h2load sends an exact number and waits for every answer, so all three counts must be equal to its own. wrk stops in the middle: what
was in flight at its cut (at most one request a connection) is the only difference there may be.
"""

import contextlib
import pathlib
import re
import subprocess
import time

import pytest

from probing import BUILD, Dump, free_port

SERVERS = pathlib.Path(__file__).parent / "servers"


@contextlib.contextmanager
def running(command, **options):
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield server
    finally:
        server.stdin.close()
        server.terminate()
        server.wait(10)
        server.stdout.close()


@contextlib.contextmanager
def nginx(tmp_path):
    port = free_port()
    config = (SERVERS / "nginx.conf").read_text().replace("PREFIX", str(tmp_path)).replace("PORT", str(port))
    (tmp_path / "nginx.conf").write_text(config)
    with running(["nginx", "-e", tmp_path / "error.log", "-p", tmp_path, "-c", tmp_path / "nginx.conf"]):
        yield port


@contextlib.contextmanager
def threaded(_):
    with running(["python3", SERVERS / "threaded.py"]) as server:
        yield int(server.stdout.readline())


@contextlib.contextmanager
def go(_):
    binary = BUILD / "go-server"
    if not binary.exists():
        subprocess.run(["go", "build", "-o", binary, SERVERS / "server.go"], check=True)
    with running([binary]) as server:
        yield int(server.stdout.readline())


KINDS = {"nginx": nginx, "threaded": threaded, "go": go}


@pytest.fixture(scope="module")
def dump():
    with Dump() as running_dump:
        yield running_dump


def h2load(port, requests, clients, *headers):
    options = [option for header in headers for option in ("-H", header)]
    out = subprocess.run(["h2load", "--h1", "-n", str(requests), "-c", str(clients), *options, f"http://127.0.0.1:{port}/"],
                         check=True, capture_output=True, text=True, timeout=120).stdout
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", out)
    assert counts, out
    done, succeeded, failed, errored = map(int, counts.groups())
    assert (done, failed, errored) == (requests, 0, 0), out
    return succeeded


def wrk(port, connections, seconds, *headers):
    options = [option for header in headers for option in ("-H", header)]
    out = subprocess.run(["wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s", *options,
                          f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    return int(re.search(r"(\d+) requests in", out).group(1))


COUNTERS = ("requests", "responses", "established", "closed")


def counted(dump, port, before=None, settled=True):
    """The listener's counters, less those of before, once nothing is open or under way any more."""
    until = time.monotonic() + 10
    while True:
        listener = dump.listener(port)
        if not settled or (listener["open_connections"] == 0 and listener["in_flight"] == 0):
            break
        assert time.monotonic() < until, f"connections were closed but still count as open: {listener}"
        time.sleep(0.05)
    return {name: listener[name] - (before[name] if before else 0) for name in COUNTERS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clients", [1, 8, 64])
def test_h2load_keep_alive_is_counted_to_the_last_request(kind, clients, dump, tmp_path):
    with KINDS[kind](tmp_path) as port:
        before = counted(dump, port)
        requests = 2000 if kind == "threaded" else 8000
        succeeded = h2load(port, requests, clients)
        assert counted(dump, port, before) == {
            "requests": succeeded, "responses": succeeded, "established": clients, "closed": clients}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clients", [1, 16])
def test_connection_close_is_one_request_a_connection(kind, clients, dump, tmp_path):
    with KINDS[kind](tmp_path) as port:
        before = counted(dump, port)
        succeeded = h2load(port, 1000, clients, "Connection: close")
        seen = counted(dump, port, before)
        assert (seen["requests"], seen["responses"]) == (succeeded, succeeded)
        assert seen["established"] == seen["closed"] == succeeded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("connections", [2, 32])
@pytest.mark.parametrize("headers", [(), ("Connection: close",)], ids=["keep-alive", "close"])
def test_wrk_differs_only_by_what_was_in_flight_at_the_cut(kind, connections, headers, dump, tmp_path):
    with KINDS[kind](tmp_path) as port:
        before = counted(dump, port)
        reported = wrk(port, connections, 1, *headers)
        seen = counted(dump, port, before)
        assert 0 <= seen["requests"] - reported <= connections
        # What wrk no longer waited for may still have been answered.
        assert 0 <= seen["responses"] - reported <= connections
        assert seen["responses"] <= seen["requests"]
        assert seen["established"] == seen["closed"]


def test_twenty_repeats_do_not_drift(dump, tmp_path):
    with nginx(tmp_path) as port:
        start = counted(dump, port)
        expected = 0
        for repeat in range(20):
            expected += h2load(port, 1000 + 37 * repeat, 1 + repeat)
            seen = counted(dump, port, start)
            assert (seen["requests"], seen["responses"]) == (expected, expected), f"repeat {repeat}"
