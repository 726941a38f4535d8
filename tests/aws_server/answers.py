"""What the answers of Auto Scaling share: errors, the group that a call names, pages."""

from moto.autoscaling.exceptions import AutoscalingClientError
from moto.core.responses import ActionResult

import state
from groups import touch


def error(message, code="ValidationError"):
    return AutoscalingClientError(code, message)


def find(backend, name, change=True):
    group = backend.autoscaling_groups.get(name)
    if group is None:
        raise error(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    if change and group.status:
        raise error(f"AutoScalingGroup '{name}' may not be modified while it is pending delete.")
    if change:
        touch(group)
    return group


def paged(response, items, key, size, field):
    bad_token = error("The token is invalid.", "InvalidNextToken")
    shown, token = state.page(items, key, size, response._get_param("NextToken"), bad_token)
    return ActionResult({field: shown, "NextToken": token})


def named(self):
    """Checks the group that a call names, and that it may be changed, before moto does the rest."""
    return find(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))
