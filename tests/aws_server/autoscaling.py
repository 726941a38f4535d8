"""Auto Scaling groups that live in time: launches, drains, failures, replacements, slow deletion.

Nothing runs in the background. Each group carries the instant at which it next changes (`due`);
before every request `advance` brings all groups to the present, event by event and in order, so
what a reader sees depends on the clock and the settings, never on threads.
"""

import json
from collections import deque
from datetime import datetime, timezone

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import (
    ASG_NAME_TAG,
    AutoScalingBackend,
    FakeAutoScalingGroup,
    autoscaling_backends,
)
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.moto_api._internal import mock_random

import ec2
import elbv2
import state
from state import INFINITY

KEPT_ACTIVITIES = 200  # per group; the oldest go
LEAST = 0.001  # no event follows another at the same instant, so that no loop is endless


def error(message, code="ValidationError"):
    return AutoscalingClientError(code, message)


def stamp(at):
    return datetime.fromtimestamp(at, timezone.utc).replace(tzinfo=None)


# ---------------------------------------------------------------- instances of a group


class Member:
    """An instance in a group, with the launch template version it was launched with."""

    def __init__(self, instance, group, template, version, at, protected):
        self.instance = instance
        self.instance_id = instance.id
        self.instance_type = instance.instance_type
        self.availability_zone = instance.availability_zone
        self.auto_scaling_group = group
        self.auto_scaling_group_name = group.name
        self.launch_configuration_name = None
        self.launch_template = {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Version": str(version),
        }
        self.protected_from_scale_in = bool(protected)
        self.lifecycle_state = "Pending"
        self.health_status = "Healthy"
        self.launched_at = at
        self.ready_at = at + max(state.seconds("launch_delay_ms"), LEAST)
        self.in_service_at = None
        self.unhealthy_at = None
        self.gone_at = None
        self.activity = None


class Activity:
    def __init__(self, group, at, description, cause, status, message=None):
        self.activity_id = str(mock_random.uuid4())
        self.auto_scaling_group_name = group.name
        self.auto_scaling_group_arn = group.arn
        self.description = description
        self.cause = cause
        self.start_time = stamp(at)
        self.end_time = None
        self.status_code = status
        self.status_message = message
        self.progress = 0
        self.details = json.dumps({"Subnet ID": None, "Availability Zone": None})
        self.at = at

    def end(self, at, status="Successful"):
        self.end_time = stamp(at)
        self.status_code = status
        self.progress = 100


def suspended(group, process):
    return process in group._suspended_processes


def target_groups(group):
    backend = group.autoscaling_backend.elbv2_backend
    return [backend.target_groups[arn] for arn in group.target_group_arns if arn in backend.target_groups]


def active(group):
    return [one for one in group.instance_states if one.lifecycle_state in ("Pending", "InService")]


def tag_of(group, key):
    return next((tag["Value"] for tag in group.tags if tag["Key"] == key), None)


def template_version(group):
    """The launch template and its version that a launch now would use; None when it is gone."""
    backend = group.ec2_backend
    known = group.ec2_launch_template
    if known is None or known.id not in backend.launch_templates:
        return None, None
    try:
        return known, known.get_version(group.launch_template_version)
    except (ServiceException, ValueError):
        return known, None


def user_data_of(group):
    _, version = template_version(group)
    return state.decoded(version.user_data) if version else ""


def user_data_of_target_group(target_group):
    backend = autoscaling_backends[target_group.account_id][target_group.region_name]
    groups = backend.autoscaling_groups.values()
    return "\n".join(user_data_of(one) for one in groups if target_group.arn in one.target_group_arns)


# ---------------------------------------------------------------- one step of a group


def touch(group, at=None):
    group.due = min(group.due, state.now() if at is None else at)


def launch_error(group):
    for rule in state.launch_rules:
        selector = rule.selector
        hit = (
            ("version" not in selector or tag_of(group, state.settings["version_tag"]) == selector["version"])
            and ("group" not in selector or group.name.startswith(selector["group"]))
            and ("user_data" not in selector or selector["user_data"] in user_data_of(group))
        )
        if hit and (rule.count is None or rule.hits < rule.count):
            rule.hits += 1
            return rule.value
    if len(target_groups(group)) < len(group.target_group_arns):
        return "One or more target groups not found. Validating load balancer configuration failed."
    template, version = template_version(group)
    if version is None:
        return "The launch template specified by the Auto Scaling group does not exist. Launching EC2 instance failed."
    return None


