# SPDX-License-Identifier: Apache-2.0
"""forerun's plan and Karpenter's of the same case, both held to every constraint, then against each other.

python tests/plan/compare.py FOLDER...            cases as generator.py writes them
python tests/plan/compare.py --seeds FIRST LAST   generated into build/cases

Says what is wrong with a plan, and where Karpenter's is better."""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys

import generator
from inputs import Inputs
from verify import verify

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
CATALOG = ROOT / "user/plan/catalog.json"
CENT = 1e-9  # of rounding, in USD an hour
RUNS = 5


def options(folder):
    found = ["--pods", folder / "pods.json", "--config", folder / "config", "--catalog", folder / "catalog.json"]
    return found + (["--nodes", folder / "nodes.json"] if (folder / "nodes.json").exists() else [])


def forerun_plan(folder, binary=None):
    done = subprocess.run([binary or BUILD / "forerun", "plan", *options(folder), "--output", "json"], capture_output=True, text=True, timeout=120)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RuntimeError(f"forerun plan {folder}: {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-2000:]}") from None


def karpenter_plans(folders):
    """One process plans them all."""
    done = subprocess.run([BUILD / "peers/karpenter", "--cases"], input="\n".join(map(str, folders)), check=True, stdout=subprocess.PIPE, text=True, timeout=900)
    return [json.loads(line) for line in done.stdout.splitlines()]


def karpenter_nodes(config, catalog):
    """By "capacity", node class and type what nodes have and can give away; by "labels" and type theirs."""
    return json.loads(subprocess.run([BUILD / "peers/karpenter", "--capacity", "--config", config, "--catalog", catalog], check=True,
                                     stdout=subprocess.PIPE).stdout)


def karpenter_capacity(config, catalog):
    return karpenter_nodes(config, catalog)["capacity"]


def placed(inputs, plan):
    """How many pods of each workload have a place."""
    names = [name for one in plan["nodes"] + plan["existing"] for name in one["pods"]]
    return collections.Counter(inputs.by_name[name].workload for name in names if name in inputs.by_name)


class Comparison:
    """One case. ours, theirs: the plans."""

    def __init__(self, folder, ours, theirs):
        self.folder, self.ours, self.theirs = folder, ours, theirs
        case = generator.read(folder)
        self.inputs = Inputs(case, karpenter_capacity(folder / "config", folder / "catalog.json"))
        self.our_wrong, self.their_wrong = verify(self.inputs, ours), verify(self.inputs, theirs)
        # Within a limit one workload's place is another's: there the sum counts.
        self.limited = any(pool["spec"].get("limits") for pool in self.inputs.pools.values())
        self.our_placed, self.their_placed = placed(self.inputs, ours), placed(self.inputs, theirs)

    @property
    def comparable(self):
        """What a plan costs that breaks a constraint says nothing."""
        return not self.their_wrong

    @property
    def fewer(self):
        """Workloads of which Karpenter places more."""
        if self.limited:
            return {} if self.our_placed.total() >= self.their_placed.total() else {"all": self.their_placed.total() - self.our_placed.total()}
        return dict(self.their_placed - self.our_placed)

    @property
    def more(self):
        return dict(self.our_placed - self.their_placed)

    def by_weight(self, plan):
        """Pods on new nodes, those of the heaviest pools first."""
        found = collections.Counter()
        for one in plan["nodes"]:
            found[self.inputs.pools[one["pool"]]["spec"].get("weight", 1)] += len(one["pods"])
        weights = {pool["spec"].get("weight", 1) for pool in self.inputs.pools.values()}
        return [found[weight] for weight in sorted(weights, reverse=True)]

    @property
    def alike(self):
        """Both place the same, and forerun leaves no heavier pool unused that Karpenter uses less: it goes to a lighter, perhaps cheaper one before a limit
        is reached, since it counts the largest type that a node may become when it is opened."""
        return self.our_placed == self.their_placed and self.by_weight(self.ours) <= self.by_weight(self.theirs)

    @property
    def dearer(self):
        return self.alike and self.usd(self.ours) > self.usd(self.theirs) + CENT

    @staticmethod
    def usd(plan):
        return plan["totals"]["usd_per_hour"]


def middle(plans):
    """Of several plans of one case."""
    ordered = sorted(plans, key=lambda plan: (-plan["totals"]["placed"], plan["totals"]["usd_per_hour"]))
    return ordered[len(ordered) // 2]


def compare(folders, binary=None):
    """One by one. Karpenter takes any of several domains that are alike to it, as Go's maps have it: where its plan is the better one it plans anew, and the
    one in the middle counts."""
    folders = [pathlib.Path(folder).resolve() for folder in folders]
    for folder, theirs in zip(folders, karpenter_plans(folders)):
        ours = forerun_plan(folder, binary)
        found = Comparison(folder, ours, theirs)
        if found.comparable and (found.fewer or found.dearer):
            found = Comparison(folder, ours, middle([theirs, *karpenter_plans([folder] * (RUNS - 1))]))
        yield found


def generated(first, last, into, catalog=CATALOG):
    catalog = json.loads(pathlib.Path(catalog).read_text())
    return [generator.write(generator.generate(seed, catalog), into / f"{seed:04d}") for seed in range(first, last + 1)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    parser.add_argument("--seeds", nargs=2, type=int)
    parser.add_argument("--catalog", type=pathlib.Path, default=CATALOG)
    parser.add_argument("--forerun", type=pathlib.Path)
    chosen = parser.parse_args()
    folders = chosen.folders + (generated(*chosen.seeds, BUILD / "cases", chosen.catalog) if chosen.seeds else [])
    found, ratios = collections.Counter(), []
    for one in compare(folders, chosen.forerun):
        for line in one.our_wrong:
            print(f"{one.folder}: forerun: {line}")
        for line in one.their_wrong:
            print(f"{one.folder}: Karpenter: {line}")
        found["cases"] += 1
        found["forerun's plan is wrong"] += bool(one.our_wrong)
        found["Karpenter's plan is wrong"] += bool(one.their_wrong)
        if not one.comparable:
            continue
        if one.fewer:
            found["Karpenter places more"] += 1
            print(f"{one.folder}: Karpenter places more: {one.fewer}")
        elif one.more:
            found["forerun places more"] += 1
        elif one.dearer:
            found["Karpenter is cheaper"] += 1
            print(f"{one.folder}: Karpenter is cheaper: {one.usd(one.theirs):.4f}, forerun {one.usd(one.ours):.4f}")
        if one.alike and one.usd(one.theirs):
            ratios.append(one.usd(one.ours) / one.usd(one.theirs))
    print(dict(found))
    if ratios:
        ratios.sort()
        print(f"price, forerun to Karpenter: median {ratios[len(ratios) // 2]:.3f}, least {ratios[0]:.3f}, most {ratios[-1]:.3f}, of {len(ratios)}")
    return 1 if found["forerun's plan is wrong"] or found["Karpenter places more"] or found["Karpenter is cheaper"] else 0


if __name__ == "__main__":
    sys.exit(main())
