# SPDX-License-Identifier: Apache-2.0
"""Forerun accepts and refuses what the definitions of NodePool and EC2NodeClass do: the real API server evaluates their rules."""

import json
import pathlib
import re

import pytest

from broken import ACCEPTED, BROKEN, STRICTER
from crd_server import CrdServer
from documents import CLASS, POOL, STATIC, changed, kind_of, meaning, said, split, write
from mutations import mutations, places

# Plain scalars of YAML 1.1 that are numbers, booleans or nothing in one decoder and strings in another.
SCALARS = ["10", "+10", "1_0", "1__0", "_10", "10_", "0x0a", "0X0A", "0x", "0xg", "012", "08", "0o12", "0o8", "0b1010", "0b2", "10.0", "10.", ".5", "1e1", "1E+1",
           "1e", "1.5", "-0", "-", ".inf", "-.INF", ".nan", "1:30", "1,000", "yes", "Yes", "no", "on", "OFF", "y", "N", "true", "TRUE", "tRue", "~", "null",
           "Null", "NULL", "", "2026-01-31", "2026-01-31T12:00:00Z", "=", "1.2.3", "0.0.0.0", "9" * 30, "0x" + "f" * 20, "'10'", '"yes"', "!!str 10",
           "10 # ten", "infinity", "nan", "0x1p3", "v1", "e5", "0.", "00", "0_0", "-012", "+", "+.5"]
PLACES = {
    "a whole number": (POOL, "weight: 10", "weight: "),
    "a string": (POOL, "    metadata:\n      labels:\n        team: web", "    metadata:\n      labels:\n        team: "),
    "a boolean": (CLASS, "associatePublicIPAddress: true", "associatePublicIPAddress: "),
    "a limit": (POOL, "cpu: '100'", "cpu: "),
}

EXAMPLES = sorted((pathlib.Path(__file__).parent / "examples").glob("*.yaml"))
WHOLE = {"a whole pool": POOL, "a whole static pool": STATIC, "a whole class": CLASS}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = CrdServer(tmp_path_factory.mktemp("crd"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def judge(server, tmp_path_factory):
    """name -> (accepted by the server, its object or message, what forerun says), of many documents at once."""
    def of(documents):
        texts = {name: write(document) for name, document in documents.items()}
        answers = said(tmp_path_factory.mktemp("documents"), list(texts.values()))
        return {name: (*server.post(kind_of(text), text), answer) for (name, text), answer in zip(texts.items(), answers)}
    return of


def examples():
    return {f"{path.name}, document {i}": text for path in EXAMPLES for i, text in enumerate(split(path.read_text()), 1)}


def different(verdicts):
    return {name: (object_or_message if not accepted else "accepted", forerun["errors"])
            for name, (accepted, object_or_message, forerun) in verdicts.items() if accepted == bool(forerun["errors"])}


def only_listed(verdicts):
    """Whether forerun alone refuses, each time for a reason that STRICTER has. What else there is fails with it."""
    listed = [pattern for _, pattern, _ in STRICTER.values()]
    wrong = {name: verdict for name, verdict in verdicts.items()
             if verdict[0] != "accepted" or not all(any(re.search(pattern, error) for pattern in listed) for error in verdict[1])}
    assert wrong == {}
    return True


def test_published_examples_have_the_same_verdict(judge):
    verdicts = judge(examples())
    assert len(verdicts) >= 45
    assert different(verdicts) == {}
    # One of them has a version in the group of its class; all others are right.
    assert [name for name, (accepted, _, _) in verdicts.items() if not accepted] == ["windows-custom-userdata.yaml, document 1"]


def test_what_breaks_a_rule_is_refused_by_both(judge):
    verdicts = judge(BROKEN)
    assert len(verdicts) >= 150
    assert [name for name, (accepted, _, _) in verdicts.items() if accepted] == []
    assert different(verdicts) == {}


def test_what_only_looks_broken_is_accepted_by_both(judge):
    verdicts = judge({**WHOLE, **ACCEPTED})
    assert [(name, why) for name, (accepted, why, _) in verdicts.items() if not accepted] == []
    assert different(verdicts) == {}


def test_forerun_alone_refuses_what_is_listed(judge):
    verdicts = judge({name: document for name, (document, _, _) in STRICTER.items()})
    for name, (_, pattern, _) in STRICTER.items():
        accepted, why, forerun = verdicts[name]
        assert accepted, f"{name}: {why}"
        assert len(forerun["errors"]) == 1 and re.search(pattern, forerun["errors"][0]), f"{name}: {forerun['errors']}"


def test_what_the_server_fills_in_means_the_same(judge, tmp_path):
    verdicts = judge({**examples(), **WHOLE, **ACCEPTED})
    accepted = {name: (defaulted, forerun) for name, (accepted, defaulted, forerun) in verdicts.items() if accepted}
    answers = said(tmp_path, [json.dumps(defaulted) for defaulted, _ in accepted.values()])
    for (name, (_, forerun)), answer in zip(accepted.items(), answers):
        assert answer["errors"] == [], name
        assert meaning(answer) == meaning(forerun), name


def test_every_way_to_write_a_scalar_has_the_same_verdict(judge):
    texts = {}
    for place, (base, written, start) in PLACES.items():
        whole = write(base)
        assert whole.count(written) == 1
        texts.update({f"{place}: {scalar}": whole.replace(written, start + scalar) for scalar in SCALARS})
    assert different(judge(texts)) == {}


def test_every_field_with_every_wrong_type_has_the_same_verdict_and_a_place(judge):
    documents = {}
    for name, base in WHOLE.items():
        for path in places(base["spec"]):
            for value in (None, "a text", 7, True, [], {}):
                documents[f"{name}: {'.'.join(map(str, path))} = {value!r}"] = changed(base, (["spec", *path], value))
    verdicts = judge(documents)
    assert len(verdicts) > 1000
    assert only_listed(different(verdicts))
    for name, (_, _, forerun) in verdicts.items():
        for error in forerun["errors"]:
            assert re.match(r"\S+\.yaml:[1-9][0-9]*:[1-9][0-9]*: .*[a-z]", error), f"{name}: {error}"


def test_hundreds_of_random_changes_have_the_same_verdict(judge):
    verdicts = judge(mutations(seed=1, count=900))
    assert only_listed(different(verdicts))
    accepted = sum(1 for accepted, _, _ in verdicts.values() if accepted)
    assert accepted > 150 and len(verdicts) - accepted > 150
