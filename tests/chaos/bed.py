# SPDX-License-Identifier: Apache-2.0
"""AWS for many worlds at once, inside this process: one moto, and for each world a proxy with a ledger of its own and a
port for each of its cores. What is the same in all worlds (images, subnets, prices) is asked of moto once."""

import asyncio
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ec2"))

from connection import listen  # noqa: E402
from lock_table import LockTable  # noqa: E402
from proxy import Proxy, start_moto  # noqa: E402
from testbed import end_with_parent  # noqa: E402
from world import make_world  # noqa: E402

PIPE = subprocess.PIPE
ALWAYS_THE_SAME = {"DescribeSubnets", "DescribeSecurityGroups", "DescribeImages", "GetParameter", "GetInstanceProfile"}


class Aws(Proxy):
    """The proxy of one world. Notes what it does to processes."""

    def __init__(self, moto_port, static, forwarded):
        super().__init__(moto_port)
        self.static = static
        self.forwarded = forwarded  # answers that are the same in all worlds
        self.table = LockTable()
        self.calm = False
        self.signals = []  # of what was stopped or killed at a call
        self.freezing = None  # called with client and seconds

    async def effect(self, call):
        if call.service == "dynamodb":
            return self.table.answer(call)
        return await super().effect(call)

    async def forward(self, call, form=None):
        if call.action not in ALWAYS_THE_SAME:
            return await super().forward(call, form)
        key = (call.action, call.request.body, str(form))
        if key not in self.forwarded:
            answer = await super().forward(call, form)
            if answer.status != 200:
                return answer
            self.forwarded[key] = answer
        return self.forwarded[key]

    def signal_client(self, fault, entry):
        if self.calm:
            return  # its call was under way when the faults ended
        self.signals.append({"t": time.time(), "client": entry["client"], "n": entry["n"], **fault})
        if fault.get("signal") == signal.SIGSTOP:
            self.freezing(entry["client"], fault["thaw_s"])
        else:
            super().signal_client(fault, entry)

    def reclaim(self, index):
        """As spot does: one of those that live ends."""
        alive = [entry for entry in self.state.ledger.entries if entry["terminated"] is None]
        if alive:
            chosen = alive[index % len(alive)]
            self.state.ledger.ended(chosen["id"])
            chosen["reclaimed"] = True

    def lock_writes(self):
        """[(when, by which client, epoch, whether it holds it)] of the writes that the lock took, the oldest first."""
        found = []
        for call in self.state.log:
            if call.get("service") == "dynamodb" and call["action"] == "UpdateItem" and call["status"] == 200:
                values = json.loads(call["params"])["ExpressionAttributeValues"]
                if ":epoch" in values:
                    found.append((call["t_effect"], call["client"], int(values[":epoch"]["N"]), ":holder" in values))
        return sorted(found)

    def holder(self):
        """The client that has the lock, as far as it says."""
        writes = self.lock_writes()
        return writes[-1][1] if writes and writes[-1][3] else None

    def epochs(self):
        """[(when it was taken, epoch)] of the lock."""
        first = {}
        for when, _, epoch, _ in self.lock_writes():
            first.setdefault(epoch, when)
        return [(when, epoch) for epoch, when in first.items()]

    def close(self):
        for task in [*self.accepting, *self.open]:
            task.cancel()
        for listener in self.listeners:
            listener.close()


class Bed:
    """moto and what all worlds share."""

    def __init__(self, log):
        self.log = open(log, "w")
        self.moto, self.moto_port = start_moto(self.log)
        self.static, self.forwarded = {}, {}
        self.world = None

    async def start(self):
        first = Aws(self.moto_port, self.static, self.forwarded)
        try:
            self.world = await asyncio.to_thread(make_world, first.listen_for("setup")["url"])
        finally:
            first.close()
        return self

    def aws(self, settings):
        made = Aws(self.moto_port, self.static, self.forwarded)
        # Shapes are checked by tests/ec2; here it would cost more than everything else together.
        made.control({"synthetic_fleet": True, "model_check": False, **settings})
        return made

    def close(self):
        self.moto.kill()
        self.moto.wait()
        self.log.close()


class Relay:
    """The network between the agents of one service and one core: a port that can be cut, and that stays when the core
    behind it comes back elsewhere."""

    def __init__(self):
        self.listener = listen()
        self.port = self.listener.getsockname()[1]
        self.target = None
        self.how = None  # None: open; "refuse", "lose", "hold" as in the proxy's gates
        self.moved = asyncio.Event()
        self.pairs = set()
        self.accepting = asyncio.ensure_future(self.accept())

    def cut(self, how):
        # What a network lost stays lost: TCP finds that out by itself only after minutes, so it ends here.
        if how == "refuse" or self.how == "lose":
            self.drop()
        self.how = how
        self.moved.set()
        self.moved = asyncio.Event()

    def drop(self):
        for task in list(self.pairs):
            task.cancel()

    async def accept(self):
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self.listener)
            if self.how == "refuse" or self.target is None:
                sock.close()
                continue
            task = asyncio.ensure_future(self.carry(sock))
            self.pairs.add(task)
            task.add_done_callback(self.pairs.discard)

    async def carry(self, sock):
        sock.setblocking(False)
        writers, pumps = [], []
        try:
            reader, writer = await asyncio.open_connection(sock=sock)
            writers.append(writer)
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            writers.append(back)
            pumps += [asyncio.ensure_future(self.pump(reader, back)), asyncio.ensure_future(self.pump(there, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the core is away: the agent sees its connection close
        finally:
            for one in pumps:
                one.cancel()
            for one in writers:
                one.close()
            sock.close()

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                while self.how:
                    await self.moved.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one end has gone; the other is closed for it

    def close(self):
        self.accepting.cancel()
        self.drop()
        self.listener.close()


def signal_process(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself, or something else was faster


async def spawn(command, environment, errors, **options):
    return await asyncio.create_subprocess_exec(*[str(part) for part in command], env=environment, stderr=errors, preexec_fn=end_with_parent,
                                                **options)


def now():
    """The clock of the ledger and the log."""
    return time.time()
