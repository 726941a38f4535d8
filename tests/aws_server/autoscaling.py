"""Auto Scaling's answers: what it refuses, what it starts, and true pages."""

import copy
from collections import deque
from datetime import datetime

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.moto_api._internal import mock_random

import ec2
import health
import state
from groups import KEPT_ACTIVITIES, active, begin_termination, stamp, suspended, target_groups, touch, use_changed
from state import INFINITY


def error(message, code="ValidationError"):
    return AutoscalingClientError(code, message)


# ---------------------------------------------------------------- the group object

original_group_init = FakeAutoScalingGroup.__init__


def group_init(self, *args, **kwargs):
    self.due = INFINITY
    self.retry_at = 0.0
    self.status = None
    self.delete_at = INFINITY
    self.activities = deque(maxlen=KEPT_ACTIVITIES)
    self._suspended_processes = []
    original_group_init(self, *args, **kwargs)
    self.created_time = stamp(state.now())
    self.termination_policies = self.termination_policies or ["Default"]
    touch(self)


def set_desired_capacity(self, new_capacity):
    self.desired_capacity = self.min_size if new_capacity is None else int(new_capacity)
    touch(self)


def find(backend, name, change=True):
    group = backend.autoscaling_groups.get(name)
    if group is None:
        raise error(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    if change and group.status:
        raise error(f"AutoScalingGroup '{name}' may not be modified while it is pending delete.")
    if change:
        touch(group)
    return group


def check_bounds(low, desired, high):
    if low < 0 or high < low:
        raise error(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if not low <= desired <= high:
        raise error(f"Desired capacity:{desired} must be between the specified min size:{low} and max size:{high}")


def check_template(backend, spec):
    wanted = spec.get("LaunchTemplateId") or spec.get("LaunchTemplateName")
    try:
        template = ec2.find_template(backend.ec2_backend, spec.get("LaunchTemplateName"), spec.get("LaunchTemplateId"))
        version = template.get_version(spec.get("Version") or "$Default")
        if str(spec.get("Version") or "1").isdigit() and int(spec.get("Version") or 1) < 1:
            raise ValueError
    except (ServiceException, ValueError):
        raise error(
            "You must use a valid fully-formed launch template. The specified launch template, with template"
            f" '{wanted}' and version '{spec.get('Version')}', does not exist."
        ) from None
    if not version.image_id:
        raise error("You must use a valid fully-formed launch template. The request must contain the parameter ImageId")
    if len(state.decoded(version.user_data)) > 16384:
        raise error("You must use a valid fully-formed launch template. User data is limited to 16384 bytes")


def check_target_groups(backend, arns):
    if any(arn not in backend.elbv2_backend.target_groups for arn in arns):
        raise error("Provided Target Groups may not be valid. Please ensure they exist and try again.")


def check_subnets(backend, zones):
    for name in (zones or "").split(","):
        if name and not any(name in subnets for subnets in backend.ec2_backend.subnets.values()):
            raise error(f"The subnet ID '{name}' does not exist")


# ---------------------------------------------------------------- answers

original_create = AutoScalingResponse.create_auto_scaling_group
original_detach_instances = AutoScalingBackend.detach_instances


def create_auto_scaling_group(self):
    backend, params = self.autoscaling_backend, self._get_params()
    name = params["AutoScalingGroupName"]
    if not 1 <= len(name) <= 255 or ":" in name:
        raise error("1 validation error detected: the group name is not valid")
    existing = backend.autoscaling_groups.get(name)
    if existing is not None:
        more = " and is pending delete" if existing.status else ""
        raise error(f"AutoScalingGroup by this name already exists - A group with the name {name} already exists{more}", "AlreadyExists")
    low, high = int(params["MinSize"]), int(params["MaxSize"])
    check_bounds(low, int(params.get("DesiredCapacity", low)), high)
    if params.get("LaunchTemplate"):
        check_template(backend, params["LaunchTemplate"])
    elif not params.get("MixedInstancesPolicy"):
        raise error("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
    check_target_groups(backend, params.get("TargetGroupARNs", []))
    check_subnets(backend, params.get("VPCZoneIdentifier"))
    original_create(self)
    group = backend.autoscaling_groups[name]
    group.health_check_grace_period = int(params.get("HealthCheckGracePeriod", 0))
    group.default_instance_warmup = params.get("DefaultInstanceWarmup")
    group.max_instance_lifetime = params.get("MaxInstanceLifetime")
    group.instance_maintenance_policy = params.get("InstanceMaintenancePolicy")
    for hook in params.get("LifecycleHookSpecificationList", []):
        backend.create_lifecycle_hook(
            hook["LifecycleHookName"], name, hook["LifecycleTransition"], hook.get("HeartbeatTimeout"), hook.get("DefaultResult")
        )
    return EmptyResult()


def update_auto_scaling_group(self):
    backend, params = self.autoscaling_backend, self._get_params()
    group = find(backend, params["AutoScalingGroupName"])
    low = int(params.get("MinSize", group.min_size))
    high = int(params.get("MaxSize", group.max_size))
    desired = params.get("DesiredCapacity")
    desired = min(max(group.desired_capacity, low), max(high, low)) if desired is None else int(desired)
    check_bounds(low, desired, high)
    if params.get("LaunchTemplate"):
        check_template(backend, params["LaunchTemplate"])
    check_subnets(backend, params.get("VPCZoneIdentifier"))
    if params.get("VPCZoneIdentifier") or params.get("AvailabilityZones"):
        group._set_azs_and_vpcs(params.get("AvailabilityZones", []), params.get("VPCZoneIdentifier"), update=True)
    if params.get("LaunchTemplate") or params.get("MixedInstancesPolicy"):
        group.mixed_instances_policy = params.get("MixedInstancesPolicy")
        group._set_launch_configuration(None, params.get("LaunchTemplate", {}), params.get("MixedInstancesPolicy"))
    group.min_size, group.max_size = low, high
    for name, attribute in (
        ("HealthCheckGracePeriod", "health_check_grace_period"),
        ("HealthCheckType", "health_check_type"),
        ("DefaultCooldown", "default_cooldown"),
        ("TerminationPolicies", "termination_policies"),
        ("CapacityRebalance", "capacity_rebalance"),
        ("NewInstancesProtectedFromScaleIn", "new_instances_protected_from_scale_in"),
        ("DefaultInstanceWarmup", "default_instance_warmup"),
        ("MaxInstanceLifetime", "max_instance_lifetime"),
        ("InstanceMaintenancePolicy", "instance_maintenance_policy"),
    ):
        if params.get(name) is not None:
            setattr(group, attribute, params[name])
    group.set_desired_capacity(desired)
    return EmptyResult()


def answer_set_desired_capacity(self):
    name, wanted = self._get_param("AutoScalingGroupName"), self._get_int_param("DesiredCapacity")
    group = find(self.autoscaling_backend, name)
    if wanted > group.max_size:
        raise error(f"New SetDesiredCapacity value {wanted} is above max value {group.max_size} for the AutoScalingGroup.")
    if wanted < group.min_size:
        raise error(f"New SetDesiredCapacity value {wanted} is below min value {group.min_size} for the AutoScalingGroup.")
    group.set_desired_capacity(wanted)
    return EmptyResult()


def delete_auto_scaling_group(self):
    group = find(self.autoscaling_backend, self._get_param("AutoScalingGroupName"), change=False)
    force = self._get_bool_param("ForceDelete", False)
    busy = "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group."
    if group.status:
        if force:
            return EmptyResult()
        raise error(busy, "ScalingActivityInProgress")
    if not force:
        if any(one.lifecycle_state != "Terminating" for one in group.instance_states):
            raise error(
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
                "ResourceInUse",
            )
        if group.instance_states:
            raise error(busy, "ScalingActivityInProgress")
    now = state.now()
    group.status = "Delete in progress"
    group.delete_at = now + state.seconds("delete_delay_ms")
    group.min_size = group.desired_capacity = 0
    touch(group, now)
    return EmptyResult()


def describe_auto_scaling_groups(self):
    size = self._get_int_param("MaxRecords", 50)
    if not 1 <= size <= 100:
        raise error(f"1 validation error detected: Value '{size}' at 'maxRecords' failed to satisfy constraint: Member must have value less than or equal to 100")
    names, filters = self._get_param("AutoScalingGroupNames", []), self._get_param("Filters", [])
    found = self.autoscaling_backend.describe_auto_scaling_groups(names, filters)
    if self._get_bool_param("IncludeInstances", True) is False:
        found = [copy.copy(group) for group in found]
        for group in found:
            group.instance_states = []
    return paged(self, found, lambda group: group.name, size, "AutoScalingGroups")


def paged(response, items, key, size, field):
    bad_token = error("The token is invalid.", "InvalidNextToken")
    shown, token = state.page(items, key, size, response._get_param("NextToken"), bad_token)
    return ActionResult({field: shown, "NextToken": token})


def describe_auto_scaling_instances(self):
    ids = self._get_param("InstanceIds", [])
    found = self.autoscaling_backend.describe_auto_scaling_instances(ids)
    return paged(self, found, lambda member: member.instance_id, self._get_int_param("MaxRecords", 50), "AutoScalingInstances")


def describe_scaling_activities(self):
    backend, name = self.autoscaling_backend, self._get_param("AutoScalingGroupName")
    groups = [find(backend, name, change=False)] if name else list(backend.autoscaling_groups.values())
    found = [activity for group in groups for activity in group.activities]
    ids = self._get_param("ActivityIds", [])
    if ids:
        found = [activity for activity in found if activity.activity_id in ids]
    for one in self._get_param("Filters", []) or []:
        values = one.get("Values", [])
        if one.get("Name") == "Status":
            found = [activity for activity in found if activity.status_code in values]
        elif one.get("Name") == "StartTimeLowerBound":
            low = datetime.fromisoformat(values[0].replace("Z", "+00:00")).timestamp()
            found = [activity for activity in found if activity.at >= low]
        elif one.get("Name") == "StartTimeUpperBound":
            high = datetime.fromisoformat(values[0].replace("Z", "+00:00")).timestamp()
            found = [activity for activity in found if activity.at <= high]
    order = {id(one): -int(one.at * 1e6) * 1000 - place for place, one in enumerate(found)}
    size = min(self._get_int_param("MaxRecords", 100), 100)
    return paged(self, found, lambda activity: order[id(activity)], size, "Activities")


def named(self):
    """Checks the group that a call names, and that it may be changed, before moto does the rest."""
    return find(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))


def guarded(method):
    def answer(self):
        named(self)
        return method(self)

    answer.__name__ = method.__name__
    return answer


def guarded_tags(method):
    def answer(self):
        for tag in self._get_param("Tags", []):
            find(self.autoscaling_backend, tag.get("ResourceId"))
        return method(self)

    answer.__name__ = method.__name__
    return answer


def attach_target_groups(self):
    group, arns = named(self), self._get_param("TargetGroupARNs", [])
    check_target_groups(self.autoscaling_backend, arns)
    group.append_target_groups(arns)
    for target_group in target_groups(group):
        if target_group.arn in arns and not suspended(group, "AddToLoadBalancer"):
            members = [{"Id": one.instance_id} for one in group.instance_states if one.lifecycle_state == "InService"]
            health.register(target_group, members)
    return EmptyResult()


def detach_target_groups(self):
    group, arns = named(self), self._get_param("TargetGroupARNs", [])
    for target_group in target_groups(group):
        if target_group.arn in arns:
            health.deregister(target_group, [{"Id": one.instance_id} for one in group.instance_states])
    group.target_group_arns = [arn for arn in group.target_group_arns if arn not in arns]
    return EmptyResult()


def describe_target_groups(self):
    group = find(self.autoscaling_backend, self._get_param("AutoScalingGroupName"), change=False)
    shown = [{"LoadBalancerTargetGroupARN": arn, "State": "InService"} for arn in group.target_group_arns]
    return ActionResult({"LoadBalancerTargetGroups": shown})


def find_member(backend, instance_id):
    for group in backend.autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance_id == instance_id:
                return group, member
    raise error(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def set_instance_health(self):
    group, member = find_member(self.autoscaling_backend, self._get_param("InstanceId"))
    status = self._get_param("HealthStatus")
    if status not in ("Healthy", "Unhealthy"):
        raise error("Valid instance health states are: [Healthy, Unhealthy]")
    member.health_status = status
    member.unhealthy_at = None
    touch(group)
    return EmptyResult()


def terminate_instance(self):
    group, member = find_member(self.autoscaling_backend, self._get_param("InstanceId"))
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        if group.desired_capacity - 1 < group.min_size:
            raise error("Currently, desiredSize equals minSize. Terminating instance without replacement will violate group's min size constraint.")
        group.desired_capacity -= 1
    if member.lifecycle_state != "Terminating":
        begin_termination(member, state.now(), "a user request")
    touch(group)
    return ActionResult({"Activity": member.activity})


def detach_instances(self, group_name, instance_ids, should_decrement):
    group = find(self, group_name)
    for target_group in target_groups(group):
        health.deregister(target_group, [{"Id": name} for name in instance_ids])
    return original_detach_instances(self, group_name, instance_ids, should_decrement)


def attach_instances(self):
    raise NotImplementedError("Instances come into a group by being launched.")


def notify_terminate_instances(self, instance_ids):
    for group in self.autoscaling_groups.values():
        touch(group)


# ---------------------------------------------------------------- scaling policies


class Policy:
    def __init__(self, group, params):
        self.auto_scaling_group_name = group.name
        self.policy_name = params["PolicyName"]
        self.enabled = True
        self.alarms = []
        self.step_adjustments = []
        self.change(group, params)

    def change(self, group, params):
        self.policy_type = params.get("PolicyType") or "SimpleScaling"
        prefix = group.arn.split(":autoScalingGroup:")[0]
        if not hasattr(self, "policy_arn"):
            self.policy_arn = (
                f"{prefix}:scalingPolicy:{mock_random.uuid4()}:autoScalingGroupName/{group.name}:policyName/{self.policy_name}"
            )
        self.adjustment_type = params.get("AdjustmentType")
        self.min_adjustment_magnitude = params.get("MinAdjustmentMagnitude")
        self.scaling_adjustment = params.get("ScalingAdjustment")
        self.cooldown = params.get("Cooldown")
        self.step_adjustments = params.get("StepAdjustments") or []
        self.metric_aggregation_type = params.get("MetricAggregationType")
        self.estimated_instance_warmup = params.get("EstimatedInstanceWarmup")
        self.enabled = params.get("Enabled", True)
        self.target_tracking_configuration = None
        config = params.get("TargetTrackingConfiguration")
        if self.policy_type == "TargetTrackingScaling":
            self.target_tracking_configuration = {"DisableScaleIn": False, **config}


def put_scaling_policy(self):
    params, group = self._get_params(), named(self)
    if params.get("PolicyType") == "TargetTrackingScaling":
        config = params.get("TargetTrackingConfiguration")
        if not config:
            raise error("TargetTrackingConfiguration must be specified for policy type TargetTrackingScaling")
        metric = config.get("PredefinedMetricSpecification") or {}
        kind = metric.get("PredefinedMetricType")
        kinds = ("ASGAverageCPUUtilization", "ASGAverageNetworkIn", "ASGAverageNetworkOut", "ALBRequestCountPerTarget")
        if bool(metric) == bool(config.get("CustomizedMetricSpecification")) or (metric and kind not in kinds):
            raise error("Exactly one valid metric specification must be given")
        if kind == "ALBRequestCountPerTarget":
            parts = (metric.get("ResourceLabel") or "").split("/")
            if len(parts) != 6 or parts[0] != "app" or parts[3] != "targetgroup":
                raise error("ResourceLabel must be app/<name>/<id>/targetgroup/<name>/<id> for ALBRequestCountPerTarget")
            arns = [arn for arn in group.target_group_arns if arn.endswith("/".join(parts[3:]))]
            if not arns:
                raise error("The target group of the ResourceLabel is not attached to the Auto Scaling group")
    policies = self.autoscaling_backend.policies
    key = (group.name, params["PolicyName"])
    if key in policies:
        policies[key].change(group, params)
    else:
        policies[key] = Policy(group, params)
    return ActionResult({"PolicyARN": policies[key].policy_arn, "Alarms": []})


def describe_policies(self):
    name, names = self._get_param("AutoScalingGroupName"), self._get_param("PolicyNames", [])
    types = self._get_param("PolicyTypes", [])
    found = [
        policy
        for policy in self.autoscaling_backend.policies.values()
        if (not name or policy.auto_scaling_group_name == name)
        and (not names or policy.policy_name in names or policy.policy_arn in names)
        and (not types or policy.policy_type in types)
    ]
    size = min(self._get_int_param("MaxRecords", 50), 100)
    return paged(self, found, lambda policy: f"{policy.auto_scaling_group_name}:{policy.policy_name}", size, "ScalingPolicies")


def delete_policy(self):
    name, group = self._get_param("PolicyName"), self._get_param("AutoScalingGroupName")
    policies = self.autoscaling_backend.policies
    for key, policy in list(policies.items()):
        if policy.policy_arn == name or (policy.policy_name == name and policy.auto_scaling_group_name == group):
            del policies[key]
            return EmptyResult()
    raise error(f"Policy name not found - PolicyName '{name}' not found")


def install():
    FakeAutoScalingGroup.__init__ = group_init
    FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity
    FakeAutoScalingGroup.provided_launch_template_version = None
    FakeAutoScalingGroup.active_instances = lambda self: active(self)
    AutoScalingBackend.update_attached_target_groups = lambda self, name: None
    AutoScalingBackend.detach_instances = detach_instances
    AutoScalingBackend.notify_terminate_instances = notify_terminate_instances
    answers = AutoScalingResponse
    for name in (
        "create_auto_scaling_group update_auto_scaling_group delete_auto_scaling_group describe_auto_scaling_groups"
        " describe_auto_scaling_instances describe_scaling_activities set_instance_health put_scaling_policy"
        " describe_policies delete_policy attach_instances"
    ).split():
        setattr(answers, name, globals()[name])
    answers.set_desired_capacity = answer_set_desired_capacity
    answers.attach_load_balancer_target_groups = attach_target_groups
    answers.detach_load_balancer_target_groups = detach_target_groups
    answers.describe_load_balancer_target_groups = describe_target_groups
    answers.terminate_instance_in_auto_scaling_group = terminate_instance
    for name in "suspend_processes resume_processes set_instance_protection detach_instances put_lifecycle_hook".split():
        setattr(answers, name, guarded(getattr(answers, name)))
    for name in ("create_or_update_tags", "delete_tags"):
        setattr(answers, name, guarded_tags(getattr(answers, name)))
    health.use_changed.append(use_changed)
