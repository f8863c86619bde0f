"""Hot reload for a Python worker in a few lines.

    holder = Holder(load, check)      # load(release) -> model, from release.path
    holder.follow(store)              # starts loading what `current` names

    async with admin_listener(holder, store=store, address="127.0.0.1:8081"):
        ...                           # serve; the agent reloads through the admin listener

    with holder.lease() as (model, release):
        ...                           # one batch, answered by exactly one release

`load` and `check` run in their own thread while the old model serves. A load that fails changes
only the state that `GET /model` shows. `images/embeddings-worker` is a complete worker.
"""

from agent.release.target import Target
from agent.worker.admin import admin_app
from agent.worker.holder import Holder, NotServingError
from agent.worker.listen import admin_listener, open_listener
from agent.worker.release import Release, from_request, resolve_current
from agent.worker.serving import State, Status

__all__ = [
    "Holder",
    "NotServingError",
    "Release",
    "State",
    "Status",
    "Target",
    "admin_app",
    "admin_listener",
    "from_request",
    "open_listener",
    "resolve_current",
]
