"""What the extension mends, each with plain boto3 against the running server.

    "$(scripts/aws-server-venv)" tests/aws_server/test_server.py
"""

import base64
import json
import os
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import permissions

HERE = os.path.dirname(os.path.abspath(__file__))
URL = None
SERVER = None


def setUpModule():
    global URL, SERVER
    command = [sys.executable, os.path.join(HERE, "server.py"), "--port", "0", "--host", "127.0.0.1", "--with-parent"]
    SERVER = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = SERVER.stdout.readline()
    assert line.startswith("listening on "), line
    URL = line.split()[-1]


def tearDownModule():
    SERVER.terminate()
    SERVER.wait()
    SERVER.stdout.close()


def control(method, path, data=None, url=None):
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(f"{url or URL}/_test/{path}", body, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def client(service, region="us-east-1", **more):
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x", **more}
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=10)
    return SESSION.client(service, endpoint_url=URL, region_name=region, config=config, **keys)


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


class Health(Case):
    def test_unused_until_a_rule_names_it_then_initial_then_healthy(self):
        control("POST", "settings", {"launch_delay_ms": 50, "health_delay_ms": 400})
        arn = self.target_group()
        self.arns = {"svc": arn}
        self.group(targets=[arn])
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        time.sleep(0.45)
        self.assertEqual(self.health(arn), ["unused", "unused"])
        self.assertEqual(self.reasons(arn), {"Target.NotInUse"})
        rule = self.rule(self.forward(svc=0))
        self.assertEqual(self.health(arn), ["initial", "initial"])
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy", "healthy"]))
        self.elb.delete_rule(RuleArn=rule)
        self.assertEqual(self.health(arn), ["unused", "unused"])

    def test_in_use_follows_modify_rule_and_modify_listener(self):
        self.arns = {name: self.target_group(name) for name in ("blue", "green")}
        rule = self.rule(self.forward(blue=100))

        def used(name):
            shown = self.elb.describe_target_groups(TargetGroupArns=[self.arns[name]])["TargetGroups"][0]
            return shown.get("LoadBalancerArns", [])

        self.assertEqual(used("green"), [])
        self.elb.modify_rule(RuleArn=rule, Actions=self.forward(blue=100, green=0))
        self.assertEqual(used("green"), [self.world["load_balancer_arn"]])
        self.refused("ResourceInUse", self.elb.delete_target_group, TargetGroupArn=self.arns["green"])
        self.elb.modify_rule(RuleArn=rule, Actions=self.forward(blue=1))
        self.assertEqual(used("green"), [])
        self.elb.modify_listener(ListenerArn=self.world["listener_arn"], DefaultActions=self.forward(green=1))
        self.assertEqual(used("green"), [self.world["load_balancer_arn"]])
        found = self.elb.describe_target_groups(LoadBalancerArn=self.world["load_balancer_arn"])["TargetGroups"]
        self.assertEqual([one["TargetGroupName"] for one in found], ["blue", "green"])

    def test_scale_in_drains_then_forgets(self):
        control("POST", "settings", {"drain_cap_ms": 500})
        arn = self.running(low=0)
        self.asg.update_auto_scaling_group(AutoScalingGroupName="svc", DesiredCapacity=1)
        self.assertEqual(self.health(arn), ["draining", "healthy"])
        self.assertEqual(len(self.members("Terminating")), 1)
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy"] and not self.members("Terminating")))
        states = [i["State"]["Name"] for r in self.ec2.describe_instances()["Reservations"] for i in r["Instances"]]
        self.assertEqual(sorted(states), ["running", "terminated"])

    def test_the_deregistration_delay_counts_below_the_cap(self):
        control("POST", "settings", {"drain_cap_ms": 60000})
        arn = self.running(size=1, low=0)
        self.elb.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
        )
        self.asg.set_desired_capacity(AutoScalingGroupName="svc", DesiredCapacity=0)
        self.assertEqual(self.health(arn), [])

    def test_forced_by_name_and_count_and_version(self):
        arn = self.running(HealthCheckType="EC2")
        control("POST", "health", {"target_group": "svc", "state": "unhealthy", "count": 1})
        self.assertEqual(self.health(arn), ["healthy", "unhealthy"])
        control("POST", "health", {"target_group": arn, "state": "unhealthy"})
        self.assertEqual(self.health(arn), ["unhealthy", "unhealthy"])
        control("POST", "health", {"state": None})
        self.assertEqual(self.health(arn), ["healthy", "healthy"])
        control("POST", "health", {"version": "1", "state": "unhealthy"})
        self.assertEqual(self.health(arn), ["unhealthy", "unhealthy"])
        self.assertEqual(self.reasons(arn), {"Target.FailedHealthChecks"})
        control("POST", "health", {"version": "1", "state": None})
        control("POST", "health", {"user_data": "hello", "state": "unhealthy"})
        self.assertEqual(self.health(arn), ["unhealthy", "unhealthy"])

    def test_forced_before_the_target_group_exists(self):
        control("POST", "health", {"version": "1.2.0", "state": "unhealthy"})
        control("POST", "health", {"prefix": "future-", "state": "unhealthy"})
        for name, version in (("one", "1.2.0"), ("future-x", "9"), ("two", "9")):
            arn = self.target_group(name, version)
            self.arns = {name: arn}
            self.rule(self.forward(**{name: 1}), priority=len(name) * 10 + ord(name[0]))
            self.group(name, targets=[arn], version=version, HealthCheckType="EC2")
            wanted = ["healthy"] * 2 if name == "two" else ["unhealthy"] * 2
            self.assertTrue(eventually(lambda: self.health(arn) == wanted), name)

    def test_unhealthy_ones_are_replaced_after_the_grace_period(self):
        arn = self.running(HealthCheckGracePeriod=1)
        before = {one["InstanceId"] for one in self.members()}
        control("POST", "health", {"target_group": "svc", "state": "unhealthy", "count": 1})
        self.assertEqual({one["InstanceId"] for one in self.members()}, before)
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy", "healthy"] and len({one["InstanceId"] for one in self.members()} & before) == 1))
        found = self.asg.describe_scaling_activities(AutoScalingGroupName="svc")["Activities"]
        self.assertTrue(any("unhealthy" in one["Cause"] for one in found))

    def test_terminated_from_outside_is_replaced(self):
        control("POST", "settings", {"drain_cap_ms": 500})
        arn = self.running()
        gone = self.members()[0]["InstanceId"]
        self.ec2.terminate_instances(InstanceIds=[gone])
        self.assertIn("draining", self.health(arn))
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy", "healthy"] and len(self.members()) == 2))
        self.assertNotIn(gone, [one["InstanceId"] for one in self.members()])

    def test_set_instance_health_and_a_stopped_member_are_replaced(self):
        self.running()
        first, second = [one["InstanceId"] for one in self.members()]
        self.asg.set_instance_health(InstanceId=first, HealthStatus="Unhealthy")
        self.ec2.stop_instances(InstanceIds=[second])
        self.assertTrue(eventually(lambda: len(self.members()) == 2 and not {first, second} & {one["InstanceId"] for one in self.members()}))

    def test_detaching_a_target_group_deregisters(self):
        control("POST", "settings", {"drain_cap_ms": 500})
        arn = self.running()
        self.asg.detach_load_balancer_target_groups(AutoScalingGroupName="svc", TargetGroupARNs=[arn])
        self.assertEqual(self.health(arn), ["draining", "draining"])
        self.asg.attach_load_balancer_target_groups(AutoScalingGroupName="svc", TargetGroupARNs=[arn])
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy", "healthy"]))

    def test_asking_for_an_unknown_target(self):
        arn = self.target_group()
        found = self.elb.describe_target_health(TargetGroupArn=arn, Targets=[{"Id": "i-0"}])["TargetHealthDescriptions"]
        self.assertEqual(found[0]["TargetHealth"]["Reason"], "Target.NotRegistered")
        self.elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": "i-0"}])


