# SPDX-License-Identifier: Apache-2.0
"""Who may not speak, and how both sides get to know why. The other side is openssl s_client or Python's ssl."""

import resource
import socket
import ssl
import subprocess
import time

import pytest

import session

REFUSED = "the other side refused: "


# ---- certificates ----


def agent_of(tools, keys, port, name="web-1", host="web-1", ca="ca"):
    return tools("agent", f"127.0.0.1:{port}", host, *keys.options(name, ca))


def test_a_certificate_of_another_authority_is_refused(server, tools, keys):
    keys.authority("other")
    keys.issue("stranger", "other", "DNS:web-1", "clientAuth")
    core = server()
    agent = agent_of(tools, keys, core.port, "stranger")
    core.logged("the other side's certificate is refused: unable to get local issuer certificate")
    assert agent.event("lost")["reason"] == REFUSED + "our certificate is not from a CA that it trusts"
    assert core.status()["handshakes_failed"] >= 1


def test_an_expired_certificate_is_refused(server, keys):
    keys.issue("late", "ca", "DNS:web-1", "clientAuth", "-days", "-1")
    core = server()
    # Our own agent would not even start with it: see the test of reloading.
    log = s_client(core.port, "-CAfile", keys.path("ca.pem"), "-cert", keys.path("late.pem"), "-key",
                   keys.path("late.key"))
    assert "alert certificate expired" in log
    core.logged("the other side's certificate is refused: certificate has expired")


def test_a_certificate_made_for_servers_is_no_agents(server, keys, tools):
    keys.issue("posing", "ca", "DNS:web-1", "serverAuth")
    core = server()
    agent = agent_of(tools, keys, core.port, "posing")
    core.logged("the other side's certificate is refused: unsuitable certificate purpose")
    assert agent.event("lost")["reason"] == REFUSED + "our certificate is not made for this use"


def test_without_a_certificate_nobody_comes_in(server, agent):
    core = server()
    with pytest.raises((ssl.SSLError, ConnectionError)) as error:
        stranger = agent(core.port, certificate=False)
        stranger.next()
    assert "certificate required" in str(error.value).lower() or isinstance(error.value, ConnectionError)
    core.logged("the other side shows no certificate")


def test_the_name_in_the_hello_must_be_the_certificates(server, agent):
    core = server()
    liar = agent(core.port)
    liar.send(session.hello("db-1"))
    assert liar.reason() == "its certificate or key is not for host db-1"
    core.logged("its certificate or key is not for host db-1")
    for name in (".web-1", "WEB-1", "web-1."):
        other = agent(core.port)
        other.send(session.hello(name))
        assert other.reason() == f"its certificate or key is not for host {name}"
    worse = agent(core.port)
    worse.send(session.hello("web-1\nerror"))
    assert worse.reason() == "a host's name has letters, digits, '-', '.' and '_'"


def test_the_common_name_counts_where_no_other_name_is(server, agent, keys):
    keys.issue("plain", "ca", None, "clientAuth", common_name="web-9")
    core = server()
    agent(core.port, name="plain").join("web-9")
    core.event("joined", host="web-9")


def test_a_wildcard_is_nobodys_name(server, agent, keys):
    keys.issue("wild", "ca", "DNS:*.example", "clientAuth")
    core = server()
    wild = agent(core.port, name="wild")
    wild.send(session.hello("web.example"))
    assert wild.reason() == "its certificate or key is not for host web.example"


def test_a_core_must_bear_the_name_that_was_dialled(tools, keys, core):
    keys.issue("elsewhere", "ca", "DNS:core.example", "serverAuth")
    other = core(name="elsewhere")
    agent = agent_of(tools, keys, other.port)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        other.accept()
        other.next()
    assert agent.event("lost")["reason"] == "the other side's certificate is refused: IP address mismatch"


def test_an_agents_certificate_cannot_pose_as_a_core(tools, keys, core):
    keys.issue("forged", "ca", "IP:127.0.0.1", "clientAuth")
    other = core(name="forged")
    agent = agent_of(tools, keys, other.port)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        other.accept()
        other.next()
    assert agent.event("lost")["reason"] == "the other side's certificate is refused: unsuitable certificate purpose"


def test_tls_1_2_is_refused(server, agent):
    core = server()
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        agent(core.port, version=ssl.TLSVersion.TLSv1_2)
    core.logged("unsupported protocol")


