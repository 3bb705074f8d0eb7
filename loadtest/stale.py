#!/usr/bin/env python3
"""Is a page ever older than a purge that was confirmed, while the proxy is upgraded, killed, restarted or reloaded?

    loadtest/stale.py target/release/shellac --storage file --fault upgrade --seconds 60 --seed 1

Each page has a number that grows; the origin answers with it. Before a purge the numbers of all pages that it names grow; once
the proxy has confirmed it, a response with a lower number to a request that began later is stale. Pages are of six kinds: one
URL; URLs that are equivalent by No-Vary-Search; variants by Vary; queries of one path; the document and the data of one page,
by a rule; a URL that a rule rewrites. Purges name URLs, equivalent ones that nobody asked for, paths, pages, tags, prefixes,
hosts, and expressions of these. Prints each stale response and what was done; exit code 1 if there was one, or if a client's
request failed that no fault may fail. On loopback, free ports, in a temporary directory.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PAGES, TAGS, SECTIONS = 4000, 50, 7
CLIENTS, PURGERS = 24, 3
PATIENCE = 20  # seconds for an answer
STORAGE = {
    "memory": '[storage.memory]\ncapacity = "64MiB"\n',
    "file": '[storage]\nkind = "file"\n[storage.memory]\ncapacity = "8MiB"\n[storage.file]\npath = "store"\ncapacity = "96MiB"\n',
    "tiered": '[storage]\nkind = "tiered"\n[storage.memory]\ncapacity = "8MiB"\n[storage.file]\npath = "store"\ncapacity = "96MiB"\n',
}
# What stands for a page's kind in its URL, by the remainder of its number.
KINDS = "pevqdw"
RULES = """
[[rule]]
path = "/d/*/data"
page = "/d/$1"
[[rule]]
path = "/w/*"
rewrite = { path = "/rewritten/$1" }
"""
# Faults that fail no request of a client.
GENTLE = ["upgrade", "reload", "none"]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Trial:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.ends = time.monotonic() + options.seconds
        self.numbers = [0] * PAGES
        # The lowest number that a request may get that begins now.
        self.confirmed = [0] * PAGES
        self.counts = collections.Counter()
        self.traffic, self.admin = free_port(), free_port()

    def is_over(self):
        return time.monotonic() >= self.ends

    async def origin(self, reader, writer):
        await serve_pages(self, reader, writer)

    async def client(self):
        """Asks for pages, some much more often than others, on a connection that is kept as long as it may be."""
        connection = None
        while not self.is_over():
            page = int(min(self.random.paretovariate(0.4), 1e9)) % PAGES
            path, fields = self.request_of(page)
            least = self.confirmed[page]
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", self.traffic)
                head, body = await asyncio.wait_for(exchange(connection, "GET", path, fields=fields), PATIENCE)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                self.counts["failed"] += 1
                connection = None
                await asyncio.sleep(0.02)
                continue
            self.counts["requests"] += 1
            self.counts["hits"] += b"; hit" in head
            if not head.startswith(b"HTTP/1.1 200"):
                self.counts["failed"] += 1
            elif int(body.split()[0]) < least:
                self.counts["stale"] += 1
                print(f"STALE: {path} {fields.strip()} has {body.split()[0].decode()}, {least} was confirmed; {head.decode()}", flush=True)
            if b"connection: close" in head.lower():
                connection[1].close()
                connection = None

    async def purger(self):
        while not self.is_over():
            selectors, pages = self.selectors()
            wanted = {}
            for page in set(pages):
                self.numbers[page] += 1
                wanted[page] = self.numbers[page]
            try:
                status, detail = await self.ask("POST", "/api/v1/purge", selectors)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                self.counts["purges unanswered"] += 1
                await asyncio.sleep(0.02)
                continue
            if status == 200:
                self.counts["purges"] += 1
                for page, number in wanted.items():
                    self.confirmed[page] = max(self.confirmed[page], number)
            elif status == 503:
                self.counts["purges refused"] += 1
            else:
                sys.exit(f"a purge was answered with {status}: {detail}")
            await asyncio.sleep(self.random.choice([0, 0.005, 0.05]))

    def request_of(self, page):
        """Returns a path and fields for which the page is asked."""
        kind, draw = kind_of(page), self.random.randrange
        path = f"/{kind}/{page}"
        if kind in "pevq" and self.random.random() < 0.2:
            path = f"/%{ord(kind):x}/{page}"  # another spelling, which no purge names
        if kind in "eq":
            path += f"?ref={draw(4)}"
        elif kind == "d":
            path += self.random.choice(["", "/data", "?x=1"])
        return path, f"accept-language: {self.random.choice(['en', 'de'])}\r\n"

    def term_of(self, page):
        """Returns a selector that means the page, whichever of its URLs is stored: its kind and a URL."""
        kind = kind_of(page)
        url = f"http://h/{kind}/{page}"
        if kind == "e":
            return "url", f"{url}?ref={self.random.randrange(1000)}"
        if kind == "w" and self.random.random() < 0.5:
            url = f"http://h/rewritten/{page}"
        # A path means its URLs under every query, and so does a page, of which it is the document's.
        wide = "path" if kind == "q" else self.random.choice(["url", "path", "page"])
        return ("page" if kind == "d" else wide), url

    def selectors(self):
        """Returns a purge and the pages that it means."""
        draw = self.random.randrange
        kind = self.random.random()
        if kind < 0.5:
            pages = [draw(PAGES) for _ in range(self.random.choice([1, 3, 40]))]
            purge = collections.defaultdict(list)
            for selector, url in map(self.term_of, pages):
                purge[selector + "s"].append(url)
            return purge, pages
        if kind < 0.65:
            pages = [draw(PAGES) for _ in range(self.random.choice([1, 3, 8]))]
            terms = [":".join(self.term_of(page)) for page in pages]
            if len(terms) > 1:
                return {"any_of": terms, "none_of": ["tag:nobody"]}, pages
            return {"all_of": [*terms, "host:h", f"tag:t{pages[0] % TAGS}"]}, pages
        if kind < 0.8:
            tag = draw(TAGS)
            return {"tags": [f"t{tag}"]}, range(tag, PAGES, TAGS)
        if kind < 0.9:
            letter, digit = self.random.choice(KINDS), str(draw(1, 10))
            named = [page for page in range(PAGES) if kind_of(page) == letter and str(page).startswith(digit)]
            return {"prefixes": [f"http://h/{letter}/{digit}"]}, named if letter != "w" else []
        if kind < 0.97:
            section = draw(SECTIONS)
            return {"tags": [f"s{section}"]}, range(section, PAGES, SECTIONS)
        return {"hosts": ["h"]}, range(PAGES)

    async def ask(self, method, path, document=None):
        """Asks the admin listener, on a connection of its own. Returns status and body."""
        connection = await asyncio.open_connection("127.0.0.1", self.admin)
        try:
            head, body = await asyncio.wait_for(exchange(connection, method, path, document), PATIENCE)
        finally:
            connection[1].close()
        return int(head.split(b" ")[1]), body.decode()

    def start(self):
        self.process = subprocess.Popen([self.options.program, "run", "--config", "config.toml"], stdout=self.log, stderr=self.log, cwd=self.folder)
        self.pid = self.process.pid

    async def until_ready(self):
        for _ in range(600):
            try:
                if (await self.ask("GET", "/readyz"))[0] == 200:
                    return
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(0.05)
        sys.exit(f"the proxy is not ready: see {self.folder}/log")

    async def fault(self):
        kind = self.options.fault
        if kind == "upgrade":
            command = [self.options.program, "upgrade", "--pid", str(self.pid)]
            upgrade = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
            said = (await upgrade.communicate())[1].decode()
            serves = re.search(r"process (\d+) serves", said)
            if not serves:
                sys.exit(f"an upgrade failed: {said}")
            self.pid = int(serves[1])
        elif kind == "reload":
            status, detail = await self.ask("POST", "/api/v1/reload", {})
            if status != 200:
                sys.exit(f"a reload was answered with {status}: {detail}")
        elif kind in ("kill", "restart"):
            os.kill(self.pid, signal.SIGKILL if kind == "kill" else signal.SIGTERM)
            await asyncio.to_thread(self.process.wait)
            self.start()
            await self.until_ready()
        self.counts["faults"] += 1

    async def run(self, folder):
        server = await asyncio.start_server(self.origin, "127.0.0.1", 0)
        origin = server.sockets[0].getsockname()[1]
        self.folder = folder
        with open(f"{folder}/config.toml", "w") as config:
            config.write(f'workers = 2\n[[listen]]\naddress = ["127.0.0.1:{self.traffic}"]\n[admin]\nlisten = ["127.0.0.1:{self.admin}"]\n')
            config.write(RULES)
            config.write(f'[origin.site]\nservers = ["127.0.0.1:{origin}"]\n[limits]\ndrain_timeout = "5s"\n{STORAGE[self.options.storage]}')
        with open(f"{folder}/log", "wb") as self.log:
            self.start()
            try:
                await self.until_ready()
                work = [self.client() for _ in range(CLIENTS)] + [self.purger() for _ in range(PURGERS)]
                work = [asyncio.create_task(one) for one in work]
                while self.ends - time.monotonic() > 3:
                    await asyncio.sleep(self.random.uniform(0.2, 2))
                    await self.fault()
                await asyncio.gather(*work)
            finally:
                for process in {self.pid, self.process.pid}:
                    try:
                        os.kill(process, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.process.wait()
        with open(f"{folder}/log", errors="replace") as log:
            self.counts["panics"] = log.read().count("panicked at")


async def serve_pages(trial, reader, writer):
    """Answers each URL of a page with the page's number, some of them late."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            page = int(re.match(rb"GET /[^/]+/(\d+)", head)[1])
            number = trial.numbers[page]
            await asyncio.sleep(trial.random.choice([0, 0, 0.001, 0.02]))
            body = f"{number} {'x' * trial.random.choice([10, 2000, 40000])}".encode()
            fields = f"cache-control: max-age=3600\r\nsurrogate-key: t{page % TAGS} s{page % SECTIONS}\r\n"
            fields += {"e": 'no-vary-search: params=("ref")\r\n', "v": "vary: accept-language\r\n"}.get(kind_of(page), "")
            writer.write(f"HTTP/1.1 200 OK\r\n{fields}content-length: {len(body)}\r\n\r\n".encode() + body)
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass  # the proxy, or the trial, has ended
    finally:
        writer.close()


def kind_of(page):
    return KINDS[page % len(KINDS)]


async def exchange(connection, method, path, document=None, fields=""):
    """Sends a request and returns the response's head and content."""
    reader, writer = connection
    content = b"" if document is None else json.dumps(document).encode()
    fields += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n" if document is not None else ""
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n".encode() + content)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length:
        return head, await reader.readexactly(int(length[1]))
    content = b""
    while True:  # chunked
        size = int(await reader.readuntil(b"\r\n"), 16)
        content += (await reader.readexactly(size + 2))[:size]
        if size == 0:
            return head, content


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--storage", choices=STORAGE, default="memory")
    parser.add_argument("--fault", choices=[*GENTLE, "kill", "restart"], default="upgrade")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    trial = Trial(parser.parse_args())
    folder = tempfile.mkdtemp()  # kept where something goes wrong
    asyncio.run(trial.run(folder))
    print(f"{trial.options.storage}, {trial.options.fault}: " + ", ".join(f"{count} {what}" for what, count in sorted(trial.counts.items())))
    is_bad = trial.counts["stale"] or trial.counts["panics"] or trial.options.fault in GENTLE and trial.counts["failed"]
    if is_bad:
        sys.exit(f"see {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
