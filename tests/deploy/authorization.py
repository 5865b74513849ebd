# SPDX-License-Identifier: Apache-2.0
"""From the calls that the EC2 proxy logged to what AWS asks IAM about each: action, resource, condition keys.

After the Service Authorization Reference of each service ("Actions, resources, and condition keys"): which resources an
action is checked on, and which keys each has. CreateFleet of type instant with a launch template is also checked as the
RunInstances that it makes, with the tags that the template gives, and as the CreateTags of all that is tagged on the way.
"""

import json
import re

from iam_policy import Request

ACCOUNT = "123456789012"  # moto's
PUBLIC_PARAMETER = "/aws/service/"
RESERVATION = "LaunchTemplateData.CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"


def listed(form, prefix):
    """Values of PREFIX.1, PREFIX.2, ..."""
    found, index = [], 1
    while f"{prefix}.{index}" in form:
        found.append(form[f"{prefix}.{index}"])
        index += 1
    return found


def tags_at(form, prefix):
    found, index = {}, 1
    while f"{prefix}.{index}.Key" in form:
        found[form[f"{prefix}.{index}.Key"]] = form.get(f"{prefix}.{index}.Value", "")
        index += 1
    return found


def tags_by_resource(form, prefix):
    """{"instance": {key: value}} of PREFIX.TagSpecification.N."""
    found, index = {}, 1
    while f"{prefix}TagSpecification.{index}.ResourceType" in form:
        at = f"{prefix}TagSpecification.{index}"
        found[form[f"{at}.ResourceType"]] = tags_at(form, f"{at}.Tag")
        index += 1
    return found


def request_tags(tags):
    return {**{f"aws:RequestTag/{k}": v for k, v in tags.items()}, **({"aws:TagKeys": list(tags)} if tags else {})}


def resource_tags(tags):
    return {f"aws:ResourceTag/{k}": v for k, v in tags.items()}


