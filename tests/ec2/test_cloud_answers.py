# SPDX-License-Identifier: Apache-2.0
"""botocore's parser as the oracle: the same CreateFleet body read by it and by the cloud room, over the wire."""

import http.server
import random
import re
import threading

import botocore.parsers
import botocore.session
import pytest
from cloud_driver import Cloud, bare_environment

NS = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'


class OneBody(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status, body = 200, b""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = type(self).status, type(self).body  # the next test sets them anew
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """launch(body, status): what the room makes of it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneBody)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = bare_environment(tmp_path_factory.mktemp("home"), AWS_REGION="us-east-1", AWS_ACCESS_KEY_ID="a",
                                   AWS_SECRET_ACCESS_KEY="b", AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_address[1]}")
    started = []

    def send(body, status=200):
        if not started or len(started[-1].seen) >= 60:
            if started:
                started.pop().close()
            started.append(Cloud(environment))
        OneBody.status, OneBody.body = status, body if isinstance(body, bytes) else body.encode()
        return started[-1].ask("launch", "launched", {"token": f"t{len(started[-1].seen)}", "count": 1, "overrides": []})

    yield send
    for running in started:
        running.close()
    server.shutdown()
    server.server_close()


def oracle(body):
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("CreateFleet").output_shape
    return botocore.parsers.create_parser("ec2").parse({"status_code": 200, "headers": {}, "body": body.encode()}, shape)


def place(item):
    return (item.get("LaunchTemplateAndOverrides") or {}).get("Overrides") or {}


def expected(parsed):
    instances = [(i, item.get("InstanceType") or place(item).get("InstanceType", ""), place(item).get("AvailabilityZone", ""))
                 for item in parsed.get("Instances", []) for i in item.get("InstanceIds", [])]
    failures = [(place(e).get("InstanceType", ""), place(e).get("AvailabilityZone", ""), e.get("ErrorCode", ""),
                 e.get("ErrorMessage", "")[:255]) for e in parsed.get("Errors", [])]
    return instances, failures


def agree(result, body):
    parsed = oracle(body)
    instances, failures = expected(parsed)
    assert result["outcome"] == "done", result
    assert [(i["id"], i["type"], i["zone"]) for i in result["instances"]] == instances
    assert [(f["type"], f["zone"], f["code"], f["message"]) for f in result["failures"]] == failures
    assert result["fleet_id"] == parsed["FleetId"]
    assert result["request_id"] == parsed["ResponseMetadata"].get("RequestId", "")


def overrides(kind, zone, extra=""):
    return (f"<launchTemplateAndOverrides><launchTemplateSpecification><launchTemplateId>lt-1</launchTemplateId>"
            f"<version>1</version></launchTemplateSpecification><overrides><instanceType>{kind}</instanceType>"
            f"<subnetId>subnet-1</subnetId><availabilityZone>{zone}</availabilityZone>{extra}</overrides>"
            f"</launchTemplateAndOverrides>")


def random_answer(rng):
    fleet, errors = [], []
    for _ in range(rng.randrange(4)):
        count = rng.randrange(4)
        ids = "".join(f"<item>i-{rng.randrange(16**17):017x}</item>" for _ in range(count))
        parts = [overrides(rng.choice(["m5.large", "c7g.xlarge"]), "us-east-1" + rng.choice("abc"),
                           "<blockDeviceMappingSet><item><deviceName>/dev/xvda</deviceName></item></blockDeviceMappingSet>"
                           if rng.random() < .3 else ""),
                 "<lifecycle>spot</lifecycle>", f"<instanceIds>{ids}</instanceIds>" if count else "<instanceIds/>"]
        if rng.random() < .7:
            parts.append("<unknownThing><item><instanceId>x</instanceId></item></unknownThing>")
        rng.shuffle(parts)
        fleet.append("<item>" + "\n  ".join(parts) + "</item>")
    for _ in range(rng.randrange(4)):
        parts = [overrides("r5.large", "us-east-1d"), "<errorCode>InsufficientInstanceCapacity</errorCode>",
                 f"<errorMessage>No &lt;capacity&gt; &amp; more: é {'x' * rng.randrange(20)}</errorMessage>"]
        rng.shuffle(parts)
        errors.append("<item>" + "".join(parts) + "</item>")
    parts = [f"<requestId>r-{rng.randrange(999)}</requestId>", "<fleetId>fleet-1</fleetId>",
             f"<fleetInstanceSet>{''.join(fleet)}</fleetInstanceSet>" if fleet else "<fleetInstanceSet/>"]
    if errors or rng.random() < .5:
        parts.append(f"<errorSet>{''.join(errors)}</errorSet>")
    rng.shuffle(parts)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<CreateFleetResponse {NS}>\n{"".join(parts)}</CreateFleetResponse>'


@pytest.mark.parametrize("seed", range(60))
def test_any_answer_is_read_as_botocore_reads_it(launch, seed):
    body = random_answer(random.Random(seed))
    agree(launch(body), body)


def test_a_namespace_prefix_and_cdata_are_read(launch):
    body = (f'<e:CreateFleetResponse xmlns:e="http://ec2.amazonaws.com/doc/2016-11-15/"><e:fleetId>fleet-2</e:fleetId>'
            f"<e:fleetInstanceSet><e:item><e:instanceIds><e:item><![CDATA[i-0a]]></e:item></e:instanceIds></e:item>"
            f"</e:fleetInstanceSet></e:CreateFleetResponse>")
    assert [i["id"] for i in launch(body)["instances"]] == ["i-0a"]


WHOLE = random_answer(random.Random(7))


@pytest.mark.parametrize("body", [
    b"", b"OK", b"<html><body>502</body></html>", b"\x00\xff\xfe", b"{}", b"<CreateFleetResponse/>",
    b"<CreateFleetResponse><fleetId></fleetId></CreateFleetResponse>",
    b"<Response><Errors><Error><Code>InternalError</Code></Error></Errors></Response>",
    b"<CreateFleetResponse><fleetId>f</fleetId><fleetInstanceSet><item><instanceIds><item>../../etc</item></instanceIds>"
    b"</item></fleetInstanceSet></CreateFleetResponse>",
    b'<!DOCTYPE a [<!ENTITY a "b">]><CreateFleetResponse><fleetId>&a;</fleetId></CreateFleetResponse>',
    b"<CreateFleetResponse><fleetId>f</fleetId>" + b"<a>" * 100 + b"</a>" * 100 + b"</CreateFleetResponse>",
    b"<CreateFleetResponse><fleetId>" + b"f" * 100_000 + b"</fleetId></CreateFleetResponse>",
    WHOLE[:len(WHOLE) // 2].encode(), WHOLE[:-1].encode(), (WHOLE + WHOLE).encode(),
], ids=range(15))
def test_a_200_that_is_no_answer_is_unknown(launch, body):
    result = launch(body)
    assert (result["outcome"], result["code"]) == ("unknown", "Garbage") and result["instances"] == []


@pytest.mark.parametrize("status, body, code, text, request_id, outcome", [
    (400, "<Response><Errors><Error><Code>A</Code><Message>m</Message></Error></Errors><RequestID>r</RequestID></Response>",
     "A", "m", "r", "refused"),
    (401, "<ErrorResponse><Errors><Error><Code>AuthFailure</Code><Message>m</Message></Error></Errors></ErrorResponse>",
     "AuthFailure", "m", "", "refused"),
    (403, "<ErrorResponse xmlns='x'><Error><Type>Sender</Type><Code>B</Code><Message>m</Message></Error>"
          "<RequestId>q</RequestId></ErrorResponse>", "B", "m", "q", "refused"),
    (400, "<Error><Code>C</Code><Message>m</Message><RequestId>q</RequestId></Error>", "C", "m", "q", "refused"),
    (400, '{"__type":"com.amazon#D","message":"m"}', "D", "m", "", "refused"),
    (400, "<html><h1>Bad Request</h1></html>", "HTTP 400", "", "", "refused"),
    (502, "<html>Bad Gateway</html>", "HTTP 502", "", "", "unknown"),
    (503, "", "HTTP 503", "", "", "unknown"),
    (429, "", "HTTP 429", "", "", "unknown"),
    (400, "<Response><Errors><Error><Code>Cut</Code><Messa", "Cut", "", "", "refused"),
    (400, "<Response><Errors><Error><Code>T\n\x1b[31m</Code></Error></Errors></Response>".replace("\x1b", "&#9;"),
     "T  [31m", "", "", "refused"),
])
def test_error_bodies_of_all_kinds(launch, status, body, code, text, request_id, outcome):
    result = launch(body, status)
    assert (result["code"], result["text"], result["request_id"], result["outcome"]) == (code, text, request_id, outcome)


def test_messages_hold_no_control_characters(launch):
    body = ('<CreateFleetResponse><fleetId>f</fleetId><errorSet><item><errorCode>X</errorCode>'
            "<errorMessage>a&#10;b&#9;c</errorMessage></item></errorSet></CreateFleetResponse>")
    message = launch(body)["failures"][0]["message"]
    assert not re.search(r"[\x00-\x1f]", message) and message == "a b c"
