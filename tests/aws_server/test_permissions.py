"""Who may do what."""

import json
import unittest

from botocore.exceptions import ClientError

import permissions
from case import Case, client, control, eventually


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
