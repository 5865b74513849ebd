# SPDX-License-Identifier: Apache-2.0
"""Benches of a fleet: agents over TLS on loopback, one core or two, EC2's stand-in with a ledger instead of moto."""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import time
import zlib

from parts import ROOT, TOOLS, cpu_seconds, fdatasync_ms, progress, resident_mib, spread
from host_rows import EDGE_LISTENERS, burst, edge_config, edge_pairs, listen
from running import BINARY, METRICS
from whole import World, free_port


# ---- edge on an agent -> the last byte of CreateFleet at the core ----


def bench_fleet_edge(directory, options):
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listen()) for _ in range(EDGE_LISTENERS)]
        world = World(directory / "fleet_edge", stack)
        config = edge_config(world.directory, world.ec2.world, [one.getsockname()[1] for one in listeners])
        core = world.core(config).ready()
        world.agent([core.agents_port], "--service", ",".join(f"web{i}" for i in range(EDGE_LISTENERS)))
        time.sleep(4)
        until = time.monotonic() + options.edges * 0.3 + 20
        done, found = 0, []
        while len(found) < options.edges and time.monotonic() < until:
            burst(listeners[done % EDGE_LISTENERS])
            done += 1
            time.sleep(0.11)
            if done % 50 == 0:
                found = edge_pairs(core, world.ec2)
        time.sleep(0.5)
        found = edge_pairs(core, world.ec2)
        if len(found) < min(200, options.edges):
            raise RuntimeError(f"only {len(found)} edges of {done} bursts led to a launch\n{core.stderr()[-2000:]}")
        return {"edge_to_wire_ms": spread([ms for ms, _, _ in found], 3), "bursts": done, "fdatasync_ms": spread(fdatasync_ms(core.state), 3),
                "slowest_ms": [round(ms, 2) for ms, _, _ in sorted(found)[-8:]]}


# ---- edges of one instant ----

GATHER_AGENTS = 10


def gathered_once(world, swarm):
    """Ten agents see a queue in the same moment: how long the first waits for its call, and what it takes for all."""
    before = len(world.ec2.log())
    start = time.time()
    swarm.say("depth 16", "edge")
    until = time.monotonic() + 20
    while len(world.ec2.ledger(alive=True)) < GATHER_AGENTS and time.monotonic() < until:
        time.sleep(0.02)
    calls = world.ec2.log("CreateFleet", since=before)
    if len(world.ec2.ledger(alive=True)) != GATHER_AGENTS:
        raise RuntimeError(f"{len(world.ec2.ledger(alive=True))} instances of {GATHER_AGENTS} after {len(calls)} calls")
    times = [(call["t_kernel_last"] - start) * 1000 for call in calls]
    swarm.say("depth 0")
    while world.ec2.ledger(alive=True) and time.monotonic() < until:
        time.sleep(0.05)
    return len(calls), min(times), max(times), int(calls[0]["params"]["TargetCapacitySpecification.TotalTargetCapacity"])


def bench_gather(directory, options):
    with contextlib.ExitStack() as stack:
        world = World(directory / "gather", stack)
        core = world.core(world.config(80, target="8", most=100, down_s=0)).ready()
        swarm = world.swarm(core.agents_port, "--agents", GATHER_AGENTS, "--service", "web", "--listeners", 1, "--rate", 10)
        swarm.connected(GATHER_AGENTS, 30)
        time.sleep(2)
        found = [gathered_once(world, swarm) for _ in range(options.repeats * 2)]
        return {"edges": GATHER_AGENTS, "calls": [calls for calls, _, _, _ in found], "first_asks_for": [count for _, _, _, count in found],
                "first_ms": spread([first for _, first, _, _ in found]), "all_ms": spread([last for _, _, last, _ in found])}


# ---- many agents ----

INGEST_LISTENERS = 20
# One metric that one listener has, and one that all have: what nobody reads is not sent.
INGEST_METRICS = METRICS + """
    - type: External
      external:
        metric: {{name: forerun_requests_per_second}}
        target: {{type: AverageValue, averageValue: "1000000"}}"""


