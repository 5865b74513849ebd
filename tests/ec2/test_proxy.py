# SPDX-License-Identifier: Apache-2.0
"""The test bed itself, with boto3 as a client that shares no code with it or with forerun."""

import datetime
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import botocore.exceptions
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def template(ec2, name="forerun-lt"):
    image = ec2.client("ssm").get_parameter(Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
    ec2.client().create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image["Parameter"]["Value"]})
    return name


def fleet(ec2, count, pools, token="t1", capacity_type="spot", client=None, **more):
    overrides = [{"InstanceType": t, "SubnetId": ec2.world["subnets"][z], "AvailabilityZone": z} for t, z in pools]
    spec = {"LaunchTemplateName": "forerun-lt", "Version": "$Latest"}
    options = {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}} if capacity_type == "spot" else {}
    return (client or ec2.client()).create_fleet(
        Type="instant", ClientToken=token, LaunchTemplateConfigs=[{"LaunchTemplateSpecification": spec, "Overrides": overrides}],
        TargetCapacitySpecification={"TotalTargetCapacity": count, "DefaultTargetCapacityType": capacity_type},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "forerun.dev/owner", "Value": "x"}]}], **options, **more)


def ids(reply):
    return [i for item in reply["Instances"] for i in item["InstanceIds"]]


def code(failure):
    return failure.value.response["Error"]["Code"], failure.value.response["ResponseMetadata"]["HTTPStatusCode"]


A, B = ("m5.large", "us-east-1a"), ("c5.large", "us-east-1b")


def test_a_fleet_is_launched_and_is_in_the_ledger_and_in_ec2(ec2_world):
    template(ec2_world)
    reply = fleet(ec2_world, 3, [A, B])
    assert len(ids(reply)) == 3 and not reply["Errors"]
    item = reply["Instances"][0]
    assert item["InstanceType"] == "c5.large" and item["Lifecycle"] == "spot", "the cheapest pool"
    assert item["LaunchTemplateAndOverrides"]["Overrides"]["AvailabilityZone"] == "us-east-1b"
    assert [(e["id"], e["token"], e["tags"]) for e in ec2_world.ledger()] == [
        (i, "t1", {"forerun.dev/owner": "x"}) for i in ids(reply)]
    seen = ec2_world.client().describe_instances(Filters=[{"Name": "tag:forerun.dev/owner", "Values": ["x"]}])
    assert sorted(i["InstanceId"] for r in seen["Reservations"] for i in r["Instances"]) == sorted(ids(reply))
    ec2_world.client().terminate_instances(InstanceIds=ids(reply)[:1])
    assert len(ec2_world.ledger(alive=True)) == 2


def test_wrong_secret_unknown_key_and_tampered_body_are_refused(ec2):
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        ec2.client(secret_key="wrong").describe_vpcs()
    assert code(failure) == ("AuthFailure", 401)
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        ec2.client(access_key="AKIANOBODY").describe_vpcs()
    assert code(failure) == ("AuthFailure", 401)
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        ec2.client("ssm", secret_key="wrong").get_parameter(Name="/x")
    assert code(failure) == ("InvalidSignatureException", 400)
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        ec2.client("sts", secret_key="wrong").get_caller_identity()
    assert code(failure) == ("SignatureDoesNotMatch", 403)
    assert raw(ec2, b"Action=DescribeVpcs&Version=2016-11-15", tamper=True)[0] == 401
    assert [e["signature"] for e in ec2.log()] == [
        "SignatureDoesNotMatch", "InvalidClientTokenId", "SignatureDoesNotMatch", "SignatureDoesNotMatch", "SignatureDoesNotMatch"]


