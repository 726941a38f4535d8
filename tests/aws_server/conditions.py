"""Conditions and transforms of rules: every type that AWS has, what it refuses in them, and how it shows them."""

import ipaddress
import re

from actions import error

FORMS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}
SHORT = ("host-header", "path-pattern")  # may be said without a config, too
REGEX = ("host-header", "path-pattern", "http-header")
ONCE = ("host-header", "path-pattern", "http-request-method", "source-ip")  # at most one in a rule
TRANSFORMS = {"host-header-rewrite": "HostHeaderRewriteConfig", "url-rewrite": "UrlRewriteConfig"}
MOST_VALUES = 5
LONGEST = 128


def refused(text):
    return error("ValidationError", text)


def values_of(condition):
    config = condition.get(FORMS[condition["Field"]]) or {}
    return config.get("Values") or condition.get("Values") or []


def regexes_of(condition):
    config = condition.get(FORMS[condition["Field"]]) or {}
    return config.get("RegexValues") or condition.get("RegexValues") or []


def check_host(value):
    name, dot, top = value.rpartition(".")
    if not dot or not name or not re.fullmatch(r"[A-Za-z]+", top) or not re.fullmatch(r"[A-Za-z0-9.\-*?]+", value):
        raise refused(f"Condition value '{value}' is not a valid host name: it needs a '.', and only letters after the last one")


def check_path(value):
    if not re.fullmatch(r"[A-Za-z0-9_\-.$/~\"'@:+&*?;=%!,()]+", value):
        raise refused(f"Condition value '{value}' contains a character that is not valid")


def check_address(value):
    try:
        if "/" not in value:
            raise ValueError
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise refused(f"Condition value '{value}' is not a valid CIDR block") from None


def check_method(value):
    if len(value) > 40 or not re.fullmatch(r"[A-Z_-]+", value):
        raise refused(f"Condition value '{value}' must contain only A-Z, hyphen and underscore, and be at most 40 long")


CHECKS = {"host-header": check_host, "path-pattern": check_path, "source-ip": check_address, "http-request-method": check_method}


def check_condition(condition):
    field = condition.get("Field")
    if field not in FORMS:
        raise refused(f"Condition field '{field}' must be one of '[{', '.join(FORMS)}]'")
    form = FORMS[field]
    others = [name for name in FORMS.values() if name != form and condition.get(name)]
    if others:
        raise refused(f"'{others[0]}' is not compatible with the condition field '{field}'")
    if field not in SHORT and condition.get("Values"):
        raise refused(f"The 'Values' field is not compatible with '{field}'")
    if field not in SHORT and not condition.get(form):
        raise refused(f"A '{form}' must be specified with '{field}'")
    if condition.get("Values") and condition.get(form) and list(condition["Values"]) != list(condition[form].get("Values") or []):
        raise refused(f"You cannot provide both Values and '{form}' for a condition of type '{field}'")
    values, regexes = values_of(condition), regexes_of(condition)
    if regexes and field not in REGEX:
        raise refused(f"The 'RegexValues' field is not compatible with '{field}'")
    if not values and not regexes:
        raise refused("A condition value must be specified")
    if values and regexes:
        raise refused("You cannot provide both Values and RegexValues for a condition")
    if field == "http-header":
        name = condition[form].get("HttpHeaderName") or ""
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,40}", name):
            raise refused(f"The HTTP header name '{name}' is not valid")
        if name.lower() == "host":
            raise refused("You can't use an HTTP header condition to specify the host header. Use a host header condition instead")
    texts = [text for value in values for text in ([value.get("Key"), value.get("Value")] if isinstance(value, dict) else [value]) if text is not None]
    if field == "query-string" and any(not value.get("Value") for value in values):
        raise refused("A 'Value' must be specified in 'QueryStringKeyValuePair'")
    for text in texts + list(regexes):
        if not 1 <= len(text) <= LONGEST:
            raise refused(f"The '{field}' value is too long; the limit is '{LONGEST}'")
    for value in values:
        CHECKS.get(field, lambda _: None)(value)
    for regex in regexes:
        try:
            re.compile(regex)
        except re.error:
            raise refused(f"The regular expression '{regex}' is not valid") from None
    return len(values) + len(regexes), sum(text.count("*") + text.count("?") for text in texts)


def check_conditions(conditions):
    if not conditions:
        raise refused("A condition must be specified")
    for field in ONCE:
        if sum(one.get("Field") == field for one in conditions) > 1:
            raise refused(f"A rule can have only one condition of type '{field}'")
    counts = [check_condition(condition) for condition in conditions]
    if sum(values for values, _ in counts) > MOST_VALUES:
        raise refused("A rule can only have '5' condition values")
    if sum(wildcards for _, wildcards in counts) > MOST_VALUES:
        raise refused("A rule can have at most 5 wildcard characters")


def shown_conditions(conditions):
    """Host and path conditions are shown in both of their forms, whichever was sent; those without values show an empty list."""
    for condition in conditions:
        field = condition.get("Field")
        form, values, regexes = FORMS[field], values_of(condition), regexes_of(condition)
        condition["Values"] = list(values) if field in SHORT else []
        config = {**(condition.get(form) or {}), "Values": list(values)}
        if regexes:
            config["RegexValues"] = condition["RegexValues"] = list(regexes)
            del config["Values"]
        condition[form] = config
    return conditions


def check_transforms(transforms):
    kinds = [one.get("Type") for one in transforms]
    if len(set(kinds)) != len(kinds):
        raise refused("A rule can have at most one transform of each type")
    for one in transforms:
        form = TRANSFORMS.get(one.get("Type"))
        rewrites = (one.get(form) or {}).get("Rewrites") or [] if form else []
        if len(rewrites) != 1:
            raise refused(f"A transform of type '{one.get('Type')}' must specify exactly one rewrite in '{form}'")
        for rewrite in rewrites:
            if not rewrite.get("Regex") or len(rewrite["Regex"]) > 1024 or len(rewrite.get("Replace") or "") > 1024:
                raise refused("A rewrite needs a regular expression and a replacement of at most 1024 characters")
