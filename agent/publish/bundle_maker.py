"""Takes over a bundle: a release that was made before, in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.files import disk, durable, progress, verify
from agent.files.copy import Copier, Job
from agent.files.durable import writing
from agent.files.progress import ByteCounter
from agent.release import manifest
from agent.shares.directory import DirectoryShare
from agent.signing import stored

if TYPE_CHECKING:
    from pathlib import Path

    from agent.publish.workshop import Workshop
    from agent.release.manifest import Manifest


@dataclass(frozen=True)
class BundleMaker:
    """Takes a release as it is, once every byte of it was verified.

    Attributes:
        workshop: Holds the release to what new ones are held to.
        directory: The bundle.
        release: The bundle's manifest.
    """

    workshop: Workshop
    directory: Path
    release: Manifest

    @property
    def version(self) -> str:
        """The version of the release."""
        return self.release.version

    def would_make(self, _there: Manifest) -> bool:
        """Return False: its bytes may not be those of its manifest."""
        return False

    def make(self, target: Path) -> Manifest:
        """Copy the bundle, with the signature that it came with; see `Maker`.

        Raises:
            PickleError: It holds pickles, and none are allowed; nothing was read or copied.
            VerificationError: A file is not what the manifest says.
        """
        release, here = self.release, DirectoryShare(self.directory)
        self.workshop.refuse_pickles(release.version, release.pickles)
        stop, log = self.workshop.stop, self.workshop.log
        disk.require(target, release.size)
        # The digests of whole files too: a signature is of those, pods go by chunks. And here, not
        # where it is copied to: that may be a mount, from which reading takes long.
        verify.verify(release, here, "", stop=stop, log=log, whole=True)
        moved = ByteCounter()
        copier = Copier(here, target, release.chunk_size, stop, moved.add)
        with progress.shown(log, "copy", moved, release.size):
            copier.copy([Job(f.path, f.path, f.size, f.chunks) for f in release.files])
        with writing(manifest.FILE_NAME):
            durable.write(target / manifest.FILE_NAME, release.encoded)
        stored.keep(target, stored.read(self.directory))
        self.workshop.approve(release, target)
        return release

    def done(self) -> None:
        """Nothing was kept."""
