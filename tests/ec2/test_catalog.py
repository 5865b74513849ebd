# SPDX-License-Identifier: Apache-2.0
"""Every instance type of a region with its zones and prices, from EC2 to the copy on disk."""

import json
import pathlib
import re

import prices
import pytest
from cloud_driver import Cloud, documents

SHIPPED = json.loads((pathlib.Path(__file__).parents[2] / "user/plan/catalog.json").read_text())


@pytest.fixture
def refresh(ec2_world, tmp_path):
    """refresh(): all of it fetched without any document; what was said, and what is in the copy."""
    running = []

    def run():
        cloud = Cloud(ec2_world.environment(HOME=str(tmp_path)), [], "--cache", str(tmp_path))
        running.append(cloud)
        said = cloud.ask("refresh", "refreshed", timeout=60)
        copy = tmp_path / "catalog.json"
        return said, json.loads(copy.read_text()) if copy.exists() else None, cloud

    yield run
    for cloud in running:
        cloud.close()


@pytest.fixture
def cloud(ec2_world, tmp_path):
    """cloud(option...): on a pool of two types, with its copy on disk."""
    started = []

    def starter(**config):
        files = documents(tmp_path / "config", ec2_world.world, **config)
        started.append(Cloud(ec2_world.environment(HOME=str(tmp_path)), files, "--cache", str(tmp_path)))
        return started[-1].ready()

    yield starter
    for running in started:
        running.close()


def test_every_field_of_every_type_is_as_ec2_describes_it(refresh, ec2_world):
    """The catalog that ships is made from the same descriptions by another program."""
    said, copy, _ = refresh()
    assert said["problem"] == "" and copy["v"] == 2 and copy["region"] == "us-east-1" and not copy["snapshot"]
    unpriced = [{k: v for k, v in t.items() if k != "usd_per_hour"} for t in copy["types"]]
    assert unpriced == [{k: v for k, v in t.items() if k != "usd_per_hour"} for t in SHIPPED["types"]]
    assert [zone[:2] for zone in copy["zones"]] == [zone[:2] for zone in SHIPPED["zones"]]
    assert not any("Filter.1.Name" in call["params"] for call in ec2_world.log("DescribeInstanceTypes"))


def test_prices_of_all_zones_are_the_newest(refresh):
    said, copy, _ = refresh()
    assert said["problem"] == ""
    priced = {t["name"]: t["usd_per_hour"] for t in copy["types"]}
    known = [name for name in priced if prices.on_demand(name)]
    assert len(known) > 150
    for name, usd in priced.items():
        assert usd == (pytest.approx(prices.on_demand(name)) if name in known else None)
    for name, zone, usd in copy["zones"]:
        expected = prices.spot(name, zone) if name in known and zone in prices.ZONES else None
        assert usd == (pytest.approx(expected) if expected else None)
    assert copy["fetched_wall_us"] <= copy["priced_wall_us"] and copy["spot_wall_us"]


def test_without_a_price_list_the_types_are_there_and_it_is_said(refresh, ec2_world):
    ec2_world.fault("GetProducts", "error", status=400, code="AccessDeniedException", message="no", times=50)
    said, copy, _ = refresh()
    assert "AccessDeniedException" in said["problem"] and said["types"] == len(SHIPPED["types"])
    assert copy["priced_wall_us"] == 0


def test_without_types_there_is_no_copy(refresh, ec2_world):
    ec2_world.fault("DescribeInstanceTypes", "error", status=403, code="UnauthorizedOperation", message="no", times=50)
    said, copy, _ = refresh()
    assert "UnauthorizedOperation" in said["problem"] and said["types"] == 0 and copy is None


def test_a_complete_copy_serves_any_pools_and_stays_complete(refresh, cloud, ec2_world, tmp_path):
    refresh()
    before = len(ec2_world.log("DescribeInstanceTypes"))
    running = cloud(types="c6g.large", capacity="on-demand")
    assert {o["type"] for o in running.found_catalog["offerings"]} == {"c6g.large"}
    assert len(ec2_world.log("DescribeInstanceTypes")) == before
    assert any(re.search(r"catalog: \d{4} types from ", line) for line in running.errors)


def test_a_copy_of_another_region_is_said_and_fetched_anew(cloud, tmp_path):
    (tmp_path / "catalog.json").write_text(json.dumps({**SHIPPED, "region": "eu-west-1"}))
    running = cloud()
    assert any("catalog.json is of eu-west-1: fetching that of us-east-1" in line for line in running.errors)
    assert {o["zone"][:9] for o in running.found_catalog["offerings"]} == {"us-east-1"}


def test_a_copy_of_other_pools_is_said_and_fetched_anew(cloud, tmp_path):
    (tmp_path / "catalog.json").write_text(json.dumps({**SHIPPED, "filter": "0123456789abcdef"}))
    running = cloud()
    assert any("catalog.json holds the types of other NodePools" in line for line in running.errors)


def test_a_copy_of_another_version_says_where_and_is_fetched_anew(cloud, tmp_path):
    (tmp_path / "catalog.json").write_text('{"version":1,"for":"x","fetched":"2026-01-01T00:00:00Z","types":[]}')
    running = cloud()
    assert running.found_catalog["offerings"]
    assert any("catalog.json:1:13: a catalog of another version" in line for line in running.errors)


def test_prices_that_cannot_be_are_left_out_with_a_message(cloud, ec2_world, tmp_path):
    types = [{**t, "usd_per_hour": -1} if t["name"] == "m5.large" else t for t in SHIPPED["types"]]
    (tmp_path / "catalog.json").write_text(json.dumps({**SHIPPED, "types": types, "fetched_wall_us": 4 * 10**15,
                                                       "priced_wall_us": 4 * 10**15}))
    running = cloud(types="m5.large", capacity="on-demand")
    assert {o["usd"] for o in running.found_catalog["offerings"]} == {None}
    assert any("m5.large: its price is no number above 0" in line for line in running.errors)


def zone_ids(ec2_world):
    return {zone["ZoneName"]: zone["ZoneId"] for zone in ec2_world.client().describe_availability_zones()["AvailabilityZones"]}


def test_zones_have_their_ids_and_a_pool_may_ask_for_them(refresh, cloud, ec2_world):
    ids = zone_ids(ec2_world)
    _, copy, _ = refresh()
    assert copy["zone_ids"] == {zone: ids[zone] for _, zone, _ in copy["zones"]}
    before = len(ec2_world.log("DescribeAvailabilityZones"))
    running = cloud(zone_key="topology.k8s.aws/zone-id", zones=ids["us-east-1b"])
    assert {(o["zone"], o["zone_id"]) for o in running.found_catalog["offerings"]} == {("us-east-1b", ids["us-east-1b"])}
    assert len(ec2_world.log("DescribeAvailabilityZones")) == before  # from the copy


def test_without_ids_of_zones_everything_else_is_known(cloud, ec2_world):
    ec2_world.fault("DescribeAvailabilityZones", "error", status=403, code="UnauthorizedOperation", message="no", times=50)
    running = cloud()
    assert {o["zone_id"] for o in running.found_catalog["offerings"]} == {""}
    assert any("no ids of zones" in line and "UnauthorizedOperation" in line for line in running.errors)
