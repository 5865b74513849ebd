# SPDX-License-Identifier: Apache-2.0
"""What the gauges of a listener do when connections begin, wait, break and end."""

import socket
import struct
import time

from tcp import REQUEST, RESPONSE, connect, exchange, listen, port_of, receive


def pair(sockets, server):
    client = sockets(connect("127.0.0.1", port_of(server)))
    return client, sockets(server.accept()[0])


def reset(one):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def test_request_is_in_flight_until_its_response_begins(probe, sockets):
    server = sockets(listen())
    client, accepted = pair(sockets, server)
    client.sendall(REQUEST)
    probe.wait(port_of(server), requests=1, responses=0, in_flight=1)
    accepted.sendall(RESPONSE)
    probe.wait(port_of(server), requests=1, responses=1, in_flight=0)


def test_client_that_goes_while_its_request_is_in_flight_leaves_nothing_behind(probe, sockets):
    server = sockets(listen())
    for _ in range(3):
        client, accepted = pair(sockets, server)
        client.sendall(REQUEST)
        receive(accepted, len(REQUEST))
        reset(client)
        accepted.close()
    one = probe.wait(port_of(server), requests=3, closed=3, in_flight=0)
    assert (one["responses"], one["open_connections"]) == (0, 0)


def test_request_and_response_of_many_segments_count_once(probe, sockets):
    server = sockets(listen())
    client, accepted = pair(sockets, server)
    for _ in range(5):
        for _ in range(10):
            client.sendall(b"r" * 1000)
            receive(accepted, 1000)
        for _ in range(10):
            accepted.sendall(b"a" * 1000)
            receive(client, 1000)
    probe.wait(port_of(server), requests=5, responses=5, in_flight=0)


def test_continue_is_not_the_response(probe, sockets):
    server = sockets(listen())
    client, accepted = pair(sockets, server)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    for _ in range(3):
        client.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")
        accepted.recv(1000)
        accepted.sendall(interim)
        receive(client, len(interim))
        client.sendall(b"body")
        receive(accepted, 4)
        accepted.sendall(RESPONSE)
        receive(client, len(RESPONSE))
    probe.wait(port_of(server), requests=3, responses=3, in_flight=0)


def test_request_that_came_before_accept_is_counted(probe, sockets):
    server = sockets(listen())
    clients = [sockets(connect("127.0.0.1", port_of(server))) for _ in range(4)]
    for client in clients:
        client.sendall(REQUEST)
    one = probe.wait(port_of(server), requests=4, in_flight=4, queue_depth=4)
    assert one["accepted"] == 0


def test_connection_reset_while_it_waits_is_accepted_when_accept_takes_it(probe, sockets):
    server = sockets(listen())
    for client in [connect("127.0.0.1", port_of(server)) for _ in range(3)]:
        reset(client)
    one = probe.wait(port_of(server), closed=3, open_connections=0, queue_depth=3)
    assert one["accepted"] == 0
    for _ in range(3):
        sockets(server.accept()[0])
    probe.wait(port_of(server), queue_depth=0, accepted=3)


def test_connections_lost_with_their_listener_are_not_accepted(probe, sockets):
    server = listen()
    port = port_of(server)
    clients = [sockets(connect("127.0.0.1", port)) for _ in range(5)]
    probe.wait(port, queue_depth=5)
    for _ in range(2):
        sockets(server.accept()[0])
    probe.wait(port, queue_depth=3, accepted=2)
    server.close()
    one = probe.wait(port, sockets=0, queue_depth=0, closed=3, open_connections=2)
    assert (one["accepted"], one["established"]) == (2, 5)
    assert len(clients) == 5


def test_time_in_the_queue_is_measured_where_accept_asks_for_the_address(probe, sockets):
    server = sockets(listen())
    client = sockets(connect("127.0.0.1", port_of(server)))
    probe.wait(port_of(server), queue_depth=1)
    time.sleep(0.1)
    accepted = sockets(server.accept()[0])
    one = probe.wait(port_of(server), accept_waits=1)
    assert 100_000_000 <= one["accept_wait_ns"] < 20_000_000_000
    accepted.getpeername()
    exchange(client, accepted)
    assert probe.wait(port_of(server), responses=1)["accept_waits"] == 1


def test_response_times_fall_into_their_buckets(probe, sockets):
    server = sockets(listen())
    client, accepted = pair(sockets, server)
    for _ in range(5):
        client.sendall(REQUEST)
        receive(accepted, len(REQUEST))
        time.sleep(0.05)
        accepted.sendall(RESPONSE)
        receive(client, len(RESPONSE))
    one = probe.wait(port_of(server), responses=5)
    assert sum(one["buckets"].values()) == 5
    assert 5 * 50_000_000 <= one["response_ns"]
    # Bucket 1 + 8 * octave: from 2^octave us on. 2^15 us = 33 ms is below all of them.
    assert min(map(int, one["buckets"])) >= 1 + 8 * 15


def test_own_cost_is_measured(probe, sockets):
    server = sockets(listen())
    client, accepted = pair(sockets, server)
    exchange(client, accepted, times=500)
    probe.wait(port_of(server), responses=500)
    health = probe.sample()["health"]
    assert health["kernel_runs"] >= 64 and health["kernel_ns"] > 0
    assert health["iterator_errors"] == 0 and health["edges_lost"] == 0
