#!/usr/bin/env python3
"""The packages: units, Debian packages, container files, Kubernetes manifests.

    python3 -m pip install -r packaging/requirements.txt
    packaging/test.py                     # programs from target/debug, or from $SHELLAC_PROGRAMS

Needs systemd (for systemd-analyze), dpkg, cargo-deb 3.8. Installing takes root: it happens in a copy of this machine's file system
that is gone afterwards (an overlay in a mount namespace of its own). What cannot be tested on a machine is skipped, and said so.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
PROGRAMS = pathlib.Path(os.environ.get("SHELLAC_PROGRAMS", ROOT / "target/debug"))

# The exposure of systemd-analyze in tenths: what a program needs that binds low ports, or speaks to Kafka, and no more.
EXPOSURE_MAX = {"shellac.service": 17, "shellac-purger.service": 12}
# Kubernetes' schemas: the oldest and the newest version that is looked at.
KUBERNETES = ["1.29", "1.34"]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, **{"text": True} | options)


def unit(name):
    """The settings of a unit: a list for each key."""
    settings = {}
    for line in (PACKAGING / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def seconds(text):
    number, of = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[of]


def limits(*files):
    """`[limits]` of the first file that has it, over the defaults."""
    found = tomllib.loads((ROOT / "config.toml").read_text())["limits"]
    for file in files:
        found |= tomllib.loads(file.read_text()).get("limits", {})
    return found


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
class Units(unittest.TestCase):
    def test_the_sandbox_is_no_wider_than_it_was(self):
        for name, exposure in EXPOSURE_MAX.items():
            found = run("systemd-analyze", "security", "--offline=yes", f"--threshold={exposure}", PACKAGING / name)
            self.assertEqual(found.returncode, 0, found.stdout[-200:] + found.stderr)
            narrower = run("systemd-analyze", "security", "--offline=yes", f"--threshold={exposure - 1}", PACKAGING / name)
            self.assertNotEqual(narrower.returncode, 0, f"{name} is narrower by now: lower its exposure here")

    def test_a_bad_configuration_is_not_tried_again_and_a_drain_is_waited_for(self):
        for name in EXPOSURE_MAX:
            settings = unit(name)
            self.assertEqual(settings["RestartPreventExitStatus"], ["78"], name)
            self.assertEqual(settings["Type"], ["notify"], name)
            self.assertNotIn("root", settings["User"], name)
        drain = sum(seconds(limits()[key]) for key in ["drain_delay", "drain_timeout"])
        self.assertGreater(seconds(unit("shellac.service")["TimeoutStopSec"][0]), drain)

    def test_users_and_folders_are_made_in_an_empty_root(self):
        with tempfile.TemporaryDirectory() as root:
            etc = pathlib.Path(root, "etc")
            etc.mkdir()
            for name in ["passwd", "group"]:
                (etc / name).touch()
            for name in ["shellac", "shellac-purger"]:
                made = run("systemd-sysusers", f"--root={root}", PACKAGING / f"{name}.sysusers")
                self.assertEqual(made.returncode, 0, made.stderr)
            users = [line.split(":")[0] for line in (etc / "passwd").read_text().splitlines()]
            self.assertEqual(sorted(users), ["shellac", "shellac-purger"])
            groups = dict(line.split(":")[::2] for line in (etc / "group").read_text().splitlines())
            purgers = [line.split(":")[3] for line in (etc / "passwd").read_text().splitlines() if line.startswith("shellac-purger:")]
            self.assertEqual(purgers, [groups["shellac"]])


class Manifests(unittest.TestCase):
    def documents(self):
        import yaml
        for path in sorted((PACKAGING / "kubernetes").glob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text()):
                yield path.name, document

    def test_every_manifest_follows_the_schemas_of_kubernetes(self):
        try:
            import kubernetes_validate
        except ImportError:
            self.skipTest("no kubernetes-validate")
        count = 0
        for name, document in self.documents():
            if document["apiVersion"].startswith("kustomize"):
                continue
            for version in KUBERNETES:
                kubernetes_validate.validate(document, version, strict=True)
                count += 1
        self.assertGreater(count, 10)

    def test_what_manifests_name_exists(self):
        documents = [document for _, document in self.documents()]
        by_kind = {}
        for document in documents:
            by_kind.setdefault(document["kind"], []).append(document)
        pods = by_kind["Deployment"] + by_kind["StatefulSet"]
        labels = [pod["spec"]["template"]["metadata"]["labels"] for pod in pods]
        ports = {port["name"] for pod in pods for port in pod["spec"]["template"]["spec"]["containers"][0]["ports"]}
        for service in by_kind["Service"]:
            self.assertIn(service["spec"]["selector"], labels)
            for port in service["spec"]["ports"]:
                self.assertIn(port["targetPort"], ports)
        for budget in by_kind["PodDisruptionBudget"]:
            self.assertIn(budget["spec"]["selector"]["matchLabels"], labels)
        for pod in pods:
            self.assertEqual(pod["spec"]["selector"]["matchLabels"], pod["spec"]["template"]["metadata"]["labels"])
        kustomization = by_kind["Kustomization"][0]
        for resource in kustomization["resources"] + kustomization["configMapGenerator"][0]["files"]:
            self.assertTrue((PACKAGING / "kubernetes" / resource).exists(), resource)

    def test_the_purger_finds_proxies_that_are_not_ready(self):
        services = {document["metadata"]["name"]: document["spec"] for _, document in self.documents() if document["kind"] == "Service"}
        settings = tomllib.loads((PACKAGING / "kubernetes/config.toml").read_text())
        name, port = settings["purger"]["targets"]["dns"].split(":")
        self.assertTrue(services[name]["publishNotReadyAddresses"])
        self.assertEqual(services[name]["clusterIP"], "None")
        self.assertEqual([str(own["port"]) for own in services[name]["ports"]], [port])
        self.assertEqual(settings["admin"]["listen"][0].split(":")[1], port)

    def test_pods_have_time_to_drain_and_no_rights(self):
        own = limits(PACKAGING / "kubernetes/config.toml")
        drain = sum(seconds(own[key]) for key in ["drain_delay", "drain_timeout"])
        for name, document in self.documents():
            if document["kind"] not in ["Deployment", "StatefulSet"]:
                continue
            pod = document["spec"]["template"]["spec"]
            self.assertGreater(pod["terminationGracePeriodSeconds"], drain, name)
            self.assertTrue(pod["securityContext"]["runAsNonRoot"], name)
            for container in pod["containers"]:
                self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]}, name)
                self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"], name)
                self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/readyz", name)
                self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/healthz", name)

    def test_both_kinds_of_proxies_differ_in_their_store_only(self):
        kinds = {document["kind"]: document for _, document in self.documents()}
        containers = []
        for kind, own in [("Deployment", kinds["Deployment"]), ("StatefulSet", kinds["StatefulSet"])]:
            if own["metadata"]["name"] != "shellac":
                own = next(document for _, document in self.documents()
                           if document["kind"] == kind and document["metadata"]["name"] == "shellac")
            container = dict(own["spec"]["template"]["spec"]["containers"][0])
            container.pop("env", None)
            container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] != "cache"]
            containers.append(container)
        self.assertEqual(*containers)


class Containers(unittest.TestCase):
    def test_images_run_without_root_and_say_how_they_are(self):
        text = (PACKAGING / "container/Containerfile").read_text()
        stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[2:]
        self.assertEqual(len(stages), 2)
        for stage in stages:
            program = re.search(r' AS (\S+)', stage)[1]
            self.assertRegex(stage, r"(?m)^USER 65532:65532$")
            self.assertIn(f'CMD ["/usr/bin/{program}", "health"]', stage)
            self.assertIn(f'ENTRYPOINT ["/usr/bin/{program}"]', stage)
            for source in re.findall(r"(?m)^COPY (packaging/\S+)", stage):
                self.assertTrue((ROOT / source).exists(), source)

    def test_the_compose_file_gives_time_to_drain_and_names_targets_that_exist(self):
        import yaml
        compose = yaml.safe_load((PACKAGING / "container/compose.yaml").read_text())
        text = (PACKAGING / "container/Containerfile").read_text()
        own = limits(PACKAGING / "container/config.toml")
        drain = sum(seconds(own[key]) for key in ["drain_delay", "drain_timeout"])
        for name in ["shellac", "shellac-purger"]:
            service = compose["services"][name]
            self.assertIn(f" AS {service['build']['target']}\n", text)
            self.assertGreater(seconds(service["stop_grace_period"]), drain)
            self.assertEqual(service["cap_drop"], ["ALL"])

    def test_a_configuration_that_is_shipped_is_right(self):
        if not (PROGRAMS / "shellac").exists():
            self.skipTest(f"no shellac in {PROGRAMS}")
        for path in ["config.toml", "container/config.toml", "kubernetes/config.toml"]:
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write((PACKAGING / path).read_text().replace("${file:/run/secrets/shellac/admin-token}", "secret"))
                file.flush()
                checked = run(PROGRAMS / "shellac", "check", "--config", file.name)
                self.assertEqual(checked.returncode, 0, checked.stderr)
                self.assertNotIn("⚠", checked.stderr)


class Licences(unittest.TestCase):
    """What `cargo deny check licenses sources` looks at, for machines without it."""

    def packages(self):
        done = run("cargo", "metadata", "--format-version", "1", "--locked", cwd=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["packages"]

    def test_every_licence_of_a_dependency_is_allowed(self):
        allowed = set(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"])
        bad, count = [], 0
        for package in self.packages():
            if package["source"] is None:
                continue
            expression = (package["license"] or "none").replace("/", " OR ")
            # Each licence becomes True or False; AND and OR stay.
            words = re.sub(r"[\w.+-]+", lambda word: {"AND": "and", "OR": "or", "WITH": "WITH"}.get(word[0], str(word[0] in allowed)), expression)
            words = re.sub(r"(True|False) WITH (True|False)", r"\1", words)
            count += 1
            if not eval(words, {"__builtins__": {}}):  # of True, False, and, or, brackets
                bad.append(f"{package['name']} {package['version']}: {package['license']}")
        self.assertGreater(count, 100)
        self.assertEqual(bad, [])

    def test_every_dependency_comes_from_the_registry_or_this_repository(self):
        others = [package["id"] for package in self.packages()
                  if package["source"] not in (None, "registry+https://github.com/rust-lang/crates.io-index")]
        self.assertEqual(others, [])


# What is done in the copy of the file system, as root. Each line that it prints is `name=value`.
INSTALL = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd "$1"
dpkg -i shellac_*.deb shellac-purger_*.deb >log 2>&1 || { cat log >&2; exit 1; }
stat -c 'config=%A %U:%G' /etc/shellac/config.toml
stat -c 'folder=%A %U:%G' /etc/shellac
stat -c 'program=%A %U:%G' /usr/bin/shellac
echo "purger_group=$(id -gn shellac-purger)"
echo "verify=$(systemd-analyze verify /usr/lib/systemd/system/shellac.service /usr/lib/systemd/system/shellac-purger.service 2>&1 | tr '\n' ' ')"
echo "enabled=$(ls /etc/systemd/system/multi-user.target.wants | grep shellac | tr '\n' ' ')"
echo "check=$(setpriv --reuid shellac --regid shellac --init-groups shellac check 2>&1 | tail -1)"
code=0; setpriv --reuid shellac-purger --regid shellac --clear-groups shellac-purger check --no-environment >/dev/null 2>&1 || code=$?
echo "purger_check=$code"
echo "other=$(setpriv --reuid nobody --regid nogroup --clear-groups shellac check 2>&1 | grep -c 'Permission denied')"

# A start as the unit would, on free ports, and a drain.
cat > /etc/shellac/config.toml <<TOML
# changed by its owner
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = ["unix:/run/shellac/admin.sock"]
[origin.app]
servers = ["127.0.0.1:1"]
[storage]
kind = "file"
[storage.file]
path = "/var/cache/shellac"
capacity = "64MiB"
TOML
install -d -o shellac -g shellac /run/shellac /var/cache/shellac
setpriv --reuid shellac --regid shellac --init-groups shellac run >run.log 2>&1 &
pid=$!
tries=0
until shellac reload --dry-run >/dev/null 2>&1; do
    tries=$((tries + 1)); [ $tries -lt 100 ] || { cat run.log >&2; exit 1; }
    kill -0 $pid 2>/dev/null || { cat run.log >&2; exit 1; }
    sleep 0.1
done
echo "health=$(shellac health --ready >/dev/null 2>&1; echo $?)"
echo "completions=$(bash -c '. /usr/share/bash-completion/completions/shellac && complete -p shellac' | grep -c shellac)"
echo "store=$(stat -c %U /var/cache/shellac/store.dat)"
kill -TERM $pid
code=0; wait $pid || code=$?
echo "drained=$code"

# The same version again: what the owner changed stays.
dpkg -i --force-confold shellac_*.deb >log 2>&1 || { cat log >&2; exit 1; }
echo "kept=$(head -1 /etc/shellac/config.toml)"
stat -c 'config_after=%A %U:%G' /etc/shellac/config.toml
dpkg -r shellac >/dev/null 2>&1
echo "removed=$(ls /usr/bin/shellac 2>&1 | grep -c 'No such file') config=$(ls /etc/shellac/config.toml)"
dpkg -P shellac shellac-purger >/dev/null 2>&1
echo "purged=$(ls -d /etc/shellac /var/cache/shellac /usr/share/doc/shellac 2>/dev/null | tr '\n' ' ')"
"""


