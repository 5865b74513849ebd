# SPDX-License-Identifier: Apache-2.0
"""AF_UNIX listeners: depth, limit, name and owner, against what the test itself queued."""

import os
import socket
import subprocess
import sys

import pytest
from forerun_process import Forerun
from probing import wait_until

COMM = open("/proc/self/comm").read().strip()
NAMES = {"path": lambda directory: os.fspath(directory / "app.sock"),
         "abstract": lambda directory: f"\0forerun-{os.getpid()}-{directory.name}"}


def shown(name):
    return name.replace("\0", "@")


def listen(name, backlog=16, kind=socket.SOCK_STREAM):
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind(name)
    server.listen(backlog)
    return server


def connect(name, kind=socket.SOCK_STREAM):
    client = socket.socket(socket.AF_UNIX, kind)
    client.setblocking(False)
    client.connect(name)
    return client


def found(probe, name):
    return [one for one in probe.sample()["listeners"] if one["path"] == shown(name) and one["sockets"]]


def wait(probe, name, **expected):
    def as_expected():
        return [one for one in found(probe, name) if all(one[field] == value for field, value in expected.items())]
    return wait_until(as_expected, f"{shown(name)} with {expected}: {found(probe, name)}")[0]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET], ids=["stream", "seqpacket"])
@pytest.mark.parametrize("where", NAMES)
def test_the_depth_is_what_was_queued(start_probe, sockets, tmp_path, where, kind):
    name = NAMES[where](tmp_path)
    server = sockets(listen(name, 5, kind))
    probe = start_probe()
    for depth in range(1, 7):
        sockets(connect(name, kind))
        assert wait(probe, name, queue_depth=depth)["queue_limit"] == 5
    with pytest.raises(BlockingIOError):  # it holds one more than its limit
        connect(name, kind)
    listener = found(probe, name)[0]
    assert (listener["family"], listener["port"], listener["comm"]) == (socket.AF_UNIX, 0, COMM)
    assert listener["pid"] == os.getpid() and listener["cgroup_id"]
    for depth in range(5, -1, -1):
        sockets(server.accept()[0])
        wait(probe, name, queue_depth=depth)
    assert found(probe, name)[0]["accepted"] == 6


def test_what_is_taken_shows_though_the_depth_is_the_same(start_probe, sockets, tmp_path):
    name = NAMES["path"](tmp_path)
    server = sockets(listen(name))
    probe = start_probe()
    sockets(connect(name))
    for taken in range(10):
        assert wait(probe, name, queue_depth=1)["accepted"] == taken
        sockets(connect(name))
        sockets(server.accept()[0])


