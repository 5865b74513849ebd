# SPDX-License-Identifier: Apache-2.0
"""The books themselves: a ledger that adds up says nothing, and each way of not adding up is found."""

import copy

import books
import pytest

SCHEDULE = {"locked": True, "services": {"web": {"hosts": 1}}, "brake": {"kind": "none", "value": 0},
            "pool": {"types": ["m5.large"], "zones": ["us-east-1a"], "capacity": ["on-demand"]}}
NOTES = [{"what": "demand", "service": "web", "replicas": 3, "t": 10.0}]
WRITES = [(1.0, "a", 1, True), (20.0, "b", 2, True)]


def instance(name, token, at, count=2, epoch=1, decision="d1"):
    tags = {"forerun.dev/policy": "web", "forerun.dev/decision": decision, "forerun.dev/count": str(count), "forerun.dev/epoch": str(epoch)}
    return {"id": name, "token": token, "launched": at, "terminated": None, "type": "m5.large", "zone": "us-east-1a",
            "capacity_type": "on-demand", "tags": tags}


def call(number, client, at, token):
    return {"n": number, "action": "CreateFleet", "client": client, "t_kernel": at, "status": 200, "signature": None, "model": None,
            "params": {"ClientToken": token}}


def good():
    return {"schedule": copy.deepcopy(SCHEDULE), "entries": [instance("i-1", "t-1", 11.0), instance("i-2", "t-1", 11.0)],
            "log": [call(1, "a", 10.9, "t-1")], "notes": copy.deepcopy(NOTES), "writes": list(WRITES), "freezes": []}


def test_what_adds_up_is_right():
    assert books.check(**good()) == []
    assert books.at_rest(SCHEDULE, good()["entries"], {"web": 3}) is None


def one_too_many(case):
    case["entries"].append(instance("i-3", "t-2", 12.0, count=1, decision="d2"))
    case["log"].append(call(2, "a", 11.9, "t-2"))


def before_it_was_asked_for(case):
    case["notes"][0]["t"] = 11.5


def a_token_that_launched_more_than_it_was_for(case):
    for entry in case["entries"]:
        entry["tags"]["forerun.dev/count"] = "1"


def a_token_of_two_decisions(case):
    case["entries"][1]["tags"]["forerun.dev/decision"] = "d2"


def for_nobody(case):
    del case["entries"][0]["tags"]["forerun.dev/decision"]


def after_the_lock_was_lost(case):
    case["log"].append(call(2, "a", 20.5, "t-1"))


def without_the_lock(case):
    case["log"].append(call(2, "b", 15.0, "t-1"))


def while_paused(case):
    case["notes"] += [{"what": "paused", "t": 12.0}, {"what": "resumed", "t": 16.0}]
    case["log"].append(call(2, "a", 14.5, "t-1"))


def an_epoch_that_nobody_took(case):
    case["entries"][0]["tags"]["forerun.dev/epoch"] = "7"


def an_epoch_for_two(case):
    case["writes"][1] = (20.0, "b", 1, True)


def too_many_cpus(case):
    case["schedule"]["brake"] = {"kind": "cpu", "value": 2}


def too_dear(case):
    case["schedule"]["brake"] = {"kind": "usd", "value": 0.1}


def too_fast(case):
    case["schedule"]["brake"] = {"kind": "minute", "value": 1}


def a_wrong_signature(case):
    case["log"][0]["signature"] = "SignatureDoesNotMatch"


@pytest.mark.parametrize("spoil, words", [
    (one_too_many, "3 alive when i-3"), (before_it_was_asked_for, "demand had asked for 0"),
    (a_token_that_launched_more_than_it_was_for, "2 instances, asked for [1]"), (a_token_of_two_decisions, "several decisions"),
    (for_nobody, "without saying for whom"), (after_the_lock_was_lost, "who did not hold the lock"), (without_the_lock, "who did not hold the lock"),
    (while_paused, "while everything was paused"), (an_epoch_that_nobody_took, "carries epoch 7"), (an_epoch_for_two, "from a with epoch 1 to b with epoch 1"), (too_many_cpus, "4 vCPUs"),
    (too_dear, "0.1920 USD an hour"), (too_fast, "2 instances asked for within a minute"), (a_wrong_signature, "SignatureDoesNotMatch"),
])
def test_what_does_not_add_up_is_found(spoil, words):
    case = good()
    spoil(case)
    found = books.check(**case)
    assert any(words in problem for problem in found), found


def test_a_limit_may_be_passed_only_by_what_a_core_alone_forgot_with_its_disk():
    case = good()
    case["schedule"].update(brake={"kind": "cpu", "value": 2}, locked=False)
    for entry, asked in zip(case["entries"], (11.0, 12.0)):
        entry.update(asked={"client": "a", "t_kernel": asked}, launched=asked, hidden_s=0.5)
    died = {"what": "died", "core": "a", "t": 11.5, "empty_disk": True}
    case["notes"].append(died)
    assert not any("vCPUs" in problem for problem in books.check(**case))
    case["schedule"]["locked"] = True
    assert any("vCPUs" in problem for problem in books.check(**case)), "the lock's record tells"
    case["schedule"]["locked"], died["empty_disk"] = False, False
    assert any("vCPUs" in problem for problem in books.check(**case)), "the journal tells"
    died["empty_disk"], case["entries"][1]["launched"] = True, 13.1
    assert any("vCPUs" in problem for problem in books.check(**case)), "EC2 had shown the first one by then"


def test_one_call_may_be_late_for_each_standstill():
    case = good()
    case["log"].append(call(2, "a", 20.5, "t-1"))
    case["freezes"] = [{"what": "frozen", "core": "a", "t": 19.0}]
    assert books.check(**case) == []
    case["log"].append(call(3, "a", 20.6, "t-1"))
    assert books.check(**case)


def test_what_is_missing_or_too_much_is_no_rest():
    entries = good()["entries"]
    assert books.at_rest(SCHEDULE, entries, {"web": 5})
    assert books.at_rest(SCHEDULE, entries, {"web": 2})
    for kind, value in (("cpu", 4), ("usd", 0.2), ("minute", 2)):
        assert books.at_rest({**SCHEDULE, "brake": {"kind": kind, "value": value}}, entries, {"web": 9}) is None
    for kind, value in (("cpu", 8), ("usd", 0.5), ("minute", 4)):
        assert books.at_rest({**SCHEDULE, "brake": {"kind": kind, "value": value}}, entries, {"web": 9})
