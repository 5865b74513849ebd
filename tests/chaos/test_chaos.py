# SPDX-License-Identifier: Apache-2.0
"""Seeded schedules of deaths, standstills, cut networks and an EC2 that fails, against two cores, a lock and agents.

FORERUN_CHAOS_SCHEDULES says how many; FORERUN_CHAOS_SEED is the first of them. `make chaos` plays more, and
`make chaos SEED=N` one again. What is wrong stays in $BUILD/chaos/seed-N with all books and logs.
"""

import asyncio
import copy
import json
import os
import random

import pytest
from chaos import Run, play_one
from bed import Bed
from schedule import draw
from testbed import BUILD

SCHEDULES = int(os.environ.get("FORERUN_CHAOS_SCHEDULES", 100))
TOGETHER = 8


def test_a_seed_is_always_the_same_schedule():
    for seed in range(200):
        drawn = draw(seed)
        assert drawn == draw(seed) == json.loads(json.dumps(drawn))
        assert drawn["events"] == sorted(drawn["events"], key=lambda event: event[0])


def test_whatever_fails_nothing_is_launched_twice_lost_or_beyond_a_limit():
    first = int(os.environ.get("FORERUN_CHAOS_SEED", random.SystemRandom().randrange(1 << 30)))
    run = Run(range(first, first + SCHEDULES), BUILD / "chaos", TOGETHER, progress=True)
    asyncio.run(run.all())
    print(json.dumps(run.summary()))
    assert not run.failed, "\n".join(f"make chaos SEED={seed}: {problems}" for seed, problems in run.failed.items())
    happened = run.summary()
    assert SCHEDULES < 50 or all(happened[name] > 0 for name in ("launched", "ended", "faults", "deaths", "freezes", "epochs", "mismatches")), happened


def with_a_lost_reply(seed):
    """One core, a demand, and the reply to its call is lost."""
    drawn = copy.deepcopy(draw(seed))
    drawn.update(kind="single", locked=False, cores=["a"], brake={"kind": "none", "value": 0}, sessions=False, length_s=3,
                 services={"web": {"hosts": 1, "most": 10, "down_s": 300, "port": 80}},
                 events=[[0, "fault", {"action": "CreateFleet", "do": "drop_after", "times": 1}], [0.3, "demand", {"service": "web", "replicas": 4}]])
    drawn["lives"] = {"a": []}
    drawn["settings"].update(capacity={}, buckets={})
    return drawn


@pytest.mark.parametrize("honoured", [True, False])
def test_the_books_show_a_launch_that_happened_twice(tmp_path, honoured):
    """An EC2 that ignores ClientTokens launches again for the same order: if that were not found, nothing would be."""

    async def play():
        bed = Bed(tmp_path / "moto.log")
        try:
            await bed.start()
            return await play_one(with_a_lost_reply(1), bed, tmp_path, {"honour_tokens": honoured})
        finally:
            bed.close()

    problems, facts = asyncio.run(play())
    if honoured:
        assert problems == [] and facts["launched"] == 3 and facts["calls"] == 2
    else:
        assert any("alive when" in problem for problem in problems) and any("asked for [3]" in problem for problem in problems), problems