# ---- a shared key ----


def s_client(port, *words, say=b""):
    """What openssl s_client prints; it ends when the other side does."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-ign_eof", *map(str, words)]
    done = subprocess.run(command, input=say, capture_output=True, timeout=15)
    return (done.stdout + done.stderr).decode(errors="replace")


def test_openssl_speaks_with_the_shared_key(server, keys):
    core = server("hello_ms=1000", auth=keys.shared())
    key = keys.path("shared").read_text().strip()
    say = session.hello("web-7") + session.frame(1, b"", session.FULL) + session.bye("enough")
    log = s_client(core.port, "-psk", key, "-psk_identity", "web-7", say=say)
    core.event("joined", host="web-7")
    core.event("frame", host="web-7", sequence=1)
    assert core.event("left")["reason"] == "enough"
    assert "Reused, TLSv1.3" in log


def test_another_shared_key_is_refused(server, tools, keys):
    core = server(auth=keys.shared())
    keys.path("wrong").write_text("ab" * 32)
    agent = tools("agent", f"127.0.0.1:{core.port}", "web-1", f"shared_key={keys.path('wrong')}")
    core.logged("the other side's shared key is another one")
    assert agent.event("lost")["reason"] == REFUSED + "our shared key is another one than its own"


def test_under_a_shared_key_the_identity_is_the_host(server, keys):
    core = server(auth=keys.shared())
    key = keys.path("shared").read_text().strip()
    log = s_client(core.port, "-psk", key, "-psk_identity", "web-7", say=session.hello("web-8"))
    assert "is not for host web-8" in log
    core.logged("is not for host web-8")


def test_keys_and_certificates_do_not_mix(server, tools, keys):
    core = server(auth=keys.shared())
    agent = agent_of(tools, keys, core.port)
    words = "it finds nothing that both can do (certificates on one side, a shared key on the other?)"
    assert agent.event("lost")["reason"] == REFUSED + words
    core.logged("refused")


# ---- reloading ----


def test_new_keys_are_taken_without_a_restart_and_bad_ones_are_not(server, tools, keys):
    core = server()
    agent = agent_of(tools, keys, core.port)
    core.event("joined", host="web-1")
    good = keys.path("core.pem").read_bytes(), keys.path("core.key").read_bytes()

    keys.path("core.key").write_bytes(keys.path("web-1.key").read_bytes())
    core.say("reload")
    assert core.event("not reloaded")["reason"].startswith("no key for the certificate in")
    keys.issue("core", "ca", "IP:127.0.0.1", "serverAuth", "-days", "-1")
    core.say("reload")
    assert core.event("not reloaded")["reason"].endswith("core.pem has expired")
    agent.say("frame")
    core.event("frame")  # the connection goes on, and the old keys let others in
    second = agent_of(tools, keys, core.port)
    second.event("connected")
    assert core.event("left")["reason"] == "another connection of this host took its place"

    keys.authority("ca2")
    keys.issue("core", "ca2", "IP:127.0.0.1", "serverAuth")
    core.say("reload")
    core.event("reloaded")
    third = agent_of(tools, keys, core.port)
    reason = third.event("lost")["reason"]
    assert reason == "the other side's certificate is refused: unable to get local issuer certificate"
    keys.path("core.pem").write_bytes(good[0])
    keys.path("core.key").write_bytes(good[1])
    core.say("reload")
    core.event("reloaded")
    third.event("connected")


def test_an_agent_takes_new_keys_at_once(server, tools, keys):
    core = server()
    keys.authority("later")
    keys.issue("moving", "later", "DNS:web-1", "clientAuth")
    agent = tools("agent", f"127.0.0.1:{core.port}", "web-1", f"ca={keys.path('ca.pem')}",
                  f"certificate={keys.path('moving.pem')}", f"key={keys.path('moving.key')}", "backoff_ms=60000")
    assert agent.event("lost")["reason"] == REFUSED + "our certificate is not from a CA that it trusts"
    keys.path("moving.key").write_text("no key")
    agent.say("reload")
    assert agent.event("not reloaded")["reason"].startswith("no key for the certificate in")
    keys.issue("moving", "ca", "DNS:web-1", "clientAuth")
    agent.say("reload")
    agent.event("reloaded")
    agent.event("connected")  # without waiting for the next attempt


# ---- what ends a connection ----


@pytest.fixture
def joined(server, agent):
    """A core and an agent that it let in; the agent's next frame has number 2."""

    def start(*options):
        core = server(*options)
        one = agent(core.port)
        one.join()
        one.send(session.frame(1, b"", session.FULL))
        core.event("frame", sequence=1)
        return core, one

    return start


