"""docs/architecture.md says what the linter holds, and names only what is there."""

from __future__ import annotations

import re
import tomllib
from typing import Final

from docs import reference

ROOT: Final = reference.PAGE.parents[1]
PAGE: Final = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE: Final = ROOT / "agent"
MOST_LINES: Final = 300
MOST_MODULES: Final = 16
TOP: Final = {"cli", "healthcheck", "context", "settings", "errors", "logs", "quantities", "retry"}


def section(title: str) -> str:
    """The text below one of the page's headings."""
    return re.split(r"^## ", PAGE.split(f"\n## {title}\n", 1)[1], flags=re.MULTILINE)[0]


def test_the_layers_are_those_of_the_linter() -> None:
    """The table's rows are the layers of the contract, from top to bottom."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [each["layers"] for each in contracts["contracts"] if each["type"] == "layers"]
    rows = re.findall(r"^\| \d+ \| (.*?) \|", section("Layers"), flags=re.MULTILINE)
    assert [set(re.findall(r"`(.*?)`", row)) for row in rows] == [
        set(layer.split(" | ")) for layer in layers
    ]
    assert not [each for each in contracts["contracts"] if "ignore_imports" in each]


def test_every_module_that_the_page_names_is_there() -> None:
    """A journey leads through files that a reader can open."""
    named = set(re.findall(r"`((?:agent\.)?[a-z_]+(?:\.[a-z_]+)+)`", PAGE))
    modules = {name.removeprefix("agent.") for name in named if not name.endswith(".json")}
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    looked_at = {name for name in modules if name.split(".")[0] in packages}
    assert len(looked_at) > 30
    missing = [
        name
        for name in looked_at
        if not (path := PACKAGE / name.replace(".", "/")).with_suffix(".py").is_file()
        and not path.is_dir()
    ]
    assert missing == []


def test_the_rooms_are_small() -> None:
    """No module is over 300 lines, no folder has over 16 modules, and the top has only these."""
    modules = sorted(PACKAGE.rglob("*.py"))
    assert [str(path) for path in modules if path.read_text().count("\n") > MOST_LINES] == []
    folders = {path.parent for path in modules}
    sizes = {
        str(folder): len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        for folder in folders
    }
    assert {folder: count for folder, count in sizes.items() if count > MOST_MODULES} == {}
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == TOP
