# SPDX-License-Identifier: Apache-2.0
"""Seeded cases of planning: pods, NodePools, an EC2NodeClass, a part of a catalog, nodes that exist. The same seed is the same case.

python tests/plan/generator.py SEED FOLDER [CATALOG]   writes one out."""

import copy
import json
import pathlib
import random
import sys

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
ARCH = "kubernetes.io/arch"
TYPE = "node.kubernetes.io/instance-type"
AWS = "karpenter.k8s.aws/"
CPU_MILLI = [50, 100, 100, 250, 250, 500, 500, 1000, 1500, 2000, 4000, 8000]
MEMORY_MIB = [64, 128, 256, 512, 512, 1024, 2048, 3072, 4096, 8192, 16384]


def part_of(rng, catalog):
    """Some types in some zones, spot prices drawn anew for each zone."""
    zones = sorted({zone for _, zone, _ in catalog["zones"]})
    zones = sorted(rng.sample(zones, rng.randint(2, min(4, len(zones)))))
    plain = [one for one in catalog["types"] if one["usd_per_hour"] and not one.get("gpus") and not one.get("accelerators")]
    special = [one for one in catalog["types"] if one["usd_per_hour"] and one.get("gpus", {}).get("manufacturer") == "nvidia"]
    types = rng.sample(plain, rng.choice([12, 30, 60, 90])) + rng.sample(special, min(len(special), rng.choice([0, 0, 3, 6])))
    names = {one["name"]: one for one in types}
    lines = []
    for name, zone, spot in catalog["zones"]:
        if name in names and zone in zones:
            price = names[name]["usd_per_hour"]
            lines.append([name, zone, round(price * rng.uniform(0.25, 0.9), 5) if spot is not None or rng.random() < 0.9 else None])
    sold = {name for name, _, _ in lines}
    return {**{key: catalog[key] for key in ("v", "region", "fetched_wall_us", "snapshot")},
            "types": sorted((one for one in types if one["name"] in sold), key=lambda one: one["name"]), "zones": lines}


# ---- NodePools and their class ----


def node_class(rng):
    spec = {"amiSelectorTerms": [{"alias": rng.choice(["al2023@latest", "al2023@latest", "bottlerocket@latest"])}], "role": "nodes",
            "subnetSelectorTerms": [{"tags": {"cluster": "a"}}], "securityGroupSelectorTerms": [{"tags": {"cluster": "a"}}]}
    kubelet = {}
    if rng.random() < 0.2:
        kubelet["maxPods"] = rng.choice([12, 58, 110])
    if rng.random() < 0.1:
        kubelet["podsPerCore"] = rng.choice([4, 10])
    if rng.random() < 0.15:
        kubelet["systemReserved"] = {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "1Gi"}
    if rng.random() < 0.1:
        kubelet["kubeReserved"] = {"cpu": "150m", "memory": "400Mi"}
    if rng.random() < 0.15:
        kubelet["evictionHard"] = {"memory.available": rng.choice(["5%", "500Mi"]), "nodefs.available": "15%"}
    if kubelet:
        spec["kubelet"] = kubelet
    if rng.random() < 0.2:
        spec["instanceStorePolicy"] = "RAID0"
    if rng.random() < 0.25:
        device = "/dev/xvdb" if "bottlerocket" in spec["amiSelectorTerms"][0]["alias"] else "/dev/xvda"
        spec["blockDeviceMappings"] = [{"deviceName": device, "ebs": {"volumeSize": rng.choice(["50Gi", "100Gi"]), "volumeType": "gp3"}}]
    return {"apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": {"name": "default"}, "spec": spec}


def requirements(rng, catalog):
    chosen = [{"key": CAPACITY_TYPE, "operator": "In", "values": rng.choice([["spot", "on-demand"], ["spot", "on-demand"], ["on-demand"], ["spot"]])},
              {"key": ARCH, "operator": "In", "values": rng.choice([["amd64"], ["amd64", "arm64"], ["amd64", "arm64"], ["amd64", "arm64"], ["arm64"]])}]
    zones = sorted({zone for _, zone, _ in catalog["zones"]})
    if rng.random() < 0.5:
        chosen.append({"key": ZONE, "operator": "In", "values": sorted(rng.sample(zones, rng.randint(1, len(zones))))})
    if rng.random() < 0.2:
        chosen.append({"key": AWS + "instance-category", "operator": "In", "values": rng.choice([["c", "m", "r"], ["c", "m", "r", "t"], ["c", "m", "r", "g", "p", "i"]])})
    if rng.random() < 0.25:
        chosen.append({"key": AWS + "instance-cpu", "operator": rng.choice(["Lt", "Lte"]), "values": [rng.choice(["33", "65"])]})
    if rng.random() < 0.25:
        chosen.append({"key": AWS + "instance-generation", "operator": rng.choice(["Gt", "Gte"]), "values": [rng.choice(["2", "4"])]})
    if rng.random() < 0.15:
        chosen.append({"key": AWS + "instance-size", "operator": "NotIn", "values": ["nano", "micro", "metal"]})
    if rng.random() < 0.05:
        chosen.append({"key": AWS + "instance-local-nvme", "operator": rng.choice(["Exists", "DoesNotExist"])})
    if rng.random() < 0.15:
        chosen.append({"key": AWS + "instance-family", "operator": "Exists", "minValues": rng.choice([2, 3])})
    elif rng.random() < 0.1:
        chosen.append({"key": TYPE, "operator": "Exists", "minValues": rng.choice([2, 5])})
    return chosen


