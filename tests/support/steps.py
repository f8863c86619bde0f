"""The steps of one agent, carried out in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.sync.listening import Events, LogListener
from agent.sync.record import Record
from agent.sync.steps import Steps

if TYPE_CHECKING:
    from agent.context import Context


def steps_of(context: Context) -> Steps:
    """Return the steps that a run of the agent can take, told to its log."""
    record = Record(context.store.agent, context.log)
    return Steps.of(context, record, Events(LogListener(context.log)))
