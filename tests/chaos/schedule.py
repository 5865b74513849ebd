# SPDX-License-Identifier: Apache-2.0
"""What happens to one world, drawn from one number: the same seed is the same schedule, on every machine.

A schedule is plain data (schedule.json beside the logs of a run that failed). Times are seconds from the moment in which
every core is up. Nothing here starts or asks anything.
"""

import random
import signal

TARGET = 8  # accept-queue depth for each replica
ACTIVE, STANDBY = "active", "standby"  # who that is, is seen when the event comes
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
TYPES = ["m5.large", "c5.large", "m6i.large", "c6i.large"]  # all with 2 vCPUs

# What EC2 and the lock may do wrong with one call. Times stay below what the cores are told to wait for (VISIBLE_WITHIN_S).
VISIBLE_WITHIN_S = 10  # of being sent: a standstill, a delay and the hiding of what it launched, one after the other
HIDDEN_MOST_S = 1.5
LATE_MOST_S = 2.0
LAUNCH_FAULTS = ["drop_before", "drop_after", "drop_after_fin", "delay", "delay_before", "garbage", "truncate", "truncate_xml", "throttle",
                 "internal", "unavailable", "mismatch"]
LOOK_FAULTS = ["throttle", "internal", "stale", "stale", "drop_after", "garbage", "not_found", "truncate_xml"]
END_FAULTS = ["drop_before", "drop_after", "throttle", "internal", "not_found", "delay_before", "garbage"]
LOCK_FAULTS = ["drop_before", "drop_after", "delay", "delay_before", "lock_internal", "lock_throttle", "garbage"]
LOCK_ACTIONS = ["UpdateItem", "PutItem", "GetItem"]


def fault(chance, action, name):
    """A fault as the proxy takes it."""
    made = {"action": action, "times": chance.randint(1, 3), "skip": chance.randint(0, 1)}
    errors = {"throttle": (503, "RequestLimitExceeded"), "internal": (500, "InternalError"), "unavailable": (503, "Unavailable"),
              "mismatch": (400, "IdempotentParameterMismatch"), "not_found": (400, "InvalidInstanceID.NotFound"),
              "lock_internal": (500, "InternalServerError"), "lock_throttle": (400, "ProvisionedThroughputExceededException")}
    if name in errors:
        status, code = errors[name]
        return {**made, "do": "error", "status": status, "code": code}
    if name == "drop_after_fin":
        return {**made, "do": "drop_after", "how": "fin"}
    if name in ("delay", "delay_before"):
        return {**made, "do": name, "s": round(chance.uniform(0.05, LATE_MOST_S), 2)}
    if name == "stale":
        return {**made, "do": name, "s": round(chance.uniform(0.2, HIDDEN_MOST_S), 2), "times": chance.randint(1, 6)}
    return {**made, "do": name}


def offers(chance):
    """One pool: 2 to 4 types in zones."""
    types = sorted(chance.sample(TYPES, chance.randint(1, 2)))
    zones = sorted(chance.sample(ZONES, 2))
    capacity = chance.choice([["spot"], ["on-demand"], ["spot", "on-demand"]])
    return {"types": types, "zones": zones, "capacity": capacity}


def brakes(chance):
    """At most one limit binds in a schedule, so that what it leaves is known."""
    kind = chance.choice(["none"] * 6 + ["cpu", "cpu", "usd", "minute"])
    value = {"none": 0, "cpu": 2 * chance.randint(2, 5), "usd": round(chance.uniform(0.1, 0.5), 3), "minute": chance.randint(2, 5)}[kind]
    return {"kind": kind, "value": value}


def services(chance):
    found = {}
    for name in ["web", "api"][: chance.choice([1, 1, 2])]:
        hosts = chance.choice([1, 1, 2])
        found[name] = {"hosts": hosts, "most": 10, "down_s": chance.choice([300, 300, 1]), "port": {"web": 80, "api": 8080}[name]}
    return found


def demands(chance, drawn, length):
    """For each service a few steps of wanted replicas; the last one asks for some. Without a quick way down a step
    never goes back: so each step is a bound of its own."""
    found = []
    for name, service in drawn.items():
        level = service["hosts"]
        count = chance.randint(1, 4)
        times = sorted(round(chance.uniform(0, length * 0.7), 2) for _ in range(count))
        for index, at in enumerate(times):
            last = index == count - 1
            if service["down_s"] == 1 and not last and chance.random() < 0.4:
                level = service["hosts"]
            else:
                level = min(8, max(level, service["hosts"]) + chance.randint(1, 3))
            found.append([at, "demand", {"service": name, "replicas": level}])
    return found


def cloud_events(chance, length, locked):
    found = []
    for _ in range(chance.choice([0, 1, 2, 3, 4, 6])):
        group = chance.choice(["launch"] * 4 + ["look"] * 2 + ["end"] + (["lock"] * 2 if locked else []))
        names, actions = {"launch": (LAUNCH_FAULTS, ["CreateFleet"]), "look": (LOOK_FAULTS, ["DescribeInstances"]),
                          "end": (END_FAULTS, ["TerminateInstances", "TerminateInstances", "CreateTags"]), "lock": (LOCK_FAULTS, LOCK_ACTIONS)}[group]
        found.append([round(chance.uniform(0, length), 2), "fault", fault(chance, chance.choice(actions), chance.choice(names))])
    if chance.random() < 0.15:
        at = round(chance.uniform(0, length), 2)
        found += [[at, "set", {"skew_s": chance.choice([-600, 600])}], [round(at + chance.uniform(0.3, 1.5), 2), "set", {"skew_s": 0}]]
    if chance.random() < 0.15:
        found.append([round(chance.uniform(0, length), 2), "set", {"expire_sessions": True}])
    if chance.random() < 0.15:
        found.append([round(chance.uniform(0, length), 2), "reclaim", {"index": chance.randint(0, 99)}])
    return found


