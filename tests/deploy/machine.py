# SPDX-License-Identifier: Apache-2.0
"""A host for tests: systemd as process 1 in namespaces of its own, with the metadata of an instance and AWS in reach.

AWS is the EC2 proxy behind TLS under the real names of its services, the metadata are at 169.254.169.254: what runs there
needs no setting for the test.
"""

import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

from testbed import end_with_parent

HERE = pathlib.Path(__file__).resolve().parent
IMDS = HERE.parent / "ec2/imds.py"
METADATA_ADDRESS = "169.254.169.254"
REGION = "us-east-1"

TARGET = """[Unit]
Description=What the test brings
Requires=basic.target
After=basic.target
Wants=user-data.service
AllowIsolate=yes
"""

# As cloud-init runs it: once, as root, late in the boot.
USER_DATA = """[Unit]
Description=User data
DefaultDependencies=no
After=basic.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /root/user-data.sh
"""


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, timeout=60, **options)


def cgroup2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return pathlib.Path(left.split()[4])
    raise RuntimeError("no cgroup2 file system is mounted")


class Authority:
    """A certificate for names of AWS, with the CA that the machines are to trust."""

    def __init__(self, directory, names):
        self.ca, self.chain = directory / "ca.pem", directory / "server.pem"
        key, request, server_key = directory / "ca.key", directory / "server.csr", directory / "server.key"
        openssl = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        run(*openssl, "-x509", "-days", 2, "-subj", "/CN=test authority", "-keyout", key, "-out", self.ca)
        run(*openssl, "-subj", "/CN=aws", "-keyout", server_key, "-out", request)
        extra = directory / "names"
        extra.write_text("subjectAltName=" + ",".join(f"DNS:{n}" for n in names))
        run("openssl", "x509", "-req", "-days", 2, "-in", request, "-CA", self.ca, "-CAkey", key, "-CAcreateserial", "-extfile", extra,
            "-out", self.chain)
        self.chain.write_text(self.chain.read_text() + server_key.read_text())


class TlsFront:
    """TLS on address:443, carried on to a port of this host as it is."""

    def __init__(self, address, authority, port):
        self.port = port
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(authority.chain)
        self.listener = socket.create_server((address, 443))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        try:
            with self.context.wrap_socket(client, server_side=True) as inside, \
                    socket.create_connection(("127.0.0.1", self.port)) as outside:
                back = threading.Thread(target=self.copy, args=(outside, inside), daemon=True)
                back.start()
                self.copy(inside, outside)
                back.join(10)
        except OSError:
            pass  # the client went away

    def copy(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # accept() in the thread holds it otherwise
        self.listener.close()


def free_network():
    """The third number of a network in 198.18.0.0/16 (for benchmarks, RFC 2544) that nobody on this host has."""
    taken = run("ip", "-o", "-4", "addr").stdout
    return next(n for n in (1 + (os.getpid() + i) % 254 for i in range(254)) if f" 198.18.{n}." not in taken)


class Machine:
    """Booted with start(). This host is gateway to it."""

    def __init__(self, directory, ec2, names=(), **metadata):
        self.directory, self.ec2, self.metadata = directory, ec2, metadata
        number = free_network()
        self.name = f"fr-{os.getpid()}-{number}"
        self.link = f"fr{os.getpid() % 1000000}n{number}"
        self.gateway, self.address = f"198.18.{number}.1", f"198.18.{number}.2"
        self.names = [f"{s}.{REGION}.amazonaws.com" for s in ("ssm", "secretsmanager", "ec2", "dynamodb")] + list(names)
        self.cgroup = cgroup2() / self.name
        self.process = self.imds = self.front = None
        for part in ("disk", "root", "files/etc/systemd/system", "files/root"):
            (directory / part).mkdir(parents=True)
        self.authority = Authority(directory, self.names)
        self.network()

    def write(self, path, text):
        file = self.directory / "files" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def network(self):
        run("ip", "netns", "add", self.name)
        near, far = self.link, "eth0"
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name)
        run("ip", "addr", "add", f"{self.gateway}/24", "dev", near)
        run("ip", "link", "set", near, "up")
        inside = ["ip", "-n", self.name]
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "addr", "add", f"{METADATA_ADDRESS}/32", "dev", "lo")
        run(*inside, "addr", "add", f"{self.address}/24", "dev", far)
        run(*inside, "link", "set", far, "up")
        run(*inside, "route", "add", "default", "via", self.gateway)

    def enter(self):
        end_with_parent()
        (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def start(self, user_data):
        self.front = TlsFront(self.gateway, self.authority, self.ec2.port)
        settings = {"region": REGION, **self.metadata}
        self.imds = subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, IMDS, "--host", METADATA_ADDRESS, "--port", "80",
                                      "--settings", json.dumps(settings)], stdout=subprocess.PIPE, preexec_fn=end_with_parent)
        self.imds.stdout.readline()
        self.write("etc/hosts", "127.0.0.1 localhost\n" + "".join(f"{self.gateway} {n}\n" for n in self.names))
        self.write("etc/hostname", self.name + "\n")
        self.write("etc/systemd/system/test.target", TARGET)
        self.write("etc/systemd/system/user-data.service", USER_DATA)
        self.write("root/user-data.sh", user_data)
        self.cgroup.mkdir()
        with open(self.directory / "boot.log", "w") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup", "sh",
                 HERE / "boot.sh", self.directory], stdout=subprocess.DEVNULL, stderr=log, preexec_fn=self.enter)
        self.wait(lambda: self.pid() and self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("starting", "running", "degraded"),
                  "systemd runs")
        return self

    def pid(self):
        """systemd's, seen from here: the child of unshare."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0] if children else None

    def run(self, *command, check=True):
        done = subprocess.run(["nsenter", "-t", self.pid(), "-m", "-p", "-u", "-i", "-n", "-C", *map(str, command)], capture_output=True,
                              text=True, timeout=30, cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def journal(self):
        said = (self.directory / "boot.log").read_text()
        if self.process.poll() is None:
            said += self.run("journalctl", "--no-pager", "-o", "cat", "-n", "80", check=False).stdout
        return said

    def wait(self, condition, what, seconds=60):
        until = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.journal()}")
            time.sleep(0.1)

    def state(self, unit):
        return self.run("systemctl", "show", "-P", "ActiveState", unit).stdout.strip()

    def set_metadata(self, **settings):
        run("ip", "netns", "exec", self.name, "curl", "-sf", "-d", json.dumps(settings), f"http://{METADATA_ADDRESS}/_ctl")

    def user_data_done(self):
        """How the user data ended, as systemd says it: success, exit-code."""
        self.wait(lambda: self.state("user-data.service") in ("active", "failed"), "the end of the user data")
        return self.run("systemctl", "show", "-P", "Result", "user-data.service").stdout.strip()

    def close(self):
        for child in (self.process, self.imds):
            if child:
                child.kill()
                child.wait()
        if self.front:
            self.front.close()
        subprocess.run(["ip", "netns", "del", self.name], check=False)
        for _ in range(100):
            try:
                for one in sorted(self.cgroup.rglob("*"), reverse=True):
                    if one.is_dir():
                        one.rmdir()
                self.cgroup.rmdir()
                break
            except OSError:  # processes are still ending
                time.sleep(0.05)
        shutil.rmtree(self.directory, ignore_errors=True)
