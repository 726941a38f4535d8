"""Whether IAM would let a call through: moto says whose keys they are, this says what their policies allow.

moto checks keys and signatures, but of a policy it reads the actions alone: it compares every resource with
`*`, and a statement with conditions never holds. So the decision is made here, from the service
authorization reference of EC2, Auto Scaling and Elastic Load Balancing: which resources a call needs, which
keys of conditions it brings, and which further actions AWS checks along with it. Deny by default.
"""

import json
import re

from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError
from moto.elbv2.models import elbv2_backends
from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.iam.access_control import IAMRequestBase
from moto.iam.models import iam_backends

import state

USER = "ionroller"
original_request = IAMRequestBase._create_aws_request
original_authorize = ActionAuthenticatorMixin._authenticate_and_authorize_action

# The key of calls that a test makes by hand: somebody else's, whom the policy does not bind.
BY_HAND = "AKIABYHANDEXAMPLE000"

asked = {}  # Sid → actions that it allowed; None → those that nothing allowed

# ---------------------------------------------------------------- policies


def wild(pattern, text):
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.DOTALL) is not None


def listed(value):
    return value if isinstance(value, list) else [value]


def same(wanted, found):
    return found == wanted


TESTS = {
    "StringEquals": (same, False),
    "StringNotEquals": (same, True),
    "StringEqualsIgnoreCase": (lambda wanted, found: wanted.lower() == found.lower(), False),
    "StringLike": (wild, False),
    "StringNotLike": (wild, True),
    "ArnEquals": (wild, False),
    "ArnLike": (wild, False),
    "ArnNotLike": (wild, True),
    "Bool": (lambda wanted, found: wanted.lower() == found.lower(), False),
}


def condition_holds(operator, key, wanted, context):
    """One key of one operator. `context` has lists for keys with many values, texts for the others."""
    wanted = [str(one).lower() if isinstance(one, bool) else str(one) for one in listed(wanted)]
    found = next((value for name, value in context.items() if name.lower() == key.lower()), None)
    if operator == "Null":
        return (found is None) == (wanted[0] == "true")
    for_all, for_any = operator.startswith("ForAllValues:"), operator.startswith("ForAnyValue:")
    name = operator.partition(":")[2] if for_all or for_any else operator
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if name not in TESTS:
        raise ValueError(f"the operator {operator} is not known here")
    test, negated = TESTS[name]

    def holds(value):
        return any(test(one, value) for one in wanted) != negated

    if for_all:
        return all(holds(value) for value in listed(found or []))
    if for_any:
        return any(holds(value) for value in listed(found or []))
    if found is None:
        return negated or if_exists
    if isinstance(found, list):
        raise ValueError(f"{key} has many values: {operator} needs ForAllValues or ForAnyValue")
    return holds(found)


def applies(statement, action, resource, context):
    """Whether a statement is about this. Action names count in any case."""
    if "Action" in statement:
        if not any(wild(one.lower(), action.lower()) for one in listed(statement["Action"])):
            return False
    elif any(wild(one.lower(), action.lower()) for one in listed(statement["NotAction"])):
        return False
    if "Resource" in statement:
        # What is made has no id yet: the policy must be as open as the place is.
        if not any(wild(one, resource) for one in listed(statement["Resource"])):
            return False
    elif any(wild(one, resource) for one in listed(statement["NotResource"])):
        return False
    conditions = statement.get("Condition", {})
    return all(condition_holds(operator, key, wanted, context) for operator, keys in conditions.items() for key, wanted in keys.items())


def decide(policies, action, resource, context):
    """(allowed, Sid of the statement that says so)."""
    statements = [one for policy in policies for one in listed(policy["Statement"])]
    about = [one for one in statements if applies(one, action, resource, context)]
    for one in about:
        if one["Effect"] == "Deny":
            return False, one.get("Sid")
    return (True, about[0].get("Sid")) if about else (False, None)


# ---------------------------------------------------------------- calls


