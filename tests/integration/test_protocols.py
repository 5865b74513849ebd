# SPDX-License-Identifier: Apache-2.0
"""What forerun counts on HTTP/2, TLS, WebSocket, PROXY protocol and others, against what the client counted."""

import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from probing import BUILD, Dump, free_port
from test_exactness import counted, running

SERVERS = pathlib.Path(__file__).parent / "servers"
PORTS = ("PLAIN", "TLS12", "TLS13", "PROXY", "DEFERRED")
HTTP1, HTTP2, TLS, OTHER, UPGRADED = range(5)
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture(scope="module")
def dump():
    with Dump() as running_dump:
        yield running_dump


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", directory / "key.pem", "-out", directory / "certificate.pem"],
                   check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def nginx(pki):
    """Ports by name."""
    ports = {name: free_port() for name in PORTS}
    config = (SERVERS / "nginx-protocols.conf").read_text().replace("PREFIX", str(pki))
    for name, port in ports.items():
        config = config.replace(f":{name} ", f":{port} ")
    (pki / "nginx.conf").write_text(config)
    with running(["nginx", "-e", pki / "error.log", "-p", pki, "-c", pki / "nginx.conf"]):
        yield ports


def client_context(version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def h2load(url, requests, clients, *options):
    out = subprocess.run(["h2load", "-n", str(requests), "-c", str(clients), *options, url],
                         check=True, capture_output=True, text=True, timeout=120).stdout
    assert f"{requests} done, {requests} succeeded, 0 failed, 0 errored" in out, out
    return requests


def seen(dump, port, before, protocol):
    """Counters since before, once all is closed; every connection spoke that protocol."""
    listener = counted(dump, port, before)
    now = dump.listener(port)
    assert now["lower_bounds"] == 0
    assert sum(now["protocols"]) == now["protocols"][protocol] == now["established"], now
    return listener


@pytest.mark.parametrize("clients, streams", [(1, 1), (1, 100), (8, 10), (64, 4)])
def test_http2_streams_are_counted_one_by_one(dump, nginx, clients, streams):
    before = counted(dump, nginx["PLAIN"])
    done = h2load(f"http://127.0.0.1:{nginx['PLAIN']}/", 4000, clients, "-m", str(streams))
    assert seen(dump, nginx["PLAIN"], before, HTTP2) == {
        "requests": done, "responses": done, "established": clients, "closed": clients}


@pytest.mark.parametrize("name", ["TLS12", "TLS13"])
@pytest.mark.parametrize("headers", [(), ("-H", "Connection: close")], ids=["keep-alive", "close"])
@pytest.mark.parametrize("clients", [1, 16])
def test_http1_inside_tls_is_exact(dump, nginx, name, headers, clients):
    before = counted(dump, nginx[name])
    done = h2load(f"https://127.0.0.1:{nginx[name]}/", 600, clients, "--h1", *headers)
    got = seen(dump, nginx[name], before, TLS)
    assert (got["requests"], got["responses"]) == (done, done)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_resumed_handshakes_do_not_count(dump, nginx, version):
    port = nginx["TLS12" if version == ssl.TLSVersion.TLSv1_2 else "TLS13"]
    before = counted(dump, port)
    context, session, resumed = client_context(version), None, 0
    for _ in range(20):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), session=session) as client:
            for _ in range(3):
                client.sendall(REQUEST)
                assert b"200" in client.recv(4096)
            session = client.session
            resumed += client.session_reused
    assert resumed >= 18
    got = seen(dump, port, before, TLS)
    assert (got["requests"], got["responses"]) == (60, 60)


def test_handshakes_without_a_request_count_nothing(dump, nginx):
    for name in ("TLS12", "TLS13"):
        before = counted(dump, nginx[name])
        for _ in range(10):
            with client_context().wrap_socket(socket.create_connection(("127.0.0.1", nginx[name]))):
                time.sleep(0.01)
        got = seen(dump, nginx[name], before, TLS)
        assert (got["requests"], got["responses"]) == (0, 0)