def capacity(chance, pool):
    """What some offers have left; never all of them nothing."""
    every = [f"{t}/{z}" for t in pool["types"] for z in pool["zones"]]
    short = chance.sample(every, chance.randint(0, len(every) - 1))
    return {offer: chance.randint(0, 2) for offer in sorted(short)}


def at_a_call(chance, locked):
    """A moment that the proxy chooses: when a call has come, has happened, or was answered."""
    action = chance.choice(["CreateFleet"] * 4 + ["DescribeInstances", "TerminateInstances", "CreateTags"] + (LOCK_ACTIONS[:2] if locked else []))
    return {"action": action, "do": "kill_client", "when": chance.choice(["before", "after", "replied"]), "skip": chance.randint(0, 1),
            "times": 1, "s": round(chance.random() * 0.02, 4)}


def process_events(chance, length, cores, locked):
    """Deaths and standstills. What comes after a death (how soon, with which disk) is in lives()."""
    found = []
    for _ in range(chance.choice([0, 1, 1, 2, 3, 4])):
        at = round(chance.uniform(0, length), 2)
        kind = chance.choice(["kill", "kill", "kill_at", "kill_at", "freeze", "freeze_at"])
        if kind == "kill":
            found.append([at, "kill", {"who": chance.choice([ACTIVE, ACTIVE, STANDBY, "all"] if len(cores) > 1 else [ACTIVE])}])
        elif kind == "kill_at":
            found.append([at, "fault", at_a_call(chance, locked)])
        elif kind == "freeze":
            found.append([at, "freeze", {"who": ACTIVE, "s": round(chance.uniform(0.2, 4), 2)}])
        else:
            thaw = {"signal": int(signal.SIGSTOP), "thaw_s": round(chance.uniform(0.2, 4), 2)}
            found.append([at, "fault", {**at_a_call(chance, locked), **thaw}])
    return found


def network_events(chance, length, cores, drawn, kind):
    found, locked = [], kind == "pair"
    for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
        at = round(chance.uniform(0, length), 2)
        until = round(at + chance.uniform(0.3, 3), 2)
        between = chance.choice(["aws"] + (["agents", "agents"] if kind != "run" else []) + (["lock", "lock"] if locked else []))
        how = chance.choice(["refuse", "lose", "hold"])
        if between == "agents":
            where = {"core": chance.choice(cores), "service": chance.choice(sorted(drawn))}
            found += [[at, "cut", {**where, "how": how}], [until, "cut", {**where, "how": None}]]
        else:
            gate = f"{chance.choice(cores)}/{'dynamodb' if between == 'lock' else 'ec2'}"
            # What is kept on the way may not come later than what the cores wait for.
            until = min(until, at + LATE_MOST_S) if how == "hold" else until
            found += [[at, "gate", {"gate": gate, "how": how}], [until, "gate", {"gate": gate, "how": None}]]
    if kind != "run" and chance.random() < 0.15:
        found.append([round(chance.uniform(0, length), 2), "agents_restart", {"service": chance.choice(sorted(drawn)), "s": round(chance.uniform(0, 1.5), 2)}])
    return found


def pause(chance, length):
    """The kill switch, in one schedule of six: longer than it takes to be seen."""
    if chance.random() < 0.83:
        return []
    at = round(chance.uniform(0, length * 0.6), 2)
    return [[at, "pause", {"s": round(chance.uniform(2.5, 4), 2)}]]


def lives(chance):
    """What follows each death of one core, in order."""
    return [{"after_s": round(chance.choice([0.05, chance.uniform(0.1, 2)]), 2), "empty_disk": chance.random() < 0.4} for _ in range(12)]


def draw(seed):
    chance = random.Random(seed)
    length = round(chance.uniform(2.5, 6), 2)
    # Two cores and a lock, one core alone, or agent and core in one process.
    kind = chance.choice(["pair"] * 7 + ["single"] * 2 + ["run"])
    locked, cores = kind == "pair", ["a", "b"] if kind == "pair" else ["a"]
    drawn = services(chance)
    if kind == "run":
        drawn = {"web": {**drawn["web"], "hosts": 1}}
    pool = offers(chance)
    events = (demands(chance, drawn, length) + cloud_events(chance, length, locked) + process_events(chance, length, cores, locked)
              + network_events(chance, length, cores, drawn, kind) + pause(chance, length))
    settings = {"seed": chance.randrange(1 << 31), "capacity": capacity(chance, pool),
                "hidden_s": [0, round(chance.choice([0, 0.3, HIDDEN_MOST_S]), 2)], "pending_s": [0, round(chance.uniform(0, 1.5), 2)],
                "shutting_down_s": round(chance.choice([0, 0.5]), 2)}
    if chance.random() < 0.15:
        settings["buckets"] = {"CreateFleet": [1, 1]}
    return {"seed": seed, "kind": kind, "length_s": length, "locked": locked, "cores": cores, "services": drawn, "pool": pool, "brake": brakes(chance),
            "settings": settings, "sessions": chance.random() < 0.3, "drain_ms": chance.choice([0, 0, 300, 1500]),
            "instances_report": kind != "run" and chance.random() < 0.4, "lives": {name: lives(chance) for name in cores},
            "events": sorted(events, key=lambda event: event[0])}
