"""The door: records each call, plays the faults, and makes every failure a real AWS error."""

import io
import json
import re
import socket
import sys
import threading
import traceback
import uuid
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.model import OperationNotFoundError
from moto.iam.models import get_account_id_from

import crash
import groups
import shapes
import state

SERVICES = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}
READS = re.compile(r"^(Describe|Get|List|Search|Lookup|Assume|Decode|BatchGet|Test)")
MODES = ("error-before", "error-after", "drop-before", "drop-after", "hang-before", "hang-after", "delay")

calls = []
faults = []


class Fault:
    def __init__(self, spec):
        unknown = set(spec) - {"operation", "service", "mode", "code", "message", "status", "times", "match", "delay_ms", "skip"}
        if unknown or spec.get("mode") not in MODES:
            raise ValueError(f"a fault needs a mode of {MODES}, and takes no {sorted(unknown)}")
        self.spec = spec
        self.left = spec.get("times", 1) or state.INFINITY  # null or 0: for ever
        self.skip = spec.get("skip", 0)
        self.fired = 0
        self.released = threading.Event()

    def hits(self, call, body):
        spec = self.spec
        if self.left <= 0 or spec.get("operation", "*") not in ("*", call["operation"]):
            return False
        if spec.get("service", call["service"]) != call["service"]:
            return False
        match = spec.get("match")
        if match:
            pairs = "&".join(f"{key}={value}" for key, value in call["params"].items())
            if match not in body and match not in pairs:
                return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        self.fired += 1
        return True

    def describe(self):
        left = None if self.left == state.INFINITY else self.left
        return {**self.spec, "fired": self.fired, "left": left}


def set_faults(specs):
    """The list replaces the one before it; whoever hangs in one of those goes on."""
    new = [Fault(spec) for spec in specs]
    release()
    faults[:] = new


def release():
    for fault in faults:
        fault.released.set()


def reset():
    set_faults([])
    calls.clear()
    shapes.wrong.clear()
    crash.clear()


def cbor(value):
    """Just enough CBOR for an error: short maps of short texts."""
    if isinstance(value, dict):
        return bytes([0xA0 + len(value)]) + b"".join(cbor(part) for pair in value.items() for part in pair)
    text = value.encode()
    return b"\x79" + len(text).to_bytes(2, "big") + text


def error_answer(call, code, message, status=400):
    """(status, headers, body) of an error in the protocol that the call spoke."""
    fields = {"__type": code, "message": message}
    compatible = ("x-amzn-query-error", f"{code};Sender")
    if call["protocol"] == "cbor":
        headers = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor"), compatible]
        return status, headers, cbor(fields)
    if call["protocol"] == "json":
        headers = [("Content-Type", "application/x-amz-json-1.0"), compatible]
        return status, headers, json.dumps(fields).encode()
    request = str(uuid.uuid4())
    code, message = escape(code), escape(message)
    if call["service"] == "ec2":
        inner = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>{inner}<RequestID>{request}</RequestID></Response>'
    else:
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        text = f"<ErrorResponse>{inner}<RequestId>{request}</RequestId></ErrorResponse>"
    return status, [("Content-Type", "text/xml")], text.encode()


class Dropped(ConnectionError):
    """The connection was closed without an answer; the HTTP server stays silent about it."""


