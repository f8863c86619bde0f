"""`model-agent doctor`, a real process against real shares: each trouble has its diagnosis.

Whatever a diagnosis says stands in docs/troubleshooting.md, so that who searches for it finds it.
"""

from __future__ import annotations

import codecs
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from azure.storage.fileshare import ShareSasPermissions

from agent.machine import clock
from agent.release import marker
from agent.sync import record, state
from tests.support import agents, models
from tests.support.azure_clients import share_sas, soon
from tests.support.azure_double import running_double
from tests.support.pods import Pod
from tests.support.rest import NAME, RestShare, rest_share
from tests.support.scripted import scripted
from tests.support.shares import FOLDER, SNAPSHOT, TestShare, flip, snapshot
from tests.support.workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.agents import Result

MIB: Final = 1024 * 1024
PAGE: Final = agents.REPO / "docs" / "troubleshooting.md"
POD: Final = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
WEIGHTS: Final = b"\x5a" * (16 * MIB)


@dataclass(frozen=True)
class Line:
    """One line that the doctor printed, in its columns."""

    level: str
    check: str
    text: str


class Patient(Pod):
    """A pod that the doctor looks at.

    Attributes:
        rest: What serves its share, if that is over REST.
        flags: The doctor's, but for the worker's; a test may change them.
    """

    def __init__(self, root: Path, rest: RestShare | None = None) -> None:
        super().__init__(root, rest.disk if rest else None, env=rest.env() if rest else {})
        self.rest = rest
        self.flags: list[str | Path] = []

    def doctor(self) -> Result:
        """Run the doctor; no worker is looked for unless a test has one."""
        worker = () if "--reload-url" in self.flags else ("--reload-method", "none")
        return self.run("doctor", *worker, *self.flags)


def lines(done: Result) -> list[Line]:
    """What the doctor printed; every line has its columns."""
    columns = [re.fullmatch(r"(\w+) {2,5}(\w+) +(.+)", line) for line in done.stdout.splitlines()]
    return [Line(*match.groups()) for match in columns if match or pytest.fail(done.stdout)]


def of(done: Result, check: str) -> list[Line]:
    """The lines of one check."""
    return [line for line in lines(done) if line.check == check]


def fill(share: TestShare) -> None:
    """One sound release, large enough to time, and the marker that names it."""
    share.add_files("v1", {"model.onnx": WEIGHTS, "tokenizer.json": b"{}"})
    share.mark("v1")


@pytest.fixture
def pod(tmp_path: Path) -> Patient:
    """A pod on a directory share with a release, which its store holds."""
    made = Patient(tmp_path)
    fill(made.share)
    assert made.init().code == 0
    return made


@contextmanager
def over_rest(root: Path) -> Iterator[Patient]:
    """A pod with the same share over REST, and an empty store."""
    with rest_share(root / "root", fill=fill) as rest:
        yield Patient(root, rest)


def test_all_is_well(pod: Patient) -> None:
    """A healthy set-up gives `ok` lines alone, exit 0, nothing on stderr, and changes nothing."""
    release = pod.share.manifest("v1")
    homes = {"FASTEMBED_CACHE_PATH": "fastembed", "HF_HOME": "huggingface"}
    pod.env |= {name: f"{pod.store}/{home}" for name, home in homes.items()}
    before = snapshot(pod.root)
    with scripted(lambda _, __: 500) as worker:
        worker.serve("v1", release.digest)
        pod.flags = ["--reload-url", worker.url]
        done = pod.doctor()
    assert (done.code, done.lines) == (0, ()), done.stdout
    seen = [line.check for line in lines(done)]
    expected = ["share", "mount", "releases", "marker", "speed", "store", "store"]
    assert seen == [*expected, "worker", "environment"]
    assert {line.level for line in lines(done)} == {"ok"}, done.stdout
    assert worker.asked == []
    assert snapshot(pod.root) == before


def test_it_only_reads_over_rest(tmp_path: Path) -> None:
    """Over REST nothing but reads and lists is asked for, and the secret is never shown."""
    with over_rest(tmp_path) as pod:
        assert pod.rest
        done = pod.doctor()
        asked = set(pod.rest.double.counters()["operations"])
        secret = pod.rest.double.key
    assert done.code == 0, done.stdout
    assert asked == {"GetFile", "ListDirectoriesAndFiles"}
    assert of(done, "credentials") == [
        Line("ok", "credentials", "account-key from AZURE_STORAGE_KEY.")
    ]
    assert "answers in" in of(done, "share")[0].text
    assert "MiB/s" in of(done, "speed")[0].text
    assert secret not in done.stdout + "".join(done.lines)