class Templates(Case):
    def test_true_pages(self):
        for number in range(7):
            self.template(f"svc-{number}", tags={"scope": "a" if number < 5 else "b"})
        token, seen = {}, []
        while True:
            page = self.ec2.describe_launch_templates(MaxResults=2, Filters=[{"Name": "tag:scope", "Values": ["a"]}], **token)
            seen.append([one["LaunchTemplateName"] for one in page["LaunchTemplates"]])
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        self.assertEqual(seen, [["svc-0", "svc-1"], ["svc-2", "svc-3"], ["svc-4"]])
        self.assertEqual(len(self.ec2.describe_launch_templates()["LaunchTemplates"]), 7)
        page = self.ec2.describe_launch_template_versions(Versions=["$Latest"], MaxResults=4)
        self.assertEqual(len(page["LaunchTemplateVersions"]), 4)
        page = self.ec2.describe_launch_template_versions(Versions=["$Latest"], NextToken=page["NextToken"])
        self.assertEqual(len(page["LaunchTemplateVersions"]), 3)

    def test_tags_written_later_show_and_filter(self):
        one = self.template()
        self.ec2.create_tags(Resources=[one], Tags=[{"Key": "ionroller:stable", "Value": "now"}])

        def found():
            shown = self.ec2.describe_launch_templates(Filters=[{"Name": "tag:ionroller:stable", "Values": ["now"]}])
            return [{tag["Key"]: tag["Value"] for tag in template["Tags"]} for template in shown["LaunchTemplates"]]

        self.assertEqual(found(), [{"ionroller:version": "1", "ionroller:stable": "now"}])
        self.ec2.delete_tags(Resources=[one], Tags=[{"Key": "ionroller:stable"}])
        self.assertEqual(found(), [])

    def test_client_token(self):
        first = self.template(ClientToken="abc")
        self.assertEqual(self.template(ClientToken="abc"), first)
        with self.assertRaisesRegex(ClientError, "IdempotentParameterMismatch"):
            self.template(ClientToken="abc", text="other")
        with self.assertRaisesRegex(ClientError, "InvalidLaunchTemplateName.AlreadyExistsException"):
            self.template(ClientToken="other")

    def test_not_found(self):
        self.refused("InvalidLaunchTemplateName.NotFoundException", self.ec2.describe_launch_templates, LaunchTemplateNames=["nix"])
        self.refused("InvalidLaunchTemplateId.NotFound", self.ec2.describe_launch_templates, LaunchTemplateIds=["lt-0123456789abcdef0"])
        self.refused("InvalidLaunchTemplateId.NotFound", self.ec2.delete_launch_template, LaunchTemplateId="lt-0123456789abcdef0")
        none = self.ec2.describe_launch_templates(Filters=[{"Name": "launch-template-name", "Values": ["nix"]}])
        self.assertEqual(none["LaunchTemplates"], [])

    def test_what_was_sent_comes_back(self):
        self.template(text="line one\nline two")
        version = self.ec2.describe_launch_template_versions(LaunchTemplateName="svc", Versions=["1"])["LaunchTemplateVersions"][0]
        data = version["LaunchTemplateData"]
        self.assertEqual(base64.b64decode(data["UserData"]).decode(), "line one\nline two")
        self.assertEqual(data.get("TagSpecifications", []), [])

    def test_an_instance_keeps_the_version_it_was_launched_with(self):
        template = self.template()
        self.group(template=template)
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        data = {"InstanceType": "t3.large", "MetadataOptions": {"HttpTokens": "required"}}
        version = self.ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData=data)
        self.assertEqual(version["LaunchTemplateVersion"]["LaunchTemplateData"]["ImageId"], "ami-1")
        self.asg.update_auto_scaling_group(AutoScalingGroupName="svc", DesiredCapacity=3, LaunchTemplate={"LaunchTemplateId": template, "Version": "2"})
        self.assertTrue(eventually(lambda: len(self.members()) == 3))
        self.assertEqual(sorted(one["LaunchTemplate"]["Version"] for one in self.members()), ["1", "1", "2"])
        new = next(one["InstanceId"] for one in self.members() if one["LaunchTemplate"]["Version"] == "2")
        shown = self.ec2.describe_instances(InstanceIds=[new])["Reservations"][0]["Instances"][0]
        self.assertEqual((shown["InstanceType"], shown["MetadataOptions"]["HttpTokens"]), ("t3.large", "required"))