def test_early_data_is_a_request(dump, nginx, pki, tmp_path):
    port = nginx["TLS13"]
    before = counted(dump, port)
    (tmp_path / "early").write_bytes(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-ign_eof"]
    first = subprocess.run([*command, "-sess_out", tmp_path / "session"], input=(tmp_path / "early").read_bytes(),
                           capture_output=True, timeout=20)
    assert b"200 OK" in first.stdout
    early = 0
    for _ in range(5):
        again = subprocess.run([*command, "-sess_in", tmp_path / "session", "-sess_out", tmp_path / "session", "-early_data",
                                tmp_path / "early"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        early += b"Early data was accepted" in again.stdout
        assert b"200 OK" in again.stdout
    assert early == 5
    got = seen(dump, port, before, TLS)
    assert (got["requests"], got["responses"]) == (6, 6)


def tls_servers(pki):
    def go():
        binary = BUILD / "go-tls-server"
        if not binary.exists():
            subprocess.run(["go", "build", "-o", binary, SERVERS / "tls.go"], check=True)
        return [binary, pki / "certificate.pem", pki / "key.pem"]
    return {"go": go, "node": lambda: [shutil.which("node") or "node", SERVERS / "tls.js", pki / "certificate.pem", pki / "key.pem"]}


@pytest.mark.parametrize("kind", ["go", "node"])
def test_other_tls_stacks_are_exact_too(dump, pki, kind):
    with running(tls_servers(pki)[kind]()) as server:
        port = int(server.stdout.readline())
        before = counted(dump, port)
        done = h2load(f"https://127.0.0.1:{port}/", 500, 10, "--h1")
        for _ in range(3):
            subprocess.run(["curl", "-ks", "-o", "/dev/null", "-d", "x" * 1000, f"https://127.0.0.1:{port}/"], check=True, timeout=20)
        got = seen(dump, port, before, TLS)
        assert (got["requests"], got["responses"]) == (done + 3, done + 3)


def uploads(port, sizes, session=None):
    """Each on a connection of its own, right behind the handshake; then one request more. Returns how many were answered."""
    context, answered = client_context(ssl.TLSVersion.TLSv1_3), 0
    for size in sizes:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), session=session) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            for request in (b"", REQUEST):
                client.sendall(request) if request else None
                assert b"200" in client.recv(4096)
                answered += 1
            session = client.session
    return answered


@pytest.mark.parametrize("kind", ["go", "node"])
def test_tickets_that_come_in_the_middle_of_an_upload_are_no_response(dump, pki, tmp_path, kind):
    with running(tls_servers(pki)[kind]()) as server:
        port = int(server.stdout.readline())
        before = counted(dump, port)
        done = uploads(port, [100, 17000, 65536, 300000, 1000000, 5000000] * 5 + [10 << 20])
        (tmp_path / "body").write_bytes(bytes(3000000))
        for _ in range(5):
            subprocess.run(["curl", "-ksf", "-o", "/dev/null", "-H", "Expect:", "--data-binary", f"@{tmp_path / 'body'}",
                            f"https://127.0.0.1:{port}/"], check=True, timeout=20)
        got = seen(dump, port, before, TLS)
        assert (got["requests"], got["responses"]) == (done + 5, done + 5)


def test_requests_that_complete_the_handshake_count(dump, nginx):
    """With TCP_DEFER_ACCEPT the first request and the handshake's last segment are one."""
    before = counted(dump, nginx["DEFERRED"])
    done = h2load(f"http://127.0.0.1:{nginx['DEFERRED']}/", 500, 8, "--h1", "-H", "Connection: close")
    got = seen(dump, nginx["DEFERRED"], before, HTTP1)
    assert (got["requests"], got["responses"]) == (done, done)


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n",
                                    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(4) + bytes(4) + b"\x03\xe8\0\x50"],
                         ids=["v1", "v2"])
@pytest.mark.parametrize("apart", [False, True], ids=["with the request", "in front of it"])
def test_a_proxy_header_is_no_request(dump, nginx, header, apart):
    before = counted(dump, nginx["PROXY"])
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", nginx["PROXY"])) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(header if apart else header + REQUEST)
            if apart:
                time.sleep(0.01)
                client.sendall(REQUEST)
            for _ in range(2):
                assert b"200 OK" in client.recv(4096)
                client.sendall(REQUEST)
            assert b"200 OK" in client.recv(4096)
    got = seen(dump, nginx["PROXY"], before, HTTP1)
    assert (got["requests"], got["responses"]) == (15, 15)


