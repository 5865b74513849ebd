# SPDX-License-Identifier: Apache-2.0
"""The whole story in about a minute: three hosts with an agent each, two cores of which one leads, and EC2 that checks every
signature. The load steps up on all hosts; then the leader is killed in the middle of a launch, and the other goes on.

EC2 and the table of the lease are moto behind the tests' proxy; everything else is as on hosts in service. All that is made here is
removed at the end, also after Ctrl-C.
"""

import collections
import contextlib
import datetime
import pathlib
import shutil
import re
import signal
import sys
import textwrap
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/ec2"))

from demo_hosts import PORT, Host, address_of, end, new_directory, remove_left_behind  # noqa: E402
from running import BINARY, Forerun, run_binary, write_config  # noqa: E402
from testbed import Ec2  # noqa: E402

HOSTS = 3
TARGET = 8  # connections waiting, on all hosts together
METRICS = f"""
    - type: External
      external:
        metric:
          name: forerun_accept_queue_depth
          selector: {{matchLabels: {{port: "{PORT}", window: 300ms, statistic: peak}}}}
        target: {{type: Value, value: "{TARGET}"}}"""
STEP = 40  # connections to each host
LIGHT_S, STEP_S = 3, 40
PENDING_S = 4.0
TABLE = "forerun-demo"
LEASE_S = 5
SERVICE = "web"
# Two more at a time, so that there is a second launch to be killed in.
BEHAVIOR = {"policies: [{type: Pods, value: 100, periodSeconds: 15}]": "policies: [{type: Pods, value: 2, periodSeconds: 5}]"}


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


def wall_of_mono(mono_us):
    return time.time() - time.monotonic() + mono_us / 1e6


