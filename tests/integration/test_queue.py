# SPDX-License-Identifier: Apache-2.0
"""The accept queue as the kernel has it: every depth, every overflow, every listener."""

import os
import socket
import time

import pytest
from probing import wait_until
from tcp import FAMILIES, Other, connect, connect_without_waiting, exchange, listen, port_of

BACKLOG = 8


@pytest.mark.parametrize("family", FAMILIES)
def test_depth_is_the_number_of_connections_made_at_each_step(probe, sockets, family):
    bound, to = FAMILIES[family]
    server = sockets(listen(bound, backlog=BACKLOG))
    port = port_of(server)
    for made in range(1, BACKLOG + 2):
        sockets(connect(to, port))
        one = probe.wait(port, queue_depth=made, established=made)
        assert one["queue_limit"] == one["queue_worst_limit"] == BACKLOG
        assert one["queue_worst_depth"] == one["open_connections"] == made
        assert one["accepted"] == one["overflows"] == one["drops"] == 0
        assert one["family"] == server.family and one["sockets"] == 1
    for left in range(BACKLOG, -1, -1):
        sockets(server.accept()[0])
        one = probe.wait(port, queue_depth=left, accepted=BACKLOG + 1 - left)
        assert one["open_connections"] == BACKLOG + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_one_connection_more_than_fit_is_an_overflow(probe, sockets, family):
    bound, to = FAMILIES[family]
    server = sockets(listen(bound, backlog=BACKLOG))
    port = port_of(server)
    for _ in range(BACKLOG + 1):
        sockets(connect(to, port))
    assert probe.wait(port, queue_depth=BACKLOG + 1)["overflows"] == 0
    sockets(connect_without_waiting(to, port))
    one = wait_until(lambda: (seen := probe.listener(port))["overflows"] >= 1 and seen, "an overflow")
    assert one["drops"] >= 1
    assert one["queue_depth"] == one["established"] == BACKLOG + 1
    assert one["syns"] >= BACKLOG + 2


def test_peak_of_a_burst_between_two_samples_is_seen(probe, sockets):
    server = sockets(listen(backlog=64))
    port = port_of(server)
    assert probe.wait(port, queue_depth=0)["queue_peak"] == 0
    for _ in range(20):
        sockets(connect("127.0.0.1", port))
    for _ in range(20):
        sockets(server.accept()[0])
    one = probe.listener(port)
    assert one["queue_depth"] == 0
    assert 19 <= one["queue_peak"] <= 20  # two final ACKs at once see the same depth
    assert probe.listener(port)["queue_peak"] == 0


def test_edge_comes_when_the_threshold_is_crossed_and_when_the_depth_doubles_and_when_full(start_probe, sockets):
    probe = start_probe("--edge-depth", 4)
    server = sockets(listen(backlog=BACKLOG + 3))
    port = port_of(server)
    identity = probe.wait(port, sockets=1)["id"]

    def make(total):
        """Slower than the pause between two edges, and each seen in the queue before the next."""
        sockets(connect("127.0.0.1", port))
        probe.wait(port, queue_depth=total)
        time.sleep(0.01)

    for total in (1, 2, 3):
        make(total)
    probe.no_edge(identity, seconds=0.2)
    make(4)
    edge = probe.edge(probe.listener(port)["id"])
    assert (edge["depth"], edge["limit"], edge["full"]) == (4, BACKLOG + 3, False)
    for total in range(5, BACKLOG + 5):
        make(total)
    edges = [probe.edge(probe.listener(port)["id"]), probe.edge(probe.listener(port)["id"])]
    assert [(edge["depth"], edge["full"]) for edge in edges] == [(8, False), (12, True)]
    probe.no_edge(identity, seconds=0.2)


