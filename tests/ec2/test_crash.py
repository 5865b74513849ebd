# SPDX-License-Identifier: Apache-2.0
"""kill -9, over and over, at any point of the way from a queue to EC2 and back, while EC2 fails too.

Afterwards EC2 holds exactly what was decided: no instance twice, none that forerun does not know.
FORERUN_CRASH_SEED repeats a run, FORERUN_CRASH_KILLS sets how many.
"""

import json
import os
import random
import shutil
import time

import pytest
from running import Forerun, Queue, write_config
from testbed import Ec2

KILLS = int(os.environ.get("FORERUN_CRASH_KILLS", 200))
KILLS_PER_WORLD = 25  # moto grows slow with what it has seen
PER_INSTANCE = 8
DEPTHS = [0, 0, 12, 30, 60]
FAULTS = [("drop_before", {}), ("drop_after", {}), ("drop_after", {"how": "fin"}), ("garbage", {}), ("truncate", {}),
          ("truncate_xml", {}), ("delay", {"s": 0.3}), ("delay_before", {"s": 0.3}),
          ("error", {"status": 503, "code": "RequestLimitExceeded"}), ("error", {"status": 500, "code": "InternalError"})]


@pytest.fixture(scope="module")
def chance():
    seed = int(os.environ.get("FORERUN_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"FORERUN_CRASH_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def crash_ec2():
    running = Ec2()
    yield running
    running.close()


@pytest.fixture
def crash_queue():
    waiting = Queue(pace_s=0.02)
    yield waiting
    waiting.close()


def begin(world):
    return Forerun(world["config"], world["state"], world["environment"], "--max-launches-per-minute", "100000",
                   "--interval", "50ms")


def faults_for(chance, pid):
    """Up to two failures of EC2, and how the process dies."""
    found = []
    for action in ("CreateFleet", "TerminateInstances"):
        if chance.random() < 0.4:
            do, more = chance.choice(FAULTS)
            found.append({"action": action, "do": do, "times": chance.randint(1, 2), **more})
    when = chance.choice(["any", "any", "before", "after", "replied"])
    if when != "any":
        action = chance.choice(["CreateFleet", "CreateFleet", "TerminateInstances", "DescribeInstances"])
        found.append({"action": action, "do": "kill_client", "when": when, "pid": pid, "s": chance.random() * 0.02,
                      "skip": chance.randint(0, 1)})
    return found


def one_life(ec2, queue, world, chance):
    forerun = begin(world)
    ec2.control(faults=faults_for(chance, forerun.process.pid))
    queue.depth = chance.choice(DEPTHS)
    # A quarter dies before it is up.
    until = time.monotonic() + (chance.uniform(0.05, 0.6) if chance.random() < 0.25 else chance.uniform(0.5, 1.5))
    while forerun.process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    if forerun.process.poll() is not None and forerun.process.returncode != -9:
        pytest.fail(f"ended by itself with {forerun.process.returncode}\n{forerun.stderr()[-4000:]}")
    forerun.kill()


def verify(ec2, queue, world):
    """Without faults it comes to rest; then everything must add up."""
    ec2.control(faults=[])
    queue.depth = 30
    forerun = begin(world)
    try:
        forerun.ready()
        wanted = 30 // PER_INSTANCE + 1

        def at_rest():
            policy = forerun.policy()
            return (policy["replicas"] == wanted == policy["wanted"] and len(ec2.ledger(alive=True)) == wanted - 1
                    and all(d["closed"] or d["launched"] for d in forerun.decisions("scale-up")))

        forerun.wait(at_rest, f"{wanted} replicas and {wanted - 1} instances in EC2 ({len(ec2.ledger(alive=True))} now)", 60)
        time.sleep(0.5)
        assert at_rest(), "it stays so"
        check_books(ec2, forerun)
    finally:
        forerun.kill()


def check_books(ec2, forerun):
    launched = {}
    for entry in ec2.ledger():
        launched.setdefault(entry["tags"]["forerun.dev/decision"], []).append(entry["id"])
    decisions = {d["id"]: d for d in forerun.decisions("scale-up")}
    for decision_id, ids in launched.items():
        done = forerun.explain(decision_id, "--json")
        assert done.returncode == 0, f"{ids} belong to {decision_id}, which the journal does not know: {done.stderr}"
        decision = decisions.get(decision_id) or json.loads(done.stdout)
        decided = decision["replicas"]["decided"] - decision["replicas"]["before"]
        assert len(ids) <= decided, f"{decision_id} decided {decided} and launched {ids}"
        assert decision["launched"] == len(ids), f"{decision_id} knows {decision['launched']} of {ids}"
    for call in ec2.log("CreateFleet") + ec2.log("TerminateInstances"):
        assert call["status"] != 400 and call["model"] is None and call["signature"] is None, call


def test_after_any_number_of_kills_ec2_holds_what_was_decided(crash_ec2, crash_queue, chance, tmp_path):
    kills = 0
    cache = None
    while kills < KILLS:
        crash_ec2.reset()
        base = tmp_path / f"world-{kills}"
        state = base / "state"
        base.mkdir()
        if cache:
            # What types there are and cost is the same everywhere; only the journal is a world's own.
            shutil.copytree(cache, state, ignore=lambda _, names: [n for n in names if n.startswith("journal")])
        world = {"state": state, "environment": crash_ec2.environment(HOME=str(base)),
                 "config": write_config(base / "config", crash_ec2.make_world(), crash_queue.port, down_s=0)}
        if not cache:
            begin(world).ready().kill()
        for _ in range(min(KILLS_PER_WORLD, KILLS - kills)):
            one_life(crash_ec2, crash_queue, world, chance)
            kills += 1
        verify(crash_ec2, crash_queue, world)
        crash_queue.depth = 0
        cache = state
        ledger = crash_ec2.ledger()
        calls = crash_ec2.log("CreateFleet") + crash_ec2.log("TerminateInstances")
        print(f"{kills} kills: {len(ledger)} launched, {len(ledger) - len(crash_ec2.ledger(alive=True))} terminated, "
              f"{sum(c['t_reply'] is None for c in calls)} of {len(calls)} calls without a reply")