def node_pools(rng, catalog):
    pools = []
    count = rng.choice([1, 1, 1, 2, 2, 3])
    weighted = rng.random() < 0.6
    for i in range(count):
        spec = {"nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"}, "requirements": requirements(rng, catalog)}
        labels = {"pool-kind": f"kind-{i}"}
        if i and rng.random() < 0.4:
            spec["taints"] = [{"key": "dedicated", "value": "yes", "effect": rng.choice(["NoSchedule", "NoExecute", "PreferNoSchedule"])}]
        if rng.random() < 0.1:
            spec["startupTaints"] = [{"key": "starting", "effect": "NoSchedule"}]
        pool = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": f"pool-{i}"},
                "spec": {"template": {"metadata": {"labels": labels}, "spec": spec}}}
        if weighted and count > 1:
            pool["spec"]["weight"] = rng.choice([1, 10, 50, 100])
        if rng.random() < 0.12:
            pool["spec"]["limits"] = rng.choice([{"cpu": "256"}, {"cpu": "1000", "memory": "4000Gi"}, {"nodes": "6"}, {"memory": "2000Gi"}])
        pools.append(pool)
    return pools


# ---- pods ----


def container(rng, gpus):
    milli = rng.choice(CPU_MILLI)
    memory = rng.choice([one for one in MEMORY_MIB if one <= max(512, milli * 9)])
    requests = {"cpu": f"{milli}m", "memory": f"{memory}Mi"}
    if rng.random() < 0.08:
        requests["ephemeral-storage"] = f"{rng.choice([1, 4, 10])}Gi"
    if gpus and rng.random() < 0.3:
        requests["nvidia.com/gpu"] = str(rng.choice([1, 1, 2]))
    if rng.random() < 0.05:
        del requests[rng.choice(["cpu", "memory"])]
    return {"name": "main", "image": "example.com/main", "resources": {"requests": requests}}


def expressions(rng, catalog):
    zones = sorted({zone for _, zone, _ in catalog["zones"]})
    return rng.choice([
        [{"key": ZONE, "operator": "In", "values": sorted(rng.sample(zones, rng.randint(1, len(zones))))}],
        [{"key": ZONE, "operator": "NotIn", "values": [rng.choice(zones)]}],
        [{"key": AWS + "instance-cpu", "operator": "Gt", "values": [rng.choice(["3", "7"])]}],
        [{"key": AWS + "instance-memory", "operator": "Lt", "values": [rng.choice(["40000", "140000"])]}],
        [{"key": AWS + "instance-category", "operator": "In", "values": ["c", "m"]}],
        [{"key": AWS + "instance-hypervisor", "operator": "In", "values": ["nitro"]}],
        [{"key": ARCH, "operator": "Exists"}],
        [{"key": AWS + "instance-gpu-name", "operator": "DoesNotExist"}],
        [{"key": CAPACITY_TYPE, "operator": "NotIn", "values": ["spot"]}],
    ])


