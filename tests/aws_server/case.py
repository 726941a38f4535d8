"""What the checks of the server share: a server of their own, its control endpoint, and clients of it."""

import atexit
import base64
import functools
import json
import os
import subprocess
import sys
import time
import unittest
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = os.path.dirname(os.path.abspath(__file__))


@functools.cache
def server_url():
    """Where the server of all checks listens; it starts at first use and ends with the program."""
    command = [sys.executable, os.path.join(HERE, "server.py"), "--port", "0", "--host", "127.0.0.1", "--with-parent"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = server.stdout.readline()
    if not line.startswith("listening on "):
        sys.exit("the server did not start; what it said is above")

    def end():
        server.terminate()
        server.wait()
        server.stdout.close()

    atexit.register(end)
    return line.split()[-1]


def control(method, path, data=None, url=None):
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(f"{url or server_url()}/_test/{path}", body, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def client(service, region="us-east-1", **more):
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x", **more}
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=10)
    return SESSION.client(service, endpoint_url=server_url(), region_name=region, config=config, **keys)


SESSION = boto3.session.Session()


def eventually(check, within=5.0):
    end = time.time() + within
    while True:
        found = check()
        if found or time.time() > end:
            return found
        time.sleep(0.02)


class Case(unittest.TestCase):
    clients = None

    def setUp(self):
        if Case.clients is None:
            Case.clients = [client(name) for name in ("ec2", "autoscaling", "elbv2", "sts")]
        self.ec2, self.asg, self.elb, self.sts = Case.clients
        control("POST", "reset")
        self.world = control("POST", "world", {"nlb": True, "listeners": [8080]})

    def refused(self, code, call, _part="", **params):
        with self.assertRaises(ClientError) as caught:
            call(**params)
        answer = caught.exception.response
        self.assertEqual(answer["Error"]["Code"], code)
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertIn(_part.lower(), answer["Error"]["Message"].lower())

    def template(self, name="svc", text="hello", tags=None, **more):
        data = {"ImageId": "ami-1", "InstanceType": "t3.small", "UserData": base64.b64encode(text.encode()).decode()}
        data["SecurityGroupIds"] = [self.world["security_group_id"]]
        tags = [{"Key": key, "Value": value} for key, value in (tags or {"ionroller:version": "1"}).items()]
        spec = [{"ResourceType": "launch-template", "Tags": tags}]
        made = self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=spec, **more)
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def target_group(self, name="svc", version="1", **more):
        settings = {"Protocol": "HTTP", "Port": 8080, "VpcId": self.world["vpc_id"], **more}
        tags = [{"Key": "ionroller:version", "Value": version}]
        return self.elb.create_target_group(Name=name, Tags=tags, **settings)["TargetGroups"][0]["TargetGroupArn"]

    def forward(self, **weights):
        groups = [{"TargetGroupArn": self.arns[name], "Weight": weight} for name, weight in weights.items()]
        return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]

    def rule(self, actions, priority=10, listener=None, host="a.example", **more):
        listener = listener or self.world["listener_arn"]
        conditions = [{"Field": "host-header", "HostHeaderConfig": {"Values": [host]}}]
        made = self.elb.create_rule(ListenerArn=listener, Priority=priority, Conditions=conditions, Actions=actions, **more)
        return made["Rules"][0]["RuleArn"]

    def group(self, name="svc", size=2, low=None, high=10, version="1", targets=None, template=None, **more):
        template = template or self.template(name)
        tags = [{"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": "ionroller:version", "Value": version, "PropagateAtLaunch": True}]
        params = {
            "AutoScalingGroupName": name,
            "MinSize": size if low is None else low,
            "MaxSize": high,
            "DesiredCapacity": size,
            "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"},
            "VPCZoneIdentifier": ",".join(self.world["subnet_ids"]),
            "TargetGroupARNs": targets or [],
            "HealthCheckType": "ELB",
            "Tags": tags,
        }
        self.asg.create_auto_scaling_group(**{**params, **more})

    def shown(self, name="svc"):
        found = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return found[0] if found else None

    def members(self, lifecycle="InService", name="svc"):
        group = self.shown(name)
        return [one for one in group["Instances"] if one["LifecycleState"] == lifecycle] if group else []

    def health(self, arn):
        found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return sorted(one["TargetHealth"]["State"] for one in found)

    def reasons(self, arn):
        found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {one["TargetHealth"].get("Reason") for one in found}

    def running(self, size=2, **more):
        """A group with a target group behind a rule, all healthy."""
        arn = self.target_group()
        self.arns = {"svc": arn}
        self.rule(self.forward(svc=100))
        self.group(size=size, targets=[arn], **more)
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy"] * size))
        return arn
