"""The control endpoint of the tests, under /_test/: JSON over HTTP, never seen by an AWS client."""

import itertools
import json
import sys
import traceback
from collections import Counter

from moto.core.base_backend import BackendDict
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.elbv2.models import elbv2_backends

import crash
import groups
import health
import hooks
import permissions
import rules
import shapes
import shift
import state
import wire
from ec2 import plain_instance

ACCOUNT = "123456789012"


serve_copy = None  # how a copy of the server serves; the server says


class Refused(Exception):
    pass


def handle(method, path, body):
    """(HTTP status, what to answer as JSON)."""
    route = ROUTES.get((method, path.strip("/")))
    if route is None:
        return 404, {"error": f"no {method} /_test/{path}", "routes": [f"{m} /_test/{p}" for m, p in ROUTES]}
    try:
        data = json.loads(body) if body.strip() else None
        with state.LOCK:
            groups.advance(state.now())
            answer = route(data)
            if method == "POST":
                groups.touch_all()
            return 200, answer
    except Refused as refused:
        return 400, {"error": str(refused)}
    except Exception as failure:
        traceback.print_exc(file=sys.stderr)
        return 400, {"error": f"{type(failure).__name__}: {failure}"}


def change_settings(data):
    for name, value in (data or {}).items():
        if name not in state.DEFAULTS:
            raise Refused(f"no setting '{name}'; there are {sorted(state.DEFAULTS)}")
        if isinstance(value, bool) or not isinstance(value, type(state.DEFAULTS[name])):
            raise Refused(f"'{name}' must be of type {type(state.DEFAULTS[name]).__name__}")
    state.settings.update(data or {})
    return state.settings


def selector_of(data, names):
    unknown = set(data) - set(names) - {"state", "reason", "description", "fail", "count", "seconds", "result", "after_ms", "off_after_ms"}
    if unknown:
        raise Refused(f"unknown: {sorted(unknown)}; a selector is one of {sorted(names)}")
    return {name: data[name] for name in names if data.get(name) is not None}


def wanted_condition(data, default=None):
    """(state, reason, description) of `state`, or of `reason` and the words that AWS has for it."""
    wanted, reason = data.get("state"), data.get("reason")
    if wanted is not None and wanted not in health.FORCED:
        raise Refused(f"'state' must be null or one of {sorted(health.FORCED)}")
    if reason is not None and reason not in health.REASONS:
        raise Refused(f"'reason' must be one of {sorted(health.REASONS)}")
    found = health.condition(reason, wanted) if reason else health.FORCED.get(wanted, default)
    if found and data.get("description"):
        found = (*found[:2], data["description"])
    return found


def change_health(data):
    selector = selector_of(data, ("target_group", "prefix", "version", "user_data", "had_weight", "instance"))
    state.put_rule(state.health_rules, selector, wanted_condition(data), data.get("count"))
    return show_health(None)


def change_boots(data):
    """How long applications take to answer after their machine is in service, and what checks say until then."""
    selector = selector_of(data, ("group", "version", "user_data", "instance", "template"))
    seconds = data.get("seconds")
    value = None
    if seconds is not None:
        sick = wanted_condition(data, health.FORCED["unhealthy"])
        value = (state.INFINITY if seconds == "never" else float(seconds), sick)
    state.put_rule(state.boot_rules, selector, value, data.get("count"))
    return [rule.describe() for rule in state.boot_rules]


def change_power(data):
    """How long after InService machines power themselves off."""
    selector = selector_of(data, ("group", "version", "user_data", "instance", "template"))
    after = data.get("off_after_ms")
    state.put_rule(state.power_rules, selector, None if after is None else after / 1000.0, data.get("count"))
    return [rule.describe() for rule in state.power_rules]


