# SPDX-License-Identifier: Apache-2.0
"""docs/exactly-once.md as a Promela model: spin looks at every order of events, within bounds on how often each thing fails.

What is left out of the argument must be found by it: each broken variant has to be refuted.
"""

import pathlib
import re
import subprocess

import pytest

MODEL = pathlib.Path(__file__).with_name("once.pml")
BUDGETS = ("CRASHES", "LOSSES", "STEALS", "PARTIALS", "REFUSALS", "GROWTHS")


def search(directory, budget, variant=None):
    """Every state within that budget; what spin's verifier says."""
    flags = [f"-D{name}={count}" for name, count in zip(BUDGETS, budget, strict=True)] + ([f"-D{variant}"] if variant else [])
    subprocess.run(["spin", "-a", *flags, str(MODEL)], cwd=directory, check=True, capture_output=True, timeout=60)
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
