# SPDX-License-Identifier: Apache-2.0
"""DynamoDB as far as a lease needs it: conditional updates of one item, consistent reads. In this process, because many
worlds renew and watch ten times a second; that moto, and what forerun sends, agree with each other is what
tests/ec2/test_lease.py holds. What this does not know fails loudly.
"""

import json
import re

import fleet
from proxy import JSON_1_0, Answer

PREFIX = "com.amazonaws.dynamodb.v20120810#"


def reply(status, body):
    return Answer(status, {"Content-Type": JSON_1_0, "x-amzn-RequestId": fleet.request_id()}, json.dumps(body).encode())


class LockTable:
    def __init__(self):
        self.items = {}

    def answer(self, call):
        request = json.loads(call.request.body)
        key = request["Key"]["name"]["S"]
        if call.action == "GetItem":
            return self.get(key, request)
        if call.action == "UpdateItem":
            return self.update(key, request)
        return reply(400, {"__type": PREFIX + "ValidationException", "message": f"{call.action} is not known here"})

    def get(self, key, request):
        item = self.items.get(key)
        names = [request["ExpressionAttributeNames"][name] for name in request["ProjectionExpression"].split(",")]
        return reply(200, {} if item is None else {"Item": {name: item[name] for name in names if name in item}})

    def update(self, key, request):
        names, values, item = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {}), self.items.get(key, {})
        if not all(self.holds(part, item, names, values) for part in request.get("ConditionExpression", "").split(" AND ") if part):
            refused = {"__type": PREFIX + "ConditionalCheckFailedException", "message": "The conditional request failed"}
            if item and request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
                refused["Item"] = item
            return reply(400, refused)
        self.items[key] = {"name": {"S": key}, **self.changed(request["UpdateExpression"], item, names, values)}
        return reply(200, {"Attributes": self.items[key]} if request.get("ReturnValues") == "ALL_NEW" else {})

    def holds(self, part, item, names, values):
        if found := re.fullmatch(r"attribute_(not_)?exists\((#\w+)\)", part):
            return (names[found[2]] in item) != bool(found[1])
        found = re.fullmatch(r"(#\w+) = (:\w+)", part)
        return item.get(names[found[1]]) == values[found[2]]

    def changed(self, expression, item, names, values):
        made = dict(item)
        for verb, clause in re.findall(r"(SET|REMOVE) ((?:(?! SET | REMOVE ).)+)", expression):
            for part in clause.split(", "):
                if verb == "REMOVE":
                    made.pop(names[part.strip()], None)
                else:
                    name, _, value = part.partition(" = ")
                    made[names[name.strip()]] = values[value.strip()]
        return made
