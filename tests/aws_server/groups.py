"""Auto Scaling groups that live in time: launches, drains, failures, replacements, slow deletion.

Nothing runs in the background. Each group carries the instant at which it next changes (`due`);
before every request `advance` brings all groups to the present, event by event and in order, so
what a reader sees depends on the clock and the settings, never on threads.
"""

import sys
import traceback

from moto.autoscaling.models import ASG_NAME_TAG, autoscaling_backends
from moto.core.exceptions import ServiceException

import ec2
import health
import hooks
import shift
import state
from members import Activity, Member, active, arrive, begin_termination, check, enter_service, leave, moment, suspended, target_groups
from state import INFINITY, LEAST

KEPT_ACTIVITIES = 200  # per group; the oldest go


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


def chosen_group(group, selector):
    """Whether a test means this group."""
    template, _ = template_version(group) if "template" in selector else (None, None)
    return (
        ("version" not in selector or tag_of(group, state.settings["version_tag"]) == selector["version"])
        and ("group" not in selector or group.name.startswith(selector["group"]))
        and ("template" not in selector or (template is not None and selector["template"] in (template.id, template.name)))
        and ("user_data" not in selector or selector["user_data"] in user_data_of(group))
    )


def rule_of(rules, member):
    """The newest of these rules that means a machine; they mean those that are launched from then on."""
    group, name = member.auto_scaling_group, member.instance_id
    for rule in rules:
        if member.launched_at < rule.since or rule.selector.get("instance", name) != name or not chosen_group(group, rule.selector):
            continue
        chosen = rule.chosen.setdefault(group.name, [])
        if rule.count is not None and name not in chosen and len(chosen) < rule.count:
            chosen.append(name)
        if rule.count is None or name in chosen:
            return rule
    return None


def power_off(member, at):
    """A machine that ends itself, as its template says: stopped or terminated. When to look again."""
    rule = rule_of(state.power_rules, member) if state.power_rules else None
    if rule is None or member.instance.state != "running":
        return INFINITY
    off = member.in_service_at + rule.value
    if at < off:
        return off
    _, version = template_version(member.auto_scaling_group)
    ends = version is not None and version.data.get("InstanceInitiatedShutdownBehavior") == "terminate"
    member.instance.terminate() if ends else member.instance.stop()
    return INFINITY


# ---------------------------------------------------------------- launches


def touch(group, at=None):
    group.due = min(group.due, state.now() if at is None else at)


def forced_failure(group, zone, count=True):
    """(what a test lets a launch fail with, whether only in this zone)."""
    for rule in state.launch_rules:
        if rule.selector.get("zone", zone) != zone or not chosen_group(group, rule.selector):
            continue
        if rule.count is None or rule.hits < rule.count:
            rule.hits += count
            return rule.value, "zone" in rule.selector
    return None, False


def launch_error(group):
    """Why no launch of the group can succeed."""
    if len(target_groups(group)) < len(group.target_group_arns):
        return "One or more target groups not found. Validating load balancer configuration failed."
    template, version = template_version(group)
    if version is None:
        return "The launch template specified by the Auto Scaling group does not exist. Launching EC2 instance failed."
    return None


def places(group):
    """(subnet or None, zone), the emptiest first; none in a zone that a shift leads away from."""
    subnets = [group.ec2_backend.get_subnet(name) for name in (group.vpc_zone_identifier or "").split(",") if name]
    if not subnets:
        return [(None, group.availability_zones[0])]
    count = {subnet.id: 0 for subnet in subnets}
    for member in active(group):
        if member.instance.subnet_id in count:
            count[member.instance.subnet_id] += 1
    if (group.availability_zone_impairment_policy or {}).get("ZonalShiftEnabled"):
        subnets = [one for one in subnets if not shift.shifted(one.availability_zone)]
    return [(one, one.availability_zone) for one in sorted(subnets, key=lambda one: count[one.id])]


def fail(group, at, cause, message, zone=None, subnet=None):
    text = f"Launching a new EC2 instance.  Status Reason: {message}"
    failed = Activity(group, at, text, cause, "Failed", message, zone, subnet and subnet.id)
    failed.end(at, "Failed")
    group.activities.append(failed)


def launch(group, at, missing, where=None, cause=None):
    """Starts one instance, or fails to; what fails in one zone is tried in the next, unless the group wants balance only."""
    have = group.desired_capacity - missing
    cause = cause or (
        f"At {moment(at)} an instance was started in response to a difference between desired"
        f" and actual capacity, increasing the capacity from {have} to {group.desired_capacity}."
    )
    message = launch_error(group)
    if message is not None:
        fail(group, at, cause, message)
        return False
    strict = (group.availability_zone_distribution or {}).get("CapacityDistributionStrategy") == "balanced-only"
    for subnet, zone in where or places(group):
        message, only_here = forced_failure(group, zone)
        if message is None:
            message = start(group, at, subnet, zone, cause)
            if message is None:
                return True
        fail(group, at, cause, message, zone, subnet)
        if strict or not only_here:
            return False
    return False


