# SPDX-License-Identifier: Apache-2.0
"""What an AWS account has before forerun comes: a VPC, subnets in three zones, a security group, an instance profile."""

import json

import boto3
from botocore.config import Config

REGION = "us-east-1"
ACCESS_KEY = "AKIAFORERUNTESTBED00"
SECRET_KEY = "forerun/test+bed/secret/key/0000000000000"
TAG = {"Key": "forerun.dev/discovery", "Value": "test"}
ROLE = "forerun-test-node"
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


def client(url, service, access_key=ACCESS_KEY, secret_key=SECRET_KEY, token=None, attempts=1, read_timeout=60):
    """boto3, which signs and parses on its own."""
    return boto3.client(
        service, endpoint_url=url, region_name=REGION, aws_access_key_id=access_key, aws_secret_access_key=secret_key,
        aws_session_token=token, config=Config(retries={"total_max_attempts": attempts}, read_timeout=read_timeout))


def tagged(kind):
    return [{"ResourceType": kind, "Tags": [TAG, {"Key": "Name", "Value": "forerun-test"}]}]


def make_world(url):
    ec2, iam = client(url, "ec2"), client(url, "iam")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    subnets = {}
    for index, zone in enumerate(ZONES):
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{index * 16}.0/20", AvailabilityZone=zone,
                                 TagSpecifications=tagged("subnet"))
        subnets[zone] = made["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="forerun-test", Description="forerun test", VpcId=vpc,
                                      TagSpecifications=tagged("security-group"))["GroupId"]
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName=ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
    return {"vpc": vpc, "subnets": subnets, "security_group": group, "role": ROLE, "instance_profile": ROLE, "tag": TAG}