class Scripted:
    """A server that plays a function with each connection."""

    def __init__(self, play):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.play = play
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            with one:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.play(one)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def test_a_websocket_is_one_request_however_much_it_says(dump):
    def play(one):
        one.recv(4096)
        one.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while one.recv(4096):
            one.sendall(b"\x81\x02ok")

    with Scripted(play) as server:
        before = counted(dump, server.port)
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert b"101" in client.recv(4096)
            for _ in range(20):
                client.sendall(b"\x81\x85maskhello")
                client.recv(4096)
        got = counted(dump, server.port, before)
        assert (got["requests"], got["responses"]) == (1, 1)
        assert dump.listener(server.port)["protocols"] == [1, 0, 0, 0, 1]


def test_a_server_that_speaks_first_is_not_off_by_one(dump):
    def play(one):
        one.sendall(b"220 hello\r\n")
        while one.recv(4096):
            one.sendall(b"250 ok\r\n")

    with Scripted(play) as server:
        before = counted(dump, server.port)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                assert client.recv(4096) == b"220 hello\r\n"
                for _ in range(7):
                    client.sendall(b"NOOP\r\n")
                    client.recv(4096)
        got = seen(dump, server.port, before, OTHER)
        assert (got["requests"], got["responses"]) == (21, 21)


def frame(kind, flags, stream, body=b""):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


@pytest.mark.parametrize("piece", [1, 3, 8, 9, 10, 100])
def test_http2_frames_in_pieces(dump, nginx, piece):
    """Each piece is a segment of its own, so that headers of frames are cut everywhere."""
    request = bytes([0x82, 0x86, 0x84, 0x41, 4]) + b"test"  # HPACK: GET http / test
    stream = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
    stream += b"".join(frame(1, 5, 2 * n + 1, request) for n in range(5)) + frame(6, 0, 0, bytes(8))
    before = counted(dump, nginx["PLAIN"])
    with socket.create_connection(("127.0.0.1", nginx["PLAIN"])) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(10)
        for at in range(0, len(stream), piece):
            client.sendall(stream[at:at + piece])
        answer = b""
        while answer.count(b"ok") < 5:
            answer += client.recv(4096)
    got = seen(dump, nginx["PLAIN"], before, HTTP2)
    assert (got["requests"], got["responses"]) == (5, 5)


def test_tls_connections_that_were_there_before(nginx, start_probe):
    port = nginx["TLS13"]
    clients = [client_context().wrap_socket(socket.create_connection(("127.0.0.1", port))) for _ in range(10)]
    for client in clients:
        client.sendall(REQUEST)
        assert b"200 OK" in client.recv(4096)
    probe = start_probe()
    probe.wait(port, open_connections=10)
    for _ in range(3):
        for client in clients:
            client.sendall(REQUEST)
            assert b"200 OK" in client.recv(4096)
    for client in clients:
        client.close()
    listener = probe.wait(port, open_connections=0)
    assert (listener["requests"], listener["responses"]) == (30, 30)
    assert listener["protocols"][TLS] == 10


def test_garbage_and_half_finished_handshakes_are_bounded(dump, nginx):
    """No crash, no request out of nothing, and the counting goes on."""
    before = counted(dump, nginx["PLAIN"])
    for garbage in (b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9 * 5000, b"PROXY " + b"x" * 200, bytes(range(256)) * 8):
        with socket.create_connection(("127.0.0.1", nginx["PLAIN"])) as client:
            try:
                client.sendall(garbage)
                client.settimeout(1)
                client.recv(4096)
            except (ConnectionError, TimeoutError):
                pass
    done = h2load(f"http://127.0.0.1:{nginx['PLAIN']}/", 500, 4, "-m", "10")
    got = counted(dump, nginx["PLAIN"], before)
    assert done <= got["requests"] <= done + 3
    assert done <= got["responses"] <= got["requests"]
