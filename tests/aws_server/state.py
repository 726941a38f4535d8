"""What the extension knows beside moto: settings, forced conditions, faults, calls, the clock.

Everything here is guarded by LOCK. The server takes it around each request, so moto's own state,
which isn't thread safe, is read and written by one request at a time.
"""

import base64
import threading
import time

LOCK = threading.RLock()
INFINITY = float("inf")
LEAST = 0.001  # no event follows another at the same instant, so that no loop is endless

DEFAULTS = {
    "launch_delay_ms": 100,  # Pending until InService; also between two failed launches
    "health_delay_ms": 100,  # initial until healthy, once the target group is in use
    "drain_cap_ms": 200,  # the most that a deregistration delay lasts
    "terminate_delay_ms": 20,  # Terminating until gone, after draining
    "delete_delay_ms": 200,  # the least that a deleted group stays in "Delete in progress"
    "replace_delay_ms": 200,  # Unhealthy until the replacement starts
    "max_rules_per_load_balancer": 100,
    "max_target_groups_per_load_balancer": 100,
    "most_per_page": 1000,  # a page of any listing has at most so many, whatever the caller asks for
    "check_interval_ms": 0,  # between two health checks of a target; 0: as its target group says
    "hook_cap_ms": 0,  # the most that a lifecycle hook waits; 0: as long as it says
    "version_tag": "ionroller:version",
}

settings = dict(DEFAULTS)
body = b""  # of the call that is being carried out, as it came
health_rules = []  # newest first
launch_rules = []  # newest first
boot_rules = []  # newest first
hook_rules = []  # newest first
power_rules = []  # newest first
shifts = []  # (zone, load balancer or None for all)


def now():
    return time.time()


def seconds(setting):
    return settings[setting] / 1000.0


def reset(keep_settings=False):
    if not keep_settings:
        settings.clear()
        settings.update(DEFAULTS)
    for kept in (health_rules, launch_rules, boot_rules, hook_rules, power_rules, shifts):
        kept.clear()


class Rule:
    """A condition that a test forces on whatever its selector matches, now and in the future."""

    def __init__(self, selector, value, count=None):
        self.selector = selector
        self.value = value
        self.count = count
        self.since = now()
        self.chosen = {}  # target group ARN → ids of the targets hit, with a count
        self.hits = 0

    def describe(self):
        return {**self.selector, "value": self.value, "count": self.count, "hits": self.hits}


def put_rule(rules, selector, value, count=None):
    """A new rule replaces the one with the same selector; without a value it only removes."""
    if not selector and value is None:
        rules.clear()
        return
    rules[:] = [rule for rule in rules if rule.selector != selector]
    if value is not None:
        rules.insert(0, Rule(selector, value, count))


def decoded(user_data):
    if not user_data:
        return ""
    try:
        return base64.b64decode(str(user_data)).decode("utf-8", "replace")
    except ValueError:
        return str(user_data)


def page(items, key, size, token, bad_token):
    """One page of `items` in the order of `key`, and the token of the next: stable under changes."""
    items = sorted(items, key=key)
    size = min(size, max(settings["most_per_page"], 1))
    if token:
        try:
            kind, _, last = base64.urlsafe_b64decode(token).decode().partition(":")
            after = int(last) if kind == "i" else last
            items = [item for item in items if key(item) > after]
        except Exception:
            raise bad_token from None
    if len(items) <= size:
        return items, None
    last = key(items[size - 1])
    text = f"{'i' if isinstance(last, int) else 's'}:{last}"
    return items[:size], base64.urlsafe_b64encode(text.encode()).decode()
