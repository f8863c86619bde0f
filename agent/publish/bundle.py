"""`model-agent publish --bundle`: a release in a directory, for a site that reaches no share."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import RefusedError
from agent.files import durable
from agent.files.durable import writing
from agent.publish.publisher import Published

if TYPE_CHECKING:
    from agent.publish.makers import Maker
    from agent.publish.sign import Signing


def write_bundle(maker: Maker, target: Path, signing: Signing) -> Published:
    """Make a release in `target`, and return it; nothing is there if that fails.

    Args:
        maker: Makes the release.
        target: A directory that is not there, or empty.
        signing: Signs it, and holds it to the rule about signatures.

    Raises:
        RefusedError: There is something in `target`.
        VerificationError: The rule would not let it in.
        AgentError: As `Maker.make` raises.
    """
    _require_empty(target)
    # It is made beside the target and renamed: whoever is killed leaves no half of a bundle there.
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    with writing(str(target)):
        durable.make_directory(unfinished)
    try:
        made = maker.make(unfinished)
        signing.put(made, unfinished)
        with writing(str(target)):
            durable.sync_tree(unfinished)
            unfinished.rename(target)
            durable.sync_directory(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    maker.done()
    return Published(made, new=True, signed=signing.key is not None)


def _require_empty(target: Path) -> None:
    # The rename would take the current directory from under its user.
    if not target.name or target.resolve() == Path.cwd():
        raise RefusedError(f"{target} is no place for a bundle.", remedy="Name a new directory.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RefusedError(f"{target} is not empty.", remedy="Name a new directory.")
