"""Which target groups are in use, and the health of their targets over time."""

from moto.elbv2 import models
from moto.elbv2.exceptions import ELBClientError, TargetGroupNotFoundError
from moto.elbv2.models import FakeAction, FakeHealthStatus, FakeTargetGroup

import state

INITIAL_CHECKING = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
INITIAL_REGISTERING = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
UNHEALTHY = ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
NOT_IN_USE = ("unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")
WRONG_ZONE = ("unused", "Target.NotInUse", "Target is in an Availability Zone that is not enabled for the load balancer")
NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
INVALID_STATE = ("unused", "Target.InvalidState", "Target is in the stopped state")
HEALTHY = ("healthy", None, None)
FORCED = {"healthy": HEALTHY, "unhealthy": UNHEALTHY, "initial": INITIAL_CHECKING, "unavailable": ("unavailable", "Elb.InternalError", "An internal error occurred")}

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
    for rule in state.health_rules:
        if not selected(group, rule.selector):
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


def health_of_target(group, target, at):
    """(state, reason, description) of a registered target."""
    instance = group.ec2_backend.get_instance_by_id(target["Id"])
    if instance is not None and instance.state != "running":
        return INVALID_STATE
    if not group.load_balancer_arns:
        return NOT_IN_USE
    backend = models.elbv2_backends[group.account_id][group.region_name]
    balancer = backend.load_balancers.get(group.load_balancer_arns[0])
    if instance is not None and balancer is not None:
        if instance.availability_zone not in {subnet.availability_zone for subnet in balancer.subnets}:
            return WRONG_ZONE
    forced = forced_health(group, target["Id"]) if state.health_rules else None
    if forced == "healthy":
        return HEALTHY
    if at < target["healthy_at"]:
        began = target["healthy_at"] - state.seconds("health_delay_ms")
        half = began + (target["healthy_at"] - began) / 2
        return INITIAL_REGISTERING if at < half else INITIAL_CHECKING
    return FORCED.get(forced, UNHEALTHY) if forced else HEALTHY


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
    return FakeHealthStatus(name, known["Port"], port, *health)


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