class Call:
    """What one call needs: (action, resource, context), each of which must be allowed."""

    def __init__(self, account, region, service, operation, params):
        self.account, self.region, self.service, self.operation, self.params = account, region, service, operation, params
        self.needs = []

    def need(self, resource, context=None, action=None):
        self.needs.append((action or f"{self.service}:{self.operation}", resource, dict(context or {})))

    def arn(self, service, rest):
        return f"arn:aws:{service}:{self.region}:{self.account}:{rest}"

    def every(self, pattern):
        """Values of parameters whose names match, in order."""
        return [value for name, value in self.params.items() if re.fullmatch(pattern, name)]

    def tags(self, prefix):
        """The tags that a call brings, by the prefix of their parameters."""
        found = {}
        for name, key in self.params.items():
            match = re.fullmatch(rf"({prefix}\.\d+)\.Key", name)
            if match:
                found[key] = self.params.get(f"{match[1]}.Value")
        return found

    def requested(self, tags):
        context = {f"aws:RequestTag/{key}": value for key, value in tags.items() if value is not None}
        if tags:
            context["aws:TagKeys"] = list(tags)
        return context


def resource_tags(tags):
    return {f"aws:ResourceTag/{key}": value for key, value in tags.items()}


# EC2


def template(call):
    name, wanted = call.params.get("LaunchTemplateName"), call.params.get("LaunchTemplateId")
    return find_template(call, wanted, name)


def find_template(call, wanted, name):
    for one in ec2_backends[call.account][call.region].launch_templates.values():
        if one.id == wanted or (name and one.name == name):
            return one
    return None


def template_tags(one):
    return resource_tags({tag["key"]: tag["value"] for tag in one.tags}) if one else {}


def template_arn(call, one):
    return call.arn("ec2", f"launch-template/{one.id if one else '*'}")


def create_launch_template(call):
    spec = r"TagSpecification\.\d+\.Tag"
    context = call.requested(call.tags(spec))
    arn = template_arn(call, None)
    call.need(arn, context)
    if context:
        call.need(arn, {**context, "ec2:CreateAction": "CreateLaunchTemplate"}, "ec2:CreateTags")


def change_launch_template(call):
    one = template(call)
    call.need(template_arn(call, one), template_tags(one))


def change_ec2_tags(call):
    context = call.requested(call.tags("Tag"))
    for name in call.every(r"ResourceId\.\d+"):
        one = find_template(call, name, None)
        if one:
            call.need(template_arn(call, one), {**context, **template_tags(one)})
        else:
            call.need(call.arn("ec2", f"{'instance' if name.startswith('i-') else 'unknown'}/{name}"), context)


# Auto Scaling


def group_arn(call, name):
    one = autoscaling_backends[call.account][call.region].autoscaling_groups.get(name)
    unique = re.search(r"autoScalingGroup:([^:]+):", one.arn)[1] if one else "*"
    return call.arn("autoscaling", f"autoScalingGroup:{unique}:autoScalingGroupName/{name}")


def group_tags(call, name):
    one = autoscaling_backends[call.account][call.region].autoscaling_groups.get(name)
    return resource_tags({tag["Key"]: tag["Value"] for tag in one.tags}) if one else {}


def launch(call):
    """A group from a launch template: whoever makes it must be allowed to launch what the template says."""
    version = call.params.get("LaunchTemplate.Version")
    one = find_template(call, call.params.get("LaunchTemplate.LaunchTemplateId"), call.params.get("LaunchTemplate.LaunchTemplateName"))
    if one is None:
        return {}
    launched = {"ec2:LaunchTemplate": template_arn(call, one), "ec2:IsLaunchTemplateResource": "true"}
    data = one.get_version(int(version)).data if version and version.isdigit() else one.latest_version().data
    tags = {}
    for spec in data.get("TagSpecifications", data.get("TagSpecification", [])) or []:
        tags.update({tag["Key"]: tag["Value"] for tag in spec.get("Tags", spec.get("Tag", []))})
    asked_for = call.requested(tags)
    subnets = [f"subnet/{name}" for name in call.params.get("VPCZoneIdentifier", "").split(",") if name]
    image = f"arn:aws:ec2:{call.region}::image/{data.get('ImageId', '*')}"
    new = ["instance/*", "volume/*", "network-interface/*"]
    for resource in new:
        call.need(call.arn("ec2", resource), {**launched, **asked_for}, "ec2:RunInstances")
    for resource in [image] + [call.arn("ec2", one) for one in subnets + ["security-group/*"]]:
        call.need(resource, launched, "ec2:RunInstances")
    call.need(template_arn(call, one), launched, "ec2:RunInstances")
    if tags:
        for resource in new[:2]:
            call.need(call.arn("ec2", resource), {**asked_for, "ec2:CreateAction": "RunInstances"}, "ec2:CreateTags")
    profile = (data.get("IamInstanceProfile") or {}).get("Name")
    if profile:
        # Here a role has the name of its profile, as those that the console makes.
        role = f"arn:aws:iam::{call.account}:role/{profile}"
        call.need(role, {"iam:PassedToService": "ec2.amazonaws.com"}, "iam:PassRole")
    return {"autoscaling:LaunchTemplateVersionSpecified": "true" if version and version.isdigit() else "false"}


