# SPDX-License-Identifier: Apache-2.0
"""What must hold after a schedule, from the proxy's own ledger and log: what EC2 did, not what forerun says of it.

Each check gives sentences; none is right.
"""

import prices

MINUTE_S = 60.0
# Nothing but the leader does these, and nobody while everything is paused.
ACTING = ("CreateFleet", "TerminateInstances", "CreateTags", "DeleteTags")
VCPUS = 2  # of every type that schedules buy


def service_of(entry):
    return entry["tags"].get("forerun.dev/policy", "")


def wanted_until(notes, service, hosts, t):
    """The most instances that its demand had allowed by then."""
    asked = [note["replicas"] for note in notes if note["what"] == "demand" and note["service"] == service and note["t"] <= t]
    return max([0] + [replicas - hosts for replicas in asked])


def alive_at(entries, t):
    return [e for e in entries if e["launched"] <= t and (e["terminated"] is None or e["terminated"] > t)]


def no_duplicate(schedule, entries, notes):
    """Never more alive than demand had asked for by then; never more under a token than it was for."""
    for name, service in schedule["services"].items():
        own = [e for e in entries if service_of(e) == name]
        for entry in own:
            alive, allowed = alive_at(own, entry["launched"]), wanted_until(notes, name, service["hosts"], entry["launched"])
            if len(alive) > allowed:
                yield (f"{name}: {len(alive)} alive when {entry['id']} ({entry['token']}, {entry['tags'].get('forerun.dev/decision')}) was launched, "
                       f"demand had asked for {allowed}: {[(e['id'], e['token']) for e in alive]}")
                break
    tokens = {}
    for entry in entries:
        tokens.setdefault(entry["token"], []).append(entry)
    for token, group in tokens.items():
        counts = {int(e["tags"].get("forerun.dev/count", "0")) for e in group}
        if len(counts) != 1 or len(group) > max(counts):
            yield f"token {token}: {len(group)} instances, asked for {sorted(counts)}"
        if len({e["tags"].get("forerun.dev/decision") for e in group}) > 1:
            yield f"token {token} launched for several decisions"


def nobody_elses(schedule, entries):
    for entry in entries:
        if service_of(entry) not in schedule["services"] or not entry["token"] or "forerun.dev/decision" not in entry["tags"]:
            yield f"{entry['id']} was launched without saying for whom: {entry['tags']}, token {entry['token']!r}"


VIEW_AGE_S = 1.5  # how old the list of instances may be that an order was made on


def could_be_known(schedule, other, entry, notes):
    """A core alone that loses its disk knows what it launched before only when EC2 shows it: there is nothing else that
    could tell (docs/exactly-once.md)."""
    if schedule["locked"]:
        return True
    start, end = (one.get("asked", {"t_kernel": one["launched"]})["t_kernel"] for one in (other, entry))
    lost = any(note["what"] == "died" and note["empty_disk"] and start <= note["t"] <= end for note in notes)
    return not lost or other["launched"] + other.get("hidden_s", 0) + VIEW_AGE_S <= entry["launched"]


def within_limits(schedule, entries, log, notes):
    brake = schedule["brake"]
    for entry in entries if brake["kind"] in ("cpu", "usd") else []:
        alive = [other for other in alive_at(entries, entry["launched"]) if could_be_known(schedule, other, entry, notes)]
        cost = sum(prices.price_of(e["capacity_type"], e["type"], e["zone"]) for e in alive)
        if brake["kind"] == "cpu" and VCPUS * len(alive) > brake["value"]:
            yield f"{VCPUS * len(alive)} vCPUs when {entry['id']} was launched, the pool's limit is {brake['value']}"
        if brake["kind"] == "usd" and cost > brake["value"] + 1e-9:
            yield f"{cost:.4f} USD an hour when {entry['id']} was launched, the limit is {brake['value']}"
    if brake["kind"] == "minute":
        yield from within_a_minute(schedule, entries, log, notes)


def within_a_minute(schedule, entries, log, notes):
    """By the time of asking: what a network holds up comes later than it was counted."""
    first, limit = {}, schedule["brake"]["value"]
    for call in log:
        if call["action"] == "CreateFleet":
            first.setdefault(call["params"].get("ClientToken"), call["t_kernel"])
    for entry in entries:
        t = first[entry["token"]]
        known = [other for other in entries if t - MINUTE_S + 0.1 < first[other["token"]] <= t and could_be_known(schedule, other, entry, notes)]
        if len(known) > limit:
            yield f"{len(known)} instances asked for within a minute, the limit is {limit}"
            return