@pytest.mark.parametrize(
    "bad, reason",
    [
        (session.frame(1), "frame 1 comes after frame 1: it is a repetition"),
        (session.frame(0), "frame 0 comes after frame 1: it is a repetition"),
        (session.frame(3), "frame 3 comes after frame 1: frames are missing"),
        (b"\xff\xff\x03\x00", "a message of 65535 bytes is longer than 16380"),
        (session.message(session.FRAME, session.item_number(1, 2) + b"\x0d"), "item 3 is cut short"),
        (session.message(session.FRAME, session.item_number(1, 2) + b"\x0f"), "item 3 has an unknown type"),
        (session.message(session.FRAME, session.item_double(1, 2.0)), "frame: item 1 has another type"),
        (session.frame(2, session.listener(5)), "listener 5 comes before 0"),
        (session.frame(2, session.item_number(10, 0)), "frame: listener 0 is gone but never was"),
        (session.frame(2, session.listener(0, session.item_bytes(6, b"x"))), "listener: an address has 1 bytes"),
        (session.frame(2, session.listener(0, session.item_bytes(14, b"a\0b"))), "listener: its reason is no text"),
        (session.frame(2, session.listener(0, session.item_bytes(15, b"\0\0x"))), "listener: a value is cut short"),
        (session.message(session.FRAME, b"", session.CONTINUED), "a frame goes on that has not begun"),
        (session.hello("web-1"), "the agent said hello again"),
        (session.message(session.BYE, b"\x01"), "a field's head is cut short"),
    ],
)
def test_what_is_wrong_ends_the_connection_with_a_reason_on_both_sides(joined, bad, reason):
    core, one = joined()
    one.send(bad)
    assert one.reason() == reason
    assert core.event("left")["reason"] == reason
    assert one.next() is None


