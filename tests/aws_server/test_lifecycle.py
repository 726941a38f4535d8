"""How machines come into a group and leave it: zones, hooks, protection, standby, deletion."""

import time

from case import Case, control, eventually


class Lifecycle(Case):
    def states(self, name="svc"):
        return sorted(one["LifecycleState"] for one in self.shown(name)["Instances"])

    def wait_for(self, *states, name="svc"):
        self.assertTrue(eventually(lambda: self.states(name) == sorted(states)), (states, self.states(name)))

    def hook(self, transition="LAUNCHING", **more):
        return {"LifecycleHookName": "ready", "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{transition}", "HeartbeatTimeout": 30, **more}

    def activities(self):
        return self.asg.describe_scaling_activities(AutoScalingGroupName="svc")["Activities"]

    # launches

    def test_a_zone_without_capacity_is_left_out_and_balanced_later(self):
        words = "We currently do not have sufficient t3.small capacity in the Availability Zone you requested (us-east-1a)."
        control("POST", "launches", {"zone": "us-east-1a", "fail": words})
        self.group(size=2)
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        self.assertEqual({one["AvailabilityZone"] for one in self.members()}, {"us-east-1b"})
        self.assertIn(words, {one.get("StatusMessage") for one in self.activities()})
        control("POST", "launches", {"zone": "us-east-1a", "fail": None})

        def zones():
            return sorted(one["AvailabilityZone"] for one in self.shown()["Instances"])

        self.assertTrue(eventually(lambda: zones() == ["us-east-1a", "us-east-1b"]), zones())

    def test_no_balance_while_it_is_suspended(self):
        control("POST", "launches", {"zone": "us-east-1a", "fail": "no capacity"})
        self.group(size=2)
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        self.asg.suspend_processes(AutoScalingGroupName="svc", ScalingProcesses=["AZRebalance"])
        control("POST", "launches", {"zone": "us-east-1a", "fail": None})
        time.sleep(0.5)
        self.assertEqual({one["AvailabilityZone"] for one in self.shown()["Instances"]}, {"us-east-1b"})

    def test_balanced_only_waits_for_its_zone(self):
        control("POST", "launches", {"zone": "us-east-1a", "fail": "no capacity"})
        self.group(size=2, AvailabilityZoneDistribution={"CapacityDistributionStrategy": "balanced-only"})
        time.sleep(0.5)
        self.assertLess(len(self.members()), 2)

    def test_launches_fail_by_template(self):
        good, bad = self.template("good"), self.template("bad")
        control("POST", "launches", {"template": bad, "fail": "Client.InternalError: Client error on launch"})
        self.group("one", template=good, size=1)
        self.group("two", template=bad, size=1)
        self.assertTrue(eventually(lambda: len(self.members(name="one")) == 1))
        self.assertEqual(self.members(name="two"), [])
        self.asg.update_auto_scaling_group(AutoScalingGroupName="two", LaunchTemplate={"LaunchTemplateId": good, "Version": "1"})
        self.assertTrue(eventually(lambda: len(self.members(name="two")) == 1))

    def test_mixed_instances(self):
        template = self.template()
        policy = {
            "LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"}, "Overrides": [{"InstanceType": "m6g.large"}]},
            "InstancesDistribution": {"OnDemandBaseCapacity": 2, "OnDemandPercentageAboveBaseCapacity": 50, "SpotAllocationStrategy": "price-capacity-optimized"},
        }
        self.asg.create_auto_scaling_group(
            AutoScalingGroupName="svc", MinSize=1, MaxSize=2, MixedInstancesPolicy=policy, VPCZoneIdentifier=",".join(self.world["subnet_ids"])
        )
        self.assertTrue(eventually(lambda: len(self.members()) == 1))
        self.assertEqual(self.members()[0]["InstanceType"], "m6g.large")
        shown = self.shown()
        self.assertNotIn("LaunchTemplate", shown)
        self.assertEqual(shown["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]["LaunchTemplateId"], template)

    # hooks

    def test_a_launch_hook_that_continues(self):
        arn = self.target_group()
        self.arns = {"svc": arn}
        self.rule(self.forward(svc=1))
        self.group(size=1, targets=[arn], LifecycleHookSpecificationList=[self.hook()])
        self.wait_for("Pending:Wait")
        self.assertEqual(self.health(arn), [], "who waits is not behind the load balancer")
        one = self.shown()["Instances"][0]["InstanceId"]
        complete = {"AutoScalingGroupName": "svc", "LifecycleHookName": "ready", "InstanceId": one}
        self.asg.record_lifecycle_action_heartbeat(**complete)
        self.asg.complete_lifecycle_action(LifecycleActionResult="CONTINUE", **complete)
        self.wait_for("InService")
        self.refused("ValidationError", self.asg.complete_lifecycle_action, "No active Lifecycle Action", LifecycleActionResult="CONTINUE", **complete)

    def test_a_launch_hook_without_an_answer_is_abandoned(self):
        control("POST", "settings", {"hook_cap_ms": 200})
        self.group(size=1, LifecycleHookSpecificationList=[self.hook()])
        self.wait_for("Pending:Wait")
        first = self.shown()["Instances"][0]["InstanceId"]
        self.assertTrue(eventually(lambda: first not in [one["InstanceId"] for one in self.shown()["Instances"]]))
        found = [one for one in self.activities() if one["StatusCode"] == "Cancelled"]
        self.assertIn("was abandoned: Heartbeat Timeout", found[-1]["StatusMessage"])
        self.assertEqual(self.members(), [])

    def test_what_machines_answer_can_be_played(self):
        control("POST", "hooks", {"version": "1", "result": "CONTINUE", "after_ms": 200})
        self.group(size=2, LifecycleHookSpecificationList=[self.hook()])
        self.wait_for("Pending:Wait", "Pending:Wait")
        self.wait_for("InService", "InService")

    def test_a_termination_hook_holds_the_machine(self):
        self.group(size=1, low=0)
        self.wait_for("InService")
        self.asg.put_lifecycle_hook(AutoScalingGroupName="svc", **self.hook("TERMINATING", DefaultResult="CONTINUE"))
        shown = self.asg.describe_lifecycle_hooks(AutoScalingGroupName="svc")["LifecycleHooks"][0]
        self.assertEqual((shown["HeartbeatTimeout"], shown["DefaultResult"], shown["GlobalTimeout"]), (30, "CONTINUE", 3000))
        self.asg.set_desired_capacity(AutoScalingGroupName="svc", DesiredCapacity=0)
        self.wait_for("Terminating:Wait")
        self.refused("ScalingActivityInProgress", self.asg.delete_auto_scaling_group, AutoScalingGroupName="svc")
        control("POST", "hooks", {"hook": "ready", "result": "CONTINUE"})
        self.wait_for()

    def test_deleting_by_force_skips_hooks(self):
        self.group(size=1, LifecycleHookSpecificationList=[self.hook("TERMINATING")])
        self.wait_for("InService")
        self.asg.delete_auto_scaling_group(AutoScalingGroupName="svc", ForceDelete=True)
        self.assertTrue(eventually(lambda: self.shown() is None))

    def test_machines_that_power_themselves_off_are_replaced_again_and_again(self):
        control("POST", "power", {"version": "1", "off_after_ms": 100})
        self.group(size=1)

        def causes():
            return [one["Cause"] for one in self.activities() if one["Description"].startswith("Terminating")]

        self.assertTrue(eventually(lambda: len(causes()) >= 2))
        self.assertIn("in response to an EC2 health check indicating it has been terminated or stopped.", causes()[0])

    # protection, standby, detaching

    def test_scale_in_protection(self):
        self.group(size=2, low=0, NewInstancesProtectedFromScaleIn=True)
        self.assertTrue(eventually(lambda: len(self.members()) == 2))
        self.asg.set_desired_capacity(AutoScalingGroupName="svc", DesiredCapacity=0)
        words = "Could not scale to desired capacity because all remaining instances are protected from scale-in."
        self.assertTrue(eventually(lambda: any(one["Description"] == words for one in self.activities())))
        ids = [one["InstanceId"] for one in self.members()]
        self.assertEqual(len(ids), 2)
        self.refused("ValidationError", self.asg.set_instance_protection, "not part of", AutoScalingGroupName="svc", InstanceIds=["i-0"], ProtectedFromScaleIn=False)
        self.asg.set_instance_protection(AutoScalingGroupName="svc", InstanceIds=ids[:1], ProtectedFromScaleIn=False)
        self.assertTrue(eventually(lambda: [one["InstanceId"] for one in self.shown()["Instances"]] == ids[1:]))

    def test_standby(self):
        arn = self.running(low=1)
        one = self.members()[0]["InstanceId"]
        self.asg.enter_standby(AutoScalingGroupName="svc", InstanceIds=[one], ShouldDecrementDesiredCapacity=True)
        self.assertEqual((self.states(), self.shown()["DesiredCapacity"]), (["InService", "Standby"], 1))
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy"]))
        enter = self.asg.enter_standby
        rest = [self.members()[0]["InstanceId"]]
        self.refused("ValidationError", enter, "min-size=1", AutoScalingGroupName="svc", InstanceIds=rest, ShouldDecrementDesiredCapacity=True)
        self.asg.exit_standby(AutoScalingGroupName="svc", InstanceIds=[one])
        self.assertEqual(self.shown()["DesiredCapacity"], 2)
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy", "healthy"]))
        self.asg.enter_standby(AutoScalingGroupName="svc", InstanceIds=[one], ShouldDecrementDesiredCapacity=False)
        self.wait_for("InService", "InService", "Standby")

    def test_detached_machines_are_nobody_s_and_replaced(self):
        arn = self.running()
        one = self.members()[0]["InstanceId"]
        self.asg.detach_instances(AutoScalingGroupName="svc", InstanceIds=[one], ShouldDecrementDesiredCapacity=False)
        self.assertTrue(eventually(lambda: len(self.members()) == 2 and self.health(arn) == ["healthy", "healthy"]))
        state = self.ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]["State"]["Name"]
        self.assertEqual(state, "running")

    # target groups of a group

    def test_a_detached_target_group_drains(self):
        control("POST", "settings", {"drain_cap_ms": 400})
        arn = self.running()
        self.asg.detach_load_balancer_target_groups(AutoScalingGroupName="svc", TargetGroupARNs=[arn])
        self.assertEqual(self.shown()["TargetGroupARNs"], [])

        def shown():
            found = self.asg.describe_load_balancer_target_groups(AutoScalingGroupName="svc")
            return [one["State"] for one in found["LoadBalancerTargetGroups"]]

        self.assertEqual(shown(), ["Removing"])
        self.assertTrue(eventually(lambda: shown() == [] and self.health(arn) == []))
        detach = self.asg.detach_load_balancer_target_groups
        self.refused("ValidationError", detach, "not part of", AutoScalingGroupName="svc", TargetGroupARNs=[arn])
        self.asg.attach_traffic_sources(AutoScalingGroupName="svc", TrafficSources=[{"Identifier": arn, "Type": "elbv2"}])
        self.assertEqual(shown(), ["InService"])
        self.assertTrue(eventually(lambda: self.health(arn) == ["healthy", "healthy"]))

    # the group

    def test_deletion_protection(self):
        self.group(size=1, DeletionProtection="prevent-force-deletion")
        self.assertEqual(self.shown()["DeletionProtection"], "prevent-force-deletion")
        delete = self.asg.delete_auto_scaling_group
        self.refused("ValidationError", delete, "deletion protection", AutoScalingGroupName="svc", ForceDelete=True)
        self.asg.update_auto_scaling_group(AutoScalingGroupName="svc", MinSize=0, DesiredCapacity=0, DeletionProtection="prevent-all-deletion")
        self.wait_for()
        self.refused("ValidationError", delete, "deletion protection", AutoScalingGroupName="svc")
        self.asg.update_auto_scaling_group(AutoScalingGroupName="svc", DeletionProtection="none")
        delete(AutoScalingGroupName="svc")

    def test_at_most_25_tags_in_a_call(self):
        def tags(count, first=0):
            base = {"ResourceId": "svc", "ResourceType": "auto-scaling-group", "Value": "x", "PropagateAtLaunch": True}
            return [{**base, "Key": f"key-{number}"} for number in range(first, first + count)]

        self.template()
        made = {"template": self.template("other"), "size": 0}
        self.refused("ValidationError", self.group, "less than or equal to 25", Tags=tags(26), **made)
        self.group(Tags=tags(25), **made)
        self.refused("ValidationError", self.asg.create_or_update_tags, "less than or equal to 25", Tags=tags(26, 25))
        self.asg.create_or_update_tags(Tags=tags(25, 25))
        self.assertEqual(len(self.shown()["Tags"]), 50)
        self.refused("LimitExceeded", self.asg.create_or_update_tags, Tags=tags(1, 50))

    def test_unknown_processes(self):
        self.group(size=0)
        self.refused("ValidationError", self.asg.suspend_processes, AutoScalingGroupName="svc", ScalingProcesses=["Nix"])
