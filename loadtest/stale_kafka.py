#!/usr/bin/env python3
"""Is a page stale on any proxy once a purger calls everything delivered, while brokers, purger and proxies fail?

    loadtest/stale_kafka.py target/release --storage file --faults purger,kill,upgrade,freeze --rounds 3 --events 20000

Genuine Kafka (purger/tests/kafka/kafka.sh install), one purger, two proxies. In each round both proxies store every page, events
are written while the faults happen, and when the purger says that each proxy has all of them, every page of both proxies is
asked for: one with a lower number than its last event is stale. Exit code 1 if there was one, or if the purges were not
delivered in two minutes. On loopback, free ports, in a temporary directory.

Faults: `purger`, `kill` and `freeze` (of a proxy, 1 to 7 s), `upgrade`, `broker` (killed and away for 2 to 8 s).
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
import subprocess
import sys
import tempfile
import time

from stale import STORAGE, TAGS, exchange, free_port, serve_pages

PAGES, PARTITIONS, PROXIES = 3000, 4, 2
DELIVERY_MAX = 120  # seconds from the last event until every proxy has all
FAULTS = ["purger", "kill", "freeze", "upgrade", "broker"]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOPIC = "cache-purge"


class Proxy:
    def __init__(self, number, trial):
        self.number, self.program, self.folder = number, trial.program("shellac"), f"{trial.folder}/proxy-{number}"
        self.traffic, self.admin = free_port(), free_port()
        os.mkdir(self.folder)
        with open(f"{self.folder}/config.toml", "w") as config:
            config.write(f'workers = 1\n[[listen]]\naddress = ["127.0.0.1:{self.traffic}"]\n[admin]\nlisten = ["127.0.0.1:{self.admin}"]\n')
            config.write(f'[origin.site]\nservers = ["127.0.0.1:{trial.origin_port}"]\n[limits]\ndrain_timeout = "3s"\n{STORAGE[trial.options.storage]}')
        self.start()

    def start(self):
        with open(f"{self.folder}/log", "ab") as log:
            self.process = subprocess.Popen([self.program, "run", "--config", "config.toml"], stdout=log, stderr=log, cwd=self.folder)
        self.pid = self.process.pid

    def kill(self):
        for pid in {self.pid, self.process.pid}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    async def upgrade(self):
        command = [self.program, "upgrade", "--pid", str(self.pid)]
        upgrade = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
        said = (await upgrade.communicate())[1].decode()
        serves = re.search(r"process (\d+) serves", said)
        if not serves:
            raise RuntimeError(f"an upgrade failed: {said}")
        self.pid = int(serves[1])


class Trial:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        self.numbers = [0] * PAGES
        self.written = 0
        self.counts = collections.Counter()
        self.broker, self.zookeeper, self.admin = free_port(), free_port(), free_port()

    def program(self, name):
        return os.path.abspath(f"{self.options.programs}/{name}")

    def kafka(self, *arguments):
        variables = {"KAFKA_DIR": f"{self.folder}/broker", "KAFKA_PORT": self.broker, "ZOOKEEPER_PORT": self.zookeeper, "KAFKA_OWNER": os.getpid()}
        variables = os.environ | {name: str(value) for name, value in variables.items()}
        subprocess.run([f"{ROOT}/purger/tests/kafka/kafka.sh", *arguments], env=variables, check=True, stdout=subprocess.DEVNULL)

    def start_purger(self):
        with open(f"{self.folder}/purger.log", "ab") as log:
            command = [self.program("shellac-purger"), "run", "--config", f"{self.folder}/purger.toml"]
            self.purger = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def write_purger_settings(self):
        urls = ", ".join(f'"http://127.0.0.1:{proxy.admin}"' for proxy in self.proxies)
        with open(f"{self.folder}/purger.toml", "w") as config:
            config.write(f'[kafka]\nbrokers = ["127.0.0.1:{self.broker}"]\ncluster = "trial"\n')
            config.write('[kafka.properties]\n"api.version.request" = "false"\n"broker.version.fallback" = "0.9.0.1"\n')
            config.write(f'[purger]\ntopics = ["{TOPIC}"]\nadmin = "127.0.0.1:{self.admin}"\ninstance = "one"\nsession_timeout = "6s"\n')
            config.write(f'slow_after = "2s"\nwindow = 500\n[purger.targets]\nurls = [{urls}]\n')

    async def origin(self, reader, writer):
        await serve_pages(self, reader, writer)

    def event(self):
        """Makes an event, and counts up the pages that it names."""
        kind = self.random.random()
        if kind < 0.985:
            pages = [self.random.randrange(PAGES) for _ in range(self.random.choice([1, 1, 2, 5]))]
            event = {"urls": [f"http://h/p/{page}" for page in pages]}
        elif kind < 0.995:
            tag = self.random.randrange(TAGS)
            event, pages = {"tags": [f"t{tag}"]}, range(tag, PAGES, TAGS)
        else:
            digits = str(self.random.randrange(10, 100))
            event, pages = {"prefixes": [f"http://h/p/{digits}"]}, [page for page in range(PAGES) if str(page).startswith(digits)]
        for page in set(pages):
            self.numbers[page] += 1
        if self.random.random() < 0.001:
            event["settleMs"] = [500]
        return event

    async def write_events(self):
        lines, producer = [], await self.start_producer()
        for number in range(self.options.events):
            lines.append(f"k{self.random.randrange(1000)}|{json.dumps(self.event())}\n".encode())
            producer.stdin.write(lines[-1])
            if number % 500 == 499:
                producer = await self.written_by(producer, lines)
                await asyncio.gather(*[self.read_some(proxy) for proxy in self.proxies])
        while True:
            producer = await self.written_by(producer, lines)
            producer.stdin.close()
            if await producer.wait() == 0:
                break
        self.written += self.options.events

    async def written_by(self, producer, lines):
        """Waits until the producer has taken the lines. One that broke (Kafka 0.9's may while it retries) has a successor, which writes all again."""
        while True:
            try:
                await producer.stdin.drain()
                if producer.returncode is None:
                    return producer
            except ConnectionError:
                await producer.wait()
            self.counts["producers that broke"] += 1
            producer = await self.start_producer()
            producer.stdin.writelines(lines)

    async def start_producer(self):
        command = [f"{ROOT}/target/kafka/dist/bin/kafka-console-producer.sh", "--broker-list", f"127.0.0.1:{self.broker}", "--topic", TOPIC]
        command += ["--property", "parse.key=true", "--property", "key.separator=|", "--request-required-acks", "-1"]
        command += ["--message-send-max-retries", "1000", "--retry-backoff-ms", "200", "--request-timeout-ms", "60000"]
        with open(f"{self.folder}/producer.log", "ab") as log:
            return await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    async def read_some(self, proxy):
        for _ in range(150):
            await self.ask(proxy.traffic, f"/p/{self.random.randrange(PAGES)}", 3)

    async def ask(self, port, path, patience=20):
        """Returns head and content; `None` where there is no answer."""
        try:
            connection = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await asyncio.wait_for(exchange(connection, "GET", path), patience)
            finally:
                connection[1].close()
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            return None

    async def fault(self, over):
        while not over.is_set():
            await asyncio.sleep(self.random.uniform(0.5, 4))
            kind, proxy = self.random.choice(self.options.faults), self.random.choice(self.proxies)
            if kind == "purger":
                self.purger.kill()
                self.purger.wait()
                self.start_purger()
            elif kind == "kill":
                proxy.kill()
                await asyncio.sleep(self.random.choice([0, 3, 8]))
                proxy.start()
            elif kind == "freeze":
                os.kill(proxy.pid, signal.SIGSTOP)
                await asyncio.sleep(self.random.choice([1, 7]))
                os.kill(proxy.pid, signal.SIGCONT)
            elif kind == "upgrade":
                await proxy.upgrade()
            elif kind == "broker":
                await asyncio.to_thread(self.kafka, "kill")
                await asyncio.sleep(self.random.choice([0, 2, 8]))
                await asyncio.to_thread(self.kafka, "start")
            self.counts[kind] += 1

    async def until_delivered(self):
        """Waits until the purger says that each proxy has everything; returns the seconds that took."""
        begun, status = time.monotonic(), None
        while time.monotonic() - begun < DELIVERY_MAX:
            answer = await self.ask(self.admin, "/api/v1/status")
            status = json.loads(answer[1]) if answer else None
            if status and self.is_delivered(status):
                return time.monotonic() - begun
            await asyncio.sleep(0.5)
        sys.exit(f"not delivered in {DELIVERY_MAX} s: {json.dumps(status)}; see {self.folder}")

    def is_delivered(self, status):
        ends = {partition["partition"]: partition["end"] for partition in status["partitions"]}
        if len(ends) < PARTITIONS or None in ends.values() or sum(ends.values()) < self.written:
            return False
        is_confirmed = all(partition["confirmed"] == partition["end"] and not partition["owed"] for partition in status["partitions"])
        positions = [{number: next for _, number, next in target["positions"]} for target in status["targets"]]
        return is_confirmed and len(positions) == PROXIES and all(each == ends for each in positions)

    async def every_page(self, proxy):
        """Asks for all pages; returns the number that each shows."""
        shown, permits = {}, asyncio.Semaphore(20)

        async def one(page):
            async with permits:
                for _ in range(100):
                    answer = await self.ask(proxy.traffic, f"/p/{page}")
                    if answer and answer[0].startswith(b"HTTP/1.1 200"):
                        shown[page] = int(answer[1].split()[0])
                        self.counts["hits at the end"] += b"; hit" in answer[0]
                        return
                    await asyncio.sleep(0.1)

        await asyncio.gather(*[one(page) for page in range(PAGES)])
        return shown

    async def run(self):
        server = await asyncio.start_server(self.origin, "127.0.0.1", 0)
        self.origin_port = server.sockets[0].getsockname()[1]
        self.kafka("start")
        self.kafka("topic", TOPIC, str(PARTITIONS))
        self.proxies = [Proxy(number, self) for number in range(PROXIES)]
        self.write_purger_settings()
        self.start_purger()
        try:
            await self.until_delivered()
            for number in range(self.options.rounds):
                await self.round(number)
        finally:
            for proxy in self.proxies:
                proxy.kill()
            self.purger.kill()
            self.purger.wait()
            self.kafka("stop")
        self.counts["panics"] = sum(open(log, errors="replace").read().count("panicked at") for log in self.logs())

    def logs(self):
        return [f"{self.folder}/purger.log", *[f"{proxy.folder}/log" for proxy in self.proxies]]

    async def round(self, number):
        for proxy in self.proxies:
            await self.every_page(proxy)
        over = asyncio.Event()
        faults = asyncio.create_task(self.fault(over))
        await self.write_events()
        over.set()
        await faults
        took = await self.until_delivered()
        for proxy in self.proxies:
            shown = await self.every_page(proxy)
            stale = [page for page in range(PAGES) if shown.get(page, -1) < self.numbers[page]]
            self.counts["pages asked for at the end"] += PAGES
            self.counts["stale"] += len(stale)
            for page in stale[:5]:
                print(f"STALE: proxy {proxy.number}, page {page}: {shown.get(page)} is shown, {self.numbers[page]} is right", flush=True)
        print(f"round {number}: {self.written} events, delivered {took:.1f} s after the last", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", help="the folder of shellac and shellac-purger")
    parser.add_argument("--storage", choices=STORAGE, default="file")
    parser.add_argument("--faults", type=lambda text: text.split(","), default=FAULTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    unknown = set(options.faults) - set(FAULTS)
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    folder = tempfile.mkdtemp()  # kept where something goes wrong
    trial = Trial(options, folder)
    asyncio.run(trial.run())
    print(", ".join(f"{count} {what}" for what, count in sorted(trial.counts.items())))
    if trial.counts["stale"] or trial.counts["panics"]:
        sys.exit(f"see {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
