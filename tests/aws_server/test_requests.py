"""Requests are held against AWS's own models: what no client may send is refused, and kept for the end of the test."""

import urllib.parse
import urllib.request
import json

import case
from case import Case, client, control


def raw(service, host, form):
    """A request as it is, whatever botocore would think of it; (status, text)."""
    scope = f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Host": f"{host}.us-east-1.amazonaws.com", "Authorization": scope}
    request = urllib.request.Request(case.server_url(), urllib.parse.urlencode(form).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as failed:
        return failed.code, failed.read().decode()


class Requests(Case):
    def wrong(self):
        return [(one["operation"], one["problems"]) for one in control("POST", "wrong/clear", {})]

    def scaling(self, **form):
        return raw("autoscaling", "autoscaling", {"Version": "2011-01-01", **form})

    def test_right_requests_leave_nothing(self):
        arn = self.running()
        self.elb.describe_target_health(TargetGroupArn=arn)
        self.ec2.describe_launch_templates(Filters=[{"Name": "tag:a", "Values": ["b"]}])
        self.sts.get_caller_identity()
        cloudwatch = client("cloudwatch")
        cloudwatch.describe_alarms(AlarmNames=["a"], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        client("dynamodb").list_tables()
        self.assertEqual(self.wrong(), [])

    def test_unknown_and_missing(self):
        status, text = self.scaling(Action="DescribeAutoScalingGroups", Nix="1")
        self.assertEqual(status, 400)
        self.assertIn("<Code>ValidationError</Code>", text)
        status, text = self.scaling(Action="SetDesiredCapacity", AutoScalingGroupName="svc")
        self.assertEqual(status, 400)
        self.assertEqual(
            self.wrong(),
            [
                ("DescribeAutoScalingGroups", ["Nix is not a parameter of this operation"]),
                ("SetDesiredCapacity", ["DesiredCapacity must not be null"]),
            ],
        )
        status, text = raw("ec2", "ec2", {"Action": "DescribeLaunchTemplates", "Version": "2016-11-15", "LaunchTemplateNames.1": "a"})
        self.assertIn("<Code>UnknownParameter</Code>", text)
        self.assertEqual(len(self.wrong()), 1)

    def test_enums_patterns_lengths_and_ranges(self):
        for form, words in (
            ({"Action": "PutLifecycleHook", "AutoScalingGroupName": "svc", "LifecycleHookName": "not right"}, "pattern"),
            ({"Action": "UpdateAutoScalingGroup", "AutoScalingGroupName": "svc", "DeletionProtection": "some"}, "one of"),
            ({"Action": "UpdateAutoScalingGroup", "AutoScalingGroupName": "x" * 256}, "less than or equal to 255"),
            ({"Action": "UpdateAutoScalingGroup", "AutoScalingGroupName": "svc", "MinSize": "two"}, "integer"),
            ({"Action": "UpdateAutoScalingGroup", "AutoScalingGroupName": "svc", "CapacityRebalance": "yes"}, "true or false"),
            ({"Action": "CreateOrUpdateTags", "Tags.1.Key": "a"}, "list of 'member'"),
            ({"Action": "CreateOrUpdateTags", "Tags.member.2.Key": "a"}, "without gaps"),
        ):
            status, _ = self.scaling(**form)
            self.assertEqual(status, 400)
            ((_, problems),) = self.wrong()
            self.assertIn(words, problems[0])
        form = {"Action": "CreateRule", "Version": "2015-12-01", "ListenerArn": "a", "Priority": "0", "Conditions": "", "Actions.member.1.Type": "forward"}
        status, text = raw("elasticloadbalancing", "elasticloadbalancing", form)
        self.assertIn("greater than or equal to 1", text)
        self.assertEqual(len(self.wrong()), 1)

    def test_an_action_that_no_service_has_is_no_matter_of_models(self):
        status, text = self.scaling(Action="Nix")
        self.assertIn("InvalidAction", text)
        self.assertEqual(self.wrong(), [])

    def test_documents_of_json(self):
        body = json.dumps({"TableName": "t", "Nix": 1}).encode()
        scope = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
        headers = {"Host": "dynamodb.us-east-1.amazonaws.com", "Authorization": scope, "X-Amz-Target": "DynamoDB_20120810.DescribeTable", "Content-Type": "application/x-amz-json-1.0"}
        request = urllib.request.Request(case.server_url(), body, headers)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        self.assertIn("ValidationException", refused.exception.read().decode())
        self.assertEqual(self.wrong(), [("DescribeTable", ["Nix is not a parameter of this operation"])])