class DebianPackages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("cargo-deb") or not shutil.which("dpkg-deb"):
            raise unittest.SkipTest("no cargo-deb, or no dpkg")
        for program in ["shellac", "shellac-purger"]:
            if not (PROGRAMS / program).exists():
                raise unittest.SkipTest(f"no {program} in {PROGRAMS}")
        cls.folder = tempfile.TemporaryDirectory()
        release = pathlib.Path(cls.folder.name, "release")
        release.mkdir()
        for program in ["shellac", "shellac-purger"]:
            run("strip", "-o", release / program, PROGRAMS / program, check=True)
        environment = os.environ | {"CARGO_TARGET_DIR": cls.folder.name}
        built = run(PACKAGING / "build-deb.sh", "--no-build", "--fast", env=environment)
        assert built.returncode == 0, built.stderr
        cls.packages = pathlib.Path(cls.folder.name, "debian")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def package(self, name):
        (found,) = self.packages.glob(f"{name}_*.deb")
        return found

    def test_a_package_holds_program_unit_users_and_documents(self):
        for name, expected in {
            "shellac": ["etc/shellac/config.toml", "etc/logrotate.d/shellac", "usr/bin/shellac", "usr/lib/systemd/system/shellac.service",
                        "usr/lib/sysusers.d/shellac.conf", "usr/lib/tmpfiles.d/shellac.conf", "usr/share/doc/shellac/copyright",
                        "usr/share/doc/shellac/config.toml", "usr/share/doc/shellac/docs/purging.md", "usr/share/man/man1/shellac.1.gz",
                        "usr/share/man/man1/shellac-purge.1.gz", "usr/share/bash-completion/completions/shellac",
                        "usr/share/zsh/vendor-completions/_shellac", "usr/share/fish/vendor_completions.d/shellac.fish"],
            "shellac-purger": ["usr/bin/shellac-purger", "usr/lib/systemd/system/shellac-purger.service",
                               "usr/lib/sysusers.d/shellac-purger.conf", "usr/share/doc/shellac-purger/copyright",
                               "usr/share/man/man1/shellac-purger-send.1.gz", "usr/share/bash-completion/completions/shellac-purger"],
        }.items():
            listed = run("dpkg-deb", "-c", self.package(name), check=True).stdout
            files = {line.split()[-1].removeprefix("./") for line in listed.splitlines()}
            self.assertEqual([path for path in expected if path not in files], [])
            self.assertEqual([path for path in files if path.startswith(("usr/local", "opt", "home"))], [])
        control = run("dpkg-deb", "--ctrl-tarfile", self.package("shellac"), text=False).stdout
        conffiles = subprocess.run(["tar", "-xO", "./conffiles"], input=control, capture_output=True, check=False).stdout.decode()
        self.assertEqual(sorted(conffiles.split()), ["/etc/logrotate.d/shellac", "/etc/shellac/config.toml"])

    @unittest.skipUnless(os.geteuid() == 0, "takes root")
    def test_packages_are_installed_run_upgraded_and_purged(self):
        with tempfile.TemporaryDirectory() as place:
            (pathlib.Path(place) / "install.sh").write_text(INSTALL)
            script = f"""
                set -eu
                mount -t tmpfs none {place}/ 2>/dev/null
                mkdir -p {place}/upper {place}/work {place}/copy
                mount -t overlay overlay -o lowerdir=/,upperdir={place}/upper,workdir={place}/work {place}/copy
                mount -t tmpfs none {place}/copy/run
                mount -t tmpfs none {place}/copy/tmp
                mount -t proc proc {place}/copy/proc
                mount --rbind /dev {place}/copy/dev
                mkdir {place}/copy/tmp/packages
                cp {self.packages}/*.deb {place}/copy/tmp/packages/
                cp /dev/stdin {place}/copy/tmp/install.sh
                exec chroot {place}/copy sh /tmp/install.sh /tmp/packages
            """
            done = run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, input=INSTALL)
            if "overlay" in done.stderr and "mount" in done.stderr:
                self.skipTest(f"no overlay here: {done.stderr.strip()}")
            self.assertEqual(done.returncode, 0, done.stderr)
            said = dict(line.split("=", 1) for line in done.stdout.splitlines())
            self.assertEqual(said["config"], "-rw-r----- root:shellac")
            self.assertEqual(said["folder"], "drwxr-x--- root:shellac")
            self.assertEqual(said["program"], "-rwxr-xr-x root:root")
            self.assertEqual(said["purger_group"], "shellac")
            self.assertNotIn("shellac", said["verify"])
            self.assertEqual(said["enabled"].split(), ["shellac.service"], "the purger waits for its settings")
            self.assertTrue(said["check"].startswith("✓"), said["check"])
            self.assertEqual(said["purger_check"], "78", "it reads the file, which names no brokers")
            self.assertEqual(said["other"], "1", "nobody else reads the configuration")
            self.assertEqual(said["health"], "0")
            self.assertEqual(said["completions"], "1")
            self.assertEqual(said["store"], "shellac")
            self.assertEqual(said["drained"], "0")
            self.assertEqual(said["kept"], "# changed by its owner")
            self.assertEqual(said["config_after"], "-rw-r----- root:shellac")
            self.assertEqual(said["removed"], "1 config=/etc/shellac/config.toml")
            self.assertEqual(said["purged"].split(), [])