class Door:
    def __init__(self, moto, control):
        self.moto = moto
        self.control = control

    def __call__(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        path = environ.get("PATH_INFO", "")
        if path.startswith("/_test/"):
            status, answer = self.control(environ["REQUEST_METHOD"], path[len("/_test/") :], body)
            text = json.dumps(answer, default=str).encode()
            start_response(f"{status} {'OK' if status == 200 else 'Error'}", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
            return [text]
        call, problems, passage = self.record(environ, body)
        if passage.before():
            self.drop(environ)
        status, headers, content = self.answer(environ, body, call, problems)
        if passage.done():
            self.drop(environ)
        with state.LOCK:
            call["status"] = status
        headers = [(name, value) for name, value in headers if name.lower() not in ("content-length", "connection")]
        start_response(f"{status} {'OK' if status < 400 else 'Error'}", headers + [("Content-Length", str(len(content)))])
        return passage.sending(content)

    def record(self, environ, body):
        scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        key, region, service = scope.groups() if scope else ("", None, "unknown")
        text = body.decode("utf-8", "replace")
        params = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if "form-urlencoded" in environ.get("CONTENT_TYPE", ""):
            params.update(parse_qsl(text, keep_blank_values=True))
        rpc = re.search(r"/operation/(\w+)$", environ.get("PATH_INFO", ""))
        operation = params.pop("Action", None) or target.rpartition(".")[2] or (rpc.group(1) if rpc else environ["REQUEST_METHOD"])
        params.pop("Version", None)
        call = {
            "n": 0,
            "service": SERVICES.get(service, service),
            "region": region,
            "key": key,
            "account": None,
            "protocol": "json" if target else "cbor" if rpc else "query",
            "operation": operation,
            "params": params,
            "status": None,  # none yet, or the connection was dropped
            "mutating": not READS.match(operation),
            "done": False,  # whether the server carried it out
            "fault": None,
            "at": state.now(),
        }
        problems = shapes.problems_of(call, body)
        with state.LOCK:
            call["n"] = len(calls) + 1
            call["account"] = get_account_id_from(key)
            calls.append(call)
            if problems:
                shapes.note(call, problems)
            passage = crash.Passage()
        return call, problems, passage

    def answer(self, environ, body, call, problems):
        with state.LOCK:
            text = body.decode("utf-8", "replace")
            fault = next((one for one in faults if one.hits(call, text)), None)
        mode = fault.spec["mode"] if fault else ""
        if fault:
            call["fault"] = mode
            delay = fault.spec.get("delay_ms")
            if mode == "hang-before":
                fault.released.wait(delay / 1000 if delay else None)
            elif delay and not mode.startswith("hang"):
                fault.released.wait(delay / 1000)
        if mode == "drop-before":
            self.drop(environ)
        if mode == "error-before":
            return self.failure(call, fault)
        result = error_answer(call, *shapes.answer(call, problems)) if problems else self.carry_out(environ, body, call)
        if mode == "hang-after":
            fault.released.wait(delay / 1000 if delay else None)
        if mode == "drop-after":
            self.drop(environ)
        if mode == "error-after":
            return self.failure(call, fault)
        return result

    def failure(self, call, fault):
        spec = fault.spec
        return error_answer(call, spec.get("code", "Throttling"), spec.get("message", "Rate exceeded"), spec.get("status", 400))

    def drop(self, environ):
        connection = environ.get("werkzeug.socket")
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        raise Dropped()

    def carry_out(self, environ, body, call):
        environ["wsgi.input"] = io.BytesIO(body)
        answer = {}

        def keep(status, headers, exc_info=None):
            answer["status"], answer["headers"] = int(status.split()[0]), headers

        with state.LOCK:
            try:
                groups.advance(state.now())
                state.body = body
                content = b"".join(self.moto(environ, keep))
                if call["service"] == "ec2" and call["operation"] in ("StopInstances", "StartInstances", "TerminateInstances"):
                    groups.touch_all()
                call["done"] = answer["status"] < 400
                kind = dict((name.lower(), value) for name, value in answer["headers"]).get("content-type", "")
                if answer["status"] < 400 or not kind.startswith("text/html") or content.lstrip().startswith(b"<?xml"):
                    return answer["status"], answer["headers"], content
                if b"<Error" in content:
                    return answer["status"], answer["headers"], content
                code, message = "InvalidAction", f"{call['operation']} is not an operation of this server"
            except (NotImplementedError, OperationNotFoundError) as missing:
                code, message = "InvalidAction", f"The action {call['operation']} is not valid for this web service. {missing}"
            except Exception as failure:
                traceback.print_exc(file=sys.stderr)
                code, message = "InternalFailure", f"{type(failure).__name__}: {failure}"
        return error_answer(call, code, message)
