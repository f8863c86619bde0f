"""What tests on a GPU stand on, and the table that they leave behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import onnxruntime as ort
import pytest

from agent.models.devices import device as devices
from agent.models.devices import driver
from tests.support import models, stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from _pytest.terminal import TerminalReporter

    from agent.models.devices.evidence import Memory

Row: TypeAlias = "Callable[[str, str], None]"

SITE: Final = Path(ort.__file__).parents[1]
_ROWS: Final = pytest.StashKey[list[tuple[str, str]]]()
_SOURCE: Final = Path(__file__).with_name("driver.c")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a GPU test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """Adds a line to the table at the end."""
    rows = request.config.stash.setdefault(_ROWS, [])
    return lambda name, value: rows.append((name, value))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table: what was measured, and what could not be done, and why."""
    rows = [*config.stash.setdefault(_ROWS, [])]
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        rows.append((report.nodeid.rpartition("::")[2], f"NOT DONE: {reason}"))
    if rows:
        terminalreporter.section("what was seen")
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            terminalreporter.write_line(f"{name:<{width}}  {value}")


@pytest.fixture(scope="session")
def gpu_build() -> None:
    """The GPU build of onnxruntime."""
    if devices.PROVIDERS["cuda"] not in ort.get_available_providers():
        pytest.skip("this is the CPU build of onnxruntime; run make test-gpu")


@pytest.fixture(scope="session")
def gpu(gpu_build: None) -> Memory:
    """A GPU that is visible, with its memory."""
    found = driver.memory(0)
    if found is None:
        pytest.skip(f"no GPU can be used: {devices.why_none() or 'the driver does not start'}")
    return found


@pytest.fixture(scope="session")
def no_gpu() -> None:
    """A machine without a GPU."""
    if devices.has_nodes():
        pytest.skip("this machine has a GPU")


@pytest.fixture(scope="session")
def fake_driver(gpu_build: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which NVIDIA's driver is `driver.c`."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    directory = tmp_path_factory.mktemp("driver")
    library = directory / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(_SOURCE)], check=True)
    return {"LD_LIBRARY_PATH": str(directory)}


@pytest.fixture(scope="session")
def minilm_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose v1 is the real MiniLM with its canary, made on the CPU."""
    root = tmp_path_factory.mktemp("gpu")
    models.write_minilm_onnx(root / "files")
    name, repo = models.MINILM, models.MINILM_REPO
    canary = stores.canary_of(root / "files", name=name, repo=repo, scratch=root / "cache")
    for version in ("v1", "v2"):
        stores.fastembed_release(
            root / "store",
            version,
            root / "files",
            name=name,
            repo=repo,
            canary=canary,
            dim=len(canary.vectors[0]),
        )
    stores.activate(root / "store", "v1")
    return root / "store"


def hidden_library(directory: Path, name: str) -> str:
    """A `PYTHONPATH` under which onnxruntime and its CUDA libraries are as here, but for one.

    They are links, since onnxruntime looks for the libraries beside its own package.
    """
    (directory / "onnxruntime").symlink_to(SITE / "onnxruntime")
    for path in (SITE / "nvidia").rglob("*.so*"):
        link = directory / path.relative_to(SITE)
        if path.name != name:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return str(directory)


def installed_over(directory: Path) -> str:
    """A `PYTHONPATH` where onnxruntime was installed over onnxruntime-gpu, as pip does it."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    cpu = directory / "cpu"
    subprocess.run([*command, str(cpu), "onnxruntime"], check=True)
    both = directory / "both"
    both.mkdir()
    for path in SITE.glob("onnxruntime_gpu-*.dist-info"):
        (both / path.name).symlink_to(path)
    # The package's files are the last one's, the records of both are there.
    shutil.copytree(cpu, both, dirs_exist_ok=True)
    return str(both)