def test_neither_sockets_that_do_not_listen_nor_datagrams_are_listeners(start_probe, sockets, tmp_path):
    bound = sockets(socket.socket(socket.AF_UNIX))
    bound.bind(os.fspath(tmp_path / "bound"))
    datagram = sockets(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    datagram.bind(os.fspath(tmp_path / "datagram"))
    for one in socket.socketpair():
        sockets(one)
    probe = start_probe()
    assert not [one for one in probe.sample()["listeners"] if one["path"].startswith(os.fspath(tmp_path))]


def test_one_that_begins_later_is_found_and_one_that_ends_is_gone(start_probe, tmp_path):
    probe = start_probe("--rescan-ms", 200)
    name = NAMES["path"](tmp_path)
    with listen(name):
        wait(probe, name, queue_depth=0)
    wait_until(lambda: not found(probe, name), "the listener is gone")


def test_names_of_any_bytes_are_text(start_probe, sockets):
    longest = "\0" + "n" * 107
    sockets(listen(longest))
    sockets(listen(b"\0caf\xc3\xa9\n\0end"))
    probe = start_probe()
    wait(probe, longest, queue_depth=0)
    wait(probe, "@caf???" + "?end", queue_depth=0)


def test_an_agent_that_starts_again_goes_on(start_probe, sockets, tmp_path, bpf_directory):
    name = NAMES["abstract"](tmp_path)
    sockets(listen(name))
    pin = bpf_directory + "/forerun"
    probe = start_probe("--pin", pin)
    for _ in range(3):
        sockets(connect(name))
    before = wait(probe, name, queue_depth=3)
    probe.kill()
    again = start_probe("--pin", pin)
    after = wait(again, name, queue_depth=3)
    assert after["id"] == before["id"] and len(found(again, name)) == 1


SERVER = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(7)
clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
for client in clients:
    client.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("namespaces", [("--net",), ("--mount",), ("--net", "--mount", "--ipc", "--uts")], ids=" ".join)
def test_those_of_other_namespaces_are_seen(start_probe, tmp_path, namespaces):
    path = os.fspath(tmp_path / "inside.sock")
    # In a mount namespace of its own the path is on a file system that nobody else sees.
    hide = [f"mount -t tmpfs tmpfs {tmp_path} && "] if "--mount" in namespaces else [""]
    command = ["unshare", *namespaces, "sh", "-c", hide[0] + 'exec "$0" -c "$1" "$2"', sys.executable, SERVER, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        assert os.path.exists(path) == ("--mount" not in namespaces)
        listener = wait(start_probe(), path, queue_depth=4)
        assert listener["queue_limit"] == 7 and listener["pid"] == server.pid
        netns = os.stat(f"/proc/{server.pid}/ns/net").st_ino
        assert listener["netns"] == netns and (netns != os.stat("/proc/self/ns/net").st_ino) == ("--net" in namespaces)
        server.stdin.close()


def test_a_thousand_take_no_more_than_their_quarter_of_the_table(start_probe, sockets, tmp_path, many_files):
    names = [f"\0{tmp_path.name}-{os.getpid()}-{n}" for n in range(1000)]
    for name in names:
        sockets(listen(name))
    probe = start_probe("--listeners-max", 400)
    sample = probe.sample()
    seen = [one for one in sample["listeners"] if one["family"] == socket.AF_UNIX]
    assert len(seen) == 100
    assert sample["health"]["unix_refused"] >= 900 and sample["health"]["listeners_refused"] == 0
    server = sockets(socket.create_server(("127.0.0.1", 0)))
    assert probe.wait(server.getsockname()[1], sockets=1)
    known = {one["id"] for one in seen}
    assert {one["id"] for one in probe.sample()["listeners"] if one["family"] == socket.AF_UNIX} == known


def test_a_server_that_does_not_accept_is_shown_as_stalled_with_what_is_known(tmp_path):
    path = os.fspath(tmp_path / "app.sock")
    with subprocess.Popen([sys.executable, "-c", SERVER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server, \
            Forerun(tmp_path / "state") as forerun:
        assert server.stdout.readline() == "ready\n"
        forerun.started()
        found = []

        def stalled(line):
            found[:] = [one for one in line.get("listeners", [])
                        if one["listener"] == f"unix:{path}" and one["diagnosis"] == "app-stalled"]
            return found
        forerun.wait_line(stalled)
        labels, metrics = found[0]["labels"], found[0]["metrics"]
        assert (labels["address"], labels["port"]) == (f"unix:{path}", "0") and labels["process"].startswith("python")
        assert metrics["forerun_accept_queue_depth"]["last"] == 4 and found[0]["queue_limit"] == 7
        assert metrics["forerun_accept_queue_utilization"]["last"] == 0.5
        assert metrics["forerun_accept_queue_wait_seconds"]["last"] >= 0.9
        assert found[0]["counters"] is None and found[0]["quality"]["requests"] is None
        assert not {name for name in metrics if "per_second" in name or "in_flight" in name or "open" in name}
        assert "accept queue stood at 4 of 7" in found[0]["reason"]
        text = forerun.get("/metrics")[2]
        mine = [line for line in text.splitlines() if f'address="unix:{path}"' in line]
        assert [line for line in mine if line.startswith("forerun_accept_queue_depth{") and line.endswith(" 4")]
        assert not [line for line in mine if "_total{" in line]
        assert "forerun_probe_unix_listeners_refused 0" in text
        server.stdin.close()
