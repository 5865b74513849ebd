# SPDX-License-Identifier: Apache-2.0
"""What forerun says of documents, and documents to say it of: a whole one of each kind, with every field, and how to change them."""

import copy
import json
import re
import subprocess

import yaml

from crd_server import BUILD

GONE = object()

POOL = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {"name": "whole", "labels": {"team": "web"}, "annotations": {"example.com/note": "a note"}},
    "spec": {
        "template": {
            "metadata": {"labels": {"team": "web", "karpenter.k8s.aws/instance-hypervisor": "nitro"}, "annotations": {"example.com/a": "b"}},
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "whole"},
                "requirements": [
                    {"key": "karpenter.k8s.aws/instance-category", "operator": "In", "values": ["c", "m", "r"], "minValues": 2},
                    {"key": "karpenter.k8s.aws/instance-family", "operator": "NotIn", "values": ["m5"]},
                    {"key": "karpenter.k8s.aws/instance-cpu", "operator": "Gt", "values": ["3"]},
                    {"key": "karpenter.k8s.aws/instance-cpu", "operator": "Lt", "values": ["65"]},
                    {"key": "karpenter.k8s.aws/instance-memory", "operator": "Gte", "values": ["4096"]},
                    {"key": "karpenter.k8s.aws/instance-memory", "operator": "Lte", "values": ["262144"]},
                    {"key": "example.com/rack", "operator": "Exists", "minValues": 2},
                    {"key": "karpenter.k8s.aws/instance-gpu-count", "operator": "DoesNotExist"},
                    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand", "reserved"]},
                ],
                "taints": [{"key": "example.com/dedicated", "value": "web", "effect": "NoSchedule"},
                           {"key": "example.com/soft", "effect": "PreferNoSchedule", "timeAdded": "2026-01-31T12:00:00Z"}],
                "startupTaints": [{"key": "example.com/starting", "effect": "NoExecute"}],
                "expireAfter": "168h30m",
                "terminationGracePeriod": "30m",
            },
        },
        "disruption": {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": "1h30m",
            "budgets": [{"nodes": "20%", "reasons": ["Empty", "Drifted"]}, {"nodes": "5"},
                        {"nodes": "0", "schedule": "0 9 * * mon-fri", "duration": "8h", "reasons": ["Underutilized"]},
                        {"schedule": "@daily", "duration": "10m"}],
        },
        "limits": {"cpu": "100", "memory": "400Gi", "nodes": 20, "nvidia.com/gpu": 8},
        "weight": 10,
    },
}

STATIC = copy.deepcopy(POOL)
del STATIC["spec"]["weight"]
STATIC["spec"]["limits"] = {"nodes": 5}
STATIC["spec"]["replicas"] = 3

CLASS = {
    "apiVersion": "karpenter.k8s.aws/v1",
    "kind": "EC2NodeClass",
    "metadata": {"name": "whole"},
    "spec": {
        "amiFamily": "AL2023",
        "amiSelectorTerms": [{"id": "ami-0123456789abcdef0"}, {"name": "web-*", "owner": "self"}, {"tags": {"team": "web", "stage": "*"}},
                             {"ssmParameter": "/images/web"}],
        "subnetSelectorTerms": [{"id": "subnet-0123456789abcdef0"}, {"tags": {"karpenter.sh/discovery": "web"}}],
        "securityGroupSelectorTerms": [{"id": "sg-0123456789abcdef0"}, {"name": "web"}, {"tags": {"team": "*"}}],
        "capacityReservationSelectorTerms": [{"id": "cr-0123456789abcdef0"}, {"tags": {"team": "web"}, "ownerID": "123456789012"},
                                             {"instanceMatchCriteria": "targeted"}],
        "role": "web-instance",
        "userData": "#!/bin/sh\necho hello\n",
        "tags": {"team": "web", "empty": ""},
        "associatePublicIPAddress": True,
        "ipPrefixCount": 2,
        "context": "a-context",
        "detailedMonitoring": True,
        "instanceStorePolicy": "RAID0",
        "metadataOptions": {"httpEndpoint": "enabled", "httpProtocolIPv6": "enabled", "httpPutResponseHopLimit": 2, "httpTokens": "optional"},
        "blockDeviceMappings": [
            {"deviceName": "/dev/xvda", "rootVolume": True,
             "ebs": {"volumeSize": "100Gi", "volumeType": "gp3", "iops": 4000, "throughput": 250, "encrypted": True,
                     "kmsKeyID": "alias/web", "deleteOnTermination": True}},
            {"deviceName": "/dev/xvdb", "ebs": {"snapshotID": "snap-1", "volumeInitializationRate": 200}},
        ],
        "kubelet": {
            "clusterDNS": ["10.0.0.10"], "maxPods": 50, "podsPerCore": 4, "cpuCFSQuota": True,
            "systemReserved": {"cpu": "100m", "memory": "100Mi", "ephemeral-storage": "1Gi", "pid": "1000"},
            "kubeReserved": {"cpu": "200m", "memory": "1Gi"},
            "evictionHard": {"memory.available": "5%", "nodefs.available": "10Gi"},
            "evictionSoft": {"memory.available": "500Mi"}, "evictionSoftGracePeriod": {"memory.available": "1m"},
            "evictionMaxPodGracePeriod": 60, "imageGCHighThresholdPercent": 85, "imageGCLowThresholdPercent": 80,
        },
        "connectionTracking": {"tcpEstablishedTimeout": 350, "udpStreamTimeout": 120, "udpTimeout": 45},
        "cpuOptions": {"nestedVirtualization": "enabled"},
        "networkInterfaces": [{"deviceIndex": 0, "networkCardIndex": 0, "interfaceType": "interface"},
                              {"deviceIndex": 1, "networkCardIndex": 0, "interfaceType": "efa-only"}],
        "placementGroupSelector": {"name": "web"},
    },
}


def changed(base, *edits):
    """A copy with each (path, value) put in; GONE takes it out. A path is "spec.a.0.b" or a list of its parts."""
    whole = copy.deepcopy(base)
    for path, value in edits:
        at = whole
        parts = path.split(".") if isinstance(path, str) else path
        for part in parts[:-1]:
            at = at[int(part) if isinstance(at, list) else part]
        last = int(parts[-1]) if isinstance(at, list) else parts[-1]
        if value is GONE:
            del at[last]
        elif isinstance(at, list) and last == len(at):
            at.append(value)
        else:
            at[last] = value
    return whole


def write(value):
    return value if isinstance(value, str) else yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def kind_of(text):
    return re.search(r"^kind: (\w+)$", text, re.MULTILINE).group(1)


def split(text):
    """The documents of a file as texts."""
    return [part for part in ("\n" + text).split("\n---") if any(line.strip() and not line.strip().startswith("#") for line in part.split("\n"))]


def said(directory, texts):
    """What forerun says of each text: {"errors", "warnings", "pools", "classes"}."""
    files = []
    for i, text in enumerate(texts):
        files.append(directory / f"{i}.yaml")
        files[-1].write_text(text)
    out = []
    for at in range(0, len(files), 500):
        words = [BUILD / "tools/documents_tool", "--meaning", *files[at:at + 500]]
        out += subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(out) == len(texts)
    return [json.loads(line) for line in out]


def meaning(answer):
    """What was read, in an order of its own where order says nothing."""
    def ordered(value):
        if isinstance(value, dict):
            return {key: ordered(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return sorted((ordered(inner) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True))
        return value
    return ordered({"pools": answer["pools"], "classes": answer["classes"]})