# How each trouble comes about, by its row in docs/troubleshooting.md.


def closed_port(pod: Patient) -> None:
    """Nobody listens there: as behind a firewall, or a private endpoint that is not approved."""
    pod.env["MODEL_AGENT_AZURE_ENDPOINT"] = "http://127.0.0.1:9"


def no_address(pod: Patient) -> None:
    """A name that no name server knows."""
    pod.env["MODEL_AGENT_AZURE_ENDPOINT"] = "http://nobody.invalid"


def sas(pod: Patient, **changes: Any) -> None:
    """Ask with a SAS instead of the key."""
    assert pod.rest
    token = share_sas(pod.rest.double, NAME, **changes)
    pod.env |= {"AZURE_STORAGE_KEY": "", "AZURE_STORAGE_SAS_TOKEN": token}


def throttle(pod: Patient) -> None:
    """Bodies come at 6 MiB/s."""
    assert pod.rest
    rate = 6 * MIB
    pod.rest.double.fault("throttle", operation="GetFile", bytes_per_second=rate, count=None)


OVER_REST: Final[list[tuple[str, Any, str, int]]] = [
    ("Share not reachable from the cluster (private endpoint)", closed_port, "share", 3),
    ("Share not reachable from the cluster (private endpoint)", no_address, "share", 3),
    ("Wrong credentials", lambda p: p.env.update(AZURE_STORAGE_KEY="aGVsbG8="), "share", 3),
    ("Wrong credentials", lambda p: sas(p, start=soon(-60), expiry=soon(-30)), "share", 3),
    ("Storage secret missing", lambda p: p.flags.extend(secret(p)), "credentials", 2),
    ("Slow share", throttle, "speed", 0),
    (
        "Missing role or permission",
        lambda p: sas(p, permission=ShareSasPermissions(read=True)),
        "share",
        3,
    ),
    ("No such share", lambda p: p.env.update(MODEL_AGENT_SHARE=another(p)), "share", 3),
]


def secret(pod: Patient) -> list[str | Path]:
    """A Secret that is mounted and empty."""
    directory = pod.root / "secret"
    directory.mkdir()
    return ["--azure-secret-dir", directory]


def another(pod: Patient) -> str:
    """A share that does not exist."""
    assert pod.rest
    return pod.rest.address + "-2"


def called(value: object) -> str:
    """The same name for a test in every process: no address of a function is in it."""
    return str(getattr(value, "__name__", value))[:40]


@pytest.mark.parametrize(("row", "arrange", "check", "code"), OVER_REST, ids=called)
def test_troubles_over_rest(
    row: str, arrange: Callable[[Patient], object], check: str, code: int, tmp_path: Path
) -> None:
    """Each trouble of an Azure Files share has its diagnosis, its exit code and its row."""
    with over_rest(tmp_path) as pod:
        arrange(pod)
        done = pod.doctor()
    assert_documented(done, row, check, code)


def test_a_clock_that_is_off(pod: Patient) -> None:
    """A clock an hour behind the service's is told apart from a wrong key."""
    with running_double("--clock-offset=3600", f"--share={NAME}") as double:
        pod.env |= RestShare(double, pod.share).env()
        assert_documented(pod.doctor(), "Wrong clock", "share", 3)


def misplace(pod: Patient) -> None:
    """A tree made by hand whose model lies beside the directory that FastEmbed looks in."""
    by_hand(pod, "fastembed/bge/onnx", "model.onnx", "tokenizer.json", "tokenizer_config.json")


def cut_short(pod: Patient) -> None:
    """A tree made by hand that lacks one file."""
    by_hand(pod, FOLDER, "tokenizer.json", "tokenizer_config.json")


def by_hand(pod: Patient, directory: str, *names: str) -> None:
    """Nothing on the share but a tree made by hand."""
    empty(pod)
    home = pod.share.root / directory
    home.mkdir(parents=True)
    for name in names:
        (home / name).write_bytes(b'{"model": {}}')


def empty(pod: Patient) -> None:
    """Nothing on the share."""
    pod.share.root.rename(pod.root / "moved-away")
    pod.share.root.mkdir()


