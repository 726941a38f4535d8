"""The machines of a group, one by one: how each comes into service and how it leaves."""

import json
from datetime import datetime, timezone

from moto.moto_api._internal import mock_random

import health
import hooks
import state
from state import INFINITY, LEAST

ACTIVE = ("Pending", "Pending:Wait", "InService")  # what counts as capacity
BY_ELB = "an ELB system health check failure"
BY_EC2 = "an EC2 health check indicating it has been terminated or stopped"
BY_USER = "a user health-check"


def stamp(at):
    return datetime.fromtimestamp(at, timezone.utc).replace(tzinfo=None)


def moment(at):
    return stamp(at).isoformat(timespec="seconds") + "Z"


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
        self.unhealthy_by = None  # the words of its cause
        self.drained_at = INFINITY
        self.gone_at = None
        self.activity = None
        self.waits = []  # lifecycle hooks that it is in
        self.forced = False  # its group is deleted by force: hooks don't count
        self.extra = False  # launched to balance the zones: no capacity until it is in service
        instance.member = self


class Activity:
    def __init__(self, group, at, description, cause, status, message=None, zone=None, subnet=None):
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
        self.details = json.dumps({"Subnet ID": subnet, "Availability Zone": zone})
        self.at = at

    def end(self, at, status="Successful", message=None):
        self.end_time = stamp(at)
        self.status_code = status
        self.status_message = message or self.status_message
        self.progress = 100


def suspended(group, process):
    return process in group._suspended_processes


def target_groups(group):
    backend = group.autoscaling_backend.elbv2_backend
    return [backend.target_groups[arn] for arn in group.target_group_arns if arn in backend.target_groups]


def active(group):
    return [one for one in group.instance_states if one.lifecycle_state in ACTIVE]


# ---------------------------------------------------------------- coming


def arrive(member, at):
    """A machine that runs: into service, or first into its group's launch hooks."""
    if hooks.begin(member, hooks.LAUNCHING, at):
        member.lifecycle_state = "Pending:Wait"
        member.activity.status_code = "MidLifecycleAction"
    else:
        enter_service(member, at)


def enter_service(member, at):
    member.lifecycle_state = "InService"
    member.in_service_at = at
    member.extra = False
    member.waits = []
    member.activity.end(at)
    register(member, at)


def register(member, at):
    group = member.auto_scaling_group
    if suspended(group, "AddToLoadBalancer"):
        return
    for target_group in target_groups(group):
        health.register(target_group, [{"Id": member.instance_id}], at)


def deregister(member, at):
    """Out of its group's target groups; when the last of them has drained."""
    end = at
    for target_group in target_groups(member.auto_scaling_group):
        end = max(end, health.deregister(target_group, [{"Id": member.instance_id}], at))
    return end


# ---------------------------------------------------------------- leaving


def begin_termination(member, at, cause, message=None):
    """Out of the target groups first, then into the hooks; the instance goes when all that is over."""
    group = member.auto_scaling_group
    if member.activity and member.activity.end_time is None:
        member.activity.end(at, "Cancelled", message)
    end = deregister(member, at)
    member.lifecycle_state = "Terminating"
    member.waits = []
    member.drained_at = end
    member.gone_at = end + max(state.seconds("terminate_delay_ms"), LEAST)
    status = "WaitingForELBConnectionDraining" if end > at else "InProgress"
    text = f"At {moment(at)} an instance was taken out of service in response to {cause}."
    place = {"zone": member.availability_zone, "subnet": member.instance.subnet_id}
    member.activity = Activity(group, at, f"Terminating EC2 instance: {member.instance_id}", text, status, **place)
    group.activities.append(member.activity)


def leave(member, at):
    """One look at a machine that terminates; when to look again."""
    if at < member.drained_at:
        return member.drained_at
    if member.lifecycle_state == "Terminating" and not member.forced and member.drained_at < INFINITY:
        if hooks.begin(member, hooks.TERMINATING, at):
            member.lifecycle_state = "Terminating:Wait"
            member.activity.status_code = "MidLifecycleAction"
            member.gone_at = INFINITY
        member.drained_at = -INFINITY  # hooks are entered once
    if member.lifecycle_state == "Terminating:Wait":
        result, again, _ = hooks.outcome(member, at)
        if result is None and not member.forced:
            return again
        member.lifecycle_state = "Terminating:Proceed"
        member.gone_at = at + max(state.seconds("terminate_delay_ms"), LEAST)
    if at < member.gone_at:
        return member.gone_at
    if member.instance.state != "terminated":
        member.instance.terminate()
    member.lifecycle_state = "Terminated"
    member.activity.end(at)
    member.auto_scaling_group.instance_states.remove(member)
    return INFINITY


# ---------------------------------------------------------------- health


def elb_verdict(member, at):
    """(unhealthy now, when to look again) of a member whose group believes its load balancer."""
    group = member.auto_scaling_group
    if "ELB" not in (group.health_check_type or "") or not (state.health_rules or state.boot_rules):
        return False, INFINITY
    grace = member.in_service_at + (group.health_check_grace_period or 0)
    again = INFINITY
    for target_group in target_groups(group):
        target = target_group.targets.get(member.instance_id)
        if target is None or not target_group.load_balancer_arns:
            continue
        look = max(at, grace, target["healthy_at"])
        if health.health_of_target(target_group, target, look)[0] == "unhealthy":
            if at >= look:
                return True, INFINITY
            again = min(again, look)
        else:
            again = min(again, health.next_change(target_group, target, look))
    return False, again


def check(member, at):
    """Looks at a member's health; when to look again."""
    group = member.auto_scaling_group
    again = INFINITY
    if not suspended(group, "HealthCheck") and member.health_status == "Healthy":
        if member.instance.state != "running":
            member.health_status, member.unhealthy_by = "Unhealthy", BY_EC2
        elif member.lifecycle_state == "InService":
            bad, again = elb_verdict(member, at)
            if bad:
                member.health_status, member.unhealthy_by = "Unhealthy", BY_ELB
    if member.health_status == "Healthy" or suspended(group, "ReplaceUnhealthy"):
        return again
    if member.unhealthy_at is None:
        member.unhealthy_at = at
    end = member.unhealthy_at + max(state.seconds("replace_delay_ms"), LEAST)
    if at < end:
        return min(again, end)
    begin_termination(member, at, member.unhealthy_by or BY_USER)
    return min(again, member.drained_at, member.gone_at)
