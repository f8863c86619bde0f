"""The release that is moved: a model of bge-large's true shape and size, chunked as published."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.release import manifest
from agent.release.manifest import CHUNK_SIZE, File
from tests.benchmarks import ceilings
from tests.support import models
from tests.support.rest import NAME
from tests.support.stores import CREATED, a_model

if TYPE_CHECKING:
    from pathlib import Path

    from agent.release.manifest import Manifest
    from tests.benchmarks.ceilings import Ceilings

VERSION: Final = "v1"


@dataclass(frozen=True)
class Subject:
    """A release on a share.

    Attributes:
        room: A directory for whatever a benchmark leaves; it is gone afterwards.
        account: The directory that the double serves: the share is in it.
        share: The share as a directory.
        directory: Where on it the release is.
        release: The release's manifest.
        ceilings: What the machine can do at most.
    """

    room: Path
    account: Path
    share: Path
    directory: Path
    release: Manifest
    ceilings: Ceilings


def write(room: Path) -> Subject:
    """Write the release to a share in `room`."""
    share = room / "account" / NAME
    directory = share / "releases" / VERSION
    models.write_bge_large(directory / "fastembed", weights="external")
    release = describe(directory)
    return Subject(room, share.parent, share, directory, release, ceilings.measure(room))


def change_one_file(subject: Subject) -> Manifest:
    """Put v2 on the share, which is v1 with another smallest file, and give its manifest."""
    directory = subject.directory.with_name("v2")
    shutil.copytree(subject.directory, directory, copy_function=os.link)
    (directory / manifest.FILE_NAME).unlink()
    small = directory / min(subject.release.files, key=lambda file: file.size).path
    data = small.read_bytes()
    small.unlink()
    small.write_bytes(data + b" ")
    return describe(directory)


def describe(directory: Path) -> Manifest:
    """Put a manifest beside the files of a release, whose version is its directory's name."""
    made = manifest.build(
        version=directory.name,
        created=CREATED,
        generator="benchmarks",
        chunk_size=CHUNK_SIZE,
        files=[_file(directory, path) for path in directory.rglob("*") if path.is_file()],
        models=[a_model()],
    )
    (directory / manifest.FILE_NAME).write_bytes(made.encoded)
    return made


def _file(directory: Path, path: Path) -> File:
    whole, chunks = hashlib.sha256(), []
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_SIZE):
            whole.update(chunk)
            chunks.append(hashlib.sha256(chunk).hexdigest())
    return File(
        path=str(path.relative_to(directory)),
        size=path.stat().st_size,
        sha256=whole.hexdigest(),
        chunks=tuple(chunks),
    )
