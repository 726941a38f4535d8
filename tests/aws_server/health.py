"""Which target groups are in use, and the health of their targets over time."""

from moto.elbv2 import models
from moto.elbv2.exceptions import ELBClientError, TargetGroupNotFoundError
from moto.elbv2.models import FakeAction, FakeHealthStatus, FakeTargetGroup

import shift
import state

REASONS = {
    # reason → (state, AWS's description)
    "Elb.RegistrationInProgress": ("initial", "Target registration is in progress"),
    "Elb.InitialHealthChecking": ("initial", "Initial health checks in progress"),
    "Target.ResponseCodeMismatch": ("unhealthy", "Health checks failed with these codes: [502]"),
    "Target.Timeout": ("unhealthy", "Request timed out"),
    "Target.FailedHealthChecks": ("unhealthy", "Health checks failed"),
    "Target.NotRegistered": ("unused", "Target is not registered to the target group"),
    "Target.NotInUse": ("unused", "Target group is not configured to receive traffic from the load balancer"),
    "Target.InvalidState": ("unused", "Target is in the stopped state"),
    "Target.IpUnusable": ("unused", "Target IP address is reserved for use by a load balancer"),
    "Target.DeregistrationInProgress": ("draining", "Target deregistration is in progress"),
    "Target.HealthCheckDisabled": ("unavailable", "Health checks are disabled for this target group"),
    "Elb.InternalError": ("unavailable", "An internal error occurred"),
}


def condition(reason, state=None, description=None):
    """(state, reason, description); what isn't given is AWS's own."""
    known, text = REASONS[reason]
    return state or known, reason, description or text


INITIAL_CHECKING = condition("Elb.InitialHealthChecking")
INITIAL_REGISTERING = condition("Elb.RegistrationInProgress")
DRAINING = condition("Target.DeregistrationInProgress")
NOT_IN_USE = condition("Target.NotInUse")
WRONG_ZONE = condition("Target.NotInUse", description="Target is in an Availability Zone that is not enabled for the load balancer")
NOT_REGISTERED = condition("Target.NotRegistered")
HEALTHY = ("healthy", None, None)
FORCED = {
    "healthy": HEALTHY,
    "unhealthy": condition("Target.FailedHealthChecks"),
    "initial": INITIAL_CHECKING,
    "unavailable": condition("Elb.InternalError"),
    "unused": NOT_IN_USE,
    "draining": DRAINING,
}

use_changed = []  # called with a backend and the ARNs of target groups that came into or out of use


# ---------------------------------------------------------------- who is in use


def forwarded(actions):
    """(target group ARN, weight) of every forward among the actions."""
    for action in actions:
        data = action.data if isinstance(action, FakeAction) else action
        if data.get("Type") != "forward":
            continue
        groups = (data.get("ForwardConfig") or {}).get("TargetGroups") or []
        if groups:
            for group in groups:
                yield group["TargetGroupArn"], int(group.get("Weight", 1))
        elif data.get("TargetGroupArn"):
            yield data["TargetGroupArn"], 1


def rules_of(listener):
    yield from listener._non_default_rules.values()
    yield from listener._default_rule.values()


def recompute_use(backend, at):
    """LoadBalancerArns of every target group from the rules and default actions as they stand."""
    used = {}
    for balancer in backend.load_balancers.values():
        for listener in balancer.listeners.values():
            for rule in rules_of(listener):
                for arn, weight in forwarded(rule.actions):
                    arns = used.setdefault(arn, [])
                    if weight > 0 and arn in backend.target_groups:
                        backend.target_groups[arn].had_weight = True
                    if balancer.arn not in arns:
                        arns.append(balancer.arn)
    changed = []
    for arn, group in backend.target_groups.items():
        arns = used.get(arn, [])
        group.load_balancer_arns = arns
        if bool(arns) != getattr(group, "used", False):
            group.used = bool(arns)
            changed.append(arn)
            for target in group.targets.values():
                target["healthy_at"] = at + state.seconds("health_delay_ms")
            if not arns:
                group.draining.clear()
    if changed:
        for listen in use_changed:
            listen(backend, changed)


# ---------------------------------------------------------------- targets and their health

original_group_init = FakeTargetGroup.__init__


def group_init(self, *args, **kwargs):
    original_group_init(self, *args, **kwargs)
    self.draining = {}
    self.used = False
    self.had_weight = False


def register(self, targets, at=None):
    at = state.now() if at is None else at
    for wanted in targets:
        instance = self.ec2_backend.get_instance_by_id(wanted["Id"])
        if instance and instance.state != "running":
            raise models.TargetNotRunning(instance_id=wanted["Id"])
        if self.target_type == "instance" and instance is None:
            raise ELBClientError("InvalidTarget", f"The following targets are not valid instances: '{wanted['Id']}'")
        self.draining.pop(wanted["Id"], None)
        if wanted["Id"] not in self.targets:
            self.targets[wanted["Id"]] = {
                "Id": wanted["Id"],
                "Port": wanted.get("Port") or self.port,
                "registered_at": at,
                "healthy_at": at + state.seconds("health_delay_ms"),
            }


def deregister(self, targets, at=None):
    """A target in use drains; one that no load balancer knows is gone at once. Unknown ones don't matter."""
    at = state.now() if at is None else at
    end = at
    delay = float(self.attributes.get("deregistration_delay.timeout_seconds", 300))
    for wanted in targets:
        target = self.targets.pop(wanted["Id"], None)
        if target and self.load_balancer_arns:
            target["until"] = at + min(delay, state.seconds("drain_cap_ms"))
            end = max(end, target["until"])
            self.draining[target["Id"]] = target
    return end