def launch(group, at, missing):
    """Starts one instance, or fails to. Spreads over the subnets, the emptiest first."""
    have = group.desired_capacity - missing
    cause = (
        f"At {stamp(at).isoformat(timespec='seconds')}Z an instance was started in response to a difference between desired"
        f" and actual capacity, increasing the capacity from {have} to {group.desired_capacity}."
    )
    message = launch_error(group)
    if message is None:
        try:
            subnets = [group.ec2_backend.get_subnet(name) for name in (group.vpc_zone_identifier or "").split(",") if name]
            count = {subnet.id: 0 for subnet in subnets}
            for member in active(group):
                if member.instance.subnet_id in count:
                    count[member.instance.subnet_id] += 1
            subnet = min(subnets, key=lambda one: count[one.id]) if subnets else None
            zone = subnet.availability_zone if subnet else group.availability_zones[0]
            template, version = template_version(group)
            tags = {**version.instance_tags, **group.get_propagated_tags(), ASG_NAME_TAG: group.name}
            instance = ec2.launch(
                group.ec2_backend, version.data, template, version.number, subnet.id if subnet else None, zone, tags
            )
        except StopIteration:
            message = f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances."
        except ServiceException as failure:
            message = f"{failure.message} Launching EC2 instance failed."
    if message is not None:
        text = f"Launching a new EC2 instance.  Status Reason: {message}"
        failed = Activity(group, at, text, cause, "Failed", message)
        failed.end(at, "Failed")
        group.activities.append(failed)
        return False
    instance.autoscaling_group = group
    protected = group.new_instances_protected_from_scale_in
    member = Member(instance, group, template, version.number, at, protected)
    member.activity = Activity(group, at, f"Launching a new EC2 instance: {instance.id}", cause, "PreInService")
    member.activity.details = json.dumps({"Subnet ID": instance.subnet_id, "Availability Zone": zone})
    group.activities.append(member.activity)
    group.instance_states.append(member)
    return True


def enter_service(member, at):
    group = member.auto_scaling_group
    member.lifecycle_state = "InService"
    member.in_service_at = at
    member.activity.end(at)
    if not suspended(group, "AddToLoadBalancer"):
        for target_group in target_groups(group):
            elbv2.register(target_group, [{"Id": member.instance_id}], at)


def begin_termination(member, at, why):
    """Out of the target groups first; the instance goes when they have drained."""
    group = member.auto_scaling_group
    if member.activity and member.activity.end_time is None:
        member.activity.end(at, "Cancelled")
    end = at
    for target_group in target_groups(group):
        end = max(end, elbv2.deregister(target_group, [{"Id": member.instance_id}], at))
    member.lifecycle_state = "Terminating"
    member.gone_at = end + max(state.seconds("terminate_delay_ms"), LEAST)
    status = "WaitingForELBConnectionDraining" if end > at else "InProgress"
    cause = f"At {stamp(at).isoformat(timespec='seconds')}Z an instance was taken out of service in response to {why}."
    member.activity = Activity(group, at, f"Terminating EC2 instance: {member.instance_id}", cause, status)
    group.activities.append(member.activity)


def finish_termination(member, at):
    if member.instance.state != "terminated":
        member.instance.terminate()
    member.lifecycle_state = "Terminated"
    member.activity.end(at)
    member.auto_scaling_group.instance_states.remove(member)


def elb_verdict(group, member, at):
    """(unhealthy now, when to look again) of a member whose group believes its load balancer."""
    if "ELB" not in (group.health_check_type or "") or not state.health_rules:
        return False, INFINITY
    grace = member.in_service_at + (group.health_check_grace_period or 0)
    again = INFINITY
    for target_group in target_groups(group):
        target = target_group.targets.get(member.instance_id)
        if target is None or not target_group.load_balancer_arns:
            continue
        look = max(grace, target["healthy_at"])
        if elbv2.health_of_target(target_group, target, max(at, look))[0] == "unhealthy":
            if at >= look:
                return True, INFINITY
            again = min(again, look)
    return False, again


def victim(group):
    """Whom a scale-in takes: of the fullest zone, unprotected, the oldest."""
    members = [one for one in active(group) if not one.protected_from_scale_in]
    if not members:
        return None
    zones = [one.availability_zone for one in active(group)]
    return min(members, key=lambda one: (-zones.count(one.availability_zone), one.launched_at))