def test_garbage_before_the_hello_is_refused(server, agent):
    core = server()
    one = agent(core.port)
    one.send(session.message(session.PING))
    assert one.reason() == "the agent said something before its hello"
    core.logged("the agent said something before its hello")
    with socket.create_connection(("127.0.0.1", core.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        core.logged("http request")


@pytest.mark.parametrize(
    "bad, reason",
    [
        (session.message(session.POLL), "the core said something before its welcome"),
        (b"\xff\xff\x02\x00", "a message of 65535 bytes is longer than 16380"),
        (session.message(session.WELCOME, b"\x01\x00\x09\x00"), "a field's head is cut short"),
        (session.welcome(major=1, extra=session.field(16, b"\0\0")), "the interest is cut short"),
        (session.welcome() + session.message(session.INTEREST, session.field(16, b"\0")), "the interest is cut short"),
        (session.message(session.WELCOME, session.field(1, b"\1")), "welcome: field 1 has 1 bytes instead of 2"),
    ],
)
def test_what_a_core_says_wrong_ends_the_connection_with_a_reason_on_both_sides(tools, keys, core, bad, reason):
    wrong = core()
    agent = agent_of(tools, keys, wrong.port)
    wrong.accept()
    wrong.until(session.HELLO)
    wrong.send(bad)
    assert wrong.reason() == reason
    wrong.socket.close()
    assert agent.event("lost")["reason"] == reason


def test_a_flood_ends_its_connection_alone(joined, agent, keys):
    core, one = joined("rate=20")
    keys.issue("web-2", "ca", "DNS:web-2", "clientAuth")
    other = agent(core.port, name="web-2")
    other.join("web-2")
    one.send(b"".join(session.frame(n) for n in range(2, 400)))
    assert one.reason() == "the agent says too much"
    assert core.event("left", host="web-1")["reason"] == "the agent says too much"
    other.send(session.frame(1, b"", session.FULL))
    core.event("frame", host="web-2")


def test_without_descriptors_a_core_says_so_and_goes_on(server, agent):
    core = server()
    resource.prlimit(core.process.pid, resource.RLIMIT_NOFILE, (12, 1024))
    strangers = [socket.create_connection(("127.0.0.1", core.port)) for _ in range(12)]
    assert "(raise LimitNOFILE=, ulimit -n)" in core.logged("connections can be taken: Too many open files")
    for stranger in strangers:
        stranger.close()
    agent(core.port).join()
    core.event("joined", host="web-1")


def test_the_next_connection_of_a_host_takes_the_place_of_the_one_before(joined, agent):
    core, one = joined()
    agent(core.port).join()
    assert one.reason() == "another connection of this host took its place"
    assert core.event("left")["reason"] == "another connection of this host took its place"
    assert core.status()["connections"] == 1


# ---- time ----


def test_a_byte_a_second_is_no_hello(server, agent):
    core = server("hello_ms=1500")
    with socket.create_connection(("127.0.0.1", core.port)) as raw:  # not even a handshake
        slow = agent(core.port)
        began = time.monotonic()
        try:
            for byte in session.hello("web-1"):
                slow.send(bytes([byte]))
                time.sleep(0.5)
        except OSError:
            pass
        assert time.monotonic() - began < 5
        core.logged("no hello came in time")
        core.logged("no hello came in time")
        raw.settimeout(5)
        assert raw.recv(1) == b""


def test_a_byte_now_and_then_is_no_sign_of_life(joined):
    core, one = joined("silent_ms=1200")
    frame = session.frame(2, session.item_bytes(50, b"x" * 200))
    with pytest.raises(OSError):
        for byte in frame:
            one.send(bytes([byte]))
            time.sleep(0.1)
        raise AssertionError("it was never ended")
    assert core.event("left")["reason"] == "the agent said nothing for too long"


def test_a_core_that_stands_still_is_left(tools, keys, core):
    still = core()
    agent = agent_of(tools, keys, still.port)
    still.accept()
    still.until(session.HELLO)
    still.send(session.welcome(speak_ms=200, silent_ms=900))
    agent.event("connected")
    still.until(session.PING)  # it says something itself meanwhile
    assert agent.event("lost")["reason"] == "the core said nothing for too long"
    assert still.reason() == "the core said nothing for too long"


def test_of_what_a_core_does_not_take_only_the_newest_is_kept(tools, keys, core):
    slow = core()
    agent = tools("agent", f"127.0.0.1:{slow.port}", "web-1", *keys.options("web-1"), "listeners=400", "tick_ms=2")
    slow.accept()
    slow.until(session.HELLO)
    slow.send(session.welcome(speak_ms=60000, silent_ms=60000))
    agent.event("connected")
    end = time.monotonic() + 10
    while agent.status()["replaced"] < 50 and time.monotonic() < end:
        time.sleep(0.2)
    before = agent.status()
    assert before["replaced"] >= 50
    assert before["resident_kib"] < 100_000
    agent.say("edge")  # must not be lost, whatever replaces it
    agent.status()
    host, body = session.Host(), b""
    while not host.edges:
        kind, flags, part = slow.next()
        if kind == session.FRAME:
            body += part
            if not flags & session.CONTINUES:
                host.frame(flags, body)
                body = b""
    assert len(host.listeners) == 400


def test_agents_come_back_to_a_core_that_comes_back(tools, keys):
    core = tools("server", "127.0.0.1:0", *keys.options("core"))
    port = core.event("listening")["port"]
    agent = tools("agent", f"127.0.0.1:{port}", "web-1", *keys.options("web-1"), "backoff_ms=50")
    agent.event("connected")
    core.stop()
    assert agent.event("lost")["reason"] == "the core stops"
    assert agent.event("lost")["reason"] == "Connection refused"
    again = tools("server", f"127.0.0.1:{port}", *keys.options("core"))
    agent.event("connected")
    assert again.event("frame")["sequence"] == 1


def test_a_name_is_looked_up_and_every_address_is_tried(tools, keys):
    keys.issue("named", "ca", "DNS:localhost", "serverAuth")
    # Only IPv4 listens: where localhost is ::1 as well, that one refuses.
    core = tools("server", "127.0.0.1:0", *keys.options("named"))
    port = core.event("listening")["port"]
    agent = tools("agent", f"localhost:{port}", "web-1", *keys.options("web-1"))
    agent.event("connected")
    lost = tools("agent", f"no-such-host.invalid:{port}", "web-1", *keys.options("web-1"))
    assert lost.event("lost")["reason"]
