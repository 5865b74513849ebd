# SPDX-License-Identifier: Apache-2.0
"""Session protocol 1.0 as docs/wire.md has it, written from that page alone: what version 1.0 did not know is passed
over, as a 1.0 reader does."""

import struct

HELLO, WELCOME, FRAME, POLL, INTEREST, PING, BYE = range(1, 8)
CONTINUES, CONTINUED = 1, 2
FULL, EDGE = 1, 2
BODY_MAX = 16380


def message(kind, body=b"", flags=0):
    return struct.pack("<HBB", len(body), kind, flags) + body


def messages(data):
    """Whole messages in data as (kind, flags, body)."""
    while len(data) >= 4:
        length, kind, flags = struct.unpack_from("<HBB", data)
        if len(data) < 4 + length:
            return
        yield kind, flags, data[4 : 4 + length]
        data = data[4 + length :]


def field(tag, value):
    return struct.pack("<HI", tag, len(value)) + value


def fields(body):
    found = {}
    while body:
        tag, length = struct.unpack_from("<HI", body)
        assert len(body) >= 6 + length, "a field is cut short"
        found[tag] = body[6 : 6 + length]
        body = body[6 + length :]
    return found


def hello(host, major=1, minor=0, version="0.1.0", extra=b""):
    body = field(1, struct.pack("<H", major)) + (field(2, struct.pack("<H", minor)) if minor else b"")
    return message(HELLO, body + field(3, host.encode()) + field(4, version.encode()) + extra)


def welcome(interest=None, major=1, minor=0, speak_ms=5000, silent_ms=15000, extra=b""):
    body = field(1, struct.pack("<H", major)) + (field(2, struct.pack("<H", minor)) if minor else b"")
    body += field(3, b"0.1.0") + field(4, struct.pack("<I", speak_ms)) + field(5, struct.pack("<I", silent_ms))
    if interest:
        body += field(16, b"".join(struct.pack("<BH", metric, bits) for metric, bits in interest.items()))
    return message(WELCOME, body + extra)


def bye(reason):
    return message(BYE, field(1, reason.encode()))


def reason_of(body):
    return fields(body).get(1, b"").decode()


def number(value):
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def take_number(data):
    value = shift = 0
    for at, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, data[at + 1 :]
    raise AssertionError("a number is cut short")


def item_number(tag, value):
    return bytes([tag << 2]) + number(value)


def item_double(tag, value):
    return bytes([tag << 2 | 1]) + struct.pack("<d", value)


def item_bytes(tag, value):
    return bytes([tag << 2 | 2]) + number(len(value)) + value


def items(body):
    """(tag, value) for each item, whatever its tag."""
    while body:
        tag, kind = body[0] >> 2, body[0] & 3
        body = body[1:]
        if kind == 0:
            value, body = take_number(body)
        elif kind == 1:
            value, body = struct.unpack_from("<d", body)[0], body[8:]
        else:
            assert kind == 2, "an item of an unknown type"
            length, body = take_number(body)
            assert len(body) >= length, "an item is cut short"
            value, body = body[:length], body[length:]
        yield tag, value


def values(data):
    found = {}
    while data:
        metric, form, statistic = data[0], data[1] >> 4, data[1] & 15
        size, code = {0: (8, "<d"), 1: (0, ""), 2: (4, "<f"), 3: (2, "<H")}[form]
        found[metric, statistic] = struct.unpack(code, data[2 : 2 + size])[0] if size else None
        data = data[2 + size :]
    return found


class Host:
    """The state of a host, from its frames."""

    def __init__(self):
        self.sequence = 0
        self.listeners = {}
        self.owner = {}
        self.items = {}
        self.unknown = set()
        self.edges = 0

    def frame(self, flags, body):
        for tag, value in items(body):
            if tag == 1:
                assert value == self.sequence + 1, "a frame is missing or repeated"
                self.sequence = value
            elif tag == 2:
                if value & FULL:
                    self.listeners = {}
                self.edges += bool(value & EDGE)
            elif tag == 9:
                key, rest = take_number(value)
                listener = self.listeners.setdefault(key, {"values": {}})
                for inner, content in items(rest):
                    if inner == 15:
                        listener["values"].update(values(content))
                    elif inner <= 25:
                        listener[inner] = content
                    else:
                        self.unknown.add(("listener", inner))
            elif tag == 10:
                del self.listeners[value]
            elif tag <= 8:
                self.items[tag] = value
            else:
                self.unknown.add(("frame", tag))


def frame(sequence, content=b"", flags=0, age_ns=1_000_000):
    head = item_number(1, sequence) + (item_number(2, flags) if flags else b"") + item_number(3, age_ns)
    return message(FRAME, head + content)


def listener(key, content=b""):
    return item_bytes(9, number(key) + content)
