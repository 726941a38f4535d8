"""Holds each request against AWS's own model of its service, as botocore has it.

What a client must not send is refused with the service's error, and kept: a test asks at its end whether anything was wrong.
AWS itself ignores parameters that it doesn't know; here they are refused, because whoever sends one meant something.
"""

import functools
import io
import json

import regex
from botocore.exceptions import BotoCoreError
from botocore.model import OperationNotFoundError
from botocore.parsers import BaseCBORParser
from moto.core.utils import get_service_model

QUERY = ("autoscaling", "elbv2", "sts", "iam")
HIDDEN = ("Version", "Action")
wrong = []  # every wrong request since the last reset


@functools.cache
def operation_of(service, operation):
    """The model of an operation; None for what the models don't have, which the server refuses in its own way."""
    try:
        return get_service_model(service).operation_model(operation)
    except (OperationNotFoundError, BotoCoreError, KeyError, ValueError, AttributeError):
        return None


@functools.cache
def compiled(pattern):
    """AWS's patterns are of Java; a pair of surrogates is any character above the first plane."""
    text = pattern.replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\U00010000-\\U0010FFFF").replace("\\u10000-\\u10FFFF", "\\U00010000-\\U0010FFFF")
    try:
        return regex.compile(text)
    except regex.error:
        return None


def cap(name):
    return name[:1].upper() + name[1:]


class Check:
    """One request: its problems, as (kind, path, text)."""

    def __init__(self, dialect):
        self.dialect = dialect  # query, ec2, or json for what has types of its own
        self.problems = []

    def say(self, kind, path, text):
        self.problems.append((kind, path, text))

    def name(self, member_name, shape):
        """How a member of a structure is called on the wire."""
        if self.dialect == "ec2":
            return shape.serialization.get("queryName") or cap(shape.serialization.get("name", member_name))
        if self.dialect == "query":
            return shape.serialization.get("name", member_name)
        return member_name

    def value(self, shape, node, path):
        getattr(self, f"_{shape.type_name}", self._anything)(shape, node, path)

    def _anything(self, shape, node, path):
        if isinstance(node, dict) and self.dialect != "json":
            self.say("unknown", path, "is not a structure")

    def _structure(self, shape, node, path):
        if self.dialect != "json" and node == "":
            node = {}
        if not isinstance(node, dict):
            return self.say("type", path, "must be a structure")
        if getattr(shape, "is_tagged_union", False) and len(node) != 1:
            self.say("type", path, "must have exactly one member")
        members = {self.name(name, member): (name, member) for name, member in shape.members.items()}
        for key, inner in node.items():
            place = f"{path}.{key}" if path else key
            if key not in members:
                self.say("unknown", place, "is not a parameter of this operation")
            elif inner is not None:
                self.value(members[key][1], inner, place)
        for wire_name, (name, _) in members.items():
            if name in shape.required_members and node.get(wire_name) is None:
                self.say("missing", f"{path}.{wire_name}" if path else wire_name, "must not be null")

    def _list(self, shape, node, path):
        items = node
        if self.dialect != "json":
            if node == "":
                items = []
            elif not isinstance(node, dict):
                return self.say("type", path, "must be a list")
            else:
                if self.dialect == "query" and not shape.serialization.get("flattened"):
                    member = shape.member.serialization.get("name", "member")
                    if set(node) != {member} or not isinstance(node[member], dict):
                        return self.say("unknown", path, f"must be a list of '{member}'")
                    node = node[member]
                if sorted(node) != sorted(str(number + 1) for number in range(len(node))):
                    return self.say("unknown", path, "must be numbered from 1 without gaps")
                items = [node[key] for key in sorted(node, key=int)]
        if not isinstance(items, list):
            return self.say("type", path, "must be a list")
        self.length(shape, len(items), path)
        for number, item in enumerate(items, 1):
            self.value(shape.member, item, f"{path}.{number}")

    def _map(self, shape, node, path):
        if self.dialect != "json":
            if node == "":
                return
            entries = node.get("entry", node) if isinstance(node, dict) else None
            if not isinstance(entries, dict) or any(not isinstance(one, dict) for one in entries.values()):
                return self.say("type", path, "must be a map")
            key, value = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
            node = {one.get(key): one.get(value) for one in entries.values()}
        if not isinstance(node, dict):
            return self.say("type", path, "must be a map")
        self.length(shape, len(node), path)
        for key, inner in node.items():
            self.value(shape.value, inner, f"{path}.{key}")

    def _string(self, shape, node, path):
        if not isinstance(node, str):
            return self.say("type", path, "must be a string")
        self.length(shape, len(node), path)
        values = getattr(shape, "enum", None)
        if values and node not in values:
            self.say("value", path, f"'{node}' must be one of [{', '.join(values)}]")
        pattern = shape.metadata.get("pattern")
        form = compiled(pattern) if pattern else None
        if form and not form.fullmatch(node):
            self.say("value", path, f"'{node}' must satisfy regular expression pattern: {pattern}")

    _character = _string

    def _integer(self, shape, node, path):
        try:
            if isinstance(node, (dict, list, bool)):
                raise ValueError
            number = int(node)
        except (TypeError, ValueError):
            return self.say("type", path, f"'{node}' must be an integer")
        self.range(shape, number, path)

    _long = _integer

    def _float(self, shape, node, path):
        try:
            number = float(node)
        except (TypeError, ValueError):
            return self.say("type", path, f"'{node}' must be a number")
        self.range(shape, number, path)

    _double = _float

    def _boolean(self, shape, node, path):
        if node not in ((True, False) if self.dialect == "json" else ("true", "false")):
            self.say("type", path, f"'{node}' must be true or false")

    def length(self, shape, length, path):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and length < low:
            self.say("value", path, f"must have length greater than or equal to {low}")
        if high is not None and length > high:
            self.say("value", path, f"must have length less than or equal to {high}")

    def range(self, shape, number, path):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and number < low:
            self.say("value", path, f"'{number}' must have value greater than or equal to {low}")
        if high is not None and number > high:
            self.say("value", path, f"'{number}' must have value less than or equal to {high}")


