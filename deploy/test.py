#!/usr/bin/env python3
"""Dashboards and alert rules: what they name exists, and the rules do what they say.

    deploy/test.py                        # promtool from $PATH or $PROMTOOL, programs from target/debug or $SHELLAC_PROGRAMS

promtool is in Debian's package prometheus. Without it, or without the programs, those tests are skipped, and said so.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")
PROGRAMS = pathlib.Path(os.environ.get("SHELLAC_PROGRAMS", ROOT / "target/debug"))
RULES = DEPLOY / "prometheus/rules.yml"
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}


def metrics():
    """Every metric that the programs have, as queries name it."""
    names, typed = set(), {}
    # The snapshot of a proxy that has just started; what appears later is in the sources.
    for name, kind in re.findall(r"^    (shellac_\w+) (counter|gauge|histogram)$", (ROOT / "proxy/tests/it/admin.rs").read_text(), re.M):
        typed[name] = kind
    for path in (ROOT / "proxy/src").rglob("*.rs"):
        for name in re.findall(r'"(shellac_[a-z0-9_]+)"', path.read_text()):
            typed.setdefault(name, None)
    for path in (ROOT / "purger/src").rglob("*.rs"):
        for name in re.findall(r'\.register\(\s*"([a-z0-9_]+)"', path.read_text()):
            typed.setdefault(f"shellac_purger_{name}", None)
    for name, kind in typed.items():
        kinds = [kind] if kind else SUFFIXES
        names |= {name + suffix for kind in kinds for suffix in SUFFIXES[kind]}
    return names


def dashboards():
    for path in sorted((DEPLOY / "grafana").glob("*.json")):
        yield path.name, json.loads(path.read_text())


def queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


PROXY = """
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = ["127.0.0.1:0"]
[origin.app]
servers = ["localhost:1"]
[storage]
kind = "file"
[storage.file]
path = "FOLDER/store"
capacity = "256MiB"
[metrics]
sites = ["127.0.0.1"]
[[rule]]
name = "all"
path = "/*"
ttl = "1m"
"""
PURGER = """
[kafka]
brokers = ["127.0.0.1:1"]
[purger]
admin = "127.0.0.1:0"
[purger.targets]
urls = ["http://127.0.0.1:1"]
"""


@contextlib.contextmanager
def running(program, settings, ready):
    """Runs a program, and gives what it has logged once that holds a word."""
    with tempfile.TemporaryDirectory() as folder:
        log = open(pathlib.Path(folder, "log"), "w+")
        pathlib.Path(folder, "config.toml").write_text(settings.replace("FOLDER", folder) + '[log]\nformat = "json"\n')
        process = subprocess.Popen([PROGRAMS / program, "run"], stderr=log, cwd=folder)
        try:
            said, deadline = "", time.monotonic() + 30
            while ready not in said and time.monotonic() < deadline and process.poll() is None:
                log.seek(0)
                said = log.read()
                time.sleep(0.02)
            assert ready in said, said
            yield said
        finally:
            process.terminate()
            process.wait(30)
            log.close()


def scrape(address):
    return urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()


def page_of_proxy():
    """The metrics of a proxy with a file store, a rule and a site, after one request to an origin that is not there."""
    with running("shellac", PROXY, '"workers"') as said:
        traffic, admin = re.search(r"http://(127\.0\.0\.1:\d+)[^/\d]", said), re.search(r"http://(127\.0\.0\.1:\d+)/", said)
        try:
            urllib.request.urlopen(f"http://{traffic[1]}/", timeout=10)
        except urllib.error.HTTPError as error:
            assert error.code == 502, error
        return scrape(admin[1])


def page_of_purger():
    """The metrics of a purger whose broker does not answer."""
    with running("shellac-purger", PURGER, '"admin"') as said:
        return scrape(re.search(r"(127\.0\.0\.1:(?!1\b)\d+)", said)[1])


class Names(unittest.TestCase):
    def test_every_metric_that_a_dashboard_or_a_rule_names_exists(self):
        known = metrics()
        self.assertGreater(len(known), 100)
        sources = [(name, title, query) for name, dashboard in dashboards() for title, query in queries(dashboard)]
        sources += [("rules.yml", "", line) for line in RULES.read_text().splitlines() if "expr:" in line]
        found = 0
        for file, title, query in sources:
            for name in re.findall(r"\bshellac_[a-z0-9_]+", query):
                found += 1
                self.assertTrue(name in known, f"there is no {name}: {file} {title}: {query}")
        self.assertGreater(found, 100)

    def test_a_dashboard_can_be_imported(self):
        uids = set()
        for name, dashboard in dashboards():
            self.assertNotIn("__inputs", dashboard, name)
            uids.add(dashboard["uid"])
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(ids), len(set(ids)), name)
            taken = set()
            for panel in dashboard["panels"]:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24, f"{name}: {panel['title']}")
                cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
                self.assertFalse(cells & taken, f"{name}: {panel['title']} lies over another panel")
                taken |= cells
                for target in panel.get("targets", []):
                    self.assertIn('job=~"$job"', target["expr"], f"{name}: {panel['title']}")
            for link in dashboard["links"]:
                self.assertIn(link["url"].removeprefix("/d/"), {"shellac-proxy", "shellac-purger"})
        self.assertEqual(uids, {"shellac-proxy", "shellac-purger"})


@unittest.skipUnless(PROMTOOL, "no promtool")
class Promtool(unittest.TestCase):
    def promtool(self, *arguments, **options):
        done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def test_rules_are_sound_and_fire_when_they_should_and_only_then(self):
        self.promtool("check", "rules", RULES)
        self.promtool("test", "rules", DEPLOY / "prometheus/rules_test.yml")

    def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(self):
        alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
        cases = (DEPLOY / "prometheus/rules_test.yml").read_text()
        for alert in alerts:
            self.assertEqual(len(re.findall(rf"alertname: {alert}\n", cases)), 1, alert)
            self.assertEqual(len(re.findall(rf"alertname: {alert}, exp_alerts: \[\]", cases)), 1, alert)

    def test_every_query_of_a_dashboard_is_one(self):
        lines = ["groups:", "  - name: queries", "    rules:"]
        for name, dashboard in dashboards():
            for title, query in queries(dashboard):
                if query.startswith("label_values("):
                    continue
                query = query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")
                lines += [f"      - record: x{len(lines)}", f"        expr: {json.dumps(query)}"]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            self.promtool("check", "rules", file.name)

    @unittest.skipUnless((PROGRAMS / "shellac").exists(), f"no shellac in {PROGRAMS}")
    def test_the_page_of_metrics_holds_what_the_dashboards_ask_for(self):
        page = page_of_proxy()
        names = set(re.findall(r"^(shellac_[a-z0-9_]+)", page, re.M))
        wanted = {name for _, dashboard in dashboards() if dashboard["uid"] == "shellac-proxy"
                  for _, query in queries(dashboard) for name in re.findall(r"\bshellac_[a-z0-9_]+", query)}
        # These appear with a file store, a purger, or the first request.
        later = {name for name in wanted if name.startswith(("shellac_storage_", "shellac_purge_log_clean"))}
        self.assertEqual(sorted(wanted - names - later - {"shellac_bypass_cookies_total"}), [])

    @unittest.skipUnless((PROGRAMS / "shellac").exists(), f"no shellac in {PROGRAMS}")
    def test_promtool_finds_nothing_in_the_metrics_of_a_proxy(self):
        page = page_of_proxy()
        self.assertIn("shellac_rule_origin_seconds_total{", page)
        self.assertIn("shellac_storage_recovery_seconds ", page)
        self.assertIn("shellac_site_requests_total{", page)
        self.assertIn("shellac_dns_failures_in_row{", page)
        self.assertEqual(self.promtool("check", "metrics", input=page).stderr, "")

    @unittest.skipUnless((PROGRAMS / "shellac-purger").exists(), f"no shellac-purger in {PROGRAMS}")
    def test_promtool_finds_nothing_in_the_metrics_of_a_purger(self):
        page = page_of_purger()
        self.assertIn("shellac_purger_kafka_connected ", page)
        self.assertEqual(self.promtool("check", "metrics", input=page).stderr, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
