"""Health of targets, as a load balancer and a group see it."""

import time

from case import Case, control, eventually


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
