# SPDX-License-Identifier: Apache-2.0
"""Old and new understand each other. What each version said is kept as recorded bytes; what 1.0 understands is session.py, which
follows docs/wire.md as of 1.0 and passes over the rest."""

import pathlib
import re

import pytest
import session

HERE = pathlib.Path(__file__).parent
OLD_AGENT = (HERE / "agent-1.0.stream").read_bytes()
OLD_CORE = (HERE / "core-1.0.stream").read_bytes()


def test_a_core_of_today_understands_an_agent_of_1_0(server, agent):
    core = server()
    old = agent(core.port)
    old.send(OLD_AGENT)
    assert session.fields(old.until(session.WELCOME)[2])[1] == b"\x01\x00"
    core.event("joined", host="web-1")
    frames = [core.event("frame", sequence=n) for n in range(1, 7)]
    assert {frame["notice"] for frame in frames} == {""}
    assert [frame["edge"] for frame in frames] == [False, False, True, False, False, False]
    assert {frame["count"] for frame in frames} == {4}
    assert {frame["services"] for frame in frames} == {""}
    assert core.event("left")["reason"] == "the agent stops"


@pytest.mark.parametrize("version, notices", [("1.1", {""}), ("1.2", {"", "spot"})])
def test_a_core_of_today_understands_later_agents(server, agent, version, notices):
    core = server()
    old = agent(core.port)
    old.send((HERE / f"agent-{version}.stream").read_bytes())
    core.event("joined", host="web-1")
    frames = [core.event("frame", sequence=n) for n in range(1, 7)]
    assert {frame["count"] for frame in frames} == {4}
    assert {frame["services"] for frame in frames} == {"api,web"}
    assert {frame["notice"] for frame in frames} == notices
    assert core.event("left")["reason"] == "the agent stops"


def test_an_agent_of_today_understands_a_core_of_1_0(tools, keys, core):
    old = core()
    new = tools("agent", f"127.0.0.1:{old.port}", "web-1", *keys.options("web-1"))
    old.accept()
    old.until(session.HELLO)
    old.send(OLD_CORE)
    assert new.event("interest")["metrics"] == "2"
    new.event("connected")
    new.event("poll")
    assert new.event("interest")["metrics"] == "3"
    assert new.event("lost")["reason"] == "the agent said nothing for too long"


def test_a_core_of_1_0_understands_an_agent_of_today(tools, keys, core):
    old, host = core(), session.Host()
    new = tools("agent", f"127.0.0.1:{old.port}", "web-1", *keys.options("web-1"), "listeners=5", "services=api,web")
    old.accept()
    hello = session.fields(old.until(session.HELLO)[2])
    assert (hello[1], hello[2], hello[3]) == (b"\x01\x00", b"\x02\x00", b"web-1")
    old.send(session.welcome(interest={0: 0x1FF}))
    host.frame(*old.until(session.FRAME)[1:])
    assert len(host.listeners) == 5
    assert host.listeners[3][5] == 8003  # its port
    assert ("frame", 11) in host.unknown  # the services, which 1.0 does not know
    new.say("notice")  # of the host's end: nor that
    for _ in range(3):
        new.say("edge")
        host.frame(*old.until(session.FRAME)[1:])
    assert (host.sequence, host.edges) == (4, 3) and ("frame", 12) in host.unknown
    assert host.listeners[0]["values"][0, 0] == 3  # the depth that wire_tool counts up


def test_an_agent_of_1_0_understands_a_core_of_today(server, agent):
    core = server("silent_ms=3000", "interest=0,8")
    old = agent(core.port)
    welcome = old.join()
    assert (welcome[1], welcome[2]) == (b"\x01\x00", b"\x02\x00")
    assert welcome[16] == bytes([0, 0xFF, 1, 8, 0xFF, 1])
    old.send(session.frame(1, session.listener(0, session.item_number(1, 7)), session.FULL))
    assert core.event("frame", sequence=1)["count"] == 1
    core.say("poll")
    old.until(session.POLL)


def test_what_only_the_next_minor_version_knows_is_passed_over(server, agent):
    core = server()
    newer = agent(core.port)
    newer.join(minor=3, extra=session.field(99, b"news"))
    newer.send(session.message(77, b"a kind of message that is not known yet", flags=128))
    content = session.item_bytes(40, b"news") + session.item_double(41, 1.5) + session.item_number(42, 9)
    listener = session.listener(0, session.item_number(1, 7) + session.item_bytes(60, b"more") + session.item_double(61, 2))
    newer.send(session.frame(1, content + listener, session.FULL | 64))
    frame = core.event("frame", sequence=1)
    assert (frame["host"], frame["count"]) == ("web-1", 1)


def test_an_agent_passes_over_what_only_a_newer_core_says(tools, keys, core):
    newer = core()
    agent = tools("agent", f"127.0.0.1:{newer.port}", "web-1", *keys.options("web-1"))
    newer.accept()
    newer.until(session.HELLO)
    newer.send(session.welcome(interest={0: 1, 200: 3}, minor=9, extra=session.field(99, b"news")))
    assert agent.event("interest")["metrics"] == "1"
    newer.send(session.message(99, b"news") + session.message(session.POLL))
    agent.event("poll")


def test_another_major_version_is_refused_with_words_on_both_sides(server, agent, tools, keys, core):
    here = server()
    other = agent(here.port)
    other.send(session.hello("web-1", major=2))
    assert other.reason() == "the agent speaks version 2.0, but only 1 is known here"
    here.logged("the agent speaks version 2.0, but only 1 is known here")

    there = core()
    ours = tools("agent", f"127.0.0.1:{there.port}", "web-1", *keys.options("web-1"))
    there.accept()
    there.send(session.welcome(major=2))
    assert there.reason() == "the core speaks version 2.0, but only 1 is known here"
    assert ours.event("lost")["reason"] == "the core speaks version 2.0, but only 1 is known here"


def test_the_documented_example_is_what_is_said():
    text = (HERE.parent.parent / "docs" / "wire.md").read_text().split("An example: frame 2")[1].split("\n\n")[1]
    lines = [re.match(r"(?:[0-9a-f]{2} {1,2})+", line.strip() + " ").group() for line in text.splitlines()]
    value = session.item_bytes(15, bytes([0, 0x30, 7, 0]))
    assert bytes.fromhex("".join(lines)) == session.frame(2, session.listener(3, value))
