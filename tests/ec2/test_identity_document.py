# SPDX-License-Identifier: Apache-2.0
"""The signed identity document: openssl signs as AWS does, the cloud room says whether it holds."""

import errno
import json
import subprocess
import tempfile

import pytest
from cloud_driver import Cloud, bare_environment

DOCUMENT = json.dumps({"accountId": "123456789012", "instanceId": "i-0123456789abcdef0", "region": "us-east-1",
                       "pendingTime": "2026-11-24T06:00:00Z"}, indent=2)
ID = "i-0123456789abcdef0"


def openssl(*arguments, text=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=text, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True).stdout


class Signer:
    """A certificate of its own, as each region of AWS has one."""

    def __init__(self, directory, name):
        self.key, self.certificate = directory / f"{name}.key", directory / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/O=Amazon/CN={name}", "-days", "2",
                "-keyout", self.key, "-out", self.certificate)

    def sign(self, document, *more):
        pem = openssl("smime", "-sign", "-signer", self.certificate, "-inkey", self.key, "-outform", "PEM", "-md", "sha256",
                      "-binary", *(more or ("-nodetach",)), text=document)
        return "".join(line for line in pem.splitlines(True) if not line.startswith("-----"))


@pytest.fixture(scope="module")
def signers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("signers")
    return Signer(directory, "ours"), Signer(directory, "other")


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    running = Cloud(bare_environment(tmp_path_factory.mktemp("home"), AWS_REGION="us-east-1"))
    yield running
    running.close()


@pytest.fixture
def verify(tool, signers):
    def ask(document, pkcs7, certificates=None):
        answer = tool.ask("verify", "verified", {"document": document, "pkcs7": pkcs7,
                                                 "certificates": str(certificates or signers[0].certificate)})
        assert (answer["error"] == 0) == (answer["id"] != "") == (answer["reason"] == "")
        return answer

    return ask


@pytest.mark.parametrize("how", [("-nodetach",), ("-nodetach", "-nocerts"), ("-nocerts",), ("-nodetach", "-stream")],
                         ids=["whole", "bare", "detached", "indefinite"])
def test_what_the_trusted_one_signed_holds(verify, signers, how):
    assert verify(DOCUMENT, signers[0].sign(DOCUMENT, *how))["id"] == ID


def test_several_certificates_in_a_file_are_all_trusted(verify, signers, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text("a comment\n" + signers[1].certificate.read_text() + signers[0].certificate.read_text())
    for signer in signers:
        assert verify(DOCUMENT, signer.sign(DOCUMENT), both)["id"] == ID


def test_with_its_first_and_last_line_and_without_the_last_line_break(verify, signers):
    pkcs7 = "-----BEGIN PKCS7-----\n" + signers[0].sign(DOCUMENT + "\n") + "-----END PKCS7-----\n"
    assert verify(DOCUMENT, pkcs7)["id"] == ID
    assert verify(DOCUMENT, pkcs7.replace("\n", "\r\n"))["id"] == ID


def test_another_signer_is_not_trusted_though_his_certificate_comes_along(verify, signers):
    answer = verify(DOCUMENT, signers[1].sign(DOCUMENT))
    assert answer["error"] == errno.EKEYREJECTED and "none of the certificates" in answer["reason"]


@pytest.mark.parametrize("how", [("-nodetach",), ("-nocerts",)], ids=["whole", "detached"])
def test_a_document_that_was_changed_does_not_hold(verify, signers, how):
    pkcs7 = signers[0].sign(DOCUMENT, *how)
    for changed in (DOCUMENT.replace("abcdef0", "abcdef1"), DOCUMENT + " ", DOCUMENT[1:], "{}"):
        assert verify(changed, pkcs7)["error"] == errno.EKEYREJECTED


def test_a_signature_that_was_changed_does_not_hold(verify, signers):
    pkcs7 = signers[0].sign(DOCUMENT)
    place = len(pkcs7) - 60
    other = "A" if pkcs7[place] != "A" else "B"
    assert verify(DOCUMENT, pkcs7[:place] + other + pkcs7[place + 1:])["error"] == errno.EKEYREJECTED


def test_two_signers_are_one_too_many(verify, signers, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(signers[1].certificate.read_text() + signers[0].certificate.read_text())
    more = ("-nodetach", "-signer", signers[1].certificate, "-inkey", signers[1].key)
    assert verify(DOCUMENT, signers[0].sign(DOCUMENT, *more), both)["error"] == errno.EKEYREJECTED


@pytest.mark.parametrize("document", ["{}", "[]", "no JSON", '{"instanceId": "i-0a"}', '{"region": "us-east-1"}',
                                      '{"instanceId": "../etc", "region": "us-east-1"}',
                                      '{"instanceId": "i-0a", "region": "Mars!"}', '{"instanceId": 5, "region": "us-east-1"}'])
def test_a_signed_text_that_is_no_document_names_nobody(verify, signers, document):
    assert "names no instance" in verify(document, signers[0].sign(document))["reason"]


@pytest.mark.parametrize("pkcs7", ["", "AAAA", "not base64 !", "=" * 40, "MIIB", "-----BEGIN PKCS7-----\n", "M" * 20000])
def test_garbage_is_refused_with_a_reason(verify, pkcs7):
    assert verify(DOCUMENT, pkcs7)["error"] == errno.EKEYREJECTED


def test_certificates_that_are_none_are_named(verify, signers):
    pkcs7 = signers[0].sign(DOCUMENT)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as empty:  # a short name: a reason holds 127 characters
        empty.write("nothing")
        empty.flush()
        assert f"{empty.name} has no certificate in PEM" in verify(DOCUMENT, pkcs7, empty.name)["reason"]
    missing = verify(DOCUMENT, pkcs7, "/no/such.pem")
    assert (missing["error"], missing["reason"]) == (errno.ENOENT, "cannot read /no/such.pem: No such file or directory")


def test_the_agent_gets_both_from_imds(imds, signers, tmp_path):
    pkcs7 = signers[0].sign(DOCUMENT)
    where = "/latest/dynamic/instance-identity/"
    imds.settings["documents"] = {where + "document": DOCUMENT, where + "rsa2048": pkcs7}
    environment = bare_environment(tmp_path, AWS_EC2_METADATA_SERVICE_ENDPOINT=imds.url, AWS_EC2_METADATA_DISABLED="false")
    running = Cloud(environment)
    try:
        given = running.ask("document", "document")
        assert (given["document"], given["pkcs7"]) == (DOCUMENT, pkcs7)
        imds.settings["documents"] = {where + "document": DOCUMENT}
        assert running.ask("document", "document")["document"] == ""
    finally:
        running.close()


def test_without_imds_there_is_none(tool):
    given = tool.ask("document", "document")
    assert (given["document"], given["pkcs7"]) == ("", "")