def create_group(call):
    context = call.requested(call.tags(r"Tags\.member"))
    if not autoscaling_backends[call.account][call.region].autoscaling_groups:
        role = f"arn:aws:iam::{call.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        call.need(role, {"iam:AWSServiceName": "autoscaling.amazonaws.com"}, "iam:CreateServiceLinkedRole")
    context.update(launch(call))
    call.need(group_arn(call, call.params["AutoScalingGroupName"]), context)


def change_group(call):
    name = call.params["AutoScalingGroupName"]
    context = group_tags(call, name)
    if "ForceDelete" in call.params:
        context["autoscaling:ForceDelete"] = call.params["ForceDelete"]
    context.update(launch(call))
    call.need(group_arn(call, name), context)


def change_group_tags(call):
    context = call.requested(call.tags(r"Tags\.member"))
    for name in sorted(set(call.every(r"Tags\.member\.\d+\.ResourceId"))):
        call.need(group_arn(call, name), {**context, **group_tags(call, name)})


# Elastic Load Balancing


def balancing_tags(call, arn):
    tags = elbv2_backends[call.account][call.region].tagging_service.get_tag_dict_for_resource(arn)
    return resource_tags(tags)


def create_tagged(call, resource, of, made, existing=None):
    """What is made may be tagged by who makes it, if that is allowed besides."""
    context = call.requested(call.tags(r"Tags\.member"))
    call.need(resource, {**context, **(existing or {})})
    if context:
        call.need(made, {**context, "elasticloadbalancing:CreateAction": of}, "elasticloadbalancing:AddTags")


def create_target_group(call):
    arn = call.arn("elasticloadbalancing", f"targetgroup/{call.params['Name']}/*")
    create_tagged(call, arn, "CreateTargetGroup", arn)


def create_rule(call):
    listener = call.params["ListenerArn"]
    made = listener.replace(":listener/", ":listener-rule/") + "/*"
    create_tagged(call, listener, "CreateRule", made, balancing_tags(call, listener))


def change_by_arn(call):
    name = {"Rule": "RuleArn", "Listener": "ListenerArn"}.get(re.sub(r"^(Modify|Delete)", "", call.operation), "TargetGroupArn")
    call.need(call.params[name], balancing_tags(call, call.params[name]))


def change_balancing_tags(call):
    context = call.requested(call.tags(r"Tags\.member"))
    keys = call.every(r"TagKeys\.member\.\d+")
    if keys:
        context["aws:TagKeys"] = keys
    for arn in call.every(r"ResourceArns\.member\.\d+"):
        call.need(arn, {**context, **balancing_tags(call, arn)})


