# SPDX-License-Identifier: Apache-2.0
"""The verifier itself: a plan that is right passes, and each way to spoil it is found."""

import copy

import pytest

from generator import ARCH, CAPACITY_TYPE, HOST, TYPE, ZONE
from inputs import Inputs
from verify import verify

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
ZONES = ["z-a", "z-b", "z-c"]


def instance_type(name, vcpus, price, arch="amd64"):
    return {"name": name, "arch": [arch], "vcpus": vcpus, "memory_mib": vcpus * 4096, "hypervisor": "nitro", "cpu_manufacturer": "intel", "ebs_mbps": 0,
            "network_mbps": 0, "local_nvme_gb": 0, "encryption_in_transit": False, "spot": True, "on_demand": True, "usd_per_hour": price}


TYPES = [instance_type("m5.large", 2, 0.1), instance_type("m5.xlarge", 4, 0.2), instance_type("c6g.large", 2, 0.08, "arm64")]
CATALOG = {"region": "z", "types": TYPES, "zones": [[one["name"], zone, one["usd_per_hour"] / 2] for one in TYPES for zone in ZONES]}


def room(vcpus):
    return {"cpu": vcpus - 0.1, "memory": vcpus * 3.5 * 2**30, "pods": 20, "ephemeral-storage": 17 * 2**30}


CAPACITY = {"default": {one["name"]: {"allocatable": room(one["vcpus"]), "capacity": {**room(one["vcpus"]), "cpu": one["vcpus"]}} for one in TYPES}}


def pool(name, labels=None, **spec):
    weight = spec.pop("weight", 1)
    limits = spec.pop("limits", {})
    requirements = spec.pop("requirements", [{"key": ARCH, "operator": "In", "values": ["amd64"]}])
    return {"kind": "NodePool", "metadata": {"name": name}, "spec": {"weight": weight, "limits": limits, "template": {
        "metadata": {"labels": labels or {}}, "spec": {"nodeClassRef": {"name": "default"}, "requirements": requirements, **spec}}}}


