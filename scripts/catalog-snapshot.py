#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes user/plan/catalog.json, the catalog that forerun ships, from openly licensed data:

  moto (Apache-2.0): moto/ec2/resources/instance_types.json.gz, what DescribeInstanceTypes says, and
  instance_type_offerings/availability-zone/REGION.json.gz, in which zones each type is offered;
  github.com/aws/karpenter-provider-aws (Apache-2.0): prices on demand, network bandwidth, branch
  interfaces (pkg/providers/pricing, pkg/providers/instancetype).

  build/venv/bin/python scripts/catalog-snapshot.py >user/plan/catalog.json

needs Go, for `go mod download`. Spot prices are not in it.
"""
import argparse
import datetime
import gzip
import importlib.metadata
import json
import pathlib
import re
import subprocess

import moto.ec2

MODULE = "github.com/aws/karpenter-provider-aws"


def module_directory(version):
    out = subprocess.run(["go", "mod", "download", "-json", f"{MODULE}@{version}"],
                         check=True, capture_output=True, text=True).stdout
    return pathlib.Path(json.loads(out)["Dir"]) / "pkg/providers"


def moto_resource(name):
    path = pathlib.Path(moto.ec2.__file__).parent / "resources" / name
    return json.loads(gzip.decompress(path.read_bytes()))


def prices(providers, region):
    text = (providers / "pricing/zz_generated.pricing_aws.go").read_text()
    part = re.search(r'\t"%s": \{(.*?)\n\t\},?\n' % region, text, re.S).group(1)
    made = re.search(r"generated at (\S+) ", text).group(1)
    return {name: float(usd) for name, usd in re.findall(r'"([^"]+)": ([0-9.]+)', part)}, made


def bandwidths(providers):
    text = (providers / "instancetype/zz_generated.bandwidth.go").read_text()
    return {name: int(mbps) for name, mbps in re.findall(r'"([^"]+)": *(\d+)', text)}


def branch_interfaces(providers):
    text = (providers / "instancetype/zz_generated.vpclimits.go").read_text()
    found = re.findall(r'\n\t"([^"]+)": \{(.*?)\n\t\},', text, re.S)
    return {name: int(re.search(r"BranchInterface: *(\d+)", limits).group(1))
            for name, limits in found if re.search(r"IsTrunkingCompatible: *true", limits)}


def kebab(text):
    return text.lower().replace(" ", "-")


def gpus(info):
    found = info.get("GpuInfo", {}).get("Gpus", [])
    if len(found) != 1:
        return None
    return {"manufacturer": kebab(found[0]["Manufacturer"]), "name": kebab(found[0]["Name"]),
            "count": found[0]["Count"], "memory_mib": found[0]["MemoryInfo"]["SizeInMiB"]}


def accelerators(info):
    """Neuron devices, or else inference accelerators: as Karpenter labels them."""
    found = info.get("NeuronInfo", {}).get("NeuronDevices") or \
        info.get("InferenceAcceleratorInfo", {}).get("Accelerators", [])
    if len(found) != 1:
        return None
    return {"manufacturer": kebab(found[0].get("Manufacturer", "aws")),
            "name": kebab(found[0]["Name"]), "count": found[0]["Count"],
            "memory_mib": found[0].get("MemoryInfo", {}).get("SizeInMiB", 0)}


def type_of(info, usd, mbps, branches):
    network, cpu, ebs = info["NetworkInfo"], info["ProcessorInfo"], info["EbsInfo"]
    card = network["NetworkCards"][network["DefaultNetworkCardIndex"]]
    disks = info.get("InstanceStorageInfo", {})
    neuron = info.get("NeuronInfo", {}).get("NeuronDevices", [])
    optimized = ebs["EbsOptimizedInfo"] if ebs["EbsOptimizedSupport"] == "default" else {}
    out = {
        "name": info["InstanceType"],
        "arch": [name for name, own in (("amd64", "x86_64"), ("arm64", "arm64"))
                 if own in cpu["SupportedArchitectures"]],
        "vcpus": info["VCpuInfo"]["DefaultVCpus"],
        "memory_mib": info["MemoryInfo"]["SizeInMiB"],
        "bare_metal": info["BareMetal"],
        "hypervisor": info.get("Hypervisor", ""),
        "cpu_manufacturer": kebab(cpu.get("Manufacturer", "")),
        "cpu_clock_mhz": round(cpu.get("SustainedClockSpeedInGhz", 0) * 1000),
        "interfaces": card["MaximumNetworkInterfaces"],
        "addresses_per_interface": network["Ipv4AddressesPerInterface"],
        "network_mbps": mbps,
        "ebs_mbps": optimized.get("MaximumBandwidthInMbps", 0),
        "local_disk_gb": disks.get("TotalSizeInGB", 0),
        "local_nvme_gb": disks.get("TotalSizeInGB", 0)
        if disks.get("NvmeSupport") != "unsupported" else 0,
        "neuron_devices": sum(device["Count"] for device in neuron),
        "neuron_cores": neuron[0]["Count"] * neuron[0]["CoreInfo"]["Count"] if neuron else 0,
        "efa": network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0),
        "pod_eni": branches,
        "current_generation": info["CurrentGeneration"],
        "burstable": info["BurstablePerformanceSupported"],
        "spot": "spot" in info["SupportedUsageClasses"],
        "on_demand": "on-demand" in info["SupportedUsageClasses"],
        "encryption_in_transit": network.get("EncryptionInTransitSupported", False),
        "gpus": gpus(info),
        "accelerators": accelerators(info),
    }
    out = {key: value for key, value in out.items() if value is not None}
    out["usd_per_hour"] = usd
    return out


def lines(items):
    return ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--karpenter", default="v1.14.1", help="version of its AWS provider")
    args = parser.parse_args()
    providers = module_directory(args.karpenter)
    usd, made = prices(providers, args.region)
    mbps, branches = bandwidths(providers), branch_interfaces(providers)
    types = [type_of(info, usd.get(name), mbps.get(name, 0), branches.get(name, 0))
             for name, info in sorted(moto_resource("instance_types.json.gz").items())]
    types = [item for item in types if item["arch"]]
    known = {item["name"] for item in types}
    zones = sorted((offer["InstanceType"], offer["Location"]) for offer in moto_resource(
        f"instance_type_offerings/availability-zone/{args.region}.json.gz")
        if offer["InstanceType"] in known)
    made_us = int(datetime.datetime.fromisoformat(made.replace("Z", "+00:00")).timestamp()) * 10**6
    origin = (f"moto {importlib.metadata.version('moto')} and {MODULE} {args.karpenter}, both "
              "Apache-2.0; made by scripts/catalog-snapshot.py")
    print(f'{{"v":2,"region":"{args.region}","snapshot":true,"origin":"{origin}",'
          f'"fetched_wall_us":{made_us},"priced_wall_us":{made_us},"spot_wall_us":0,\n'
          f'"types":[\n{lines(types)}],\n"zones":[\n'
          f'{lines([*zone, None] for zone in zones)}]}}')


if __name__ == "__main__":
    main()
