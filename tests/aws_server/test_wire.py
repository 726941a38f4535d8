"""What goes over the wire: calls, faults, copies, deaths."""

import json
import subprocess
import sys
import threading
import time
import urllib.error

from botocore.exceptions import BotoCoreError, ClientError

import case
from case import Case, client, control, eventually


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
        there = case.SESSION.client("ec2", endpoint_url=copy, region_name="us-east-1", **keys)
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
        program = subprocess.Popen([sys.executable, "-c", script, case.server_url()], stdout=subprocess.PIPE, text=True)
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