def wall_of_text(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def tag_of(params, key):
    """Of the instances of a CreateFleet."""
    names = {k: v for k, v in params.items() if k.startswith("TagSpecification.1.Tag.")}
    return next((names[k.replace(".Key", ".Value")] for k, v in names.items() if v == key), "")


class Core(Forerun):
    """One of the two, with its own port to EC2, so that the log tells them apart."""

    def __init__(self, name, number, config, directory, ec2, key):
        self.name = name
        super().__init__(config, directory / name, ec2.environment(HOME=str(directory), AWS_ENDPOINT_URL=ec2.listen(name)),
                         "--shared-key", key, "--listen-agents", f"{address_of(1, 1)}:{9911 + number}", "--lock-table", TABLE,
                         "--lease", f"{LEASE_S}s", "--name", "demo", role="core")
        self.wait(lambda: self.port, "the start line")

    def running(self):
        return self.process.poll() is None

    def leads_since(self):
        """By its log; None: it never did."""
        found = re.search(r"^(\S+) info leading with epoch", self.stderr(), re.M)
        return wall_of_text(found[1]) if found else None


class Story:
    """Follows the cores and EC2, and tells each thing once."""

    def __init__(self, timeline, cores, ec2):
        self.timeline, self.cores, self.ec2 = timeline, cores, ec2
        self.decisions, self.calls, self.states = {}, [], {}
        self.told = set()
        self.seen_calls = 0
        self.killed = self.took_over = None

    def once(self, key):
        new = key not in self.told
        self.told.add(key)
        return new

    def tell_decisions(self, core):
        try:
            found = core.decisions()
        except (OSError, ValueError):  # it was just killed
            return
        for decision in found:
            if decision["id"] in self.decisions or not self.once(decision["id"]):
                continue
            if decision["kind"] == "held":
                continue
            self.decisions[decision["id"]] = {**decision, "core": core}
            edge = decision.get("edge_mono_us")
            if edge:
                self.timeline.say(f"edge: an accept queue of :{PORT} crossed its threshold in a host's kernel", wall_of_mono(edge), True)
            replicas = decision["replicas"]
            why = "edge" if edge else "tick"
            self.timeline.say(f"{core.name} decides on that {why}: {replicas['before']} -> {replicas['decided']} replicas",
                              wall_of_text(decision["made"]))
            note(decision["id"])

    def tell_calls(self):
        for entry in self.ec2.log(since=self.seen_calls):
            self.seen_calls += 1
            if entry["action"] != "CreateFleet":
                continue
            self.calls.append(entry)
            params = entry["params"]
            signed = "signature right" if entry["signature"] is None else f"refused: {entry['signature']}"
            self.timeline.say(f"CreateFleet on the wire from {entry['client']}: {params['TargetCapacitySpecification.TotalTargetCapacity']} "
                              f"{params['TargetCapacitySpecification.DefaultTargetCapacityType']}, token {params['ClientToken']} ({signed})",
                              entry["t_kernel_last"], True)
            decision = tag_of(params, "forerun.dev/decision")
            if decision not in self.decisions:
                note(f"for {decision}, of which {entry['client']} did not live to tell")

    def tell_states(self):
        reply = self.ec2.client().describe_instances(Filters=[{"Name": "tag-key", "Values": ["forerun.dev/decision"]}])
        for reservation in reply["Reservations"]:
            for instance in reservation["Instances"]:
                state = instance["State"]["Name"]
                if self.states.get(instance["InstanceId"]) != state:
                    self.states[instance["InstanceId"]] = state
                    self.timeline.say(f"EC2: {instance['InstanceId']} {instance['InstanceType']} "
                                      f"{instance['Placement']['AvailabilityZone']} {state}")

    def tell_takeover(self):
        since = self.cores[1].leads_since()
        if since and not self.took_over:
            self.took_over = since
            self.timeline.say(f"{self.cores[1].name} takes over", since, True)

    def tell_kill(self):
        if not self.killed and not self.cores[0].running():
            self.killed = time.time()
            self.timeline.say(f"kill -9 {self.cores[0].name}, which leads: EC2 has launched, and it has not heard so", self.killed, True)

    def follow(self, seconds, until=None):
        stop = time.monotonic() + seconds
        states_at = 0.0
        while time.monotonic() < stop and not (until and until()):
            self.tell_takeover()
            for core in self.cores:
                if core.running():
                    self.tell_decisions(core)
            self.tell_calls()
            self.tell_kill()
            if self.calls and time.monotonic() >= states_at:
                self.tell_states()
                states_at = time.monotonic() + 0.5
            time.sleep(0.1)


def first_pair(story):
    """The first decision that an edge led to, with its call."""
    for call in story.calls:
        decision = story.decisions.get(tag_of(call["params"], "forerun.dev/decision"))
        if decision and decision.get("edge_mono_us"):
            return decision, call
    return None, None


def twice(story, ledger):
    """What was launched under a token beyond what was asked for with it; nothing, if all is well."""
    launched = collections.Counter(entry["token"] for entry in ledger)
    asked = {c["params"]["ClientToken"]: int(c["params"]["TargetCapacitySpecification.TotalTargetCapacity"]) for c in story.calls}
    return {token: (count, asked.get(token)) for token, count in launched.items() if count != asked.get(token)}


PIPELINE = """\
The same step in a pipeline of metrics, HPA and pending pods (reckoned from its defaults, not measured)
  metrics-server samples every 15 s [1]           0 to 15 s, 7.5 on average until a sample shows it
  HPA looks every 15 s [2]                        0 to 15 s, 7.5 on average until it is looked at
  a pod is created, does not fit, and Karpenter
  waits for more: idle 1 s, at most 10 s [3]      1 to 10 s
  until CreateFleet                               {mean:.1f} s on average (7.5 + 7.5 + 1), {worst:.0f} s at worst (15 + 15 + 10)
  here                                            {ours_ms:.1f} ms and the frame's way from host to core; make bench measures both as one
[1] kubernetes-sigs/metrics-server, --metric-resolution, default in its release manifests: 15s
[2] kube-controller-manager, --horizontal-pod-autoscaler-sync-period, default 15s. On CPU use users measured 27.5 s on
    average and 55 s at worst: kubernetes/kubernetes issue 110317
[3] karpenter.sh, Settings: BATCH_IDLE_DURATION 1s, BATCH_MAX_DURATION 10s
From CreateFleet on, both wait the same time for EC2 and the boot."""


def summary(story, loads):
    decision, call = first_pair(story)
    ledger = story.ec2.ledger()
    story.tell_calls()  # all that the ledger is of
    wrong = twice(story, ledger)
    running = sum(state == "running" for state in story.states.values())
    print("\nSummary")
    if decision:
        ours = call["t_kernel_last"] - wall_of_mono(decision["edge_mono_us"])
        # No two clocks are compared: a frame says how old its edge is, and what the network takes is in nobody's figure.
        print(f"  edge in the kernel -> CreateFleet's last byte at EC2   {ours * 1000:.2f} ms, and the frame's way from host to core")
    if story.took_over:
        print(f"  kill -9 of the leader -> the other one leads           {story.took_over - story.killed:.1f} s (lease {LEASE_S} s)")
    print(f"  instances launched                                     {len(ledger)} by {len(set(e['token'] for e in ledger))} tokens in "
          f"{len(story.calls)} CreateFleet calls, {running} running; every signature checked")
    print(f"  launched twice                                         {wrong or 'nothing'}")
    requests = sum(float(line.split()[1]) for text in loads for line in text.splitlines() if "Requests/sec" in line)
    print(f"  the load meanwhile                                     {requests:.0f} requests/s on {HOSTS} hosts, {STEP} connections each")
    if decision:
        print(f"\nforerun explain {decision['id']}\n")
        print(textwrap.indent(run_binary("explain", "--state-dir", decision["core"].state, decision["id"]).stdout.rstrip(), "  "))
        print("\n" + PIPELINE.format(mean=16.0, worst=40, ours_ms=1000 * ours))
    if decision and story.took_over and not wrong:
        return 0
    print("\nNot all of the story happened this time. What the cores said:\n" + "\n".join(c.stderr()[-2000:] for c in story.cores))
    return 1


def make_table(ec2):
    ec2.client("dynamodb").create_table(
        TableName=TABLE, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}])


