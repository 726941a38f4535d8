"""EC2: launch templates that tell the truth, true pages, and look-ups that don't scan the world."""

import json
from collections import OrderedDict
from datetime import timedelta

from moto.core.responses import ActionResult
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidInstanceIdError,
    InvalidLaunchTemplateIdNotFound,
)
from moto.ec2.models.amis import Ami
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.instances import Instance, InstanceBackend, Reservation
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateBackend
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import (
    EC2_PREFIX_TO_RESOURCE,
    get_prefix,
    parse_user_data,
    random_reservation_id,
    simple_aws_filter_to_re,
)

import re

import state


def bad_token():
    return EC2ClientError("InvalidParameterValue", "The token is invalid.")


def page_size(response, most):
    size = response._get_int_param("MaxResults", most)
    if not 1 <= size <= most:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value between 1 and {most}.",
        )
    return size


# ---------------------------------------------------------------- tags and look-ups


def get_tags(self):
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "") if self.id else ""
    return [
        {"resource_id": self.id, "key": key, "value": value, "resource_type": kind}
        for key, value in self.ec2_backend.tags.get(self.id, {}).items()
    ]


def index_of(backend):
    if not hasattr(backend, "instances_by_id"):
        backend.instances_by_id = OrderedDict()
    return backend.instances_by_id


original_instance_init = Instance.__init__


def instance_init(self, ec2_backend, *args, **kwargs):
    original_instance_init(self, ec2_backend, *args, **kwargs)
    index_of(ec2_backend)[self.id] = self


def get_instance_by_id(self, instance_id):
    return index_of(self).get(instance_id)


def get_instance(self, instance_id):
    found = index_of(self).get(instance_id)
    if found is None:
        raise InvalidInstanceIdError(instance_id)
    return found


def get_multi_instances_by_id(self, instance_ids, filters=None):
    index = index_of(self)
    missing = [name for name in instance_ids if name not in index]
    if missing:
        raise InvalidInstanceIdError(missing)
    return [index[name] for name in instance_ids if index[name].applies(filters)]


def launch(backend, data, template, version, subnet_id, zone, tags):
    """One instance of a launch template, as Auto Scaling starts it. Raises what RunInstances would."""
    group_ids = list(data.get("SecurityGroupIds") or [])
    for interface in data.get("NetworkInterfaces") or []:
        group_ids.extend(interface.get("Groups") or [])
    groups = []
    for group_id in group_ids:
        group = backend.get_security_group_from_id(group_id)
        if group is None:
            raise EC2ClientError(
                "InvalidGroup.NotFound", f"The security group '{group_id}' does not exist"
            )
        groups.append(group)
    instance = Instance(
        backend,
        data.get("ImageId", ""),
        data.get("UserData"),
        groups,
        instance_type=data.get("InstanceType") or "m1.small",
        key_name=data.get("KeyName"),
        placement=zone,
        subnet_id=subnet_id,
        launch_template={"LaunchTemplateId": template.id, "Version": str(version)},
        metadata_options=data.get("MetadataOptions") or {},
        region_name=backend.region_name,
    )
    instance.add_tags(tags)
    reservation = Reservation(random_reservation_id(), owner_id=backend.account_id)
    reservation.instances.append(instance)
    backend.reservations[reservation.id] = reservation
    return instance


def plain_instance(backend, subnet_id, zone):
    """A machine that belongs to no group."""
    instance = Instance(backend, "ami-0123456789abcdef0", None, [], placement=zone, subnet_id=subnet_id, region_name=backend.region_name)
    reservation = Reservation(random_reservation_id(), owner_id=backend.account_id)
    reservation.instances.append(instance)
    backend.reservations[reservation.id] = reservation
    return instance


original_image_init = Ami.__init__


def image_init(self, ec2_backend, *args, **kwargs):
    """Images are a second apart, as far as their dates can tell them, however fast a test makes them."""
    original_image_init(self, ec2_backend, *args, **kwargs)
    newest = max((one.creation_date for one in ec2_backend.amis.values()), default=None)
    self.creation_date = self.creation_date.replace(microsecond=0)
    if newest is not None and self.creation_date <= newest:
        self.creation_date = newest + timedelta(seconds=1)


