# SPDX-License-Identifier: Apache-2.0
"""The processes of a fleet for tests: agents, cores, swarms, and the keys that `forerun core init` makes for them."""

import json
import pathlib
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ec2"))

from running import BINARY, Forerun, run_binary  # noqa: E402


class Keys:
    """A directory of keys. A second Keys is another authority."""

    def __init__(self, directory, *agents):
        self.directory = directory
        self.init("--mtls", "--core-name", "127.0.0.1,localhost,10.77.0.1", *(word for agent in agents for word in ("--agent", agent)))
        self.init("--shared-key")

    def init(self, *arguments):
        done = run_binary("core", "init", "--dir", self.directory, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pair(self, name):
        return ["--ca", self.directory / "ca.crt", "--cert", self.directory / f"{name}.crt", "--key", self.directory / f"{name}.key"]

    def core(self):
        return self.pair("core")

    def agent(self, host):
        return self.pair(f"agents/{host}")

    def shared(self):
        return ["--shared-key", self.directory / "shared.key"]

    def swarm(self):
        return ["--ca", self.directory / "ca.crt", "--ca-key", self.directory / "ca.key"]


class Agent(Forerun):
    """`forerun agent` while it runs."""

    def __init__(self, directory, host, cores, keys, *arguments, service="web", environment=None, prefix=()):
        self.host = host
        command = [*prefix, BINARY, "agent", "--core", ",".join(cores), "--host", host, "--listen", "127.0.0.1:0", "--format", "json",
                   *keys, *arguments]
        if service:
            command += ["--service", service]
        self.begin(command, directory / f"agent-{host}", {"AWS_EC2_METADATA_DISABLED": "true", **(environment or {})})

    def policies(self):
        return None

    def last(self):
        """The newest status line."""
        return next((line for line in reversed(self.lines) if line["type"] == "status"), None)

    def links(self):
        last = self.last()
        return last["cores"] if last else []

    def connected(self, count=1, seconds=30):
        self.wait(lambda: sum(link["connected"] for link in self.links()) == count, f"{count} cores connected", seconds)
        return self


class Swarm:
    """`forerun lab swarm` while it runs; say() tells it something and waits until it was done."""

    def __init__(self, core, *arguments):
        command = [BINARY, "lab", "swarm", "--options-file", "/dev/null", "--core", core, *arguments]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.changed.notify_all()

    def say(self, command):
        with self.changed:
            seen = len(self.lines)
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            answer = self.wait(lambda: next((line for line in self.lines[seen:] if line["type"] in ("done", "refused")), None), command)
        assert answer["type"] == "done", answer
        return answer

    def wait(self, condition, what, seconds=30):
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"not within {seconds} s: {what}\n{self.lines[-3:]}"
            return condition()

    def status(self):
        return next((line for line in reversed(self.lines) if line["type"] in ("status", "summary")), {"connected": 0})

    def connected(self, count, seconds=60):
        self.wait(lambda: self.status()["connected"] == count, f"{count} connections", seconds)
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self.reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        return self.process.returncode