def start_ec2(stack, directory, timeline):
    ec2 = Ec2(settings={"pending_s": PENDING_S}, log=directory / "moto.log")
    stack.callback(ec2.close)
    world = ec2.make_world()
    make_table(ec2)
    config = write_config(directory / "config", world, PORT, policy=SERVICE, most=HOSTS + 6, metrics=METRICS,
                          types="c7g.large, c7g.xlarge, m7g.large, c6g.large", zones="us-east-1a, us-east-1b, us-east-1c")
    policy = config / "policy.yaml"
    text = policy.read_text()
    for old, new in BEHAVIOR.items():
        text = text.replace(old, new, 1)
    policy.write_text(text)
    timeline.say(f"EC2 at {ec2.url}: a VPC, subnets in 3 zones, the table {TABLE}; instances stay pending for {PENDING_S:.0f} s")
    return ec2, config


def start_hosts(stack, directory, timeline):
    """Their network first: the cores listen on it."""
    hosts = []
    for number in range(1, HOSTS + 1):
        host = Host(number, directory)
        stack.callback(host.close)
        host.network()
        hosts.append(host)
    timeline.say(f"{HOSTS} hosts, a network namespace each: nginx with 1 worker on :{PORT}")
    return hosts


def start_agents(hosts, cores, key, environment):
    addresses = ",".join(f"{address_of(1, 1)}:{core.agents_port}" for core in cores)
    for host in hosts:
        host.start(BINARY, "agent", "--core", addresses, "--shared-key", key, "--host", host.name, "--service", SERVICE,
                   "--format", "none", "--listen", "none", environment=environment)


def start_all(stack, directory, timeline):
    ec2, config = start_ec2(stack, directory, timeline)
    hosts = start_hosts(stack, directory, timeline)
    done = run_binary("core", "init", "--shared-key", "--dir", directory / "keys")
    if done.returncode:
        raise RuntimeError(done.stderr)
    key = directory / "keys/shared.key"
    cores = []
    for number, name in enumerate(("core-a", "core-b")):
        cores.append(Core(name, number, config, directory, ec2, key))
        stack.callback(cores[-1].kill)
        if number == 0:
            cores[0].wait(cores[0].leads_since, "core-a leads")
    start_agents(hosts, cores, key, ec2.environment(FORERUN_OPTIONS_FILE="/dev/null"))
    cores[0].ready()
    timeline.say(f"core-a leads, core-b stands by, {HOSTS} agents report to both; policy: at most {TARGET} connections waiting "
                 "in all")
    return ec2, hosts, cores


def kill_in_the_next_launch(ec2, core):
    """When EC2 has launched and before it says so."""
    ec2.fault("CreateFleet", "kill_client", when="after", pid=core.process.pid)


def play(directory, timeline):
    print(f"forerun demo: {HOSTS} hosts get more load than they can take, and the leader dies in the middle", flush=True)
    with contextlib.ExitStack() as stack:
        ec2, hosts, cores = start_all(stack, directory, timeline)
        story = Story(timeline, cores, ec2)
        light = [host.load(1, LIGHT_S) for host in hosts]
        for one in light:
            stack.callback(end, one)
        timeline.say("load: 1 connection to each host; nginx keeps up")
        story.follow(LIGHT_S + 0.5, lambda: all(one.poll() is not None for one in light))
        timeline.zero = time.time()
        print()
        steps = []
        for host in hosts:
            steps.append(host.load(STEP, STEP_S))
            stack.callback(end, steps[-1])
            timeline.say(f"the load on {host.name} steps up to {STEP} connections, each with one request", bold=True)
            story.follow(0.4)
        story.follow(8, lambda: bool(story.calls))
        story.follow(2)
        if story.calls:
            kill_in_the_next_launch(ec2, cores[0])
        story.follow(25, lambda: story.took_over and len({c["params"]["ClientToken"] for c in story.calls}) >= 3)
        story.follow(PENDING_S + 1)
        for one in steps:
            one.send_signal(signal.SIGINT)  # wrk says what it did
        return summary(story, [one.communicate(timeout=10)[0] for one in steps])


def stop(number, _):
    """Once: what follows is tidying up, which nothing may cut short."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, stop)
    remove_left_behind()
    directory = new_directory()
    try:
        return play(directory, Timeline())
    except SystemExit:
        print("\nstopped; everything of the demo is removed", flush=True)
        raise
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