def change_hooks(data):
    """What machines answer to their lifecycle hooks, and after how long."""
    result = data.get("result")
    if result not in (None, *hooks.RESULTS):
        raise Refused(f"'result' must be null or one of {hooks.RESULTS}")
    selector = selector_of(data, ("group", "version", "user_data", "template", "hook"))
    value = None if result is None else (result, data.get("after_ms", 0) / 1000.0)
    state.put_rule(state.hook_rules, selector, value)
    return [rule.describe() for rule in state.hook_rules]


def change_shifts(data):
    try:
        return shift.change(data)
    except ValueError as wrong:
        raise Refused(str(wrong)) from None


def show_health(_):
    return [rule.describe() for rule in state.health_rules]


def change_launches(data):
    selector = selector_of(data, ("version", "group", "user_data", "zone", "template"))
    state.put_rule(state.launch_rules, selector, data.get("fail"), data.get("count"))
    return show_launches(None)


def show_launches(_):
    return [rule.describe() for rule in state.launch_rules]


def change_faults(data):
    try:
        wire.set_faults(data if isinstance(data, list) else [data])
    except ValueError as wrong:
        raise Refused(str(wrong)) from None
    return show_faults(None)


def show_faults(_):
    return [fault.describe() for fault in wire.faults]


def release_faults(_):
    wire.release()
    return show_faults(None)


def place(data):
    """A wrong place is refused as a wrong fault is."""
    try:
        crash.arm(data.get("n"), data.get("kind"))
    except ValueError as wrong:
        raise Refused(str(wrong)) from None
    return show_place(None)


def aim(data):
    try:
        crash.aim(int(data["pid"]))
    except ValueError as wrong:
        raise Refused(str(wrong)) from None
    return show_place(None)


def show_place(_):
    return crash.point.describe() if crash.point else {"n": None, "kind": None, "calls": 0, "reached": False}


def clear_place(_):
    was = show_place(None)
    crash.clear()
    return was


def fork(_):
    if serve_copy is None:
        raise Refused("this server can't be copied")
    return crash.fork(serve_copy)


def change_iam(data):
    policy = (data or {}).get("policy")
    if policy is None:
        permissions.stop()
        return {}
    return permissions.enforce((data or {}).get("account", ACCOUNT), policy)


def show_calls(_):
    return [dict(call) for call in wire.calls]


def clear_calls(_):
    wire.calls.clear()
    return []


def count_calls(_):
    return Counter(call["operation"] for call in wire.calls)


def clear_wrong(_):
    """The wrong requests so far, which are forgotten."""
    known = list(shapes.wrong)
    shapes.wrong.clear()
    return known


def reset(data):
    BackendDict.reset()
    state.reset(keep_settings=bool((data or {}).get("keep_settings")))
    wire.reset()
    permissions.stop()
    return {"reset": True}


# ---------------------------------------------------------------- a ready network


def foreign_group(elb, name, protocol, vpc, machines):
    """A target group that somebody else made, with machines in it."""
    group = elb.create_target_group(name, protocol=protocol, port=80, vpc_id=vpc.id, target_type="instance")
    group.register([{"Id": one.id} for one in machines])
    return group


