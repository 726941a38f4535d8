"""Repositories of a folder over http or https, by git's own http-backend.

Usage: server.py FOLDER [--port PORT] [--token TOKEN] [--certificate FILE --key FILE]
                 [--mode MODE] [--mode-file FILE]

MODE is `serve`, or one of the ways in which a server goes wrong: `silent` takes a
request and never answers, `elsewhere URL` leads to another server, `status CODE`
answers nothing but that, `slow BYTES` sends so many bytes a second of a pack, `drip
SECONDS` lists references for ever, one line each so many seconds. The file MODE_FILE, where
there is one, says the mode anew for each request. With a token, a request without it gets 401. Each request is
a line on stdout, after the line that says where it listens. Standard library only.
"""

import argparse
import base64
import http.server
import itertools
import os
import ssl
import subprocess
import threading
import time


def handler(args):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, code, headers, body=b""):
            self.send_response(code)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.words[0] == "slow" and self.command == "POST":
                return self.slowly(body, int(self.words[1]))
            self.wfile.write(body)

        def user_and_password(self):
            kind, _, coded = self.headers.get("Authorization", "").partition(" ")
            if kind != "Basic":
                return None, None
            user, _, password = base64.b64decode(coded).decode().partition(":")
            return user, password

        def handle_request(self):
            user, password = self.user_and_password()
            print(f"{self.command} {self.path} {user or '-'}", flush=True)
            mode = self.mode()
            if mode == "silent":
                threading.Event().wait()
            if mode == "elsewhere":
                return self.answer(302, [("Location", self.words[1] + self.path)])
            if mode == "status":
                return self.answer(int(self.words[1]), [])
            if mode == "drip":
                return self.drip(float(self.words[1]))
            if args.token and password != args.token:
                return self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')])
            self.backend()

        do_GET = do_POST = handle_request

        def mode(self):
            self.words = args.mode
            if args.mode_file and os.path.exists(args.mode_file):
                with open(args.mode_file) as file:
                    self.words = file.read().split() or args.mode
            return self.words[0]

        def drip(self, seconds):
            self.send_response(200)
            self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            line = lambda text: f"{len(text) + 4:04x}{text}".encode()
            chunk = lambda data: self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            chunk(line("# service=git-upload-pack\n") + b"0000")
            chunk(line("1" * 40 + " HEAD\0side-band-64k ofs-delta agent=git/2\n"))
            for number in itertools.count():
                chunk(line("1" * 40 + f" refs/heads/b{number}\n"))
                time.sleep(seconds)

        def slowly(self, body, rate):
            for start in range(0, len(body), max(rate // 10, 1)):
                self.wfile.write(body[start : start + max(rate // 10, 1)])
                self.wfile.flush()
                time.sleep(0.1)

        def body(self):
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def backend(self):
            path, _, query = self.path.partition("?")
            env = {
                "PATH": os.environ["PATH"],
                "HOME": args.folder,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_PROJECT_ROOT": args.folder,
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_ADDR": "127.0.0.1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            body = self.body()
            env["CONTENT_LENGTH"] = str(len(body))
            done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
            status = next((value for name, value in headers if name == "Status"), "200 OK")
            self.answer(int(status.split()[0]), [pair for pair in headers if pair[0] != "Status"], content)

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--mode", nargs="+", default=["serve"])
    parser.add_argument("--mode-file")
    args = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", args.port), handler(args))
    server.daemon_threads = True
    scheme = "http"
    if args.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.certificate, args.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    print(f"listening on {scheme}://localhost:{server.server_address[1]}", flush=True)
    server.serve_forever()


main()
