# SPDX-License-Identifier: Apache-2.0
"""EC2 as it behaves and moto does not: pools that run out, errors inside a 200, states that take time, a ledger.

Nothing here talks to a socket: proxy.py hands forms in and sends what comes out.
"""

import collections
import fnmatch
import gzip
import importlib.util
import json
import pathlib
import re
import secrets
import time
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape

import prices

# The list that moto answers from, without importing all of moto.
MOTO = pathlib.Path(importlib.util.find_spec("moto").origin).parent
INSTANCE_TYPES = sorted(json.loads(gzip.decompress((MOTO / "ec2" / "resources" / "instance_types.json.gz").read_bytes())))
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

Override = collections.namedtuple("Override", "index type subnet zone template version priority fields")


def document(action, inner, request_id):
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{NAMESPACE}">'
            f"<requestId>{request_id}</requestId>{inner}</{action}Response>").encode()


def request_id():
    raw = secrets.token_hex(16)
    return "-".join([raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]])


def tags_of(form, resource="instance"):
    tags = {}
    for index in range(1, 20):
        if form.get(f"TagSpecification.{index}.ResourceType") != resource:
            continue
        at = f"TagSpecification.{index}.Tag"
        number = 1
        while f"{at}.{number}.Key" in form:
            tags[form[f"{at}.{number}.Key"]] = form.get(f"{at}.{number}.Value", "")
            number += 1
    return tags


def overrides_of(form):
    """Every (launch template, override) of a CreateFleet, in order."""
    found = []
    config = 1
    while any(key.startswith(f"LaunchTemplateConfigs.{config}.") for key in form):
        at = f"LaunchTemplateConfigs.{config}"
        spec = f"{at}.LaunchTemplateSpecification"
        template = form.get(f"{spec}.LaunchTemplateName") or form.get(f"{spec}.LaunchTemplateId", "")
        number = 1
        while True:
            prefix = f"{at}.Overrides.{number}."
            fields = {key[len(prefix):]: value for key, value in form.items() if key.startswith(prefix)}
            if not fields:
                break
            found.append(Override(len(found), fields.get("InstanceType", ""), fields.get("SubnetId", ""),
                                  fields.get("AvailabilityZone", ""), template, form.get(f"{spec}.Version", ""),
                                  float(fields.get("Priority", "inf")), {"config": config, **fields}))
            number += 1
        config += 1
    return found


def narrowed(form, override, count):
    """The same CreateFleet for one override and its own count."""
    kept = {key: value for key, value in form.items() if not key.startswith("LaunchTemplateConfigs.")}
    at = f"LaunchTemplateConfigs.{override.fields['config']}.LaunchTemplateSpecification."
    for key, value in form.items():
        if key.startswith(at):
            kept["LaunchTemplateConfigs.1.LaunchTemplateSpecification." + key[len(at):]] = value
    for key, value in override.fields.items():
        if key != "config":
            kept[f"LaunchTemplateConfigs.1.Overrides.1.{key}"] = value
    kept["TargetCapacitySpecification.TotalTargetCapacity"] = str(count)
    return kept


class Capacity:
    """How many more instances each pool gives. Keys: [spot:|on-demand:]TYPE/ZONE, shell patterns allowed; what no key
    names is without end."""

    def __init__(self):
        self.left = {}

    def key(self, capacity_type, instance_type, zone):
        for key in self.left:
            kind, _, pool = key.rpartition(":")
            if kind in ("", capacity_type) and fnmatch.fnmatchcase(f"{instance_type}/{zone}", pool):
                return key
        return None

    def take(self, capacity_type, instance_type, zone, count):
        key = self.key(capacity_type, instance_type, zone)
        if key is None:
            return count
        given = min(count, self.left[key])
        self.left[key] -= given
        return given


class Ledger:
    """What was really launched and ended, in order."""

    def __init__(self):
        self.entries = []
        self.by_id = {}

    def launched(self, instance_id, **facts):
        entry = {"order": len(self.entries) + 1, "id": instance_id, "launched": time.time(), "terminated": None, **facts}
        self.entries.append(entry)
        self.by_id[instance_id] = entry
        return entry

    def stopped(self, instance_id):
        self.by_id[instance_id]["stopped"] = time.time()

    def started(self, instance_id):
        entry = self.by_id[instance_id]
        entry["stopped"], entry["started"] = None, time.time()
        entry.setdefault("starts", []).append(entry["started"])

    def ended(self, instance_id):
        entry = self.by_id.get(instance_id)
        if entry and entry["terminated"] is None:
            entry["terminated"] = time.time()
            return entry
        return None


def change_xml(ids, before, after):
    items = "".join(f"<item><instanceId>{i}</instanceId><currentState><code>{STATE_CODES[after]}</code><name>{after}</name></currentState>"
                    f"<previousState><code>{STATE_CODES[b]}</code><name>{b}</name></previousState></item>" for i, b in zip(ids, before))
    return f"<instancesSet>{items}</instancesSet>"