def ingest(world, agents, seconds):
    """CPU and memory of a core that so many agents report to, and what a restart of it takes."""
    port = free_port()
    config = world.config(80, target="1000000", most=100000, metrics=INGEST_METRICS.format(port=80, target="1000000"))
    core = world.core(config, name=f"core-{agents}", port=port).ready()
    swarm = world.swarm(port, "--agents", agents, "--service", "web", "--listeners", INGEST_LISTENERS, "--rate", 1, "--edges", 0.01)
    first = swarm.connected(agents, 120)
    time.sleep(5)
    before, start = cpu_seconds(core.process.pid), time.monotonic()
    time.sleep(seconds)
    used, took = cpu_seconds(core.process.pid) - before, time.monotonic() - start
    found = {"agents": agents, "cpu_percent_of_one_core": round(100 * used / took, 2), "resident_mib": round(resident_mib(core.process.pid), 1),
             "connected_after_s": round(first, 1)}
    core.kill()
    gone = time.monotonic()
    while swarm.status.get("connected", 0) > 0 and time.monotonic() - gone < 10:
        time.sleep(0.05)
    again = world.core(config, name=f"core-{agents}-again", port=port)
    back = swarm.connected(agents, 180)
    found.update(storm_back_s=round(back, 1), storm_cpu_s=round(cpu_seconds(again.process.pid), 2), storm_resident_mib=round(resident_mib(again.process.pid), 1))
    again.kill()
    swarm.say("quit")
    swarm.process.wait(30)
    return found