def describe_instances(self):
    self.error_on_dryrun()
    instance_ids = self._get_param("InstanceIds", [])
    max_results = self._get_int_param("MaxResults")
    if instance_ids and max_results:
        raise EC2ClientError(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    filters = self._filters_from_querystring()
    if instance_ids:
        found = self.ec2_backend.get_reservations_by_instance_ids(instance_ids, filters=filters)
    else:
        found = self.ec2_backend.describe_instances(filters=filters)
    by_id = {i.id: r for r in found for i in r.instances}
    names = [i.id for r in found for i in r.instances]
    size = max_results or 1000
    token = self._get_param("NextToken")
    shown, next_token = state.page(names, lambda name: name, size, token, bad_token())
    reservations = OrderedDict()
    index = index_of(self.ec2_backend)
    for name in shown:
        origin = by_id[name]
        copy = reservations.get(origin.id)
        if copy is None:
            copy = reservations[origin.id] = Reservation(origin.id, owner_id=origin.owner_id)
            copy.groups = origin.groups
        copy.instances.append(index[name])
    return ActionResult({"Reservations": list(reservations.values()), "NextToken": next_token})


# ---------------------------------------------------------------- launch templates


def not_found_name(name):
    return EC2ClientError(
        "InvalidLaunchTemplateName.NotFoundException",
        f"The specified launch template, with template name {name}, does not exist.",
    )


def find_template(backend, name, template_id):
    if template_id:
        if template_id not in backend.launch_templates:
            raise InvalidLaunchTemplateIdNotFound(template_id)
        return backend.launch_templates[template_id]
    if name:
        if name not in backend.launch_template_name_to_ids:
            raise not_found_name(name)
        return backend.launch_templates[backend.launch_template_name_to_ids[name]]
    raise EC2ClientError(
        "MissingParameter",
        "The request must contain the parameter launch template ID or launch template name",
    )


def matches(template, filters):
    tags = template.ec2_backend.tags.get(template.id, {})
    for name, values in (filters or {}).items():
        if name.startswith("tag:"):
            have = [tags[name[4:]]] if name[4:] in tags else []
        elif name == "tag-key":
            have = list(tags)
        elif name == "launch-template-name":
            have = [template.name]
        elif name == "create-time":
            have = [template.create_time.strftime("%Y-%m-%dT%H:%M:%S.000Z")]
        else:
            raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
        patterns = [re.compile(simple_aws_filter_to_re(value)) for value in values]
        if not any(pattern.match(value) for pattern in patterns for value in have):
            return False
    return True


def shown_template(response, template):
    return {
        "CreateTime": template.create_time,
        "CreatedBy": f"arn:{response.partition}:iam::{response.current_account}:root",
        "DefaultVersionNumber": template.default_version_number,
        "LatestVersionNumber": template.latest_version_number,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Tags": template.tags,
    }


def shown_version(response, template, version):
    return {
        "CreateTime": version.create_time,
        "CreatedBy": f"arn:{response.partition}:iam::{response.current_account}:root",
        "DefaultVersion": template.is_default(version),
        "LaunchTemplateData": version.data,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionDescription": version.description,
        "VersionNumber": version.number,
    }


def once_per_token(response, operation, do):
    """The answer of the first call with this client token; another content with it is an error."""
    token = response._get_param("ClientToken")
    if not token:
        return do()
    tokens = response.ec2_backend.__dict__.setdefault("client_tokens", {})
    params = {k: v for k, v in response.querystring.items() if k not in ("ClientToken", "DryRun")}
    content = json.dumps(params, sort_keys=True, default=str)
    if (operation, token) in tokens:
        before, answer = tokens[(operation, token)]
        if before != content:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return answer
    answer = do()
    tokens[(operation, token)] = (content, answer)
    return answer


def template_data(response):
    data = response._get_param("LaunchTemplateData") or {}
    if data.get("UserData") is not None:
        data["UserData"] = parse_user_data(data["UserData"])
    return data


def create_launch_template(self):
    self.error_on_dryrun()
    name = self._get_param("LaunchTemplateName") or ""
    if not re.fullmatch(r"[a-zA-Z0-9().\-/_]{3,128}", name):
        raise EC2ClientError(
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.",
        )

    def do():
        return self.ec2_backend.create_launch_template(
            name,
            self._get_param("VersionDescription"),
            template_data(self),
            self._parse_tag_specification(),
        )

    template = once_per_token(self, "CreateLaunchTemplate", do)
    return ActionResult({"LaunchTemplate": shown_template(self, template)})


def create_launch_template_version(self):
    self.error_on_dryrun()
    name, template_id = self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
    template = find_template(self.ec2_backend, name, template_id)

    def do():
        data = template_data(self)
        source = self._get_param("SourceVersion")
        if source:
            data = {**template.get_version(source).data, **data}
        return template.create_version(data, self._get_param("VersionDescription"))

    version = once_per_token(self, "CreateLaunchTemplateVersion", do)
    return ActionResult({"LaunchTemplateVersion": shown_version(self, template, version)})


def delete_launch_template(self):
    self.error_on_dryrun()
    name, template_id = self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
    template = find_template(self.ec2_backend, name, template_id)
    answer = shown_template(self, template)
    del self.ec2_backend.launch_templates[template.id]
    del self.ec2_backend.launch_template_name_to_ids[template.name]
    self.ec2_backend.tags.pop(template.id, None)
    return ActionResult({"LaunchTemplate": answer})


def describe_launch_templates(self):
    self.error_on_dryrun()
    size = page_size(self, 200)
    names = self._get_param("LaunchTemplateNames", [])
    ids = self._get_param("LaunchTemplateIds", [])
    backend = self.ec2_backend
    if names or ids:
        found = [find_template(backend, None, one) for one in ids]
        found += [find_template(backend, one, None) for one in names]
    else:
        found = list(backend.launch_templates.values())
    filters = self._filters_from_querystring()
    found = [template for template in found if matches(template, filters)]
    token = self._get_param("NextToken")
    shown, next_token = state.page(found, lambda template: template.name, size, token, bad_token())
    result = {"LaunchTemplates": [shown_template(self, template) for template in shown]}
    return ActionResult({**result, "NextToken": next_token})


def describe_launch_template_versions(self):
    self.error_on_dryrun()
    size = page_size(self, 200)
    found = self.ec2_backend.describe_launch_template_versions(
        template_name=self._get_param("LaunchTemplateName"),
        template_id=self._get_param("LaunchTemplateId"),
        versions=self._get_param("Versions", []),
        min_version=self._get_int_param("MinVersion"),
        max_version=self._get_int_param("MaxVersion"),
        max_results=1_000_000,
    )
    unique = {f"{template.name}/{version.number:09}": (template, version) for template, version in found}
    token = self._get_param("NextToken")
    keys, next_token = state.page(unique, lambda name: name, size, token, bad_token())
    shown = [shown_version(self, *unique[name]) for name in keys]
    return ActionResult({"LaunchTemplateVersions": shown, "NextToken": next_token})


# ---------------------------------------------------------------- security groups of other VPCs


def associations_of(backend):
    """(group, VPC) -> its state. moto has none."""
    return backend.__dict__.setdefault("vpc_associations", {})


def associate_security_group_vpc(self):
    group, vpc = self._get_param("GroupId"), self._get_param("VpcId")
    if self.ec2_backend.get_security_group_from_id(group) is None:
        raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
    self.ec2_backend.get_vpc(vpc)
    associations_of(self.ec2_backend)[(group, vpc)] = "associated"
    return ActionResult({"State": "associated"})


def describe_security_group_vpc_associations(self):
    wanted = self._filters_from_querystring()
    unknown = set(wanted) - {"group-id", "vpc-id"}
    if unknown:
        raise EC2ClientError("InvalidParameterValue", f"The filter '{min(unknown)}' is invalid")
    shown = [
        {"GroupId": group, "VpcId": vpc, "VpcOwnerId": self.current_account, "State": found}
        for (group, vpc), found in associations_of(self.ec2_backend).items()
        if group in wanted.get("group-id", [group]) and vpc in wanted.get("vpc-id", [vpc])
    ]
    return ActionResult({"SecurityGroupVpcAssociations": shown})


def install():
    EC2Response.associate_security_group_vpc = associate_security_group_vpc
    EC2Response.describe_security_group_vpc_associations = describe_security_group_vpc_associations
    TaggedEC2Resource.get_tags = get_tags
    Instance.__init__ = instance_init
    Ami.__init__ = image_init
    InstanceBackend.get_instance = get_instance
    InstanceBackend.get_instance_by_id = get_instance_by_id
    InstanceBackend.get_multi_instances_by_id = get_multi_instances_by_id
    InstanceResponse.describe_instances = describe_instances
    # moto freezes a template's tags when it is created: here they are read where CreateTags writes them
    LaunchTemplate.tags = property(lambda self: self.get_tags(), lambda self, tags: None)
    LaunchTemplates.create_launch_template = create_launch_template
    LaunchTemplates.create_launch_template_version = create_launch_template_version
    LaunchTemplates.delete_launch_template = delete_launch_template
    LaunchTemplates.describe_launch_templates = describe_launch_templates
    LaunchTemplates.describe_launch_template_versions = describe_launch_template_versions
    LaunchTemplateBackend.get_launch_template = lambda self, one: find_template(self, None, one)
    LaunchTemplateBackend.get_launch_template_by_name = lambda self, one: find_template(self, one, None)
