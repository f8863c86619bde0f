"""Releases and clusters for faults, and the matrix of what was held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from agent.release import manifest
from agent.store import records as verified
from tests.faults.matrix import PAGE, Matrix, cases_of
from tests.support.pods import Pod
from tests.support.shares import EXTERNAL, HALF, INLINE, TestShare

if TYPE_CHECKING:
    from collections.abc import Generator

_CASES: Final = "cases"
_matrix: Final = Matrix()


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A share with v1, v2 and v3 of one embedding space, whose files differ; none is promoted."""
    share = TestShare(tmp_path_factory.mktemp("releases") / "share")
    for version, kind in (("v1", INLINE), ("v2", EXTERNAL), ("v3", HALF)):
        share.add(version, kind)
    return share.root


@pytest.fixture(scope="session")
def served(releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    """Such a share with v1 promoted, and a store in which `init` made it active; to be copied."""
    made = Pod(tmp_path_factory.mktemp("served"))
    made.share.fill_from(releases)
    made.agent("promote", "v1")
    made.agent("init")
    return made


@pytest.fixture
def fresh(releases: Path, tmp_path: Path) -> Pod:
    """A pod whose share has v1, v2 and v3, and no marker; its store is empty."""
    made = Pod(tmp_path)
    made.share.fill_from(releases)
    return made


@pytest.fixture
def pod(served: Pod, tmp_path: Path) -> Pod:
    """The same with v1 promoted, and active in the store."""
    made = Pod(tmp_path)
    made.share.fill_from(served.share.root)
    # Unlike Python's, it keeps hard links.
    subprocess.run(["cp", "--archive", f"{served.store}/.", str(made.store)], check=True)
    home, records = made.store / "releases" / "v1", made.store / ".agent"
    # The records name inodes, which are others now.
    assert verified.write(records, manifest.parse((home / manifest.FILE_NAME).read_bytes()), home)
    return made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a soak test, and has a place in the matrix."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.soak)
            assert cases_of(item), f"{item.nodeid} has no @case"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the report carry its cases to whoever counts them, across processes."""
    report = yield
    if report.when == "call" or report.failed:
        report.user_properties.extend((_CASES, list(each)) for each in cases_of(item))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count, where all reports come together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    found: list[Any] = [value for name, value in report.user_properties if name == _CASES]
    if report.skipped:
        _matrix.skipped += 1
    elif found:
        _matrix.add(found, failed=report.failed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix."""
    if _matrix.held:
        terminalreporter.section("faults")
        for line in _matrix.table():
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """After a whole run, write the page, or hold it to what was found."""
    wanted = os.environ.get("FAULT_MATRIX")
    if exitstatus or not _matrix.held or wanted is None:
        return
    if _matrix.skipped:
        sys.stderr.write(f"\n{PAGE} is left alone: some faults cannot be provoked here (-rs).\n")
    elif wanted == "write":
        PAGE.write_text(_matrix.page())
    elif not PAGE.exists() or PAGE.read_text() != _matrix.page():
        sys.stderr.write(f"\n{PAGE} is not what the tests found. Run `make faults`.\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
