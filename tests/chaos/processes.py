# SPDX-License-Identifier: Apache-2.0
"""forerun's processes in one world: cores, which die and come back, and simulated agents."""

import asyncio
import json
import os
import pathlib
import shutil
import signal

from bed import PIPE, signal_process, spawn
from running import Queue
from schedule import TARGET
from testbed import BUILD

BINARY = BUILD / "forerun"


class Failed(AssertionError):
    """What must hold did not."""


def clean_environment(**more):
    drop = ("AWS_", "FORERUN_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    keep = {k: v for k, v in os.environ.items() if not k.upper().startswith(drop)}
    return {**keep, "FORERUN_OPTIONS_FILE": "/dev/null", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", **more}


class Core:
    """One core over all of its lives."""

    def __init__(self, name, home, url, sessions, arguments, relays, lives, note):
        self.name, self.home, self.arguments, self.relays, self.note = name, pathlib.Path(home), arguments, relays, note
        self.home.mkdir(parents=True)
        self.state = self.home / "state"
        keys = ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/credentials"} if sessions
                else {"AWS_ACCESS_KEY_ID": "AKIAFORERUNTESTBED00", "AWS_SECRET_ACCESS_KEY": "forerun/test+bed/secret/key/0000000000000"})
        self.environment = clean_environment(AWS_ENDPOINT_URL=url, HOME=str(self.home), **keys)
        self.lives = list(lives)
        self.errors = open(self.home / "stderr", "ab")
        self.lines = open(self.home / "lines", "ab")
        self.process, self.port, self.frozen, self.stopping = None, None, 0, False
        self.deaths = 0
        self.living = None

    def start(self):
        self.living = asyncio.ensure_future(self.live())

    async def live(self):
        """Starts it again after each death, as its lives say."""
        while not self.stopping:
            await self.one_life()
            if self.stopping:
                return
            if self.process.returncode != -signal.SIGKILL:
                raise Failed(f"core {self.name} ended by itself with {self.process.returncode}")
            self.deaths += 1
            life = self.lives.pop(0) if self.lives else {"after_s": 0.1, "empty_disk": False}
            self.note("died", core=self.name, **life)
            await asyncio.sleep(life["after_s"])
            if life["empty_disk"]:
                shutil.rmtree(self.state, ignore_errors=True)

    async def one_life(self):
        self.process = await spawn([*self.arguments, "--state-dir", self.state], self.environment, self.errors, stdout=PIPE, limit=1 << 24)
        self.note("started", core=self.name, pid=self.process.pid)
        async for line in self.process.stdout:
            self.lines.write(line)
            self.started(line)
        await self.process.wait()
        self.port = None
        for relay in self.relays.values():
            relay.target = None

    def started(self, line):
        try:
            found = json.loads(line)
        except ValueError:
            return  # cut off by a kill
        if found.get("type") == "start":
            self.port = found["port"]
            for relay in self.relays.values():
                relay.target = found["agents_port"]

    @property
    def pid(self):
        return self.process.pid if self.process and self.process.returncode is None else None

    def kill(self):
        if self.pid:
            signal_process(self.pid, signal.SIGKILL)

    async def freeze(self, seconds):
        pid = self.pid
        if not pid:
            return
        self.note("frozen", core=self.name, s=seconds)
        self.frozen += 1
        signal_process(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        signal_process(pid, signal.SIGCONT)
        self.frozen -= 1
        self.note("thawed", core=self.name)

    async def answers(self, path):
        """Whether that page says 200."""
        if not self.port:
            return False
        try:
            return (await asyncio.wait_for(fetch(self.port, path), 5))[0] == 200
        except (OSError, ValueError, IndexError, asyncio.TimeoutError):
            return False

    async def get(self, path, timeout=5):
        """The JSON that it serves there, None when it serves none."""
        if not self.port:
            return None
        try:
            return json.loads((await asyncio.wait_for(fetch(self.port, path), timeout))[1])
        except (OSError, ValueError, IndexError, asyncio.TimeoutError):
            return None

    async def close(self):
        self.stopping = True
        if self.pid:
            signal_process(self.pid, signal.SIGCONT)
            self.kill()
        if self.living:
            self.living.cancel()
            await asyncio.gather(self.living, return_exceptions=True)
        if self.process:
            await self.process.wait()
        self.errors.close()
        self.lines.close()


async def fetch(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body
    finally:
        writer.close()


class RealQueue:
    """What `forerun run` looks at itself: a listener on this host whose accept queue is as deep as its demand."""

    def __init__(self, service):
        self.service, self.replicas = service, service["hosts"]
        self.queue = Queue(pace_s=0.02)
        service["port"] = self.queue.port

    async def start(self):
        pass  # it listens since it was made

    async def ask(self, replicas):
        self.replicas = replicas
        self.queue.depth = 0 if replicas <= 1 else replicas * TARGET

    async def close(self):
        await asyncio.to_thread(self.queue.close)


class Swarm:
    """The agents of one service. Each agent is connected to every core, as simulated agents are to one: so there is a
    process for each core, and both say the same."""

    def __init__(self, name, service, key, relays, home):
        self.name, self.service, self.key, self.relays = name, service, key, relays
        self.errors = open(pathlib.Path(home) / f"{name}.stderr", "ab")
        self.processes, self.reading = [], []
        self.replicas = service["hosts"]
        self.instances = set()  # that report too
        self.one_by_one = asyncio.Lock()  # nothing is said to agents that are being started
        self.hosts = [f"{name}-{number + 1}" for number in range(service["hosts"])]

    @property
    def depth(self):
        """Of each host, so that the sum asks for exactly that many replicas; one that all hosts serve is an empty queue."""
        return 0 if self.replicas <= self.service["hosts"] else self.replicas * TARGET // self.service["hosts"]

    async def start(self):
        async with self.one_by_one:
            await self.start_all()

    async def start_all(self):
        for relay in self.relays:
            command = [BINARY, "lab", "swarm", "--core", f"127.0.0.1:{relay.port}", "--agents", self.service["hosts"], "--service", self.name,
                       "--host", self.name, "--listeners", 1, "--rate", 10, "--port", self.service["port"], "--depth", self.depth,
                       "--shared-key", self.key]
            process = await spawn(command, clean_environment(), self.errors, stdin=PIPE, stdout=PIPE)
            self.processes.append(process)
            self.reading.append(asyncio.ensure_future(process.stdout.read(-1)))
        instances, self.instances = self.instances, set()
        for instance in instances:
            self.instances.add(instance)
            await self.say_now(*self.joining(instance))

    async def ask(self, replicas):
        self.replicas = replicas
        await self.say(*[f"depth {self.depth} {host}" for host in self.hosts], *[f"edge {host}" for host in self.hosts])

    async def joined(self, instance):
        """An instance runs an agent too, and serves without a queue."""
        self.instances.add(instance)
        await self.say(*self.joining(instance))

    def joining(self, instance):
        return f"host add {instance} {instance} {self.name}", f"depth 0 {instance}"

    async def gone(self, instance):
        self.instances.discard(instance)
        await self.say(f"host remove {instance}")

    async def say(self, *lines):
        async with self.one_by_one:
            await self.say_now(*lines)

    async def say_now(self, *lines):
        for process in self.processes:
            if process.returncode is None:
                process.stdin.write("".join(f"{line}\n" for line in lines).encode())
                await process.stdin.drain()

    async def stop(self):
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
        for task in self.reading:
            task.cancel()
        await asyncio.gather(*self.reading, return_exceptions=True)
        self.processes, self.reading = [], []

    async def close(self):
        await self.stop()
        self.errors.close()
