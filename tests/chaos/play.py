# SPDX-License-Identifier: Apache-2.0
"""Plays one schedule on real processes: cores, agents, a proxy for EC2 and the lock; then looks into the books."""

import asyncio
import contextlib
import json
import pathlib
import shutil
import time

import books
from bed import Relay, now
from installation import command_of, shared_key, write_documents
from processes import Core, Failed, RealQueue, Swarm
from schedule import ACTIVE

READY_S = 60
REST_S = 120  # pauses between tries are drawn up to 20 s, and a refused pool waits 5, 10, 20 s
STEADY_S = 0.6


class Play:
    def __init__(self, schedule, bed, directory, **settings):
        self.schedule, self.bed, self.directory = schedule, bed, pathlib.Path(directory)
        self.settings = settings
        self.notes = []
        self.begun = now()
        self.reporting = None
        self.tasks = set()

    def note(self, what, **more):
        self.notes.append({"t": now(), "what": what, **more})

    def later(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # ---- the world ----

    async def build(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        (self.directory / "schedule.json").write_text(json.dumps(self.schedule, indent=1))
        self.aws = self.bed.aws({"pids": {}, **self.settings})
        self.aws.freezing = lambda client, seconds: self.later(self.cores[client].freeze(seconds))
        key = shared_key(self.directory)
        services = self.schedule["services"]
        alone = self.schedule["kind"] == "run"
        self.relays = {core: {} if alone else {name: Relay() for name in services} for core in self.schedule["cores"]}
        self.swarms = {name: RealQueue(service) if alone else Swarm(name, service, key, [r[name] for r in self.relays.values()], self.directory)
                       for name, service in services.items()}
        config = write_documents(self.directory / "config", self.schedule, self.bed.world)
        self.cores = {name: Core(name, self.directory / f"core-{name}", self.aws.listen_for(name)["url"], self.schedule["sessions"],
                                 command_of(self.schedule, config, key), self.relays[name], self.schedule["lives"][name], self.note_process)
                      for name in self.schedule["cores"]}

    def note_process(self, what, **more):
        self.note(what, **more)
        if what == "started":
            self.aws.state.settings["pids"][more["core"]] = more["pid"]

    async def start(self):
        for core in self.cores.values():
            core.start()
        for swarm in self.swarms.values():
            await swarm.start()
        await self.until(self.all_up, "every core up, one of them leading", READY_S)
        if self.schedule["instances_report"]:
            self.reporting = asyncio.ensure_future(self.instances_report())

    async def all_up(self):
        return all([await self.ready(core) for core in self.cores.values()]) and self.leader() is not None

    async def ready(self, core):
        return core.port and await core.answers("/readyz")

    def leader(self):
        """As the lock has it; without one there is one core."""
        name = self.aws.holder() if self.schedule["locked"] else "a"
        return self.cores[name] if name else None

    async def until(self, condition, what, seconds):
        end = time.monotonic() + seconds
        while True:
            self.check_alive()
            found = await condition()
            if found:
                return found
            if time.monotonic() > end:
                raise Failed(f"not within {seconds} s: {what}")
            await asyncio.sleep(0.05)

    def check_alive(self):
        for core in self.cores.values():
            if core.living and core.living.done() and not core.stopping:
                core.living.result()

    async def instances_report(self):
        """What EC2 runs starts an agent of its own, and takes it along when it ends."""
        while True:
            for name, swarm in self.swarms.items():
                own = [e for e in self.aws.state.ledger.entries if books.service_of(e) == name]
                alive = {e["id"] for e in own if e["terminated"] is None and now() - e["launched"] > e.get("pending_s", 0)}
                for instance in alive - swarm.instances:
                    await swarm.joined(instance)
                for instance in swarm.instances - alive:
                    await swarm.gone(instance)
            await asyncio.sleep(0.1)

    # ---- the script ----

    async def script(self):
        self.aws.control(self.schedule["settings"])
        start = time.monotonic()
        for at, kind, arguments in self.schedule["events"]:
            await asyncio.sleep(max(0, start + at - time.monotonic()))
            self.check_alive()
            # Who leads is asked, so that may take its time.
            self.later(getattr(self, f"do_{kind}")(**arguments))
        await asyncio.sleep(max(0, start + self.schedule["length_s"] - time.monotonic()))

    async def do_demand(self, service, replicas):
        # Before it is said: what is asked for may be answered before this line is through.
        self.note("demand", service=service, replicas=replicas)
        await self.swarms[service].ask(replicas)

    async def do_fault(self, **fault):
        self.aws.state.settings["faults"].append(fault)

    async def do_set(self, **settings):
        self.aws.control(settings)

    async def do_reclaim(self, index):
        self.aws.reclaim(index)

    async def do_gate(self, gate, how):
        gates = {k: v for k, v in self.aws.state.settings["gates"].items() if k != gate}
        self.aws.control({"gates": {**gates, gate: how} if how else gates})

    async def do_pause(self, s):
        file = self.directory / "pause"
        file.write_text("chaos\n")
        self.note("paused")
        await asyncio.sleep(s)
        file.unlink()
        self.note("resumed")

    async def do_cut(self, core, service, how):
        self.relays[core][service].cut(how)

    async def do_agents_restart(self, service, s):
        await self.swarms[service].stop()
        await asyncio.sleep(s)
        await self.swarms[service].start()

    async def who(self, who):
        if who == "all":
            return list(self.cores.values())
        leader = self.leader()
        return [core for core in self.cores.values() if (core is leader) == (who == ACTIVE)]

    async def do_kill(self, who):
        for core in await self.who(who):
            self.note("kill", core=core.name)
            core.kill()

    async def do_freeze(self, who, s):
        for core in (await self.who(who))[:1]:
            await core.freeze(s)

    # ---- afterwards ----

    async def calm(self):
        """No more faults, all networks open, no process stopped."""
        self.aws.calm = True
        self.aws.control({"faults": [], "gates": {}, "skew_s": 0})
        self.aws.state.buckets.clear()
        for relays in self.relays.values():
            for relay in relays.values():
                relay.cut(None)
        while self.tasks:
            await asyncio.wait(self.tasks)
        self.note("calm")

    def adds_up(self):
        """None when EC2 runs what was asked for."""
        return books.at_rest(self.schedule, self.aws.state.ledger.entries, {name: swarm.replicas for name, swarm in self.swarms.items()})

    async def resting(self):
        self.why = self.adds_up() or await self.known(self.leader())
        return self.why is None

    async def known(self, leader):
        """No orphan: what EC2 runs is what the leader counts."""
        if leader is None or not leader.port:
            return "nobody leads"
        found = await leader.get("/v1/policies") or {"policies": []}
        shown = {policy["policy"]: policy["replicas"] for policy in found["policies"]}
        for name, service in self.schedule["services"].items():
            have = service["hosts"] + sum(e["terminated"] is None and books.service_of(e) == name for e in self.aws.state.ledger.entries)
            if shown.get(name) != have:
                return f"{name}: {have} hosts and instances, core {leader.name} knows {shown.get(name)}"
        return None

    async def at_rest_within(self, seconds):
        try:
            await self.until(self.resting, "rest", seconds)
        except Failed as failed:
            raise Failed(f"{failed}: {self.why}") from failed

    async def rest(self):
        """What runs stays as it is. What the leader counts may differ for a moment: an order whose answer was lost counts
        until its instances are seen."""
        await self.at_rest_within(REST_S)
        end = time.monotonic() + STEADY_S
        while time.monotonic() < end:
            why = self.adds_up()
            if why and self.schedule["brake"]["kind"] != "minute":
                raise Failed(f"it did not stay so: {why}")
            await asyncio.sleep(0.05)
        await self.at_rest_within(REST_S)

    async def run(self):
        """Problems as sentences; none is right."""
        problems = []
        await self.build()
        try:
            await self.start()
            await self.script()
            await self.calm()
            await self.rest()
        except Failed as failed:
            problems.append(str(failed))
        finally:
            problems += self.books()
            await self.close()
        if problems:
            self.keep(problems)
        else:
            shutil.rmtree(self.directory)
        return problems

    def books(self):
        state = self.aws.state
        freezes = [note for note in self.notes if note["what"] == "frozen"]
        return books.check(self.schedule, state.ledger.entries, state.log, self.notes, self.aws.lock_writes(), freezes)

    async def close(self):
        for task in [*self.tasks, *([self.reporting] if self.reporting else [])]:
            task.cancel()
        for one in [*self.cores.values(), *self.swarms.values()]:
            with contextlib.suppress(Failed):
                await one.close()
        for relays in self.relays.values():
            for relay in relays.values():
                relay.close()
        self.aws.close()

    def keep(self, problems):
        for name, data in (("problems", problems), ("notes", self.notes), ("ledger", self.aws.state.ledger.entries), ("log", self.aws.state.log),
                           ("signals", self.aws.signals)):
            (self.directory / f"{name}.json").write_text(json.dumps(data, indent=1))

    def facts(self):
        """What happened, for the sum of all."""
        entries, log = self.aws.state.ledger.entries, self.aws.state.log
        launches = [call for call in log if call["action"] == "CreateFleet"]
        return {"seconds": round(now() - self.begun, 1), "launched": len(entries), "ended": sum(e["terminated"] is not None for e in entries),
                "calls": len(launches), "faults": sum(bool(call.get("fault")) for call in log), "deaths": sum(c.deaths for c in self.cores.values()),
                "freezes": sum(note["what"] == "frozen" for note in self.notes), "epochs": len(self.aws.epochs()),
                "mismatches": sum(call["status"] == 400 for call in launches)}


