"""Auto Scaling groups."""

import time

from botocore.exceptions import ClientError

from case import Case, control, eventually


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