def pool_order(overrides, capacity_type, form):
    """The order in which EC2 tries the pools."""
    option = "SpotOptions" if capacity_type == "spot" else "OnDemandOptions"
    strategy = form.get(f"{option}.AllocationStrategy", "lowest-price")
    if "prioritized" in strategy:
        return sorted(overrides, key=lambda o: (o.priority, o.index))
    return sorted(overrides, key=lambda o: (prices.price_of(capacity_type, o.type, o.zone), o.index))


def override_xml(override, capacity_type):
    spec = (f"<launchTemplateName>{escape(override.template)}</launchTemplateName>"
            f"<version>{escape(override.version)}</version>")
    fields = f"<instanceType>{override.type}</instanceType><subnetId>{override.subnet}</subnetId>"
    # As EC2: the zone is echoed only where the caller gave it.
    if override.fields.get("AvailabilityZone"):
        fields += f"<availabilityZone>{override.zone}</availabilityZone>"
    return (f"<launchTemplateAndOverrides><launchTemplateSpecification>{spec}</launchTemplateSpecification>"
            f"<overrides>{fields}</overrides></launchTemplateAndOverrides><lifecycle>{capacity_type}</lifecycle>")


def no_capacity(override, capacity_type):
    kind = "Spot capacity" if capacity_type == "spot" else f"{override.type} capacity"
    return ("InsufficientInstanceCapacity",
            f"We currently do not have sufficient {kind} in the Availability Zone you requested ({override.zone}). "
            "Our system will be working on provisioning additional capacity.")


def fleet_xml(launched, failed, capacity_type, rid):
    """launched: [(override, ids)], failed: [(override, code, message)]."""
    instances = "".join(
        f"<item>{override_xml(override, capacity_type)}"
        f"<instanceIds>{''.join(f'<item>{i}</item>' for i in ids)}</instanceIds>"
        f"<instanceType>{override.type}</instanceType></item>"
        for override, ids in launched)
    errors = "".join(
        f"<item>{override_xml(override, capacity_type)}<errorCode>{escape(code)}</errorCode>"
        f"<errorMessage>{escape(message)}</errorMessage></item>"
        for override, code, message in failed)
    raw = secrets.token_hex(16)
    fleet_id = "-".join(["fleet", raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]])
    inner = f"<fleetId>{fleet_id}</fleetId><errorSet>{errors}</errorSet><fleetInstanceSet>{instances}</fleetInstanceSet>"
    return document("CreateFleet", inner, rid)


# ---- the view on instances ----


def without_wildcards(form):
    """EC2 takes "c7g.*" as the value of a filter on types, moto does not: every such type in its place."""
    out = dict(form)
    for name in [k for k, v in form.items() if re.fullmatch(r"Filter\.\d+\.Name", k) and v == "instance-type"]:
        prefix = name.removesuffix("Name") + "Value."
        values = [out.pop(k) for k in list(out) if k.startswith(prefix)]
        found = {t for v in values for t in (fnmatch.filter(INSTANCE_TYPES, v) if "*" in v else [v])}
        out.update({f"{prefix}{i}": v for i, v in enumerate(sorted(found) or ["none"], 1)})
    return out


def filters_of(form):
    found = []
    index = 1
    while f"Filter.{index}.Name" in form:
        found.append((form[f"Filter.{index}.Name"], prices.listed(form, f"Filter.{index}.Value")))
        index += 1
    return found


OWN_FILTERS = ("instance-state-name", "client-token", "instance-lifecycle")


def without_own_filters(form):
    """The form that moto can answer, and the filters that are answered here."""
    kept = {key: value for key, value in form.items() if not key.startswith("Filter.")}
    own = {}
    index = 0
    for name, values in filters_of(form):
        if name in OWN_FILTERS:
            own[name] = values
            continue
        index += 1
        kept[f"Filter.{index}.Name"] = name
        for number, value in enumerate(values, 1):
            kept[f"Filter.{index}.Value.{number}"] = value
    return kept, own


def time_of(entry, times, name):
    """An instance's own where one was drawn for it."""
    return entry.get(name, 0 if isinstance(times[name], list) else times[name])


def state_now(entry, state, times, now):
    """The state that EC2 would show: moto's, held back by the times it takes."""
    if entry is None:
        return state
    if entry["terminated"] is not None:
        return "shutting-down" if now - entry["terminated"] < times["shutting_down_s"] else "terminated"
    if entry.get("stopped") is not None:
        return "stopping" if now - entry["stopped"] < times.get("stopping_s", 0) else "stopped"
    if now - entry.get("started", 0) < times.get("start_hidden_s", 0):
        return "stopped"
    if state == "running" and now - entry.get("started", entry["launched"]) < time_of(entry, times, "pending_s"):
        return "pending"
    return state


def hidden(entry, times, now):
    """Whether EC2's view of this moment has it not yet. stale_s: that view is so much older."""
    return entry is not None and now - entry["launched"] < max(time_of(entry, times, "hidden_s"), times.get("stale_s", 0))


