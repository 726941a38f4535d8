"""A program that dies at one of its calls, copies of the server to let it die on, and what both leave.

The n-th call from now on is the place. The server itself kills the program, by its process id, so
nothing else of it arrives: calls after the place are dropped undone.
"""

import gc
import os
import re
import signal
import socket
import threading

import state

KINDS = ("before", "done", "answered")
# How long a program that has its answer may think about it. Its next call ends that at once.
THINKS = 0.05
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

point = None  # the place that is armed, if any


class Point:
    def __init__(self, n, kind):
        self.n, self.kind = n, kind
        self.count = 0
        self.pid = None
        self.known = threading.Event()  # the pid is
        self.answered = threading.Event()
        self.reached = False
        self.killing = threading.Lock()

    def kill(self):
        """Returns when the program can do nothing more."""
        with self.killing:
            if self.reached:
                return
            self.known.wait(30)
            self.reached = True  # before whoever waits for its end can ask
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:  # it was over with the answer of its last call
                self.reached = False

    def describe(self):
        return {"n": self.n, "kind": self.kind, "calls": self.count, "reached": self.reached}


def arm(n, kind):
    global point
    if kind not in KINDS or not isinstance(n, int) or n < 1:
        raise ValueError(f"a place is 'n' from 1 and 'kind' of {KINDS}")
    point = Point(n, kind)


def aim(pid):
    if point is None:
        raise ValueError("no place is armed")
    point.pid = pid
    point.known.set()


def clear():
    global point
    point = None


class Passage:
    """One call's way past the place. `before` and `done` say whether its connection is to be dropped."""

    def __init__(self):
        self.point = point
        if self.point:
            self.point.count += 1
            self.number = self.point.count

    def here(self, kind):
        return self.point is not None and self.number == self.point.n and self.point.kind == kind

    def before(self):
        if self.point is None or self.number < self.point.n:
            return False
        if self.number > self.point.n:
            if self.point.kind == "answered":
                self.point.answered.wait(10)
                self.point.kill()
            return True
        if self.point.kind == "before":
            self.point.kill()
            return True
        return False

    def done(self):
        if not self.here("done"):
            return False
        self.point.kill()
        return True

    def sending(self, content):
        """The answer as WSGI sends it; the place after it begins when all of it is sent."""
        return Sent(self.point, content) if self.here("answered") else [content]


class Sent:
    def __init__(self, point, content):
        self.point, self.content = point, content

    def __iter__(self):
        yield self.content

    def close(self):
        self.point.answered.set()
        threading.Timer(THINKS, self.point.kill).start()


# ---------------------------------------------------------------- copies


def fork(serve):
    """The address of a copy of this server as it is now, on a port of its own. The caller holds the lock.

    `serve` is called in the copy with the listening socket, without the lock; it doesn't return.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    gc.freeze()
    child = os.fork()
    if child:
        gc.unfreeze()
        port = listening.getsockname()[1]
        listening.close()
        return {"url": f"http://127.0.0.1:{port}", "pid": child}
    try:
        # Whoever speaks to the first server must not wait for the copy to close the connection.
        keep = {0, 1, 2, listening.fileno()}
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in keep:
                try:
                    os.close(int(name))
                except OSError:
                    pass
        clear()
        state.LOCK.release()
        serve(listening)
    finally:
        os._exit(1)


def end():
    threading.Timer(0.01, lambda: os._exit(0)).start()
    return {"ends": True}


# ---------------------------------------------------------------- what is left


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items()}
    if isinstance(value, list):
        return [timeless(one) for one in value]
    return TIME.sub("TIME", value) if isinstance(value, str) else value


def dump(world):
    """Names, tags, marks without their times, weights and sizes: what must be the same, however it came about."""
    template_names = {one["id"]: one["name"] for one in world["launch_templates"]}
    target_names = {one["arn"]: one["name"] for one in world["target_groups"]}

    def shares(actions):
        kept = []
        for action in actions:
            weights = {one["target_group"]: one["weight"] for one in action["weights"]}
            kept.append({"type": action["type"], "weights": weights, "stickiness": action["stickiness"]})
        return kept

    groups = {}
    for one in world["groups"]:
        template = one["launch_template"] or {}
        lives = [member["lifecycle"] for member in one["instances"]]
        name = template_names.get(template.get("LaunchTemplateId"), "gone")
        groups[one["name"]] = {
            "status": one["status"],
            "sizes": [one["min"], one["desired"], one["max"]],
            "tags": one["tags"],
            "template": [name, template.get("Version")],
            "target_groups": sorted(target_names.get(arn, "gone") for arn in one["target_group_arns"]),
            "suspended": one["suspended"],
            "policies": sorted(one["policies"]),
            "instances": {life: lives.count(life) for life in sorted(set(lives))},
        }
    target_groups = {
        one["name"]: {
            "tags": one["tags"],
            "attributes": one["attributes"],
            "used": bool(one["load_balancer_arns"]),
            "targets": sum(1 for target in one["targets"] if target["state"] != "draining"),
        }
        for one in world["target_groups"]
    }
    rules = sorted(
        (
            {
                "load_balancer": one["load_balancer"],
                "priority": one["priority"],
                "conditions": one["conditions"],
                "actions": shares(one["actions"]),
                "tags": one["tags"],
            }
            for one in world["rules"]
        ),
        key=lambda rule: (rule["load_balancer"], rule["priority"]),
    )
    listeners = {f"{one['load_balancer']}:{one['port']}": shares(one["actions"]) for one in world["listeners"]}
    kept = ("tags", "versions", "image_id", "instance_type", "user_data")
    templates = {one["name"]: {key: one[key] for key in kept} for one in world["launch_templates"]}
    found = {"groups": groups, "target_groups": target_groups, "rules": rules, "listeners": listeners, "launch_templates": templates}
    return timeless(found)