def start(group, at, subnet, zone, cause):
    """One instance in a place; the words of a refusal."""
    try:
        template, version = template_version(group)
        tags = {**version.instance_tags, **group.get_propagated_tags(), ASG_NAME_TAG: group.name}
        data = version.data
        overrides = ((group.mixed_instances_policy or {}).get("LaunchTemplate") or {}).get("Overrides") or []
        if overrides and overrides[0].get("InstanceType"):
            data = {**data, "InstanceType": overrides[0]["InstanceType"]}
        instance = ec2.launch(group.ec2_backend, data, template, version.number, subnet.id if subnet else None, zone, tags)
    except StopIteration:
        return f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances."
    except ServiceException as failure:
        return f"{failure.message} Launching EC2 instance failed."
    instance.autoscaling_group = group
    member = Member(instance, group, template, version.number, at, group.new_instances_protected_from_scale_in)
    text = f"Launching a new EC2 instance: {instance.id}"
    member.activity = Activity(group, at, text, cause, "PreInService", zone=zone, subnet=instance.subnet_id)
    group.activities.append(member.activity)
    group.instance_states.append(member)
    return None


def victim(group):
    """Whom a scale-in takes: of the fullest zone, unprotected, the oldest."""
    members = [one for one in active(group) if not one.protected_from_scale_in]
    if not members:
        return None
    zones = [one.availability_zone for one in active(group)]
    return min(members, key=lambda one: (-zones.count(one.availability_zone), one.launched_at))


# ---------------------------------------------------------------- one step of a group


def step(group, at):
    """Everything that is due at `at`; the answer is when to come again."""
    due = INFINITY
    for member in list(group.instance_states):
        if member.lifecycle_state == "Pending" and member.instance.state == "running":
            if at >= member.ready_at:
                arrive(member, at)
            else:
                due = min(due, member.ready_at)
        if member.lifecycle_state == "Pending:Wait":
            result, again, words = hooks.outcome(member, at)
            due = min(due, again)
            if result == "CONTINUE":
                enter_service(member, at)
            elif result == "ABANDON":
                begin_termination(member, at, "a lifecycle action that was abandoned", words)
        if member.lifecycle_state == "InService":
            due = min(due, power_off(member, at))
        if member.lifecycle_state.startswith("Terminating"):
            due = min(due, leave(member, at))
        elif member in active(group):
            due = min(due, check(member, at))
    if group.status:
        return min(due, end(group, at))
    # a machine that balances the zones is launched before another goes
    missing = (group.desired_capacity or 0) - sum(not one.extra for one in active(group))
    if missing > 0:
        return min(due, grow(group, at, missing))
    if missing < 0:
        return min(due, shrink(group, at, -missing))
    return min(due, balance(group, at))


def end(group, at):
    """A deleted group: all machines go, then the group."""
    due = INFINITY
    for member in list(group.instance_states):
        member.forced = True
        if not member.lifecycle_state.startswith("Terminating"):
            begin_termination(member, at, "the deletion of the group")
        due = min(due, leave(member, at))
    if group.instance_states:
        return due
    if at >= group.delete_at:
        remove_group(group)
        return INFINITY
    return group.delete_at


def grow(group, at, missing):
    if suspended(group, "Launch"):
        return INFINITY
    if at < group.retry_at:
        return group.retry_at
    failed = False
    while missing > 0:
        failed = not launch(group, at, missing) or failed
        missing -= 1
    due = min([one.ready_at for one in active(group) if one.lifecycle_state == "Pending"] + [INFINITY])
    if failed:
        group.retry_at = at + max(state.seconds("launch_delay_ms"), 0.05)
        due = min(due, group.retry_at)
    return due


def shrink(group, at, surplus):
    due = INFINITY
    if suspended(group, "Terminate"):
        return due
    for left in range(surplus, 0, -1):
        member = victim(group)
        if member is None:
            if group.said_protected != group.desired_capacity:
                group.said_protected = group.desired_capacity
                text = "Could not scale to desired capacity because all remaining instances are protected from scale-in."
                blocked = Activity(group, at, text, f"At {moment(at)} group reached equilibrium.", "Cancelled")
                blocked.end(at, "Cancelled")
                group.activities.append(blocked)
            break
        count = group.desired_capacity + left
        cause = f"a difference between desired and actual capacity, shrinking the capacity from {count} to {count - 1}"
        begin_termination(member, at, cause)
        due = min(due, leave(member, at))
    return due


def balance(group, at):
    """One machine more where the fewest are, when another place has two more; the one too many goes once it is in service."""
    if any(suspended(group, one) for one in ("AZRebalance", "Launch", "Terminate")) or not group.vpc_zone_identifier:
        return INFINITY
    if any(one.lifecycle_state != "InService" for one in group.instance_states) or at < group.retry_at:
        return INFINITY
    order = places(group)
    count = {zone: sum(one.availability_zone == zone for one in active(group)) for zone in {one.availability_zone for one in active(group)} | {zone for _, zone in order}}
    if not order or max(count.values(), default=0) - count[order[0][1]] < 2 or forced_failure(group, order[0][1], count=False)[0]:
        return INFINITY
    cause = f"At {moment(at)} an instance was launched to aid in balancing the group's zones."
    if not launch(group, at, 0, where=order[:1], cause=cause):
        group.retry_at = at + max(state.seconds("launch_delay_ms"), 0.05)
        return INFINITY
    group.instance_states[-1].extra = True
    return group.instance_states[-1].ready_at


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
