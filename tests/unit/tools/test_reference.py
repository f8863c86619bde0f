"""docs/reference.md is what the code says, and no page speaks of what is not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from agent import settings
from agent.errors import Exit
from agent.sidecar.metrics import Metrics
from docs import reference, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

ROOT: Final = reference.PAGE.parents[1]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
KUBERNETES: Final = sorted(path for path in (ROOT / "k8s").rglob("*.*") if path.is_file())
MONITORING: Final = sorted((ROOT / "k8s" / "components" / "monitoring").iterdir())

# What stands for any setting, and what Kubernetes injects for a Service.
NO_SETTINGS: Final = {"MODEL_AGENT_X_Y", "MODEL_AGENT_PORT"}
# What stands for any flag, and flags of other programs that stand alone.
NO_FLAGS: Final = {"--x-y", "--list-ptx", "--watch", "--kind", "--previous"}
EVERYWHERE: Final = {"--help"}

VARIABLE: Final = re.compile(r"MODEL_AGENT_[A-Z_]*[A-Z]")
METRIC: Final = re.compile(r"model_agent_[a-z_]*[a-z]")
FLAG: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
FLAG_ALONE: Final = re.compile(r"`(--[a-z][a-z-]*[a-z])")
WORKER_CALL: Final = re.compile(r"embeddings-worker/app\.py([^\n`|#]*)")
COMMAND: Final = re.compile(
    r"(?:^|`|-- |=\S+ )model-agent ((?:catalog )?[a-z]+)([^\n`|#]*)", re.MULTILINE
)
EXIT: Final = re.compile(
    r"""\bexit(?:s|ed|_code":)?(?:\ code|\ status)?(?:\ with|\ is)?\ (\d+)|\bends?\ with\ (\d+)""",
    re.VERBOSE,
)
# What a container ends with that the kernel kills for its memory.
KILLED: Final = "137"
BUCKETS: Final = re.compile(r"_(bucket|sum|count)$")


def found(pattern: re.Pattern[str], paths: Iterable[Path]) -> dict[str, list[str]]:
    """What a pattern finds, and in which files."""
    places: dict[str, list[str]] = {}
    for path in paths:
        for match in pattern.finditer(path.read_text()):
            text = next(filter(None, match.groups()), match[0])
            places.setdefault(text, []).append(path.relative_to(ROOT).as_posix())
    return places


def unknown(places: dict[str, list[str]], known: Iterable[str]) -> dict[str, list[str]]:
    """What is found and not known; something must be found, or the pattern is wrong."""
    assert places
    return {text: where for text, where in places.items() if text not in set(known)}


def calls(pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    """The calls of a program in all pages; a line that goes on is one."""
    texts = [path.read_text().replace("\\\n", " ") for path in PAGES]
    return [match.groups() for text in texts for match in pattern.finditer(text)]


def spelled(command: str) -> set[str]:
    """The flags of a command."""
    flags = rows.flags(rows.named_commands()[command])
    return {spelling for each in flags for spelling in each.opts} | EVERYWHERE


def worker_flags() -> set[str]:
    """The flags of the embeddings worker."""
    return {spelling for each in rows.worker_actions() for spelling in each.option_strings}


def test_the_page_is_what_the_code_says() -> None:
    """Whoever changes a setting, an exit code, a metric or an endpoint changes the page."""
    assert reference.PAGE.read_text() == reference.page(), "Run `make docs`."


def test_the_page_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the terminal, nor the environment, nor the directory has a say in it."""
    before = reference.page()
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "COLUMNS": "20",
        "MODEL_AGENT_KEEP": "7",
        "EMBEDDINGS_DEVICE": "cpu",
    }.items():
        monkeypatch.setenv(name, value)
    assert reference.page() == before


def test_each_setting_is_shown_once() -> None:
    """A new setting that belongs to no group, or to two, does not go unseen."""
    shown = re.findall(r"^\| `--.*? \| `(MODEL_AGENT_\w+)` \|", reference.page(), re.MULTILINE)
    assert sorted(shown) == sorted(map(settings.variable, settings.BY_NAME))


def test_each_metric_is_shown() -> None:
    """What `/metrics` holds is on the page."""
    families = {family.name for family in Metrics().registry.collect()}
    shown = {name.strip("`").removesuffix("_total") for name, *_ in rows.metrics()}
    assert shown == families


LINES: Final[dict[str, Sequence[Sequence[str]]]] = {
    "commands": [*rows.commands(), *rows.own_flags()],
    "settings": [rows.setting(name) for name in settings.BY_NAME],
    "exit codes": [line[:3] for line in rows.exits()],
    "metrics": list(rows.metrics()),
    "endpoints": [line for app in rows.applications().values() for line in rows.routes(app)],
    "worker": list(rows.worker_flags()),
}


@pytest.mark.parametrize("kind", LINES)
def test_each_line_says_what_it_is(kind: str) -> None:
    """A handler without a docstring, or a flag without help, tells an operator nothing."""
    assert [line for line in LINES[kind] if not line[-1]] == []


def test_variables_in_pages_and_manifests_exist() -> None:
    """An unknown variable would stop the agent that is given it."""
    known = {*map(settings.variable, settings.BY_NAME), *NO_SETTINGS}
    assert unknown(found(VARIABLE, [*PAGES, *KUBERNETES]), known) == {}


def test_flags_in_pages_exist() -> None:
    """A flag that stands alone is one of some command, or of the embeddings worker."""
    known = {flag for name in rows.named_commands() for flag in spelled(name)}
    assert unknown(found(FLAG_ALONE, PAGES), known | worker_flags() | NO_FLAGS) == {}


def test_commands_in_pages_work() -> None:
    """Every command line of the pages names a command, and flags that it has."""
    named = calls(COMMAND)
    assert {name for name, _ in named} - {*rows.named_commands(), "catalog"} == set()
    taken = [(name, flag) for name, rest in named for flag in FLAG.findall(rest)]
    assert taken
    assert [(name, flag) for name, flag in taken if flag not in spelled(name)] == []


def test_calls_of_the_worker_in_pages_work() -> None:
    """The same holds for the embeddings worker."""
    taken = {flag for (rest,) in calls(WORKER_CALL) for flag in FLAG.findall(rest)}
    assert taken - worker_flags() == set()


def test_metrics_in_pages_and_alerts_exist() -> None:
    """An alert on a metric that is not there never fires."""
    lines = {line[0].strip("`"): line[1] for line in rows.metrics()}
    named = unknown(found(METRIC, [*PAGES, *MONITORING]), lines)
    histograms = {name for name, kind in lines.items() if kind == "histogram"}
    assert {text for text in named if BUCKETS.sub("", text) not in histograms} == set()


def test_exit_codes_in_pages_exist() -> None:
    """What a page says that a command ends with, some command can end with."""
    known = {*(str(each.value) for each in Exit), KILLED}
    assert unknown(found(EXIT, PAGES), known) == {}
