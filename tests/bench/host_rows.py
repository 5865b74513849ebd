# SPDX-License-Identifier: Apache-2.0
"""Benches of one host: the edge of `forerun run`, what it costs beside a server, in the kernel, and as a process."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import tempfile
import time

from parts import ROOT, TOOLS, child, cpu_seconds, fdatasync_ms, resident_mib, spread

from fleet import tags_of
from running import Forerun, bpf_held, write_config
from testbed import BUILD, Ec2


@contextlib.contextmanager
def signals_only(directory, *arguments):
    """forerun run without policies: what every node runs. Yields it after its first second."""
    state = pathlib.Path(tempfile.mkdtemp(dir=directory)) / "state"
    command = [BUILD / "forerun", "run", "--state-dir", state, "--listen", "none", "--format", "none", "--log-level", "warning", *arguments]
    environment = {**os.environ, "FORERUN_OPTIONS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true"}
    with child(*command, env=environment) as process:
        until = time.monotonic() + 15
        while not any(kind == "link" for kind, _ in bpf_held(process.pid)):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("forerun did not start")
            time.sleep(0.05)
        time.sleep(1)
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(15)


# ---- 1: edge -> the last byte of CreateFleet ----

EDGE_LISTENERS = 24
EDGE_DEPTH = 12


def edge_config(directory, world, ports):
    """A policy and a pool for each listener: a burst is one decision for one instance, which goes again when the queue is
    gone, so that the next burst finds one replica again."""
    types = {"types": "c7g.large, m7g.large, c6g.large", "zones": "us-east-1a, us-east-1b, us-east-1c"}
    for index, port in enumerate(ports):
        name = f"web{index}"
        config = write_config(directory / "config", world, port, policy=name, pool=name, most=2, down_s=0, **types)
        for kind in ("policy", "pool"):
            (config / f"{kind}.yaml").rename(config / f"{kind}{index}.yaml")
    return config


def listen(backlog=512):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(backlog)
    return sock


def burst(listener):
    """A queue that forms at once and is served a moment later."""
    clients = [socket.create_connection(listener.getsockname()) for _ in range(EDGE_DEPTH)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
    time.sleep(0.04)
    for client in clients:
        server = listener.accept()[0]
        server.recv(4096)
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        server.close()
    for client in clients:
        client.close()


def edge_pairs(forerun, ec2):
    """(ms from the edge to the last byte of the call it led to, ms of these to the decision, whether the connection was
    new) for each edge."""
    edges = {line["decision"]["id"]: line["decision"] for line in list(forerun.lines) if line.get("type") == "decision"}
    offset = time.time() - time.monotonic()
    found = []
    for call in ec2.log("CreateFleet"):
        decision = edges.get(tags_of(call["params"]).get("forerun.dev/decision"))
        if decision and "edge_mono_us" in decision and call["status"] == 200:
            found.append(((call["t_kernel_last"] - offset - decision["edge_mono_us"] / 1e6) * 1000, decision["edge_to_decision_ms"],
                          call["request"] == 1))
    return found


def bench_edge(directory, options):
    listeners = [listen() for _ in range(EDGE_LISTENERS)]
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        ec2 = Ec2()
        stack.callback(ec2.close)
        world = ec2.make_world()
        config = edge_config(directory, world, [one.getsockname()[1] for one in listeners])
        ec2.control(synthetic_fleet=True, model_check=False)
        forerun = Forerun(config, directory / "state", ec2.environment(HOME=str(directory)), "--max-launches-per-minute", "100000")
        stack.callback(forerun.kill)
        forerun.ready()
        time.sleep(2)
        until = time.monotonic() + options.edges * 0.3 + 20
        done = 0
        found = []
        while len(found) < options.edges and time.monotonic() < until:
            burst(listeners[done % EDGE_LISTENERS])
            done += 1
            time.sleep(0.11)
            if done % 50 == 0:
                found = edge_pairs(forerun, ec2)
        time.sleep(0.5)
        found = edge_pairs(forerun, ec2)
        if len(found) < min(200, options.edges):
            raise RuntimeError(f"only {len(found)} edges of {done} bursts led to a launch\n{forerun.stderr()[-2000:]}")
        slowest = [{"ms": round(ms, 2), "to_decision_ms": round(decided, 2), "new_connection": new} for ms, decided, new in sorted(found)[-8:]]
        return {"edge_to_wire_ms": spread([ms for ms, _, _ in found], 3), "to_decision_ms": spread([d for _, d, _ in found], 3), "slowest": slowest,
                "bursts": done, "fdatasync_ms": spread(fdatasync_ms(forerun.state), 3)}


# ---- 2: nginx with and without ----


@contextlib.contextmanager
def nginx(directory):
    with listen() as probe:
        port = probe.getsockname()[1]
    home = pathlib.Path(tempfile.mkdtemp(prefix="nginx-", dir="/tmp"))
    os.chmod(home, 0o755)
    text = (ROOT / "tests/integration/servers/nginx.conf").read_text().replace("PREFIX", str(home)).replace("PORT", str(port))
    (home / "nginx.conf").write_text(text)
    try:
        with child("nginx", "-p", home, "-c", home / "nginx.conf", stderr=subprocess.DEVNULL):
            for _ in range(100):
                with socket.socket() as sock:
                    if sock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
    finally:
        subprocess.run(["rm", "-rf", home], check=False)


def wrk(port, seconds, close):
    header = ["-H", "Connection: close"] if close else []
    text = subprocess.run(["wrk", "-t1", "-c16", f"-d{seconds}s", *header, f"http://127.0.0.1:{port}/"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return float(text.partition("Requests/sec:")[2].split()[0])


def paired(port, directory, close, pairs, seconds):
    """Ratios on / off; the order turns around each time, so that a drift of the machine cancels out."""
    ratios, on_all, off_all = [], [], []
    for index in range(pairs):
        def with_forerun():
            with signals_only(directory):
                return wrk(port, seconds, close)

        if index % 2:
            on, off = with_forerun(), wrk(port, seconds, close)
        else:
            off, on = wrk(port, seconds, close), with_forerun()
        on_all.append(on)
        off_all.append(off)
        ratios.append(on / off)
    return {"ratio": round(statistics.median(ratios), 4), "ratios": [round(r, 4) for r in ratios],
            "on_per_second": round(statistics.median(on_all)), "off_per_second": round(statistics.median(off_all))}


def bench_throughput(directory, options):
    with nginx(directory) as port:
        wrk(port, 2, False)
        return {"keep_alive": paired(port, directory, False, options.pairs, 4),
                "connection_per_request": paired(port, directory, True, options.pairs, 4)}


# ---- 3: kernel time per packet ----


@contextlib.contextmanager
def kernel_statistics():
    path = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
    before = path.read_text()
    path.write_text("1")
    try:
        yield
    finally:
        path.write_text(before)


def cgroup2():
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup2 "):
            return left.split()[4]
    raise RuntimeError("no cgroup2 file system is mounted")


def programs():
    text = subprocess.run(["/usr/sbin/bpftool", "-j", "prog", "show"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {p["id"]: p for p in json.loads(text)}


def attached(pid):
    """Ids of the process's cgroup_skb programs, by direction."""
    text = subprocess.run(["/usr/sbin/bpftool", "-j", "link", "show"], check=True, stdout=subprocess.PIPE, text=True).stdout
    held = {number for kind, number in bpf_held(pid) if kind == "link"}
    ways = {"cgroup_inet_ingress": "in", "cgroup_inet_egress": "out", "ingress": "in", "egress": "out"}
    return {ways[link["attach_type"]]: link["prog_id"] for link in json.loads(text)
            if link["id"] in held and link.get("attach_type") in ways}


