# SPDX-License-Identifier: Apache-2.0
"""What a plan is made of, read independently of forerun: quantities, labels, taints, pods, pools and what they may buy."""

import functools
import json
import re
from dataclasses import dataclass, field

from generator import ARCH, AWS, CAPACITY_TYPE, HOST, TYPE, ZONE

SUFFIXES = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@functools.cache
def quantity(text):
    number, suffix = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(text)).groups()
    return float(number) * SUFFIXES[suffix]


def add(total, more):
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount
    return total


def requests_of(spec):
    """As the scheduler adds them up: all containers, or the largest of those that run before them; one pod."""
    def of(container):
        return {name: quantity(amount) for name, amount in container.get("resources", {}).get("requests", {}).items()}
    total = {}
    for container in spec["containers"]:
        add(total, of(container))
    for container in spec.get("initContainers", []):
        for name, amount in of(container).items():
            total[name] = max(total.get(name, 0), amount)
    return add(total, {"pods": 1})


def fits(requests, room):
    return all(amount <= room.get(name, 0) * (1 + 1e-12) + 1e-9 for name, amount in requests.items() if amount > 0)


# ---- labels and taints ----


def expression_holds(labels, one):
    value, values = labels.get(one["key"]), one.get("values", [])
    match one["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or not value.lstrip("-").isdigit():
        return False
    left, right = int(value), int(values[0])
    return {"Gt": left > right, "Lt": left < right, "Gte": left >= right, "Lte": left <= right}[one["operator"]]


def selector_holds(selector, labels):
    if selector is None:
        return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and \
        all(expression_holds(labels, one) for one in selector.get("matchExpressions", []))


def node_wish_holds(spec, labels):
    """nodeSelector, and one of the required terms of nodeAffinity."""
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    required = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(all(expression_holds(labels, one) for one in term.get("matchExpressions", [])) for term in required["nodeSelectorTerms"])


def tolerates(spec, taints, soft=False):
    """soft: PreferNoSchedule keeps away, too."""
    def covers(toleration, taint):
        if toleration.get("effect") not in (None, "", taint["effect"]):
            return False
        if toleration.get("key") not in (None, "", taint["key"]):
            return False
        return toleration.get("operator", "Equal") == "Exists" or toleration.get("value", "") == taint.get("value", "")
    hard = [taint for taint in taints if soft or taint["effect"] != "PreferNoSchedule"]
    return all(any(covers(one, taint) for one in spec.get("tolerations", [])) for taint in hard)


# ---- pods, pools, nodes ----


@dataclass(eq=False)
class Pod:
    name: str
    workload: str
    namespace: str
    labels: dict
    spec: dict
    requests: dict

    def terms(self, kind):
        return self.spec.get("affinity", {}).get(kind, {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])

    def spreads(self):
        return [one for one in self.spec.get("topologySpreadConstraints", []) if one["whenUnsatisfiable"] == "DoNotSchedule"]

    def host_ports(self):
        return [port["hostPort"] for container in self.spec["containers"] for port in container.get("ports", []) if "hostPort" in port]

    @functools.cached_property
    def wish(self):
        """What of it chooses among nodes, to compare pods by."""
        return json.dumps([self.spec.get(key) for key in ("nodeSelector", "affinity", "tolerations")])


@dataclass(eq=False)
class Place:
    """A node of a plan: what it may become, or what it is, and the pods that are on it at the end."""
    name: str
    labels: list  # one for each offering that is left; of a node that exists one
    taints: list
    pods: list = field(default_factory=list)
    new: list = field(default_factory=list)  # of pods, those that this plan placed
    pool: dict = None
    offerings: list = field(default_factory=list)
    usd: float = 0.0

    def domains(self, key):
        if key == HOST:
            return {self.name}
        return {one[key] for one in self.labels if key in one}


def expand(documents):
    """Pods, and one pod for each DaemonSet."""
    pods, daemons = [], []
    for document in documents:
        meta, spec = document["metadata"], document["spec"]
        namespace = meta.get("namespace", "default")
        if document["kind"] == "Pod":
            name = f"{namespace}/{meta['name']}"
            pods.append(Pod(name, name, namespace, meta.get("labels", {}), spec, requests_of(spec)))
            continue
        template = spec["template"]
        labels, inner, workload = template["metadata"]["labels"], template["spec"], f"{namespace}/{meta['name']}"
        amounts = requests_of(inner)
        if document["kind"] == "DaemonSet":
            daemons.append(Pod(workload, workload, namespace, labels, inner, amounts))
            continue
        pods += [Pod(f"{workload}-{i}", workload, namespace, labels, inner, amounts) for i in range(spec.get("replicas", 1))]
    return pods, daemons


def labels_of_type(one):
    """What the provider for AWS says of a type; nothing where it says nothing."""
    family, _, size = one["name"].partition(".")
    parts = re.match(r"([a-z]+)(?:-[0-9]+tb)?([0-9]+)", one["name"])
    gpus, accelerators = one.get("gpus") or {}, one.get("accelerators") or {}
    own = {"category": parts and parts[1], "generation": parts and parts[2], "family": family, "size": size, "cpu": one["vcpus"], "memory": one["memory_mib"],
           "cpu-manufacturer": one["cpu_manufacturer"], "cpu-sustained-clock-speed-mhz": one.get("cpu_clock_mhz"), "ebs-bandwidth": one["ebs_mbps"],
           "network-bandwidth": one["network_mbps"], "local-nvme": one["local_nvme_gb"], "hypervisor": one["hypervisor"],
           "encryption-in-transit-supported": str(one["encryption_in_transit"]).lower(), "capability-flex": str("-flex" in family).lower(),
           "gpu-name": gpus.get("name"), "gpu-manufacturer": gpus.get("manufacturer"), "gpu-count": gpus.get("count"), "gpu-memory": gpus.get("memory_mib"),
           "accelerator-name": accelerators.get("name"), "accelerator-manufacturer": accelerators.get("manufacturer"),
           "accelerator-count": accelerators.get("count")}
    labels = {AWS + "instance-" + key: str(value) for key, value in own.items() if value or (value == 0 and key in ("cpu-sustained-clock-speed-mhz", "gpu-count"))}
    return {**labels, TYPE: one["name"], ARCH: one["arch"][0], "kubernetes.io/os": "linux"}


class Inputs:
    """A case. capacity: by node class and type, what nodes have and can give away, as the peer's formulas have it."""

    def __init__(self, case, capacity):
        self.pods, self.daemons = expand(case["pods"])
        self.by_name = {pod.name: pod for pod in self.pods}
        self.pools = {one["metadata"]["name"]: one for one in case["config"] if one["kind"] == "NodePool"}
        self.types = {one["name"]: one for one in case["catalog"]["types"]}
        self.type_labels = {name: labels_of_type(one) for name, one in self.types.items()}
        self.region = case["catalog"]["region"]
        self.capacity = capacity
        self.prices = {}
        for name, zone, spot in case["catalog"]["zones"]:
            one = self.types[name]
            if one["spot"] and (spot is not None or one["usd_per_hour"] is not None):
                self.prices[name, zone, "spot"] = one["usd_per_hour"] if spot is None else spot
            if one["on_demand"] and one["usd_per_hour"] is not None:
                self.prices[name, zone, "on-demand"] = one["usd_per_hour"]
        self.sold = {pool: self.offerings_of(pool) for pool in self.pools}
        self.existing = self.read_nodes(case["nodes"])

    def offerings_of(self, pool):
        """Labels of every offering that the pool may buy."""
        template = self.pools[pool]["spec"]["template"]
        own = {**template.get("metadata", {}).get("labels", {}), "karpenter.sh/nodepool": pool, "topology.kubernetes.io/region": self.region}
        found = {}
        for offering in self.prices:
            name, zone, capacity_type = offering
            labels = {**self.type_labels[name], ZONE: zone, CAPACITY_TYPE: capacity_type, **own}
            if all(expression_holds(labels, one) for one in template["spec"].get("requirements", [])):
                found[offering] = labels
        return found

    def taints_of(self, pool):
        return self.pools[pool]["spec"]["template"]["spec"].get("taints", [])

    def room(self, pool, name, what="allocatable"):
        return self.capacity[self.pools[pool]["spec"]["template"]["spec"]["nodeClassRef"]["name"]][name][what]

    def daemons_on(self, labels, taints):
        return [one for one in self.daemons if tolerates(one.spec, taints) and node_wish_holds(one.spec, labels)]

    def read_nodes(self, documents):
        places = {}
        for one in documents:
            if one["kind"] == "Node":
                place = Place(one["metadata"]["name"], [one["metadata"]["labels"]], one["spec"].get("taints", []))
                place.room = {name: quantity(amount) for name, amount in one["status"]["allocatable"].items()}
                place.capacity = {name: quantity(amount) for name, amount in one["status"]["capacity"].items()}
                place.daemons = []
                places[place.name] = place
        for one in documents:
            if one["kind"] == "Pod":
                meta, spec = one["metadata"], one["spec"]
                pod = Pod(f"{meta['namespace']}/{meta['name']}", "", meta["namespace"], meta["labels"], spec, requests_of(spec))
                places[spec["nodeName"]].pods.append(pod)
                if any(owner["kind"] == "DaemonSet" for owner in meta.get("ownerReferences", [])):
                    places[spec["nodeName"]].daemons.append(pod)
        return places
