"""A control schema on each kind of server, and movers over connections of their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from changeover.demo.sql import SQLServer
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.phases.move import Mover
from changeover.settings import Settings
from tests.support.pipeline import schema_of, write_settings

ALIKE = {"row_locked", "row_written", "row_committed", "drained", "new_committed", "settled", "resolved"}
"""Points where the kind of server is of no matter: MySQL meets them in `make test-full`."""


ALIKE_TESTS = {
    "test_a_word_that_comes_late_is_not_heard",
    "test_a_second_mover_does_not_disturb_the_first_and_says_who_it_is",
    "test_a_mover_that_loses_its_connection_undoes_the_fence_over_another",
    "test_a_mover_that_is_told_to_end_undoes_the_fence_first",
}


@pytest.hookimpl(tryfirst=True)  # before items are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        params = (
            item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        )
        is_alike = params.get("point") in ALIKE or getattr(item, "originalname", "") in ALIKE_TESTS
        if params.get("running") == "mysql" and is_alike:
            item.add_marker(pytest.mark.full)


OpenControl = Callable[[], ControlSchema]


@pytest.fixture
def open_control(either: SQLServer, tmp_path: Path) -> Iterator[OpenControl]:
    """Opens the control schema over a new connection each time; it is made."""
    with ExitStack() as stack:
        schema = stack.enter_context(schema_of(either, "phased"))
        source = Settings.load(write_settings(either, schema, tmp_path)).source

        def opened() -> ControlSchema:
            control = ControlSchema(stack.enter_context(Connection(source)), "test")
            control.make()
            return control

        yield opened


@pytest.fixture
def open_mover(open_control: OpenControl) -> Callable[[], Mover]:
    def opened() -> Mover:
        mover = Mover(open_control(), tries=3)
        mover.begin()
        return mover

    return opened
