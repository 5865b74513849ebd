# SPDX-License-Identifier: Apache-2.0
"""docs/exactly-once.md as two Promela models: spin looks at every order of events, within bounds on how often each thing fails.

What is left out of the argument must be found by it: each broken variant has to be refuted.
"""

import pathlib
import re
import subprocess

import pytest

ONCE = pathlib.Path(__file__).with_name("once.pml")
BUDGETS = ("CRASHES", "LOSSES", "STEALS", "PARTIALS", "REFUSALS", "GROWTHS")
SHARED = pathlib.Path(__file__).with_name("shared.pml")
SHARED_BUDGETS = ("CRASHES", "STEALS", "UNSURE")


def search(directory, budget, variant=None, model=ONCE, names=BUDGETS):
    """Every state within that budget; what spin's verifier says."""
    flags = [f"-D{name}={count}" for name, count in zip(names, budget, strict=True)] + ([f"-D{variant}"] if variant else [])
    subprocess.run(["spin", "-a", *flags, str(model)], cwd=directory, check=True, capture_output=True, timeout=60)
    subprocess.run(["gcc", "-w", "-O2", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=1500", "-o", "pan", "pan.c"], cwd=directory, check=True, timeout=60)
    done = subprocess.run(["./pan", "-m100000", "-n"], cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout


@pytest.mark.parametrize("budget", [
    (2, 0, 0, 0, 0, 1), (1, 1, 0, 0, 1, 1), (0, 1, 1, 0, 0, 1), (0, 0, 2, 0, 0, 1), (0, 0, 1, 1, 1, 0), (1, 0, 0, 1, 1, 1), (1, 0, 1, 0, 0, 0)],
    ids=lambda budget: ",".join(f"{count} {name.lower()}" for name, count in zip(BUDGETS, budget, strict=True) if count))
def test_nothing_is_launched_twice_and_nothing_is_lost(tmp_path, budget):
    said = search(tmp_path, budget)
    assert "errors: 0" in said and "Search not completed" not in said, said
    assert int(re.search(r"(\d+) states, stored", said)[1]) > 10_000, "it has looked at something"


def test_the_record_only_saves_time(tmp_path):
    said = search(tmp_path, (1, 1, 0, 0, 1, 1), "NO_RECORD")
    assert "errors: 0" in said and "Search not completed" not in said, said


@pytest.mark.parametrize("variant", ["NO_HOLD", "OWN_TOKENS", "SKIP_REFUSED", "NEW_TOKEN_RETRY", "TRUST_RECORD"])
def test_a_broken_rule_is_found_out(tmp_path, variant):
    said = search(tmp_path, (1, 1, 0, 0, 1, 1), variant)
    assert "assertion violated (total<=wanted)" in said, said


@pytest.mark.parametrize("budget", [(1, 1, 0), (1, 0, 1), (0, 1, 1)],
                         ids=lambda budget: ",".join(f"{count} {name.lower()}" for name, count in zip(SHARED_BUDGETS, budget, strict=True) if count))
def test_a_limit_of_several_lanes_is_held_and_used(tmp_path, budget):
    said = search(tmp_path, budget, model=SHARED, names=SHARED_BUDGETS)
    assert "errors: 0" in said and "Search not completed" not in said, said
    assert int(re.search(r"(\d+) states, stored", said)[1]) > 10_000, "it has looked at something"


@pytest.mark.parametrize("variant", ["NO_PROMISE", "FORGET_BEFORE", "FORGET_ORDERS", "FORGET_YOUNG", "TRUST_UNSURE", "LAUNCH_FIRST"])
def test_without_the_promise_the_limit_is_passed(tmp_path, variant):
    said = search(tmp_path, (1, 1, 1), variant, model=SHARED, names=SHARED_BUDGETS)
    assert "assertion violated (total<=3)" in said, said
