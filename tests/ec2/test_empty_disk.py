# SPDX-License-Identifier: Apache-2.0
"""A start on an empty disk: EC2 itself tells what was launched before, by its tags or by refusing the number."""

import time

LAUNCHED = 3


def lose_journal(forerun, state):
    forerun.kill()
    (state / "journal").unlink()


def comes_to_know(forerun, ec2):
    forerun.wait(lambda: forerun.policy()["replicas"] == LAUNCHED + 1, "all replicas known")
    time.sleep(1.5)
    assert len(ec2.ledger()) == LAUNCHED, "nothing was launched twice"


def test_what_is_shown_counts(start, queue, ec2_world, tmp_path):
    first = start()
    queue.depth = 30
    first.wait(lambda: len(ec2_world.ledger()) == LAUNCHED, "the launch")
    lose_journal(first, tmp_path / "state")
    comes_to_know(start(), ec2_world)
    assert len(ec2_world.log("CreateFleet")) == 1


def test_what_is_not_shown_yet_is_known_by_its_number(start, queue, ec2_world, tmp_path):
    ec2_world.control(hidden_s=6)
    first = start()
    queue.depth = 30
    first.wait(lambda: len(ec2_world.ledger()) == LAUNCHED, "the launch")
    lose_journal(first, tmp_path / "state")
    second = start()
    held = second.decision("held")
    assert "is not of this core: held until EC2 shows its instances" in held["steps"][0]["text"]
    lost = second.decision("scale-up")
    assert lost["launched"] == 0 and any("another launch has this token" in step["text"] for step in lost["steps"])
    comes_to_know(second, ec2_world)
    assert [call["status"] for call in ec2_world.log("CreateFleet")] == [200, 400]