def empty_for_ever(pod: Patient) -> None:
    """Nothing on the share, and no pod makes a release from the Hub."""
    empty(pod)
    pod.flags = ["--populate", "never"]


def bump_too_large(pod: Patient) -> None:
    """A release that the store has no room for."""
    pod.share.add_files("v2", {"model.onnx": WEIGHTS[::-1] + WEIGHTS})
    pod.share.mark("v2", "previous: v1")
    pod.flags = ["--store-limit", str(40 * MIB)]


def refuse(pod: Patient) -> None:
    """A release that this pod tried and found bad."""
    pod.share.add_files("v2", {"model.onnx": b"2"})
    pod.share.mark("v2", "previous: v1")
    found = marker.parse((pod.share.root / "VERSION").read_bytes())
    entry = state.Quarantine("model.onnx does not load.", found.sha256, None, clock.utc_now())
    record.save(pod.store / ".agent", state.State(quarantined={"v2": entry}))


def damage(name: str, data: bytes) -> Callable[[Patient], object]:
    """Have a tree made by hand, one of whose files holds something else."""

    def arrange(pod: Patient) -> None:
        by_hand(pod, FOLDER)
        models.write_tiny(pod.share.root / FOLDER)
        (pod.share.root / FOLDER / name).write_bytes(data)
        pod.share.mark("v1")

    return arrange


DAMAGED: Final = "Damaged file in a hand-made tree"
ON_DISK: Final[list[tuple[str, Any, str, int | None]]] = [
    ("Wrong directory structure", misplace, "layout", 4),
    ("Wrong directory structure", cut_short, "layout", 4),
    (DAMAGED, damage("config.json", codecs.BOM_UTF8 + b"{}"), "content", 5),
    (DAMAGED, damage("model.onnx", b"XSym\n0001\n".ljust(1067)), "content", 5),
    (
        "Wrong environment variable in the worker",
        lambda p: p.env.update(FASTEMBED_CACHE_PATH="/models/fastembed"),
        "environment",
        2,
    ),
    ("Share not mounted", lambda p: p.share.root.rename(p.root / "x"), "share", 3),
    ("Share empty", empty, "share", 0),
    ("Marker missing or broken", empty_for_ever, "marker", 4),
    (
        "Release missing or incomplete",
        lambda p: (p.share.release("v1") / SNAPSHOT / "tokenizer.json").unlink(),
        "marker",
        4,
    ),
    ("Release missing or incomplete", lambda p: p.share.mark("v9"), "marker", 4),
    ("Marker missing or broken", lambda p: p.share.mark(""), "marker", 4),
    ("Marker missing or broken", lambda p: (p.share.root / "VERSION").unlink(), "marker", 0),
    (
        "Manifest refused",
        lambda p: flip(p.share.release("v1") / "manifest.json", 0),
        "marker",
        5,
    ),
    ("Nothing to go back to", lambda p: p.share.mark("v1", "previous: v0"), "marker", 0),
    ("Store missing", lambda p: p.store.rename(p.root / "x"), "store", 2),
    ("Store too small", bump_too_large, "store", 6),
    ("Release refused", refuse, "store", 0),
    ("Share writable in pods", lambda p: p.env.update(POD), "mount", None),
    (
        "Worker not up",
        lambda p: p.flags.extend(["--reload-url", "http://127.0.0.1:9"]),
        "worker",
        0,
    ),
]


@pytest.mark.parametrize(("row", "arrange", "check", "code"), ON_DISK, ids=called)
def test_troubles_on_disk(
    row: str, arrange: Callable[[Patient], object], check: str, code: int | None, pod: Patient
) -> None:
    """Each trouble of a directory share or of the pod has its diagnosis, exit code and row."""
    arrange(pod)
    assert_documented(pod.doctor(), row, check, code)


def test_a_worker_that_failed(pod: Patient) -> None:
    """A worker that could not load a release is exit 8, with its reason."""
    digest = pod.share.manifest("v1").digest
    with scripted(lambda _, __: 500) as worker:
        pod.flags = ["--reload-url", worker.url]
        worker.serve("v1", digest)
        worker.load({"version": "v2", "digest": "0" * 64}, state="failed", reason="no memory")
        done = pod.doctor()
        assert_documented(done, "Worker failed to load", "worker", 8)
        assert "no memory" in done.sentence
        worker.load({"version": "v2", "digest": "0" * 64})
        assert "serves v1 and loads v2" in of(pod.doctor(), "worker")[0].text
        worker.serve("v2", "0" * 64)
        done = pod.doctor()
        assert_documented(done, "Worker serves another release", "worker", 0)


