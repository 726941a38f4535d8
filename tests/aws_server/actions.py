"""Actions of rules and listeners: what AWS refuses in them, and how it shows them."""

from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeAction

import state
from health import forwarded

LAST = ("forward", "redirect", "fixed-response")  # one of these ends a list of actions
FIRST = {
    # what comes before it, on HTTPS listeners → where its settings are
    "authenticate-oidc": "AuthenticateOidcConfig",
    "authenticate-cognito": "AuthenticateCognitoConfig",
    "jwt-validation": "JwtValidationConfig",
}
AUTHENTICATE_DEFAULTS = {
    "SessionCookieName": "AWSELBAuthSessionCookie",
    "Scope": "openid",
    "SessionTimeout": 604800,
    "OnUnauthenticatedRequest": "authenticate",
}
LONGEST_STICKINESS = 604_800  # seconds

original_action_init = FakeAction.__init__


def action_init(self, data):
    """A forward to one target group is shown in both of its forms, whichever was sent; no secret is ever shown."""
    if data.get("Type") == "forward":
        config = data.get("ForwardConfig") or {}
        if not config.get("TargetGroups") and data.get("TargetGroupArn"):
            config = {**config, "TargetGroups": [{"TargetGroupArn": data["TargetGroupArn"], "Weight": 1}]}
        data["ForwardConfig"] = config
        groups = config.get("TargetGroups") or []
        if len(groups) == 1 and "TargetGroupArn" not in data:
            data["TargetGroupArn"] = groups[0]["TargetGroupArn"]
    form = FIRST.get(data.get("Type"))
    if form and data["Type"] != "jwt-validation":
        config = {**AUTHENTICATE_DEFAULTS, **(data.get(form) or {})}
        self.secret = config.pop("ClientSecret", None)
        config.pop("UseExistingClientSecret", None)
        data[form] = config
    original_action_init(self, data)


def error(code, message):
    return ELBClientError(code, message)


def check_forward(backend, action, balancer):
    config = action.get("ForwardConfig") or {}
    groups = config.get("TargetGroups") or []
    alone = action.get("TargetGroupArn")
    if alone and groups and (len(groups) > 1 or groups[0]["TargetGroupArn"] != alone):
        raise error("InvalidLoadBalancerAction", "A target group ARN and a forward config that differ cannot be specified together")
    if not alone and not groups:
        raise error("InvalidLoadBalancerAction", "A forward action must specify at least one target group")
    if len(groups) > 5:
        raise error("TargetGroupAssociationLimit", "You have reached the limit of 5 target groups per action")
    arns = [group["TargetGroupArn"] for group in groups] or [alone]
    if len(set(arns)) != len(arns):
        raise error("ValidationError", "A target group can be specified only once in an action")
    for group in groups:
        weight = int(group.get("Weight", 1))
        if not 0 <= weight <= 999:
            raise error("ValidationError", f"Weight '{weight}' must be between 0 and 999 inclusive")
    sticky = config.get("TargetGroupStickinessConfig") or {}
    enabled = sticky.get("Enabled")
    if enabled and not 1 <= int(sticky.get("DurationSeconds") or 0) <= LONGEST_STICKINESS:
        raise error("ValidationError", f"Target group stickiness duration must be between 1 and {LONGEST_STICKINESS} seconds")
    for arn in arns:
        group = backend.target_groups.get(arn)
        if group is None:
            raise error("TargetGroupNotFound", f"Target group '{arn}' not found")
        if any(other != balancer.arn for other in group.load_balancer_arns):
            raise error("TargetGroupAssociationLimit", f"The following target groups cannot be associated with more than one load balancer: {arn}")
        http = group.protocol in ("HTTP", "HTTPS")
        if (balancer.type == "application") != http:
            raise error("IncompatibleProtocols", f"The protocol of target group '{arn}' is not compatible with the load balancer")
        if len(arns) > 1 and str(group.attributes.get("stickiness.enabled")) == "true" and not enabled:
            raise error("InvalidLoadBalancerAction", "You must enable group stickiness on a rule if you enabled target stickiness on one of its target groups")


def check_secret(action, replaced):
    """A client secret is never shown; who sends an action again says that the secret stays."""
    form = FIRST[action["Type"]]
    config = action.get(form) or {}
    if action["Type"] != "authenticate-oidc" or config.get("ClientSecret"):
        return
    for old in replaced:
        if old.type == action["Type"] and str(config.get("UseExistingClientSecret")).lower() == "true":
            same = all(old.data[form].get(name) == config.get(name) for name in ("Issuer", "ClientId"))
            if same and old.secret:
                config["ClientSecret"] = old.secret
                return
    raise error("InvalidLoadBalancerAction", "A client secret must be specified for an 'authenticate-oidc' action")


def check_order(actions, protocol):
    """One action ends the list; authentication and validation come before it, on HTTPS."""
    last = [action for action in actions if action.get("Type") in LAST]
    if len(last) != 1:
        raise error("InvalidLoadBalancerAction", "Actions must contain exactly one action of type 'forward', 'redirect', or 'fixed-response'")
    if len(actions) > 1:
        orders = [action.get("Order") for action in actions]
        if None in orders or len(set(map(int, orders))) != len(orders):
            raise error("InvalidLoadBalancerAction", "You must specify a distinct order for each action when there is more than one")
        if int(last[0]["Order"]) != max(map(int, orders)):
            raise error("InvalidLoadBalancerAction", f"The action of type '{last[0]['Type']}' must be the last one to be performed")
    for action in actions:
        kind = action.get("Type")
        if kind in FIRST:
            if not action.get(FIRST[kind]):
                raise error("InvalidLoadBalancerAction", f"'{FIRST[kind]}' must be specified for an action of type '{kind}'")
            if protocol != "HTTPS":
                raise error("InvalidLoadBalancerAction", f"Actions of type '{kind}' are supported only on HTTPS listeners")


def check_actions(backend, actions, balancer, protocol, replaced=()):
    """What AWS refuses in actions and moto takes. `replaced`: the actions that these take the place of."""
    check_order(actions, protocol)
    for action in actions:
        if action.get("Type") == "forward":
            check_forward(backend, action, balancer)
        elif action.get("Type") in FIRST:
            check_secret(action, replaced)
    before = {arn for arn, _ in forwarded(replaced)}
    names = {arn for arn, group in backend.target_groups.items() if balancer.arn in group.load_balancer_arns}
    added = {arn for arn, _ in forwarded(actions)} - names
    if added - before and len(names | added) > state.settings["max_target_groups_per_load_balancer"]:
        raise error("TooManyUniqueTargetGroupsPerLoadBalancer", "You've reached the limit on the number of unique target groups per load balancer")


def made(backend, actions):
    """The actions as they are kept."""
    known = [FakeAction(action) for action in actions]
    backend._validate_actions(known)
    return known


original_validate = ELBv2Backend._validate_actions


def validate(self, actions):
    original_validate(self, [one for one in actions if one.type != "jwt-validation"])


def install():
    FakeAction.__init__ = action_init
    ELBv2Backend._validate_actions = validate
    FakeAction.secret = None
