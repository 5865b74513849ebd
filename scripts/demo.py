# SPDX-License-Identifier: Apache-2.0
"""The whole story in under a minute: nginx in a network namespace, load that steps up, EC2 that checks every signature.

nginx has one worker, which compresses a large page for each request: it is really too slow for the second load, so its accept
queue really fills. EC2 is moto behind the tests' proxy; everything else is as on a host in service. All that is made
here is removed at the end, also after Ctrl-C.
"""

import contextlib
import ctypes
import datetime
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/ec2"))

from running import Forerun, run_binary, write_config  # noqa: E402
from testbed import Ec2  # noqa: E402

TARGET = 8  # connections waiting for each instance
LIGHT_S, STEP_S = 4, 16
PENDING_S = 4.0
PORT = 8080

NGINX = """
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
	gzip on; gzip_comp_level 9; gzip_types text/plain;
	server {{ listen 0.0.0.0:{port} backlog=511; root {dir}/www; }}
}}
"""


def die_with_parent(number):
    return lambda: ctypes.CDLL(None).prctl(1, number)


class Timeline:
    """Lines as things happen. Times are seconds since the step in the load."""

    def __init__(self):
        self.zero = time.time()
        self.color = sys.stdout.isatty()

    def say(self, text, at=None, bold=False):
        seconds = (time.time() if at is None else at) - self.zero
        text = f"\033[1m{text}\033[0m" if bold and self.color else text
        print(f"  {seconds:+9.3f} s  {text}", flush=True)


def note(text):
    print(f"             {text}", flush=True)


@contextlib.contextmanager
def namespace():
    name = f"forerun-demo-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def inside(name, *command, **options):
    return subprocess.Popen(["ip", "netns", "exec", name, *map(str, command)],
                            preexec_fn=die_with_parent(signal.SIGTERM), **options)


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def nginx(name, directory):
    (directory / "www").mkdir()
    words = random.Random(1)
    page = " ".join(f"{words.getrandbits(40):x}" for _ in range(40000))
    (directory / "www/page.txt").write_text(page)
    (directory / "nginx.conf").write_text(NGINX.format(dir=directory, port=PORT))
    os.chmod(directory, 0o755)
    process = inside(name, "nginx", "-p", directory, "-c", directory / "nginx.conf", stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if (directory / "pid").exists():
                break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"nginx did not start: {(directory / 'error.log').read_text()}")
        yield
    finally:
        end(process)


