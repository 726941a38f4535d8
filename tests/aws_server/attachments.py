"""The target groups of an Auto Scaling group: attached, being removed, gone."""

from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

import health
import state
from answers import error, find, named
from members import suspended, target_groups


def check_target_groups(backend, arns):
    if any(arn not in backend.elbv2_backend.target_groups for arn in arns):
        raise error("Provided Target Groups may not be valid. Please ensure they exist and try again.")


def attach(response, arns):
    group = named(response)
    check_target_groups(response.autoscaling_backend, arns)
    if len(arns) > 10:
        raise error("You can attach at most 10 traffic sources in one call")
    group.append_target_groups([arn for arn in arns if arn not in group.target_group_arns])
    for target_group in target_groups(group):
        group.removing.pop(target_group.arn, None)
        if target_group.arn in arns and not suspended(group, "AddToLoadBalancer"):
            members = [{"Id": one.instance_id} for one in group.instance_states if one.lifecycle_state == "InService"]
            health.register(target_group, members)
    return EmptyResult()


def detach(response, arns):
    group = named(response)
    unknown = [arn for arn in arns if arn not in group.target_group_arns]
    if unknown:
        raise error(f"Trying to detach TrafficSource(s) that are not part of the group: {', '.join(unknown)}")
    for target_group in target_groups(group):
        if target_group.arn in arns:
            # whoever has left already drains until its time
            ids = [{"Id": one.instance_id} for one in group.instance_states if one.instance_id in target_group.targets]
            group.removing[target_group.arn] = health.deregister(target_group, ids)
    group.target_group_arns = [arn for arn in group.target_group_arns if arn not in arns]
    return EmptyResult()


def shown(response):
    """(ARN, state) of all target groups: `Added` until a machine is healthy, as long as checks by ELB wait for that."""
    group = find(response.autoscaling_backend, response._get_param("AutoScalingGroupName"), change=False)
    now = state.now()
    found = [(arn, "InService") for arn in group.target_group_arns]
    return found + [(arn, "Removing") for arn, until in group.removing.items() if until > now]


def attach_load_balancer_target_groups(self):
    return attach(self, self._get_param("TargetGroupARNs", []))


def detach_load_balancer_target_groups(self):
    return detach(self, self._get_param("TargetGroupARNs", []))


def describe_load_balancer_target_groups(self):
    found = [{"LoadBalancerTargetGroupARN": arn, "State": how} for arn, how in shown(self)]
    return ActionResult({"LoadBalancerTargetGroups": found})


def sources(response):
    return [one["Identifier"] for one in response._get_param("TrafficSources", [])]


def attach_traffic_sources(self):
    return attach(self, sources(self))


def detach_traffic_sources(self):
    return detach(self, sources(self))


def describe_traffic_sources(self):
    found = [{"TrafficSource": arn, "Identifier": arn, "Type": "elbv2", "State": how} for arn, how in shown(self)]
    return ActionResult({"TrafficSources": found})


def install():
    for name in (
        "attach_load_balancer_target_groups detach_load_balancer_target_groups describe_load_balancer_target_groups"
        " attach_traffic_sources detach_traffic_sources describe_traffic_sources"
    ).split():
        setattr(AutoScalingResponse, name, globals()[name])
