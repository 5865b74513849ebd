# SPDX-License-Identifier: Apache-2.0
"""The pods of the benches: five kinds of constraint in equal parts, as in Karpenter's own benchmark (scheduling_benchmark_test.go).

python tests/plan/mix.py COUNT SEED FOLDER   writes pods.json and config/"""

import json
import pathlib
import random
import sys

from generator import HOST, ZONE

CPU = ["100m", "250m", "500m", "1000m", "1500m"]
MEMORY = ["100Mi", "256Mi", "512Mi", "1024Mi", "2048Mi", "4096Mi"]
LETTERS = "abcdefg"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def spread(rng, key):
    return {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
                                           "labelSelector": {"matchLabels": {"my-label": rng.choice(LETTERS)}}}]}


def together(labels):
    return {"affinity": {"podAffinity": {REQUIRED: [{"topologyKey": ZONE, "labelSelector": {"matchLabels": labels}}]}}}


def apart(labels):
    return {"affinity": {"podAntiAffinity": {REQUIRED: [{"topologyKey": HOST, "labelSelector": {"matchLabels": labels}}]}}}


def kinds(rng, kind):
    """Labels of a pod and what it asks for of its place."""
    letter = {"my-label": rng.choice(LETTERS)}
    near = {"my-affinity": rng.choice(LETTERS)}
    return {"plain": (letter, {}), "zone-spread": (letter, spread(rng, ZONE)), "host-spread": (letter, spread(rng, HOST)), "zone-affinity": (near, together(near)),
            "host-anti-affinity": ({"app": "nginx"}, apart({"app": "nginx"}))}[kind]


KINDS = ["plain", "zone-spread", "host-spread", "zone-affinity", "host-anti-affinity"]


def pods(count, seed):
    rng = random.Random(seed)
    made = []
    for i in range(count):
        labels, spec = kinds(rng, KINDS[i * len(KINDS) // count])
        requests = {"cpu": rng.choice(CPU), "memory": rng.choice(MEMORY)}
        made.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{i:05d}", "namespace": "default", "labels": labels},
                     "spec": {**spec, "containers": [{"name": "main", "image": "example.com/main", "resources": {"requests": requests}}]}})
    return made


POOL = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "default"}, "spec": {"template": {"spec": {
    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
    "requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand"]},
                     {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}]}}}}
CLASS = {"apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": {"name": "default"}, "spec": {
    "amiSelectorTerms": [{"alias": "al2023@latest"}], "role": "nodes", "subnetSelectorTerms": [{"tags": {"cluster": "a"}}],
    "securityGroupSelectorTerms": [{"tags": {"cluster": "a"}}]}}


def case(count, seed, catalog):
    """As generator.generate() makes them."""
    return {"catalog": catalog, "config": [POOL, CLASS], "pods": pods(count, seed), "nodes": []}


def write(count, seed, folder):
    """Without the catalog: all that is shipped is planned with."""
    folder = pathlib.Path(folder)
    (folder / "config").mkdir(parents=True, exist_ok=True)
    for one in (POOL, CLASS):
        (folder / "config" / f"{one['kind'].lower()}.yaml").write_text(json.dumps(one, indent=1))
    (folder / "pods.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods(count, seed)}))
    return folder


if __name__ == "__main__":
    write(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
