"""Rules of listeners: made, changed as AWS changes them, moved and deleted."""

from moto.core.responses import ActionResult
from moto.elbv2.exceptions import ListenerNotFoundError, PriorityInUseError, RuleNotFoundError
from moto.elbv2.models import ELBv2Backend, FakeListenerRule
from moto.elbv2.responses import ELBV2Response
from moto.moto_api._internal import mock_random

import state
from actions import check_actions, error, made
from conditions import check_conditions, check_transforms, shown_conditions
from health import recompute_use, rules_of


def find_listener(backend, arn):
    for balancer in backend.load_balancers.values():
        if arn in balancer.listeners:
            return balancer, balancer.listeners[arn]
    raise ListenerNotFoundError()


def find_rule(backend, arn):
    for balancer in backend.load_balancers.values():
        for listener in balancer.listeners.values():
            if arn in listener._non_default_rules:
                return balancer, listener, listener._non_default_rules[arn]
            if listener._default_rule[0].arn == arn:
                return balancer, listener, listener._default_rule[0]
    raise RuleNotFoundError("One or more rules not found")


def rule_key(rule):
    return 1_000_000 if rule.is_default else int(rule.priority)


def check_priority(priority):
    if not 1 <= priority <= 50000:
        raise error("ValidationError", f"Priority '{priority}' must be between 1 and 50000 inclusive")


def create_rule(self, listener_arn, conditions, priority, actions, tags=None, transforms=()):
    balancer, listener = find_listener(self, listener_arn)
    priority = int(priority)
    check_priority(priority)
    check_conditions(conditions)
    check_transforms(transforms)
    if any(int(rule.priority) == priority for rule in listener._non_default_rules.values()):
        raise PriorityInUseError()
    check_actions(self, actions, balancer, listener.protocol)
    actions = made(self, actions)
    count = sum(len(one._non_default_rules) for one in balancer.listeners.values())
    if count >= state.settings["max_rules_per_load_balancer"]:
        raise error("TooManyRules", "You've reached the limit on the number of rules per load balancer")
    arn = listener_arn.replace(":listener/", ":listener-rule/") + f"/{mock_random.get_random_hex(16)}"
    rule = FakeListenerRule(listener.arn, arn, shown_conditions(conditions), priority, actions)
    rule.transforms = list(transforms)
    listener.register(arn, rule)
    self.tagging_service.tag_resource(arn, tags or [])
    recompute_use(self, state.now())
    return rule


def modify_rule(self, rule_arn, conditions=None, actions=None, transforms=None, reset_transforms=False):
    """A list that is given replaces the one that was; what isn't given stays."""
    if not conditions and not actions and not transforms and not reset_transforms:
        raise error("ValidationError", "Either conditions or actions must be specified")
    if transforms and reset_transforms:
        raise error("ValidationError", "You can't specify both Transforms and ResetTransforms")
    balancer, listener, rule = find_rule(self, rule_arn)
    if rule.is_default:
        raise error("OperationNotPermitted", f"Default rule '{rule_arn}' cannot be modified")
    if conditions:
        check_conditions(conditions)
    if transforms:
        check_transforms(transforms)
    if actions:
        check_actions(self, actions, balancer, listener.protocol, rule.actions)
        rule.actions = made(self, actions)
    if conditions:
        rule.conditions = shown_conditions(conditions)
    if transforms or reset_transforms:
        rule.transforms = list(transforms or [])
    recompute_use(self, state.now())
    return rule


def delete_rule(self, arn):
    _, listener, rule = find_rule(self, arn)
    if rule.is_default:
        raise error("OperationNotPermitted", f"Default rule '{arn}' cannot be deleted")
    listener.remove_rule(arn)
    self.tagging_service.delete_all_tags_for_resource(arn)
    recompute_use(self, state.now())


def describe_rules(self, listener_arn, rule_arns):
    if bool(listener_arn) == bool(rule_arns):
        raise error("ValidationError", "You must specify either listener rule ARNs or a listener ARN")
    if listener_arn:
        return list(rules_of(find_listener(self, listener_arn)[1]))
    return [find_rule(self, arn)[2] for arn in rule_arns]


def set_rule_priorities(self, rule_priorities):
    """All at once: rules may trade their places in one call."""
    wanted = {}
    for one in rule_priorities:
        _, listener, rule = find_rule(self, one["RuleArn"])
        if rule.is_default:
            raise error("OperationNotPermitted", f"The priority of default rule '{rule.arn}' cannot be changed")
        priority = int(one["Priority"])
        check_priority(priority)
        if priority in [known for known, _, _ in wanted.values()]:
            raise error("ValidationError", f"Priority '{priority}' must be specified only once")
        wanted[rule.arn] = (priority, listener, rule)
    for priority, listener, _ in wanted.values():
        if any(int(one.priority) == priority and one.arn not in wanted for one in listener._non_default_rules.values()):
            raise PriorityInUseError()
    for priority, _, rule in wanted.values():
        rule.priority = priority
    return [rule for _, _, rule in wanted.values()]


def answer_create(self):
    params = self._get_params()
    rule = self.elbv2_backend.create_rule(
        params["ListenerArn"], params.get("Conditions") or [], params["Priority"], params.get("Actions") or [], params.get("Tags"), params.get("Transforms") or []
    )
    return ActionResult({"Rules": [rule]})


def answer_modify(self):
    params = self._get_params()
    reset = str(params.get("ResetTransforms")).lower() == "true"
    rule = self.elbv2_backend.modify_rule(params["RuleArn"], params.get("Conditions"), params.get("Actions"), params.get("Transforms"), reset)
    return ActionResult({"Rules": [rule]})


def install():
    FakeListenerRule.transforms = ()
    for name in "create_rule modify_rule delete_rule describe_rules set_rule_priorities".split():
        setattr(ELBv2Backend, name, globals()[name])
    ELBV2Response.create_rule = answer_create
    ELBV2Response.modify_rule = answer_modify
