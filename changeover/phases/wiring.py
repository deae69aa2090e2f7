"""Builds what the phases work with from the settings."""

from typing import Any

from changeover.mysql.freezing import Freezer, Freezing
from changeover.mysql.revoking import Revoker
from changeover.settings import Settings
from changeover.targets import Target
from changeover.targets.riak.target import PAUSES_S
from changeover.targets.wiring import open_target


def freezer_of(settings: Settings) -> Freezing:
    """How the old database is frozen: by `read_only`, or for the accounts that are named."""
    if settings.phases.revoke_from:
        return Revoker(settings.source, settings.pipeline, settings.phases.revoke_from)
    return Freezer(settings.source)


def open_deciding_target(settings: Settings) -> Target[Any]:
    """The new store, asked with the patience of the fence: while it does not answer, writers wait.

    Riak is tried a few times; all of them together may take about as long as the fence.
    """
    tries = len(PAUSES_S) + 1
    answer_s = min(settings.target.answer_timeout_s, settings.phases.fence_s / tries)
    target = settings.target.model_copy(update={"answer_timeout_s": answer_s})
    return open_target(settings.model_copy(update={"target": target}))