def deployment(name, replicas, kind="Deployment", **spec):
    spec.setdefault("containers", [{"name": "main", "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}}}])
    return {"kind": kind, "metadata": {"name": name, "namespace": "n"},
            "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}}


def selects(name, **more):
    return {"labelSelector": {"matchLabels": {"app": name}}, **more}


PODS = [
    deployment("plain", 2),
    deployment("zonal", 3, topologySpreadConstraints=[selects("zonal", maxSkew=1, topologyKey=ZONE, whenUnsatisfiable="DoNotSchedule")]),
    deployment("apart", 2, affinity={"podAntiAffinity": {REQUIRED: [selects("apart", topologyKey=HOST)]}}),
    deployment("near", 2, affinity={"podAffinity": {REQUIRED: [selects("near", topologyKey=ZONE)]}}),
    deployment("hosts", 2, topologySpreadConstraints=[selects("hosts", maxSkew=1, topologyKey=HOST, whenUnsatisfiable="DoNotSchedule")]),
    deployment("on-demand", 1, nodeSelector={CAPACITY_TYPE: "on-demand"}),
    deployment("dear", 1, tolerations=[{"key": "dedicated", "operator": "Exists"}], nodeSelector={"kind": "dear"}),
    deployment("port", 2, containers=[{"name": "main", "resources": {"requests": {"cpu": "100m"}}, "ports": [{"hostPort": 80}]}]),
    deployment("old", 1, nodeSelector={"age": "old"}),
    deployment("huge", 1, containers=[{"name": "main", "resources": {"requests": {"cpu": "100"}}}]),
    deployment("daemon", 1, kind="DaemonSet", containers=[{"name": "main", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}]),
]
CONFIG = [
    pool("default", weight=10, limits={"cpu": "40"}),
    pool("dear", labels={"kind": "dear"}, taints=[{"key": "dedicated", "value": "yes", "effect": "NoSchedule"}]),
    pool("light", weight=1),
    pool("heavy", weight=5, requirements=[{"key": TYPE, "operator": "In", "values": ["m5.xlarge"]}]),
    pool("many", weight=90, labels={"kind": "many"}, taints=[{"key": "many", "effect": "NoSchedule"}],
         requirements=[{"key": TYPE, "operator": "Exists", "minValues": 2}]),
]
NODES = [{"kind": "Node", "metadata": {"name": "old-1", "labels": {ZONE: "z-a", "age": "old", ARCH: "amd64"}}, "spec": {},
          "status": {"allocatable": {"cpu": "1", "memory": "4Gi", "pods": "10"}, "capacity": {"cpu": "1", "memory": "4Gi", "pods": "10"}}},
         {"kind": "Pod", "metadata": {"name": "there", "namespace": "n", "labels": {"app": "zonal-too"}},
          "spec": {"nodeName": "old-1", "containers": [{"name": "main", "resources": {"requests": {"cpu": "200m"}}}]}}]
CASE = {"catalog": CATALOG, "pods": PODS, "config": CONFIG, "nodes": NODES}


def node(name, pods, zones=("z-a",), types=("m5.large", "m5.xlarge"), capacity_types=("on-demand", "spot"), pool="default"):
    prices = {one["name"]: one["usd_per_hour"] for one in TYPES}
    cheapest = min(prices[one] for one in types) * (0.5 if "spot" in capacity_types else 1)
    return {"name": name, "pool": pool, "pods": [f"n/{pod}" for pod in pods], "usd_per_hour": cheapest, "types": list(types), "zones": list(zones),
            "capacity_types": list(capacity_types)}


def good_plan():
    nodes = [
        node("a", ["plain-0", "zonal-0", "apart-0"]),
        node("b", ["near-0", "zonal-1", "apart-1"], zones=["z-b"]),
        node("c", ["zonal-2", "hosts-0", "port-0"], zones=["z-c"]),
        node("d", ["near-1", "hosts-1", "port-1"], zones=["z-b"]),
        node("e", ["on-demand-0", "plain-1"], zones=ZONES, capacity_types=["on-demand"]),
        node("f", ["dear-0"], zones=ZONES, pool="dear"),
    ]
    plan = {"nodes": nodes, "existing": [{"name": "old-1", "pods": ["n/old-0"]}], "unschedulable": [{"pod": "n/huge-0", "why": "too large"}]}
    return count(plan)


def count(plan):
    plan["totals"] = {"pods": 17, "placed": sum(len(one["pods"]) for one in plan["nodes"] + plan["existing"]), "nodes": len(plan["nodes"]),
                      "usd_per_hour": sum(one["usd_per_hour"] for one in plan["nodes"])}
    return plan


def kinds(plan, case=CASE):
    return {line.split(":")[0] for line in verify(Inputs(case, CAPACITY), plan)}


def test_a_good_plan_passes():
    assert verify(Inputs(CASE, CAPACITY), good_plan()) == []


def by_name(plan, name):
    return next(one for one in plan["nodes"] + plan["existing"] if one["name"] == name)


def move(plan, pod, to):
    for one in plan["nodes"] + plan["existing"]:
        if f"n/{pod}" in one["pods"]:
            one["pods"].remove(f"n/{pod}")
    by_name(plan, to)["pods"].append(f"n/{pod}")


def change(name, **to):
    return lambda plan: by_name(plan, name).update(to)


def own_node(pod, **more):
    def spoil(plan):
        plan["nodes"].append(node("new", [], **more))
        move(plan, pod, "new")
    return spoil


SPOILT = {
    "a pod is nowhere": ("lost", lambda plan: by_name(plan, "a")["pods"].remove("n/plain-0")),
    "a pod is on two nodes": ("twice", lambda plan: by_name(plan, "b")["pods"].append("n/plain-0")),
    "a pod is placed and refused": ("twice", lambda plan: plan["unschedulable"].append({"pod": "n/plain-0", "why": ""})),
    "a pod is invented": ("unknown", lambda plan: by_name(plan, "a")["pods"].append("n/plain-7")),
    "a node is invented": ("unknown", lambda plan: plan["existing"].append({"name": "old-2", "pods": []})),
    "too much for the smaller of the types": ("resources", lambda plan: [move(plan, pod, "a") for pod in ("plain-1",)]),
    "too much for any": ("resources", lambda plan: (move(plan, "huge-0", "a"), plan["unschedulable"].clear())),
    "too much for a node that exists": ("resources", lambda plan: [move(plan, pod, "old-1") for pod in ("plain-0", "plain-1")]),
    "a taint is not tolerated": ("taint", lambda plan: move(plan, "plain-0", "f")),
    "one offering is of another capacity type": ("selector", change("e", capacity_types=["on-demand", "spot"], usd_per_hour=0.05)),
    "a label is missing": ("selector", lambda plan: move(plan, "old-0", "f")),
    "one port twice": ("port", lambda plan: move(plan, "port-1", "c")),
    "a type that the pool does not allow": ("offering", change("a", types=["c6g.large", "m5.large", "m5.xlarge"], usd_per_hour=0.04)),
    "no offering is left": ("offering", change("e", zones=[])),
    "offerings and types do not agree": ("offering", change("a", offerings=[["m5.large", "z-a", "spot", 0.05]])),
    "a node without a pod": ("empty", lambda plan: plan["nodes"].append(node("new", []))),
    "fewer types than minValues": ("min-values", own_node("plain-0", types=["m5.large"], pool="many")),
    "not the cheapest that is left": ("price", change("a", usd_per_hour=0.1)),
    "two of three zones": ("spread", change("c", zones=["z-b"])),
    "a spread pod's zone is open": ("spread", change("c", zones=["z-b", "z-c"])),
    "two of a host spread on one node": ("spread", lambda plan: move(plan, "hosts-1", "c")),
    "a pod is away from its like": ("affinity", lambda plan: move(plan, "near-1", "e")),
    "two that keep apart are together": ("anti-affinity", lambda plan: move(plan, "apart-1", "a")),
    "a node of a lighter pool without need": ("weight", own_node("plain-0", pool="light", types=["m5.large", "m5.xlarge"])),
    "the totals are others": ("totals", lambda plan: plan["totals"].update(usd_per_hour=1.0)),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_plan_is_found(what):
    kind, spoil = SPOILT[what]
    plan = good_plan()
    spoil(plan)
    if kind != "totals":
        count(plan)
    assert kind in kinds(plan)


def test_a_limit_counts_the_largest_type_that_is_left():
    case = copy.deepcopy(CASE)
    case["config"][0]["spec"]["limits"] = {"cpu": "18"}
    assert "limit" in kinds(good_plan(), case)
    small = good_plan()
    for one in small["nodes"]:
        one["types"] = ["m5.large"]
    assert kinds(small, case) == set()


def test_a_daemon_takes_its_share():
    case = copy.deepcopy(CASE)
    next(one for one in case["pods"] if one["metadata"]["name"] == "daemon")["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "500m"
    assert "resources" in kinds(good_plan(), case)


def test_a_pod_that_is_there_counts():
    case = copy.deepcopy(CASE)
    case["nodes"][1]["metadata"]["labels"]["app"] = "zonal"
    assert "spread" not in kinds(good_plan(), case)
    case["nodes"] += [copy.deepcopy(case["nodes"][1])]
    case["nodes"][2]["metadata"]["name"] = "there-too"
    assert "spread" in kinds(good_plan(), case)


def test_a_zone_that_is_not_certain_is_no_zone_without_another():
    case = copy.deepcopy(CASE)
    next(one for one in case["pods"] if one["metadata"]["name"] == "apart")["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"][REQUIRED][0]["topologyKey"] = ZONE
    assert kinds(good_plan(), case) == set()
    plan = good_plan()
    move(plan, "apart-1", "e")
    assert "anti-affinity" in kinds(count(plan), case)