def passes(own, entry, state, lifecycle):
    token = entry["token"] if entry else ""
    facts = {"instance-state-name": state, "client-token": token, "instance-lifecycle": lifecycle}
    return all(any(fnmatch.fnmatchcase(facts[name], value) for value in values) for name, values in own.items())


def rewrite_instances(body, ledger, own, times, now):
    """A DescribeInstances reply as EC2 would have given it at this moment."""
    ElementTree.register_namespace("", NAMESPACE)
    body = body.replace(b'xmlns="http://ec2.amazonaws.com/doc/2016-11-15"', f'xmlns="{NAMESPACE}"'.encode())
    root = ElementTree.fromstring(body)
    ns = "{" + NAMESPACE + "}"
    reservations = root.find(f"{ns}reservationSet")
    for reservation in list(reservations if reservations is not None else []):
        instances = reservation.find(f"{ns}instancesSet")
        for instance in list(instances):
            entry = ledger.by_id.get(instance.findtext(f"{ns}instanceId"))
            shown = instance.find(f"{ns}instanceState")
            state = state_now(entry, shown.findtext(f"{ns}name"), times, now)
            if hidden(entry, times, now) or not passes(own, entry, state, instance.findtext(f"{ns}instanceLifecycle", "")):
                instances.remove(instance)
                continue
            shown.find(f"{ns}name").text = state
            shown.find(f"{ns}code").text = str(STATE_CODES[state])
            if entry and instance.find(f"{ns}clientToken") is None:
                ElementTree.SubElement(instance, f"{ns}clientToken").text = entry["token"]
        if not len(instances):
            reservations.remove(reservation)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root)


def matches_tags(entry, filters):
    for name, values in filters:
        if name.startswith("tag:"):
            value = entry["tags"].get(name[4:])
            if value is None or not any(fnmatch.fnmatchcase(value, wanted) for wanted in values):
                return False
        elif name == "tag-key" and not any(wanted in entry["tags"] for wanted in values):
            return False
    return True


def instance_xml(entry, state):
    """Without its image: what a launch template says is moto's, and an image that is none of the class would be drift."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(entry["launched"]))
    tags = "".join(f"<item><key>{escape(k)}</key><value>{escape(v)}</value></item>" for k, v in entry["tags"].items())
    lifecycle = "<instanceLifecycle>spot</instanceLifecycle>" if entry["capacity_type"] == "spot" else ""
    return (f"<item><reservationId>r-{entry['id'][2:]}</reservationId><ownerId>123456789012</ownerId><instancesSet><item>"
            f"<instanceId>{entry['id']}</instanceId>"
            f"<instanceState><code>{STATE_CODES[state]}</code><name>{state}</name></instanceState>"
            f"<instanceType>{entry['type']}</instanceType><launchTime>{stamp}</launchTime>"
            f"<placement><availabilityZone>{entry['zone']}</availabilityZone></placement>"
            f"<subnetId>{entry['subnet']}</subnetId><privateIpAddress>10.0.0.4</privateIpAddress>"
            f"<clientToken>{escape(entry['token'])}</clientToken>{lifecycle}<tagSet>{tags}</tagSet></item></instancesSet></item>")


def describe_from_ledger(form, ledger, times, now, rid):
    """DescribeInstances without moto: for runs whose fleets moto never saw."""
    asked = set(prices.listed(form, "InstanceId"))
    kept, own = without_own_filters(form)
    items = []
    for entry in ledger.entries:
        state = state_now(entry, "running", times, now)
        lifecycle = "spot" if entry["capacity_type"] == "spot" else ""
        if (asked and entry["id"] not in asked) or hidden(entry, times, now):
            continue
        if matches_tags(entry, filters_of(kept)) and passes(own, entry, state, lifecycle):
            items.append(instance_xml(entry, state))
    items, following = prices.page(items, min(int(form.get("MaxResults", 1000)), 1000), form.get("NextToken", ""))
    more = f"<nextToken>{following}</nextToken>" if following else ""
    return document("DescribeInstances", f"<reservationSet>{''.join(items)}</reservationSet>{more}", rid)


SETS = {"DescribeInstanceTypes": "instanceTypeSet", "DescribeInstanceTypeOfferings": "instanceTypeOfferingSet"}


def rows_of(action, body):
    text = body.decode()
    name = SETS[action]
    start, end = text.find(f"<{name}>"), text.rfind(f"</{name}>")
    return top_items(text[start:end]) if start >= 0 else []


def page_of(action, rows, size, token, rid):
    """One page, as EC2 gives them: moto gives everything at once."""
    rows, following = prices.page(rows, size, token)
    inner = f"<{SETS[action]}>{''.join(rows)}</{SETS[action]}>"
    return document(action, inner + (f"<nextToken>{following}</nextToken>" if following else ""), rid)


def top_items(text):
    """The outermost <item>s of a list."""
    items, depth, start = [], 0, 0
    for tag in re.finditer(r"<(/?)item>", text):
        if not tag[1]:
            if depth == 0:
                start = tag.start()
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                items.append(text[start:tag.end()])
    return items