def signed(ec2, body, service="ec2", date=None):
    request = AWSRequest("POST", ec2.url + "/", data=body, headers={
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Host": f"127.0.0.1:{ec2.port}"})
    auth = SigV4Auth(Credentials(ec2.access_key, ec2.secret_key), service, ec2.region)
    if not date:
        auth.add_auth(request)
        return dict(request.headers)
    request.context["timestamp"] = date
    request.headers["X-Amz-Date"] = date
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    scope = f"{date[:8]}/{ec2.region}/{service}/aws4_request"
    request.headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={ec2.access_key}/{scope}, "
                                        f"SignedHeaders=content-type;host;x-amz-date, Signature={signature}")
    return dict(request.headers)


def raw(ec2, body, tamper=False, connection=None, date=None):
    headers = signed(ec2, body, date=date)
    connection = connection or http.client.HTTPConnection("127.0.0.1", ec2.port, timeout=30)
    connection.request("POST", "/", body + b"&DryRun=false" if tamper else body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def test_encodings_that_aws_accepts_are_accepted(ec2):
    for text in (b"a%20b", b"a+b", b"x*y", b"x:y", b"%7E", b"%2a"):
        body = b"Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=tag:k&Filter.1.Value.1=" + text
        assert raw(ec2, body)[0] == 200, text


def test_an_old_signature_is_expired(ec2):
    old = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=20)).strftime("%Y%m%dT%H%M%SZ")
    status, body = raw(ec2, b"Action=DescribeVpcs&Version=2016-11-15", date=old)
    assert status == 400 and b"<Code>RequestExpired</Code>" in body


def test_session_credentials_expire(ec2):
    ec2.control(credentials={"ASIA1": {"secret": "s", "token": "tok", "expires": time.time() + 3600}})
    ec2.client(access_key="ASIA1", secret_key="s", token="tok").describe_vpcs()
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        ec2.client(access_key="ASIA1", secret_key="s", token="other").describe_vpcs()
    assert code(failure) == ("AuthFailure", 401)
    ec2.control(credentials={"ASIA1": {"secret": "s", "token": "tok", "expires": time.time() - 1}})
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        ec2.client(access_key="ASIA1", secret_key="s", token="tok").describe_vpcs()
    assert code(failure) == ("RequestExpired", 400)