def test_edge_comes_again_after_the_queue_was_emptied(start_probe, sockets):
    probe = start_probe("--edge-depth", 2)
    server = sockets(listen(backlog=BACKLOG))
    port = port_of(server)
    identity = probe.wait(port, sockets=1)["id"]
    for _ in range(3):
        for total in (1, 2):
            sockets(connect("127.0.0.1", port))
            probe.wait(port, queue_depth=total)
        assert probe.edge(probe.listener(port)["id"])["depth"] == 2
        for _ in range(2):
            sockets(server.accept()[0])
        time.sleep(0.01)
    probe.no_edge(identity, seconds=0.2)


def test_edge_comes_by_itself_without_a_sample(start_probe, sockets):
    server = sockets(listen(backlog=BACKLOG))
    probe = start_probe("--edge-depth", 1)
    sockets(connect("127.0.0.1", port_of(server)))
    edge = probe.edge()
    assert edge["depth"] >= 1
    assert 0 < edge["latency_ns"] < 5_000_000_000


def test_queue_smaller_than_the_threshold_gives_an_edge_when_full(start_probe, sockets):
    probe = start_probe("--edge-depth", 100)
    server = sockets(listen(backlog=1))
    port = port_of(server)
    for total in (1, 2):
        sockets(connect("127.0.0.1", port))
        probe.wait(port, queue_depth=total)
    edge = probe.edge(probe.listener(port)["id"])
    assert (edge["depth"], edge["limit"], edge["full"]) == (2, 1, True)


def test_threshold_that_is_set_later_holds_for_listeners_that_come_later(start_probe, sockets):
    probe = start_probe("--edge-depth", 1000)
    before = sockets(listen(backlog=BACKLOG))
    probe.wait(port_of(before), sockets=1)
    assert probe.ask("set-edge 2") == {"set_edge": 0}
    after = sockets(listen(backlog=BACKLOG))
    for server in (before, after):
        for total in (1, 2):
            sockets(connect("127.0.0.1", port_of(server)))
            probe.wait(port_of(server), queue_depth=total)
        assert probe.edge(probe.listener(port_of(server))["id"])["depth"] == 2


def test_sockets_that_share_a_port_are_one_listener_with_their_sum_and_the_worst(probe, sockets):
    servers = [sockets(listen(backlog=BACKLOG, reuse_port=True))]
    port = port_of(servers[0])
    servers += [sockets(listen(port=port, backlog=BACKLOG, reuse_port=True)) for _ in range(3)]
    for _ in range(12):
        sockets(connect("127.0.0.1", port))
    one = probe.wait(port, queue_depth=12)
    assert (one["sockets"], one["queue_limit"], one["established"]) == (4, 4 * BACKLOG, 12)
    waiting = []
    for server in servers:
        server.setblocking(False)
        waiting.append(0)
        while True:
            try:
                sockets(server.accept()[0])
            except BlockingIOError:
                break
            waiting[-1] += 1
    assert sum(waiting) == 12
    assert one["queue_worst_depth"] == max(waiting) and one["queue_worst_limit"] == BACKLOG
    probe.wait(port, queue_depth=0, accepted=12)


