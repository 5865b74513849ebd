# SPDX-License-Identifier: Apache-2.0
"""Many schedules, several at a time. `make chaos` plays 1,000; SEED=N plays that one, COUNT=N so many.

    python tests/chaos/chaos.py [--count 1000] [--seed N] [--from N] [--together 8] [--show N] [--keep DIR]

The books and logs of a schedule that failed stay in DIR/seed-N, and its seed plays the same schedule again.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import sys
import time
import traceback

from bed import Bed
from play import Play
from schedule import draw
from testbed import BUILD


async def play_one(seed, bed, directory, settings):
    """(problems, facts). seed: a number, or a schedule of its own."""
    schedule = draw(seed) if isinstance(seed, int) else seed
    play = Play(schedule, bed, pathlib.Path(directory) / f"seed-{schedule['seed']}", **settings)
    try:
        problems = await play.run()
        return problems, play.facts()
    except Exception:  # one world that breaks the harness must not take the others with it
        return [f"the harness failed:\n{traceback.format_exc()}"], {}


class Run:
    def __init__(self, seeds, directory, together, progress=False):
        self.seeds = collections.deque(seeds)
        self.count = len(self.seeds)
        self.directory, self.together, self.progress = pathlib.Path(directory), together, progress
        self.failed, self.facts = {}, []
        self.begun = time.monotonic()

    async def worker(self, bed):
        while self.seeds:
            seed = self.seeds.popleft()
            problems, facts = await play_one(seed, bed, self.directory, {})
            self.facts.append({"seed": seed, **facts})
            if problems:
                self.failed[seed] = problems
                self.say(f"seed {seed} FAILED: {problems[0]}")
                self.say(f"  books and logs: {self.directory / f'seed-{seed}'}; again: make chaos SEED={seed}")
            elif self.progress and len(self.facts) % 10 == 0:
                self.say(f"{len(self.facts)} of {self.count}, {time.monotonic() - self.begun:.0f} s, {len(self.failed)} failed")

    def say(self, text):
        print(text, flush=True)

    async def all(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        bed = Bed(self.directory / "moto.log")
        try:
            await bed.start()
            await asyncio.gather(*[self.worker(bed) for _ in range(self.together)])
        finally:
            bed.close()
        return self

    def summary(self):
        def total(name):
            return sum(facts.get(name, 0) for facts in self.facts)

        names = ("launched", "ended", "calls", "faults", "deaths", "freezes", "epochs", "mismatches")
        return {"schedules": len(self.facts), "failed": sorted(self.failed), "seconds": round(time.monotonic() - self.begun, 1),
                **{name: total(name) for name in names}}


def seeds_of(options):
    if options.seed is not None:
        return [options.seed]
    first = options.first if options.first is not None else random.SystemRandom().randrange(1 << 30)
    return range(first, first + options.count)


def main():
    parser = argparse.ArgumentParser(description="seeded chaos against cores, agents, EC2 and the lock")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--from", dest="first", type=int, help="the first seed; the others count on from it")
    parser.add_argument("--together", type=int, default=8, help="worlds at a time")
    parser.add_argument("--show", type=int, help="print the schedule of that seed and play nothing")
    parser.add_argument("--keep", type=pathlib.Path, default=BUILD / "chaos")
    options = parser.parse_args()
    if options.show is not None:
        print(json.dumps(draw(options.show), indent=1))
        return 0
    seeds = seeds_of(options)
    print(f"seeds {seeds[0]} to {seeds[-1]}", flush=True)
    run = Run(seeds, options.keep, options.together, progress=True)
    asyncio.run(run.all())
    print(json.dumps(run.summary()))
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
