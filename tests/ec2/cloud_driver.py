# SPDX-License-Identifier: Apache-2.0
"""The cloud room as a child: tests/tools/cloud_tool.c, commands in, events out."""

import json
import os
import queue
import subprocess
import threading
import time

from running import write_config
from testbed import BUILD, end_with_parent

TOOL = BUILD / "tools" / "cloud_tool"


def bare_environment(directory, **more):
    """No AWS variable of the caller, no shared file, no IMDS."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return {**keep, "HOME": str(directory), "AWS_EC2_METADATA_DISABLED": "true", **more}


class Cloud:
    def __init__(self, environment, documents=(), *options):
        command = [str(TOOL), *options, *map(str, documents)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment, preexec_fn=end_with_parent)
        self.events, self.seen, self.errors = queue.Queue(), [], []
        self.threads = [threading.Thread(target=self.read_events, daemon=True),
                        threading.Thread(target=self.read_log, daemon=True)]
        for thread in self.threads:
            thread.start()

    def read_events(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def read_log(self):
        for line in self.process.stderr:
            self.errors.append(line.rstrip())

    def send(self, command, argument=None):
        text = command if argument is None else f"{command} {json.dumps(argument)}"
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait(self, event, timeout=30, **wanted):
        """The next event of that kind in which wanted holds."""
        until = time.monotonic() + timeout
        while True:
            left = until - time.monotonic()
            try:
                found = self.events.get(timeout=max(left, 0.001))
            except queue.Empty:
                raise AssertionError(f"no {event} {wanted} within {timeout} s; log: {self.errors[-8:]}; "
                                     f"events: {[e['event'] for e in self.seen[-12:]]}") from None
            self.seen.append(found)
            if found["event"] == event and all(found.get(k) == v for k, v in wanted.items()):
                return found

    def ask(self, command, event, argument=None, timeout=30, **wanted):
        self.send(command, argument)
        return self.wait(event, timeout, **wanted)

    def ready(self):
        """Started, with class and catalog."""
        self.send("start")
        found = {}
        while len(found) < 2:
            event = self.wait_any({"class", "catalog"})
            if event["event"] != "class" or event["ready"]:
                found[event["event"]] = event
        self.found_class, self.found_catalog = found["class"], found["catalog"]
        return self

    def wait_any(self, kinds, timeout=30):
        until = time.monotonic() + timeout
        while True:
            try:
                event = self.events.get(timeout=max(until - time.monotonic(), 0.001))
            except queue.Empty:
                raise AssertionError(f"none of {kinds} within {timeout} s; log: {self.errors[-8:]}") from None
            self.seen.append(event)
            if event["event"] in kinds:
                return event

    def overrides(self, capacity_type="spot"):
        """Every offering in a subnet of the class."""
        subnets = {s["zone"]: s["id"] for s in self.found_class["subnets"]}
        templates = {(t["architecture"], t["capacity_type"]): t["name"] for t in self.found_class["templates"]}
        return [{"type": o["type"], "zone": o["zone"], "subnet": subnets[o["zone"]],
                 "template": templates[o["architecture"], capacity_type]}
                for o in self.found_catalog["offerings"]
                if o["capacity_type"] == capacity_type and o["zone"] in subnets]

    def order(self, token, count=1, capacity_type="spot", **more):
        return {"token": token, "count": count, "capacity_type": capacity_type, "overrides": self.overrides(capacity_type),
                "tags": {"Name": "forerun/web", "forerun.dev/owner": "default", "forerun.dev/nodepool": "web",
                         "forerun.dev/policy": "web", "forerun.dev/decision": token, "forerun.dev/token": token}, **more}

    def launch(self, token, count=1, timeout=30, **more):
        return self.ask("launch", "launched", self.order(token, count, **more), timeout, token=token)

    def close(self):
        if self.process.poll() is None:
            try:
                self.send("quit")
                self.process.wait(5)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join(2)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass  # what was written last found nobody


def documents(directory, world, **more):
    """The pool and the class of that world."""
    found = write_config(directory, world, 80, **more)
    return [found / "pool.yaml", found / "class.yaml"]
