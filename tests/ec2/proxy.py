# SPDX-License-Identifier: Apache-2.0
"""AWS for tests: moto behind a proxy that checks every signature over the raw bytes and does what moto never does.

    python tests/ec2/proxy.py [--port 0] [--world] [--print-port]

starts moto itself, prints one JSON line (or just the port) and serves until it is ended. EC2, SSM, STS, IAM, DynamoDB,
Service Quotas and pricing are all on the one port: AWS_ENDPOINT_URL alone points a client here. Control, while it runs:

    POST /_ctl          a JSON object; keys as in State.defaults(), plus "reset": true (moto too)
    GET  /_ctl/ledger   what was really launched and ended
    GET  /_ctl/log      one object for each request; ?since=N leaves out the first N
    POST /_ctl/deafen   the kernel drops from now on what arrives on the connections that are open, as a path that is
                        gone does: nothing is acknowledged. New connections are well
    POST /_ctl/listen   {"client": NAME}: one more port to the same EC2, {"port", "url"}. What comes in there is NAME's:
                        so the log and the ledger, faults and gates can tell two processes apart
    GET  /v1/credentials   what a container's credentials endpoint answers: a session of this account

A fault: {"action": "CreateFleet", "do": "drop_after", "times": 1, "skip": 0, ...}
    drop_before   the connection is cut, nothing happened          "how": "rst" (default) or "fin"
    drop_after    it happened, then the connection is cut
    delay         the reply comes "s" seconds late
    delay_before  it happens "s" seconds late
    error         "status", "code", "message", "retry_after_ms" (x-amz-retry-after); nothing happened
    garbage       it happened; the reply is a 200 that is no XML or JSON
    truncate      it happened; the connection is cut in the middle of the reply
    truncate_xml  it happened; a complete HTTP reply whose body stops in the middle
    stale         DescribeInstances as it was "s" seconds ago, as far as launches go
    kill_client   "signal" (SIGKILL) to process "pid", or to what "pids" says for the client: "when" it has asked ("before"
                  it happens), it happened ("after"), or "s" seconds after the reply ("replied"). Only SIGKILL takes the
                  connection with it; what is stopped gets its reply
"connection": "fresh" or "reused" waits for such a connection, "client" for one of that client. action "*" means any.

A gate, "gates": {"CLIENT" or "CLIENT/SERVICE": how}, is the network between one client and (one service of) AWS:
    refuse        connections are reset; nothing happens
    lose          requests are read and nothing ever happens: packets that are lost
    hold          requests happen when the gate is opened again, however long ago the client gave up: packets that
                  a network kept
"""

import argparse
import asyncio
import collections
import ctypes
import email.utils
import json
import os
import pathlib
import random
import secrets
import signal
import subprocess
import sys
import time
import urllib.parse

import fleet
import model
import prices
import sigv4
from connection import Closed, Connection, listen, reply_bytes
from world import ACCESS_KEY, REGION, SECRET_KEY, make_world

LOG_MAX = 200_000
PR_SET_PDEATHSIG = 1

# In a process of its own; port 0 and printed, so that no port is guessed.
MOTO = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
while True:
    time.sleep(3600)
