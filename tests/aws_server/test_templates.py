"""Launch templates."""

import base64

from botocore.exceptions import ClientError

from case import Case, eventually


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