def deregister_terminated_instances(self, instance_ids):
    deregister(self, [{"Id": one} for one in instance_ids if one in self.targets])


def selected(group, selector):
    """Whether a forced health is about this target group."""
    if selector.get("had_weight") and not group.had_weight:
        return False
    if "target_group" in selector:
        wanted = selector["target_group"]
        if wanted.endswith("*"):
            return group.name.startswith(wanted[:-1])
        return wanted in (group.name, group.arn)
    if "prefix" in selector:
        return group.name.startswith(selector["prefix"])
    if "version" in selector:
        backend = models.elbv2_backends[group.account_id][group.region_name]
        tags = backend.tagging_service.get_tag_dict_for_resource(group.arn)
        return tags.get(state.settings["version_tag"]) == selector["version"]
    if "user_data" in selector:
        from groups import user_data_of_target_group

        return selector["user_data"] in user_data_of_target_group(group)
    return True


def forced_health(group, target_id):
    """The (state, reason, description) that a test forces on a target."""
    for rule in state.health_rules:
        if not selected(group, rule.selector):
            continue
        if rule.selector.get("instance", target_id) != target_id:
            continue
        if rule.count is None:
            return rule.value
        chosen = rule.chosen.setdefault(group.arn, [])
        for name in group.targets:
            if len(chosen) < rule.count and name not in chosen:
                chosen.append(name)
        if target_id in chosen:
            return rule.value
    return None


def boot_of(instance):
    """(when the application of a machine answers, what its checks say until then)."""
    member = getattr(instance, "member", None)
    if member is None or not state.boot_rules:
        return 0.0, None
    from groups import rule_of

    rule = rule_of(state.boot_rules, member)
    if rule is None:
        return 0.0, None
    seconds, sick = rule.value
    return (member.in_service_at or member.launched_at) + seconds, sick


def check_interval(group):
    """Seconds between two health checks: the target group's own, unless a test wants it otherwise."""
    return state.seconds("check_interval_ms") or float(group.health_check_interval_seconds or 30)


def course(group, target, instance):
    """[(from when, condition)] of a target in use that nothing is forced on: what its checks lead to.

    The first check that succeeds makes a new target healthy; until then it is `initial`, and after as many failed ones as
    the threshold says it is `unhealthy`, from which only the healthy threshold leads back.
    """
    began = target["healthy_at"] - state.seconds("health_delay_ms")
    answers, sick = boot_of(instance)
    initial = [(0.0, INITIAL_REGISTERING), (began + (target["healthy_at"] - began) / 2, INITIAL_CHECKING)]
    fails = began + int(group.unhealthy_threshold_count or 2) * check_interval(group)
    if answers < max(fails, target["healthy_at"]):
        return initial + [(max(answers, target["healthy_at"]), HEALTHY)]
    back = answers + (int(group.healthy_threshold_count or 5) - 1) * check_interval(group)
    return initial + [(fails, sick), (back, HEALTHY)]


def health_of_target(group, target, at):
    """(state, reason, description) of a registered target."""
    instance = group.ec2_backend.get_instance_by_id(target["Id"])
    if instance is not None and instance.state != "running":
        return condition("Target.InvalidState", description=f"Target is in the {instance.state} state")
    if not group.load_balancer_arns:
        return NOT_IN_USE
    backend = models.elbv2_backends[group.account_id][group.region_name]
    balancer = backend.load_balancers.get(group.load_balancer_arns[0])
    if instance is not None and balancer is not None:
        if instance.availability_zone not in {subnet.availability_zone for subnet in balancer.subnets}:
            return WRONG_ZONE
    forced = forced_health(group, target["Id"]) if state.health_rules else None
    if forced == HEALTHY:
        return HEALTHY
    if forced and at >= target["healthy_at"]:
        return forced
    return [found for since, found in course(group, target, instance) if at >= since][-1]


def next_change(group, target, at):
    """When the health of a target changes by itself, infinity for never."""
    instance = group.ec2_backend.get_instance_by_id(target["Id"])
    return min([since for since, _ in course(group, target, instance) if since > at] + [state.INFINITY])


def health_for(self, target, ec2_backend, at=None):
    at = state.now() if at is None else at
    name = target["Id"]
    if name in self.targets:
        known = self.targets[name]
        health = health_of_target(self, known, at)
    elif name in self.draining and self.draining[name]["until"] > at:
        known, health = self.draining[name], DRAINING
    else:
        known, health = {"Id": name, "Port": target.get("Port") or self.port}, NOT_REGISTERED
    port = self.health_check_port
    port = str(known["Port"]) if port == "traffic-port" else port
    shown = FakeHealthStatus(name, known["Port"], port, *health)
    instance = self.ec2_backend.get_instance_by_id(name)
    shown.administrative_override = shift.override(self, instance)
    return shown


def describe_target_health(self, target_group_arn, targets):
    group = self.target_groups.get(target_group_arn)
    if group is None:
        raise TargetGroupNotFoundError()
    at = state.now()
    for name in [name for name, target in group.draining.items() if target["until"] <= at]:
        del group.draining[name]
    if not targets:
        targets = list(group.targets.values()) + list(group.draining.values())
    return [group.health_for(target, self.ec2_backend, at) for target in targets]


def install():
    FakeTargetGroup.__init__ = group_init
    FakeTargetGroup.register = register
    FakeTargetGroup.deregister = deregister
    FakeTargetGroup.deregister_terminated_instances = deregister_terminated_instances
    FakeTargetGroup.health_for = health_for
    models.ELBv2Backend.describe_target_health = describe_target_health
