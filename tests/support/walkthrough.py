"""Types the shell blocks of a page as its reader does, and holds what comes to what the page shows.

A block is typed if `<!-- tested: NAME -->` stands before it; `<!-- tested: NAME exits 4 -->` says
that it ends with that status. `<!-- shows: NAME -->` stands before what it prints: these lines come
in this order, with others between them. `…` stands for anything, a number for any other, and a size
for one in any unit.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.secrecy import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPED: Final = re.compile(
    r"^<!-- tested: ([\w-]+)(?: exits (\d+))? -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_SHOWN: Final = re.compile(r"^<!-- shows: ([\w-]+) -->\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A digest counts as a number; the one in v1 does not.
_OTHER: Final = re.compile(r"…|\b[0-9a-f]{12,}\b|(?<![\w.])\d[\d.]*(?: [KMGT]iB\b)?")


class Terminal:
    """A terminal that a page is typed into: variables and the directory stay from block to block.

    Args:
        page: The page, in Markdown.
        room: The directory that one begins in.
        env: The variables that one begins with.
        instead: What stands in for a path or an address of the page; more may be added later.

    Attributes:
        left: The blocks that were not typed yet.
        directory: Where one is now.
    """

    def __init__(
        self, page: Path, room: Path, env: Mapping[str, str], instead: Mapping[str, str]
    ) -> None:
        text = page.read_text()
        self._typed = {name: (int(code or 0), body) for name, code, body in _TYPED.findall(text)}
        self._shown: dict[str, str] = dict(_SHOWN.findall(text))
        self._env = dict(env)
        self._state = room / ".terminal"
        self.instead = dict(instead)
        self.left = set(self._typed)
        self.directory = room

    def type(self, name: str) -> str:
        """Type a block, and give what it printed.

        Raises:
            AssertionError: It ended with another status, or printed something else than is shown.
        """
        code, body = self._typed[name]
        self.left.discard(name)
        keep = f"\npwd > {self._state}.pwd\nenv -0 > {self._state}.env\n"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._here(body) + keep],
            cwd=self.directory,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        checked(done.stdout)
        assert done.returncode == code, f"{name} ended with {done.returncode}:\n{done.stdout}"
        if not code:
            self._remember()
        self._hold(name, done.stdout)
        return done.stdout

    def _here(self, text: str) -> str:
        """The text with what stands in for things here."""
        for there, here in self.instead.items():
            text = text.replace(there, here)
        return text

    def _remember(self) -> None:
        self.directory = Path(Path(f"{self._state}.pwd").read_text().strip())
        pairs = Path(f"{self._state}.env").read_text().split("\0")
        self._env = dict(pair.split("=", 1) for pair in pairs if pair)

    def _hold(self, name: str, printed: str) -> None:
        lines = iter(printed.splitlines())
        for wanted in self._here(self._shown.get(name, "")).splitlines():
            pattern = _pattern(wanted)
            found = any(pattern.fullmatch(line.rstrip()) for line in lines)
            assert found, f"{name} does not print {wanted!r} there:\n{printed}"


def _pattern(line: str) -> re.Pattern[str]:
    parts, end = [], 0
    for match in _OTHER.finditer(line):
        parts.append(re.escape(line[end : match.start()]))
        parts.append({"…": ".*"}.get(match[0], r"[0-9a-f][0-9a-f.]*(?: [KMGT]iB)?"))
        end = match.end()
    return re.compile("".join(parts) + re.escape(line[end:].rstrip()))