IN_NAMESPACE = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=8)
clients = [socket.create_connection(server.getsockname()) for _ in range(int(sys.argv[2]))]
print(os.stat("/proc/self/ns/net").st_ino, flush=True)
input()
"""


def test_same_port_in_two_network_namespaces_is_two_listeners(probe, sockets):
    port = 18080
    expected = {}
    for connections in (2, 5):
        other = sockets(Other(IN_NAMESPACE, port, connections, prefix=["unshare", "--net"]))
        expected[int(other.say())] = connections
    for netns, connections in expected.items():
        one = probe.wait(port, netns, queue_depth=connections)
        assert one["established"] == connections and one["netns"] == netns
    assert len(expected) == 2


def test_namespace_that_existed_before_is_seen(start_probe, sockets):
    other = sockets(Other(IN_NAMESPACE, 18081, 3, prefix=["unshare", "--net"]))
    netns = int(other.say())
    assert start_probe().wait(18081, netns, queue_depth=3)["pid"] == other.process.pid


@pytest.mark.parametrize("family", FAMILIES)
def test_listener_and_connections_that_existed_before_are_followed(start_probe, sockets, family):
    bound, to = FAMILIES[family]
    server = sockets(listen(bound, backlog=200))
    port = port_of(server)
    pairs = []
    for _ in range(100):
        client = sockets(connect(to, port))
        pairs.append((client, sockets(server.accept()[0])))
    queued = [sockets(connect(to, port)) for _ in range(5)]
    probe = start_probe()
    one = probe.wait(port, queue_depth=5, open_connections=100)
    assert (one["established"], one["accepted"], one["pid"]) == (0, 0, os.getpid())
    assert one["comm"] and one["comm"] in open("/proc/self/comm").read()
    for client, accepted in pairs:
        exchange(client, accepted, times=2)
    probe.wait(port, requests=200, responses=200, in_flight=0)
    taken = [sockets(server.accept()[0]) for _ in queued]
    probe.wait(port, queue_depth=0, accepted=5, open_connections=105)  # the early search finds those five
    for client, accepted in [*pairs, *zip(queued, taken)]:
        client.close()
        accepted.close()
    probe.wait(port, open_connections=0, closed=105)


def test_client_whose_peer_listens_is_no_server_connection(start_probe, sockets):
    server = sockets(listen())
    client = sockets(connect("127.0.0.1", port_of(server)))
    accepted = sockets(server.accept()[0])
    probe = start_probe()
    exchange(client, accepted, times=3)
    one = probe.wait(port_of(server), requests=3, responses=3)
    assert one["open_connections"] == 1


def test_server_that_restarts_200_times_keeps_its_counters_and_its_one_place(start_probe, sockets):
    probe = start_probe()
    first = listen()
    port = port_of(first)
    slot = probe.wait(port, sockets=1)["slot"]
    for turn in range(200):
        server = first if turn == 0 else listen(port=port)
        with server, connect("127.0.0.1", port) as client, server.accept()[0] as accepted:
            exchange(client, accepted)
        if turn % 20 == 0:
            assert probe.listener(port)["slot"] == slot
    one = probe.wait(port, established=200, closed=200, open_connections=0)
    assert (one["slot"], one["sockets"], one["accepted"], one["requests"]) == (slot, 0, 200, 200)
    assert probe.sample()["health"]["listeners_refused"] == 0


def test_places_of_listeners_that_have_gone_are_given_to_others(start_probe, sockets):
    probe = start_probe("--listeners-max", 100)
    seen = set()
    for _ in range(4):
        servers = [listen() for _ in range(70)]
        ports = [port_of(server) for server in servers]
        for port in ports:  # the first found no room only until a sample made some
            probe.wait(port, sockets=1)
        with connect("127.0.0.1", ports[0]) as client, servers[0].accept()[0] as accepted:
            exchange(client, accepted)
        assert probe.wait(ports[0], responses=1)["established"] == 1
        seen.update(ports)
        for server in servers:
            server.close()
    wait_until(lambda: not seen & {one["port"] for one in probe.sample()["listeners"]},
               "all places given back", seconds=30)


def test_thousand_listeners_are_all_there(start_probe, sockets, many_files):
    probe = start_probe("--listeners-max", 2048)
    servers = [sockets(listen(backlog=4)) for _ in range(1000)]
    for server in servers[::10]:
        sockets(connect("127.0.0.1", port_of(server)))
    for server in servers[::10]:
        probe.wait(port_of(server), queue_depth=1)
    sample = probe.sample()
    found = {one["port"]: one for one in sample["listeners"] if one["sockets"]}
    ports = {port_of(server) for server in servers}
    assert len(ports) == 1000 and ports <= found.keys()
    assert sum(found[port]["queue_depth"] for port in ports) == 100
    assert sample["health"]["listeners_refused"] == 0


def test_full_table_of_listeners_is_counted_and_filled_again(start_probe, sockets):
    servers = [listen() for _ in range(200)]
    probe = start_probe("--listeners-max", 100)
    sample = probe.sample()
    assert sample["health"]["listeners_refused"] >= 100 and len(sample["listeners"]) == 100
    known = {one["port"] for one in sample["listeners"]}
    missing = [server for server in servers if port_of(server) not in known]
    for server in servers:
        if server not in missing:
            server.close()
    for server in missing[:5]:
        probe.wait(port_of(server), sockets=1, seconds=40)
    for server in missing:
        server.close()


# Four processes on each side, so that none needs more files than a process may have anywhere.
MANY = """
import os, resource, select, socket, sys
count, port = int(sys.argv[1]) // 4, int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
if not port:
    server = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(server.getsockname()[1], flush=True)