def build_world(data):
    data = data or {}
    unknown = set(data) - {"region", "account", "name", "nlb", "listeners", "foreign"}
    if unknown:
        raise Refused(f"unknown: {sorted(unknown)}")
    region, account = data.get("region", "us-east-1"), data.get("account", ACCOUNT)
    name = data.get("name", "world")
    ec2 = ec2_backends[account][region]
    elb = elbv2_backends[account][region]
    if any(one.name == name for one in elb.load_balancers.values()):
        raise Refused(f"there is a load balancer '{name}' already")
    number = sum(1 for one in elb.load_balancers.values() if one.type == "application")
    vpc = ec2.create_vpc(f"10.{number}.0.0/16")
    zones = [region + letter for letter in "ab"]
    subnets = [ec2.create_subnet(vpc.id, f"10.{number}.{place * 64}.0/18", availability_zone=zone) for place, zone in enumerate(zones)]
    group = ec2.create_security_group(f"{name}-instances", "instances of the tests", vpc_id=vpc.id)
    ids = [subnet.id for subnet in subnets]
    balancer = elb.create_load_balancer(name, [group.id], ids, tags=[])
    missing = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no such service"}}
    machines = [plain_instance(ec2, *place) for _, place in zip(range(data.get("foreign") or 0), itertools.cycle(zip(ids, zones)))]
    listeners, foreign = {}, None
    if machines:
        foreign = foreign_group(elb, f"{name}-foreign", "HTTP", vpc, machines)
    for one in [{"port": 80}] + list(data.get("listeners") or []):
        one = {"port": one} if isinstance(one, int) else one
        action = one.get("action") or json.loads(json.dumps(missing))
        if one.get("foreign"):
            action = {"Type": "forward", "TargetGroupArn": foreign.arn}
        protocol = one.get("protocol", "HTTP")
        certificate = f"arn:aws:iam::{account}:server-certificate/{name}" if protocol == "HTTPS" else None
        listener = elb.create_listener(balancer.arn, protocol, int(one["port"]), "ELBSecurityPolicy-2016-08", certificate, [action])
        listeners[str(one["port"])] = listener.arn
    answer = {
        "account": account,
        "region": region,
        "name": name,
        "vpc_id": vpc.id,
        "subnet_ids": ids,
        "availability_zones": zones,
        "security_group_id": group.id,
        "image_id": "ami-0123456789abcdef0",
        "load_balancer_name": balancer.name,
        "load_balancer_arn": balancer.arn,
        "load_balancer_dns": balancer.dns_name,
        "listener_arn": listeners["80"],
        "listeners": listeners,
    }
    if foreign:
        answer["foreign_target_group_arn"] = foreign.arn
    if data.get("nlb"):
        network = elb.create_load_balancer(f"{name}-nlb", [], ids, loadbalancer_type="network", tags=[])
        foreign = foreign_group(elb, f"{name}-nlb-foreign", "TCP", vpc, machines)
        listener = elb.create_listener(network.arn, "TCP", 80, None, None, [{"Type": "forward", "TargetGroupArn": foreign.arn}])
        answer.update(
            nlb_name=network.name,
            nlb_arn=network.arn,
            nlb_dns=network.dns_name,
            nlb_listener_arn=listener.arn,
            nlb_foreign_target_group_arn=foreign.arn,
        )
    if answer["image_id"] not in ec2.amis:
        image = Ami(ec2, answer["image_id"], name="base", architecture="x86_64", root_device_name="/dev/xvda")
        ec2.amis[image.id] = image
    balancer.activate()
    return answer


# ---------------------------------------------------------------- the whole world


def created(backend_dict):
    for account, regions in list(dict.items(backend_dict)):
        for region, backend in list(dict.items(regions)):
            yield account, region, backend


