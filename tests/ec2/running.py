# SPDX-License-Identifier: Apache-2.0
"""forerun itself as a child, and a listener whose accept queue stands as deep as a test wants."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

from testbed import BUILD, end_with_parent

BINARY = BUILD / "forerun"

POLICY = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {policy}}}
spec:
  scaleTargetRef: {{apiVersion: karpenter.sh/v1, kind: NodePool, name: {pool}}}
  minReplicas: 1
  maxReplicas: {most}
  metrics: {metrics}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies: [{{type: Pods, value: 100, periodSeconds: 15}}]
    scaleDown:
      stabilizationWindowSeconds: {down_s}
      policies: [{{type: Pods, value: 100, periodSeconds: 1}}]
"""

METRICS = """
    - type: External
      external:
        metric:
          name: forerun_accept_queue_depth
          selector: {{matchLabels: {{port: "{port}", window: 300ms, statistic: peak}}}}
        target: {{type: AverageValue, averageValue: "{target}"}}"""

POOL = """
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {{name: {pool}}}
spec:
  disruption: {disruption}
  {limits}
  template:
    spec:
      nodeClassRef: {{group: karpenter.k8s.aws, kind: EC2NodeClass, name: web}}
      requirements:
        - {{key: node.kubernetes.io/instance-type, operator: In, values: [{types}]}}
        - {{key: karpenter.sh/capacity-type, operator: In, values: [{capacity}]}}
        - {{key: {zone_key}, operator: In, values: [{zones}]}}
"""

CLASS = """
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata: {{name: web}}
spec:
  amiSelectorTerms: [{{alias: al2023@latest}}]
  instanceProfile: {profile}
  subnetSelectorTerms: [{{tags: {{"{key}": "{value}"}}}}]
  securityGroupSelectorTerms: [{{id: {group}}}]
  tags: {{service: web}}
"""

DEFAULTS = {"policy": "web", "pool": "web", "most": 20, "target": "8", "down_s": 300, "limits": "limits: {cpu: 1000}",
            "disruption": "{consolidateAfter: Never}",
            "types": "m5.large, c5.large", "capacity": "spot", "metrics": METRICS, "zones": "us-east-1a, us-east-1b",
            "zone_key": "topology.kubernetes.io/zone"}


def write_config(directory, world, port, **more):
    """A policy on that port's queue, with its pool and class. more: as in DEFAULTS."""
    values = {**DEFAULTS, **more}
    if values["metrics"] is METRICS:
        values["metrics"] = METRICS.format(port=port, **values)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "policy.yaml").write_text(POLICY.format(port=port, **values))
    (directory / "pool.yaml").write_text(POOL.format(**values))
    (directory / "class.yaml").write_text(CLASS.format(
        profile=world["instance_profile"], group=world["security_group"], key=world["tag"]["Key"], value=world["tag"]["Value"]))
    return directory


class Queue:
    """A listener with so many connections waiting. One is taken every pace_s and another comes in its place, so that it
    is a server that is behind and not one that hangs; pace_s None takes none. Set depth at any time."""

    def __init__(self, backlog=512, pace_s=0.05, port=0):
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self.pace_s = pace_s
        self.depth = 0
        self.waiting = []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        self.waiting.append(sock)

    def serve(self):
        taken, _ = self.listener.accept()
        with taken:
            taken.recv(4096)
            taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        self.waiting.pop(0).close()

    def run(self):
        serve_at = time.monotonic()
        while not self.ending.is_set():
            while len(self.waiting) < self.depth:
                self.connect()
            while len(self.waiting) > self.depth:
                self.serve()
            if self.depth and self.pace_s is not None and time.monotonic() >= serve_at:
                self.serve()
                serve_at = time.monotonic() + self.pace_s
            self.ending.wait(min(self.pace_s or 0.02, 0.02))

    def close(self):
        self.ending.set()
        self.thread.join(10)
        for sock in self.waiting:
            sock.close()
        self.listener.close()


class Timeout(AssertionError):
    """What was waited for did not come."""