def test_web_identity_gives_credentials_that_work_and_end(ec2):
    ec2.control(session_s=2, web_identity_token="right")
    form = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::123456789012:role/r",
            "RoleSessionName": "session", "WebIdentityToken": "right"}
    with urllib.request.urlopen(ec2.url + "/", urllib.parse.urlencode(form).encode()) as reply:
        text = reply.read().decode()
    key, secret, token = (text.partition(f"<{n}>")[2].partition("<")[0] for n in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    client = ec2.client(access_key=key, secret_key=secret, token=token)
    client.describe_vpcs()
    time.sleep(2.1)
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        client.describe_vpcs()
    assert code(failure) == ("RequestExpired", 400)
    form["WebIdentityToken"] = "wrong"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(ec2.url + "/", urllib.parse.urlencode(form).encode())
    assert b"InvalidIdentityToken" in refused.value.read()


def test_a_token_launches_once_also_in_parallel(ec2_world):
    template(ec2_world)
    found = []
    threads = [threading.Thread(target=lambda: found.append(ids(fleet(ec2_world, 2, [A])))) for _ in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(found) == 6 and all(f == found[0] for f in found)
    assert len(ec2_world.ledger()) == 2
    assert len(ids(fleet(ec2_world, 2, [A], token="t2"))) == 2
    assert len(ec2_world.ledger()) == 4


def test_a_token_with_other_parameters_is_refused(ec2_world):
    template(ec2_world)
    fleet(ec2_world, 1, [A])
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        fleet(ec2_world, 2, [A])
    assert code(failure) == ("IdempotentParameterMismatch", 400)
    assert len(ec2_world.ledger()) == 1


def test_a_pool_without_capacity_launches_nothing_and_is_an_error_inside_a_200(ec2_world):
    template(ec2_world)
    ec2_world.control(capacity={"spot:c5.large/us-east-1b": 0})
    reply = fleet(ec2_world, 2, [B])
    assert not reply["Instances"] and [e["ErrorCode"] for e in reply["Errors"]] == ["InsufficientInstanceCapacity"]
    assert reply["Errors"][0]["LaunchTemplateAndOverrides"]["Overrides"]["InstanceType"] == "c5.large"
    reply = fleet(ec2_world, 2, [A, B], token="t2")
    assert len(ids(reply)) == 2 and len(reply["Errors"]) == 1
    assert {e["type"] for e in ec2_world.ledger()} == {"m5.large"}
    reply = fleet(ec2_world, 1, [B], token="t3", capacity_type="on-demand")
    assert len(ids(reply)) == 1, "only spot has none"


def test_partial_fulfilment(ec2_world):
    template(ec2_world)
    ec2_world.control(capacity={"*/us-east-1a": 1, "*/us-east-1b": 2})
    reply = fleet(ec2_world, 5, [A, B])
    assert len(ids(reply)) == 3 and len(reply["Errors"]) == 2
    assert sorted(e["zone"] for e in ec2_world.ledger()) == ["us-east-1a", "us-east-1b", "us-east-1b"]
    real = ec2_world.client().describe_instances()
    assert sum(len(r["Instances"]) for r in real["Reservations"]) == 3, "moto launched no more than the ledger says"


def test_a_bucket_throttles_and_fills_again(ec2):
    ec2.control(buckets={"DescribeVpcs": [2, 0.8]})
    client = ec2.client()
    client.describe_vpcs()
    client.describe_vpcs()
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        client.describe_vpcs()
    assert code(failure) == ("RequestLimitExceeded", 503)
    time.sleep(1.5)
    client.describe_vpcs()


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_drops_before_and_after_the_effect(ec2_world, how):
    template(ec2_world)
    ec2_world.fault("CreateFleet", "drop_before", how=how)
    with pytest.raises(botocore.exceptions.HTTPClientError):
        fleet(ec2_world, 1, [A])
    assert ec2_world.ledger() == []
    ec2_world.fault("CreateFleet", "drop_after", how=how)
    with pytest.raises(botocore.exceptions.HTTPClientError):
        fleet(ec2_world, 1, [A])
    launched = [e["id"] for e in ec2_world.ledger()]
    assert len(launched) == 1
    assert ids(fleet(ec2_world, 1, [A])) == launched, "the same token finds what was launched"
    assert [e["status"] for e in ec2_world.log("CreateFleet")] == [None, 200, 200]


def test_a_fault_can_wait_for_a_reused_connection(ec2):
    ec2.fault("DescribeVpcs", "drop_before", connection="reused")
    body = b"Action=DescribeVpcs&Version=2016-11-15"
    connection = http.client.HTTPConnection("127.0.0.1", ec2.port, timeout=30)
    assert raw(ec2, body, connection=connection)[0] == 200
    with pytest.raises((http.client.BadStatusLine, ConnectionError)):
        raw(ec2, body, connection=connection)
    one, two = ec2.log("DescribeVpcs")
    assert one["connection"] == two["connection"] and (one["request"], two["request"]) == (1, 2)


def test_late_wrong_and_cut_replies(ec2):
    body = b"Action=DescribeVpcs&Version=2016-11-15"
    ec2.fault("DescribeVpcs", "delay", s=0.5)
    start = time.monotonic()
    assert raw(ec2, body)[0] == 200 and time.monotonic() - start >= 0.5
    ec2.fault("DescribeVpcs", "error", status=500, code="InternalError")
    status, text = raw(ec2, body)
    assert status == 500 and b"<Code>InternalError</Code>" in text
    ec2.fault("DescribeVpcs", "garbage")
    status, text = raw(ec2, body)
    assert status == 200 and b"not what you" in text
    ec2.fault("DescribeVpcs", "truncate")
    with pytest.raises(http.client.IncompleteRead):
        raw(ec2, body)
    ec2.fault("DescribeVpcs", "truncate_xml")
    status, text = raw(ec2, body)
    assert status == 200 and b"<vpcSet>" in text and b"</DescribeVpcsResponse>" not in text


def test_states_take_their_time_and_filters_agree(ec2_world):
    template(ec2_world)
    ec2_world.control(pending_s=1.0, shutting_down_s=1.0)
    launched = ids(fleet(ec2_world, 2, [A]))
    client = ec2_world.client()

    def found(**filters):
        wanted = [{"Name": k.replace("_", "-"), "Values": v} for k, v in filters.items()]
        return {i["InstanceId"]: i["State"]["Name"] for r in client.describe_instances(Filters=wanted)["Reservations"]
                for i in r["Instances"]}

    assert found(instance_state_name=["pending"]) == dict.fromkeys(launched, "pending")
    assert found(instance_state_name=["running"]) == {}
    assert found(client_token=["t1"]) == dict.fromkeys(launched, "pending") and found(client_token=["t9"]) == {}
    time.sleep(1.1)
    assert found(instance_state_name=["running", "pending"], client_token=["t1"]) == dict.fromkeys(launched, "running")
    client.terminate_instances(InstanceIds=launched[:1])
    assert found()[launched[0]] == "shutting-down"
    time.sleep(1.1)
    assert found() == {launched[0]: "terminated", launched[1]: "running"}


def test_new_instances_can_be_hidden_for_a_while(ec2_world):
    template(ec2_world)
    ec2_world.control(hidden_s=0.8)
    launched = ids(fleet(ec2_world, 1, [A]))
    client = ec2_world.client()
    assert client.describe_instances()["Reservations"] == []
    for refused in (client.describe_instances, client.terminate_instances):
        with pytest.raises(botocore.exceptions.ClientError) as failure:
            refused(InstanceIds=launched)
        assert code(failure) == ("InvalidInstanceID.NotFound", 400)
    time.sleep(0.9)
    assert client.describe_instances(InstanceIds=launched)["Reservations"][0]["Instances"][0]["InstanceId"] == launched[0]


def test_prices_images_and_types(ec2):
    pricing = ec2.client("pricing")
    found = pricing.get_products(ServiceCode="AmazonEC2", Filters=[{"Type": "TERM_MATCH", "Field": "instanceType", "Value": "m5.large"}])
    assert "0.0960000000" in found["PriceList"][0]
    pages = list(pricing.get_paginator("get_products").paginate(ServiceCode="AmazonEC2"))
    assert len(pages) > 1
    spot = ec2.client().describe_spot_price_history(InstanceTypes=["m5.large"], ProductDescriptions=["Linux/UNIX"])
    assert len(spot["SpotPriceHistory"]) == 5 and 0.02 < float(spot["SpotPriceHistory"][0]["SpotPrice"]) < 0.06
    image = ec2.client("ssm").get_parameter(Name="/aws/service/eks/optimized-ami/1.34/amazon-linux-2023/arm64/standard/recommended/image_id")
    assert ec2.client().describe_images(ImageIds=[image["Parameter"]["Value"]])["Images"][0]["Architecture"] == "arm64"
    pages = list(ec2.client().get_paginator("describe_instance_types").paginate())
    names = [t["InstanceType"] for p in pages for t in p["InstanceTypes"]]
    assert len(pages) > 10 and len(set(names)) == len(names) > 1000
    one = ec2.client().describe_instance_types(InstanceTypes=["m5.large"])["InstanceTypes"][0]
    assert one["VCpuInfo"]["DefaultVCpus"] == 2 and one["MemoryInfo"]["SizeInMiB"] == 8192


@pytest.mark.parametrize("form, wrong", [
    ("Action=DescribeInstances&Filter.0.Name=x", "indices [0]"),
    ("Action=DescribeInstances&Filters.1.Name=x", "unknown: ['Filters.1.Name']"),
    ("Action=DescribeInstances&MaxResults=many", "invalid literal"),
    ("Action=DescribeInstances&DryRun=True", "not true or false"),
    ("Action=CreateFleet&Type=instant", 'Missing required parameter in input: "LaunchTemplateConfigs"'),
    ("Action=CreateFleet&Type=instantly", "not one of the model's values"),
    ("Action=DescribeEverything", "unknown"),
])
def test_requests_outside_the_model_are_refused_with_the_reason(ec2, form, wrong):
    status, text = raw(ec2, form.encode() + b"&Version=2016-11-15")
    assert status == 400 and b"ModelViolation" in text
    assert wrong in ec2.log()[-1]["model"]


def test_kernel_times_are_before_user_times(ec2):
    connection = http.client.HTTPConnection("127.0.0.1", ec2.port, timeout=30)
    before = time.time()
    for _ in range(3):
        raw(ec2, b"Action=DescribeVpcs&Version=2016-11-15", connection=connection)
    for entry in ec2.log("DescribeVpcs"):
        assert before <= entry["t_kernel"] <= entry["t_kernel_last"] <= entry["t_user"] <= entry["t_reply"]


def test_a_request_in_pieces_has_a_first_and_a_last_time(ec2):
    body = b"Action=DescribeVpcs&Version=2016-11-15"
    head = "\r\n".join(["POST / HTTP/1.1"] + [f"{k}: {v}" for k, v in {**signed(ec2, body), "Content-Length": len(body)}.items()])
    with socket.create_connection(("127.0.0.1", ec2.port)) as sock:
        sock.sendall(head.encode() + b"\r\n\r\n")
        time.sleep(0.3)
        sock.sendall(body)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    entry = ec2.log("DescribeVpcs")[0]
    assert entry["t_kernel_last"] - entry["t_kernel"] >= 0.3


def test_fleets_without_moto_live_in_the_ledger(ec2_world):
    ec2_world.control(synthetic_fleet=True, pending_s=0.5)
    launched = ids(fleet(ec2_world, 2, [A]))
    wanted = [{"Name": "tag:forerun.dev/owner", "Values": ["x"]}, {"Name": "instance-state-name", "Values": ["pending"]}]
    client = ec2_world.client()
    seen = client.describe_instances(Filters=wanted)["Reservations"]
    assert [r["Instances"][0]["InstanceId"] for r in seen] == launched
    assert seen[0]["Instances"][0]["InstanceLifecycle"] == "spot"
    client.terminate_instances(InstanceIds=launched)
    assert ec2_world.ledger(alive=True) == []
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        client.terminate_instances(InstanceIds=["i-00000000000000000"])
    assert code(failure) == ("InvalidInstanceID.NotFound", 400)


def test_reset_forgets_everything(ec2_world):
    template(ec2_world)
    fleet(ec2_world, 1, [A])
    ec2_world.reset()
    assert ec2_world.ledger() == [] and ec2_world.log() == []
    assert ec2_world.client().describe_instances()["Reservations"] == []


def test_wrong_control_is_refused(ec2):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ec2.control(capacities={})
    assert "unknown: ['capacities']" in refused.value.read().decode()


def metadata(imds, method, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", imds.server_address[1], timeout=1)
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def test_metadata_needs_a_token_that_lives(imds):
    ttl = "X-aws-ec2-metadata-token-ttl-seconds"
    role = "/latest/meta-data/iam/security-credentials/forerun-test-node"
    assert metadata(imds, "GET", role)[0] == 401
    assert metadata(imds, "PUT", "/latest/api/token")[0] == 400
    assert metadata(imds, "PUT", "/latest/api/token", **{ttl: "99999"})[0] == 400
    status, token = metadata(imds, "PUT", "/latest/api/token", **{ttl: "60"})
    status, text = metadata(imds, "GET", role, **{"X-aws-ec2-metadata-token": token})
    assert status == 200 and json.loads(text)["Code"] == "Success"
    assert metadata(imds, "GET", "/latest/meta-data/spot/instance-action", **{"X-aws-ec2-metadata-token": token})[0] == 404


def test_metadata_fails_in_the_ways_it_can(imds):
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    imds.settings["put_status"] = 403
    assert metadata(imds, "PUT", "/latest/api/token", **ttl)[0] == 403
    imds.settings.update(put_status=200, token_s=0.2)
    _, token = metadata(imds, "PUT", "/latest/api/token", **ttl)
    time.sleep(0.3)
    assert metadata(imds, "GET", "/latest/meta-data/instance-id", **{"X-aws-ec2-metadata-token": token})[0] == 401
    imds.settings["silent"] = ["/latest/api/token"]
    with pytest.raises(TimeoutError):
        metadata(imds, "PUT", "/latest/api/token", **ttl)
    imds.settings.update(authorization="secret")
    assert metadata(imds, "GET", "/v1/credentials")[0] == 401
    assert json.loads(metadata(imds, "GET", "/v1/credentials", Authorization="secret")[1])["AccessKeyId"].startswith("ASIA")
