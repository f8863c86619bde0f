"""The file `ADOPTED`: the version of the tree at a share's root, once releases stand beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.release import layout, marker
from agent.release.version import UNVERSIONED

if TYPE_CHECKING:
    from agent.shares.base import Share
    from agent.shares.reader import ShareReader

ADOPTED: Final = "ADOPTED"


def name_tree(reader: ShareReader, share: Share) -> None:
    """Write down the version of the tree at the share's root, before the first release comes.

    Pods that start later could not take the tree for the marker's version any more: with releases
    on the share, a version that is none of them is missing.
    """
    names = reader.names("")
    if reader.names(layout.RELEASES) or not any(root in names for root in layout.ROOTS):
        return
    try:
        data = reader.marker_bytes()
        version = marker.parse(data).version if data else UNVERSIONED
    except marker.UnknownMarkerError:
        version = UNVERSIONED
    share.write(ADOPTED, f"{version}\n".encode())
