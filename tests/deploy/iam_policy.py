# SPDX-License-Identifier: Apache-2.0
"""What IAM says of a request, for identity policies as deploy/standalone/iam has them.

The rules are those of "Policy evaluation logic" and "IAM JSON policy elements: Condition operators" in the IAM user guide.
An element or operator that is not known here is an error, so that no policy passes because it was not understood.
"""

import collections
import fnmatch
import json
import pathlib
import re

DIRECTORY = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy/standalone/iam"

# context: condition key -> text, or a list for keys with several values
Request = collections.namedtuple("Request", "action resource context")

ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}


class NotUnderstood(ValueError):
    """The policy has something that this evaluator does not know."""


def load(name, **values):
    """deploy/standalone/iam/NAME.json with ${REGION} and the like filled in."""
    text = (DIRECTORY / f"{name}.json").read_text()
    for key, value in values.items():
        text = text.replace("${%s}" % key, value)
    return json.loads(text)


def listed(value):
    return value if isinstance(value, list) else [value]


def like(pattern, text, ignore_case=False):
    """* and ? as IAM has them; [ is a letter as any other."""
    pattern = pattern.replace("[", "[[]")
    if ignore_case:
        pattern, text = pattern.lower(), text.lower()
    return fnmatch.fnmatchcase(text, pattern)


def arn_like(pattern, arn):
    """Part by part: a wildcard does not reach over a colon, but in the last part."""
    if pattern == "*":
        return True
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == 6 and len(parts) == 6 and all(map(like, patterns, parts))


COMPARE = {
    "StringEquals": lambda wanted, found: wanted == found,
    "StringLike": like,
    "ArnLike": arn_like,
    "ArnEquals": arn_like,
    "Bool": lambda wanted, found: wanted.lower() == found.lower(),
}


def one_holds(operator, wanted, found):
    if "Not" in operator:
        return not any(COMPARE[operator.replace("Not", "")](w, found) for w in wanted)
    return any(COMPARE[operator](w, found) for w in wanted)


def key_holds(operator, wanted, found):
    """One key of a condition. found: its values in the request, None when it has none."""
    qualifier, _, operator = operator.rpartition(":")
    if qualifier not in ("", "ForAllValues", "ForAnyValue"):
        raise NotUnderstood(qualifier)
    if operator == "Null":
        return any((w == "true") == (found is None) for w in wanted)
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    if operator.replace("Not", "") not in COMPARE:
        raise NotUnderstood(operator)
    if qualifier == "ForAllValues":
        return all(one_holds(operator, wanted, f) for f in found or [])
    if found is None:
        return if_exists or "Not" in operator
    if not qualifier and len(found) > 1:
        raise NotUnderstood(f"{operator} on a key with several values")
    return any(one_holds(operator, wanted, f) for f in found)


def values_of(context, key):
    """Keys of conditions have no case."""
    for name, value in context.items():
        if name.lower() == key.lower():
            return listed(value)
    return None


def condition_holds(condition, context):
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            wanted = listed(wanted)
            if any("${" in w for w in wanted):
                raise NotUnderstood(f"a variable in {key}")
            if not key_holds(operator, wanted, values_of(context, key)):
                return False
    return True


def matches(statement, request):
    """[(action, resource)] of the statement that match the request; none where its condition does not hold."""
    unknown = set(statement) - ELEMENTS
    if unknown or statement["Effect"] not in ("Allow", "Deny"):
        raise NotUnderstood(f"{sorted(unknown)} {statement['Effect']}")
    found = [(a, r) for a in listed(statement["Action"]) for r in listed(statement["Resource"])
             if like(a, request.action, ignore_case=True) and arn_like(r, request.resource)]
    return found if found and condition_holds(statement.get("Condition", {}), request.context) else []


def decide(policy, request):
    """(allowed, [(sid, action, resource) that allowed it]). What nothing allows is denied; a Deny wins."""
    if policy["Version"] != "2012-10-17":
        raise NotUnderstood(policy["Version"])
    used, denied = [], False
    for statement in policy["Statement"]:
        found = matches(statement, request)
        denied |= bool(found) and statement["Effect"] == "Deny"
        used += [(statement.get("Sid"), *one) for one in found]
    return (bool(used) and not denied), used


def allowed(policy, action, resource, **context):
    """context: as keywords where they are names, else given as context={...}."""
    return decide(policy, Request(action, resource, context.pop("context", context)))[0]


def every_grant(policy):
    """All (sid, action, resource) that the policy allows."""
    return {(s.get("Sid"), a, r) for s in policy["Statement"] for a in listed(s["Action"]) for r in listed(s["Resource"])}


def placeholders(name):
    return set(re.findall(r"\$\{(\w+)\}", (DIRECTORY / f"{name}.json").read_text()))