def bench_ingest(directory, options):
    with contextlib.ExitStack() as stack:
        world = World(directory / "ingest", stack)
        sizes = [options.agents // 4, options.agents // 2, options.agents]
        found = []
        for agents in sizes:
            progress(f"  {agents} agents")
            found.append(ingest(world, agents, options.agent_seconds))
        slope = statistics.linear_regression(sizes, [one["cpu_percent_of_one_core"] for one in found])
        memory = statistics.linear_regression(sizes, [one["resident_mib"] for one in found])
        return {"sizes": found, "for_100000": {"cpu_percent_of_one_core": round(slope.slope * 1e5 + slope.intercept, 1),
                                               "resident_mib": round(memory.slope * 1e5 + memory.intercept)}}


# ---- many services, long histories ----


def told(*command):
    return json.loads(subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout)


def bench_decide(directory, options):
    return told(TOOLS / "bench_core")


def one_story(world):
    """The journal of one decision from its queue to a serving instance, as it really is written."""
    core = world.core(world.config(80, target="8", most=2), name="story").ready()
    swarm = world.swarm(core.agents_port, "--agents", 1, "--service", "web", "--listeners", 1, "--rate", 10)
    swarm.connected(1, 30)
    time.sleep(1)
    swarm.say("depth 12", "edge")
    decision = core.decision("scale-up", closed=True)
    time.sleep(0.5)
    core.stop()
    lines = [line.partition(" ")[2] for line in (core.state / "journal").read_text().splitlines()]
    return decision["id"], [json.loads(line) for line in lines if decision["id"] in line or '"i-' in line]


def renamed(value, names):
    if isinstance(value, dict):
        return {key: renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def write_history(path, decision, story, count):
    """That story so many times, each with ids and a token of its own; every instance has ended since."""
    token = next(line["token"] for line in story if line["t"] == "order")
    instances = [row[0] for line in story if line["t"] == "result" for row in line["instances"]]
    stem, _, _ = token.rpartition("-")
    with open(path, "w") as file:
        for number in range(1, count + 1):
            names = {decision: f"{decision}-{number}", token: f"{stem}-{number}", **{i: f"i-{number:08x}{k:09x}" for k, i in enumerate(instances)}}
            lines = story + [{"v": 1, "t": "instance", "wall_us": story[-1]["wall_us"], "id": i, "state": "gone"} for i in instances]
            for line in lines:
                text = renamed(line, names)
                if "sequence" in text:
                    text["sequence"] = number
                payload = json.dumps(text, separators=(",", ":"))
                file.write(f"{zlib.crc32(payload.encode()):08x} {payload}\n")


def bench_replay(directory, options):
    with contextlib.ExitStack() as stack:
        world = World(directory / "replay", stack)
        decision, story = one_story(world)
        state = world.directory / "history"
        state.mkdir()
        write_history(state / "journal", decision, story, options.decisions)
        times = []
        for _ in range(options.repeats):
            start = time.monotonic()
            done = subprocess.run([BINARY, "explain", "--state-dir", state, "--last", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env={**os.environ, "FORERUN_OPTIONS_FILE": "/dev/null"})
            times.append(time.monotonic() - start)
            if done.returncode != 0 or f"-{options.decisions}" not in done.stdout:
                raise RuntimeError(f"the history was not replayed: {done.stderr[-500:]}{done.stdout[:200]}")
        size = (state / "journal").stat().st_size
        return {"decisions": options.decisions, "lines_each": len(story) + 1, "mib": round(size / (1 << 20), 1), "seconds": round(statistics.median(times), 3),
                "core": told(TOOLS / "bench_replay", options.decisions, options.instances)}


def bench_reconcile(directory, options):
    """A core that starts with so many instances in EC2, beside one that finds none."""
    with contextlib.ExitStack() as stack:
        world = World(directory / "reconcile", stack)
        config = world.config(80, most=1_000_000)
        found = {}
        for count in (0, options.instances):
            if count:
                tags = {"forerun.dev/owner": "default", "forerun.dev/nodepool": "web", "forerun.dev/policy": "web", "forerun.dev/service": "web",
                        "forerun.dev/decision": "before", "forerun.dev/token": "before"}
                world.ec2.control(prefill={"count": count, "type": "c7g.large", "zone": "us-east-1a", "capacity_type": "spot", "tags": tags})
            since = len(world.ec2.log())
            core = world.core(config, name=f"core-{count}")
            core.ready()
            core.wait(lambda: core.policy()["replicas"] >= count, f"{count} instances are known", 60)
            pages = [call for call in world.ec2.log("DescribeInstances", since=since) if call["status"] == 200]
            found[str(count)] = {"cpu_s": round(cpu_seconds(core.process.pid), 3), "pages": len(pages),
                                 "asked_until_answered_s": round(pages[-1]["t_reply"] - pages[0]["t_kernel"], 3),
                                 "resident_mib": round(resident_mib(core.process.pid), 1)}
            core.kill()
        return {"instances": options.instances, **found}


# ---- which TLS ----


def bench_tls(directory, options):
    """The server's side of one library beside another, as far as they are installed."""
    done = subprocess.run([ROOT / "tests/bench/tls_libraries.sh", str(options.agents // 5), "200000"], check=True, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    found = {}
    for line in lines:
        match = re.match(r"(\S+ \S+)\s+([\d.]+) KiB/connection\s+([\d.]+) us/handshake\s+([\d.]+) us/record", line)
        found[match[1]] = {"kib_each": float(match[2]), "handshake_us": float(match[3]), "record_us": float(match[4])}
    return found


# ---- takeover ----

LEASE_S = 5


def bench_takeover(directory, options):
    """The leader is killed and a queue forms in the same moment: how long until the standby's call for it."""
    with contextlib.ExitStack() as stack:
        world = World(directory / "takeover", stack)
        world.ec2.make_lock_table("forerun")
        config = world.config(80, target="8", most=10, down_s=0)
        ports = {name: free_port() for name in ("a", "b")}
        urls = {name: world.ec2.listen(name) for name in ports}

        def start(name, life):
            return world.core(config, "--lock-table", "forerun", "--lease", f"{LEASE_S}s", name=f"core-{name}-{life}", url=urls[name], port=ports[name])

        cores = {name: start(name, 0) for name in ports}
        # An agent is connected to every core; simulated ones to one each.
        swarms = [world.swarm(port, "--agents", 1, "--service", "web", "--listeners", 1, "--rate", 10) for port in ports.values()]
        times = []
        for life in range(1, options.repeats + 1):
            leader = wait_for_leader(cores)
            wait_for_agents(cores.values())
            time.sleep(LEASE_S / 2 + 1)
            since = len(world.ec2.log())
            killed = time.time()
            os.kill(cores[leader].process.pid, signal.SIGKILL)
            for swarm in swarms:
                swarm.say("depth 16", "edge")
            call = first_call(world.ec2, since, LEASE_S + 20)
            if call["client"] == leader:
                raise RuntimeError("the killed leader launched")
            times.append(call["t_kernel_last"] - killed)
            for swarm in swarms:
                swarm.say("depth 0")
            cores[leader].kill()
            cores[leader] = start(leader, life)
            until = time.monotonic() + 30
            while world.ec2.ledger(alive=True) and time.monotonic() < until:
                time.sleep(0.2)
        return {"lease_s": LEASE_S, "takeover_s": spread(times, 3), "worst_s": round(max(times), 3)}


def said(core):
    """The newest status line."""
    return next((line for line in reversed(core.lines) if line.get("type") == "status"), {})


def wait_for_leader(cores):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for name, core in cores.items():
            if (said(core).get("lease") or {}).get("leading"):
                return name
        time.sleep(0.1)
    raise RuntimeError("nobody took the lead")


def wait_for_agents(cores):
    """A standby is warm when the agents report to it; to one that has just come back they come within half a minute."""
    until = time.monotonic() + 60
    while not all(said(core).get("agents", {}).get("connected") for core in cores):
        if time.monotonic() > until:
            raise RuntimeError("a core without its agent")
        time.sleep(0.1)


def first_call(ec2, since, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if calls := ec2.log("CreateFleet", since=since):
            return calls[0]
        time.sleep(0.1)
    raise RuntimeError(f"no launch within {seconds} s of the leader's death")


# ---- the table ----


def rows(results):
    def reached(yes):
        return "yes" if yes else "NO"

    if r := results.get("fleet_edge"):
        e, d = r["edge_to_wire_ms"], r["fdatasync_ms"]
        yield (f"edge on an agent -> CreateFleet's last byte at the core, p50 / p99 of {e['n']}", f"{e['p50']:.2f} / {e['p99']:.2f} ms", "4 / 12 ms",
               reached(e["p50"] <= 4 and e["p99"] <= 12))
        yield ("  the disk's own fdatasync, p50 / p99", f"{d['p50']:.2f} / {d['p99']:.2f} ms", "", "")
    if r := results.get("gather"):
        yield (f"{r['edges']} edges of one instant: calls (median), first call, all launched (p50)",
               f"{statistics.median(r['calls']):.0f}, {r['first_ms']['p50']:.1f} ms, {r['all_ms']['p50']:.1f} ms", "", "")
    if r := results.get("ingest"):
        for one in r["sizes"]:
            yield (f"{one['agents']:,} agents at 1 Hz, 20 listeners, 1 % edges/s: CPU", f"{one['cpu_percent_of_one_core']:.1f} % of a core", "30 %",
                   reached(one["cpu_percent_of_one_core"] <= 30))
            yield ("  resident memory", f"{one['resident_mib']:.0f} MiB", "300 MiB", reached(one["resident_mib"] <= 300))
            yield ("  the core is killed and comes back: all agents back, CPU for it", f"{one['storm_back_s']:.1f} s, {one['storm_cpu_s']:.1f} s", "", "")
        yield ("  carried on to 100,000 agents", f"{r['for_100000']['cpu_percent_of_one_core']:.0f} % of a core, {r['for_100000']['resident_mib']:,} MiB", "", "")
    if r := results.get("tls"):
        for name, one in r.items():
            yield (f"TLS 1.3 with {name}: memory a connection, CPU a handshake, CPU a record",
                   f"{one['kib_each']:.1f} KiB, {one['handshake_us']:.0f} us, {one['record_us']:.2f} us", "", "")
    if r := results.get("decide"):
        yield (f"one tick over {r['services']:,} services of {r['hosts']:,} hosts; when all are held", f"{r['tick_ms']:.1f} ms; {r['held_tick_ms']:.1f} ms",
               "10 ms", reached(max(r["tick_ms"], r["held_tick_ms"]) <= 10))
        yield ("  a frame of one host; an edge", f"{r['frame_us']:.1f} us; {r['edge_us']:.1f} us", "", "")
    if r := results.get("replay"):
        yield (f"journal of {r['decisions']:,} decisions ({r['mib']:.0f} MiB) read back", f"{r['seconds']:.2f} s", "1 s", reached(r["seconds"] <= 1))
        c = r["core"]
        yield (f"  the core's part of another one ({c['bytes'] / 1e6:.0f} MB), CPU; {c['instances']:,} instances adopted", f"{c['replay_cpu_seconds']:.2f} s; "
               f"{c['adopted_cpu_ms']:.1f} ms", "", "")
    if r := results.get("reconcile"):
        one, none = r[str(r["instances"])], r["0"]
        yield (f"{r['instances']:,} instances found at the start: CPU more than with none", f"{one['cpu_s'] - none['cpu_s']:.2f} s", "", "")
        yield ("  their pages, first asked until last answered", f"{one['asked_until_answered_s']:.2f} s, {one['pages']} pages", "", "")
    if r := results.get("takeover"):
        t = r["takeover_s"]
        yield (f"leader killed -> standby's first call, lease {r['lease_s']} s, p50 / worst of {t['n']}", f"{t['p50']:.2f} / {r['worst_s']:.2f} s",
               f"{r['lease_s'] + 0.2:.1f} s", reached(r["worst_s"] <= r["lease_s"] + 0.2))


BENCHES = {"fleet_edge": bench_fleet_edge, "gather": bench_gather, "ingest": bench_ingest, "tls": bench_tls, "decide": bench_decide, "replay": bench_replay,
           "reconcile": bench_reconcile, "takeover": bench_takeover}
