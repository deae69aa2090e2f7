"""The double's own rules for what follows what, beyond the recorded frames: riak_object.erl has them."""

from changeover.riak.clock import Clock, Entry
from tests.riak.double.objects import (
    GREGORIAN_S,
    Actor,
    Dot,
    Rules,
    Stored,
    Value,
    coordinated,
    newest,
    pruned,
    reconciled,
    replicated,
)

PLAIN = Rules(allow_mult=False)
MULT = Rules(allow_mult=True)
NOW_S = 1_800_000_000


def value(text: str, modified_us: int = 1, *, dot: Dot | None = None, is_tombstone: bool = False) -> Value:
    return Value(((1, text.encode()),), b"tag", modified_us, is_tombstone, dot)


def stored(text: str, modified_us: int = 1, **clock: int) -> Stored:
    return Stored(clock_of(**clock), (value(text, modified_us),))


def clock_of(**counters: int) -> Clock:
    return {actor.encode(): Entry(counter) for actor, counter in counters.items()}


def texts(stored: Stored) -> list[bytes]:
    return [value.fields[0][1] for value in stored.values]


def put(held: Stored | None, text: str, clock: Clock, rules: Rules = MULT, actor: bytes = b"node") -> Stored:
    return coordinated(held, Stored(clock, (value(text),)), rules, actor, NOW_S)


# -- as it is


def test_what_is_older_changes_nothing_and_what_is_newer_takes_its_place() -> None:
    held = stored("held", ours=5)
    assert replicated(held, stored("old", 9, ours=4), PLAIN) == held
    assert texts(replicated(held, stored("new", 0, ours=6), PLAIN)) == [b"new"]


def test_what_is_concurrent_is_decided_by_time_where_there_are_no_siblings() -> None:
    held = stored("held", 5, one=1)
    assert texts(replicated(held, stored("late", 6, other=1), PLAIN)) == [b"late"]
    assert texts(replicated(held, stored("early", 4, other=1), PLAIN)) == [b"held"]


def test_what_is_concurrent_stays_beside_it_where_there_are_siblings() -> None:
    both = replicated(stored("held", one=1), stored("new", other=1), MULT)
    assert texts(both) == [b"held", b"new"]
    assert both.clock == clock_of(one=1, other=1)


def test_a_repeat_with_one_clock_adds_a_sibling_where_they_are_allowed() -> None:
    assert len(replicated(stored("x", 1, ours=5), stored("x", 2, ours=5), MULT).values) == 2


def test_last_write_wins_looks_at_no_clock() -> None:
    rules = PLAIN._replace(last_write_wins=True)
    assert texts(replicated(stored("held", ours=5), stored("old", ours=4), rules)) == [b"old"]


# -- dots


def test_a_value_that_the_other_side_has_seen_and_dropped_does_not_come_back() -> None:
    first = put(None, "a", {})
    second = put(first, "b", first.clock)
    both = put(first, "c", {})
    assert texts(both) == [b"a", b"c"]
    assert texts(reconciled(second, both, MULT._replace(dots=True))) == [b"b", b"c"]


def test_without_dots_it_does() -> None:
    without = MULT._replace(dots=False)
    first = put(None, "a", {}, without, b"one")
    second = put(first, "b", first.clock, without, b"one")
    both = put(first, "c", {}, without, b"two")
    assert sorted(texts(reconciled(second, both, without))) == [b"a", b"b", b"c"]


def test_an_object_merged_with_itself_is_itself() -> None:
    both = put(put(None, "a", {}), "b", {})
    assert texts(both) == [b"a", b"b"]
    assert reconciled(both, both, MULT) == both


# -- ordinary puts


def test_a_put_that_has_seen_what_is_there_takes_its_place_and_counts_one_more() -> None:
    first = put(None, "a", {})
    second = put(first, "b", first.clock, PLAIN)
    assert texts(second) == [b"b"]
    assert second.clock[b"node"].counter == 2


def test_an_ordinary_put_keeps_the_entry_of_ours_that_it_has_read() -> None:
    taken = put(stored("ours", changeover=5), "theirs", clock_of(changeover=5), PLAIN)
    assert texts(replicated(taken, stored("late", 99, changeover=5), PLAIN)) == [b"theirs"]
    assert texts(replicated(taken, stored("late", 99, changeover=4), PLAIN)) == [b"theirs"]


def test_a_newer_ordered_write_against_an_ordinary_put_is_decided_by_the_wall_clock() -> None:
    taken = put(stored("ours", changeover=5), "theirs", clock_of(changeover=5), PLAIN)
    assert texts(replicated(taken, stored("late", 99, changeover=6), PLAIN)) == [b"late"]
    assert texts(replicated(taken, stored("late", 0, changeover=6), PLAIN)) == [b"theirs"]


def test_of_two_at_one_time_the_one_that_lives_is_the_newest() -> None:
    assert newest([value("", 5, is_tombstone=True), value("x", 5)]) == value("x", 5)
    assert newest([value("", 6, is_tombstone=True), value("x", 5)]).is_tombstone


# -- actors


def test_a_vnode_counts_under_a_new_name_for_each_key_that_is_new_to_it() -> None:
    actor = Actor(b"12345678")
    nothing = Stored({}, ())
    assert [actor.for_key(None, nothing), actor.for_key(None, nothing)] == [
        b"12345678" + (80_001).to_bytes(4, "big"),
        b"12345678" + (80_002).to_bytes(4, "big"),
    ]


def test_a_vnode_that_knows_the_key_keeps_its_name_unless_the_client_knows_more_of_it() -> None:
    actor = Actor(b"12345678")
    name = actor.for_key(None, Stored({}, ()))
    held = Stored({name: Entry(3)}, ())
    assert actor.for_key(held, Stored({name: Entry(2)}, ())) == name
    assert actor.for_key(held, Stored({name: Entry(4)}, ())) != name
    assert actor.for_key(Stored(clock_of(changeover=1), ()), Stored({}, ())) == b"12345678"


# -- pruning


def test_a_clock_with_too_many_old_entries_loses_the_oldest_and_ours_first() -> None:
    others = {b"%02d" % number: Entry(1, NOW_S + GREGORIAN_S - 1_000 - number) for number in range(50)}
    clock = {b"changeover": Entry(5, 0), **others}
    assert pruned(clock, NOW_S, PLAIN).keys() == others.keys()
    assert pruned(others, NOW_S, PLAIN).keys() == others.keys()
