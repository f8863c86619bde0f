"""Fuzzes every target for its part of the time; what it finds ends it, with how to see it again.

python -m tests.fuzz [SECONDS [TARGET ...]]
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.fuzz.targets import TARGETS, Target

HOME: Final = Path("build/fuzz")
# Bytes; a marker may have 4096.
_LONGEST: Final = 5000
# What takes a parser longer than this is a finding, too.
_SLOW_SECONDS: Final = 5
_MOST_MEMORY_MIB: Final = 1024
# What libFuzzer says that is nobody's business.
_NOISE: Final = ("#", "INFO", "WARNING", "Dictionary", "stat::", "MS:", "0x", "Base64")


def main(arguments: list[str]) -> int:
    """Fuzz; 1 if anything was found."""
    seconds, *chosen = arguments or ["60"]
    names = chosen or list(TARGETS)
    # libFuzzer takes 0 for no limit.
    each = max(1, int(seconds) // len(names))
    found = [fuzz(name, TARGETS[name], each) for name in names]
    return int(any(found))


def fuzz(name: str, target: Target, seconds: int) -> bool:
    """Fuzz one target; whether anything was found."""
    home = HOME / name
    prepare(home, target)
    with (home / "log").open("wb") as log:
        command = [*program(name, home), *options(home, seconds)]
        ended = subprocess.run(command, stdout=log, stderr=log, check=False)
    said = (home / "log").read_text(errors="replace")
    count = re.search(r"number_of_executed_units: (\d+)", said)
    print(f"{name}: {count[1] if count else 'no'} inputs in {seconds} s", flush=True)
    if ended.returncode:
        report(name, home, said)
    return bool(ended.returncode)


def program(name: str, home: Path) -> list[str]:
    """What fuzzes a target."""
    return [sys.executable, "-m", "tests.fuzz.one", name, f"{home}/found-"]


def prepare(home: Path, target: Target) -> None:
    """Have the seeds beside what an earlier run kept, and no finding of one."""
    (home / "corpus").mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (home / "corpus" / f"seed-{number}").write_bytes(seed)
    lines = (f'"{_escaped(word)}"' for word in target.words)
    (home / "words").write_text("\n".join(lines) + "\n")
    for old in home.glob("found-*"):
        old.unlink()


def options(home: Path, seconds: int) -> list[str]:
    """What libFuzzer is told."""
    given = {
        "max_total_time": seconds,
        "max_len": _LONGEST,
        "timeout": _SLOW_SECONDS,
        "rss_limit_mb": _MOST_MEMORY_MIB,
        "dict": home / "words",
        "print_final_stats": 1,
    }
    return [*(f"-{name}={value}" for name, value in given.items()), str(home / "corpus")]


def report(name: str, home: Path, said: str) -> None:
    """Show what was found, and how to see it again."""
    lines = [line for line in said.splitlines() if not line.startswith(_NOISE)]
    print("\n".join(lines[-40:]))
    found = {path.read_bytes(): path for path in sorted(home.glob("found-*"))}
    for data, path in found.items():
        print(f"\n{data!r}\nAgain: {' '.join(program(name, home))} {path}")


def _escaped(word: str) -> str:
    r"""A word as a dictionary of libFuzzer has it: all that is not plain as `\xNN`."""
    plain = set(range(0x20, 0x7F)) - {ord('"'), ord("\\")}
    return "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
