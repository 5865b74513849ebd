# SPDX-License-Identifier: Apache-2.0
"""A whole installation for tests and benches: EC2's stand-in, cores, agents, simulated agents, as children."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "ec2"))

from running import BINARY, Forerun, write_config  # noqa: E402
from testbed import Ec2, end_with_parent  # noqa: E402

TYPES = {"types": "c7g.large, m7g.large, c6g.large", "zones": "us-east-1a, us-east-1b, us-east-1c"}


@contextlib.contextmanager
def child(*command, **options):
    process = subprocess.Popen([str(c) for c in command], preexec_fn=end_with_parent, text=True, **options)
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(pid):
    """As the scheduler counts it: nanoseconds, all threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def resident_mib(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class World:
    """EC2, a shared key, and cores that come and go at ports that stay."""

    def __init__(self, directory, stack):
        directory.mkdir()
        self.directory, self.stack = directory, stack
        self.ec2 = Ec2()
        stack.callback(self.ec2.close)
        self.ec2.make_world()
        self.key = directory / "shared.key"
        self.key.write_text("5a" * 32 + "\n")
        self.key.chmod(0o600)
        # What moto answers is fetched; from here on nothing of it is in any figure.
        self.ec2.control(synthetic_fleet=True, model_check=False)

    def config(self, port, **more):
        return write_config(self.directory / "config", self.ec2.world, port, **{**TYPES, **more})

    def core(self, config, *arguments, name="core", url=None, port=0, **options):
        environment = self.ec2.environment(HOME=str(self.directory), **({"AWS_ENDPOINT_URL": url} if url else {}))
        core = Forerun(config, self.directory / name, environment, "--shared-key", self.key, "--listen-agents", f"127.0.0.1:{port}",
                       "--host-replicas-max", "10000", "--max-launches-per-minute", "100000", *arguments, role="core", **options)
        self.stack.callback(core.kill)
        return core

    def agent(self, cores, *arguments):
        address = ",".join(f"127.0.0.1:{port}" for port in cores)
        environment = {**os.environ, "FORERUN_OPTIONS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}
        return self.stack.enter_context(child(BINARY, "agent", "--core", address, "--shared-key", self.key, "--listen", "none", "--format", "none",
                                              "--log-level", "warning", *arguments, env=environment))

    def swarm(self, port, *arguments):
        """Simulated agents of the core at that port."""
        return self.stack.enter_context(Swarm(BINARY, "lab", "swarm", "--core", f"127.0.0.1:{port}", "--shared-key", self.key, *arguments))


class Swarm:
    """Simulated agents; the newest of the lines that they print is in status."""

    def __init__(self, *command):
        self.command, self.status = command, {}

    def __enter__(self):
        self.child = child(*self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "FORERUN_OPTIONS_FILE": "/dev/null"})
        self.process = self.child.__enter__()
        threading.Thread(target=self.read, daemon=True).start()
        return self

    def __exit__(self, *failure):
        self.child.__exit__(*failure)

    def read(self):
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if found.get("type") == "status":
                    self.status = found

    def say(self, *lines):
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def connected(self, count, seconds):
        """Seconds until so many are connected."""
        start = time.monotonic()
        while self.status.get("connected", 0) < count:
            if self.process.poll() is not None or time.monotonic() - start > seconds:
                raise RuntimeError(f"{self.status} instead of {count} connected agents after {seconds} s")
            time.sleep(0.05)
        return time.monotonic() - start
