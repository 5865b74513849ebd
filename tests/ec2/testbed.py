# SPDX-License-Identifier: Apache-2.0
"""The proxy as a child process, for pytest, the demo and the benches."""

import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import urllib.request

import world

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()


def end_with_parent():
    """For preexec_fn: no child survives a test run that was killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Ec2:
    """The proxy while it runs."""

    def __init__(self, settings=None, log=None, host="127.0.0.1"):
        command = [sys.executable, HERE / "proxy.py", "--host", host]
        if log:
            command += ["--log", str(log)]
        if settings:
            command += ["--settings", json.dumps(settings)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent)
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"the EC2 proxy did not start, status {self.process.returncode}")
        self.__dict__.update(json.loads(line))
        self.world = None

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def call(self, path, settings=None):
        data = None if settings is None else json.dumps(settings).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.url + path, data), timeout=30) as reply:
            return json.load(reply)

    def control(self, **settings):
        return self.call("/_ctl", settings)

    def fault(self, action, do, **more):
        """Adds one fault to those that wait."""
        left = [f for f in self.call("/_ctl")["faults"] if f.get("times", 1) > 0]
        return self.control(faults=left + [{"action": action, "do": do, **more}])

    def listen(self, client):
        """The URL of one more port to this EC2: what comes in there is that client's."""
        return self.call("/_ctl/listen", {"client": client})["url"]

    def deafen(self):
        """The connections that are open now are dead and do not know it."""
        return self.call("/_ctl/deafen", {})["connections"]

    def make_lock_table(self, name):
        self.client("dynamodb").create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}])

    def ledger(self, alive=False):
        return [e for e in self.call("/_ctl/ledger") if not alive or e["terminated"] is None]

    def log(self, action=None, since=0):
        return [e for e in self.call(f"/_ctl/log?since={since}") if action in (None, e["action"])]

    def reset(self):
        """Everything as at the start; moto too."""
        self.control(reset=True)
        self.world = None

    def make_world(self):
        self.world = world.make_world(self.url)
        return self.world

    def client(self, service="ec2", **options):
        return world.client(self.url, service, **options)

    def environment(self, **more):
        """For a child that shall find this EC2 and nothing else."""
        drop = ("AWS_", "FORERUN_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        keep = {k: v for k, v in os.environ.items() if not k.upper().startswith(drop)}
        return {**keep, "AWS_ENDPOINT_URL": self.url, "AWS_REGION": self.region, "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_EC2_METADATA_DISABLED": "true", **more}