CALLS = {
    "ec2:CreateLaunchTemplate": create_launch_template,
    "ec2:DeleteLaunchTemplate": change_launch_template,
    "ec2:CreateTags": change_ec2_tags,
    "ec2:DeleteTags": change_ec2_tags,
    "autoscaling:CreateAutoScalingGroup": create_group,
    "autoscaling:UpdateAutoScalingGroup": change_group,
    "autoscaling:DeleteAutoScalingGroup": change_group,
    "autoscaling:SetDesiredCapacity": change_group,
    "autoscaling:PutScalingPolicy": change_group,
    "autoscaling:DeletePolicy": change_group,
    "autoscaling:AttachLoadBalancerTargetGroups": change_group,
    "autoscaling:ResumeProcesses": change_group,
    "autoscaling:SetInstanceProtection": change_group,
    "autoscaling:CreateOrUpdateTags": change_group_tags,
    "autoscaling:DeleteTags": change_group_tags,
    "elasticloadbalancing:CreateTargetGroup": create_target_group,
    "elasticloadbalancing:CreateRule": create_rule,
    "elasticloadbalancing:ModifyTargetGroup": change_by_arn,
    "elasticloadbalancing:ModifyTargetGroupAttributes": change_by_arn,
    "elasticloadbalancing:DeleteTargetGroup": change_by_arn,
    "elasticloadbalancing:ModifyRule": change_by_arn,
    "elasticloadbalancing:DeleteRule": change_by_arn,
    "elasticloadbalancing:ModifyListener": change_by_arn,
    "elasticloadbalancing:AddTags": change_balancing_tags,
    "elasticloadbalancing:RemoveTags": change_balancing_tags,
}


def needs(account, region, service, operation, params):
    """Each (action, resource, context) that a call needs. A change that is not known here is about everything."""
    call = Call(account, region, service, operation, params)
    CALLS.get(f"{service}:{operation}", lambda call: call.need("*"))(call)
    return call.needs


# ---------------------------------------------------------------- at the door


def signed_request(self):
    """moto knows a form as pairs only and writes it anew, in which a space is `+` and not `%20`: another signature."""
    self._body = state.body
    return original_request(self)


def check(self, resource="*"):
    """In place of moto's decision. A caller's identity may be asked for by everybody, as on AWS."""
    service, _, operation = self._action.partition(":")
    if self._action == "sts:GetCallerIdentity":
        asked.setdefault("*", set()).add(self._action)
        return
    policies = []
    for policy in self._access_key.collect_policies():
        policies.append(json.loads(policy if isinstance(policy, str) else policy["policy_document"]))
    params = {name: value[0] if isinstance(value, list) else value for name, value in self._data.items()}
    for action, arn, context in needs(self.account_id, self._region, service, operation, params):
        allowed, sid = decide(policies, action, arn, context)
        asked.setdefault(sid if allowed else None, set()).add(action)
        if not allowed:
            raise Denied(self._access_key.arn, action, arn)


class Denied(AccessDeniedError):
    def __init__(self, user, action, resource):
        super().__init__(user, action)
        code = "UnauthorizedOperation" if action.startswith("ec2:") else "AccessDenied"
        text = f"User: {user} is not authorized to perform: {action} on resource: {resource}"
        self.error_type, self.message = code, text
        if code == "UnauthorizedOperation":
            inner = f"<Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
            self.description = f"<Response>{inner}<RequestID>denied</RequestID></Response>"
        else:
            inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            self.description = f"<ErrorResponse>{inner}<RequestId>denied</RequestId></ErrorResponse>"


def enforce(account, policy):
    """From now on every call needs keys, a signature and leave; the keys of a user with this policy."""
    json.dumps(policy)
    iam = iam_backends[account]["aws"]
    if USER not in {user.name for user in iam.list_users("/", None, None)}:
        iam.create_user(region_name="us-east-1", user_name=USER)
    iam.put_user_policy(USER, "policy", json.dumps(policy))
    keys = iam.list_access_keys(USER) or [iam.create_access_key(USER)]
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    ActionAuthenticatorMixin.request_count = 0
    asked.clear()
    return {"access_key_id": keys[0].access_key_id, "secret_access_key": keys[0].secret_access_key}


def stop():
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    asked.clear()


def shown():
    return {str(sid) if sid else "nothing": sorted(actions) for sid, actions in asked.items()}


def authorize(self, iam_request_cls, resource="*"):
    if f"Credential={BY_HAND}/" not in (self.headers.get("Authorization") or ""):
        original_authorize(self, iam_request_cls, resource)


def install():
    ActionAuthenticatorMixin._authenticate_and_authorize_action = authorize
    IAMRequestBase.check_action_permitted = check
    IAMRequestBase._create_aws_request = signed_request
