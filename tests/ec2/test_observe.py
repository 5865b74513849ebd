# SPDX-License-Identifier: Apache-2.0
"""Observe mode and AWS: it may look, and makes nothing."""

import re
import time


def test_observe_mode_only_reads(start, queue, ec2_world):
    """And asks once whether it would have been allowed to launch."""
    before = {call["n"] for call in ec2_world.log()}
    forerun = start(mode="observe")
    queue.depth = 30
    decision = forerun.decision(closed=False)["id"]
    time.sleep(2)
    calls = [call for call in ec2_world.log() if call["n"] not in before]
    assert "DescribeInstances" in {call["action"] for call in calls}
    acting = [call for call in calls if not re.match(r"^(Describe|Get|List)", call["action"])]
    assert [(call["action"], call["params"].get("DryRun")) for call in acting] == [("CreateFleet", "true")]
    steps = [step["text"] for step in forerun.decision(closed=False)["steps"]]
    assert forerun.decision(closed=False)["id"] == decision
    assert [step for step in steps if "would" in step], steps


def test_without_aws_in_reach_it_observes_all_the_same(start, queue, ec2_world, tmp_path):
    environment = ec2_world.environment(HOME=str(tmp_path), AWS_ENDPOINT_URL="http://127.0.0.1:1")
    forerun = start(mode="observe", environment=environment, ready=False)
    forerun.wait(lambda: forerun.port, "the start line")
    queue.depth = 30
    forerun.wait(lambda: forerun.policy()["wanted"] > 1, "a wish for more")
    assert forerun.get("/readyz")[0] == 200
    assert forerun.get("/healthz")[0] == 200