class Account:
    """The account that was called, as it is now: ids, tags and roles behind the names in the calls."""

    def __init__(self, ec2, log):
        self.ec2_process = ec2
        self.ec2, self.iam = ec2.client("ec2"), ec2.client("iam")
        self.gone = {}  # id: tags, of templates that were deleted
        self.templates = {e["params"]["LaunchTemplateName"]: e["params"] for e in log if e["action"] == "CreateLaunchTemplate"}

    def template(self, name):
        """(id, tags, what it says)"""
        known = self.ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"][0]
        return known["LaunchTemplateId"], plain(known["Tags"]), self.templates[name]

    def role_of(self, profile):
        return self.iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"][0]["RoleName"]

    def instance_tags(self, instance_id):
        found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return plain(found.get("Tags", []))

    def group_tags(self, arn):
        return plain(self.ec2_process.client("elbv2").describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"])


def plain(tags):
    return {t["Key"]: t["Value"] for t in tags}


class Asked:
    """What one call is checked for."""

    def __init__(self, entry, account):
        self.form, self.region, self.account = entry["params"], entry["region"], account
        self.service = entry["service"]
        self.requests = []

    def ask(self, action, resource, **context):
        self.requests.append(Request(action, resource, {"aws:RequestedRegion": self.region, **context.get("context", {})}))

    def ec2(self, action, kind, name="*", account=ACCOUNT, **context):
        self.ask(f"ec2:{action}", f"arn:aws:ec2:{self.region}:{account}:{kind}/{name}", context=context.get("context", {}))

    def tagging(self, action, kind, tags):
        self.ec2("CreateTags", kind, context={"ec2:CreateAction": action, **request_tags(tags)})

    # ---- launches ----

    def create_fleet(self):
        form = self.form
        own = tags_by_resource(form, "")
        self.ec2("CreateFleet", "fleet", context=request_tags(own.get("fleet", {})))
        self.tagging("CreateFleet", "fleet", own.get("fleet", {}))
        self.ec2("CreateFleet", "instance", context=request_tags(own.get("instance", {})))
        self.tagging("RunInstances", "instance", own.get("instance", {}))
        self.ec2("RunInstances", "instance", context=request_tags(own.get("instance", {})))
        spot = form["TargetCapacitySpecification.DefaultTargetCapacityType"] == "spot"
        for key in [k for k in form if k.endswith(".LaunchTemplateName")]:
            self.by_template(form[key], spot)
        for key in [k for k in form if k.endswith(".SubnetId")]:
            for action in ("CreateFleet", "RunInstances"):
                self.ec2(action, "subnet", form[key])

    def by_template(self, name, spot):
        number, tags, said = self.account.template(name)
        data = "LaunchTemplateData."
        made = tags_by_resource(said, data)
        for action in ("CreateFleet", "RunInstances"):
            self.ec2(action, "launch-template", number, context=resource_tags(tags))
            self.ec2(action, "image", said[data + "ImageId"], account="")
            self.ec2(action, "volume", context=request_tags(made.get("volume", {})))
        for kind in ["network-interface", *(["spot-instances-request"] if spot else [])]:
            self.ec2("RunInstances", kind, context=request_tags(made.get(kind, {})))
        for kind, kind_tags in made.items():
            self.tagging("RunInstances", kind, kind_tags)
        for group in listed(said, data + "SecurityGroupId"):
            self.ec2("RunInstances", "security-group", group)
        if RESERVATION in said:
            self.ec2("RunInstances", "capacity-reservation", said[RESERVATION])
        for key in [k for k in said if k.endswith(".Ebs.SnapshotId")]:
            self.ec2("RunInstances", "snapshot", said[key], account="")
        role = self.account.role_of(said[data + "IamInstanceProfile.Name"])
        self.ask("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{role}", context={"iam:PassedToService": "ec2.amazonaws.com"})

    def create_template(self):
        tags = tags_by_resource(self.form, "").get("launch-template", {})
        self.ec2("CreateLaunchTemplate", "launch-template", context=request_tags(tags))
        self.tagging("CreateLaunchTemplate", "launch-template", tags)

    def delete_template(self):
        """Of what is gone only the caller knows the tags: Account.gone."""
        number = self.form["LaunchTemplateId"]
        self.ec2("DeleteLaunchTemplate", "launch-template", number, context=resource_tags(self.account.gone[number]))

    def change(self, action):
        for number in listed(self.form, "InstanceId"):
            self.ec2(action, "instance", number, context=resource_tags(self.account.instance_tags(number)))

    def tag_instances(self, action):
        tags = tags_at(self.form, "Tag")
        for number in listed(self.form, "ResourceId"):
            context = {**resource_tags(self.account.instance_tags(number)), "aws:TagKeys": list(tags)}
            if action == "CreateTags":
                context.update(request_tags(tags))
            self.ec2(action, "instance", number, context=context)

    # ---- the other services ----

    def targets(self, action):
        group = self.form["TargetGroupArn"]
        self.ask(f"elasticloadbalancing:{action}", group, context=resource_tags(self.account.group_tags(group)))

    def queue(self, permission):
        form = json.loads(self.form)
        name = form.get("QueueName") or form["QueueUrl"].rpartition("/")[2]
        self.ask(f"sqs:{permission}", f"arn:aws:sqs:{self.region}:{ACCOUNT}:{name}")

    def get_parameter(self):
        name = json.loads(self.form)["Name"]
        account = "" if name.startswith(PUBLIC_PARAMETER) else ACCOUNT
        self.ask("ssm:GetParameter", f"arn:aws:ssm:{self.region}:{account}:parameter{name}")

    def get_secret(self):
        name = json.loads(self.form)["SecretId"]
        arn = name if name.startswith("arn:") else f"arn:aws:secretsmanager:{self.region}:{ACCOUNT}:secret:{name}-aB3dE6"
        self.ask("secretsmanager:GetSecretValue", arn)

    def item(self, action):
        form = json.loads(self.form)
        key = form.get("Key") or form["Item"]
        self.ask(f"dynamodb:{action}", f"arn:aws:dynamodb:{self.region}:{ACCOUNT}:table/{form['TableName']}",
                 context={"dynamodb:LeadingKeys": [key["name"]["S"]]})

    def quota(self):
        form = json.loads(self.form)
        self.ask("servicequotas:GetServiceQuota",
                 f"arn:aws:servicequotas:{self.region}:{ACCOUNT}:{form['ServiceCode']}/{form['QuotaCode']}")

    def profiles_of_role(self):
        self.ask("iam:ListInstanceProfilesForRole", f"arn:aws:iam::{ACCOUNT}:role/{self.form['RoleName']}")

    def profile(self):
        self.ask("iam:GetInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/{self.form['InstanceProfileName']}")


def requests_of(entry, account):
    """What AWS asks IAM for this logged call. A call that is not known here is an error."""
    asked, action = Asked(entry, account), entry["action"]
    known = {
        ("ec2", "CreateFleet"): asked.create_fleet,
        ("ec2", "CreateLaunchTemplate"): asked.create_template,
        ("ec2", "DeleteLaunchTemplate"): asked.delete_template,
        **{("ec2", a): lambda a=a: asked.change(a) for a in ("TerminateInstances", "StartInstances", "StopInstances")},
        **{("ec2", a): lambda a=a: asked.tag_instances(a) for a in ("CreateTags", "DeleteTags")},
        **{("elasticloadbalancing", a): lambda a=a: asked.targets(a) for a in ("RegisterTargets", "DeregisterTargets")},
        ("elasticloadbalancing", "DescribeTargetHealth"): lambda: asked.ask("elasticloadbalancing:DescribeTargetHealth", "*"),
        **{("sqs", a): lambda p=p: asked.queue(p) for a, p in (("GetQueueUrl", "GetQueueUrl"), ("ReceiveMessage", "ReceiveMessage"),
                                                                ("DeleteMessageBatch", "DeleteMessage"))},
        ("ssm", "GetParameter"): asked.get_parameter,
        ("secretsmanager", "GetSecretValue"): asked.get_secret,
        ("iam", "ListInstanceProfilesForRole"): asked.profiles_of_role,
        ("iam", "GetInstanceProfile"): asked.profile,
        ("servicequotas", "GetServiceQuota"): asked.quota,
        ("pricing", "GetProducts"): lambda: asked.ask("pricing:GetProducts", "*"),
        ("sts", "GetCallerIdentity"): lambda: None,  # needs no permission
        **{("dynamodb", a): lambda a=a: asked.item(a) for a in ("GetItem", "PutItem", "UpdateItem", "DeleteItem")},
    }
    if entry["service"] == "ec2" and re.fullmatch(r"Describe\w+", action):
        asked.ask(f"ec2:{action}", "*")
    else:
        known[entry["service"], action]()
    return asked.requests
