# SPDX-License-Identifier: Apache-2.0
"""What moto has no answer for: prices. On-demand Linux prices of us-east-1 for the families that tests buy."""

import base64
import datetime
import json
import zlib
from xml.sax.saxutils import escape

# USD an hour of the large size; the other sizes of a family are in proportion.
LARGE = {
    "c5": 0.085, "c6a": 0.0765, "c6g": 0.068, "c6i": 0.085, "c7a": 0.10264, "c7g": 0.0725, "c7i": 0.08925,
    "m5": 0.096, "m6a": 0.0864, "m6g": 0.077, "m6i": 0.096, "m7a": 0.11592, "m7g": 0.0816, "m7i": 0.1008,
    "r5": 0.126, "r6g": 0.1008, "r6i": 0.126, "r7g": 0.1071, "t3": 0.0832, "t3a": 0.0752, "t4g": 0.0672,
}
SIZES = {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1, "xlarge": 2, "2xlarge": 4,
         "4xlarge": 8, "8xlarge": 16, "12xlarge": 24, "16xlarge": 32, "24xlarge": 48}
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1f"]


def on_demand(instance_type):
    """USD an hour, None for a type outside the table."""
    family, _, size = instance_type.partition(".")
    if family not in LARGE or size not in SIZES:
        return None
    return round(LARGE[family] * SIZES[size], 6)


def spot(instance_type, zone):
    """A third to a half of on-demand, another share in each zone, the same in every run."""
    price = on_demand(instance_type)
    if price is None:
        return None
    share = 0.33 + (zlib.crc32(f"{instance_type}/{zone}".encode()) % 1000) / 1000 * 0.17
    return round(price * share, 6)


def price_of(capacity_type, instance_type, zone):
    price = spot(instance_type, zone) if capacity_type == "spot" else on_demand(instance_type)
    return float("inf") if price is None else price


def all_types():
    return [f"{family}.{size}" for family in LARGE for size in SIZES]


def page(rows, size, token):
    start = int(base64.b64decode(token)) if token else 0
    end = start + size
    following = base64.b64encode(str(end).encode()).decode() if end < len(rows) else ""
    return rows[start:end], following


def product(instance_type):
    code = f"{zlib.crc32(instance_type.encode()):010X}"
    rate = {"unit": "Hrs", "beginRange": "0", "endRange": "Inf", "description": f"Linux {instance_type}",
            "pricePerUnit": {"USD": f"{on_demand(instance_type):.10f}"}}
    attributes = {"instanceType": instance_type, "operatingSystem": "Linux", "tenancy": "Shared", "regionCode": "us-east-1",
                  "capacitystatus": "Used", "preInstalledSw": "NA", "operation": "RunInstances",
                  "marketoption": "OnDemand", "licenseModel": "No License required", "servicecode": "AmazonEC2"}
    term = {"priceDimensions": {f"{code}.JRTCKXETXF.6YS6EN2CT7": rate}, "sku": code, "termAttributes": {}}
    return {"product": {"productFamily": "Compute Instance", "attributes": attributes, "sku": code},
            "serviceCode": "AmazonEC2", "terms": {"OnDemand": {f"{code}.JRTCKXETXF": term}}, "version": "20260101000000"}


def get_products(request):
    """AWSPriceListService.GetProducts; TERM_MATCH filters on the attributes above."""
    wanted = [(f["Field"], f["Value"]) for f in request.get("Filters", [])]
    rows = []
    for instance_type in all_types():
        row = product(instance_type)
        known = {**row["product"]["attributes"], "productFamily": row["product"]["productFamily"]}
        if all(known.get(field) == value for field, value in wanted):
            rows.append(json.dumps(row))
    rows, following = page(rows, min(request.get("MaxResults", 100), 100), request.get("NextToken", ""))
    answer = {"FormatVersion": "aws_v1", "PriceList": rows}
    if following:
        answer["NextToken"] = following
    return answer


def listed(form, name):
    values = []
    while f"{name}.{len(values) + 1}" in form:
        values.append(form[f"{name}.{len(values) + 1}"])
    return values


def spot_price_history(form):
    """DescribeSpotPriceHistory: the price now of each type, zone and product description."""
    types = set(listed(form, "InstanceType"))
    zones = {form["AvailabilityZone"]} if "AvailabilityZone" in form else set(ZONES)
    for index in range(1, 10):
        values = set(listed(form, f"Filter.{index}.Value"))
        if form.get(f"Filter.{index}.Name") == "instance-type":
            types |= values
        if form.get(f"Filter.{index}.Name") == "availability-zone":
            zones &= values
    descriptions = listed(form, "ProductDescription") or ["Linux/UNIX"]
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:00:00.000Z")
    rows = [
        f"<item><instanceType>{t}</instanceType><productDescription>{escape(d)}</productDescription>"
        f"<spotPrice>{spot(t, z):.6f}</spotPrice><timestamp>{stamp}</timestamp>"
        f"<availabilityZone>{z}</availabilityZone></item>"
        for t in all_types() if not types or t in types
        for z in ZONES if z in zones
        for d in descriptions if d.startswith("Linux/UNIX")
    ]
    rows, following = page(rows, int(form.get("MaxResults", 1000)), form.get("NextToken", ""))
    return f"<spotPriceHistorySet>{''.join(rows)}</spotPriceHistorySet><nextToken>{following}</nextToken>"
