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
        words = "an instance was taken out of service in response to an ELB system health check failure."
        self.assertTrue(any(words in one["Cause"] for one in found))

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

    def wait_for(self, arn, *states):
        self.assertTrue(eventually(lambda: self.health(arn) == sorted(states)), (states, self.health(arn)))

    def test_a_machine_is_unhealthy_while_it_boots_and_healthy_when_its_application_answers(self):
        control("POST", "settings", {"check_interval_ms": 200})
        control("POST", "boots", {"group": "svc", "seconds": 1.2, "reason": "Target.Timeout"})
        arn = self.target_group()
        self.arns = {"svc": arn}
        self.rule(self.forward(svc=100))
        self.group(size=1, targets=[arn], HealthCheckGracePeriod=60)
        self.wait_for(arn, "initial")
        self.wait_for(arn, "unhealthy")
        self.assertEqual(self.reasons(arn), {"Target.Timeout"})
        self.assertEqual(self.members()[0]["HealthStatus"], "Healthy", "its grace is not over")
        self.wait_for(arn, "healthy")

    def test_an_application_that_never_answers_is_replaced_after_grace(self):
        control("POST", "settings", {"check_interval_ms": 100})
        control("POST", "boots", {"version": "1", "seconds": "never", "count": 1})
        arn = self.target_group()
        self.arns = {"svc": arn}
        self.rule(self.forward(svc=100))
        self.group(size=2, targets=[arn], HealthCheckGracePeriod=1)
        self.wait_for(arn, "healthy", "unhealthy")
        sick = self.sick(arn)
        self.assertIn(sick, [one["InstanceId"] for one in self.members()])
        self.assertTrue(eventually(lambda: sick not in [one["InstanceId"] for one in self.shown()["Instances"]]))
        self.wait_for(arn, "healthy", "healthy")

    def sick(self, arn):
        found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return next(one["Target"]["Id"] for one in found if one["TargetHealth"]["State"] == "unhealthy")

    def test_no_replacement_while_it_is_suspended(self):
        arn = self.running()
        before = {one["InstanceId"] for one in self.members()}
        self.asg.suspend_processes(AutoScalingGroupName="svc", ScalingProcesses=["ReplaceUnhealthy"])
        control("POST", "health", {"target_group": "svc", "state": "unhealthy"})
        time.sleep(0.5)
        self.assertEqual({one["InstanceId"] for one in self.shown()["Instances"]}, before)
        self.assertEqual({one["HealthStatus"] for one in self.members()}, {"Unhealthy"})
        self.assertEqual(self.health(arn), ["unhealthy", "unhealthy"])

    def test_reasons_and_their_words(self):
        arn = self.running(HealthCheckType="EC2")

        def shown():
            found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            return {tuple(one["TargetHealth"].values()) for one in found}

        for reason, state, words in (
            ("Target.ResponseCodeMismatch", "unhealthy", "Health checks failed with these codes: [502]"),
            ("Target.Timeout", "unhealthy", "Request timed out"),
            ("Target.HealthCheckDisabled", "unavailable", "Health checks are disabled for this target group"),
        ):
            control("POST", "health", {"target_group": "svc", "reason": reason})
            self.assertEqual(shown(), {(state, reason, words)})
        control("POST", "health", {"target_group": "svc", "reason": "Target.ResponseCodeMismatch", "description": "Health checks failed with these codes: [503]"})
        self.assertEqual(shown(), {("unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")})
        control("POST", "health", {"target_group": "svc", "state": None})
        one = self.members()[0]["InstanceId"]
        self.asg.suspend_processes(AutoScalingGroupName="svc", ScalingProcesses=["HealthCheck"])
        self.ec2.stop_instances(InstanceIds=[one])
        self.assertIn(("unused", "Target.InvalidState", "Target is in the stopped state"), shown())

    def test_a_zone_that_the_load_balancer_lacks(self):
        subnet = self.ec2.create_subnet(VpcId=self.world["vpc_id"], CidrBlock="10.0.192.0/24", AvailabilityZone="us-east-1c")["Subnet"]["SubnetId"]
        arn = self.target_group()
        self.arns = {"svc": arn}
        self.rule(self.forward(svc=1))
        self.group(size=1, targets=[arn], VPCZoneIdentifier=subnet)
        self.wait_for(arn, "unused")
        found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"][0]["TargetHealth"]
        self.assertEqual(found["Description"], "Target is in an Availability Zone that is not enabled for the load balancer")
        self.assertEqual(found["Reason"], "Target.NotInUse")
        used = self.elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]["LoadBalancerArns"]
        self.assertEqual(used, [self.world["load_balancer_arn"]])

    def test_a_zonal_shift_is_shown_beside_the_health(self):
        arn = self.running()
        control("POST", "shifts", {"zone": "us-east-1a"})
        found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        self.assertEqual({one["TargetHealth"]["State"] for one in found}, {"healthy"})
        states = sorted(one["AdministrativeOverride"]["State"] for one in found)
        self.assertEqual(states, ["no_override", "zonal_shift_active"])
        control("POST", "shifts", {"zone": "us-east-1a", "end": True})
        found = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        self.assertNotIn("AdministrativeOverride", found[0])
