"""Lifecycle hooks: machines that wait on their way into service and out of it."""

from moto.core.responses import ActionResult, EmptyResult
from moto.moto_api._internal import mock_random

import state
from state import INFINITY

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
RESULTS = ("CONTINUE", "ABANDON")
MOST = 172_800  # seconds that a machine waits at all


class Hook:
    def __init__(self, group_name, params):
        self.name = self.lifecycle_hook_name = params["LifecycleHookName"]
        self.auto_scaling_group_name = group_name
        self.lifecycle_transition = params.get("LifecycleTransition")
        self.heartbeat_timeout = int(params.get("HeartbeatTimeout") or 3600)
        self.default_result = params.get("DefaultResult") or "ABANDON"
        self.role_arn = params.get("RoleARN")
        self.notification_target_arn = params.get("NotificationTargetARN")
        self.notification_metadata = params.get("NotificationMetadata")
        self.global_timeout = min(MOST, 100 * self.heartbeat_timeout)


class Wait:
    """One machine in one hook."""

    def __init__(self, hook, at):
        self.hook = hook
        self.name = hook.name
        self.token = str(mock_random.uuid4())
        self.since = at
        self.last = at + cap(hook.global_timeout)
        self.result = None
        self.why = "Lifecycle Action Completed with ABANDON Result"
        self.beat(at)

    def beat(self, at):
        self.until = min(at + cap(self.hook.heartbeat_timeout), self.last)


def cap(seconds):
    most = state.seconds("hook_cap_ms")
    return min(float(seconds), most) if most else float(seconds)


def hooks_of(group, transition):
    found = group.autoscaling_backend.lifecycle_hooks.values()
    return [one for one in found if one.auto_scaling_group_name == group.name and one.lifecycle_transition == transition]


def begin(member, transition, at):
    """Whether the machine has to wait."""
    member.waits = [Wait(hook, at) for hook in hooks_of(member.auto_scaling_group, transition)]
    return bool(member.waits)


def played(wait, group):
    """(result, after how many seconds) that a test lets machines answer."""
    from groups import chosen_group

    for rule in state.hook_rules:
        selector = {key: value for key, value in rule.selector.items() if key != "hook"}
        if chosen_group(group, selector) and rule.selector.get("hook", wait.name) == wait.name:
            return rule.value
    return None, INFINITY


def outcome(member, at):
    """(the result once it is known, when to look again, the words of an abandoned one)."""
    again = INFINITY
    for wait in member.waits:
        if wait.result is None:
            result, delay = played(wait, member.auto_scaling_group)
            if result and at >= wait.since + delay:
                wait.result = result
            elif at >= wait.until:
                wait.result, wait.why = wait.hook.default_result, "Heartbeat Timeout"
            else:
                again = min(again, wait.until, wait.since + delay)
        if wait.result == "ABANDON":
            text = "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token"
            return "ABANDON", INFINITY, f"{text} {wait.token} was abandoned: {wait.why}"
    return ("CONTINUE" if again == INFINITY else None), again, None


# ---------------------------------------------------------------- answers


def put(response, group):
    params = response._get_params()
    backend = response.autoscaling_backend
    key = f"{group.name}_{params['LifecycleHookName']}"
    old = backend.lifecycle_hooks.get(key)
    if old is None and not params.get("LifecycleTransition"):
        raise ValueError("LifecycleTransition is required for a new hook")
    if old is not None:
        params = {"LifecycleTransition": old.lifecycle_transition, "HeartbeatTimeout": old.heartbeat_timeout, "DefaultResult": old.default_result, **params}
    timeout, result = int(params.get("HeartbeatTimeout") or 3600), params.get("DefaultResult") or "ABANDON"
    if not 30 <= timeout <= 7200:
        raise ValueError("HeartbeatTimeout must be between 30 and 7200 seconds")
    if result not in RESULTS:
        raise ValueError("Valid lifecycle action results are: [CONTINUE, ABANDON]")
    if params["LifecycleTransition"] not in (LAUNCHING, TERMINATING):
        raise ValueError(f"Valid lifecycle transitions are: [{LAUNCHING}, {TERMINATING}]")
    backend.lifecycle_hooks[key] = Hook(group.name, params)


def waiting(response, group, refuse):
    """The waits that a call is about, by token or by machine."""
    name, token = response._get_param("LifecycleHookName"), response._get_param("LifecycleActionToken")
    instance = response._get_param("InstanceId")
    for member in group.instance_states:
        for wait in member.waits:
            here = token == wait.token if token else instance == member.instance_id
            if wait.name == name and here and wait.result is None:
                return wait
    raise refuse(f"No active Lifecycle Action found with instance ID {instance}" if instance else f"No active Lifecycle Action found with token {token}")


def complete(response, group, refuse):
    result = response._get_param("LifecycleActionResult")
    if result not in RESULTS:
        raise refuse("Valid lifecycle action results are: [CONTINUE, ABANDON]")
    waiting(response, group, refuse).result = result
    return EmptyResult()


def heartbeat(response, group, refuse):
    waiting(response, group, refuse).beat(state.now())
    return EmptyResult()


def types(response):
    return ActionResult({"LifecycleHookTypes": [LAUNCHING, TERMINATING]})
