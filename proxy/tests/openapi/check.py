#!/usr/bin/env python3
"""Holds the admin API against its OpenAPI file, with schemathesis: check.py [--program FILE] [--examples N] [--seed N]

Starts the program (target/debug/shellac, after `cargo build -p shellac`) on free ports before an origin of its own, and sends it what the
file allows and what it does not. Exit code 0: schemathesis finds nothing. Needs Python 3.9 with venv; schemathesis is installed into
target/openapi on first use. Streams of events are left out: they do not end, and tests of their own read them.
"""

import argparse
import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PLACE = ROOT / "target" / "openapi"
PATIENCE = 60

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "positive_data_acceptance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
]


class Page(http.server.BaseHTTPRequestHandler):
    """An origin whose pages may be stored."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        for name, value in {"content-length": "5", "cache-control": "max-age=60", "cache-tag": "a b"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


def installed():
    """Returns the path of schemathesis, which is installed if it is not there."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp, program = PLACE / "installed", PLACE / "venv" / "bin" / "schemathesis"
    if not program.exists() or not stamp.exists() or stamp.read_text() != wanted:
        venv.create(PLACE / "venv", with_pip=True, clear=True)
        pip = [PLACE / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", HERE / "requirements.txt"]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    return program


class Proxy:
    """The program, with its admin listener on a free port."""

    def __init__(self, program, origin, folder):
        config = folder / "config.toml"
        config.write_text(
            f'workers = 1\n[[listen]]\naddress = "127.0.0.1:0"\n[admin]\nlisten = ["127.0.0.1:0"]\n'
            f'[origin.app]\nservers = ["127.0.0.1:{origin}"]\n[storage.memory]\ncapacity = "64MiB"\n'
        )
        self.process = subprocess.Popen([program, "run", "--config", config], stderr=subprocess.PIPE, text=True)
        self.said, self.ports = [], {}
        threading.Thread(target=self.listen, daemon=True).start()
        end = time.monotonic() + PATIENCE
        while not {"listen", "admin"} <= self.ports.keys():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit("the program does not start:\n" + "".join(self.said))
            time.sleep(0.05)

    def listen(self):
        for line in self.process.stderr:
            self.said.append(line)
            found = re.match(r"\s*(listen|admin)\s+http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.ports[found[1]] = int(found[2])

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", default=ROOT / "target" / "debug" / "shellac", type=pathlib.Path)
    arguments.add_argument("--examples", default=30, type=int, help="of each operation")
    arguments.add_argument("--seed", default=1, type=int)
    given = arguments.parse_args()
    if not given.program.exists():
        sys.exit(f"there is no {given.program}: cargo build -p shellac")
    schemathesis = installed()
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        proxy = Proxy(given.program, origin.server_port, pathlib.Path(folder))
        try:
            command = [
                schemathesis, "--config-file", HERE / "schemathesis.toml", "run", f"http://127.0.0.1:{proxy.ports['admin']}/openapi.json",
                "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", str(given.examples),
                "--seed", str(given.seed), "--exclude-path-regex", "/stream/", "--request-timeout", "20",
                "--continue-on-failure", "--generation-database", "none", "--no-color",
            ]
            names = {**os.environ, "ORIGIN": f"127.0.0.1:{origin.server_port}"}
            checked = subprocess.run(command, cwd=folder, env=names, check=False)
            code = checked.returncode
            if proxy.process.poll() is not None:
                code = f"the program has ended with {proxy.process.returncode}:\n" + "".join(proxy.said[-20:])
            elif any("panicked" in line for line in proxy.said):
                code = "the program has panicked:\n" + "".join(line for line in proxy.said if "panicked" in line)
        finally:
            proxy.end()
            origin.shutdown()
    sys.exit(code)


if __name__ == "__main__":
    main()
