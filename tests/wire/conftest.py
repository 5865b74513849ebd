# SPDX-License-Identifier: Apache-2.0
"""wire_tool as one side, the keys of both, and peers that are not ours: Python's ssl, openssl s_client."""

import json
import os
import pathlib
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

import session

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "ec2"))
from testbed import BUILD, end_with_parent  # noqa: E402

TOOL = BUILD / "tools" / "wire_tool"
WITHIN_S = 15


def openssl(*words, **more):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, **more)


class Keys:
    """An authority and what it signed, in a folder; made with openssl, not with our own code."""

    def __init__(self, folder):
        self.folder = folder
        self.authority("ca")
        self.issue("core", "ca", "IP:127.0.0.1", "serverAuth")
        self.issue("web-1", "ca", "DNS:web-1", "clientAuth")
        (folder / "shared").write_text(os.urandom(32).hex() + "\n")
        (folder / "shared").chmod(0o600)

    def path(self, name):
        return self.folder / name

    def authority(self, name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj",
                f"/CN={name}", "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"))

    def issue(self, name, authority, alternative, use, *more, common_name=None):
        request, extensions = self.path(name + ".csr"), self.path(name + ".ext")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                f"/CN={common_name or name}", "-keyout", self.path(name + ".key"), "-out", request)
        extensions.write_text((f"subjectAltName={alternative}\n" if alternative else "") + f"extendedKeyUsage={use}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.path(authority + ".pem"), "-CAkey",
                self.path(authority + ".key"), "-extfile", extensions, "-out", self.path(name + ".pem"),
                *(more or ("-days", "2")))

    def options(self, name, ca="ca"):
        return [f"ca={self.path(ca + '.pem')}", f"certificate={self.path(name + '.pem')}",
                f"key={self.path(name + '.key')}"]

    def shared(self):
        return [f"shared_key={self.path('shared')}"]


class Tool:
    """A wire_tool; its events and its log come line by line."""

    def __init__(self, *words):
        self.process = subprocess.Popen([TOOL, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, preexec_fn=end_with_parent)
        self.events, self.log = queue.Queue(), queue.Queue()
        self.seen = []
        for stream, to in ((self.process.stdout, self.events), (self.process.stderr, self.log)):
            threading.Thread(target=lambda s=stream, q=to: [q.put(line) for line in s], daemon=True).start()

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def event(self, name, **wanted):
        """The next event of that name (and content)."""
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            try:
                event = json.loads(self.events.get(timeout=max(end - time.monotonic(), 0.01)))
            except queue.Empty:
                break
            self.seen.append(event)
            if event["event"] == name and all(event.get(key) == value for key, value in wanted.items()):
                return event
        raise AssertionError(f"no event {name} {wanted}; there were {self.seen[-5:]}")

    def logged(self, text):
        end, lines = time.monotonic() + WITHIN_S, []
        while time.monotonic() < end:
            try:
                lines.append(self.log.get(timeout=max(end - time.monotonic(), 0.01)))
            except queue.Empty:
                break
            if text in lines[-1]:
                return lines[-1]
        raise AssertionError(f"nothing in the log with {text!r}; there was {lines[-5:]}")

    def status(self):
        self.say("status")
        return self.event("status")

    def stop(self):
        if self.process.poll() is None:
            try:
                self.say("quit")
                self.process.wait(5)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self.process.kill()
        self.process.wait()
        return self.process.returncode


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def tools():
    started = []
    yield lambda *words: started.append(Tool(*words)) or started[-1]
    codes = [tool.stop() for tool in started]
    assert all(code in (0, 1) for code in codes), codes  # none crashed


@pytest.fixture
def server(tools, keys):
    """server(*options): one under certificates, and its port."""

    def start(*options, auth=None):
        tool = tools("server", "127.0.0.1:0", *(auth or keys.options("core")), *options)
        tool.port = int(tool.event("listening")["port"])
        return tool

    return start


class Agent:
    """An agent that is not ours: Python's ssl and session.py."""

    def __init__(self, keys, port, name="web-1", ca="ca", version=ssl.TLSVersion.TLSv1_3, certificate=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = version
        context.load_verify_locations(keys.path(ca + ".pem"))
        if certificate:
            context.load_cert_chain(keys.path(name + ".pem"), keys.path(name + ".key"))
        self.raw = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        self.socket = context.wrap_socket(self.raw, server_hostname="127.0.0.1")
        self.data = b""

    def send(self, data):
        self.socket.sendall(data)

    def next(self):
        """The next message as (kind, flags, body), None at the end."""
        while True:
            for found in session.messages(self.data):
                self.data = self.data[4 + len(found[2]) :]
                return found
            more = self.socket.recv(65536)
            if not more:
                return None
            self.data += more

    def until(self, kind):
        while True:
            found = self.next()
            assert found, f"the end came before a message of kind {kind}"
            if found[0] == kind:
                return found

    def reason(self):
        """Why the other side says goodbye."""
        return session.reason_of(self.until(session.BYE)[2])

    def join(self, host="web-1", **more):
        self.send(session.hello(host, **more))
        return session.fields(self.until(session.WELCOME)[2])

    def close(self):
        self.socket.close()


@pytest.fixture
def agent(keys):
    opened = []
    yield lambda port, **more: opened.append(Agent(keys, port, **more)) or opened[-1]
    for one in opened:
        one.close()


class Core(Agent):
    """A core that is not ours, for one connection; under certificates."""

    def __init__(self, keys, name="core", ca="ca"):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(keys.path(ca + ".pem"))
        self.context.load_cert_chain(keys.path(name + ".pem"), keys.path(name + ".key"))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(WITHIN_S)
        self.port = self.listening.getsockname()[1]
        self.data = b""
        self.socket = None

    def accept(self):
        self.data = b""
        raw = self.listening.accept()[0]
        raw.settimeout(WITHIN_S)
        self.socket = self.context.wrap_socket(raw, server_side=True)

    def close(self):
        self.listening.close()
        if self.socket:
            self.socket.close()


@pytest.fixture
def core(keys):
    opened = []
    yield lambda **more: opened.append(Core(keys, **more)) or opened[-1]
    for one in opened:
        one.close()
