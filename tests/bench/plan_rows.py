# SPDX-License-Identifier: Apache-2.0
"""Benches of planning: forerun and Karpenter's own scheduler, one process each, on the same pods and all types that forerun ships."""

import json
import shutil
import statistics
import subprocess
import sys

from parts import BUILD, ROOT, TOOLS, progress

sys.path.insert(0, str(ROOT / "tests/plan"))
import compare  # noqa: E402
import mix  # noqa: E402
from inputs import Inputs  # noqa: E402
from verify import verify  # noqa: E402

CATALOG = compare.CATALOG
PODS = (1_000, 5_000, 10_000)
GENERATED = 240


def whole(command, output):
    """A process from its start to its end: its processor time, user and system, and the most memory that it held."""
    used = output.with_suffix(".used")
    with open(output, "wb") as out:
        done = subprocess.run([TOOLS / "measure", used, *command], stdout=out, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(output.read_text()), json.loads(used.read_text())


def types_a_node(plan):
    return statistics.mean(len(one["types"]) for one in plan["nodes"])


def checked(case, capacity, plan, who):
    """Karpenter's scheduler may err, and then it says so in the row; forerun may not."""
    wrong = verify(Inputs(case, capacity), plan)
    if wrong and who == "forerun":
        raise RuntimeError(f"forerun's plan of {len(case['pods'])} pods is wrong: {wrong[:3]}")
    return len(wrong)


def planned(command, directory, count, who, case, capacity):
    options = ["--pods", directory / "pods.json", "--config", directory / "config", "--catalog", CATALOG]
    plan, used = whole([*command, *options], directory / f"{who}.json")
    if plan["unschedulable"]:
        raise RuntimeError(f"{who} places {plan['totals']['placed']} of {count} pods")
    return {**used, "usd": plan["totals"]["usd_per_hour"], "nodes": len(plan["nodes"]), "types_a_node": types_a_node(plan),
            "mistakes": checked(case, capacity, plan, who)}, plan


def bench_plan(directory, options):
    catalog = json.loads(CATALOG.read_text())
    found = []
    for count in PODS:
        folder = mix.write(count, 1, directory / f"plan-{count}")
        case, capacity = mix.case(count, 1, catalog), compare.karpenter_capacity(folder / "config", CATALOG)
        progress(f"  {count} pods, forerun")
        ours, _ = planned([BUILD / "forerun", "plan", "--output", "json"], folder, count, "forerun", case, capacity)
        ours["alone"] = alone(folder)
        progress(f"  {count} pods, Karpenter")
        theirs, plan = planned([BUILD / "peers/karpenter"], folder, count, "karpenter", case, capacity)
        loaded, after = plan["usage"]["loaded"], plan["usage"]["planned"]
        theirs["alone"] = {"cpu_seconds": after["cpu_seconds"] - loaded["cpu_seconds"]}
        found.append({"pods": count, "types": len(catalog["types"]), "forerun": ours, "karpenter": theirs})
    return found


def later_pods(folder):
    """A hundred more of the same mix, with names of their own."""
    later = mix.pods(100, 2)
    for one in later:
        one["metadata"]["name"] = "later-" + one["metadata"]["name"]
    path = folder / "later.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": later}))
    return path


