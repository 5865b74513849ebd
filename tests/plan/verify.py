# SPDX-License-Identifier: Apache-2.0
"""Holds a plan, forerun's or its peer's, to every constraint of what it was made of. Shares nothing with either."""

import collections
import json

from generator import HOST
from inputs import Place, add, fits, node_wish_holds, quantity, selector_holds, tolerates


class Verifier:
    def __init__(self, inputs, plan):
        self.inputs, self.plan = inputs, plan
        self.wrong = []
        self.selected = {}  # by selector
        self.started = {}  # by pod and pool
        self.places = []

    def say(self, kind, text):
        self.wrong.append(f"{kind}: {text}")

    def verify(self):
        self.read()
        self.each_pod_once()
        for place in self.places:
            self.check_pods(place)
            if place.pool:
                self.check_new(place)
            elif place.new:
                self.check_existing(place)
        self.check_spread()
        self.check_affinity()
        self.check_anti_affinity()
        self.check_limits()
        self.check_weight()
        self.check_totals()
        return self.wrong

    # ---- reading ----

    def pods_named(self, names):
        found = [self.inputs.by_name.get(name) for name in names]
        for name, pod in zip(names, found):
            if pod is None:
                self.say("unknown", f"pod {name}")
        return [pod for pod in found if pod]

    def read(self):
        existing = {}
        for name, one in self.inputs.existing.items():
            place = Place(name, one.labels, one.taints, list(one.pods))
            existing[name] = place
            self.places.append(place)
        for one in self.plan["existing"]:
            if one["name"] not in existing:
                self.say("unknown", f"node {one['name']}")
                continue
            # Those that ran there before may be named, too.
            there = {pod.name for pod in self.inputs.existing[one["name"]].pods}
            new = self.pods_named([name for name in one["pods"] if name not in there])
            existing[one["name"]].new += new
            existing[one["name"]].pods += new
        for one in self.plan["nodes"]:
            self.places.append(self.new_place(one))

    def new_place(self, one):
        sold = self.inputs.sold.get(one["pool"], {})
        if "offerings" in one:
            offerings = [tuple(offering[:3]) for offering in one["offerings"]]
        else:
            offerings = [(name, zone, capacity_type) for name in one["types"] for zone in one["zones"] for capacity_type in one["capacity_types"]
                         if (name, zone, capacity_type) in self.inputs.prices]
        for offering in offerings:
            if offering not in sold:
                self.say("offering", f"{one['name']}: {'/'.join(offering)} is not sold, or not allowed by {one['pool']}")
        pods = self.pods_named(one["pods"])
        place = Place(one["name"], [sold[offering] for offering in offerings if offering in sold], self.inputs.taints_of(one["pool"]), pods, list(pods),
                      pool=self.inputs.pools[one["pool"]], offerings=[offering for offering in offerings if offering in sold], usd=one["usd_per_hour"])
        for key, at in (("types", 0), ("zones", 1), ("capacity_types", 2)):
            if set(one[key]) != {offering[at] for offering in offerings} and "offerings" in one:
                self.say("offering", f"{one['name']}: {key} are not those of its offerings")
        return place

    # ---- pods ----

    def each_pod_once(self):
        seen = collections.Counter(pod.name for place in self.places for pod in place.new)
        seen.update(one["pod"] for one in self.plan["unschedulable"])
        for name, count in seen.items():
            if count > 1:
                self.say("twice", name)
        for pod in self.inputs.pods:
            if pod.name not in seen:
                self.say("lost", pod.name)

    def check_pods(self, place):
        checked = set()
        for pod in place.new:
            if pod.wish in checked:
                continue
            checked.add(pod.wish)
            if not tolerates(pod.spec, place.taints):
                self.say("taint", f"{pod.name} on {place.name}")
            wishes = pod.spec.get("nodeSelector") or pod.spec.get("affinity", {}).get("nodeAffinity")
            if wishes and not all(node_wish_holds(pod.spec, labels) for labels in place.labels):
                self.say("selector", f"{pod.name} on {place.name}")
        daemons = self.inputs.daemons_on(place.labels[0], place.taints) if place.labels and place.pool else []
        ports = collections.Counter(port for pod in place.pods + daemons for port in pod.host_ports())
        if place.new and any(count > 1 for count in ports.values()):
            self.say("port", f"{place.name}: {ports}")

    def check_new(self, place):
        name = place.pool["metadata"]["name"]
        if not place.offerings:
            self.say("offering", f"{place.name} has none left")
            return
        if not place.new:
            self.say("empty", f"{place.name} has no pod")
        requests = {}
        for pod in place.new:
            add(requests, pod.requests)
        # Daemons that choose by a zone or a capacity type run on some of the offerings only.
        looked = set()
        for offering, labels in zip(place.offerings, place.labels):
            daemons = self.inputs.daemons_on(labels, place.taints) if self.inputs.daemons else []
            key = (offering[0], tuple(one.name for one in daemons))
            if key in looked:
                continue
            looked.add(key)
            total = dict(requests)
            for one in daemons:
                add(total, one.requests)
            if not fits(total, self.inputs.room(name, offering[0])):
                self.say("resources", f"{place.name}: {total} on {offering[0]}, which can give {self.inputs.room(name, offering[0])}")
                break
        for missing in self.missing_values(place.pool, place.labels):
            self.say("min-values", f"{place.name}: {missing}")
        cheapest = min(self.inputs.prices[offering] for offering in place.offerings)
        if abs(cheapest - place.usd) > 1e-9:
            self.say("price", f"{place.name}: {place.usd}, the cheapest left costs {cheapest}")

    @staticmethod
    def missing_values(pool, all_labels):
        """Keys of which the pool wants more different values than these offerings have."""
        return [f"{len(values)} of {one['key']}" for one in pool["spec"]["template"]["spec"].get("requirements", [])
                if len(values := {labels.get(one["key"]) for labels in all_labels} - {None}) < one.get("minValues", 0)]

    def check_existing(self, place):
        node = self.inputs.existing[place.name]
        total = {}
        for pod in place.pods:
            add(total, pod.requests)
        # Daemons that should run there and do not yet keep their room.
        expected, there = {}, {}
        for one in self.inputs.daemons_on(place.labels[0], place.taints):
            add(expected, one.requests)
        for one in node.daemons:
            add(there, one.requests)
        add(total, {name: max(0, amount - there.get(name, 0)) for name, amount in expected.items()})
        if not fits(total, node.room):
            self.say("resources", f"{place.name}: {total} of {node.room}")

    # ---- pods and other pods ----

    def counts(self, namespace, selector):
        """Pods that a selector selects: [(place, how many)]."""
        key = json.dumps([namespace, selector])
        if key not in self.selected:
            found = []
            for place in self.places:
                count = sum(1 for pod in place.pods if pod.namespace == namespace and selector_holds(selector, pod.labels))
                if count:
                    found.append((place, count))
            self.selected[key] = found
        return self.selected[key]

    def groups(self, constraints_of):
        """Pods with the same constraint and the same choice of nodes: {key: (constraint, [(pod, place)])}."""
        found = {}
        for place in self.places:
            for pod in place.new:
                for one in constraints_of(pod):
                    key = json.dumps([pod.namespace, one, pod.wish if one.get("whenUnsatisfiable") else ""])
                    found.setdefault(key, (one, []))[1].append((pod, place))
        return found.values()

    def eligible(self, pod, key):
        """The domains in which some pool could open a node for the pod, and those of nodes that are planned for any pod or exist, tolerated or not."""
        found = {domain for place in self.places if place.offerings and node_wish_holds(pod.spec, place.labels[0]) and len(place.domains(key)) == 1
                 for domain in place.domains(key)}
        for pool in self.inputs.pools:
            by_domain = collections.defaultdict(list)
            for labels in self.startable(pod, pool):
                by_domain[labels[key]].append(labels)
            found |= {domain for domain, all_labels in by_domain.items() if not self.missing_values(self.inputs.pools[pool], all_labels)}
        for node in self.inputs.existing.values():
            if key in node.labels[0] and node_wish_holds(pod.spec, node.labels[0]):
                found.add(node.labels[0][key])
        return found

    def check_spread(self):
        for one, members in self.groups(lambda pod: pod.spreads()):
            key, most = one["topologyKey"], one["maxSkew"]
            for pod, place in members:
                if len(place.domains(key)) != 1:
                    self.say("spread", f"{pod.name} on {place.name}: may be in {sorted(place.domains(key))}")
            self.check_skew(one, members, key, most)

    def check_skew(self, one, members, key, most):
        first = members[0][0]
        # No order of placing keeps the skew when what exists and the members alone pass it.
        own = collections.Counter()
        for pod, place in members:
            if selector_holds(one.get("labelSelector"), pod.labels):
                own.update(place.domains(key))
        before = {name: sum(1 for pod in node.pods if pod.namespace == first.namespace and selector_holds(one.get("labelSelector"), pod.labels))
                  for name, node in self.inputs.existing.items()}
        for place in self.places:
            if not place.pool and before[place.name] and (key == HOST or node_wish_holds(first.spec, place.labels[0])):
                own.update({domain: before[place.name] for domain in place.domains(key)})
        least = 0
        if key != HOST:
            everywhere = collections.Counter()
            for place, count in self.counts(first.namespace, one.get("labelSelector")):
                everywhere.update({domain: count for domain in place.domains(key)})
            domains = self.eligible(first, key)
            if len(domains) >= one.get("minDomains", 0):
                least = min((everywhere[domain] for domain in domains), default=0)
        for domain in {domain for _, place in members for domain in place.domains(key)}:
            if own[domain] - least > most:
                self.say("spread", f"{first.name} and its like: {own[domain]} in {domain}, {least} in another, maxSkew {most}")

    def check_affinity(self):
        for term, members in self.groups(lambda pod: pod.terms("podAffinity")):
            key = term["topologyKey"]
            found = collections.Counter()
            for place, count in self.counts(members[0][0].namespace, term.get("labelSelector")):
                if len(place.domains(key)) == 1:
                    found.update({domain: count for domain in place.domains(key)})
            before = {domain for place, _ in self.counts(members[0][0].namespace, term.get("labelSelector")) if not place.pool
                      and self.selects_before(place, term, members[0][0].namespace) for domain in place.domains(key)}
            own = {domain for _, place in members for domain in place.domains(key)}
            for pod, place in members:
                itself = selector_holds(term.get("labelSelector"), pod.labels)
                first = itself and not before and (len(members) == 1 or len(own) == 1)
                for domain in place.domains(key):
                    if found[domain] - itself <= 0 and not first:
                        self.say("affinity", f"{pod.name} on {place.name}: none of {term.get('labelSelector')} in {domain}")

    def selects_before(self, place, term, namespace):
        node = self.inputs.existing[place.name]
        return any(pod.namespace == namespace and selector_holds(term.get("labelSelector"), pod.labels) for pod in node.pods)

    def check_anti_affinity(self):
        for term, members in self.groups(lambda pod: pod.terms("podAntiAffinity")):
            key = term["topologyKey"]
            found = collections.Counter()
            for place, count in self.counts(members[0][0].namespace, term.get("labelSelector")):
                found.update({domain: count for domain in place.domains(key)})
            for pod, place in members:
                itself = selector_holds(term.get("labelSelector"), pod.labels)
                if any(found[domain] - itself > 0 for domain in place.domains(key)):
                    self.say("anti-affinity", f"{pod.name} on {place.name}: others of {term.get('labelSelector')} may be in {sorted(place.domains(key))}")

    # ---- pools ----

    def check_limits(self):
        for name, pool in self.inputs.pools.items():
            limits = {what: float(amount) if what == "nodes" else quantity(amount) for what, amount in pool["spec"].get("limits", {}).items()}
            places = [place for place in self.places if place.pool is pool and place.offerings]
            if not limits or not places:
                continue
            total = {"nodes": len(places)}
            for place in places:
                types = {offering[0] for offering in place.offerings}
                add(total, {what: max(self.inputs.room(name, one, "capacity").get(what, 0) for one in types) for what in limits if what != "nodes"})
            for node in self.inputs.existing.values():
                if node.labels[0].get("karpenter.sh/nodepool") == name:
                    add(total, {**{what: node.capacity.get(what, 0) for what in limits if what != "nodes"}, "nodes": 1})
            for what, amount in limits.items():
                if total.get(what, 0) > amount + 1e-6:
                    self.say("limit", f"{name}: {total.get(what)} {what} of {amount}")

    def startable(self, pod, name):
        """The labels of the pool's offerings on which the pod, alone, could run."""
        if not tolerates(pod.spec, self.inputs.taints_of(name), soft=True):
            return []
        key = (pod.wish, json.dumps(pod.requests), name)
        if key not in self.started:
            found = []
            for offering, labels in self.inputs.sold[name].items():
                if node_wish_holds(pod.spec, labels):
                    total = dict(pod.requests)
                    for one in self.inputs.daemons_on(labels, self.inputs.taints_of(name)):
                        add(total, one.requests)
                    if fits(total, self.inputs.room(name, offering[0])):
                        found.append(labels)
            self.started[key] = found
        return self.started[key]

    def check_weight(self):
        """A node of a lighter pool needs a pod that could start none in a heavier one, so far as that can be told from the pod alone."""
        def weight(name):
            return self.inputs.pools[name]["spec"].get("weight", 1)
        def bound(pod):
            preferred = "preferredDuringSchedulingIgnoredDuringExecution"
            affinity = pod.spec.get("affinity", {})
            return bool(pod.spec.get("topologySpreadConstraints") or affinity.get("podAffinity") or affinity.get("podAntiAffinity")
                        or affinity.get("nodeAffinity", {}).get(preferred) or pod.host_ports())
        def plain(name):
            spec = self.inputs.pools[name]["spec"]
            return not spec.get("limits") and not any(one.get("minValues") for one in spec["template"]["spec"].get("requirements", []))
        for place in self.places:
            if not place.pool or any(bound(pod) for pod in place.new):
                continue
            own = place.pool["metadata"]["name"]
            heavier = [name for name in self.inputs.pools if weight(name) > weight(own) and plain(name)]
            if place.new and heavier and all(any(self.startable(pod, name) for name in heavier) for pod in place.new):
                self.say("weight", f"{place.name} of {own}: each of its pods could start a node of {heavier}")

    def check_totals(self):
        totals = self.plan["totals"]
        for key, value in (("pods", len(self.inputs.pods)), ("nodes", len(self.plan["nodes"])), ("placed", sum(len(place.new) for place in self.places)),
                           ("usd_per_hour", sum(one["usd_per_hour"] for one in self.plan["nodes"]))):
            if abs(totals[key] - value) > 1e-6:
                self.say("totals", f"{key} is {totals[key]}, it should be {value}")


def verify(inputs, plan):
    """All that is wrong with it, a line each; the first word is the kind."""
    return Verifier(inputs, plan).verify()
