# SPDX-License-Identifier: Apache-2.0
"""How the probe comes and goes: what it leaves, what it adopts, and what it needs."""

import os
import subprocess

import pytest
from probing import BUILD, bpf_ids, wait_until
from tcp import connect, exchange, listen, port_of


PROGRAM = BUILD / "tools/probe_dump"
CAPABILITIES = ("bpf", "perfmon", "net_admin")


def as_nobody(capabilities):
    """The command that runs another as uid 65534 with these capabilities and no way to more."""
    listed = ",".join("+" + name for name in capabilities)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
            f"--bounding-set=-all,{listed}", f"--inh-caps=-all,{listed}", f"--ambient-caps=-all,{listed}"]


def gone(objects):
    """The kernel frees programs and maps a moment after their last holder."""
    wait_until(lambda: not objects & bpf_ids(), "programs, maps and links gone")


def own_pins(directory):
    """The kernel puts files of its own into a new BPF file system."""
    return [name for name in os.listdir(directory) if not name.endswith(".debug")]


def traffic(server, connections, exchanges):
    for _ in range(connections):
        with connect("127.0.0.1", port_of(server)) as client, server.accept()[0] as accepted:
            exchange(client, accepted, exchanges)


def test_probe_that_ends_leaves_nothing(start_probe, sockets):
    sockets(listen())
    probe = start_probe()
    held = probe.bpf_objects()
    assert {kind for kind, _ in held} == {"prog", "map", "link"}
    probe.close()
    gone(held)


def test_probe_that_is_killed_leaves_nothing(start_probe, sockets):
    sockets(listen())
    probe = start_probe()
    held = probe.bpf_objects()
    assert held
    probe.kill()
    gone(held)


def test_probe_that_pins_goes_on_counting_while_it_is_dead(start_probe, sockets, bpf_directory):
    server = sockets(listen())
    port = port_of(server)
    probe = start_probe("--pin", bpf_directory)
    client = sockets(connect("127.0.0.1", port))
    accepted = sockets(server.accept()[0])
    traffic(server, 10, 5)
    probe.wait(port, requests=50)
    held = probe.bpf_objects()
    probe.kill()
    traffic(server, 10, 5)
    exchange(client, accepted, 7)
    late = sockets(listen())
    traffic(late, 3, 1)

    probe = start_probe("--pin", bpf_directory)
    one = probe.wait(port, requests=107, responses=107, in_flight=0)
    assert (one["established"], one["accepted"], one["closed"]) == (21, 21, 20)
    assert one["open_connections"] == 1 and one["sockets"] == 1
    assert probe.wait(port_of(late), requests=3)["established"] == 3
    traffic(server, 1, 1)
    probe.wait(port, requests=108)
    links = {one for one in held if one[0] == "link"} & probe.bpf_objects()
    assert links, "the links of before were adopted"


def test_pins_of_other_settings_are_removed_so_that_nothing_counts_twice(start_probe, sockets, bpf_directory):
    probe = start_probe("--pin", bpf_directory)
    held = probe.bpf_objects()
    probe.close()
    before = own_pins(bpf_directory)
    assert len(before) == 1
    start_probe("--pin", bpf_directory, "--listeners-max", 77)
    after = own_pins(bpf_directory)
    assert len(after) == 1 and after != before
    gone(held)


def test_directory_for_pins_must_be_on_a_bpf_file_system(tmp_path):
    done = subprocess.run([PROGRAM, "--pin", tmp_path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    assert f"cannot pin in {tmp_path}: it is not on a BPF file system" in done.stderr


def test_three_capabilities_are_enough(start_probe, sockets):
    before = sockets(listen())
    probe = start_probe(command=as_nobody(CAPABILITIES))
    after = sockets(listen())
    for server in (before, after):
        traffic(server, 2, 3)
        one = probe.wait(port_of(server), requests=6, responses=6, closed=2)
        assert one["pid"] == os.getpid()


@pytest.mark.parametrize("missing", CAPABILITIES)
def test_capability_that_is_missing_is_named(missing):
    rest = [name for name in CAPABILITIES if name != missing]
    done = subprocess.run([*as_nobody(rest), PROGRAM], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    assert f"CAP_{missing.upper()} is missing" in done.stderr