def alone(folder):
    """Planning without reading files, and what each pod costs that comes later."""
    config = folder / "config.yaml"
    config.write_text("".join(f"---\n{one.read_text()}\n" for one in sorted((folder / "config").iterdir())))
    done = subprocess.run([TOOLS / "bench_plan", CATALOG, config, folder / "pods.json", later_pods(folder)], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def bench_replan(directory, options):
    return [alone(mix.write(count, 1, directory / f"replan-{count}")) for count in PODS]


def bench_plan_cases(directory, options):
    """The generated cases of make test: what both place alike, and what it costs."""
    folder = directory / "cases"
    ratios, more, dearer, fewer = [], 0, 0, 0
    for one in compare.compare(compare.generated(0, GENERATED - 1, folder)):
        if one.our_wrong:
            raise RuntimeError(f"{one.folder}: {one.our_wrong[0]}")
        if not one.comparable:
            continue
        fewer, more = fewer + bool(one.fewer), more + bool(one.more and not one.fewer)
        if one.alike and one.usd(one.theirs) > 0:
            ratios.append(one.usd(one.ours) / one.usd(one.theirs))
            dearer += one.dearer
    shutil.rmtree(folder)
    return {"cases": GENERATED, "compared": len(ratios), "median": statistics.median(ratios), "worst": max(ratios), "best": min(ratios), "dearer": dearer,
            "places_more": more, "places_fewer": fewer}


def bench_consolidate(directory, options):
    done = subprocess.run([TOOLS / "bench_disrupt"], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def rows(results):
    def reached(yes):
        return "yes" if yes else "NO"

    for one in results.get("plan", []):
        ours, theirs = one["forerun"], one["karpenter"]
        cpu, memory = theirs["cpu_s"] / ours["cpu_s"], ours["mib"] / theirs["mib"]
        yield (f"planning {one['pods']:,} pods × {one['types']:,} types, whole process: CPU, Karpenter's", f"{ours['cpu_s']:.3f} s, {theirs['cpu_s']:.1f} s: {cpu:.0f}×",
               "100×", reached(cpu >= 100))
        bare = theirs["alone"]["cpu_seconds"] / ours["alone"]["cpu_seconds"]
        yield ("  planning alone, without reading the files", f"{ours['alone']['cpu_seconds']:.3f} s, {theirs['alone']['cpu_seconds']:.1f} s: {bare:.0f}×", "100×",
               reached(bare >= 100))
        yield ("  most memory of the process", f"{ours['mib']:.0f} MiB, {theirs['mib']:.0f} MiB: 1/{1 / memory:.1f}", "1/5", reached(memory <= 0.2))
        yield ("  price, each node at its cheapest", f"{ours['usd']:.2f}, {theirs['usd']:.2f} USD/h: {100 * (ours['usd'] / theirs['usd'] - 1):+.0f} %", "≤ 0 %",
               reached(ours["usd"] <= theirs["usd"]))
        yield ("  nodes; types left open a node; broken constraints", f"{ours['nodes']:,}, {theirs['nodes']:,}; {ours['types_a_node']:.0f}, {theirs['types_a_node']:.0f}; "
               f"{ours['mistakes']}, {theirs['mistakes']}", "", "")
    if r := results.get("plan_cases"):
        yield (f"price in {r['compared']} of {r['cases']} generated cases where both place the same pods: median, worst",
               f"{100 * (r['median'] - 1):+.0f} %, {100 * (r['worst'] - 1):+.1f} %", "-10 %, 0 %", reached(r["median"] <= 0.9 and not r["dearer"]))
        yield ("  places more pods than Karpenter; fewer", f"{r['places_more']}; {r['places_fewer']}", "fewer: 0", reached(not r["places_fewer"]))
    for one in results.get("replan", []):
        yield (f"replanning {one['pods']:,} pods after one more, p50 / p99 of {one['later']}", f"{one['later_ms']:.3f} / {one['later_ms_p99']:.3f} ms", "1 ms",
               reached(one["later_ms_p99"] <= 1))
    if r := results.get("consolidate"):
        for name, what in (("half_empty", "half empty, until the budget is used up"), ("full_and_cheap", "nothing to save, every node asked about")):
            yield (f"consolidation search over {r['nodes']:,} nodes, {what}: CPU, questions", f"{r[name]['ms']:.1f} ms, {r[name]['questions']:,}", "100 ms",
                   reached(r[name]["ms"] <= 100))


BENCHES = {"plan": bench_plan, "plan_cases": bench_plan_cases, "replan": bench_replan, "consolidate": bench_consolidate}