class Groups(Case):
    def test_pending_then_in_service_over_both_subnets(self):
        control("POST", "settings", {"launch_delay_ms": 500})
        self.group(size=4)
        self.assertEqual(len(self.members("Pending")), 4)
        self.assertTrue(eventually(lambda: len(self.members()) == 4))
        zones = sorted(one["AvailabilityZone"] for one in self.members())
        self.assertEqual(zones, ["us-east-1a", "us-east-1a", "us-east-1b", "us-east-1b"])
        tags = self.ec2.describe_tags(Filters=[{"Name": "key", "Values": ["aws:autoscaling:groupName"]}])["Tags"]
        self.assertEqual([tag["Value"] for tag in tags], ["svc"] * 4)

    def test_more_instances_than_a_small_subnet_holds(self):
        subnet = self.ec2.create_subnet(VpcId=self.world["vpc_id"], CidrBlock="10.0.192.0/28")["Subnet"]["SubnetId"]
        self.group(size=20, high=20, VPCZoneIdentifier=subnet)
        self.assertTrue(eventually(lambda: control("GET", "state")["groups"][0]["failed_launches"] > 0))
        found = self.asg.describe_scaling_activities(AutoScalingGroupName="svc")["Activities"]
        self.assertIn("not enough free addresses", next(one["StatusMessage"] for one in found if one["StatusCode"] == "Failed"))

    def test_names_and_bounds(self):
        template = self.template()
        self.group(template=template)
        with self.assertRaisesRegex(ClientError, "AlreadyExists"):
            self.group(template=template)
        self.refused("ValidationError", self.asg.set_desired_capacity, "above max value", AutoScalingGroupName="svc", DesiredCapacity=11)
        self.refused("ValidationError", self.asg.set_desired_capacity, "below min value", AutoScalingGroupName="svc", DesiredCapacity=1)
        self.refused("ValidationError", self.asg.update_auto_scaling_group, AutoScalingGroupName="svc", DesiredCapacity=11)
        self.refused("ValidationError", self.asg.update_auto_scaling_group, "not found", AutoScalingGroupName="nix", MinSize=1)
        with self.assertRaisesRegex(ClientError, "fully-formed launch template"):
            self.group("other", template="lt-0123456789abcdef0")
        with self.assertRaisesRegex(ClientError, "Target Groups may not be valid"):
            self.group("other", template=template, targets=[self.world["nlb_foreign_target_group_arn"] + "x"])
        self.asg.update_auto_scaling_group(AutoScalingGroupName="svc", MinSize=3)
        self.assertEqual(self.shown()["DesiredCapacity"], 3)
        self.assertEqual(self.shown()["HealthCheckGracePeriod"], 0)

    def test_deleting(self):
        control("POST", "settings", {"delete_delay_ms": 600})
        template = self.template()
        self.group(template=template, low=0)
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        self.refused("ResourceInUse", self.asg.delete_auto_scaling_group, AutoScalingGroupName="svc")
        self.asg.update_auto_scaling_group(AutoScalingGroupName="svc", MinSize=0, DesiredCapacity=0)
        self.assertTrue(eventually(lambda: self.shown()["Instances"] == []))
        self.asg.delete_auto_scaling_group(AutoScalingGroupName="svc")
        self.assertEqual(self.shown()["Status"], "Delete in progress")
        self.refused("ValidationError", self.asg.update_auto_scaling_group, "may not be modified while it is pending delete", AutoScalingGroupName="svc", MaxSize=1)
        with self.assertRaisesRegex(ClientError, "AlreadyExists.* pending delete"):
            self.group(template=template)
        self.assertTrue(eventually(lambda: self.shown() is None))
        self.group(template=template)

    def test_force_delete_takes_the_instances_along(self):
        control("POST", "settings", {"drain_cap_ms": 500})
        arn = self.running()
        self.asg.delete_auto_scaling_group(AutoScalingGroupName="svc", ForceDelete=True)
        self.assertEqual(self.health(arn), ["draining", "draining"])
        self.assertTrue(eventually(lambda: self.shown() is None and self.health(arn) == []))

    def test_failed_launches(self):
        control("POST", "launches", {"version": "1", "fail": "We currently do not have sufficient t3.small capacity"})
        self.group()
        self.group("other", version="2")

        def failures():
            found = self.asg.describe_scaling_activities(AutoScalingGroupName="svc")["Activities"]
            return [one for one in found if one["StatusCode"] == "Failed"]

        self.assertTrue(eventually(lambda: len(failures()) >= 6))
        self.assertIn("do not have sufficient", failures()[0]["StatusMessage"])
        times = [one["StartTime"] for one in failures()]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertEqual(self.members(), [])
        self.assertTrue(eventually(lambda: len(self.members(name="other")) == 2))
        control("POST", "launches", {"version": "1", "fail": None})
        self.assertTrue(eventually(lambda: len(self.members()) == 2))

    def test_a_deleted_template_fails_the_next_launch(self):
        template = self.template()
        self.group(template=template, size=1)
        self.assertTrue(eventually(lambda: len(self.members()) == 1))
        self.ec2.delete_launch_template(LaunchTemplateId=template)
        self.asg.set_desired_capacity(AutoScalingGroupName="svc", DesiredCapacity=2)
        self.assertTrue(eventually(lambda: control("GET", "state")["groups"][0]["last_failure"]))

    def test_activities_come_in_pages(self):
        self.group(size=5)
        self.assertTrue(eventually(lambda: len(self.members()) == 5))
        page = self.asg.describe_scaling_activities(AutoScalingGroupName="svc", MaxRecords=3)
        rest = self.asg.describe_scaling_activities(AutoScalingGroupName="svc", NextToken=page["NextToken"])
        self.assertEqual((len(page["Activities"]), len(rest["Activities"])), (3, 2))
        self.assertEqual({one["StatusCode"] for one in page["Activities"]}, {"Successful"})
        self.refused("ValidationError", self.asg.describe_scaling_activities, AutoScalingGroupName="nix")

    def test_suspended_processes_are_honoured(self):
        arn = self.target_group()
        self.arns = {"svc": arn}
        self.rule(self.forward(svc=1))
        self.group(size=1, low=0, targets=[arn])
        self.assertTrue(eventually(lambda: len(self.members()) == 1))
        self.asg.suspend_processes(AutoScalingGroupName="svc", ScalingProcesses=["Launch", "Terminate"])
        for size in (2, 0):
            self.asg.set_desired_capacity(AutoScalingGroupName="svc", DesiredCapacity=size)
            time.sleep(0.25)
            self.assertEqual(len(self.shown()["Instances"]), 1)
        self.asg.set_desired_capacity(AutoScalingGroupName="svc", DesiredCapacity=2)
        self.asg.suspend_processes(AutoScalingGroupName="svc", ScalingProcesses=["AddToLoadBalancer"])
        self.asg.resume_processes(AutoScalingGroupName="svc", ScalingProcesses=["Launch"])
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        self.assertEqual(len(self.health(arn)), 1)

    def test_pages_and_filters(self):
        template = self.template()
        for number in range(5):
            self.group(f"svc-{number}", size=0, template=template, version=str(number % 2))
        page = self.asg.describe_auto_scaling_groups(MaxRecords=2)
        self.assertEqual([one["AutoScalingGroupName"] for one in page["AutoScalingGroups"]], ["svc-0", "svc-1"])
        pages = list(self.asg.get_paginator("describe_auto_scaling_groups").paginate(PaginationConfig={"PageSize": 2}))
        self.assertEqual([len(one["AutoScalingGroups"]) for one in pages], [2, 2, 1])
        found = self.asg.describe_auto_scaling_groups(Filters=[{"Name": "tag:ionroller:version", "Values": ["1"]}])
        self.assertEqual(len(found["AutoScalingGroups"]), 2)
        self.refused("InvalidNextToken", self.asg.describe_auto_scaling_groups, NextToken="nonsense")

    def test_scaling_policies_belong_to_their_group(self):
        arn = self.target_group()
        self.arns = {"one": arn}
        self.rule(self.forward(one=1))
        template = self.template()
        for name in ("one", "two"):
            self.group(name, size=0, template=template, targets=[arn] if name == "one" else [])
            config = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}
            self.asg.put_scaling_policy(AutoScalingGroupName=name, PolicyName="cpu", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=config)
        label = self.world["load_balancer_arn"].split("loadbalancer/")[1] + "/" + arn.split(":")[-1]
        config = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}, "TargetValue": 1000.0, "DisableScaleIn": True}
        self.asg.put_scaling_policy(AutoScalingGroupName="one", PolicyName="requests", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=config)

        def names(group):
            found = self.asg.describe_policies(AutoScalingGroupName=group)["ScalingPolicies"]
            return {one["PolicyName"]: one["TargetTrackingConfiguration"] for one in found}

        self.assertEqual(sorted(names("one")), ["cpu", "requests"])
        self.assertEqual(names("one")["requests"], config)
        self.asg.delete_policy(AutoScalingGroupName="one", PolicyName="cpu")
        self.assertEqual((sorted(names("one")), sorted(names("two"))), (["requests"], ["cpu"]))
        bad = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": "x"}, "TargetValue": 1.0}
        self.refused("ValidationError", self.asg.put_scaling_policy, AutoScalingGroupName="one", PolicyName="x", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=bad)

    def test_tags_of_a_group(self):
        self.group(size=0)
        tag = {"ResourceId": "svc", "ResourceType": "auto-scaling-group", "Key": "ionroller:step", "Value": "0@T", "PropagateAtLaunch": False}
        self.asg.create_or_update_tags(Tags=[tag])
        self.assertIn(tag, self.shown()["Tags"])
        self.asg.delete_tags(Tags=[tag])
        self.assertNotIn(tag, self.shown()["Tags"])
        self.refused("ValidationError", self.asg.create_or_update_tags, Tags=[{**tag, "ResourceId": "nix"}])


