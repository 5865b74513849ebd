# SPDX-License-Identifier: Apache-2.0
"""Where credentials and region come from, in botocore's order, and what happens when they end."""

import http.server
import threading
import time

import pytest
from cloud_driver import Cloud, bare_environment

IMDS_KEY, IMDS_SECRET, IMDS_TOKEN = "ASIAFORERUNIMDS00000", "imds-secret", "imds-session"


@pytest.fixture
def tool(tmp_path):
    started = []

    def starter(*options, **environment):
        running = Cloud(bare_environment(tmp_path, **environment), [], *options)
        started.append(running)
        return running

    yield starter
    for running in started:
        running.close()


def call(running, timeout=20):
    """One signed call: the check begins with one. Its problems."""
    return running.ask("check", "checked", timeout=timeout)["problems"]


def source(running):
    return running.ask("status", "status")["credentials"]


def shared(tmp_path, credentials=None, config=None):
    found = {}
    for name, text, variable in (("credentials", credentials, "AWS_SHARED_CREDENTIALS_FILE"),
                                 ("config", config, "AWS_CONFIG_FILE")):
        if text is not None:
            (tmp_path / name).write_text(text)
            found[variable] = str(tmp_path / name)
    return found


def keys(ec2, name="default", indent=""):
    return f"[{name}]\n{indent}aws_access_key_id = {ec2.access_key}\naws_secret_access_key={ec2.secret_key}\n"


def test_from_the_environment(ec2, tool):
    running = tool(**{k: v for k, v in ec2.environment().items() if k.startswith("AWS_")})
    assert call(running) == [] and source(running) == "environment"


def test_the_environment_wins_over_the_files(ec2, tool, tmp_path):
    files = shared(tmp_path, "[default]\naws_access_key_id = other\naws_secret_access_key = other\n")
    running = tool(**{k: v for k, v in ec2.environment().items() if k.startswith("AWS_")}, **files)
    assert call(running) == [] and source(running) == "environment"


def test_from_the_credentials_file_below_home(ec2, tool, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("# mine\n" + keys(ec2))
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = us-east-1\n")
    running = tool(AWS_ENDPOINT_URL=ec2.url)
    assert call(running) == [] and source(running) == "shared file, profile default"


def test_a_profile_of_the_config_file_with_its_endpoint(ec2, tool, tmp_path):
    files = shared(tmp_path, "", f"{keys(ec2, 'profile web')}region = us-east-1\nendpoint_url = {ec2.url}\n")
    running = tool(AWS_PROFILE="web", **files)
    assert call(running) == [] and source(running) == "shared file, profile web"


def test_endpoints_by_service(ec2, tool, tmp_path):
    config = (f"{keys(ec2, 'profile web')}region = us-east-1\nservices = here\n[services here]\n"
              f"sts =\n  endpoint_url = {ec2.url}\nec2 =\n  endpoint_url = {ec2.url}\n")
    running = tool(AWS_PROFILE="web", **shared(tmp_path, "", config))
    assert call(running) == []


@pytest.mark.parametrize("key", ["credential_process", "sso_session", "sso_start_url"])
def test_what_is_not_supported_is_named(tool, tmp_path, key):
    files = shared(tmp_path, "", f"[profile web]\nregion = us-east-1\n{key} = x\n")
    problems = call(tool(AWS_PROFILE="web", **files))
    assert problems == [{"where": "AWS credentials", "text":
                         f"{tmp_path}/config:3: {key} of profile web is not supported: use keys, a web identity, a "
                         "container's or an instance's role"}]


def test_a_role_by_another_profile_is_not_supported(tool, tmp_path):
    files = shared(tmp_path, "", "[profile web]\nregion=us-east-1\nrole_arn = arn:x\nsource_profile = base\n")
    assert "config:4: source_profile of profile web is not supported" in call(tool(AWS_PROFILE="web", **files))[0]["text"]


@pytest.mark.parametrize("environment, words", [
    ({"AWS_PROFILE": "nobody"}, "AWS_PROFILE names nobody, which is neither in"),
    ({"AWS_ACCESS_KEY_ID": "AKIA"}, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"),
    ({"AWS_ACCESS_KEY_ID": "AK IA", "AWS_SECRET_ACCESS_KEY": "x"}, "a key has spaces"),
    ({"AWS_REGION": "Mars!"}, 'AWS_REGION: found "Mars!", expected a region such as eu-west-1'),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}, "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not"),
    ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such", "AWS_ROLE_ARN": "arn:x"}, "cannot read the web identity token /no/such"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/x"}, "expected https, or http to loopback"),
    ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\nb"},
     "has a line break in the token"),
    ({}, "none found: not in the environment"),
])
def test_what_is_wrong_is_said(tool, environment, words):
    problems = call(tool(**{"AWS_REGION": "us-east-1", **environment}))
    assert len(problems) == 1 and problems[0]["where"] == "AWS credentials" and words in problems[0]["text"], problems


