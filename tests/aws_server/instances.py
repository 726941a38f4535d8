"""Answers about single machines of a group: their health, standby, protection, leaving, and their hooks."""

from moto.autoscaling.models import ASG_NAME_TAG, AutoScalingBackend
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

import hooks
import state
from answers import error, find, named
from groups import touch
from members import Activity, BY_USER, begin_termination, deregister, moment, register


def find_member(backend, instance_id):
    for group in backend.autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance_id == instance_id:
                return group, member
    raise error(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def members_named(response, group):
    """The machines that a call names; AWS refuses it when one isn't the group's."""
    by_id = {one.instance_id: one for one in group.instance_states}
    names = response._get_param("InstanceIds", [])
    for name in names:
        if name not in by_id:
            raise error(f"The instance {name} is not part of Auto Scaling group {group.name}.")
    return [by_id[name] for name in names]


def set_instance_health(self):
    group, member = find_member(self.autoscaling_backend, self._get_param("InstanceId"))
    status = self._get_param("HealthStatus")
    if status not in ("Healthy", "Unhealthy"):
        raise error("Valid instance health states are: [Healthy, Unhealthy]")
    grace = (member.in_service_at or state.now()) + (group.health_check_grace_period or 0)
    if status == "Unhealthy" and self._get_bool_param("ShouldRespectGracePeriod", True) and state.now() < grace:
        return EmptyResult()
    member.health_status, member.unhealthy_by = status, BY_USER
    member.unhealthy_at = None
    touch(group)
    return EmptyResult()


def shrink_by(group, count, how):
    """The desired capacity without machines that leave; not below the minimum."""
    if group.desired_capacity - count < group.min_size:
        raise error(
            f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, and desired-size={group.desired_capacity}."
            f" To {how} {count} instance{'s' if count > 1 else ''}, please update the AutoScalingGroup sizes appropriately."
        )
    group.desired_capacity -= count


def terminate_instance(self):
    group, member = find_member(self.autoscaling_backend, self._get_param("InstanceId"))
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        if group.desired_capacity - 1 < group.min_size:
            raise error("Currently, desiredSize equals minSize. Terminating instance without replacement will violate group's min size constraint.")
        group.desired_capacity -= 1
    if not member.lifecycle_state.startswith("Terminating"):
        begin_termination(member, state.now(), "a user request")
    touch(group)
    return ActionResult({"Activity": member.activity})


def record(group, member, verb, words):
    """An activity that is over at once."""
    now = state.now()
    activity = Activity(group, now, f"{verb}: {member.instance_id}", f"At {moment(now)} instance {member.instance_id} {words}", "InProgress", zone=member.availability_zone)
    activity.end(now)
    group.activities.append(activity)
    return activity


def detach_instances(self):
    group = named(self)
    members = members_named(self, group)
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        shrink_by(group, len(members), "detach")
    activities = []
    for member in members:
        deregister(member, state.now())
        group.ec2_backend.delete_tags([member.instance_id], {ASG_NAME_TAG: group.name})
        member.lifecycle_state = "Detached"
        group.instance_states.remove(member)
        activities.append(record(group, member, "Detaching EC2 instance", "was detached in response to a user request."))
    return ActionResult({"Activities": activities})


def attach_instances(self):
    raise NotImplementedError("Instances come into a group by being launched.")


def enter_standby(self):
    group = named(self)
    members = members_named(self, group)
    for member in members:
        if member.lifecycle_state != "InService":
            raise error(f"The instance {member.instance_id} is not in InService.")
    if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
        shrink_by(group, len(members), "place into standby")
    activities = []
    for member in members:
        deregister(member, state.now())
        member.lifecycle_state = "Standby"
        activities.append(record(group, member, "Moving EC2 instance to Standby", "was moved to standby in response to a user request."))
    return ActionResult({"Activities": activities})


def exit_standby(self):
    group = named(self)
    members = members_named(self, group)
    for member in members:
        if member.lifecycle_state != "Standby":
            raise error(f"The instance {member.instance_id} is not in Standby.")
    if group.desired_capacity + len(members) > group.max_size:
        raise error(f"AutoScalingGroup {group.name} has max-size={group.max_size}; the instances would exceed it.")
    activities = []
    for member in members:
        group.desired_capacity += 1
        member.lifecycle_state = "InService"
        member.in_service_at = state.now()
        register(member, state.now())
        activities.append(record(group, member, "Moving EC2 instance out of Standby", "was moved out of standby in response to a user request."))
    return ActionResult({"Activities": activities})


def set_instance_protection(self):
    group = named(self)
    for member in members_named(self, group):
        if member.lifecycle_state not in ("InService", "Pending", "Pending:Wait", "EnteringStandby", "Standby"):
            raise error(f"The instance {member.instance_id} is not in InService or EnteringStandby or Standby.")
        member.protected_from_scale_in = self._get_bool_param("ProtectedFromScaleIn")
    group.said_protected = None
    return EmptyResult()


def notify_terminate_instances(self, instance_ids):
    for group in self.autoscaling_groups.values():
        touch(group)


# ---------------------------------------------------------------- lifecycle hooks


def put_lifecycle_hook(self):
    try:
        hooks.put(self, named(self))
    except ValueError as wrong:
        raise error(str(wrong)) from None
    return EmptyResult()


def complete_lifecycle_action(self):
    return hooks.complete(self, named(self), error)


def record_lifecycle_action_heartbeat(self):
    return hooks.heartbeat(self, named(self), error)


def describe_lifecycle_hook_types(self):
    return hooks.types(self)


def describe_lifecycle_hooks(self):
    group = find(self.autoscaling_backend, self._get_param("AutoScalingGroupName"), change=False)
    names = self._get_param("LifecycleHookNames", [])
    found = self.autoscaling_backend.describe_lifecycle_hooks(group.name, names)
    return ActionResult({"LifecycleHooks": found})


def install():
    AutoScalingBackend.notify_terminate_instances = notify_terminate_instances
    answers = AutoScalingResponse
    for name in (
        "set_instance_health detach_instances attach_instances enter_standby exit_standby set_instance_protection put_lifecycle_hook"
        " complete_lifecycle_action record_lifecycle_action_heartbeat describe_lifecycle_hook_types describe_lifecycle_hooks"
    ).split():
        setattr(answers, name, globals()[name])
    answers.terminate_instance_in_auto_scaling_group = terminate_instance