class Balancers(Case):
    def setUp(self):
        super().setUp()
        self.arns = {}

    def make(self, *names, **more):
        for name in names:
            self.arns[name] = self.target_group(name, **more)

    def test_rules_keep_weights_conditions_and_tags(self):
        self.make("blue", "green")
        rule = self.rule(self.forward(blue=100), Tags=[{"Key": "ionroller:service", "Value": "svc"}])
        self.elb.modify_rule(RuleArn=rule, Actions=self.forward(blue=95, green=5))
        shown = self.elb.describe_rules(RuleArns=[rule])["Rules"][0]
        weights = {one["TargetGroupArn"]: one["Weight"] for one in shown["Actions"][0]["ForwardConfig"]["TargetGroups"]}
        self.assertEqual(weights, {self.arns["blue"]: 95, self.arns["green"]: 5})
        self.assertNotIn("TargetGroupArn", shown["Actions"][0])
        self.assertEqual(shown["Conditions"][0]["HostHeaderConfig"]["Values"], ["a.example"])
        self.assertEqual(shown["Conditions"][0]["Values"], ["a.example"])
        tags = self.elb.describe_tags(ResourceArns=[rule])["TagDescriptions"][0]["Tags"]
        self.assertEqual(tags, [{"Key": "ionroller:service", "Value": "svc"}])
        self.elb.modify_rule(RuleArn=rule, Conditions=[{"Field": "path-pattern", "Values": ["/x"]}], Actions=self.forward(green=1))
        shown = self.elb.describe_rules(RuleArns=[rule])["Rules"][0]
        self.assertEqual((shown["Priority"], shown["Conditions"][0]["PathPatternConfig"]["Values"]), ("10", ["/x"]))

    def test_a_single_forward_shows_both_forms(self):
        self.make("blue")
        arn = self.arns["blue"]
        for action in ({"Type": "forward", "TargetGroupArn": arn}, self.forward(blue=1)[0]):
            rule = self.rule([action])
            shown = self.elb.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"][0]
            self.assertEqual(shown["TargetGroupArn"], arn)
            self.assertEqual(shown["ForwardConfig"]["TargetGroups"], [{"TargetGroupArn": arn, "Weight": 1}])
            self.elb.delete_rule(RuleArn=rule)
        self.elb.modify_listener(ListenerArn=self.world["listener_arn"], DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}])
        shown = self.elb.describe_listeners(ListenerArns=[self.world["listener_arn"]])["Listeners"][0]["DefaultActions"][0]
        self.assertEqual(shown["ForwardConfig"]["TargetGroups"], [{"TargetGroupArn": arn, "Weight": 1}])

    def test_quotas(self):
        self.make(*"abcdef")
        self.refused("ValidationError", self.rule, actions=self.forward(a=1000))
        self.refused("TargetGroupAssociationLimit", self.rule, actions=self.forward(a=1, b=1, c=1, d=1, e=1, f=1))
        rule = self.rule(self.forward(a=999))
        self.refused("ValidationError", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1000))
        self.refused("ValidationError", self.elb.modify_listener, ListenerArn=self.world["listener_arn"], DefaultActions=self.forward(a=1000))
        control("POST", "settings", {"max_rules_per_load_balancer": 1})
        self.refused("TooManyRules", self.rule, actions=self.forward(a=1), priority=11)
        control("POST", "settings", {"max_target_groups_per_load_balancer": 1})
        self.refused("TooManyUniqueTargetGroupsPerLoadBalancer", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1, b=1))

    def test_one_load_balancer_per_target_group(self):
        self.make("a")
        self.rule(self.forward(a=1))
        other = self.elb.create_load_balancer(Name="other", Subnets=self.world["subnet_ids"])["LoadBalancers"][0]["LoadBalancerArn"]
        params = {"LoadBalancerArn": other, "Protocol": "HTTP", "Port": 80}
        self.refused("TargetGroupAssociationLimit", self.elb.create_listener, DefaultActions=self.forward(a=1), **params)
        self.rule(self.forward(a=1), listener=self.world["listeners"]["8080"])

    def test_priorities(self):
        self.make("a")
        rule = self.rule(self.forward(a=1), priority=20)
        self.refused("PriorityInUse", self.rule, actions=self.forward(a=1), priority=20)
        self.rule(self.forward(a=1), priority=3)
        shown = self.elb.describe_rules(ListenerArn=self.world["listener_arn"])["Rules"]
        self.assertEqual([one["Priority"] for one in shown], ["3", "20", "default"])
        default = shown[-1]["RuleArn"]
        self.refused("OperationNotPermitted", self.elb.modify_rule, RuleArn=default, Actions=self.forward(a=1))
        self.refused("OperationNotPermitted", self.elb.delete_rule, RuleArn=default)
        self.elb.delete_rule(RuleArn=rule)
        self.refused("RuleNotFound", self.elb.delete_rule, RuleArn=rule)
        self.refused("RuleNotFound", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1))

    def test_true_pages(self):
        names = [f"tg-{number}" for number in range(5)]
        self.make(*names)
        for number, name in enumerate(names):
            self.rule(self.forward(**{name: 1}), priority=100 - number)
        pages = self.elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 4})
        self.assertEqual([len(one["TargetGroups"]) for one in pages], [4, 2])
        rules = self.elb.describe_rules(ListenerArn=self.world["listener_arn"], PageSize=4)
        self.assertEqual([one["Priority"] for one in rules["Rules"]], ["96", "97", "98", "99"])
        rules = self.elb.describe_rules(ListenerArn=self.world["listener_arn"], PageSize=4, Marker=rules["NextMarker"])
        self.assertEqual([one["Priority"] for one in rules["Rules"]], ["100", "default"])
        self.assertNotIn("NextMarker", rules)
        page = self.elb.describe_listeners(LoadBalancerArn=self.world["load_balancer_arn"], PageSize=1)
        self.assertEqual(len(page["Listeners"]), 1)
        self.assertIn("NextMarker", page)

    def test_one_unknown_fails_the_whole_call(self):
        self.make("a")
        rule = self.rule(self.forward(a=1))
        self.refused("TargetGroupNotFound", self.elb.describe_target_groups, Names=["a", "b"])
        self.refused("TargetGroupNotFound", self.elb.describe_target_groups, TargetGroupArns=[self.arns["a"], self.arns["a"] + "x"])
        self.refused("TargetGroupNotFound", self.elb.describe_tags, ResourceArns=[self.arns["a"], self.arns["a"] + "x"])
        self.refused("RuleNotFound", self.elb.describe_tags, ResourceArns=[rule + "x"])
        self.refused("RuleNotFound", self.elb.describe_rules, RuleArns=[rule, rule + "x"])
        self.refused("ListenerNotFound", self.elb.describe_listeners, ListenerArns=[self.world["listener_arn"], self.world["listener_arn"] + "x"])
        self.refused("ListenerNotFound", self.elb.describe_rules, ListenerArn=self.world["listener_arn"] + "x")
        self.refused("LoadBalancerNotFound", self.elb.describe_load_balancers, Names=["world", "nix"])
        self.refused("TargetGroupNotFound", self.elb.describe_target_health, TargetGroupArn=self.arns["a"] + "x")

    def test_names(self):
        self.make("a")
        self.assertEqual(self.target_group("a"), self.arns["a"])
        self.refused("DuplicateTargetGroupName", self.target_group, name="a", Port=9)
        same = self.elb.create_load_balancer(Name="world", Subnets=self.world["subnet_ids"])["LoadBalancers"][0]
        self.assertEqual(same["LoadBalancerArn"], self.world["load_balancer_arn"])
        self.refused("DuplicateLoadBalancerName", self.elb.create_load_balancer, Name="world", Subnets=self.world["subnet_ids"], Scheme="internal")

    def test_network_load_balancer(self):
        self.assertIn(":loadbalancer/net/", self.world["nlb_arn"])
        self.make("a", "b", Protocol="TCP")
        listener = self.world["nlb_listener_arn"]
        self.elb.modify_listener(ListenerArn=listener, DefaultActions=self.forward(a=90, b=10))
        shown = self.elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"][0]
        self.assertEqual([one["Weight"] for one in shown["ForwardConfig"]["TargetGroups"]], [90, 10])
        self.make("http")
        self.refused("IncompatibleProtocols", self.elb.modify_listener, ListenerArn=listener, DefaultActions=self.forward(http=1))

    def test_health_checks_by_tcp(self):
        self.make("plain", Protocol="TCP")
        shown = self.elb.describe_target_groups(Names=["plain"])["TargetGroups"][0]
        self.assertEqual((shown["HealthCheckProtocol"], shown.get("HealthCheckPath")), ("TCP", None))
        self.make("web", Protocol="TCP", HealthCheckProtocol="HTTP", HealthCheckPath="/health")
        base = {"Port": 80, "VpcId": self.world["vpc_id"]}
        create = self.elb.create_target_group
        self.refused("ValidationError", create, "path", Name="a", Protocol="TCP", HealthCheckPath="/", **base)
        self.refused("ValidationError", create, "matcher", Name="a", Protocol="TCP", Matcher={"HttpCode": "200"}, **base)
        self.refused("InvalidConfigurationRequest", create, Name="a", Protocol="HTTP", HealthCheckProtocol="TCP", **base)
        modify = self.elb.modify_target_group
        self.refused("ValidationError", modify, "path", TargetGroupArn=self.arns["plain"], HealthCheckPath="/")
        modify(TargetGroupArn=self.arns["plain"], HealthCheckProtocol="HTTP", HealthCheckPath="/x")

    def test_what_others_run(self):
        world = control("POST", "world", {"name": "old", "nlb": True, "foreign": 2, "listeners": [{"port": 8080, "foreign": True}]})
        default = self.elb.describe_listeners(ListenerArns=[world["listeners"]["8080"]])["Listeners"][0]["DefaultActions"]
        self.assertEqual(default[0]["TargetGroupArn"], world["foreign_target_group_arn"])
        for arn in (world["foreign_target_group_arn"], world["nlb_foreign_target_group_arn"]):
            eventually(lambda: self.health(arn) == ["healthy", "healthy"])
            self.assertEqual(self.health(arn), ["healthy", "healthy"])

    def test_stickiness_comes_first_to_the_rule(self):
        self.make("a", "b")
        rule = self.rule(self.forward(a=1, b=1))
        sticky = [{"Key": "stickiness.enabled", "Value": "true"}]
        self.refused("InvalidConfigurationRequest", self.elb.modify_target_group_attributes, TargetGroupArn=self.arns["a"], Attributes=sticky)
        actions = self.forward(a=1, b=1)
        actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": 60}
        self.elb.modify_rule(RuleArn=rule, Actions=actions)
        self.elb.modify_target_group_attributes(TargetGroupArn=self.arns["a"], Attributes=sticky)
        self.refused("InvalidLoadBalancerAction", self.elb.modify_rule, RuleArn=rule, Actions=self.forward(a=1, b=1))