"""
MOTO_ENVIRONMENT = {"MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1", "MOTO_ENABLE_AMI_VALIDATION": "1"}

Answer = collections.namedtuple("Answer", "status headers body")
XML = "text/xml;charset=UTF-8"
JSON = "application/x-amz-json-1.1"
JSON_1_0 = "application/x-amz-json-1.0"  # DynamoDB


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # something else was faster


def drawn(chance, value):
    """A number, or one out of [from, to]."""
    return chance.uniform(*value) if isinstance(value, list) else value


class Bucket:
    def __init__(self, size, per_second):
        self.size, self.per_second = size, per_second
        self.level, self.at = size, time.monotonic()

    def take(self):
        now = time.monotonic()
        self.level = min(self.size, self.level + (now - self.at) * self.per_second)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class State:
    """What the control sets and what happened."""

    @staticmethod
    def defaults():
        return {
            "quotas": {"L-1216C47A": 640.0, "L-34B43A08": 256.0},  # vCPUs, on demand and spot
            "capacity": {},  # fleet.Capacity: how much each pool has left
            "buckets": {},  # action: [size, refill a second]
            "faults": [],
            "stubs": {},  # action, or GetParameter:NAME: object (JSON) or string (inner XML)
            "credentials": {},  # access key: {"secret", "token", "expires": Unix time}
            "pending_s": 0.0,  # or [from, to]: drawn for each instance, likewise hidden_s
            "shutting_down_s": 0.0,
            "stopping_s": 0.0,
            "start_hidden_s": 0.0,  # so long a started instance is still shown as stopped
            "hibernation_ready_s": 0.0,  # an instance younger than that cannot be hibernated
            "hidden_s": 0.0,
            "seed": 0,  # of what is drawn
            "gates": {},
            "pids": {},  # client: process id
            "skew_s": 0.0,  # how far AWS's clock is ahead of this host's
            "honour_tokens": True,  # false: a test bed of the test bed, each call launches
            "expire_sessions": False,  # true: all sessions end now
            "prefill": {},  # {"count", "type", "zone", "capacity_type", "tags"}: instances that run since before
            "instances_per_page": 0,  # of DescribeInstances, at most; 0: as moto has it
            "idle_s": 0.0,  # connections without a request for so long are closed; 0: never
            "session_s": 3600.0,  # what AssumeRole... gives
            "web_identity_token": "",  # the only one accepted; "": any
            "model_check": True,
            "synthetic_fleet": False,  # instances live in the ledger alone: moto is in no latency
        }

    def __init__(self):
        self.settings = self.defaults()
        self.capacity = fleet.Capacity()
        self.buckets = {}
        self.ledger = fleet.Ledger()
        self.tokens = {}
        self.log = []
        self.credentials = {ACCESS_KEY: sigv4.Credential(SECRET_KEY)}
        self.zones = {}  # subnet: zone
        self.chance = random.Random(0)
        self.gates_moved = asyncio.Event()

    def control(self, wanted):
        unknown = set(wanted) - set(self.settings)
        if unknown:
            raise ValueError(f"unknown: {sorted(unknown)}")
        self.settings.update(wanted)
        if "seed" in wanted:
            self.chance = random.Random(wanted["seed"])
        if wanted.get("prefill"):
            self.prefill(**wanted["prefill"])
        if "gates" in wanted:
            self.gates_moved.set()
            self.gates_moved = asyncio.Event()
        if self.settings["expire_sessions"]:
            self.settings["expire_sessions"] = False
            for credential in self.credentials.values():
                credential.expires = credential.expires and time.time()
        if "capacity" in wanted:
            self.capacity.left = dict(wanted["capacity"])
        for action, (size, per_second) in wanted.get("buckets", {}).items():
            self.buckets[action] = Bucket(size, per_second)
        for key, given in wanted.get("credentials", {}).items():
            if given is None:
                self.credentials.pop(key, None)
            else:
                self.credentials[key] = sigv4.Credential(given["secret"], given.get("token", ""), given.get("expires", 0))

    def prefill(self, count, tags, **facts):
        for number in range(count):
            entry = self.ledger.launched(f"i-{number:017x}", token=f"before-{number}", action="before", subnet="subnet-0", tags=tags, **facts)
            entry["launched"] -= 3600

    def gate(self, client, service=""):
        gates = self.settings["gates"]
        return gates.get(client) or (gates.get(f"{client}/{service}") if service else None)

    def fault(self, action, reused, client=""):
        for fault in self.settings["faults"]:
            if fault["action"] not in (action, "*") or fault.get("times", 1) <= 0 or fault.get("client", client) != client:
                continue
            if fault.get("connection", "any") not in ("any", "reused" if reused else "fresh"):
                continue
            if fault.get("skip", 0) > 0:
                fault["skip"] -= 1
                continue
            fault["times"] = fault.get("times", 1) - 1
            return fault
        return None


class Call:
    """A request with what it asks for."""

    def __init__(self, request, entry):
        self.request = request
        self.entry = entry  # of the log
        self.times = {}  # settings that a fault changes for this call
        self.access_key, self.region, self.service = sigv4.scope_of(request.headers)
        target = request.headers.get("x-amz-target", "")
        self.json = bool(target)
        self.form = {}
        if target:
            self.action = target.rpartition(".")[2]
        elif request.method == "POST":
            self.form = dict(urllib.parse.parse_qsl(request.body.decode("latin-1"), keep_blank_values=True))
            self.action = self.form.get("Action", "")
        else:
            self.action = f"{request.method} {request.path}"
        if not self.service and self.action.startswith("AssumeRoleWith"):
            self.service = "sts"


class Proxy:
    def __init__(self, moto_port):
        self.moto_port = moto_port
        self.state = State()
        self.static = {}  # form: (answer, its items)
        self.connections = 0
        self.open = {}  # task: (client, connection)
        self.listeners, self.accepting = [], []  # of clients with a port of their own

    # ---- moto ----

    async def moto(self, method, path, headers, body):
        """One call to moto. headers: raw lines."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.moto_port)
        drop = ("content-length:", "connection:", "expect:", "accept-encoding:")
        lines = [line for line in headers if not line.lower().startswith(drop)]
        lines += [f"Content-Length: {len(body)}", "Connection: close"]
        writer.write((f"{method} {path} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        raw = await reader.read(-1)
        writer.close()
        head, _, payload = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        found = {k.strip(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        keep = {k: v for k, v in found.items() if k.lower().startswith("x-amz") or k.lower() == "content-type"}
        return Answer(int(lines[0].split(" ")[1]), keep, payload)

    async def forward(self, call, form=None):
        body = call.request.body if form is None else urllib.parse.urlencode(form).encode()
        return await self.moto(call.request.method, call.request.path, call.request.raw_head, body)

    async def zone_of(self, call, override):
        if override.zone or not override.subnet:
            return override.zone
        if override.subnet not in self.state.zones:
            form = {"Action": "DescribeSubnets", "Version": "2016-11-15", "SubnetId.1": override.subnet}
            answer = await self.forward(call, form)
            text = answer.body.decode()
            self.state.zones[override.subnet] = text.partition("<availabilityZone>")[2].partition("<")[0]
        return self.state.zones[override.subnet]

    # ---- replies ----

    def error(self, call, status, code, message):
        rid = fleet.request_id()
        if call.json:
            kind, prefix = JSON, ""
            if call.service == "dynamodb":
                kind, prefix = JSON_1_0, "com.amazonaws.dynamodb.v20120810#"
            body = json.dumps({"__type": prefix + code, "message": message}).encode()
            return Answer(status, {"Content-Type": kind, "x-amzn-RequestId": rid, "x-amzn-ErrorType": code}, body)
        text = fleet.escape(message)
        if call.service in ("sts", "iam"):
            body = (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
                    f"<RequestId>{rid}</RequestId></ErrorResponse>")
        else:
            body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{code}</Code>'
                    f"<Message>{text}</Message></Error></Errors><RequestID>{rid}</RequestID></Response>")
        return Answer(status, {"Content-Type": XML, "x-amzn-RequestId": rid}, body.encode())

    def refused(self, call, verdict):
        """A signature that is not right, in the words of the service."""
        if call.service == "ec2" or not call.service:
            if verdict in ("RequestExpired", "ExpiredToken"):
                return self.error(call, 400, "RequestExpired", "Request has expired.")
            if verdict in ("MissingAuthenticationToken", "IncompleteSignature"):
                return self.error(call, 400, verdict, "The request must be signed.")
            return self.error(call, 401, "AuthFailure", "AWS was not able to validate the provided access credentials")
        texts = {
            "ExpiredToken": "The security token included in the request is expired",
            "InvalidClientTokenId": "The security token included in the request is invalid.",
            "SignatureDoesNotMatch": "The request signature we calculated does not match the signature you provided.",
        }
        code = verdict
        if call.json:
            code = {"InvalidClientTokenId": "UnrecognizedClientException", "ExpiredToken": "ExpiredTokenException",
                    "SignatureDoesNotMatch": "InvalidSignatureException"}.get(verdict, verdict)
        return self.error(call, 400 if call.json else 403, code, texts.get(verdict, verdict))

    def xml(self, action, inner):
        rid = fleet.request_id()
        return Answer(200, {"Content-Type": XML, "x-amzn-RequestId": rid}, fleet.document(action, inner, rid))

    # ---- what moto has no answer for ----

    def session(self):
        key, secret, token = "ASIA" + secrets.token_hex(8).upper(), secrets.token_hex(20), secrets.token_urlsafe(60)
        expires = time.time() + self.state.settings["session_s"]
        self.state.credentials[key] = sigv4.Credential(secret, token, expires)
        return {"AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token,
                "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))}

    def assume_role(self, call):
        wanted = self.state.settings["web_identity_token"]
        if wanted and call.form.get("WebIdentityToken", wanted) != wanted:
            return self.error(call, 400, "InvalidIdentityToken", "The web identity token is not valid.")
        fields = "".join(f"<{name}>{value}</{name}>" for name, value in self.session().items())
        action = call.action
        body = (f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
                f"<Credentials>{fields}</Credentials></{action}Result>"
                f"<ResponseMetadata><RequestId>{fleet.request_id()}</RequestId></ResponseMetadata></{action}Response>")
        return Answer(200, {"Content-Type": XML}, body.encode())

    async def eks_image(self, call, name):
        """moto has no EKS images: the plain Amazon Linux of that architecture stands for them."""
        machine = "arm64" if "/arm64/" in name else "x86_64"
        body = json.dumps({"Name": f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{machine}"}).encode()
        answer = await self.moto("POST", "/", call.request.raw_head, body)
        return answer._replace(body=json.dumps({"Parameter": {**json.loads(answer.body)["Parameter"], "Name": name}}).encode())

    def quota(self, call):
        """moto has quotas of VPC alone."""
        asked = json.loads(call.request.body)
        value = self.state.settings["quotas"].get(asked["QuotaCode"])
        if asked["ServiceCode"] != "ec2" or value is None:
            return self.error(call, 400, "NoSuchResourceException", "The request failed because the specified quota does not exist.")
        kind = {"L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
                "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"}.get(asked["QuotaCode"], "other")
        body = {"Quota": {"ServiceCode": "ec2", "QuotaCode": asked["QuotaCode"], "QuotaName": kind, "Value": value,
                          "Unit": "None", "Adjustable": True, "GlobalQuota": False}}
        return Answer(200, {"Content-Type": JSON}, json.dumps(body).encode())

    async def stub(self, call):
        """The answer where one was set or moto has none, else None."""
        stubs = self.state.settings["stubs"]
        name = json.loads(call.request.body or b"{}").get("Name", "") if call.action == "GetParameter" else ""
        key = next((k for k in (f"{call.action}:{name}", call.action) if k in stubs), None)
        if key:
            given = stubs[key]
            if isinstance(given, str):
                return self.xml(call.action, given)
            return Answer(200, {"Content-Type": JSON}, json.dumps(given).encode())
        if call.action in ("AssumeRole", "AssumeRoleWithWebIdentity"):
            return self.assume_role(call)
        if name.startswith("/aws/service/eks/optimized-ami/"):
            return await self.eks_image(call, name)
        if call.service == "servicequotas":
            return self.quota(call)
        if call.action == "GetProducts":
            return Answer(200, {"Content-Type": JSON}, json.dumps(prices.get_products(json.loads(call.request.body))).encode())
        if call.action == "DescribeSpotPriceHistory":
            return self.xml(call.action, prices.spot_price_history(call.form))
        return None

    # ---- EC2's own behaviour ----

    async def create_fleet(self, call):
        form = call.form
        if form.get("DryRun") == "true":
            return self.error(call, 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
        if form.get("Type") != "instant":
            return self.error(call, 400, "InvalidParameterValue", "This test bed has fleets of type instant only.")
        kind = form.get("TargetCapacitySpecification.DefaultTargetCapacityType", "on-demand")
        wanted = int(form["TargetCapacitySpecification.TotalTargetCapacity"])
        overrides = [o._replace(zone=await self.zone_of(call, o)) for o in fleet.overrides_of(form)]
        launched, failed = [], []
        for override in fleet.pool_order(overrides, kind, form):
            if wanted <= 0:
                break
            given = self.state.capacity.take(kind, override.type, override.zone, wanted)
            if given:
                ids = await self.launch(call, override, given, kind)
                if isinstance(ids, Answer):
                    return ids
                launched.append((override, ids))
                wanted -= given
            if wanted > 0:
                failed.append((override, *fleet.no_capacity(override, kind)))
        rid = fleet.request_id()
        body = fleet.fleet_xml(launched, failed, kind, rid)
        return Answer(200, {"Content-Type": XML, "x-amzn-RequestId": rid}, body)

    async def launch(self, call, override, count, kind):
        """Instance ids; moto's answer when it refused."""
        if self.state.settings["synthetic_fleet"]:
            ids = [f"i-{secrets.token_hex(8)}0" for _ in range(count)]
        else:
            answer = await self.forward(call, fleet.narrowed(call.form, override, count))
            if answer.status != 200:
                return answer
            text = answer.body.decode()
            ids = []
            for part in text.split("<instanceIds>")[1:]:
                ids += [i.partition("<")[0] for i in part.partition("</instanceIds>")[0].split("<item>")[1:]]
        facts = {"token": call.form.get("ClientToken", ""), "action": call.action, "type": override.type,
                 "zone": override.zone, "subnet": override.subnet, "capacity_type": kind, "tags": fleet.tags_of(call.form)}
        self.note(call, ids, facts)
        return ids

    def note(self, call, ids, facts):
        """Into the ledger, with who asked and when, and how long EC2 takes to show it."""
        times = {name: drawn(self.state.chance, self.state.settings[name]) for name in ("hidden_s", "pending_s")
                 if isinstance(self.state.settings[name], list)}
        asked = {name: call.entry[name] for name in ("n", "client", "connection", "t_kernel")}
        for instance_id in ids:
            self.state.ledger.launched(instance_id, **facts, **times, asked=asked)

    async def run_instances(self, call):
        answer = await self.forward(call)
        if answer.status == 200:
            text = answer.body.decode()
            facts = {"token": call.form.get("ClientToken", ""), "action": call.action, "type": call.form.get("InstanceType", ""),
                     "zone": text.partition("<availabilityZone>")[2].partition("<")[0], "subnet": call.form.get("SubnetId", ""),
                     "capacity_type": call.form.get("InstanceMarketOptions.MarketType", "on-demand"),
                     "tags": fleet.tags_of(call.form)}
            self.note(call, [part.partition("<")[0] for part in text.split("<instanceId>")[1:]], facts)
        return answer

    async def terminate(self, call):
        ids = prices.listed(call.form, "InstanceId")
        now = time.time()
        for instance_id in ids:
            entry = self.state.ledger.by_id.get(instance_id)
            if fleet.hidden(entry, self.state.settings, now) or (entry is None and self.state.settings["synthetic_fleet"]):
                return self.error(call, 400, "InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        if self.state.settings["synthetic_fleet"]:
            items = "".join(
                f"<item><instanceId>{i}</instanceId><currentState><code>32</code><name>shutting-down</name></currentState>"
                f"<previousState><code>16</code><name>running</name></previousState></item>" for i in ids)
            answer = self.xml(call.action, f"<instancesSet>{items}</instancesSet>")
        else:
            answer = await self.forward(call)
        if answer.status == 200:
            for instance_id in ids:
                self.state.ledger.ended(instance_id)
        return answer

    def state_of(self, instance_id):
        entry = self.state.ledger.by_id.get(instance_id)
        return fleet.state_now(entry, "running", {**self.state.settings, "start_hidden_s": 0}, time.time()) if entry else None

    def cannot_change(self, call, ids, wrong):
        """What EC2 says when one of them is unknown or in a wrong state: then none of them changes."""
        for instance_id in ids:
            state = self.state_of(instance_id)
            if state is None:
                return self.error(call, 400, "InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
            if state in wrong:
                return self.error(call, 400, "IncorrectInstanceState",
                                  f"The instance '{instance_id}' is not in a state from which it can be changed: {state}.")
        return None

    async def change_state(self, call, ids, after):
        before = [self.state_of(i) for i in ids]
        if not self.state.settings["synthetic_fleet"]:
            answer = await self.forward(call)
            if answer.status != 200:
                return answer
        return self.xml(call.action, fleet.change_xml(ids, before, after))

    async def start(self, call):
        ids = prices.listed(call.form, "InstanceId")
        if wrong := self.cannot_change(call, ids, ("stopping", "shutting-down", "terminated")):
            return wrong
        resting = [i for i in ids if self.state_of(i) == "stopped"]
        before = dict(self.state.capacity.left)
        for instance_id in resting:
            entry = self.state.ledger.by_id[instance_id]
            if not self.state.capacity.take("start", entry["type"], entry["zone"], 1):
                self.state.capacity.left = before
                code, text = fleet.no_capacity(fleet.Override(0, entry["type"], "", entry["zone"], "", "", 0, {}), "on-demand")
                return self.error(call, 500, code, text)
        answer = await self.change_state(call, ids, "pending")
        for instance_id in resting if answer.status == 200 else []:
            self.state.ledger.started(instance_id)
        return answer

    async def stop(self, call):
        ids = prices.listed(call.form, "InstanceId")
        if wrong := self.cannot_change(call, ids, ("pending", "shutting-down", "terminated")):
            return wrong
        young = [i for i in ids if time.time() - self.state.ledger.by_id[i]["launched"] < self.state.settings["hibernation_ready_s"]]
        if young and call.form.get("Hibernate") == "true":
            return self.error(call, 400, "UnsupportedOperation", f"Instance {young[0]} is not ready to hibernate yet, retry in a few minutes")
        for instance_id in ids:
            if self.state.ledger.by_id[instance_id]["capacity_type"] == "spot":
                return self.error(call, 400, "UnsupportedOperation",
                                  f"You can't stop the Spot Instance '{instance_id}' because it is associated with a one-time request.")
        running = [i for i in ids if self.state_of(i) == "running"]
        answer = await self.change_state(call, ids, "stopping")
        for instance_id in running if answer.status == 200 else []:
            self.state.ledger.stopped(instance_id)
            self.state.ledger.by_id[instance_id]["hibernated"] = call.form.get("Hibernate") == "true"
        return answer

    async def tag(self, call):
        tags, number = {}, 1
        while key := call.form.get(f"Tag.{number}.Key"):
            tags[key] = call.form.get(f"Tag.{number}.Value", "")
            number += 1
        ids = prices.listed(call.form, "ResourceId")
        answer = self.xml(call.action, "<return>true</return>") if self.state.settings["synthetic_fleet"] else await self.forward(call)
        for instance_id in ids if answer.status == 200 else []:
            if entry := self.state.ledger.by_id.get(instance_id):
                entry["tags"] = {**entry["tags"], **tags}
        return answer

    async def untag(self, call):
        ids = prices.listed(call.form, "ResourceId")
        answer = self.xml(call.action, "<return>true</return>") if self.state.settings["synthetic_fleet"] else await self.forward(call)
        for instance_id in ids if answer.status == 200 else []:
            if entry := self.state.ledger.by_id.get(instance_id):
                entry["tags"] = {k: v for k, v in entry["tags"].items() if k != call.form["Tag.1.Key"]}
        return answer

    async def describe_instances(self, call):
        now, settings, ledger = time.time(), {**self.state.settings, **call.times}, self.state.ledger
        for instance_id in prices.listed(call.form, "InstanceId"):
            if fleet.hidden(ledger.by_id.get(instance_id), settings, now):
                return self.error(call, 400, "InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        if settings["synthetic_fleet"]:
            rid = fleet.request_id()
            return Answer(200, {"Content-Type": XML, "x-amzn-RequestId": rid},
                          fleet.describe_from_ledger(call.form, ledger, settings, now, rid))
        form, own = fleet.without_own_filters(call.form)
        if settings["instances_per_page"] and not prices.listed(form, "InstanceId"):
            form["MaxResults"] = str(settings["instances_per_page"])
        answer = await self.forward(call, form)
        if answer.status != 200:
            return answer
        return answer._replace(body=fleet.rewrite_instances(answer.body, ledger, own, settings, now))

    async def unchanging(self, call):
        """What is the same in every run is asked once: moto takes seconds for it."""
        form = {k: v for k, v in call.form.items() if k not in ("MaxResults", "NextToken")}
        form = fleet.without_wildcards(form)
        key = urllib.parse.urlencode(form)
        if key not in self.static:
            answer = await self.forward(call, form)
            if answer.status != 200:
                return answer
            self.static[key] = (answer, fleet.rows_of(call.action, answer.body))
        answer, rows = self.static[key]
        if prices.listed(form, "InstanceType"):
            return answer
        most = 100 if call.action == "DescribeInstanceTypes" else 1000
        size = min(int(call.form.get("MaxResults", most)), most)
        body = fleet.page_of(call.action, rows, size, call.form.get("NextToken", ""), fleet.request_id())
        return answer._replace(body=body)

    async def effect(self, call):
        own = {"CreateFleet": self.create_fleet, "RunInstances": self.run_instances, "TerminateInstances": self.terminate,
               "StartInstances": self.start, "StopInstances": self.stop, "CreateTags": self.tag, "DeleteTags": self.untag,
               "DescribeInstances": self.describe_instances, "DescribeInstanceTypes": self.unchanging,
               "DescribeInstanceTypeOfferings": self.unchanging}
        if call.service == "ec2" and call.action in own:
            return await own[call.action](call)
        return await self.forward(call)

    async def once(self, call):
        """The effect, once for each ClientToken; a second call waits for the first and gets its answer."""
        token = call.form.get("ClientToken", "")
        if not token or call.form.get("DryRun") == "true" or not self.state.settings["honour_tokens"]:
            return await self.effect(call)
        key = (call.action, token)
        parameters = {k: v for k, v in call.form.items() if k != "ClientToken"}
        if key in self.state.tokens:
            known, future = self.state.tokens[key]
            if known != parameters:
                return self.error(call, 400, "IdempotentParameterMismatch",
                                  "The client token is used with different parameters than in an earlier request.")
            return await asyncio.shield(future)
        # A task of its own: the effect goes on when the client goes away.
        future = asyncio.ensure_future(self.effect(call))
        self.state.tokens[key] = (parameters, future)
        answer = await asyncio.shield(future)
        if answer.status != 200:
            self.state.tokens.pop(key, None)
        return answer

    # ---- one request ----

    async def answer(self, call, entry, fault):
        bucket = self.state.buckets.get(call.action)
        if bucket and not bucket.take():
            entry["fault"] = "throttled"
            return self.error(call, 503, "RequestLimitExceeded", "Request limit exceeded.")
        request = call.request
        if call.action != "AssumeRoleWithWebIdentity":
            entry["signature"] = sigv4.verify(self.state.credentials, request.method, request.path, request.headers, request.body,
                                              time.time() + self.state.settings["skew_s"])
            if entry["signature"]:
                return self.refused(call, entry["signature"])
        if call.service == "dynamodb" and request.headers.get("content-type") != JSON_1_0:
            return self.error(call, 400, "SerializationException", "Expected " + JSON_1_0)
        if self.state.settings["model_check"]:
            entry["model"] = model.violation(call.service, call.action, request.body, call.json)
            if entry["model"]:
                return self.error(call, 400, "ModelViolation", entry["model"])
        if fault and fault["do"] == "error":
            answer = self.error(call, fault.get("status", 500), fault.get("code", "InternalError"),
                                fault.get("message", "An internal error has occurred"))
            if "retry_after_ms" in fault:
                answer.headers["x-amz-retry-after"] = str(fault["retry_after_ms"])
            return answer
        if fault and fault["do"] == "kill_client" and fault["when"] == "before":
            self.signal_client(fault, entry)
        if fault and fault["do"] == "delay_before":
            await asyncio.sleep(fault["s"])
        if fault and fault["do"] == "stale":
            call.times["stale_s"] = fault["s"]
        return await self.stub(call) or await self.once(call)

    def signal_client(self, fault, entry):
        number = fault.get("signal", signal.SIGKILL)
        kill(fault.get("pid") or self.state.settings["pids"][entry["client"]], number)
        if number == signal.SIGKILL:
            raise Closed

    async def pass_gate(self, client, service):
        how = self.state.gate(client, service)
        if how == "refuse":
            raise Closed("rst")
        while self.state.gate(client, service):
            await self.state.gates_moved.wait()
        if how == "lose":
            raise Closed("rst")

    async def serve_request(self, connection, request, entry):
        call = Call(request, entry)
        entry.update(service=call.service, region=call.region, action=call.action, access_key=call.access_key,
                     params=call.form or (request.body.decode("latin-1") if call.json else ""))
        if how := self.state.gate(entry["client"], call.service):
            entry["gate"] = how
            await self.pass_gate(entry["client"], call.service)
        fault = self.state.fault(call.action, connection.requests > 1, entry["client"])
        kind = fault["do"] if fault else ""
        entry["fault"] = kind
        if kind == "drop_before":
            raise Closed(fault.get("how", "rst"))
        answer = await self.answer(call, entry, fault)
        entry["status"] = answer.status
        entry["t_effect"] = time.time()
        if kind == "kill_client" and fault["when"] == "after":
            self.signal_client(fault, entry)
        if kind == "delay":
            await asyncio.sleep(fault["s"])
        if kind == "drop_after":
            raise Closed(fault.get("how", "rst"))
        body = answer.body
        if kind == "garbage":
            body = b"<\x00\xff\xfe>not what you \x01 asked for & <<<" + secrets.token_bytes(64)
        elif kind == "truncate_xml":
            body = body[: len(body) * 2 // 3]
        date = email.utils.formatdate(time.time() + self.state.settings["skew_s"], usegmt=True)
        raw = reply_bytes(answer.status, {**answer.headers, "Date": date}, body)
        if kind == "truncate":
            await connection.send(raw[: len(raw) - len(body) // 2])
            raise Closed("fin")
        await connection.send(raw)
        entry["t_reply"] = time.time()
        if kind == "kill_client" and fault["when"] == "replied":
            await asyncio.sleep(fault.get("s", 0))
            self.signal_client(fault, entry)

    def control(self, wanted):
        self.state.control(wanted)
        for client, connection in list(self.open.values()):
            if self.state.gate(client) == "refuse":
                connection.close(reset=True)

    def listen_for(self, client, host="127.0.0.1"):
        """One more port to this EC2."""
        listener = listen(host, 0)
        port = listener.getsockname()[1]
        self.listeners.append(listener)
        self.accepting.append(asyncio.ensure_future(self.accept(listener, client)))
        return {"port": port, "url": f"http://{host}:{port}"}

    async def container_credentials(self, connection):
        given = self.session()
        answer = {**given, "Token": given.pop("SessionToken"), "RoleArn": "arn:aws:iam::123456789012:role/test"}
        await connection.send(reply_bytes(200, {"Content-Type": "application/json"}, json.dumps(answer).encode()))

    def control_reply(self, request, asking):
        path, _, query = request.path.partition("?")
        if path == "/_ctl/ledger":
            return self.state.ledger.entries
        if path == "/_ctl/log":
            return self.state.log[int(dict(urllib.parse.parse_qsl(query)).get("since", 0)):]
        if path == "/_ctl/deafen":
            return {"connections": sum(connection.deafen() for _, connection in self.open.values() if connection is not asking)}
        if path == "/_ctl/listen":
            return self.listen_for(json.loads(request.body)["client"], request.headers["host"].rpartition(":")[0])
        if path == "/_ctl" and request.method == "POST":
            self.control(json.loads(request.body))
        return {**self.state.settings, "capacity": self.state.capacity.left, "log": len(self.state.log)}

    async def serve_control(self, connection, request):
        try:
            if request.path == "/_ctl" and request.method == "POST" and json.loads(request.body).get("reset"):
                await self.moto("POST", "/moto-api/reset", ["Host: moto"], b"")
                self.state = State()
                answer = {}
            else:
                answer = self.control_reply(request, connection)
            raw = reply_bytes(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())
        except (ValueError, KeyError, TypeError) as wrong:
            raw = reply_bytes(400, {"Content-Type": "text/plain"}, f"{wrong}\n".encode())
        await connection.send(raw)

    async def next_request(self, connection):
        idle = self.state.settings["idle_s"]
        return await asyncio.wait_for(connection.request(), idle or None)

    async def serve(self, connection, number, client=""):
        try:
            while True:
                request = await self.next_request(connection)
                if request.path.startswith("/_ctl"):
                    await self.serve_control(connection, request)
                    continue
                if request.path == "/v1/credentials":
                    await self.container_credentials(connection)
                    continue
                entry = {"n": len(self.state.log), "client": client, "connection": number, "request": connection.requests,
                         "t_kernel": request.t_kernel, "t_kernel_last": request.t_kernel_last, "t_user": time.time(),
                         "t_effect": None, "t_reply": None, "bytes": len(request.body), "status": None, "signature": None, "model": None,
                         "agent": request.headers.get("user-agent", "")}
                if len(self.state.log) < LOG_MAX:
                    self.state.log.append(entry)
                await self.serve_request(connection, request, entry)
                if request.headers.get("connection", "").lower() == "close":
                    break
        except (Closed, asyncio.TimeoutError) as end:
            connection.close(reset=end.args == ("rst",))
        except (OSError, ValueError, KeyError, IndexError, AttributeError):
            # Not what a client should see as an answer; the log of the test has the reason.
            import traceback

            traceback.print_exc()
            connection.close(reset=True)
        finally:
            connection.close()

    async def accept(self, listener, client=""):
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            connection = Connection(sock, loop)
            if self.state.gate(client) == "refuse":
                connection.close(reset=True)
                continue
            self.connections += 1
            task = asyncio.ensure_future(self.serve(connection, self.connections, client))
            self.open[task] = (client, connection)
            task.add_done_callback(lambda done: self.open.pop(done))


def start_moto(log):
    moto = subprocess.Popen([sys.executable, "-c", MOTO], stdout=subprocess.PIPE, stderr=log, text=True,
                            env={**os.environ, **MOTO_ENVIRONMENT}, preexec_fn=die_with_parent)
    port = moto.stdout.readline()
    if not port:
        moto.kill()
        moto.wait()
        raise RuntimeError("moto did not start")
    return moto, int(port)


async def amain(options):
    log = open(options.log, "w") if options.log else subprocess.DEVNULL
    moto, moto_port = start_moto(log)
    try:
        proxy = Proxy(moto_port)
        listener = listen(options.host, options.port)
        port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        serving = asyncio.ensure_future(proxy.accept(listener))
        ready = {"port": port, "url": f"http://{options.host}:{port}", "region": REGION, "access_key": ACCESS_KEY,
                 "secret_key": SECRET_KEY}
        if options.world:
            ready["world"] = await asyncio.to_thread(make_world, ready["url"])
        if options.settings:
            proxy.control(json.loads(options.settings))
        print(port if options.print_port else json.dumps(ready), flush=True)
        await asyncio.wait([serving, asyncio.ensure_future(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
    finally:
        moto.kill()
        moto.wait()


def main():
    parser = argparse.ArgumentParser(description="moto behind a fault-injecting proxy")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: the kernel chooses one")
    parser.add_argument("--print-port", action="store_true", help="print the port alone instead of a JSON line")
    parser.add_argument("--world", action="store_true", help="make a VPC, subnets in three zones, a security group, a profile")
    parser.add_argument("--settings", help="a JSON object as POST /_ctl takes it")
    parser.add_argument("--log", type=pathlib.Path, help="where moto's complaints go")
    asyncio.run(amain(parser.parse_args()))


if __name__ == "__main__":
    main()
