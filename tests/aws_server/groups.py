"""Auto Scaling groups that live in time: launches, drains, failures, replacements, slow deletion.

Nothing runs in the background. Each group carries the instant at which it next changes (`due`);
before every request `advance` brings all groups to the present, event by event and in order, so
what a reader sees depends on the clock and the settings, never on threads.
"""

import json
import sys
import traceback
from datetime import datetime, timezone

from moto.autoscaling.models import ASG_NAME_TAG, autoscaling_backends
from moto.core.exceptions import ServiceException
from moto.moto_api._internal import mock_random

import ec2
import health
import state
from state import INFINITY

KEPT_ACTIVITIES = 200  # per group; the oldest go
LEAST = 0.001  # no event follows another at the same instant, so that no loop is endless


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
            health.register(target_group, [{"Id": member.instance_id}], at)


def begin_termination(member, at, why):
    """Out of the target groups first; the instance goes when they have drained."""
    group = member.auto_scaling_group
    if member.activity and member.activity.end_time is None:
        member.activity.end(at, "Cancelled")
    end = at
    for target_group in target_groups(group):
        end = max(end, health.deregister(target_group, [{"Id": member.instance_id}], at))
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
        if health.health_of_target(target_group, target, max(at, look))[0] == "unhealthy":
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
            try:
                due = step(group, at)
            except Exception:  # one broken group must not stop the world: it stands still, loudly
                traceback.print_exc(file=sys.stderr)
                due = INFINITY
            group.due = min(group.due, max(due, at + LEAST / 10))


def touch_all():
    for group in all_groups():
        touch(group)


def use_changed(backend, arns):
    arns = set(arns)
    regions = autoscaling_backends[backend.account_id]
    for group in regions[backend.region_name].autoscaling_groups.values():
        if arns.intersection(group.target_group_arns):
            touch(group)