class Forerun:
    """`forerun run`, or another role, while it runs. Its JSON lines are in lines."""

    def __init__(self, config, state, environment, *arguments, mode="act", binary=BINARY, role="run"):
        self.begin([binary, role, "--config", config, "--mode", mode, "--state-dir", state, "--listen", "127.0.0.1:0",
                    "--format", "json", "--lead-time", "0s", "--serving-after", "1s", "--drain-blind", "0s", *arguments], state, environment)

    def begin(self, command, state, environment):
        self.state = pathlib.Path(state)
        self.environment = {"FORERUN_OPTIONS_FILE": "/dev/null", **environment}
        self.errors_path = self.state.parent / f"{self.state.name}.stderr"
        self.errors = open(self.errors_path, "ab")
        self.process = subprocess.Popen([str(c) for c in command], env=self.environment, stdout=subprocess.PIPE,
                                        stderr=self.errors, preexec_fn=end_with_parent)
        self.lines = []
        self.port = self.agents_port = None
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            try:
                found = json.loads(line)
            except ValueError:
                continue  # cut off by a kill
            with self.changed:
                found["seen"] = time.time()
                self.lines.append(found)
                if found.get("type") == "start":
                    self.port, self.agents_port = found["port"], found.get("agents_port")
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def stderr(self):
        return self.errors_path.read_text(errors="replace")

    def wait(self, condition, what, seconds=30):
        """The first true value of condition(); fails with what forerun said when none comes."""
        until = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if self.process.poll() is not None:
                raise Timeout(f"forerun ended with {self.process.returncode} before: {what}\n{self.stderr()[-4000:]}")
            if time.monotonic() > until:
                raise Timeout(f"not within {seconds} s: {what}\n{json.dumps(self.policies(), indent=1)}\n{self.stderr()[-4000:]}")
            time.sleep(0.05)

    def ready(self, seconds=60):
        """Everything answered: signals, credentials, classes, catalog, fleet."""
        self.wait(lambda: self.port, "the start line", seconds)
        self.wait(lambda: self.get("/readyz")[0] == 200, "/readyz", seconds)
        return self

    def get(self, path, headers=None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {}), timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def policies(self):
        try:
            return json.loads(self.get("/v1/policies")[1])
        except (OSError, ValueError):
            return None

    def policy(self):
        return self.policies()["policies"][0]

    def decisions(self, kind=None):
        """The oldest first."""
        found = json.loads(self.get("/v1/decisions")[1])["decisions"]
        return [d for d in reversed(found) if kind in (None, d["kind"])]

    def decision(self, kind="scale-up", index=0, closed=True, seconds=30):
        def found():
            all_of_kind = self.decisions(kind)
            return len(all_of_kind) > index and (all_of_kind[index]["closed"] or not closed) and all_of_kind[index]

        return self.wait(found, f"decision {index} of kind {kind}", seconds)

    def explain(self, *arguments):
        return run_binary("explain", "--state-dir", self.state, *arguments)

    def stop(self, number=signal.SIGINT, seconds=15):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.reader.join(5)
            self.process.stdout.close()
            self.errors.close()
        return self.process.returncode

    def kill(self):
        self.stop(signal.SIGKILL)


def run_binary(*arguments, environment=None):
    done = subprocess.run([str(a) for a in (BINARY, *arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, env={**os.environ, "FORERUN_OPTIONS_FILE": "/dev/null", **(environment or {})})
    return done


def bpf_held(pid):
    """Ids of the programs and links that this process holds."""
    found = set()
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = info.read_text()
        except FileNotFoundError:  # a connection that was closed since the folder was read
            continue
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        if "link_id" in fields:
            found.add(("link", int(fields["link_id"])))
        elif "prog_id" in fields:
            found.add(("prog", int(fields["prog_id"])))
    return found


def bpf_objects():
    """Ids of the programs and links that the kernel has now."""
    found = set()
    for kind in ("prog", "link"):
        text = subprocess.run(["/usr/sbin/bpftool", "-j", kind, "show"], check=True, stdout=subprocess.PIPE, text=True).stdout
        found |= {(kind, item["id"]) for item in json.loads(text or "[]")}
    return found
