# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1.1 connection as the test bed needs it: requests as raw bytes, with the kernel's time of their arrival."""

import asyncio
import ctypes
import dataclasses
import socket
import struct

SO_TIMESTAMPNS = 35  # struct timespec, CLOCK_REALTIME; accepted sockets inherit it from the listener
SO_ATTACH_FILTER = 26  # struct sock_fprog: a program of BPF's first kind
BPF_RET_K = 0x06
REQUEST_BYTES_MAX = 8 << 20


class Closed(Exception):
    """The client has gone, or what it sent is no request."""


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: dict  # lower-case names
    raw_head: list  # header lines as they came
    body: bytes
    t_kernel: float  # when its first bytes reached this host's TCP
    t_kernel_last: float  # its last


def listen(host="127.0.0.1", port=0):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    listener.bind((host, port))
    listener.listen(1024)
    listener.setblocking(False)
    return listener


class Connection:
    def __init__(self, sock, loop):
        self.sock = sock
        self.loop = loop
        self.requests = 0
        self.gone = False
        self.buffer = bytearray()
        self.taken = 0  # bytes of the stream before the buffer
        self.stamps = []  # (bytes of the stream so far, time) of each arrival
        self.arrived = asyncio.Event()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add_reader(sock.fileno(), self.readable)

    def readable(self):
        try:
            data, ancillary, _, _ = self.sock.recvmsg(65536, 64)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self.gone = True
            self.loop.remove_reader(self.sock.fileno())
        stamp = 0.0
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("qq", value[:16])
                stamp = seconds + nanoseconds / 1e9
        self.buffer += data
        self.stamps.append((self.taken + len(self.buffer), stamp))
        self.arrived.set()

    async def more(self):
        if self.gone or len(self.buffer) > REQUEST_BYTES_MAX:
            raise Closed
        self.arrived.clear()
        await self.arrived.wait()

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        self.taken += count
        return data

    async def request(self):
        """The next one. Raises Closed at the end of the stream."""
        start = self.taken
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            await self.more()
        lines = self.take(end + 4)[:-4].decode("latin-1").split("\r\n")
        try:
            method, path, _ = lines[0].split(" ")
            headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
            length = int(headers.get("content-length", 0))
        except ValueError as wrong:
            raise Closed from wrong
        if headers.get("expect", "").lower() == "100-continue":
            await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self.buffer) < length:
            await self.more()
        body = self.take(length)
        self.requests += 1
        first = next((t for to, t in self.stamps if to > start), 0.0)
        last = next((t for to, t in self.stamps if to >= self.taken), 0.0)
        self.stamps = [s for s in self.stamps if s[0] > self.taken]
        return Request(method, path, headers, lines[1:], body, first, last)

    async def send(self, data):
        try:
            await self.loop.sock_sendall(self.sock, data)
        except OSError as wrong:
            raise Closed from wrong

    def deafen(self):
        """From now on nothing that the peer sends arrives; the kernel does not even acknowledge it (tcp_filter())."""
        if self.sock.fileno() < 0:
            return False
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET_K, 0, 0, 0))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(nothing)))
        return True

    def close(self, reset=False):
        if self.sock.fileno() < 0:
            return
        self.gone = True
        self.arrived.set()
        self.loop.remove_reader(self.sock.fileno())
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def reply_bytes(status, headers, body, reason="OK"):
    lines = [f"HTTP/1.1 {status} {reason}"] + [f"{k}: {v}" for k, v in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