# Makes the copy of the file system that systemd is started in, with only what it needs.
BOOT = r"""
set -eu
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/copy"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/copy"
copy=$1/copy
mount -t proc proc "$copy/proc"
mount -t tmpfs none "$copy/run"
mount --rbind /dev "$copy/dev"
mount -t sysfs sysfs "$copy/sys"
mount -t cgroup2 none "$copy/sys/fs/cgroup" || true
mkdir -p "$copy/srv/packages"
cp "$2"/shellac_*.deb "$copy/srv/packages/"
rm -f "$copy/usr/sbin/policy-rc.d"
rm -rf "$copy/etc/systemd/system/multi-user.target.wants" "$copy/lib/systemd/system/multi-user.target.wants"
for unit in systemd-udevd systemd-udev-trigger systemd-logind systemd-timesyncd systemd-networkd systemd-resolved console-getty getty@tty1; do
    ln -sf /dev/null "$copy/etc/systemd/system/$unit.service"
done
export container=other
exec chroot "$copy" /lib/systemd/systemd --system --unit=multi-user.target --show-status=0 --log-target=null </dev/null
"""

# What an operator does. Each line that it prints is `name=value`.
OPERATE = r"""
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
show() { systemctl show shellac -p "$1" --value; }
ready() { curl -s -m 5 http://127.0.0.1:8081/readyz; }
dpkg -i /srv/packages/shellac_*.deb >/srv/log 2>&1 || cat /srv/log >&2
systemctl start shellac
echo "started=$(show ActiveState) $(show User)"
cp /etc/shellac/config.toml /srv/good
printf '[storage]\nkind = "tiered"\n[storage.file]\npath = "/var/cache/shellac"\ncapacity = "64MiB"\n' >> /srv/good
echo '[nonsense]' >> /etc/shellac/config.toml
systemctl reload shellac 2>/dev/null; echo "bad_reload=$? $(show ActiveState) $(ready)"
systemctl restart shellac 2>/dev/null; sleep 3
echo "bad_start=$(show ActiveState) $(show ExecMainStatus) $(show NRestarts)"
cat /srv/good > /etc/shellac/config.toml
systemctl reset-failed shellac; systemctl start shellac
echo "store=$(stat -c %U /var/cache/shellac/store.dat) $(ready)"
systemctl reload shellac; echo "reload=$?"
upgrade() {
    before=$(show MainPID)
    systemctl kill -s USR2 --kill-who=main shellac
    for _ in $(seq 100); do [ "$(show MainPID)" = "$before" ] || break; sleep 0.1; done
    [ "$(show MainPID)" = "$before" ]; echo "$1=$? $(show ActiveState) $(ready)"
    for _ in $(seq 100); do kill -0 "$before" 2>/dev/null || break; sleep 0.1; done # the old process leaves
}
upgrade upgraded
upgrade upgraded_again
# The package again: the program that runs hands over to the new one.
before=$(show MainPID) since=$(show ActiveEnterTimestamp)
dpkg -i /srv/packages/shellac_*.deb >/srv/log 2>&1 || cat /srv/log >&2
for _ in $(seq 100); do [ "$(show MainPID)" = "$before" ] || break; sleep 0.1; done
[ "$(show MainPID)" = "$before" ]; echo "package=$? $(show ActiveState) $(ready) $([ "$since" = "$(show ActiveEnterTimestamp)" ] && echo never_down)"
for _ in $(seq 100); do kill -0 "$before" 2>/dev/null || break; sleep 0.1; done
sed -i 's/^\[admin\]$/[admin]\ntoken = "another"/' /etc/shellac/config.toml
grep -q '^token = "another"' /etc/shellac/config.toml || printf '[admin]\ntoken = "another"\n' >> /etc/shellac/config.toml
systemctl reload shellac; echo "token=$? $(show ActiveState)"
systemctl stop shellac
echo "stopped=$(show ActiveState) $(show Result)"
"""


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare") and pathlib.Path("/lib/systemd/systemd").exists(), "takes root and systemd")
class UnderSystemd(DebianPackages):
    """The package under a systemd of its own, in namespaces that are gone afterwards."""

    test_a_package_holds_program_unit_users_and_documents = None
    test_packages_are_installed_run_upgraded_and_purged = None

    def test_a_service_starts_reloads_upgrades_and_stops_as_its_unit_says(self):
        with tempfile.TemporaryDirectory() as place:
            command = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--kill-child", "sh", "-c", BOOT, "boot", place, str(self.packages)]
            system = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.operate(system, pathlib.Path(place, "copy"))
            finally:
                system.kill()
                system.wait(30)

    def operate(self, system, copy):
        deadline = time.monotonic() + 60
        while True:
            if system.poll() is not None or time.monotonic() > deadline:
                self.skipTest("systemd does not start here")
            children = pathlib.Path(f"/proc/{system.pid}/task/{system.pid}/children").read_text().split()
            enter = ["nsenter", "-t", children[0], "-m", "-p", "-n", "-u", "-i", "chroot", str(copy)] if children else None
            if enter and run(*enter, "systemctl", "is-active", "multi-user.target", timeout=30).stdout.strip() == "active":
                break
            time.sleep(0.2)
        run(*enter, "ip", "link", "set", "lo", "up")
        done = run(*enter, "bash", "-c", OPERATE, timeout=180)
        said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        expected = {
            "started": "active shellac",
            "bad_reload": "1 active ready",
            "bad_start": "failed 78 0",
            "store": "shellac ready",
            "reload": "0",
            "upgraded": "1 active ready",
            "upgraded_again": "1 active ready",
            "package": "1 active ready never_down",
            "token": "0 active",
            "stopped": "inactive success",
        }
        self.assertEqual(said, expected, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
