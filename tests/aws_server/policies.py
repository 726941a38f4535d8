"""Scaling policies: each belongs to its group."""

from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.moto_api._internal import mock_random

from answers import error, named, paged


class Policy:
    def __init__(self, group, params):
        self.auto_scaling_group_name = group.name
        self.policy_name = params["PolicyName"]
        self.enabled = True
        self.alarms = []
        self.step_adjustments = []
        self.change(group, params)

    def change(self, group, params):
        self.policy_type = params.get("PolicyType") or "SimpleScaling"
        prefix = group.arn.split(":autoScalingGroup:")[0]
        if not hasattr(self, "policy_arn"):
            self.policy_arn = (
                f"{prefix}:scalingPolicy:{mock_random.uuid4()}:autoScalingGroupName/{group.name}:policyName/{self.policy_name}"
            )
        self.adjustment_type = params.get("AdjustmentType")
        self.min_adjustment_magnitude = params.get("MinAdjustmentMagnitude")
        self.scaling_adjustment = params.get("ScalingAdjustment")
        self.cooldown = params.get("Cooldown")
        self.step_adjustments = params.get("StepAdjustments") or []
        self.metric_aggregation_type = params.get("MetricAggregationType")
        self.estimated_instance_warmup = params.get("EstimatedInstanceWarmup")
        self.enabled = params.get("Enabled", True)
        self.target_tracking_configuration = None
        config = params.get("TargetTrackingConfiguration")
        if self.policy_type == "TargetTrackingScaling":
            self.target_tracking_configuration = {"DisableScaleIn": False, **config}


def put_scaling_policy(self):
    params, group = self._get_params(), named(self)
    if params.get("PolicyType") == "TargetTrackingScaling":
        config = params.get("TargetTrackingConfiguration")
        if not config:
            raise error("TargetTrackingConfiguration must be specified for policy type TargetTrackingScaling")
        metric = config.get("PredefinedMetricSpecification") or {}
        kind = metric.get("PredefinedMetricType")
        kinds = ("ASGAverageCPUUtilization", "ASGAverageNetworkIn", "ASGAverageNetworkOut", "ALBRequestCountPerTarget")
        if bool(metric) == bool(config.get("CustomizedMetricSpecification")) or (metric and kind not in kinds):
            raise error("Exactly one valid metric specification must be given")
        if kind == "ALBRequestCountPerTarget":
            parts = (metric.get("ResourceLabel") or "").split("/")
            if len(parts) != 6 or parts[0] != "app" or parts[3] != "targetgroup":
                raise error("ResourceLabel must be app/<name>/<id>/targetgroup/<name>/<id> for ALBRequestCountPerTarget")
            arns = [arn for arn in group.target_group_arns if arn.endswith("/".join(parts[3:]))]
            if not arns:
                raise error("The target group of the ResourceLabel is not attached to the Auto Scaling group")
    policies = self.autoscaling_backend.policies
    key = (group.name, params["PolicyName"])
    if key in policies:
        policies[key].change(group, params)
    else:
        policies[key] = Policy(group, params)
    return ActionResult({"PolicyARN": policies[key].policy_arn, "Alarms": []})


def describe_policies(self):
    name, names = self._get_param("AutoScalingGroupName"), self._get_param("PolicyNames", [])
    types = self._get_param("PolicyTypes", [])
    found = [
        policy
        for policy in self.autoscaling_backend.policies.values()
        if (not name or policy.auto_scaling_group_name == name)
        and (not names or policy.policy_name in names or policy.policy_arn in names)
        and (not types or policy.policy_type in types)
    ]
    size = min(self._get_int_param("MaxRecords", 50), 100)
    return paged(self, found, lambda policy: f"{policy.auto_scaling_group_name}:{policy.policy_name}", size, "ScalingPolicies")


def delete_policy(self):
    name, group = self._get_param("PolicyName"), self._get_param("AutoScalingGroupName")
    policies = self.autoscaling_backend.policies
    for key, policy in list(policies.items()):
        if policy.policy_arn == name or (policy.policy_name == name and policy.auto_scaling_group_name == group):
            del policies[key]
            return EmptyResult()
    raise error(f"Policy name not found - PolicyName '{name}' not found")


def install():
    for name in ("put_scaling_policy", "describe_policies", "delete_policy"):
        setattr(AutoScalingResponse, name, globals()[name])