def test_a_file_that_is_none_is_named_with_its_line(tool, tmp_path):
    problems = call(tool(AWS_REGION="us-east-1", **shared(tmp_path, "[default]\n\nwhat is this\n")))
    assert problems[0]["text"] == f"{tmp_path}/credentials: line 3: expected key = value"


def test_no_region_says_where_it_may_stand(tool):
    problems = call(tool(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b"))
    assert problems[0]["text"].startswith("no region: set AWS_REGION or --region")


def test_a_web_identity_reads_its_token_each_time(ec2, tool, tmp_path):
    (tmp_path / "token").write_text("first\n")
    ec2.control(web_identity_token="first", session_s=3)
    running = tool(AWS_REGION="us-east-1", AWS_ENDPOINT_URL=ec2.url, AWS_ROLE_ARN="arn:aws:iam::123456789012:role/web",
                   AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"), AWS_ROLE_SESSION_NAME="me")
    assert call(running) == [] and source(running) == "web identity"
    (tmp_path / "token").write_text("second")
    ec2.control(web_identity_token="second", session_s=3600)
    time.sleep(3.5)
    assert call(running) == []
    asked = ec2.log("AssumeRoleWithWebIdentity")
    assert [e["params"]["WebIdentityToken"] for e in asked][-1] == "second"
    assert all(e["params"]["RoleSessionName"] == "me" and e["signature"] is None for e in asked)
    assert all(e["signature"] is None for e in ec2.log("GetCallerIdentity"))


def test_a_web_identity_that_sts_refuses_says_why(ec2, tool, tmp_path):
    (tmp_path / "token").write_text("wrong")
    ec2.control(web_identity_token="right")
    problems = call(tool(AWS_REGION="us-east-1", AWS_ENDPOINT_URL=ec2.url, AWS_ROLE_ARN="arn:aws:iam::1:role/web",
                         AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token")))
    assert "STS refused role arn:aws:iam::1:role/web (HTTP 400): InvalidIdentityToken" in problems[0]["text"]


def accept_imds(ec2, imds):
    ec2.control(credentials={imds.settings["access_key"]: {
        "secret": imds.settings["secret_key"], "token": imds.settings["session_token"]}})


def metadata(ec2, imds):
    return {"AWS_ENDPOINT_URL": ec2.url, "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url}


def test_region_and_role_from_imds(ec2, imds, tool):
    accept_imds(ec2, imds)
    running = tool(**metadata(ec2, imds))
    assert call(running) == []
    status = running.ask("status", "status")
    assert (status["credentials"], status["region"]) == ("IMDSv2", "us-east-1")
    assert running.ask("whoami", "whoami") == {
        "event": "whoami", "id": imds.settings["instance_id"], "type": "m7g.large", "zone": "us-east-1a"}


def test_an_imds_token_that_died_is_renewed(ec2, imds, tool):
    accept_imds(ec2, imds)
    imds.settings["token_s"] = 0.3
    running = tool(**metadata(ec2, imds))
    assert call(running) == []
    time.sleep(0.5)
    assert running.ask("whoami", "whoami")["id"] == imds.settings["instance_id"]


@pytest.mark.parametrize("change, words", [
    ({"put_status": 403}, "IMDS gave no session token (HTTP 403)"), ({"role": ""}, "this instance has no role"),
    ({"code": "Failed"}, "it answered Code Failed"), ({"credentials_status": 500}, "IMDS does not say (HTTP 500)"),
    ({"credentials_body": "{}"}, "its answer has no AccessKeyId"), ({"credentials_body": "<html>"}, "no JSON object"),
    ({"expires_in_s": -5}, "IMDSv2 gave credentials that expired at"),
    ({"silent": ["/latest/api/token"]}, "did not answer within")])
def test_an_imds_that_fails_is_said(ec2, imds, tool, change, words):
    imds.settings.update(change)
    running = tool(**metadata(ec2, imds), AWS_REGION="us-east-1")
    assert words in call(running)[0]["text"]


def test_credentials_near_their_end_are_renewed_ahead(ec2, imds, tool):
    imds.settings["expires_in_s"] = 4
    accept_imds(ec2, imds)
    running = tool(**metadata(ec2, imds), AWS_REGION="us-east-1")
    assert call(running) == []
    first = sum("security-credentials/" in str(e) for e in imds.log)
    deadline = time.monotonic() + 6
    while sum("security-credentials/" in str(e) for e in imds.log) <= first:
        assert time.monotonic() < deadline, "not renewed before they ended"
        time.sleep(0.1)


def test_expired_credentials_are_renewed_in_flight(ec2, imds, tool):
    """EC2 says that they are expired: new ones are fetched and the same launch goes out again."""
    accept_imds(ec2, imds)
    running = tool(**metadata(ec2, imds), AWS_REGION="us-east-1")
    assert call(running) == []
    ec2.control(credentials={IMDS_KEY: {"secret": IMDS_SECRET, "token": IMDS_TOKEN, "expires": time.time() - 1},
                             "ASIANEW": {"secret": "new", "token": "new-session"}})
    imds.settings.update(access_key="ASIANEW", secret_key="new", session_token="new-session")
    order = {"token": "flight", "count": 1, "capacity_type": "spot",
             "overrides": [{"type": "m5.large", "zone": "us-east-1a", "subnet": "subnet-1", "template": "none"}]}
    result = running.ask("launch", "launched", order)
    assert result["code"] not in ("RequestExpired", "NoCredentials"), result
    first, second = ec2.log("CreateFleet")
    assert first["params"] == second["params"]
    assert (first["signature"], second["signature"]) == ("ExpiredToken", None) or second["signature"] is None


def test_credentials_that_stay_expired_are_tried_once_more_only(ec2, tool):
    ec2.control(credentials={"AKOLD": {"secret": "s", "token": "t", "expires": time.time() - 5}})
    running = tool(AWS_REGION="us-east-1", AWS_ENDPOINT_URL=ec2.url, AWS_ACCESS_KEY_ID="AKOLD",
                   AWS_SECRET_ACCESS_KEY="s", AWS_SESSION_TOKEN="t")
    result = running.ask("launch", "launched", {"token": "old", "count": 1, "overrides": []})
    assert (result["outcome"], result["code"]) == ("refused", "RequestExpired")
    assert len(ec2.log("CreateFleet")) == 2


def test_wrong_credentials_are_refused(ec2, tool):
    running = tool(AWS_REGION="us-east-1", AWS_ENDPOINT_URL=ec2.url, AWS_ACCESS_KEY_ID=ec2.access_key,
                   AWS_SECRET_ACCESS_KEY="wrong")
    result = running.ask("launch", "launched", {"token": "w", "count": 1, "overrides": []})
    assert (result["outcome"], result["code"]) == ("refused", "AuthFailure")
    assert "STS refused them: SignatureDoesNotMatch" in call(running)[0]["text"]


def test_a_launch_without_credentials_is_unknown_and_not_lost(tool):
    running = tool(AWS_REGION="us-east-1")
    result = running.ask("launch", "launched", {"token": "n", "count": 1, "overrides": []})
    assert (result["outcome"], result["code"]) == ("unknown", "NoCredentials") and result["sent_ns"] == 0


def test_from_a_container_with_its_token_file(ec2, imds, tool, tmp_path):
    (tmp_path / "token").write_text("let-me-in")
    imds.settings["authorization"] = "let-me-in"
    accept_imds(ec2, imds)
    running = tool(AWS_ENDPOINT_URL=ec2.url, AWS_REGION="us-east-1",
                   AWS_CONTAINER_CREDENTIALS_FULL_URI=imds.url + "/v1/credentials",
                   AWS_CONTAINER_AUTHORIZATION_TOKEN="not-this", AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "token"))
    assert call(running) == [] and source(running) == "container"


def test_a_container_that_refuses_is_said(ec2, imds, tool):
    imds.settings["authorization"] = "secret"
    problems = call(tool(AWS_ENDPOINT_URL=ec2.url, AWS_REGION="us-east-1",
                         AWS_CONTAINER_CREDENTIALS_FULL_URI=imds.url + "/v1/credentials"))
    assert "the container's credentials endpoint answered HTTP 4" in problems[0]["text"]


def test_old_credentials_serve_while_renewing_fails(ec2, imds, tool):
    imds.settings["expires_in_s"] = 8
    accept_imds(ec2, imds)
    running = tool(**metadata(ec2, imds), AWS_REGION="us-east-1")
    assert call(running) == []
    imds.settings["credentials_status"] = 500
    time.sleep(5)
    assert call(running) == []
    assert any("those in use are kept until they expire" in line for line in running.errors)


def test_the_time_of_a_stranger_is_not_waited_for(tool):
    """A credentials endpoint that never answers ends in an error and not in a hang."""
    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(5)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        began = time.monotonic()
        problems = call(tool(AWS_REGION="us-east-1",
                             AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://127.0.0.1:{server.server_address[1]}/"))
        assert "did not answer within" in problems[0]["text"] and time.monotonic() - began < 15
    finally:
        server.shutdown()
        server.server_close()