def step(group, at):
    """Everything that is due at `at`; the answer is when to come again."""
    due = INFINITY
    for member in list(group.instance_states):
        if member.lifecycle_state == "Pending":
            if at >= member.ready_at and member.instance.state == "running":
                enter_service(member, at)
            elif member.instance.state == "running":
                due = min(due, member.ready_at)
        if member.lifecycle_state == "Terminating":
            if at >= member.gone_at:
                finish_termination(member, at)
            else:
                due = min(due, member.gone_at)
        if member.lifecycle_state not in ("Pending", "InService"):
            continue
        if not suspended(group, "HealthCheck") and member.health_status == "Healthy":
            bad = member.instance.state != "running"
            if not bad and member.lifecycle_state == "InService":
                bad, again = elb_verdict(group, member, at)
                due = min(due, again)
            if bad:
                member.health_status = "Unhealthy"
        if member.health_status != "Healthy" and not suspended(group, "ReplaceUnhealthy"):
            if member.unhealthy_at is None:
                member.unhealthy_at = at
            end = member.unhealthy_at + max(state.seconds("replace_delay_ms"), LEAST)
            if at >= end:
                begin_termination(member, at, "an unhealthy health check")
                due = min(due, member.gone_at)
            else:
                due = min(due, end)
    members = active(group)
    if group.status:
        for member in list(group.instance_states):
            if member.lifecycle_state != "Terminating":
                begin_termination(member, at, "the deletion of the group")
                due = min(due, member.gone_at)
        if not group.instance_states and at >= group.delete_at:
            remove_group(group)
            return INFINITY
        return min(due, group.delete_at) if not group.instance_states else due
    missing = (group.desired_capacity or 0) - len(members)
    if missing > 0 and not suspended(group, "Launch"):
        if at < group.retry_at:
            due = min(due, group.retry_at)
        else:
            failed = False
            while missing > 0:
                failed = not launch(group, at, missing) or failed
                missing -= 1
            due = min([due] + [one.ready_at for one in active(group) if one.lifecycle_state == "Pending"])
            if failed:
                group.retry_at = at + max(state.seconds("launch_delay_ms"), 0.05)
                due = min(due, group.retry_at)
    if missing < 0 and not suspended(group, "Terminate"):
        for _ in range(-missing):
            member = victim(group)
            if member is None:
                break
            begin_termination(member, at, "a difference between desired and actual capacity")
            due = min(due, member.gone_at)
    return due


def remove_group(group):
    backend = group.autoscaling_backend
    backend.autoscaling_groups.pop(group.name, None)
    for key in [key for key in backend.policies if key[0] == group.name]:
        del backend.policies[key]
    for key in [key for key, hook in backend.lifecycle_hooks.items() if hook.auto_scaling_group_name == group.name]:
        del backend.lifecycle_hooks[key]


def backends():
    for regions in list(dict.values(autoscaling_backends)):
        yield from list(dict.values(regions))


def all_groups():
    for backend in backends():
        yield from list(backend.autoscaling_groups.values())


def advance(now):
    for group in all_groups():
        while group.due <= now:
            at, group.due = group.due, INFINITY
            group.due = min(group.due, max(step(group, at), at + LEAST / 10))


def touch_all():
    for group in all_groups():
        touch(group)


def use_changed(backend, arns):
    arns = set(arns)
    regions = autoscaling_backends[backend.account_id]
    for group in regions[backend.region_name].autoscaling_groups.values():
        if arns.intersection(group.target_group_arns):
            touch(group)


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
            elbv2.register(target_group, members)
    return EmptyResult()


def detach_target_groups(self):
    group, arns = named(self), self._get_param("TargetGroupARNs", [])
    for target_group in target_groups(group):
        if target_group.arn in arns:
            elbv2.deregister(target_group, [{"Id": one.instance_id} for one in group.instance_states])
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
        elbv2.deregister(target_group, [{"Id": name} for name in instance_ids])
    return original_detach_instances(self, group_name, instance_ids, should_decrement)


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
    FakeAutoScalingGroup.active_instances = lambda self: active(self)
    AutoScalingBackend.update_attached_target_groups = lambda self, name: None
    AutoScalingBackend.detach_instances = detach_instances
    AutoScalingBackend.notify_terminate_instances = notify_terminate_instances
    answers = AutoScalingResponse
    for name in (
        "create_auto_scaling_group update_auto_scaling_group delete_auto_scaling_group describe_auto_scaling_groups"
        " describe_auto_scaling_instances describe_scaling_activities set_instance_health put_scaling_policy"
        " describe_policies delete_policy"
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
    elbv2.use_changed.append(use_changed)