class Wire(Case):
    def counts(self):
        return control("GET", "calls/counts")

    def test_what_is_not_there_is_a_real_error(self):
        self.group(size=0)
        self.refused("InvalidAction", self.asg.start_instance_refresh, AutoScalingGroupName="svc")
        self.refused("InvalidAction", self.ec2.describe_trunk_interface_associations)
        self.refused("InvalidAction", self.elb.describe_trust_stores)

    def test_calls_are_listed(self):
        control("POST", "calls/clear")
        self.sts.get_caller_identity()
        self.group(size=0)
        self.refused("ValidationError", self.asg.set_desired_capacity, AutoScalingGroupName="nix", DesiredCapacity=1)
        calls = control("GET", "calls")
        self.assertEqual([call["n"] for call in calls], [1, 2, 3, 4])
        self.assertEqual(
            [(call["service"], call["operation"], call["mutating"], call["status"], call["done"]) for call in calls],
            [
                ("sts", "GetCallerIdentity", False, 200, True),
                ("ec2", "CreateLaunchTemplate", True, 200, True),
                ("autoscaling", "CreateAutoScalingGroup", True, 200, True),
                ("autoscaling", "SetDesiredCapacity", True, 400, False),
            ],
        )
        self.assertEqual(calls[2]["params"]["AutoScalingGroupName"], "svc")
        self.assertEqual(self.counts()["CreateLaunchTemplate"], 1)

    def test_throttled_then_through(self):
        control("POST", "faults", [{"operation": "DescribeAutoScalingGroups", "mode": "error-before", "code": "Throttling", "times": 2}])
        control("POST", "calls/clear")
        for _ in range(2):
            self.refused("Throttling", self.asg.describe_auto_scaling_groups)
        self.asg.describe_auto_scaling_groups()
        self.assertEqual([(call["status"], call["done"], call["fault"]) for call in control("GET", "calls")], [(400, False, "error-before")] * 2 + [(200, True, None)])
        self.assertEqual(control("GET", "faults")[0]["fired"], 2)

    def test_errors_speak_the_protocol_of_the_service(self):
        control("POST", "faults", [{"mode": "error-before", "code": "RequestLimitExceeded", "times": 0}])
        for call in (self.ec2.describe_launch_templates, self.elb.describe_target_groups, self.sts.get_caller_identity):
            self.refused("RequestLimitExceeded", call)
        control("POST", "faults", [])
        self.sts.get_caller_identity()

    def test_done_and_the_answer_lost(self):
        template = self.template()
        control("POST", "faults", [{"operation": "CreateAutoScalingGroup", "mode": "drop-after", "times": 1}])
        with self.assertRaises(BotoCoreError):
            self.group(size=0, template=template)
        self.assertIsNotNone(self.shown())
        control("POST", "faults", [{"operation": "CreateAutoScalingGroup", "mode": "drop-before"}, {"operation": "SetDesiredCapacity", "mode": "error-after", "code": "InternalFailure", "status": 500}])
        with self.assertRaises(BotoCoreError):
            self.group("other", size=0, template=template)
        self.assertIsNone(self.shown("other"))
        with self.assertRaisesRegex(ClientError, "InternalFailure"):
            self.asg.set_desired_capacity(AutoScalingGroupName="svc", DesiredCapacity=1)
        self.assertEqual(self.shown()["DesiredCapacity"], 1)

    def test_match_is_about_one_of_many(self):
        self.group("one", size=0)
        self.group("two", size=0)
        control("POST", "faults", [{"operation": "SetDesiredCapacity", "mode": "error-before", "match": "AutoScalingGroupName=two", "times": 0}])
        self.asg.set_desired_capacity(AutoScalingGroupName="one", DesiredCapacity=0)
        self.refused("Throttling", self.asg.set_desired_capacity, AutoScalingGroupName="two", DesiredCapacity=0)

    def test_hanging_until_released_blocks_nobody_else(self):
        self.group(size=0)
        control("POST", "faults", [{"operation": "SetDesiredCapacity", "mode": "hang-before"}])
        thread = threading.Thread(target=self.asg.set_desired_capacity, kwargs={"AutoScalingGroupName": "svc", "DesiredCapacity": 1})
        thread.start()
        self.assertTrue(eventually(lambda: self.counts().get("SetDesiredCapacity")))
        self.assertEqual(self.shown()["DesiredCapacity"], 0)
        control("POST", "faults", [])
        thread.join(5)
        self.assertEqual(self.shown()["DesiredCapacity"], 1)

    def test_state_shows_the_world(self):
        arn = self.running()
        shown = control("GET", "state")
        group = shown["groups"][0]
        self.assertEqual((group["name"], group["version"], group["desired"], group["status"]), ("svc", "1", 2, None))
        self.assertEqual([one["lifecycle"] for one in group["instances"]], ["InService"] * 2)
        target_group = next(one for one in shown["target_groups"] if one["arn"] == arn)
        self.assertEqual([one["state"] for one in target_group["targets"]], ["healthy"] * 2)
        self.assertEqual(shown["rules"][0]["actions"][0]["weights"][0]["weight"], 100)
        self.assertEqual(shown["launch_templates"][0]["user_data"], "hello")

    def test_wrong_control_calls_say_so(self):
        for path, data in (("settings", {"nix": 1}), ("health", {"state": "odd"}), ("faults", [{"mode": "odd"}])):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                control("POST", path, data)
            self.assertIn("error", json.load(caught.exception))
            caught.exception.close()

    def test_other_accounts_and_regions_are_apart(self):
        self.template()
        self.assertEqual(client("ec2", region="eu-west-1").describe_launch_templates()["LaunchTemplates"], [])
        keys = self.sts.assume_role(RoleArn="arn:aws:iam::222222222222:role/deploy", RoleSessionName="test")["Credentials"]
        other = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"], "aws_session_token": keys["SessionToken"]}
        self.assertEqual(client("sts", **other).get_caller_identity()["Account"], "222222222222")
        self.assertEqual(client("ec2", **other).describe_launch_templates()["LaunchTemplates"], [])
        self.assertEqual(self.sts.get_caller_identity()["Account"], "123456789012")

    def test_calls_name_their_account(self):
        keys = self.sts.assume_role(RoleArn="arn:aws:iam::222222222222:role/deploy", RoleSessionName="test")["Credentials"]
        other = {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"], "aws_session_token": keys["SessionToken"]}
        client("ec2", **other).describe_launch_templates()
        calls = {call["operation"]: call["account"] for call in control("GET", "calls")}
        self.assertEqual((calls["AssumeRole"], calls["DescribeLaunchTemplates"]), ("123456789012", "222222222222"))

    def test_small_pages_on_demand(self):
        for number in range(5):
            self.template(f"svc-{number}")
        control("POST", "settings", {"most_per_page": 2})
        first = self.ec2.describe_launch_templates(MaxResults=200)
        self.assertEqual(len(first["LaunchTemplates"]), 2)
        pages = self.ec2.get_paginator("describe_launch_templates").paginate()
        self.assertEqual([len(page["LaunchTemplates"]) for page in pages], [2, 2, 1])

    def test_images_have_dates_that_tell_them_apart(self):
        made = [self.ec2.register_image(Name=f"a-{number}", RootDeviceName="/dev/xvda")["ImageId"] for number in range(3)]
        found = self.ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": ["a-*"]}])["Images"]
        dates = {image["ImageId"]: image["CreationDate"] for image in found}
        self.assertEqual(sorted(made, key=dates.get), made)
        self.assertRegex(dates[made[0]], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$")

    def test_alarms(self):
        watch = client("cloudwatch")
        watch.put_metric_alarm(AlarmName="a", MetricName="m", Namespace="n", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold")
        control("POST", "faults", [{"operation": "DescribeAlarms", "service": "cloudwatch", "mode": "error-before", "code": "Throttling"}])
        self.refused("Throttling", watch.describe_alarms)
        watch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="test")
        self.assertEqual(watch.describe_alarms(AlarmNames=["a", "b"])["MetricAlarms"][0]["StateValue"], "ALARM")

    def names(self, url=None):
        return sorted(control("GET", "dump", url=url)["launch_templates"])

    def test_a_copy_goes_its_own_way(self):
        self.template("both")
        copy = control("POST", "fork", {})["url"]
        self.template("first")
        keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x"}
        there = SESSION.client("ec2", endpoint_url=copy, region_name="us-east-1", **keys)
        there.create_launch_template(LaunchTemplateName="second", LaunchTemplateData={"ImageId": "ami-1"})
        self.assertEqual((self.names(), self.names(copy)), (["both", "first"], ["both", "second"]))
        self.assertEqual(control("POST", "exit", {}, url=copy), {"ends": True})

    def dies(self, kind, n=2):
        """A program that makes three templates, and how far it comes."""
        script = (
            "import boto3, sys\n"
            "from botocore.config import Config\n"
            "config = Config(retries={'total_max_attempts': 3, 'mode': 'standard'})\n"
            "ec2 = boto3.client('ec2', endpoint_url=sys.argv[1], region_name='us-east-1', config=config, aws_access_key_id='AKIAIOSFODNN7EXAMPLE', aws_secret_access_key='x')\n"
            "for name in 'abc':\n"
            "    ec2.create_launch_template(LaunchTemplateName=name * 3, LaunchTemplateData={'ImageId': 'ami-1'})\n"
            "    print(name, flush=True)\n"
        )
        control("POST", "crash", {"n": n, "kind": kind})
        program = subprocess.Popen([sys.executable, "-c", script, URL], stdout=subprocess.PIPE, text=True)
        control("POST", "crash/pid", {"pid": program.pid})
        said, _ = program.communicate(timeout=60)
        shown = control("POST", "crash/clear", {})
        self.assertEqual(control("GET", "crash")["n"], None)
        made = [name[0] for name in self.names()]
        return program.returncode, said.split(), made, shown["reached"]

    def test_death_before_a_call(self):
        self.assertEqual(self.dies("before"), (-9, ["a"], ["a"], True))

    def test_death_with_the_call_done(self):
        self.assertEqual(self.dies("done"), (-9, ["a"], ["a", "b"], True))

    def test_death_with_the_answer(self):
        self.assertEqual(self.dies("answered"), (-9, ["a", "b"], ["a", "b"], True))

    def test_a_place_that_is_never_reached(self):
        self.assertEqual(self.dies("before", n=4), (0, ["a", "b", "c"], ["a", "b", "c"], False))

    def test_a_dump_has_no_times(self):
        self.template(tags={"ionroller:stable": "2026-01-02T03:04:05Z"})
        first = control("GET", "dump")
        self.assertEqual(first["launch_templates"]["svc"]["tags"], {"ionroller:stable": "TIME"})
        self.assertEqual(control("GET", "dump"), first)

    def test_a_dump_has_what_belongs_together(self):
        self.running()
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        shown = control("GET", "dump")
        group = shown["groups"]["svc"]
        self.assertEqual((group["template"], group["target_groups"], group["sizes"]), (["svc", "1"], ["svc"], [2, 2, 10]))
        self.assertEqual((group["instances"], shown["target_groups"]["svc"]["targets"]), ({"InService": 2}, 2))
        self.assertEqual(shown["rules"][0]["actions"][0]["weights"], {"svc": 100})

    def test_sick_once_it_had_weight(self):
        arn, other = self.running(), self.target_group("other", version="2")
        self.arns["other"] = other
        control("POST", "health", {"version": "2", "state": "unhealthy", "had_weight": True})
        made = self.rule(self.forward(svc=100, other=0), priority=11, host="b.example")
        self.group("other", version="2", targets=[other], template=self.template("second"))
        self.assertTrue(eventually(lambda: self.health(other) == ["healthy"] * 2))
        self.elb.modify_rule(RuleArn=made, Actions=self.forward(svc=50, other=50))
        self.assertEqual(self.health(other), ["unhealthy"] * 2)
        self.elb.modify_rule(RuleArn=made, Actions=self.forward(svc=100, other=0))
        self.assertEqual((self.health(arn), self.health(other)), (["healthy"] * 2, ["unhealthy"] * 2))


class Permissions(Case):
    OURS = {"ionroller:scope": "prod"}

    def holds(self, conditions, **context):
        """Whether a statement with these conditions holds; `_` in a name stands for `:`."""
        context = {name.replace("_", ":"): value for name, value in context.items()}
        statement = {"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": conditions}
        return permissions.decide([{"Statement": [statement]}], "a:B", "r", context)[0]

    def test_conditions(self):
        for operator, wanted, found, expected in (
            ("StringEquals", "prod", "prod", True),
            ("StringEquals", "prod", "test", False),
            ("StringEquals", "prod", "PROD", False),
            ("StringEquals", "prod", None, False),
            ("StringEquals", ["a", "b"], "b", True),
            ("StringEqualsIfExists", "prod", None, True),
            ("StringEqualsIfExists", "prod", "test", False),
            ("StringNotEquals", "prod", "test", True),
            ("StringNotEquals", "prod", "prod", False),
            ("StringNotEquals", ["a", "b"], "b", False),
            ("StringNotEquals", "prod", None, True),
            ("StringLike", "pr*", "prod", True),
            ("StringLike", "pr?", "prod", False),
            ("ArnLike", "arn:aws:ec2:*:launch-template/*", "arn:aws:ec2:eu-west-1:1:launch-template/lt-1", True),
            ("Bool", "true", "true", True),
            ("Bool", True, "false", False),
            ("Bool", "false", None, False),
            ("Null", "true", None, True),
            ("Null", "false", None, False),
            ("Null", "false", "x", True),
            ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
            ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
            ("ForAllValues:StringEquals", ["a", "b"], None, True),
            ("ForAllValues:StringNotEquals", "a", ["b", "c"], True),
            ("ForAllValues:StringNotEquals", "a", ["b", "a"], False),
            ("ForAnyValue:StringEquals", "a", ["b", "a"], True),
            ("ForAnyValue:StringEquals", "a", ["b"], False),
            ("ForAnyValue:StringEquals", "a", None, False),
        ):
            with self.subTest(operator=operator, wanted=wanted, found=found):
                context = {} if found is None else {"Aws:K": found}
                self.assertEqual(self.holds({operator: {"aws:k": wanted}}, **context), expected)
        with self.assertRaises(ValueError):
            self.holds({"NumericEquals": {"aws:k": "1"}}, aws_k="1")

    def test_all_conditions_of_a_statement_must_hold(self):
        conditions = {"StringEquals": {"aws:a": "1", "aws:b": "2"}, "Bool": {"aws:c": "true"}}
        self.assertTrue(self.holds(conditions, aws_a="1", aws_b="2", aws_c="true"))
        for wrong in ({"aws_a": "0"}, {"aws_b": "0"}, {"aws_c": "false"}):
            self.assertFalse(self.holds(conditions, **{"aws_a": "1", "aws_b": "2", "aws_c": "true", **wrong}))

    def test_statements(self):
        allow = {"Sid": "A", "Effect": "Allow", "Action": ["ec2:Describe*", "ec2:createtags"], "Resource": "arn:aws:ec2:*:1:launch-template/*"}
        deny = {"Sid": "D", "Effect": "Deny", "NotAction": "ec2:*", "Resource": "*"}
        template = "arn:aws:ec2:eu-west-1:1:launch-template/lt-1"
        decide = permissions.decide
        self.assertEqual(decide([{"Statement": [allow]}], "ec2:CreateTags", template, {}), (True, "A"))
        self.assertEqual(decide([{"Statement": allow}], "ec2:DescribeImages", template, {}), (True, "A"))
        self.assertEqual(decide([{"Statement": [allow]}], "ec2:DeleteTags", template, {}), (False, None))
        self.assertEqual(decide([{"Statement": [allow]}], "ec2:CreateTags", template.replace(":1:", ":2:"), {}), (False, None))
        both = [{"Statement": [{**allow, "Action": "*", "Resource": "*"}]}, {"Statement": [deny]}]
        self.assertEqual(decide(both, "ec2:CreateTags", template, {}), (True, "A"))
        self.assertEqual(decide(both, "s3:GetObject", "x", {}), (False, "D"))
        self.assertEqual(decide([], "ec2:DescribeImages", "*", {}), (False, None))

    def allowed(self, *statements):
        """Clients with the keys of a user who may do this and no more."""
        statements = [{"Effect": "Allow", "Resource": "*", **one} for one in statements]
        keys = control("POST", "iam", {"policy": {"Version": "2012-10-17", "Statement": statements}})
        keys = {"aws_access_key_id": keys["access_key_id"], "aws_secret_access_key": keys["secret_access_key"]}
        return [client(name, **keys) for name in ("ec2", "autoscaling", "elbv2", "sts")]

    def denied(self, call, **params):
        with self.assertRaises(ClientError) as caught:
            call(**params)
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 403)
        return caught.exception.response["Error"]["Code"]

    def test_keys_and_signatures_are_moto_s(self):
        _, asg, _, sts = self.allowed({"Action": "autoscaling:DescribeAutoScalingGroups"})
        self.assertEqual(asg.describe_auto_scaling_groups()["AutoScalingGroups"], [])
        self.assertIn("user/ionroller", sts.get_caller_identity()["Arn"])
        name = "a (b); c+d % é"
        self.assertEqual(asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"], [])
        for wrong in (self.asg, client("autoscaling", aws_access_key_id=asg._request_signer._credentials.access_key)):
            self.assertIn(self.denied(wrong.describe_auto_scaling_groups), ("InvalidClientTokenId", "SignatureDoesNotMatch"))
        control("POST", "iam", {"policy": None})
        self.assertEqual(self.asg.describe_auto_scaling_groups()["AutoScalingGroups"], [])

    def test_templates_by_their_tags(self):
        ours, theirs = self.template("ours", tags=self.OURS), self.template("theirs", tags={"ionroller:scope": "test"})
        bare = self.template("bare", tags={"team": "web"})
        mine = {"StringEquals": {"aws:ResourceTag/ionroller:scope": "prod"}}
        keep = {"ForAllValues:StringNotEquals": {"aws:TagKeys": "ionroller:scope"}}
        ec2, *_ = self.allowed(
            {"Action": ["ec2:CreateTags", "ec2:DeleteLaunchTemplate"], "Condition": mine},
            {"Action": "ec2:DeleteTags", "Condition": {**mine, **keep}},
            {"Action": "ec2:CreateLaunchTemplate", "Condition": {"StringEquals": {"aws:RequestTag/ionroller:scope": "prod"}}},
        )
        note = [{"Key": "note", "Value": "x"}]
        ec2.create_tags(Resources=[ours], Tags=note)
        for other in (theirs, bare):
            self.assertEqual(self.denied(ec2.create_tags, Resources=[other], Tags=note), "UnauthorizedOperation")
            self.denied(ec2.delete_launch_template, LaunchTemplateId=other)
        self.denied(ec2.create_tags, Resources=[ours, theirs], Tags=note)
        self.denied(ec2.delete_tags, Resources=[ours], Tags=[{"Key": "note"}, {"Key": "ionroller:scope"}])
        ec2.delete_tags(Resources=[ours], Tags=[{"Key": "note"}])
        data = {"ImageId": "ami-1"}
        self.denied(ec2.create_launch_template, LaunchTemplateName="new", LaunchTemplateData=data)
        # Tags in the call that makes it need leave of their own.
        tagged = [{"ResourceType": "launch-template", "Tags": [{"Key": "ionroller:scope", "Value": "prod"}]}]
        self.denied(ec2.create_launch_template, LaunchTemplateName="new", LaunchTemplateData=data, TagSpecifications=tagged)
        ec2, *_ = self.allowed(
            {"Action": ["ec2:CreateLaunchTemplate"], "Condition": {"StringEquals": {"aws:RequestTag/ionroller:scope": "prod"}}},
            {"Action": "ec2:CreateTags", "Condition": {"StringEquals": {"ec2:CreateAction": "CreateLaunchTemplate"}}},
        )
        ec2.create_launch_template(LaunchTemplateName="new", LaunchTemplateData=data, TagSpecifications=tagged)
        self.denied(ec2.create_tags, Resources=[ours], Tags=note)

    def test_groups_by_their_tags(self):
        self.group("ours")
        self.group("theirs")
        tag = {"ResourceId": "ours", "ResourceType": "auto-scaling-group", "Key": "ionroller:scope", "Value": "prod", "PropagateAtLaunch": True}
        self.asg.create_or_update_tags(Tags=[tag])
        mine = {"StringEquals": {"aws:ResourceTag/ionroller:scope": "prod"}}
        _, asg, *_ = self.allowed(
            {"Action": ["autoscaling:UpdateAutoScalingGroup", "autoscaling:CreateOrUpdateTags"], "Condition": mine},
            {"Action": "autoscaling:DeleteAutoScalingGroup", "Condition": {**mine, "Bool": {"autoscaling:ForceDelete": "false"}}},
        )
        asg.update_auto_scaling_group(AutoScalingGroupName="ours", MinSize=1)
        self.assertEqual(self.denied(asg.update_auto_scaling_group, AutoScalingGroupName="theirs", MinSize=1), "AccessDenied")
        self.denied(asg.create_or_update_tags, Tags=[{**tag, "ResourceId": "theirs"}])
        self.denied(asg.create_or_update_tags, Tags=[tag, {**tag, "ResourceId": "theirs"}])
        self.denied(asg.delete_auto_scaling_group, AutoScalingGroupName="ours", ForceDelete=True)
        self.denied(asg.set_desired_capacity, AutoScalingGroupName="ours", DesiredCapacity=1)
        self.assertIn("autoscaling:SetDesiredCapacity", control("GET", "iam")["nothing"])
        self.assertEqual({one["MinSize"] for one in control_groups()}, {1, 2})

    def test_a_group_needs_leave_to_launch(self):
        template = self.template("svc", tags=self.OURS)
        create = {"Action": "autoscaling:CreateAutoScalingGroup"}
        first = {"Action": "iam:CreateServiceLinkedRole"}
        sizes = {"MinSize": 0, "MaxSize": 1, "DesiredCapacity": 0, "VPCZoneIdentifier": self.world["subnet_ids"][0]}
        call = {"AutoScalingGroupName": "svc", "LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"}, **sizes}
        _, asg, *_ = self.allowed(create, first)
        self.denied(asg.create_auto_scaling_group, **call)
        launch = {"Action": "ec2:RunInstances", "Condition": {"ArnLike": {"ec2:LaunchTemplate": "arn:aws:ec2:us-east-1:123456789012:launch-template/*"}}}
        versioned = {**create, "Condition": {"Bool": {"autoscaling:LaunchTemplateVersionSpecified": "true"}}}
        _, asg, *_ = self.allowed(versioned, first, launch)
        self.denied(asg.create_auto_scaling_group, **{**call, "LaunchTemplate": {"LaunchTemplateId": template, "Version": "$Latest"}})
        asg.create_auto_scaling_group(**call)

    def test_rules_and_target_groups_by_their_tags(self):
        tag = [{"Key": "ionroller:scope", "Value": "prod"}]
        arn = self.target_group("theirs")
        self.arns = {"theirs": arn}
        theirs = self.rule(self.forward(theirs=1))
        ours = self.rule(self.forward(theirs=1), priority=11, host="b.example", Tags=tag)
        mine = {"StringEquals": {"aws:ResourceTag/ionroller:scope": "prod"}}
        new = {"StringEquals": {"aws:RequestTag/ionroller:scope": "prod"}}
        _, _, elb, _ = self.allowed(
            {"Action": ["elasticloadbalancing:*Rule", "elasticloadbalancing:*TargetGroup"], "Condition": mine, "Resource": ["arn:aws:elasticloadbalancing:*:*:listener-rule/*", "arn:aws:elasticloadbalancing:*:*:targetgroup/*"]},
            {"Action": "elasticloadbalancing:CreateTargetGroup", "Condition": new},
            {"Action": "elasticloadbalancing:AddTags", "Condition": {"StringEquals": {"elasticloadbalancing:CreateAction": "CreateTargetGroup"}}},
        )
        elb.modify_rule(RuleArn=ours, Actions=self.forward(theirs=2))
        self.denied(elb.modify_rule, RuleArn=theirs, Actions=self.forward(theirs=2))
        self.denied(elb.delete_rule, RuleArn=theirs)
        self.denied(elb.delete_target_group, TargetGroupArn=arn)
        self.denied(elb.modify_listener, ListenerArn=self.world["listener_arn"], Port=81)
        self.denied(elb.add_tags, ResourceArns=[arn], Tags=tag)
        settings = {"Protocol": "HTTP", "Port": 80, "VpcId": self.world["vpc_id"]}
        self.denied(elb.create_target_group, Name="new", **settings)
        elb.create_target_group(Name="new", Tags=tag, **settings)


def control_groups():
    return [{"MinSize": one["min"]} for one in control("GET", "state")["groups"]]


if __name__ == "__main__":
    unittest.main()