def nested(params, check):
    """The form `A.member.1.B=x` as what it means."""
    tree = {}
    for key, text in params.items():
        *way, last = key.split(".")
        node = tree
        for part in way:
            node = node.setdefault(part, {}) if isinstance(node, dict) else None
            if not isinstance(node, dict):
                break
        if not isinstance(node, dict) or last in node:
            check.say("unknown", key, "contradicts another parameter")
        else:
            node[last] = text
    return tree


def problems_of(call, body):
    """What is wrong with a request, as (kind, path, text); nothing for services without a model here."""
    model = operation_of(call["service"], call["operation"])
    if model is None:
        return []
    if call["protocol"] == "query":
        check = Check("ec2" if call["service"] == "ec2" else "query")
        node = nested({key: text for key, text in call["params"].items() if key not in HIDDEN}, check)
    else:
        check = Check("json")
        try:
            node = json.loads(body or b"{}") if call["protocol"] == "json" else decoded(body)
        except (ValueError, IndexError, EOFError):
            return [("type", "", "the body can't be read")]
    if model.input_shape is None:
        for key in node:
            check.say("unknown", key, "is not a parameter of this operation")
    else:
        check.value(model.input_shape, node, "")
    return check.problems


def decoded(body):
    if not body:
        return {}
    return BaseCBORParser(None).parse_data_item(io.BufferedReader(io.BytesIO(body)))


def note(call, problems):
    wrong.append({"n": call["n"], "service": call["service"], "account": call["account"], "operation": call["operation"], "problems": [f"{path} {text}" for _, path, text in problems]})


def answer(call, problems):
    """(code, message) that the service would answer."""
    kind, path, text = problems[0]
    if call["service"] == "ec2":
        if kind == "missing":
            return "MissingParameter", f"The request must contain the parameter {path}"
        if kind == "unknown":
            return "UnknownParameter", f"The parameter {path} is not recognized"
        return "InvalidParameterValue", f"Value for parameter {path} is invalid: {text}"
    code = "ValidationError" if call["service"] in QUERY else "ValidationException"
    if call["service"] == "cloudwatch":
        code = "MissingParameter" if kind == "missing" else "InvalidParameterValue"
    count = len(problems)
    at = ".".join(part[:1].lower() + part[1:] for part in path.split("."))
    return code, f"{count} validation error{'s' if count > 1 else ''} detected: Value at '{at}' failed to satisfy constraint: Member {text}"