def fenced(schedule, log, writes, freezes):
    """writes: of the lock (lock_writes()). Only who holds the lock calls, also for an order of an epoch before. A call
    that came from somebody else was on the wire when the lock changed hands, or its process stood still between asking
    whether it may and writing: one for each standstill at most."""
    if not schedule["locked"]:
        return
    late = []
    for call in log:
        if call["action"] not in ACTING or call["params"].get("DryRun") == "true":
            continue
        before = [(client, holds) for when, client, _, holds in writes if when < call["t_kernel"]]
        if not before or before[-1] != (call["client"], True):
            late.append((call["n"], call["action"], call["client"]))
    if len(late) > len(freezes):
        yield f"{len(late)} calls of who did not hold the lock ({len(freezes)} standstills): {late}"


PAUSE_SEEN_S = 2.0  # it is looked for once a second, on a machine that may be busy


def paused(log, notes):
    """While the kill switch is on nothing is launched or terminated, and nothing is asked for again."""
    begun = [note["t"] for note in notes if note["what"] == "paused"]
    ended = [note["t"] for note in notes if note["what"] == "resumed"]
    for call in log:
        if call["action"] in ACTING and call["params"].get("DryRun") != "true":
            if any(start + PAUSE_SEEN_S < call["t_kernel"] < end for start, end in zip(begun, ended)):
                yield f"call {call['n']} ({call['action']} of {call['client']}) while everything was paused"


def epochs_grow(schedule, entries, writes):
    """Each change of hands is a new epoch, and what is launched carries one that was taken before."""
    for (_, client, epoch, _), (when, following, later, _) in zip(writes, writes[1:]):
        if later < epoch or (later == epoch and client != following):
            yield f"the lock went from {client} with epoch {epoch} to {following} with epoch {later}"
    for entry in entries if schedule["locked"] else []:
        epoch = int(entry["tags"].get("forerun.dev/epoch", "0"))
        if not any(when < entry["launched"] and taken == epoch for when, _, taken, _ in writes):
            yield f"{entry['id']} carries epoch {epoch}, which nobody had taken"


def refusals(log):
    """Nothing that forerun sends is malformed; a wrong signature is only what a fault made of it."""
    for call in log:
        if call["signature"] not in (None, "RequestExpired", "ExpiredToken"):
            yield f"call {call['n']} ({call['action']}): {call['signature']}"
        if call["model"]:
            yield f"call {call['n']} ({call['action']}): {call['model']}"


def dearest(schedule):
    pool = schedule["pool"]
    return max(prices.price_of(kind, t, z) for kind in pool["capacity"] for t in pool["types"] for z in pool["zones"])


def at_rest(schedule, entries, replicas):
    """Nothing decided is lost: what stands is what is asked for, as far as the brake allows. replicas: {service: wanted}."""
    alive = [e for e in entries if e["terminated"] is None]
    have = {name: sum(service_of(e) == name for e in alive) for name in schedule["services"]}
    want = {name: max(0, replicas[name] - service["hosts"]) for name, service in schedule["services"].items()}
    total, brake = sum(want.values()), schedule["brake"]
    over = [name for name in want if have[name] > want[name]]
    if over:
        return f"{have} alive, {want} asked for"
    if brake["kind"] == "none":
        enough = have == want
    elif brake["kind"] == "cpu":
        enough = len(alive) >= min(total, brake["value"] // VCPUS)
    elif brake["kind"] == "usd":
        cost = sum(prices.price_of(e["capacity_type"], e["type"], e["zone"]) for e in alive)
        enough = have == want or cost + dearest(schedule) > brake["value"] - 1e-9
    else:
        # What went again still counts for its minute.
        gone = len(entries) - len(alive)
        enough = len(alive) + gone >= min(total, brake["value"])
    return None if enough else f"{have} alive, {want} asked for, brake {brake}"


def check(schedule, entries, log, notes, writes, freezes):
    found = []
    for check_one in (no_duplicate(schedule, entries, notes), nobody_elses(schedule, entries), within_limits(schedule, entries, log, notes),
                      fenced(schedule, log, writes, freezes), paused(log, notes), epochs_grow(schedule, entries, writes), refusals(log)):
        found += check_one
    return found
