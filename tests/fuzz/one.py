"""Fuzzes one target; a program: python -m tests.fuzz.one TARGET PREFIX [OPTION of libFuzzer] DIR.

What is found is written to a file whose name begins with PREFIX. With a file instead of the
directory it only looks whether that file's bytes are still a finding.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["agent", "tests.fuzz", "tomlkit", "tomllib"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until libFuzzer ends the process."""
    program, name, prefix, *options = sys.argv

    def check(data: bytes) -> None:
        try:
            TARGETS[name].check(data)
        except BaseException:
            # libFuzzer does so too, but not where it ends without having been asked.
            Path(f"{prefix}{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
            raise

    atheris.Setup([program, f"-artifact_prefix={prefix}", *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
