"""Which version the tree at a share's root is, once there are releases beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.release import layout, marker
from agent.release.version import UNVERSIONED

if TYPE_CHECKING:
    from agent.context import Context

ADOPTED: Final = "ADOPTED"


def name_tree(context: Context) -> None:
    """Before the first release: write down which version the tree at the share's root is.

    Pods that start later would not know it for the marker's version, once there are releases.
    """
    names = context.reader.names("")
    if context.reader.names(layout.RELEASES) or not any(root in names for root in layout.ROOTS):
        return
    try:
        data = context.reader.marker_bytes()
        version = marker.parse(data).version if data else UNVERSIONED
    except marker.UnknownMarkerError:
        version = UNVERSIONED
    context.share.write(ADOPTED, f"{version}\n".encode())
