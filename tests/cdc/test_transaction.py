from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cdc.events import Images
from cdc.transaction import Folded, KeyId, Transaction
from changeover.change import Change, Op, Origin
from changeover.envelope import encode_key
from changeover.values import Row
from changeover.version import Version
from tests.support.tables import CITIZEN, citizen, exactly, named

VERSION = Version.of_change(1, 42)
ORIGIN = Origin(1_000, "0-1-42")
State = dict[int, Row]


def folded(*rows: Images) -> list[Change]:
    transaction = Transaction({})
    for before, after in rows:
        transaction.add(CITIZEN, before, after)
    return [change for _, change in transaction.changes(VERSION, ORIGIN)]


def change(op: Op, before: Row | None, after: Row | None) -> Change:
    return Change(CITIZEN, op, before, after, VERSION, ORIGIN)


@st.composite
def transactions(draw: st.DrawFn) -> tuple[State, list[Images], State]:
    """Any transaction: the rows before it, its row changes as a binlog has them, and the rows after it."""
    first: State = {number: citizen(number, "at first") for number in draw(st.sets(st.integers(1, 3)))}
    state, rows = dict(first), list[Images]()
    for turn in range(draw(st.integers(0, 8))):
        number = draw(st.integers(1, 3))
        old = state.pop(number, None)
        target = draw(st.integers(1, 3).filter(lambda free: free not in state)) if old else number
        new = citizen(target, draw(st.sampled_from(["at first", f"turn {turn}"])))
        if old and draw(st.booleans()):
            rows.append((old, None))
        else:
            state[target] = new
            rows.append((old, new))
    return first, rows, state


@given(transactions())
def test_the_fold_is_the_difference_between_first_and_last_state(
    story: tuple[State, Sequence[Images], State],
) -> None:
    first, rows, last = story
    changes = folded(*rows)
    for change in changes:
        number = int(str(change.image["id"]))
        assert (exactly(change.before), exactly(change.after)) == (
            exactly(first.get(number)),
            exactly(last.get(number)),
        )
    changed = [change.image["id"] for change in changes]
    assert len(changed) == len(set(changed))
    for number in (first.keys() | last.keys()) - set(changed):
        assert first.get(number) == last.get(number)


@given(transactions())
def test_every_change_comes_with_the_key_of_its_row_and_the_version_of_the_transaction(
    story: tuple[State, Sequence[Images], State],
) -> None:
    transaction = Transaction({})
    for before, after in story[1]:
        transaction.add(CITIZEN, before, after)
    changes = list(transaction.changes(VERSION, ORIGIN))
    assert len(changes) == len(transaction)
    for key, change in changes:
        assert key == encode_key(CITIZEN, change.image)
        assert (change.version, change.origin) == (VERSION, ORIGIN)


def test_one_change_of_a_row_is_itself() -> None:
    old, new = citizen(1, "old"), citizen(1, "new")
    assert folded((None, new)) == [change(Op.CREATE, None, new)]
    assert folded((old, new)) == [change(Op.UPDATE, old, new)]
    assert folded((old, None)) == [change(Op.DELETE, old, None)]


def test_r2_a_row_that_is_deleted_and_written_again_was_never_gone() -> None:
    old, new = citizen(1, "old"), citizen(1, "new")
    assert folded((old, None), (None, new)) == [change(Op.UPDATE, old, new)]


def test_r2_a_row_that_came_and_went_leaves_nothing() -> None:
    assert folded((None, citizen(1, "a")), (citizen(1, "a"), citizen(1, "b")), (citizen(1, "b"), None)) == []


def test_r2_of_many_updates_the_first_before_and_the_last_after_remain() -> None:
    a, b, c = (citizen(1, name) for name in "abc")
    assert folded((a, b), (b, c)) == [change(Op.UPDATE, a, c)]


def test_a_changed_key_is_a_delete_of_the_old_and_an_insert_of_the_new() -> None:
    assert folded((citizen(1), citizen(2))) == [
        change(Op.DELETE, citizen(1), None),
        change(Op.CREATE, None, citizen(2)),
    ]


def test_keys_that_change_places_are_two_updates() -> None:
    a, b = citizen(1, "a"), citizen(2, "b")
    swapped = folded((a, citizen(3, "a")), (b, citizen(1, "b")), (citizen(3, "a"), citizen(2, "a")))
    assert swapped == [change(Op.UPDATE, a, citizen(1, "b")), change(Op.UPDATE, b, citizen(2, "a"))]


def test_a_key_in_another_case_is_another_key_though_the_source_calls_them_equal() -> None:
    by_name = replace(CITIZEN, key=("name",))
    transaction = Transaction({})
    transaction.add(by_name, citizen(1, "ada"), citizen(1, "ADA"))
    assert [change.op for _, change in transaction.changes(VERSION, ORIGIN)] == [Op.DELETE, Op.CREATE]


def test_one_key_in_two_tables_is_two_changes() -> None:
    store: dict[KeyId, Folded] = {}
    transaction = Transaction(store)
    for table in (CITIZEN, named("passport")):
        transaction.add(table, None, citizen(1))
    assert len(transaction) == 2
