"""Finds a release on the share: with a manifest, or as a tree that was made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import ReleaseMissingError, VerificationError
from agent.publish.adopted import ADOPTED
from agent.release import layout
from agent.release.manifest import Manifest
from agent.release.version import UNVERSIONED, is_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.context import Context
    from agent.settings import Populate
    from agent.shares.reader import ShareReader
    from agent.signing.policy import Policy


@dataclass(frozen=True)
class HandMadeTree:
    """A release that was made by hand: a tree at the share's root.

    Attributes:
        suffix: The suffix of its directories, such as `-v2`; empty if they have none.
    """

    suffix: str


@dataclass(frozen=True)
class Catalogued:
    """The catalog's own release, which the share lacks and the agent can make.

    Attributes:
        to_share: True if it is published on the share, false if only made in the store.
        lacking: A sentence that says what the share lacks.
    """

    to_share: bool
    lacking: str


Found = Manifest | HandMadeTree | Catalogued


@dataclass(frozen=True)
class Locator:
    """Finds releases on one share.

    Attributes:
        reader: The share.
        policy: The rule about signatures that releases must meet.
        require_manifest: True if trees made by hand are ignored.
        populate: The setting `--populate`: the place for the catalog's release if the share lacks
            it.
        own_version: Returns the catalog's version; the catalog is parsed only on that call.
    """

    reader: ShareReader
    policy: Policy
    require_manifest: bool
    populate: Populate
    own_version: Callable[[], str]

    @classmethod
    def of(cls, context: Context) -> Locator:
        """Return the locator of a run."""
        s = context.settings
        return cls(
            context.reader,
            context.policy,
            s.require_manifest,
            s.populate,
            lambda: context.contents.catalog.version,
        )

    def locate(self, version: str) -> Manifest | HandMadeTree:
        """Return the manifest of `version` on the share, or its tree.

        A tree is this version if its directories have its suffix (`fastembed-v2/`). A tree without
        a suffix is the version in the file `ADOPTED`; if there are no releases yet, it counts as
        any version.

        Raises:
            ReleaseMissingError: The share does not have the release, or not all of it.
            VerificationError: Its manifest or its signature is refused.
            UnreachableError: The share does not answer.
        """
        try:
            release = self.reader.manifest(version)
        except (ReleaseMissingError, VerificationError) as error:
            releases = self.reader.names(layout.RELEASES)
            self._refuse_other_case(version, releases)
            missing = isinstance(error, ReleaseMissingError)
            tree = self._tree(version, releases) if missing else None
            if tree is None:
                raise
            self.policy.hold_unsigned(version)
            return tree
        self.policy.hold_on(self.reader, release)
        return release

    def find(self, version: str) -> Found:
        """Return the manifest of `version`, its tree, or the plan to make it if the share lacks it.

        Raises:
            ReleaseMissingError: The share does not have it completely, and it cannot be made.
            AgentError: As `locate` raises, or the catalog is refused.
        """
        try:
            return self.locate(version)
        except ReleaseMissingError as error:
            if not self._can_make(version):
                raise
            return Catalogued(to_share=self.populate == "share", lacking=error.what)

    def _refuse_other_case(self, version: str, releases: Sequence[str]) -> None:
        """Name the release whose name differs from `version` in upper and lower case only.

        Raises:
            ReleaseMissingError: There is one. Azure Files gives its manifest for `version`, too.
        """
        for other in filter(is_version, releases):
            if other != version and other.casefold() == version.casefold():
                raise ReleaseMissingError(
                    f"There is no release {version} on the share {self.reader.address}, but "
                    f"{other}: upper and lower case count.",
                    remedy=f"Name it as it is: model-agent promote {other}.",
                )

    def _can_make(self, version: str) -> bool:
        """Return true if a pod can make the release; pods cannot sign it if that is required."""
        is_own = version == self.own_version()
        return is_own and self.populate != "never" and not self.policy.required

    def default(self, marker: str) -> str:
        """Return the release that a new pod uses if no marker names one.

        That is the catalog's version if it is complete; else the only complete release; else a tree
        made by hand; else the catalog's version, if it can be made.

        Args:
            marker: The marker's path, for the error.

        Raises:
            ReleaseMissingError: There is no release, or several and none is the catalog's.
            UnreachableError: The share does not answer.
        """
        complete = [version for version in self.reader.releases() if self._is_complete(version)]
        own = self.own_version()
        if own in complete:
            return own
        if len(complete) > 1:
            raise ReleaseMissingError(
                f"The share {self.reader.address} has no marker {marker} and several releases: "
                f"{', '.join(complete)}.{_misnamed(self.reader, marker)}",
                remedy="Say which one to serve: model-agent promote VERSION.",
            )
        if complete:
            return complete[0]
        # With `--require-manifest` `locate` refuses it: it is not passed over for the Hub.
        if _has_bare_tree(self.reader.names("")):
            return UNVERSIONED
        if self._can_make(own):
            return own
        raise nothing(self.reader, marker)

    def _is_complete(self, version: str) -> bool:
        try:
            return bool(self.reader.manifest(version))
        except (ReleaseMissingError, VerificationError):
            return False

    def _tree(self, version: str, releases: Sequence[str]) -> HandMadeTree | None:
        if self.require_manifest or version in releases:
            return None
        names = self.reader.names("")
        suffix = layout.suffix(names, version)
        if suffix:
            return HandMadeTree(suffix)
        if not _has_bare_tree(names):
            return None
        is_meant = not releases or version == self._adopted()
        return HandMadeTree("") if is_meant else None

    def _adopted(self) -> str | None:
        data = self.reader.read(ADOPTED)
        return data.decode(errors="replace").strip() if data else None


def nothing(reader: ShareReader, marker: str) -> ReleaseMissingError:
    """Return the error for a share without a marker and without a release."""
    return ReleaseMissingError(
        f"There is no marker {marker} and no release on the share {reader.address}."
        f"{_misnamed(reader, marker)}",
        remedy="Publish a release, then promote it: model-agent publish --from DIR --version V.",
    )


def _misnamed(reader: ShareReader, marker: str) -> str:
    """Return a sentence about each marker or tree that is there under another name, or nothing."""
    directory, _, name = marker.rpartition("/")
    at_root = reader.names("")
    beside = reader.names(directory) if directory else at_root
    others = {name.casefold(), f"{name}.txt".casefold()}
    meant = [(there, name) for there in beside if there.casefold() in others]
    meant += [(there, there.casefold()) for there in at_root if there.casefold() in layout.ROOTS]
    pairs = [(there, right) for there, right in meant if there != right]
    return "".join(f" There is {there}, and {right} is looked for." for there, right in pairs)


def _has_bare_tree(names: tuple[str, ...]) -> bool:
    return any(root in names for root in layout.ROOTS)