child = 0
while child < 3 and os.fork():
    child += 1

def connect():
    one = socket.socket()
    one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    one.bind((f"127.0.0.{2 + child}", 0))
    one.connect(("127.0.0.1", port))
    return one

def serve(sockets):
    by_fd = {one.fileno(): one for one in sockets}
    waiting = select.epoll()
    for fd in [0, *by_fd]:
        waiting.register(fd, select.EPOLLIN)
    while True:
        for fd, _ in waiting.poll():
            if fd == 0 or not (request := by_fd[fd].recv(100)):
                return
            by_fd[fd].sendall(request)

all = [connect() if port else server.accept()[0] for _ in range(count)]
os.write(1, b"done\\n")
if not port:
    serve(all)
os.read(0, 1)
for one in all[:500]:
    one.sendall(b"request")
    one.recv(100)
os.write(1, b"answered\\n")
os.read(0, 1)
"""


def test_twenty_thousand_connections_are_followed(probe, sockets):
    count = 20_000
    server = sockets(Other(MANY, count, 0))
    port = int(server.say())
    clients = sockets(Other(MANY, count, port))
    for other in (server, clients):
        assert [other.say() for _ in range(4)] == ["done"] * 4
    one = probe.wait(port, queue_depth=0, established=count, open_connections=count)
    assert (one["accepted"], one["requests"]) == (count, 0)
    for _ in range(4):
        clients.tell()
    assert [clients.say() for _ in range(4)] == ["answered"] * 4
    probe.wait(port, requests=2000, responses=2000, in_flight=0)
    clients.end()
    server.end()
    probe.wait(port, closed=count, open_connections=0, seconds=60)
    assert probe.sample()["health"]["connections_refused"] == 0


def test_connections_over_the_maximum_are_refused_and_counted(start_probe, sockets, many_files):
    server = sockets(listen(backlog=2000))
    probe = start_probe("--connections-max", 1000)
    before = probe.sample()["health"]["connections_refused"]
    port = port_of(server)
    clients = [sockets(connect("127.0.0.1", port)) for _ in range(1500)]
    one = probe.wait(port, established=1500)
    assert one["open_connections"] <= 1000
    assert probe.sample()["health"]["connections_refused"] - before >= 500
    for client in clients:
        client.close()
    server.close()
    probe.wait(port, open_connections=0)
    again = sockets(listen(backlog=200))
    sockets(connect("127.0.0.1", port_of(again)))
    probe.wait(port_of(again), open_connections=1)


def test_listener_that_has_just_begun_is_known_by_its_process(probe, sockets):
    server = sockets(listen())
    one = probe.wait(port_of(server), sockets=1)
    assert one["pid"] == os.getpid()
    assert one["comm"] == open("/proc/self/comm").read().strip()
    assert one["netns"] == os.stat("/proc/self/ns/net").st_ino and one["cgroup_id"] > 0
    assert one["address"] == "127.0.0.1"


def test_sockets_that_do_not_listen_are_not_there(probe, sockets):
    bound = sockets(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    bound.bind(("127.0.0.1", 0))
    datagrams = sockets(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams.bind(("127.0.0.1", 0))
    server = sockets(listen())
    probe.wait(port_of(server), sockets=1)
    assert not probe.listeners(port_of(bound)) and not probe.listeners(port_of(datagrams))
