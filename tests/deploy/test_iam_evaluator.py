# SPDX-License-Identifier: Apache-2.0
"""The evaluator of policies itself, against what the IAM user guide says of each rule."""

import pytest
from iam_policy import NotUnderstood, allowed, decide, Request

ARN = "arn:aws:ec2:eu-west-1:111122223333:instance/i-1"


def policy(*statements, **one):
    return {"Version": "2012-10-17", "Statement": list(statements) or [one]}


def statement(action="ec2:Run*", resource="*", effect="Allow", **more):
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def with_condition(condition, **context):
    return allowed(policy(statement(Condition=condition)), "ec2:RunInstances", ARN, context=context)


@pytest.mark.parametrize("pattern, action, want", [
    ("ec2:RunInstances", "ec2:RunInstances", True),
    ("EC2:runinstances", "ec2:RunInstances", True),
    ("ec2:Run*", "ec2:RunInstances", True),
    ("ec2:R?nInstances", "ec2:RunInstances", True),
    ("ec2:Describe*", "ec2:RunInstances", False),
    ("ec2:RunInstance", "ec2:RunInstances", False),
    (["s3:*", "ec2:RunInstances"], "ec2:RunInstances", True),
    ("ec2:[R]unInstances", "ec2:RunInstances", False),
])
def test_actions(pattern, action, want):
    assert allowed(policy(statement(pattern)), action, ARN) == want


@pytest.mark.parametrize("pattern, want", [
    ("*", True),
    (ARN, True),
    ("arn:aws:ec2:*:*:instance/*", True),
    ("arn:aws:ec2:eu-west-1:111122223333:*/*", True),
    ("arn:aws:ec2:eu-west-1:111122223333:instance/i-?", True),
    ("arn:aws:ec2:us-east-1:111122223333:instance/*", False),
    ("arn:aws:ec2:eu-west-1:*:volume/*", False),
    ("arn:aws:ec2:eu-west-1:111122223333:INSTANCE/*", False),
    ("arn:aws:ec2:*:instance/*", False),
    ("arn:aws:ec2*", False),
    (["arn:aws:ec2:*:*:volume/*", "arn:aws:ec2:*:*:instance/*"], True),
])
def test_resources(pattern, want):
    assert allowed(policy(statement(resource=pattern)), "ec2:RunInstances", ARN) == want


@pytest.mark.parametrize("condition, context, want", [
    ({"StringEquals": {"aws:RequestTag/o": "a"}}, {"aws:RequestTag/o": "a"}, True),
    ({"StringEquals": {"aws:RequestTag/o": "a"}}, {"aws:RequestTag/o": "A"}, False),
    ({"StringEquals": {"aws:RequestTag/o": "a*"}}, {"aws:RequestTag/o": "ab"}, False),
    ({"StringEquals": {"aws:RequestTag/o": ["a", "b"]}}, {"aws:RequestTag/o": "b"}, True),
    ({"StringEquals": {"AWS:requesttag/O": "a"}}, {"aws:RequestTag/o": "a"}, True),
    ({"StringEquals": {"aws:RequestTag/o": "a"}}, {}, False),
    ({"StringEquals": {"x:a": "1", "x:b": "2"}}, {"x:a": "1", "x:b": "2"}, True),
    ({"StringEquals": {"x:a": "1", "x:b": "2"}}, {"x:a": "1"}, False),
    ({"StringEquals": {"x:a": "1"}, "StringLike": {"x:b": "2*"}}, {"x:a": "1", "x:b": "3"}, False),
    ({"StringEqualsIfExists": {"x:a": "1"}}, {}, True),
    ({"StringEqualsIfExists": {"x:a": "1"}}, {"x:a": "2"}, False),
    ({"StringNotEquals": {"x:a": "1"}}, {}, True),
    ({"StringNotEquals": {"x:a": ["1", "2"]}}, {"x:a": "2"}, False),
    ({"StringNotEquals": {"x:a": ["1", "2"]}}, {"x:a": "3"}, True),
    ({"StringLike": {"x:a": "fr-*-?"}}, {"x:a": "fr-00-1"}, True),
    ({"StringLike": {"x:a": "fr-*-?"}}, {"x:a": "fr-00-12"}, False),
    ({"StringLike": {"x:a": "fr-?"}}, {"x:a": "fr-12"}, False),
    ({"ArnLike": {"x:arn": "arn:aws:iam::*:role/a"}}, {"x:arn": "arn:aws:iam::1:role/a"}, True),
    ({"ArnLike": {"x:arn": "arn:aws:iam::*:role/a"}}, {"x:arn": "arn:aws:iam::1:user/a"}, False),
    ({"Null": {"x:a": "true"}}, {}, True),
    ({"Null": {"x:a": "true"}}, {"x:a": "1"}, False),
    ({"Null": {"x:a": "false"}}, {}, False),
    ({"Null": {"x:a": "false"}}, {"x:a": "1"}, True),
    ({"Bool": {"x:a": "true"}}, {"x:a": "True"}, True),
    ({"ForAllValues:StringEquals": {"x:keys": ["a", "b"]}}, {"x:keys": ["a", "b"]}, True),
    ({"ForAllValues:StringEquals": {"x:keys": ["a", "b"]}}, {"x:keys": ["a", "c"]}, False),
    ({"ForAllValues:StringEquals": {"x:keys": ["a", "b"]}}, {}, True),
    ({"ForAnyValue:StringEquals": {"x:keys": ["a", "b"]}}, {"x:keys": ["c", "a"]}, True),
    ({"ForAnyValue:StringEquals": {"x:keys": ["a", "b"]}}, {"x:keys": ["c"]}, False),
    ({"ForAnyValue:StringEquals": {"x:keys": ["a", "b"]}}, {}, False),
])
def test_conditions(condition, context, want):
    assert with_condition(condition, **context) == want


@pytest.mark.parametrize("condition", [
    {"StringEqualsIgnoreCase": {"x:a": "1"}}, {"ForSomeValues:StringEquals": {"x:a": "1"}}, {"NumericLessThan": {"x:a": "1"}},
    {"StringEquals": {"x:a": "${aws:username}"}},
])
def test_what_is_not_known_is_an_error(condition):
    with pytest.raises(NotUnderstood):
        with_condition(condition, **{"x:a": ["1"]})


def test_an_operator_for_one_value_refuses_several():
    with pytest.raises(NotUnderstood):
        with_condition({"StringEquals": {"x:a": "1"}}, **{"x:a": ["1", "2"]})


@pytest.mark.parametrize("more", [{"NotAction": "ec2:*"}, {"Principal": "*"}])
def test_an_element_that_is_not_known_is_an_error(more):
    with pytest.raises(NotUnderstood):
        allowed(policy(statement(**more)), "ec2:RunInstances", ARN)


def test_nothing_is_allowed_by_itself():
    assert not allowed(policy(statement("s3:*")), "ec2:RunInstances", ARN)


def test_a_deny_wins_over_any_allow():
    rules = policy(statement(), statement("ec2:RunInstances", effect="Deny"))
    assert not allowed(rules, "ec2:RunInstances", ARN)
    assert allowed(policy(statement(), statement("s3:*", effect="Deny")), "ec2:RunInstances", ARN)


def test_what_allowed_it_is_named():
    rules = policy(statement("ec2:Run*", ["arn:aws:ec2:*:*:volume/*", "arn:aws:ec2:*:*:instance/*"], Sid="A"), statement("s3:*", Sid="B"))
    assert decide(rules, Request("ec2:RunInstances", ARN, {})) == (True, [("A", "ec2:Run*", "arn:aws:ec2:*:*:instance/*")])
