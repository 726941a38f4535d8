"""Load balancers: rules and listeners, quotas, names, true pages."""

from moto.core.responses import ActionResult
from moto.elbv2.exceptions import (
    DuplicateListenerError,
    DuplicateLoadBalancerName,
    DuplicateTargetGroupName,
    LoadBalancerNotFoundError,
    TargetGroupNotFoundError,
    TooManyTagsError,
)
from moto.elbv2.models import ELBv2Backend, FakeAction
from moto.elbv2.responses import ELBV2Response

import actions as actions_of
import attributes
import health
import rules
import state
from actions import check_actions, error
from attributes import NETWORK
from health import forwarded, recompute_use
from rules import find_listener, find_rule, rule_key

# ---------------------------------------------------------------- listeners and load balancers

original_create_listener = ELBv2Backend.create_listener
original_modify_listener = ELBv2Backend.modify_listener
original_delete_listener = ELBv2Backend.delete_listener
original_create_balancer = ELBv2Backend.create_load_balancer
original_delete_balancer = ELBv2Backend.delete_load_balancer


def create_listener(self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, alpn_policy=None, tags=None):
    balancer = self.load_balancers.get(load_balancer_arn)
    if balancer is None:
        raise LoadBalancerNotFoundError()
    for other in balancer.listeners.values():
        if int(other.port) == int(port):
            same = other.protocol == protocol and list(forwarded(other.default_actions)) == list(forwarded(actions))
            if same:
                return other
            raise DuplicateListenerError()
    check_actions(self, actions, balancer, protocol)
    listener = original_create_listener(self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, alpn_policy, tags or [])
    recompute_use(self, state.now())
    return listener


def modify_listener(self, arn, port=None, protocol=None, ssl_policy=None, certificates=None, actions=None):
    balancer, listener = find_listener(self, arn)
    if actions:
        check_actions(self, actions, balancer, protocol or listener.protocol, listener.default_actions)
    listener = original_modify_listener(self, arn, port, protocol, ssl_policy, certificates or [], actions or [])
    recompute_use(self, state.now())
    return listener


def delete_listener(self, listener_arn):
    listener = original_delete_listener(self, listener_arn)
    recompute_use(self, state.now())
    return listener


def describe_listeners(self, load_balancer_arn, listener_arns):
    if load_balancer_arn:
        if load_balancer_arn not in self.load_balancers:
            raise LoadBalancerNotFoundError()
        return list(self.load_balancers[load_balancer_arn].listeners.values())
    return [find_listener(self, arn)[1] for arn in listener_arns]


def create_load_balancer(self, name, security_groups, subnet_ids, subnet_mappings=None, scheme="internet-facing", loadbalancer_type=None, ip_address_type="ipv4", tags=None):
    subnets = sorted(list(subnet_ids or []) + [one["SubnetId"] for one in subnet_mappings or []])
    wanted = (scheme or "internet-facing", loadbalancer_type or "application", subnets)
    for other in self.load_balancers.values():
        if other.name == name:
            if (other.scheme, other.type, sorted(subnet.id for subnet in other.subnets)) == wanted:
                return other
            raise DuplicateLoadBalancerName()
    balancer = original_create_balancer(self, name, security_groups, subnet_ids, subnet_mappings, scheme or "internet-facing", loadbalancer_type, ip_address_type, tags or [])
    if balancer.type == "network":
        del self.load_balancers[balancer.arn]
        old, balancer.arn = balancer.arn, balancer.arn.replace(":loadbalancer/app/", ":loadbalancer/net/")
        self.load_balancers[balancer.arn] = balancer
        self.tagging_service.copy_tags(old, balancer.arn)
        self.tagging_service.delete_all_tags_for_resource(old)
    return balancer


def delete_load_balancer(self, arn):
    original_delete_balancer(self, arn)
    recompute_use(self, state.now())


def describe_load_balancers(self, arns, names):
    for balancer in self.load_balancers.values():
        balancer.activate()
    if not arns and not names:
        return list(self.load_balancers.values())
    by_name = {balancer.name: balancer for balancer in self.load_balancers.values()}
    found = [self.load_balancers.get(arn) for arn in arns or []] + [by_name.get(name) for name in names or []]
    if None in found:
        raise LoadBalancerNotFoundError()
    return found


# ---------------------------------------------------------------- target groups and tags

original_create_group = ELBv2Backend.create_target_group
original_modify_group = ELBv2Backend.modify_target_group
original_delete_group = ELBv2Backend.delete_target_group


def check_health_check(protocol, check_protocol, path, matcher):
    """A check by TCP has neither path nor matcher, and what speaks HTTP isn't checked by TCP."""
    check_protocol = check_protocol or ("TCP" if protocol in NETWORK else protocol)
    if check_protocol == "TCP":
        if path:
            raise error("ValidationError", "Health check path cannot be specified for a health check of protocol TCP")
        if (matcher or {}).get("HttpCode"):
            raise error("ValidationError", "A matcher cannot be specified for a health check of protocol TCP")
        if protocol not in NETWORK:
            raise error("InvalidConfigurationRequest", f"Health check protocol 'TCP' is not supported for target groups with protocol '{protocol}'")
    elif check_protocol not in ("HTTP", "HTTPS"):
        raise error("InvalidConfigurationRequest", f"Health check protocol '{check_protocol}' is not supported")


def modify_target_group(self, arn, protocol=None, port=None, path=None, interval=None, timeout=None, healthy=None, unhealthy=None, codes=None, **more):
    group = self.target_groups.get(arn)
    if group is None:
        raise TargetGroupNotFoundError()
    check_health_check(group.protocol, protocol or group.health_check_protocol, path, {"HttpCode": codes})
    return original_modify_group(self, arn, protocol, port, path, interval, timeout, healthy, unhealthy, codes, **more)