def place(rng, catalog, spec):
    """Where it may run by labels."""
    zones = sorted({zone for _, zone, _ in catalog["zones"]})
    roll = rng.random()
    if roll < 0.25:
        spec["nodeSelector"] = rng.choice([{ARCH: "amd64"}, {ARCH: "arm64"}, {ZONE: rng.choice(zones)}, {CAPACITY_TYPE: "on-demand"}, {CAPACITY_TYPE: "spot"},
                                           {"kubernetes.io/os": "linux"}, {"pool-kind": "kind-0"}, {AWS + "instance-category": "m"}])
    elif roll < 0.45:
        terms = [{"matchExpressions": expressions(rng, catalog)} for _ in range(rng.choice([1, 1, 2]))]
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    if rng.random() < 0.06:
        preferred = [{"weight": rng.choice([1, 50]), "preference": {"matchExpressions": expressions(rng, catalog)}}]
        spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    if rng.random() < 0.5:
        spec["tolerations"] = rng.choice([[{"key": "dedicated", "operator": "Exists"}], [{"operator": "Exists"}],
                                          [{"key": "dedicated", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
                                          [{"key": "dedicated", "operator": "Equal", "value": "no"}]])


def keep_apart(rng, name, others, spec):
    """Where it may run by other pods."""
    own = {"matchLabels": {"app": name}}
    roll = rng.random()
    affinity = spec.setdefault("affinity", {})
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    if roll < 0.2:
        spread = {"maxSkew": rng.choice([1, 1, 2]), "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own}
        if rng.random() < 0.15:
            spread["minDomains"] = 2
        spec["topologySpreadConstraints"] = [spread]
    elif roll < 0.32:
        spec["topologySpreadConstraints"] = [{"maxSkew": rng.choice([1, 2, 4]), "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own}]
    elif roll < 0.38:
        spec["topologySpreadConstraints"] = [{"maxSkew": rng.choice([1, 3]), "topologyKey": CAPACITY_TYPE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own}]
    elif roll < 0.42:
        spec["topologySpreadConstraints"] = [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": how, "labelSelector": own}
                                             for key, how in ((ZONE, "DoNotSchedule"), (HOST, rng.choice(["ScheduleAnyway", "DoNotSchedule"])))]
    elif roll < 0.52:
        affinity["podAffinity"] = {required: [{"topologyKey": rng.choice([ZONE, ZONE, HOST]), "labelSelector": own}]}
    elif roll < 0.58 and others:
        affinity["podAffinity"] = {required: [{"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": rng.choice(others)}}}]}
    elif roll < 0.68:
        affinity["podAntiAffinity"] = {required: [{"topologyKey": HOST, "labelSelector": own}]}
    elif roll < 0.71:
        affinity["podAntiAffinity"] = {required: [{"topologyKey": ZONE, "labelSelector": own}]}
    elif roll < 0.76 and others:
        affinity["podAntiAffinity"] = {required: [{"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": rng.choice(others)}}}]}
    if not affinity:
        del spec["affinity"]


def workload(rng, catalog, index, others, replicas):
    gpus = any(one.get("gpus") for one in catalog["types"])
    name = f"app-{index}"
    spec = {"containers": [container(rng, gpus)]}
    if rng.random() < 0.08:
        spec["containers"].append({"name": "side", "image": "example.com/side", "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}})
    if rng.random() < 0.06:
        spec["initContainers"] = [{"name": "before", "image": "example.com/before", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]
    place(rng, catalog, spec)
    keep_apart(rng, name, others, spec)
    if rng.random() < 0.1:
        spec["priority"] = rng.choice([-10, 100, 1000])
    if rng.random() < 0.04:
        spec["containers"][0]["ports"] = [{"containerPort": 8080, "hostPort": 8080}]
    if rng.random() < 0.04:
        # Nothing is so large, or so called.
        rng.choice([lambda: spec["containers"][0]["resources"]["requests"].update(cpu="2000"),
                    lambda: spec.update(nodeSelector={ZONE: "nowhere-1a"}), lambda: spec.update(nodeSelector={"no-such-label": "x"})])()
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    if replicas == 1 and rng.random() < 0.5:
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}}, "spec": spec}
    kind = rng.choice(["Deployment", "Deployment", "StatefulSet", "ReplicaSet"])
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}}


def daemon_set(rng, index):
    spec = {"containers": [{"name": "main", "image": "example.com/daemon", "resources": {"requests": {
        "cpu": rng.choice(["25m", "100m"]), "memory": rng.choice(["50Mi", "200Mi"])}}}]}
    roll = rng.random()
    if roll < 0.6:
        spec["tolerations"] = [{"operator": "Exists"}]
    if roll > 0.7:
        spec["nodeSelector"] = rng.choice([{ARCH: "amd64"}, {"pool-kind": "kind-1"}, {"kubernetes.io/os": "linux"}])
    name = f"daemon-{index}"
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": "system"},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}}


# ---- nodes that exist ----


def type_labels(one):
    """Those of AWS's labels that pods of these cases ask for, and a few more."""
    family, size = one["name"].split(".")
    category = family[: len(family) - len(family.lstrip("abcdefghijklmnopqrstuvwxyz"))]
    labels = {TYPE: one["name"], ARCH: one["arch"][0], "kubernetes.io/os": "linux", AWS + "instance-cpu": str(one["vcpus"]),
              AWS + "instance-memory": str(one["memory_mib"]), AWS + "instance-category": category, AWS + "instance-family": family,
              AWS + "instance-size": size}
    if one["hypervisor"]:
        labels[AWS + "instance-hypervisor"] = one["hypervisor"]
    return labels


