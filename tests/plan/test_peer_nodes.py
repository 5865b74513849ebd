# SPDX-License-Identifier: Apache-2.0
"""What the peer and the verifier know of instance types is what Karpenter's provider for AWS recorded of them (tests/peers/karpenter-types)."""

import gzip
import json
import shutil

import pytest
import yaml

import compare
from generator import AWS
from inputs import labels_of_type

RECORDED = compare.ROOT / "tests/peers/karpenter-types"


@pytest.fixture(scope="module")
def recorded():
    """labels by type, and capacity and allocatable by class and type."""
    labels, nodes, current = {}, {}, None
    for line in gzip.decompress((RECORDED / "types.txt.gz").read_bytes()).decode().splitlines():
        first, *words = line.split(" ")
        if first == "label":
            labels[words[0]] = dict(word.split("=", 1) for word in words[1:])
        elif first == "class":
            current = nodes.setdefault(words[0], {})
        else:
            have = {"cpu": int(words[0]) / 1000, "memory": int(words[1]), "ephemeral-storage": int(words[2]), "pods": int(words[3])}
            free = {"cpu": int(words[4]) / 1000, "memory": int(words[5]), "ephemeral-storage": int(words[6]), "pods": int(words[3])}
            devices = {name: int(count) for name, _, count in (word.partition("=") for word in words[7:])}
            current[first] = (have | devices, free | devices)
    return labels, nodes


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    config = tmp_path_factory.mktemp("config")
    shutil.copy(RECORDED / "classes.yaml", config)
    return compare.karpenter_nodes(config, compare.CATALOG)


def is_modelled(one):
    """No generated case has settings of Karpenter itself or network interfaces, so the peer leaves them at their defaults."""
    return "annotations" not in one["metadata"] and "networkInterfaces" not in one["spec"]


def near(left, right):
    return left.keys() == right.keys() and all(abs(left[name] - right[name]) < 1e-6 for name in left)


def test_nodes_have_what_karpenter_says(recorded, peers):
    classes = {one["metadata"]["name"]: one for one in yaml.safe_load_all((RECORDED / "classes.yaml").read_text())}
    assert classes.keys() == recorded[1].keys() == peers["capacity"].keys()
    compared, wrong = 0, []
    for name in (name for name, one in classes.items() if is_modelled(one)):
        for kind, node in peers["capacity"][name].items():
            if kind in recorded[1][name]:
                compared += 1
                have, free = ({key: amount for key, amount in part.items() if amount} for part in recorded[1][name][kind])
                free = {key: amount for key, amount in free.items() if key in node["allocatable"] or amount}
                if not near(node["capacity"], have) or not near(node["allocatable"], free):
                    wrong.append(f"{name} {kind}: {node}, expected {have}, {free}")
    assert compared > 10_000
    assert not wrong, f"{len(wrong)}: {wrong[:5]}"


def test_nodes_are_called_what_karpenter_says(recorded, peers):
    types = {one["name"]: one for one in json.loads(compare.CATALOG.read_text())["types"]}
    wrong = []
    for name, expected in recorded[0].items():
        if name not in types:
            continue
        prefix = AWS + "instance-"
        verifiers = {key.removeprefix(prefix): value for key, value in labels_of_type(types[name]).items() if key.startswith(prefix)}
        theirs = {key.removeprefix("instance-"): value for key, value in peers["labels"][name].items() if value}
        expected = {key: value for key, value in expected.items() if value}
        if verifiers != expected or theirs != expected:
            wrong.append(f"{name}: {set(verifiers.items()) ^ set(expected.items())}, {set(theirs.items()) ^ set(expected.items())}")
    assert not wrong, f"{len(wrong)}: {wrong[:5]}"
