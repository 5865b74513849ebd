# SPDX-License-Identifier: Apache-2.0
"""The class has changed: `forerun run` replaces what was launched from the old one, first the new and then the old, one at a time."""

import json
import time

import pytest
from running import Forerun, Queue, write_config

WANTED = 2  # beside this host


@pytest.fixture
def queue():
    found = Queue(pace_s=None)
    yield found
    found.close()


@pytest.fixture
def start(ec2_world, queue, tmp_path):
    """start(tags): `forerun run` with a class of these tags; again for the next life of the same core."""
    running = []

    def starter(tags):
        config = write_config(tmp_path / "config", ec2_world.world, queue.port, most=WANTED + 1, capacity="on-demand",
                              disruption='{consolidateAfter: Never, budgets: [{nodes: "1"}]}')
        text = (config / "class.yaml").read_text()
        (config / "class.yaml").write_text(text.replace("tags: {service: web}", f"tags: {tags}"))
        policy = (config / "policy.yaml").read_text()
        (config / "policy.yaml").write_text(policy.replace("minReplicas: 1", f"minReplicas: {WANTED + 1}"))
        running.append(Forerun(config, tmp_path / "state", ec2_world.environment(HOME=str(tmp_path))))
        return running[-1].ready()

    yield starter
    for forerun in running:
        forerun.kill()


def test_a_changed_class_is_rolled_out_within_the_budget(start, ec2_world):
    forerun = start("{service: web}")
    forerun.wait(lambda: len(ec2_world.ledger(alive=True)) == WANTED, "both instances")
    forerun.wait(lambda: [n["serving"] for n in json.loads(forerun.get("/v1/status")[1])["nodes"]] == [True] * WANTED, "both serve")
    old = {e["id"] for e in ec2_world.ledger()}
    forerun.kill()
    forerun = start("{service: web, stage: two}")
    alive, most_gone_at_once = [], 0
    until = time.monotonic() + 120
    while time.monotonic() < until:
        now = {e["id"] for e in ec2_world.ledger(alive=True)}
        alive.append(len(now))
        status = json.loads(forerun.get("/v1/status")[1])
        most_gone_at_once = max(most_gone_at_once, len(status["leaving"]))
        if not now & old and len(now) == WANTED:
            break
        time.sleep(0.2)
    assert not {e["id"] for e in ec2_world.ledger(alive=True)} & old, status["giving"]
    assert min(alive) == WANTED and max(alive) == WANTED + 1  # the new one first, and one at a time
    assert most_gone_at_once == 1
    retired = [d for d in json.loads(forerun.get("/v1/decisions")[1])["decisions"] if d["kind"] == "retire"]
    assert len(retired) == WANTED
    assert all("its EC2NodeClass has changed since it was launched" in json.dumps(d) for d in retired)
    found = forerun.get("/metrics")[1]
    assert 'forerun_disruptions_total{reason="drifted"} 2' in found
    assert 'forerun_disruption_budget{pool="web",reason="drifted"} 1' in found