def existing(rng, catalog, pools, workloads, daemons):
    """Nodes of a pool or of none, with what runs on them."""
    found = []
    for i in range(rng.randint(1, 5)):
        name, zone, _ = rng.choice(catalog["zones"])
        one = next(one for one in catalog["types"] if one["name"] == name)
        if one.get("gpus") or one["vcpus"] > 64:
            continue
        pool = rng.choice(pools + [None])
        node_name = f"node-{i}"
        labels = {**type_labels(one), ZONE: zone, CAPACITY_TYPE: rng.choice(["spot", "on-demand"]), HOST: node_name}
        spec = {"providerID": f"aws:///{zone}/{node_name}"}
        if pool:
            labels.update({"karpenter.sh/nodepool": pool["metadata"]["name"], "karpenter.sh/initialized": "true", "karpenter.sh/registered": "true"})
            labels.update(pool["spec"]["template"]["metadata"]["labels"])
            spec["taints"] = pool["spec"]["template"]["spec"].get("taints", [])
        room = {"cpu": f"{one['vcpus'] * 1000 - 100}m", "memory": f"{int(one['memory_mib'] * 0.85)}Mi", "pods": "29", "ephemeral-storage": "17Gi"}
        found.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name, "labels": labels}, "spec": spec,
                      "status": {"capacity": {**room, "cpu": str(one["vcpus"]), "memory": f"{one['memory_mib']}Mi"}, "allocatable": room}})
        found += placed(rng, node_name, one, workloads, daemons)
    return found


def placed(rng, node_name, one, workloads, daemons):
    """Pods that run there: small ones without wishes, with the labels of a workload of the case, and perhaps a DaemonSet's."""
    found = []
    for j in range(rng.randint(0, min(4, one["vcpus"]))):
        labels = {"app": rng.choice(workloads)["metadata"]["name"]} if rng.random() < 0.5 else {"app": "other"}
        found.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{node_name}-{j}", "namespace": "shop", "labels": labels},
                      "spec": {"nodeName": node_name, "containers": [{"name": "main", "image": "example.com/main", "resources": {
                          "requests": {"cpu": rng.choice(["50m", "100m"]), "memory": rng.choice(["64Mi", "128Mi"])}}}]}, "status": {"phase": "Running"}})
    for daemon in daemons:
        if rng.random() < 0.5 and daemon["spec"]["template"]["spec"].get("tolerations") and not daemon["spec"]["template"]["spec"].get("nodeSelector"):
            template = copy.deepcopy(daemon["spec"]["template"])
            template["spec"]["nodeName"] = node_name
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": f"{daemon['metadata']['name']}-{node_name}", "namespace": "system", "labels": template["metadata"]["labels"],
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": daemon["metadata"]["name"], "uid": "1", "controller": True}]},
                "spec": template["spec"], "status": {"phase": "Running"}})
    return found


def generate(seed, catalog):
    rng = random.Random(seed)
    part = part_of(rng, catalog)
    pools = node_pools(rng, part)
    total = rng.choice([1, 5, 20, 20, 60, 60, 120, 200, 400])
    workloads, left = [], total
    while left > 0 and len(workloads) < 10:
        replicas = left if len(workloads) == 9 else min(left, rng.randint(1, max(1, total // 2)))
        others = [one["metadata"]["name"] for one in workloads]
        workloads.append(workload(rng, part, len(workloads), others, replicas))
        left -= replicas
    daemons = [daemon_set(rng, i) for i in range(rng.choice([0, 0, 1, 2]))]
    case = {"seed": seed, "catalog": part, "config": [*pools, node_class(rng)], "pods": daemons + workloads, "nodes": []}
    if rng.random() < 0.3:
        case["nodes"] = existing(rng, part, pools, workloads, daemons)
    return case


def write(case, folder):
    """In the form that `forerun plan` and the peer read."""
    folder = pathlib.Path(folder)
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "catalog.json").write_text(json.dumps(case["catalog"]))
    for document in case["config"]:
        path = folder / "config" / f"{document['kind'].lower()}-{document['metadata']['name']}.yaml"
        path.write_text(json.dumps(document, indent=1))
    lists = [("pods.json", case["pods"])] + ([("nodes.json", case["nodes"])] if case["nodes"] else [])
    for name, items in lists:
        (folder / name).write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))
    return folder


def read(folder):
    folder = pathlib.Path(folder)

    def items(name):
        return json.loads((folder / name).read_text())["items"] if (folder / name).exists() else []

    return {"catalog": json.loads((folder / "catalog.json").read_text()), "pods": items("pods.json"), "nodes": items("nodes.json"),
            "config": [json.loads(path.read_text()) for path in sorted((folder / "config").iterdir())]}


if __name__ == "__main__":
    write(generate(int(sys.argv[1]), json.loads(pathlib.Path(sys.argv[3]).read_text())), sys.argv[2])
