"""An AWS-compatible server for the wire tests: moto, mended where it differs from AWS. See README.md."""

import argparse
import functools
import logging
import os
import signal
import sys
import threading
import time

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
os.environ.pop("MOTO_ACCOUNT_ID", None)  # the account follows from the credentials, 123456789012 at first

import moto.backends  # noqa: E402
import moto.core.responses  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server  # noqa: E402

import autoscaling  # noqa: E402
import control  # noqa: E402
import ec2  # noqa: E402
import elbv2  # noqa: E402
import permissions  # noqa: E402
import wire  # noqa: E402


class Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *args, **kwargs):
        pass


def install():
    # moto asks the file system and the class for these with every request: half of its time
    modules = list(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: modules
    names = functools.cache(moto.core.responses.method_names_from_class)
    moto.core.responses.method_names_from_class = names
    find = DomainDispatcherApplication.get_backend_for_host
    known = {}
    DomainDispatcherApplication.get_backend_for_host = lambda self, host: (
        known[host] if host in known else known.setdefault(host, find(self, host))
    )
    ec2.install()
    elbv2.install()
    autoscaling.install()
    permissions.install()


def follow_parent():
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def serve_copy(door, listening):
    """What a copy does; it ends with the server that it was copied from."""
    threading.Thread(target=follow_parent, daemon=True).start()
    server = make_server(*listening.getsockname(), door, threaded=True, request_handler=Handler, fd=listening.fileno())
    server.daemon_threads = True
    server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--with-parent", action="store_true", help="exit when the process that started this one is gone")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    install()
    door = wire.Door(DomainDispatcherApplication(create_backend_app), control.handle)
    server = make_server(options.host, options.port, door, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    control.serve_copy = functools.partial(serve_copy, door)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies that have ended leave nothing behind
    if options.with_parent:
        threading.Thread(target=follow_parent, daemon=True).start()
    print(f"listening on http://{options.host}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
