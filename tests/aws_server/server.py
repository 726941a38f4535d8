"""An AWS-compatible server for the wire tests: moto, mended where it differs from AWS. See README.md."""

import argparse
import logging
import os
import signal
import sys

os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
os.environ.pop("MOTO_ACCOUNT_ID", None)  # the account follows from the credentials, 123456789012 at first

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
import wire  # noqa: E402


class Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *args, **kwargs):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    ec2.install()
    elbv2.install()
    autoscaling.install()
    door = wire.Door(DomainDispatcherApplication(create_backend_app), control.handle)
    server = make_server(options.host, options.port, door, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"listening on http://{options.host}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
