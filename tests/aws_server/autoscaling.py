"""Auto Scaling's answers: what it refuses, what it starts, and true pages."""

import copy
from collections import deque
from datetime import datetime

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import EmptyResult

import attachments
import ec2
import health
import hooks
import instances
import policies
import state
from answers import error, find, named, paged
from attachments import check_target_groups
from groups import KEPT_ACTIVITIES, touch, use_changed
from members import active, stamp
from state import INFINITY


# ---------------------------------------------------------------- the group object

original_group_init = FakeAutoScalingGroup.__init__


def group_init(self, *args, **kwargs):
    self.due = INFINITY
    self.retry_at = 0.0
    self.status = None
    self.delete_at = INFINITY
    self.activities = deque(maxlen=KEPT_ACTIVITIES)
    self._suspended_processes = []
    self.removing = {}  # target groups whose machines drain: ARN → until when
    self.said_protected = None  # the desired capacity that protected machines stood in the way of
    self.deletion_protection = "none"
    self.availability_zone_distribution = None
    self.availability_zone_impairment_policy = None
    original_group_init(self, *args, **kwargs)
    self.created_time = stamp(state.now())
    self.termination_policies = self.termination_policies or ["Default"]
    touch(self)


original_launch_template = FakeAutoScalingGroup.launch_template.fget


def launch_template(self):
    """A group of mixed instances shows its template in the policy alone."""
    return None if self.mixed_instances_policy else original_launch_template(self)


def set_desired_capacity(self, new_capacity):
    self.desired_capacity = self.min_size if new_capacity is None else int(new_capacity)
    touch(self)


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


def check_subnets(backend, zones):
    for name in (zones or "").split(","):
        if name and not any(name in subnets for subnets in backend.ec2_backend.subnets.values()):
            raise error(f"The subnet ID '{name}' does not exist")


def check_tags(tags):
    if len(tags) > 25:
        raise error(f"1 validation error detected: Value '[{len(tags)} tags]' at 'tags' failed to satisfy constraint: Member must have length less than or equal to 25")
    if len({tag.get("Key") for tag in tags}) != len(tags):
        raise error("Duplicate tag keys are not allowed")


def room_for_tags(group, tags):
    if len({tag["Key"] for tag in group.tags} | {tag.get("Key") for tag in tags}) > 50:
        raise error("The maximum number of tags per Auto Scaling group is 50", "LimitExceeded")


# ---------------------------------------------------------------- answers

SETTINGS = (
    ("HealthCheckType", "health_check_type"),
    ("DefaultCooldown", "default_cooldown"),
    ("TerminationPolicies", "termination_policies"),
    ("CapacityRebalance", "capacity_rebalance"),
    ("NewInstancesProtectedFromScaleIn", "new_instances_protected_from_scale_in"),
    ("DefaultInstanceWarmup", "default_instance_warmup"),
    ("MaxInstanceLifetime", "max_instance_lifetime"),
    ("InstanceMaintenancePolicy", "instance_maintenance_policy"),
    ("DeletionProtection", "deletion_protection"),
    ("AvailabilityZoneDistribution", "availability_zone_distribution"),
    ("AvailabilityZoneImpairmentPolicy", "availability_zone_impairment_policy"),
)

original_create = AutoScalingResponse.create_auto_scaling_group


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
    check_tags(params.get("Tags", []))
    check_target_groups(backend, params.get("TargetGroupARNs", []))
    check_subnets(backend, params.get("VPCZoneIdentifier"))
    original_create(self)
    group = backend.autoscaling_groups[name]
    group.health_check_grace_period = int(params.get("HealthCheckGracePeriod", 0))
    for name, attribute in SETTINGS:
        if params.get(name) is not None:
            setattr(group, attribute, params[name])
    for hook in params.get("LifecycleHookSpecificationList", []):
        backend.lifecycle_hooks[f"{group.name}_{hook['LifecycleHookName']}"] = hooks.Hook(group.name, hook)
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
    for name, attribute in (("HealthCheckGracePeriod", "health_check_grace_period"), *SETTINGS):
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
    guard = group.deletion_protection
    if guard == "prevent-all-deletion" or (guard == "prevent-force-deletion" and force):
        kind = "force deleted" if force and guard == "prevent-force-deletion" else "deleted"
        raise error(f"AutoScalingGroup '{group.name}' cannot be {kind} because its deletion protection is '{guard}'.")
    if not force:
        if any(not one.lifecycle_state.startswith("Terminating") for one in group.instance_states):
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


PROCESSES = (
    "Launch Terminate AddToLoadBalancer AlarmNotification AZRebalance HealthCheck InstanceRefresh ReplaceUnhealthy"
    " ScheduledActions"
).split()


def guarded_processes(method):
    def answer(self):
        named(self)
        unknown = [one for one in self._get_param("ScalingProcesses", []) or [] if one not in PROCESSES]
        if unknown:
            raise error(f"{unknown[0]} is not a valid scaling process")
        return method(self)

    answer.__name__ = method.__name__
    return answer


def guarded_tags(method, adds):
    def answer(self):
        tags = self._get_param("Tags", [])
        check_tags(tags)
        for tag in tags:
            group = find(self.autoscaling_backend, tag.get("ResourceId"))
            if adds:
                room_for_tags(group, [one for one in tags if one.get("ResourceId") == group.name])
        return method(self)

    answer.__name__ = method.__name__
    return answer


def install():
    FakeAutoScalingGroup.__init__ = group_init
    FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity
    FakeAutoScalingGroup.provided_launch_template_version = None
    FakeAutoScalingGroup.active_instances = lambda self: active(self)
    AutoScalingBackend.update_attached_target_groups = lambda self, name: None
    FakeAutoScalingGroup.launch_template = property(launch_template)
    answers = AutoScalingResponse
    for name in (
        "create_auto_scaling_group update_auto_scaling_group delete_auto_scaling_group describe_auto_scaling_groups"
        " describe_auto_scaling_instances describe_scaling_activities"
    ).split():
        setattr(answers, name, globals()[name])
    answers.set_desired_capacity = answer_set_desired_capacity
    answers.suspend_processes = guarded_processes(answers.suspend_processes)
    answers.resume_processes = guarded_processes(answers.resume_processes)
    answers.create_or_update_tags = guarded_tags(answers.create_or_update_tags, adds=True)
    answers.delete_tags = guarded_tags(answers.delete_tags, adds=False)
    health.use_changed.append(use_changed)
    instances.install()
    attachments.install()
    policies.install()
