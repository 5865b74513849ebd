# SPDX-License-Identifier: Apache-2.0
"""Seeded changes of whole documents: a value replaced, taken out, doubled or put under another name, one to three at a time."""

import copy
import random

from documents import CLASS, POOL, STATIC

# Of every form that a field may have, right and wrong, and at the edges of the rules' ranges.
VALUES = [
    None, True, False, 0, 1, -1, 2, 10, 29, 30, 50, 51, 60, 61, 64, 65, 80, 100, 101, 180, 181, 200, 300, 301, 432000, 432001, 2147483647, 2147483648,
    0.5, 10.0, "", "0", "1", "a", "A", "a b", "-1", "+4", "1.5", "007", "true", "null", "*", "web", "Never", "0s", "30s", "90m", "1h30m", "30d", "1h1h",
    "10%", "100%", "101%", "5", "5.25%", "100.0%", "100.01%", "100m", "1Gi", "1GiB", "-1Gi", ".5", "1.", "1e3", "1E-2", "1e1.5", "20Gi", "59000Gi",
    "59001Gi", "64000G", "17Ti", "18Ti", "58Ti", "63T", "64T", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Gte", "Lte", "NoSchedule",
    "NoExecute", "WhenEmpty", "WhenEmptyOrUnderutilized", "Balanced", "Empty", "Drifted", "@daily", "@yearly", "0 9 * * *", "0 9 * *", "*/5 9-17 1,15 * ?",
    "AL2", "AL2023", "Bottlerocket", "Custom", "Windows2022", "al2023@latest", "al2@v20240101", "bottlerocket@v1.20.3", "windows2019@latest",
    "ami-1", "sg-1", "subnet-1", "cr-1", "cr-", "pg-1", "snap-1", "123456789012", "enabled", "disabled", "required", "optional", "open", "targeted",
    "interface", "efa-only", "RAID0", "gp3", "io2", "karpenter.sh/capacity-type", "karpenter.sh/nodepool", "kubernetes.io/arch", "a/b", "a/b/c", "a.b/c-d_e.f",
    "karpenter.k8s.aws/instance-size", "karpenter.k8s.aws/x", "2026-01-31T12:00:00Z", "2026-01-31", "2026-02-30T12:00:00Z", "2026-01-31T12:00:00.5+01:00",
    [], {}, [None], ["a"], ["1"], ["a", "b"], [1], [{}], {"a": "b"}, {"": "b"}, {"a": ""}, {"a": 1}, {"cpu": "1"}, {"nodes": 5}, {"memory.available": "5%"},
    {"team": "*"}, {"id": "sg-1"}, {"tags": {"a": "b"}},
]
NAMES = ["id", "name", "tags", "owner", "alias", "ssmParameter", "values", "minValues", "value", "key", "effect", "nodes", "schedule", "duration",
         "reasons", "weight", "replicas", "limits", "role", "instanceProfile", "budgets", "kubelet", "rootVolume", "snapshotID", "volumeSize",
         "evictionSoft", "taints", "cpu", "a", "ownerID", "instanceMatchCriteria"]


def places(value, path=()):
    """Every place of a document below spec, but not the strings in lists."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def holder(document, path):
    for part in path[:-1]:
        document = document[part]
    return document


def change(chance, document):
    path = chance.choice([path for path in places(document["spec"])])
    at, last = holder(document["spec"], path), path[-1]
    what = chance.choice(["replace", "replace", "replace", "swap", "swap", "remove", "remove", "add", "double"])
    if what == "replace":
        at[last] = copy.deepcopy(chance.choice(VALUES))
    elif what == "swap":
        other = chance.choice([path for path in places(document["spec"]) if type(holder(document["spec"], path)[path[-1]]) is type(at[last])])
        at[last] = copy.deepcopy(holder(document["spec"], other)[other[-1]])
    elif what == "remove":
        del at[last]
    elif what == "double" and isinstance(at, list):
        at.append(copy.deepcopy(at[last]))
    elif isinstance(at, dict):
        at[chance.choice(NAMES)] = copy.deepcopy(chance.choice(VALUES))
    return f"{what} {'.'.join(map(str, path))}"


def mutations(seed, count):
    chance = random.Random(seed)
    made = {}
    while len(made) < count:
        document = copy.deepcopy(chance.choice([POOL, POOL, STATIC, CLASS, CLASS, CLASS]))
        said = [change(chance, document) for _ in range(chance.choice([1, 1, 1, 1, 2, 3])) if document["spec"]]
        made[f"{len(made)}: {document['kind']}: {', '.join(said)}"] = document
    return made
