# SPDX-License-Identifier: Apache-2.0
"""Sockets for tests: listeners that do not accept by themselves, clients, and whole servers in other processes."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading

ANY_PORT = 0
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

FAMILIES = {
    "IPv4": ("127.0.0.1", "127.0.0.1"),
    "IPv6": ("::1", "::1"),
    "IPv4 mapped on IPv6": ("::", "127.0.0.1"),
}


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def listen(host="127.0.0.1", port=ANY_PORT, backlog=8, reuse_port=False):
    one = socket.socket(family_of(host), socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if host == "::":
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.bind((host, port))
    one.listen(backlog)
    return one


def port_of(one):
    return one.getsockname()[1]


def connect(host, port, source=None):
    one = socket.socket(family_of(host), socket.SOCK_STREAM)
    if source:
        one.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: as many ports for each source address
        one.bind((source, 0))
    one.settimeout(20)
    one.connect((host, port))
    return one


def connect_without_waiting(host, port):
    one = socket.socket(family_of(host), socket.SOCK_STREAM)
    one.setblocking(False)
    one.connect_ex((host, port))
    return one


def receive(one, size):
    """Exactly that many bytes."""
    got = b""
    while len(got) < size:
        more = one.recv(size - len(got))
        assert more, f"closed after {len(got)} of {size} bytes"
        got += more
    return got


def exchange(client, server, times=1):
    """Requests and responses, one after the other."""
    for _ in range(times):
        client.sendall(REQUEST)
        receive(server, len(REQUEST))
        server.sendall(RESPONSE)
        receive(client, len(RESPONSE))


class Other:
    """Python code in another process; it prints lines (say()) and is told lines (tell())."""

    def __init__(self, code, *arguments, prefix=()):
        self.process = subprocess.Popen([*prefix, sys.executable, "-c", code, *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def say(self, seconds=60):
        line = self.lines.get(timeout=seconds)
        assert line, f"the other process ended with {self.process.wait()}"
        return line.strip()

    def tell(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def end(self):
        """Kills it with its children."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __exit__(self, *unused):
        self.end()
        self.reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()
