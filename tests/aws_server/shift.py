"""Zonal shifts: a zone that gets no traffic for a while, though its targets are healthy."""

import state

ACTIVE = {
    "State": "zonal_shift_active",
    "Reason": "AdministrativeOverride.ZonalShiftActive",
    "Description": "The target is in an Availability Zone with an active zonal shift",
}
NONE = {
    "State": "no_override",
    "Reason": "AdministrativeOverride.NoOverride",
    "Description": "No override is currently active on target",
}


def change(data):
    """Begins a shift away from a zone, of one load balancer (ARN or name) or of all, or ends it."""
    data = data or {}
    unknown = set(data) - {"zone", "load_balancer", "end"}
    if unknown or not data.get("zone"):
        raise ValueError(f"a shift needs a zone, and takes no {sorted(unknown)}")
    wanted = (data["zone"], data.get("load_balancer"))
    state.shifts[:] = [one for one in state.shifts if one != wanted]
    if not data.get("end"):
        state.shifts.append(wanted)
    return shown()


def shown():
    return [{"zone": zone, "load_balancer": balancer} for zone, balancer in state.shifts]


def shifted(zone, balancer=None):
    """Whether traffic is led away from a zone: of this load balancer, or at all."""
    for one, which in state.shifts:
        if one == zone and (balancer is None or which in (None, balancer, balancer.split("/")[2])):
            return True
    return False


def override(target_group, instance):
    """What DescribeTargetHealth says of a target while any shift goes on."""
    if not state.shifts or instance is None or not target_group.load_balancer_arns:
        return None
    balancer = target_group.load_balancer_arns[0]
    return ACTIVE if shifted(instance.availability_zone, balancer) else NONE