def create_target_group(self, name, **kwargs):
    """The same name with the same settings is the same target group, as on AWS; tags aren't compared."""
    check_health_check(kwargs.get("protocol"), kwargs.get("healthcheck_protocol"), kwargs.get("healthcheck_path"), kwargs.get("matcher"))
    settings = {key: value for key, value in kwargs.items() if key != "tags"}
    for group in self.target_groups.values():
        if group.name == name:
            if group.created_with == settings:
                return group
            raise DuplicateTargetGroupName()
    group = original_create_group(self, name, **kwargs)
    group.created_with = settings
    return group


def delete_target_group(self, target_group_arn):
    group = original_delete_group(self, target_group_arn)
    self.tagging_service.delete_all_tags_for_resource(target_group_arn)
    return group


def check_resource(self, arn):
    """Raises the not-found error of the kind that the ARN names."""
    if ":targetgroup/" in arn:
        if arn not in self.target_groups:
            raise TargetGroupNotFoundError()
    elif ":listener-rule/" in arn:
        find_rule(self, arn)
    elif ":listener/" in arn:
        find_listener(self, arn)
    elif arn not in self.load_balancers:
        raise LoadBalancerNotFoundError()


def checked_arns(self, arns, most):
    if len(arns) > most:
        raise error("ValidationError", f"Member must have length less than or equal to {most}")
    for arn in arns:
        check_resource(self, arn)


def add_tags(self, resource_arns, tags):
    checked_arns(self, resource_arns, 20)
    for arn in resource_arns:
        names = set(self.tagging_service.get_tag_dict_for_resource(arn)) | {tag["Key"] for tag in tags}
        if len(names) > 50:
            raise TooManyTagsError()
    for arn in resource_arns:
        self.tagging_service.tag_resource(arn, tags)


def remove_tags(self, resource_arns, tag_keys):
    checked_arns(self, resource_arns, 20)
    for arn in resource_arns:
        self.tagging_service.untag_resource_using_names(arn, tag_keys)


def describe_tags(self, resource_arns):
    checked_arns(self, resource_arns, 20)
    return {arn: self.tagging_service.get_tag_dict_for_resource(arn) for arn in resource_arns}


# ---------------------------------------------------------------- pages


def paged(response, items, key, field):
    size = response._get_int_param("PageSize", 400)
    if not 1 <= size <= 400:
        raise error("ValidationError", f"Page size '{size}' must be between 1 and 400 inclusive")
    bad_token = error("ValidationError", "The marker is invalid")
    shown, marker = state.page(list(items), key, size, response._get_param("Marker"), bad_token)
    return ActionResult({field: shown, "NextMarker": marker})


def answer_rules(self):
    listener_arn, rule_arns = self._get_param("ListenerArn"), self._get_param("RuleArns")
    found = self.elbv2_backend.describe_rules(listener_arn, rule_arns)
    key = rule_key if listener_arn else (lambda rule: rule.arn)
    return paged(self, found, key, "Rules")


def answer_target_groups(self):
    arns, names = self._get_param("TargetGroupArns", []), self._get_param("Names", [])
    found = self.elbv2_backend.describe_target_groups(self._get_param("LoadBalancerArn"), arns, names)
    return paged(self, found, lambda group: group.name, "TargetGroups")


def answer_listeners(self):
    arn, arns = self._get_param("LoadBalancerArn"), self._get_param("ListenerArns", [])
    if not arn and not arns:
        raise error("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
    found = self.elbv2_backend.describe_listeners(arn, arns)
    return paged(self, found, lambda listener: listener.arn, "Listeners")


def answer_load_balancers(self):
    arns, names = self._get_param("LoadBalancerArns", []), self._get_param("Names", [])
    found = self.elbv2_backend.describe_load_balancers(arns, names)
    return paged(self, found, lambda balancer: balancer.name, "LoadBalancers")


def answer_account_limits(self):
    limits = {
        "application-load-balancers": 50,
        "target-groups": 3000,
        "target-groups-per-application-load-balancer": state.settings["max_target_groups_per_load_balancer"],
        "target-groups-per-action-on-application-load-balancer": 5,
        "target-groups-per-action-on-network-load-balancer": 5,
        "targets-per-application-load-balancer": 1000,
        "targets-per-target-group": 1000,
        "listeners-per-application-load-balancer": 50,
        "rules-per-application-load-balancer": state.settings["max_rules_per_load_balancer"],
        "condition-values-per-alb-rule": 5,
        "network-load-balancers": 50,
        "targets-per-network-load-balancer": 3000,
        "listeners-per-network-load-balancer": 50,
    }
    return ActionResult({"Limits": [{"Name": name, "Max": str(most)} for name, most in limits.items()]})


def install():
    health.install()
    actions_of.install()
    rules.install()
    ELBv2Backend.modify_target_group_attributes = attributes.modify(ELBv2Backend.modify_target_group_attributes)
    for name in (
        "create_listener modify_listener"
        " delete_listener describe_listeners create_load_balancer delete_load_balancer describe_load_balancers"
        " create_target_group modify_target_group delete_target_group add_tags remove_tags describe_tags"
    ).split():
        setattr(ELBv2Backend, name, globals()[name])
    ELBV2Response.describe_rules = answer_rules
    ELBV2Response.describe_target_groups = answer_target_groups
    ELBV2Response.describe_listeners = answer_listeners
    ELBV2Response.describe_load_balancers = answer_load_balancers
    ELBV2Response.describe_account_limits = answer_account_limits