def test_the_rows_are_all_tested() -> None:
    """Every row of the page is one that a test brings about."""
    tested = {row for row, *_ in [*OVER_REST, *ON_DISK]}
    tested |= {
        "Wrong clock",
        "Store not writable",
        "Worker failed to load",
        "Worker serves another release",
    }
    assert set(rows()) == tested


def assert_documented(done: Result, row: str, check: str, code: int | None) -> None:
    """The doctor's exit code, and a line of it that the page quotes; never a traceback."""
    assert code is None or done.code == code, done.stdout
    assert not any("Traceback" in line for line in done.lines), done.lines
    said = [f"{each.level} {each.check} {each.text}" for each in of(done, check)]
    quotes = rows()[row]
    assert any(re.fullmatch(quote, line) for quote in quotes for line in said), (quotes, said)
    failed = [line for line in lines(done) if line.level == "fail"]
    assert bool(failed) == bool(done.code)
    if failed:
        assert failed[0].text.endswith(done.sentence.removeprefix("model-agent: "))


def rows() -> dict[str, list[str]]:
    """The page's table: by the name of the trouble, patterns of what the doctor says of it."""
    table = re.findall(r"^\| \*\*(.+?)\*\*.*? \| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    return {name: [_pattern(q) for q in re.findall("`([^`]+)`", quotes)] for name, quotes in table}


def _pattern(quote: str) -> str:
    return ".*".join(map(re.escape, quote.split("…")))


def test_where_the_models_lie_instead(pod: Patient) -> None:
    """A wrong tree: the file that is missing, where it lies instead, and what the loader wants."""
    misplace(pod)
    (said,) = of(pod.doctor(), "layout")
    repo = f"fastembed/models--{models.MINILM_REPO.replace('/', '--')}"
    assert f"{repo} ({models.MINILM}) is missing" in said.text
    assert f"fastembed/bge/onnx/model.onnx belongs to {repo}/" in said.text
    assert "FastEmbed wants model.onnx" in said.text


def test_a_tree_made_by_hand(pod: Patient) -> None:
    """A good tree without a manifest is well, and its speed and room are looked at too."""
    by_hand(pod, FOLDER)
    models.write_tiny(pod.share.root / FOLDER, hidden=384)
    pod.share.mark("v1")
    done = pod.doctor()
    assert done.code == 0, done.stdout
    assert of(done, "layout")[0].text.endswith(f"is complete: {models.MINILM} (fastembed).")
    assert "MiB/s" in of(done, "speed")[0].text
    assert "what the marker names needs 1" in of(done, "store")[1].text
    assert (
        of(done, "content")[0].text
        == "5 files are whole, as far as their formats tell; `init` runs the models."
    )
    pod.env["MODEL_AGENT_REQUIRE_MANIFEST"] = "true"
    done = pod.doctor()
    assert (done.code, of(done, "releases")[0].level, of(done, "layout")) == (4, "warn", [])


@pytest.mark.parametrize("address", ["https://host/share", "azurefiles://University/x"])
def test_an_address_that_is_wrong(address: str, pod: Patient) -> None:
    """An address that is none is exit 2, and the rest of the pod is looked at all the same."""
    pod.flags = ["--share", address]
    done = pod.doctor()
    assert done.code == 2
    assert address in done.sentence
    assert of(done, "mount") == []
    assert of(done, "store")[0].level == "ok"


def test_a_store_that_is_read_only(pod: Patient) -> None:
    """A store that cannot be written is exit 2."""
    mount = ["mount", "--bind", str(pod.store), str(pod.store)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(pod.store)], check=True)
        assert_documented(pod.doctor(), "Store not writable", "store", 2)
    finally:
        subprocess.run(["umount", str(pod.store)], check=True)


def test_one_trouble_does_not_hide_another(pod: Patient) -> None:
    """The share away, the store gone, a wrong variable: all are said; the first code counts."""
    pod.share.root.rename(pod.root / "x")
    pod.store.rename(pod.root / "y")
    pod.env["HF_HOME"] = "/wrong"
    done = pod.doctor()
    assert done.code == 3
    levels = {line.check: line.level for line in lines(done)}
    assert [levels[name] for name in ("share", "store", "environment")] == ["fail"] * 3
    assert [levels[name] for name in ("releases", "marker", "layout", "speed")] == ["skip"] * 4


@pytest.mark.slow
def test_a_share_that_hangs(tmp_path: Path) -> None:
    """A share that takes requests and never answers is exit 3; the other checks are made."""
    with over_rest(tmp_path) as pod:
        assert pod.rest
        pod.rest.double.fault("stall", operation="ListDirectoriesAndFiles", after=0, count=None)
        done = pod.doctor()
        pod.rest.double.heal()
    assert done.code == 3
    assert "did not finish its answer" in of(done, "share")[0].text
    assert {line.level for line in of(done, "store")} == {"warn", "ok"}


def test_it_ends_when_told_to(tmp_path: Path) -> None:
    """SIGTERM ends it at once, whatever a check waits for."""
    with over_rest(tmp_path) as pod:
        assert pod.rest
        pod.rest.double.fault("stall", operation="ListDirectoriesAndFiles", after=0, count=None)
        with pod.start("doctor") as process:
            until(lambda: pod.rest and pod.rest.double.faults()[0]["hits"])
            process.terminate()
            done = agents.finish(process, timeout=5)
        pod.rest.double.heal()
    assert done.code == 128 + signal.SIGTERM


def test_json(pod: Patient) -> None:
    """`--json` says the same to programs, with the same exit code."""
    pod.share.mark("v9")
    pod.flags = ["--json"]
    done = pod.doctor()
    report = json.loads(done.stdout)
    assert report["exit_code"] == done.code == 4
    failed = [each for each in report["findings"] if each["level"] == "fail"]
    assert [each["check"] for each in failed] == ["marker"]
    assert "v9 is missing" in failed[0]["seen"]


@contextmanager
def another_process(**env: str) -> Iterator[int]:
    """A process that waits, with these variables: the worker of a shared process namespace."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=agents.environment(env)
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        yield process.pid
        process.stdin.close()


def test_the_environment_of_another_process(pod: Patient) -> None:
    """In a pod the worker's own environment is read, where the process namespace is shared."""
    pod.env |= POD
    with another_process(FASTEMBED_CACHE_PATH="/models/fastembed") as pid:
        done = pod.doctor()
    said = [line.text for line in of(done, "environment") if f"process {pid} (" in line.text]
    assert done.code == 2
    assert f"should be '{pod.store}/fastembed'" in said[0]


def test_the_sidecar_is_not_the_worker(pod: Patient) -> None:
    """In a pod whose containers share nothing, the only other process is the sidecar's."""
    pod.env |= POD
    with pod.sidecar(env={"FASTEMBED_CACHE_PATH": "/nowhere"}) as sidecar:
        done = pod.doctor()
    said = [line.text for line in of(done, "environment")]
    assert said
    assert not [text for text in said if f"process {sidecar.process.pid} (" in text]


def test_a_worker_that_mounts_the_store_elsewhere(pod: Patient) -> None:
    """A variable that leads to the store under another path is right."""
    elsewhere = pod.root / "elsewhere"
    elsewhere.symlink_to(pod.store)
    pod.env |= POD
    with another_process(FASTEMBED_CACHE_PATH=f"{elsewhere}/fastembed"):
        done = pod.doctor()
    said = [line.text for line in of(done, "environment")]
    assert said
    assert not [text for text in said if str(elsewhere) in text or "cannot be seen" in text]


def test_from_a_machine_without_a_store(pod: Patient) -> None:
    """Where there is no pod and no store, only the share is looked at."""
    if os.path.lexists("/mnt/models"):
        pytest.skip("this machine has a store")
    del pod.env["MODEL_AGENT_STORE"]
    done = pod.run("doctor")
    assert done.code == 0, done.stdout
    assert [line.level for line in lines(done) if line.check == "store"] == ["skip"]
    assert not of(done, "worker")


def test_nothing_else_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal no log line stands between the findings."""
    with over_rest(tmp_path) as pod:
        master, slave = pty.openpty()
        with pod.start("doctor", stdout=slave, stderr=slave) as process:
            os.close(slave)
            shown = b"".join(iter(lambda: _read(master), b"")).decode()
        os.close(master)
    assert process.returncode == 0, shown
    levels = {line.split()[0] for line in shown.splitlines()}
    assert levels == {"ok", "warn"}, shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that nobody has the other end any more
        return b""
