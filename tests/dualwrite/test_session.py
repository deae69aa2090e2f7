"""What a session remembers of its own writes, here and in the next process."""

import pytest

from changeover.dualwrite import session as sessions
from changeover.dualwrite.session import KEYS_IN_TOKEN_MAX, NOTHING, UNKNOWN, Session
from changeover.dualwrite.tables import Place
from changeover.errors import ValueRefused
from changeover.phase import Phase
from changeover.version import Version
from tests.support.ward import Ward

ONE, TWO = Place("ward.prescription", b'{"id":1}'), Place("ward.prescription", b'{"id":2}')


def at(sequence: int) -> Version:
    return Version(1, sequence, 0)


def test_other_keys_than_the_ones_it_wrote_are_free() -> None:
    session = Session()
    session.wrote(ONE, at(5))
    assert (session.needs(ONE), session.needs(TWO)) == (at(5), NOTHING)


def test_an_unknown_outcome_is_above_everything_until_the_key_is_written_again() -> None:
    session = Session()
    session.wrote(ONE, None)
    assert session.needs(ONE) == UNKNOWN
    session.delivered(at(2**60))
    assert session.needs(ONE) == UNKNOWN
    session.wrote(ONE, at(6))
    assert session.needs(ONE) == at(6)


def test_of_two_threads_the_one_that_committed_first_may_say_so_last() -> None:
    session = Session()
    session.wrote(ONE, at(6))
    session.wrote(ONE, at(5))
    assert session.needs(ONE) == at(6)


def test_what_is_applied_through_is_forgotten() -> None:
    session = Session()
    session.wrote(ONE, at(5))
    session.wrote(TWO, at(7))
    session.delivered(at(6))
    assert (session.needs(ONE), session.needs(TWO)) == (NOTHING, at(7))


def test_what_no_longer_fits_is_remembered_as_its_last_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "KEYS_MAX", 1)
    session = Session()
    session.wrote(ONE, at(5))
    session.wrote(TWO, at(7))
    assert (session.needs(ONE), session.needs(TWO)) == (at(5), at(7))
    assert session.needs(Place("ward.other", b"")) == at(5)


def test_a_token_carries_a_session_into_another_process() -> None:
    session = Session()
    places = [Place("ward.prescription", b'{"id":%d}' % number) for number in range(KEYS_IN_TOKEN_MAX + 5)]
    for number, place in enumerate(places):
        session.wrote(place, at(number + 1))
    again = Session(session.token)
    assert [again.needs(place) for place in places[5:]] == [session.needs(place) for place in places[5:]]
    assert all(again.needs(place) == at(5) for place in places[:5])
    assert len(session.token) < 6_000


@pytest.mark.parametrize("token", ["x", "bnVsbA==", "WzEsMl0=", "e30="])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ValueRefused, match="no token"):
        Session(token)


def test_a_session_goes_on_in_another_process_and_reads_its_own_writes_there(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_NEW)
    here, there = ward.store(direct_writes=False), ward.store()
    session = here.session()
    with here.transaction(session=session) as tx:
        tx.execute("INSERT INTO prescription VALUES (1, 1, NULL)")
        tx.changed("prescription", id=1)
    assert there.get("prescription", id=1).value is None  # nobody has told it
    answer = there.get("prescription", session=there.session(session.token), id=1)
    assert answer.value == {"id": 1, "dose": "1.000", "note": None}
    assert answer.fell_back
