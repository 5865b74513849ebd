# SPDX-License-Identifier: Apache-2.0
"""Checks requests against botocore's service models: what a real service's front end would refuse by shape.

A form is read back through the model, validated, serialised again by botocore, and compared with what was sent.
"""

import base64
import datetime
import functools
import json
import re
import urllib.parse

import botocore.serialize
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

FORM_PROTOCOLS = {"ec2": "ec2", "sts": "query", "iam": "query", "autoscaling": "query", "elasticloadbalancing": "query"}
MODELS = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch", "servicequotas": "service-quotas"}


class Violation(Exception):
    """The request is not what the service's model says."""


def need(condition, text):
    if not condition:
        raise Violation(text)


@functools.lru_cache
def service_model(service):
    return ServiceModel(Loader().load_service_model(MODELS.get(service, service), "service-2"))


def wire_name(name, shape, protocol):
    wire = shape.serialization.get("name", name)
    return shape.serialization.get("queryName") or wire[0].upper() + wire[1:] if protocol == "ec2" else wire


def scalar(shape, path, text):
    need(not getattr(shape, "enum", None) or text in shape.enum, f"{path}={text}: not one of the model's values")
    kind = shape.type_name
    try:
        if kind == "boolean":
            need(text in ("true", "false"), f"{path}={text}: not true or false")
            return text == "true"
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("float", "double"):
            return float(text)
        if kind == "blob":
            return base64.b64decode(text, validate=True)
        if kind == "timestamp":
            return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError as wrong:
        raise Violation(f"{path}={text}: {wrong}") from wrong
    return text


def read_form(shape, flat, path, used, protocol):
    """The nested parameters that flat names mean; used collects the names that found their place."""
    if shape.type_name == "structure":
        found = {}
        for name, member in shape.members.items():
            wire = wire_name(name, member, protocol)
            wire = f"{path}.{wire}" if path else wire
            if any(key == wire or key.startswith(wire + ".") for key in flat):
                found[name] = read_form(member, flat, wire, used, protocol)
        return found
    if shape.type_name == "list":
        if protocol == "query" and not shape.serialization.get("flattened"):
            path += "." + shape.member.serialization.get("name", "member")
        pattern = re.compile(re.escape(path) + r"\.(\d+)(\.|$)")
        indices = sorted({int(hit[1]) for key in flat if (hit := pattern.match(key))})
        need(indices and indices == list(range(1, len(indices) + 1)), f"{path}: indices {indices}")
        return [read_form(shape.member, flat, f"{path}.{i}", used, protocol) for i in indices]
    need(path in flat, f"{path}: is no single value")
    used.add(path)
    return scalar(shape, path, flat[path])


def same(left, right):
    def plain(value):
        return float(value) if re.fullmatch(r"-?\d+(\.\d+)?", str(value)) else str(value)

    return plain(left) == plain(right)


def validate(parameters, shape):
    report = ParamValidator().validate(parameters, shape)
    need(not report.has_errors(), report.generate_report())


def check_form(service, body):
    protocol = FORM_PROTOCOLS[service]
    try:
        pairs = urllib.parse.parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    except ValueError as wrong:
        raise Violation(f"no form: {wrong}") from wrong
    flat = dict(pairs)
    need(len(flat) == len(pairs), "a key is repeated")
    model = service_model(service)
    action = flat.pop("Action", "")
    need(action in model.operation_names, f"Action={action}: unknown")
    need(flat.pop("Version", "") == model.api_version, f"Version: not {model.api_version}")
    operation = model.operation_model(action)
    used = set()
    parameters = {}
    if operation.input_shape:
        parameters = read_form(operation.input_shape, flat, "", used, protocol)
        need(set(flat) == used, f"unknown: {sorted(set(flat) - used)}")
        validate(parameters, operation.input_shape)
    again = botocore.serialize.create_serializer(protocol).serialize_to_request(parameters, operation)["body"]
    for key in set(flat) | set(again) - {"Action", "Version"}:
        # botocore makes a ClientToken where none was given.
        if key == "ClientToken" and key not in flat:
            continue
        need(key in flat and key in again and same(flat[key], again[key]),
             f"{key}: sent {flat.get(key)!r}, botocore sends {again.get(key)!r}")


def check_members(shape, value, path):
    """Members that the model does not know: botocore's validator leaves them out of its report."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            need(name in shape.members, f"{path}.{name}: unknown")
            check_members(shape.members[name], inner, f"{path}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for index, inner in enumerate(value):
            check_members(shape.member, inner, f"{path}[{index}]")
    elif getattr(shape, "enum", None):
        need(value in shape.enum, f"{path}={value}: not one of the model's values")


def check_json(service, action, body):
    model = service_model(service)
    need(action in model.operation_names, f"{action}: unknown")
    try:
        parameters = json.loads(body or b"{}")
    except ValueError as wrong:
        raise Violation(f"no JSON: {wrong}") from wrong
    shape = model.operation_model(action).input_shape
    validate(parameters, shape)
    check_members(shape, parameters, action)


def violation(service, action, body, is_json):
    """None, or what is wrong with it. Services without a check here pass."""
    try:
        if is_json:
            check_json(service, action, body)
        elif service in FORM_PROTOCOLS:
            check_form(service, body)
    except Violation as wrong:
        return str(wrong)
    return None