def window(ids, seconds):
    """Mean nanoseconds of one run of each program over that long."""
    before = programs()
    time.sleep(seconds)
    after = programs()

    def mean(i):
        runs = after[i].get("run_cnt", 0) - before[i].get("run_cnt", 0)
        return (after[i].get("run_time_ns", 0) - before[i].get("run_time_ns", 0)) / max(runs, 1)

    return {key: mean(i) for key, i in ids.items()}


def bench_packet(directory, options):
    with contextlib.ExitStack() as stack:
        stack.enter_context(kernel_statistics())
        port = stack.enter_context(nginx(directory))
        empty = stack.enter_context(child(TOOLS / "bench_empty", cgroup2(), stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        ids = {f"empty_{k}": v for k, v in json.loads(empty.stdout.readline()).items()}
        running = stack.enter_context(signals_only(directory))
        ids |= attached(running.pid)
        found = {}
        for name, header in (("keep_alive", []), ("connection_per_request", ["-H", "Connection: close"])):
            with child("wrk", "-t1", "-c16", f"-d{options.windows + 3}s", *header, f"http://127.0.0.1:{port}/", stdout=subprocess.DEVNULL):
                time.sleep(1)
                windows = [window(ids, 1) for _ in range(options.windows)]
            found[name] = {key: round(statistics.median(w[key] for w in windows), 1) for key in ids}
        return found


# ---- 4: one poll ----


def bench_poll(directory, options):
    found = {}
    for listeners in (10, 100, 1000):
        text = subprocess.run([TOOLS / "bench_poll", str(listeners), "500"], check=True, stdout=subprocess.PIPE, text=True).stdout
        found[str(listeners)] = json.loads(text)
    return found


# ---- 5: the agent at work ----


def bench_agent(directory, options):
    seconds = options.agent_seconds
    with contextlib.ExitStack() as stack:
        load = stack.enter_context(child(TOOLS / "bench_load", "rate", 100, 1000, seconds + 8, stdout=subprocess.PIPE))
        running = stack.enter_context(signals_only(directory))
        time.sleep(2)
        before, start = cpu_seconds(running.pid), time.monotonic()
        time.sleep(seconds)
        used, took = cpu_seconds(running.pid) - before, time.monotonic() - start
        resident = resident_mib(running.pid)
        rate = json.loads(load.communicate(timeout=60)[0])["per_second"]
        return {"cpu_percent_of_one_core": round(100 * used / took, 3), "resident_mib": round(resident, 2), "connections_per_second": rate}


# ---- 6: the usual way ----


def ss_cpu_ms(count=40):
    """CPU of `ss -ltn`, its start included, once every 100 ms."""
    before = os.times()
    at = time.monotonic()
    for _ in range(count):
        subprocess.run(["ss", "-ltn"], check=True, stdout=subprocess.DEVNULL)
        at += 0.1
        time.sleep(max(0, at - time.monotonic()))
    after = os.times()
    return (after.children_user + after.children_system - before.children_user - before.children_system) * 1000 / count


def bench_usual(directory, options):
    with contextlib.ExitStack() as stack:
        hold = stack.enter_context(child(TOOLS / "bench_load", "hold", 20000, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        if not hold.stdout.readline():
            raise RuntimeError("20,000 connections could not be made")
        running = stack.enter_context(signals_only(directory))
        time.sleep(3)  # what was there before is found by now
        before, start = cpu_seconds(running.pid), time.monotonic()
        time.sleep(10)
        ours = (cpu_seconds(running.pid) - before) * 1000 / ((time.monotonic() - start) * 10)
        text = subprocess.run([TOOLS / "bench_load", "proc", "40"], check=True, stdout=subprocess.PIPE, text=True).stdout
        proc = json.loads(text)["cpu_ms_per_poll"]
        ss = ss_cpu_ms()
        return {"connections": 20000, "forerun_ms_per_tick": round(ours, 4), "ss_ms_per_poll": round(ss, 3), "proc_net_tcp_ms_per_poll": round(proc, 3),
                "times_cheaper_than_ss": round(ss / ours, 1), "times_cheaper_than_proc_net_tcp": round(proc / ours, 1)}


# ---- the table ----


def rows(results):
    def reached(yes):
        return "yes" if yes else "NO"

    if r := results.get("edge"):
        e, d = r["edge_to_wire_ms"], r["fdatasync_ms"]
        yield (f"edge -> CreateFleet's last byte, p50 / p99 of {e['n']}", f"{e['p50']:.2f} / {e['p99']:.2f} ms", "3 / 10 ms",
               reached(e["p50"] <= 3 and e["p99"] <= 10))
        yield ("  the disk's own fdatasync, p50 / p99", f"{d['p50']:.2f} / {d['p99']:.2f} ms", "", "")
    if r := results.get("throughput"):
        for key, limit in (("keep_alive", 0.99), ("connection_per_request", 0.97)):
            yield (f"nginx with / without, {key.replace('_', ' ')} ({r[key]['off_per_second']:,}/s without)", f"{r[key]['ratio']:.4f}", f">= {limit}",
                   reached(r[key]["ratio"] >= limit))
    if r := results.get("packet"):
        for key, found in r.items():
            for way in ("in", "out"):
                yield (f"kernel time per packet {way}, {key.replace('_', ' ')}", f"{found[way]:.0f} ns (empty program {found['empty_' + way]:.0f})", "60 ns",
                       reached(found[way] <= 60))
    if r := results.get("poll"):
        for count, limit in (("10", 50), ("100", 200), ("1000", 1500)):
            yield (f"poll of {r[count]['listeners']} listeners, p50 / p99", f"{r[count]['p50_us']:.0f} / {r[count]['p99_us']:.0f} us", f"{limit} us",
                   reached(r[count]["p50_us"] <= limit))
    if r := results.get("agent"):
        yield (f"agent at 10 Hz, 100 listeners, {r['connections_per_second']:.0f} connections/s: CPU", f"{r['cpu_percent_of_one_core']:.2f} % of a core",
               "0.5 %", reached(r["cpu_percent_of_one_core"] <= 0.5))
        yield ("  resident memory", f"{r['resident_mib']:.1f} MiB", "12 MiB", reached(r["resident_mib"] <= 12))
    if r := results.get("usual"):
        yield ("one tick with 20,000 connections, CPU", f"{r['forerun_ms_per_tick']:.3f} ms", "", "")
        yield ("  ss -ltn, once", f"{r['ss_ms_per_poll']:.2f} ms: {r['times_cheaper_than_ss']:.0f} times as much", "", "")
        yield ("  reading /proc/net/tcp, once", f"{r['proc_net_tcp_ms_per_poll']:.2f} ms: {r['times_cheaper_than_proc_net_tcp']:.0f} times as much", "", "")


BENCHES = {"edge": bench_edge, "throughput": bench_throughput, "packet": bench_packet, "poll": bench_poll, "agent": bench_agent, "usual": bench_usual}
