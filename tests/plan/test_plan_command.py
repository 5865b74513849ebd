# SPDX-License-Identifier: Apache-2.0
"""forerun plan as a person calls it: exit codes, the table, JSON, and mistakes with their place."""

import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORERUN = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve() / "forerun"
CONFIG = ROOT / "deploy/examples/standalone"
PODS = ROOT / "deploy/examples/plan/pods.yaml"

POD = """apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {containers: [{name: a, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}
"""


def plan(*arguments, text=None):
    return subprocess.run([FORERUN, "plan", *arguments], capture_output=True, text=True, input=text, timeout=60)


def test_the_example_of_the_readme_is_as_it_says():
    done = plan("--config", CONFIG, "--pods", PODS, "--state-dir", "/nonexistent")
    assert done.returncode == 1, done.stderr
    readme = (ROOT / "README.md").read_text()
    for line in done.stdout.splitlines():
        if "planned in" in line:
            line = line.split(", planned in")[0]
        assert line in readme, line


def test_all_placed_is_0_and_json_says_so():
    done = plan("--config", CONFIG, "--pods", "-", "--output", "json", text=POD)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["totals"]["pods"], found["totals"]["placed"], found["totals"]["nodes"]) == (1, 1, 1)
    node = found["nodes"][0]
    assert node["pods"] == ["default/one"]
    assert node["requests"] == {"cpu": 0.5, "memory": 2**30, "pods": 1}
    assert node["usd_per_hour"] == min(usd for _, _, _, usd in node["offerings"])
    assert len(node["types"]) <= 60 and {offering[0] for offering in node["offerings"]} == set(node["types"])


def test_room_that_is_there_goes_first(tmp_path):
    nodes = {"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here", "labels": {"kubernetes.io/hostname": "here"}},
         "status": {"allocatable": {"cpu": "1", "memory": "2Gi", "pods": "10"}}}]}
    (tmp_path / "nodes.json").write_text(json.dumps(nodes))
    done = plan("--config", CONFIG, "--pods", "-", "--nodes", tmp_path / "nodes.json", "--output", "json", text=POD)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["existing"] == [{"name": "here", "pods": ["default/one"]}]
    assert (found["nodes"], found["totals"]["usd_per_hour"]) == ([], 0)


def test_mistakes_have_their_place():
    done = plan("--config", CONFIG, "--pods", "-", text=POD.replace("500m", "half"))
    assert done.returncode == 2
    assert '-:4:59: spec.containers[0].resources.requests.cpu: found "half"' in done.stderr
    assert plan("--config", CONFIG, "--pods", "/nonexistent").returncode == 2
    assert "expected a directory" in plan("--pods", PODS).stderr
    assert "--refresh: found together with --catalog" in plan("--config", CONFIG, "--pods", PODS, "--refresh", "--catalog", "x").stderr


def test_more_than_any_type_has_is_no_mistake():
    done = plan("--config", CONFIG, "--pods", "-", text=POD.replace("1Gi", "40Ti"))
    assert done.returncode == 1
    assert "asks for 4.096e+04 GiB of memory, the largest type" in done.stdout


def test_a_replica_of_a_policy_is_alone_on_its_node(tmp_path):
    for one in CONFIG.iterdir():
        (tmp_path / one.name).write_text(one.read_text().replace("  name: web\nspec:\n  scaleTargetRef", "  name: web\n  annotations: {forerun.dev/replica: one}\nspec:\n  scaleTargetRef")
                                         .replace("minReplicas: 1", "minReplicas: 3"))
    (tmp_path / "pod.yaml").write_text(POD)
    done = plan("--config", tmp_path, "--output", "json")
    assert done.returncode == 0, done.stderr
    assert sorted(node["pods"] for node in json.loads(done.stdout)["nodes"]) == [["default/one-0"], ["default/one-1"], ["default/one-2"]]
