"""Target group attributes: which there are, of which protocol, in which range."""

from moto.elbv2.exceptions import TargetGroupNotFoundError

from actions import error
from health import forwarded, rules_of

HTTP = ("HTTP", "HTTPS")
NETWORK = ("TCP", "TLS", "UDP", "TCP_UDP")
SWITCH = ("true", "false")


def between(low, high, *more):
    def check(value):
        return value in more or (value.isdigit() and low <= int(value) <= high)

    return check


def one_of(*values):
    return lambda value: value in values


KNOWN = {
    # attribute → (protocols that have it, whether a value is one)
    "deregistration_delay.timeout_seconds": (HTTP + NETWORK, between(0, 3600)),
    "deregistration_delay.connection_termination.enabled": (NETWORK, one_of(*SWITCH)),
    "stickiness.enabled": (HTTP + NETWORK, one_of(*SWITCH)),
    "stickiness.type": (HTTP + NETWORK, lambda value: True),  # moto knows which fit
    "stickiness.lb_cookie.duration_seconds": (HTTP, between(1, 604_800)),
    "stickiness.app_cookie.cookie_name": (HTTP, lambda value: True),
    "stickiness.app_cookie.duration_seconds": (HTTP, between(1, 604_800)),
    "load_balancing.cross_zone.enabled": (HTTP + NETWORK, one_of(*SWITCH, "use_load_balancer_configuration")),
    "load_balancing.algorithm.type": (HTTP, one_of("round_robin", "least_outstanding_requests", "weighted_random")),
    "load_balancing.algorithm.anomaly_mitigation": (HTTP, one_of("on", "off")),
    "slow_start.duration_seconds": (HTTP, between(30, 900, "0")),
    "preserve_client_ip.enabled": (NETWORK, one_of(*SWITCH)),
    "proxy_protocol_v2.enabled": (NETWORK, one_of(*SWITCH)),
    "target_group_health.dns_failover.minimum_healthy_targets.count": (HTTP + NETWORK, between(1, 1000, "off")),
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": (HTTP + NETWORK, between(1, 100, "off")),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": (HTTP + NETWORK, between(1, 1000)),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": (HTTP + NETWORK, between(1, 100, "off")),
    "target_health_state.unhealthy.connection_termination.enabled": (NETWORK, one_of(*SWITCH)),
    "target_health_state.unhealthy.draining_interval_seconds": (NETWORK, between(0, 360_000)),
}


def check(group, attributes):
    for key, value in attributes.items():
        if key not in KNOWN:
            raise error("ValidationError", f"Target group attribute key '{key}' is not recognized")
        protocols, fits = KNOWN[key]
        if group.protocol not in protocols:
            raise error("InvalidConfigurationRequest", f"A target group with protocol '{group.protocol}' does not support the attribute {key}")
        if not fits(str(value)):
            raise error("ValidationError", f"Value '{value}' of attribute '{key}' is not valid")
    after = {**group.attributes, **attributes}
    algorithm = after.get("load_balancing.algorithm.type")
    if str(after.get("slow_start.duration_seconds", 0)) != "0" and algorithm in ("least_outstanding_requests", "weighted_random"):
        raise error("InvalidConfigurationRequest", f"Slow start mode cannot be enabled with the {algorithm} load balancing algorithm")
    if after.get("load_balancing.algorithm.anomaly_mitigation") == "on" and algorithm != "weighted_random":
        raise error("InvalidConfigurationRequest", "Anomaly mitigation requires the weighted_random load balancing algorithm")
    if str(after.get("stickiness.enabled")) == "true":
        if after.get("stickiness.type") == "app_cookie" and beside_others(group, lambda config: True):
            raise error("InvalidConfigurationRequest", "Application-based stickiness is not supported for target groups of a weighted forward")
        if str(after.get("load_balancing.cross_zone.enabled")) == "false":
            raise error("InvalidConfigurationRequest", "Stickiness is not supported while cross-zone load balancing is off for the target group")


def beside_others(group, matters):
    """Whether a forward names the target group with others, and its stickiness matters."""
    for balancer in group.backend.load_balancers.values():
        for listener in balancer.listeners.values():
            for rule in rules_of(listener):
                for action in rule.actions:
                    arns = [arn for arn, _ in forwarded([action])]
                    config = (action.data.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}
                    if group.arn in arns and len(arns) > 1 and matters(config):
                        return True
    return False


def modify(original):
    def modify_target_group_attributes(self, target_group_arn, attributes):
        group = self.target_groups.get(target_group_arn)
        if group is None:
            raise TargetGroupNotFoundError()
        group.backend = self
        check(group, attributes)
        if str(attributes.get("stickiness.enabled")) == "true" and beside_others(group, lambda config: not config.get("Enabled")):
            raise error("InvalidConfigurationRequest", "This target group appears behind a rule with group stickiness disabled")
        delay = attributes.get("deregistration_delay.timeout_seconds")
        if str(delay) == "3600":  # moto's range is one short
            group.attributes["deregistration_delay.timeout_seconds"] = delay
            attributes = {key: value for key, value in attributes.items() if value is not delay}
        original(self, target_group_arn, attributes)

    return modify_target_group_attributes