def show_actions(actions):
    shown = []
    for action in actions:
        config = (action.data.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig")
        weights = [{"target_group": arn.split("/")[1], "arn": arn, "weight": weight} for arn, weight in health.forwarded([action])]
        shown.append({"type": action.type, "weights": weights, "stickiness": config, "order": action.data.get("Order")})
    return shown


def show_state(_):
    now = state.now()
    answer = {"groups": [], "target_groups": [], "rules": [], "listeners": [], "launch_templates": []}
    for account, region, backend in created(groups.autoscaling_backends):
        for group in backend.autoscaling_groups.values():
            tags = {tag["Key"]: tag["Value"] for tag in group.tags}
            failed = [one for one in group.activities if one.status_code == "Failed"]
            answer["groups"].append(
                {
                    "name": group.name,
                    "account": account,
                    "region": region,
                    "status": group.status,
                    "min": group.min_size,
                    "max": group.max_size,
                    "desired": group.desired_capacity,
                    "version": tags.get(state.settings["version_tag"]),
                    "tags": tags,
                    "launch_template": group.launch_template,
                    "target_group_arns": list(group.target_group_arns),
                    "suspended": sorted(group._suspended_processes),
                    "policies": [policy.policy_name for key, policy in backend.policies.items() if key[0] == group.name],
                    "instances": [
                        {
                            "id": one.instance_id,
                            "lifecycle": one.lifecycle_state,
                            "health": one.health_status,
                            "zone": one.availability_zone,
                            "subnet": one.instance.subnet_id,
                            "template_version": one.launch_template["Version"],
                            "protected": one.protected_from_scale_in,
                        }
                        for one in group.instance_states
                    ],
                    "failed_launches": len(failed),
                    "last_failure": failed[-1].status_message if failed else None,
                }
            )
    for account, region, backend in created(elbv2_backends):
        tags_of = backend.tagging_service.get_tag_dict_for_resource
        for group in backend.target_groups.values():
            shown = backend.describe_target_health(group.arn, [])
            answer["target_groups"].append(
                {
                    "name": group.name,
                    "account": account,
                    "region": region,
                    "arn": group.arn,
                    "load_balancer_arns": list(group.load_balancer_arns),
                    "tags": tags_of(group.arn),
                    "attributes": {key: str(value) for key, value in group.attributes.items()},
                    "targets": [{"id": one.instance_id, "state": one.status, "reason": one.reason} for one in shown],
                }
            )
        for balancer in backend.load_balancers.values():
            for listener in balancer.listeners.values():
                common = {"load_balancer": balancer.name, "account": account, "region": region, "listener_arn": listener.arn}
                answer["listeners"].append({**common, "port": listener.port, "protocol": listener.protocol, "actions": show_actions(listener.default_actions)})
                for rule in sorted(listener._non_default_rules.values(), key=rules.rule_key):
                    answer["rules"].append(
                        {
                            **common,
                            "arn": rule.arn,
                            "priority": int(rule.priority),
                            "conditions": rule.conditions,
                            "transforms": list(rule.transforms),
                            "actions": show_actions(rule.actions),
                            "tags": tags_of(rule.arn),
                        }
                    )
    for account, region, backend in created(ec2_backends):
        for template in backend.launch_templates.values():
            version = template.latest_version()
            answer["launch_templates"].append(
                {
                    "name": template.name,
                    "account": account,
                    "region": region,
                    "id": template.id,
                    "versions": len(template.versions),
                    "tags": {tag["key"]: tag["value"] for tag in template.tags},
                    "image_id": version.image_id,
                    "instance_type": version.instance_type,
                    "user_data": state.decoded(version.user_data),
                }
            )
    answer["at"] = now
    return answer


ROUTES = {
    ("GET", "settings"): lambda _: state.settings,
    ("POST", "settings"): change_settings,
    ("GET", "health"): show_health,
    ("POST", "health"): change_health,
    ("POST", "boots"): change_boots,
    ("POST", "power"): change_power,
    ("POST", "hooks"): change_hooks,
    ("GET", "shifts"): lambda _: shift.shown(),
    ("POST", "shifts"): change_shifts,
    ("GET", "launches"): show_launches,
    ("POST", "launches"): change_launches,
    ("GET", "faults"): show_faults,
    ("POST", "faults"): change_faults,
    ("POST", "faults/release"): release_faults,
    ("GET", "calls"): show_calls,
    ("POST", "calls/clear"): clear_calls,
    ("GET", "calls/counts"): count_calls,
    ("GET", "wrong"): lambda _: list(shapes.wrong),
    ("POST", "wrong/clear"): clear_wrong,
    ("POST", "world"): build_world,
    ("GET", "state"): show_state,
    ("GET", "dump"): lambda _: crash.dump(show_state(None)),
    ("GET", "crash"): show_place,
    ("POST", "crash"): place,
    ("POST", "crash/pid"): aim,
    ("POST", "crash/clear"): clear_place,
    ("POST", "fork"): fork,
    ("GET", "iam"): lambda _: permissions.shown(),
    ("POST", "iam"): change_iam,
    ("POST", "exit"): lambda _: crash.end(),
    ("POST", "reset"): reset,
}