def load(name, connections, seconds):
    return inside(name, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", "Accept-Encoding: gzip", "-H",
                  "Connection: close", f"http://127.0.0.1:{PORT}/page.txt", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wall_of_mono(mono_us):
    return time.time() - time.monotonic() + mono_us / 1e6


def listener_of(forerun):
    found = json.loads(forerun.get("/v1/signals")[1])["listeners"]
    return next((one for one in found if one["labels"]["port"] == str(PORT)), None)


class Story:
    """Follows forerun and EC2, and tells each thing once."""

    def __init__(self, timeline, forerun, ec2):
        self.timeline, self.forerun, self.ec2 = timeline, forerun, ec2
        self.decisions, self.calls, self.states = {}, [], {}
        self.seen_calls = 0

    def tell_decisions(self):
        for decision in self.forerun.decisions():
            if decision["id"] in self.decisions or decision["kind"] == "held":
                continue
            self.decisions[decision["id"]] = decision
            edge = decision.get("edge_mono_us")
            if edge:
                self.timeline.say(f"edge: the accept queue of :{PORT} crossed its threshold in the kernel", wall_of_mono(edge), True)
            replicas = decision["replicas"]
            made = datetime.datetime.fromisoformat(decision["made"].replace("Z", "+00:00")).timestamp()
            why = "edge" if edge else "tick"
            self.timeline.say(f"decision on that {why}: {replicas['before']} -> {replicas['decided']} replicas", made)
            note(decision["id"])

    def tell_calls(self):
        for entry in self.ec2.log(since=self.seen_calls):
            self.seen_calls += 1
            if entry["action"] != "CreateFleet":
                continue
            self.calls.append(entry)
            count = entry["params"]["TargetCapacitySpecification.TotalTargetCapacity"]
            signed = "signature right" if entry["signature"] is None else f"refused: {entry['signature']}"
            self.timeline.say(f"CreateFleet on the wire, {count} {entry['params']['TargetCapacitySpecification.DefaultTargetCapacityType']} "
                              f"({signed}; the receiver's kernel took this time)", entry["t_kernel_last"], True)

    def tell_states(self):
        reply = self.ec2.client().describe_instances(Filters=[{"Name": "tag-key", "Values": ["forerun.dev/decision"]}])
        for reservation in reply["Reservations"]:
            for instance in reservation["Instances"]:
                state = instance["State"]["Name"]
                if self.states.get(instance["InstanceId"]) != state:
                    self.states[instance["InstanceId"]] = state
                    self.timeline.say(f"EC2: {instance['InstanceId']} {instance['InstanceType']} "
                                      f"{instance['Placement']['AvailabilityZone']} {state}")

    def follow(self, seconds, until=None):
        stop = time.monotonic() + seconds
        states_at = 0.0
        while time.monotonic() < stop and not (until and until()):
            self.tell_decisions()
            self.tell_calls()
            if self.calls and time.monotonic() >= states_at:
                self.tell_states()
                states_at = time.monotonic() + 0.5
            time.sleep(0.1)


def first_pair(story):
    """The first decision that an edge led to, with its call."""
    for call in story.calls:
        decision = story.decisions.get(call["params"]["ClientToken"])
        if decision and decision.get("edge_mono_us"):
            return decision, call
    return None, None


PIPELINE = """\
The same step in a pipeline of metrics, HPA and pending pods (reckoned from its defaults, not measured)
  metrics-server samples every 15 s [1]           0 to 15 s, 7.5 on average until a sample shows it
  HPA looks every 15 s [2]                        0 to 15 s, 7.5 on average until it is looked at
  a pod is created, does not fit, and Karpenter
  waits for more: idle 1 s, at most 10 s [3]      1 to 10 s
  until CreateFleet                               {mean:.1f} s on average (7.5 + 7.5 + 1), {worst:.0f} s at worst (15 + 15 + 10)
  here                                            {ours:.4f} s: {times:,.0f} times sooner than that average
[1] kubernetes-sigs/metrics-server, --metric-resolution, default in its release manifests: 15s
[2] kube-controller-manager, --horizontal-pod-autoscaler-sync-period, default 15s. On CPU use users measured 27.5 s on
    average and 55 s at worst: kubernetes/kubernetes issue 110317
[3] karpenter.sh, Settings: BATCH_IDLE_DURATION 1s, BATCH_MAX_DURATION 10s
From CreateFleet on, both wait the same time for EC2 and the boot."""


def summary(story, forerun, wrk_text):
    decision, call = first_pair(story)
    if not call:
        print("\nNo edge led to a launch this time. What forerun said:\n" + forerun.stderr()[-3000:])
        return 1
    ours = call["t_kernel_last"] - wall_of_mono(decision["edge_mono_us"])
    ledger = story.ec2.ledger()
    running = sum(state == "running" for state in story.states.values())
    print("\nSummary")
    print(f"  edge in the kernel -> CreateFleet's last byte at EC2   {ours * 1000:.2f} ms (journal synced to disk in between)")
    print(f"  instances launched                                     {len(ledger)} in {len(story.calls)} CreateFleet calls, "
          f"{running} running; every signature checked")
    latency = [line.strip() for line in wrk_text.splitlines() if "Requests/sec" in line or "requests in" in line]
    print(f"  the load meanwhile                                     {'; '.join(latency)}")
    print(f"\nforerun explain {decision['id']}\n")
    print(textwrap.indent(run_binary("explain", "--state-dir", forerun.state, decision["id"]).stdout.rstrip(), "  "))
    print()
    print(PIPELINE.format(mean=16.0, worst=40, ours=ours, times=16.0 / ours))
    return 0


def play(directory, timeline):
    print("forerun demo: nginx with one worker, too much load for it, and what forerun does about it", flush=True)
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(namespace())
        nginx_directory = directory / "nginx"
        nginx_directory.mkdir()
        os.chmod(directory, 0o755)
        stack.enter_context(nginx(name, nginx_directory))
        timeline.say(f"nginx listens on :{PORT} in network namespace {name}, 1 worker")
        ec2 = Ec2(settings={"pending_s": PENDING_S}, log=directory / "moto.log")
        stack.callback(ec2.close)
        world = ec2.make_world()
        timeline.say(f"EC2 at {ec2.url}: a VPC, subnets in 3 zones; instances stay pending for {PENDING_S:.0f} s")
        config = write_config(directory / "config", world, PORT, most=6, target=str(TARGET), types="c7g.large, c7g.xlarge, m7g.large, c6g.large",
                              zones="us-east-1a, us-east-1b, us-east-1c")
        forerun = Forerun(config, directory / "state", ec2.environment(HOME=str(directory)))
        stack.callback(forerun.kill)
        forerun.ready()
        timeline.say(f"forerun run --mode act: ready; policy: at most {TARGET} connections waiting for each instance")
        story = Story(timeline, forerun, ec2)
        light = load(name, 2, LIGHT_S)
        stack.callback(end, light)
        timeline.say("load: 2 connections; nginx keeps up")
        story.follow(LIGHT_S + 0.5, lambda: light.poll() is not None)
        timeline.zero = time.time()
        print()
        step = load(name, 40, STEP_S)
        stack.callback(end, step)
        timeline.say("the load steps up to 40 connections, each with one request", timeline.zero, True)
        story.follow(STEP_S - 3, lambda: story.states and all(s == "running" for s in story.states.values()) and time.time() > timeline.zero + 8)
        listener = listener_of(forerun)
        if listener:
            timeline.say(f"the listener says: {listener.get('reason', listener.get('diagnosis', ''))}")
        step.send_signal(signal.SIGINT)  # wrk says what it did
        return summary(story, forerun, step.communicate(timeout=10)[0])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = pathlib.Path(tempfile.mkdtemp(prefix="forerun-demo-"))
    try:
        return play(directory, Timeline())
    except KeyboardInterrupt:
        print("\nstopped; everything of the demo is removed", flush=True)
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
