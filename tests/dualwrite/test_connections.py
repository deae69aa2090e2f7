"""The application's own connections: other drivers, other cursors, and sessions of SQLAlchemy."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mysql.connector
import pymysql
import pytest
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor
from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from changeover.dualwrite import DualStore
from changeover.phase import Phase
from tests.support.ward import Ward

DRIVERS: dict[str, Callable[..., Any]] = {
    "PyMySQL": pymysql.connect,
    "PyMySQL with dictionaries": lambda **login: pymysql.connect(cursorclass=DictCursor, **login),
    "PyMySQL in autocommit": lambda **login: pymysql.connect(autocommit=True, **login),
    "MySQL Connector": lambda **login: mysql.connector.connect(ssl_disabled=True, **login),
}


def login(ward: Ward) -> dict[str, Any]:
    server = ward.server
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "database": ward.schema,
    }


@pytest.mark.parametrize("driver", DRIVERS)
def test_any_driver_carries_a_transaction_and_its_place(ward: Ward, driver: str) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()
    connection = DRIVERS[driver](**login(ward))
    try:
        for dose in (1, 2):
            with store.transaction(connection) as tx:
                tx.execute("REPLACE INTO prescription VALUES (%s, %s, %s)", (1, dose, "daily"))
                tx.changed("prescription", id=1)
            held = ward.held(1)
            assert held is not None
            assert held.body == {"id": 1, "dose": f"{dose}.000", "note": "daily"}
    finally:
        connection.close()
    assert store.counts.now()["direct_writes"] == 2


def test_a_connection_that_connects_again_by_itself_still_tells_the_place(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()
    connection = pymysql.connect(client_flag=CLIENT.SESSION_TRACK, **login(ward))
    for dose in (1, 2):
        with store.transaction(connection) as tx:
            tx.execute("REPLACE INTO prescription VALUES (1, %s, NULL)", (dose,))
            tx.changed("prescription", id=1)
        assert ward.body(1) == {"id": 1, "dose": f"{dose}.000", "note": None}
        connection.close()
        connection.connect()
    connection.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_factory_of_the_applications_own_is_used_for_transactions_and_reads(
    ward: Ward, driver: str
) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    with DualStore(ward.settings(), lambda: DRIVERS[driver](**login(ward))) as store:
        with store.transaction() as tx:
            tx.execute("INSERT INTO prescription VALUES (1, 2.5, NULL)")
            tx.changed("prescription", id=1)
        assert store.get("prescription", id=1).value == {"id": 1, "dose": "2.500", "note": None}
        assert store.counts.now()["direct_writes"] == 1


class Base(DeclarativeBase):
    pass


class Prescription(Base):
    __tablename__ = "prescription"

    id: Mapped[int] = mapped_column(primary_key=True)
    dose: Mapped[float]
    note: Mapped[str | None]


@pytest.fixture
def engine(ward: Ward) -> Any:  # noqa: ANN401
    engine = create_engine(
        f"mysql+pymysql://{ward.server.user}@{ward.server.host}:{ward.server.port}/{ward.schema}",
        # As an application may have it, too, although SQLAlchemy throws the answers away.
        connect_args={"password": ward.server.password, "client_flag": CLIENT.SESSION_TRACK},
        pool_size=1,
        max_overflow=0,
    )
    yield engine
    engine.dispose()


def test_a_session_of_sqlalchemy_commits_by_itself_and_its_rows_are_delivered(
    ward: Ward,
    engine: Any,  # noqa: ANN401
) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()
    for dose in (1, 2):
        with Session(engine) as session, store.transaction(session) as tx:
            session.merge(Prescription(id=1, dose=dose, note="daily"))
            tx.changed("prescription", id=1)
        held = ward.held(1)
        assert held is not None
        assert held.body == {"id": 1, "dose": f"{dose}.000", "note": "daily"}
    assert store.counts.now()["direct_writes"] == 2


def test_what_a_hook_of_the_session_changes_before_the_commit_is_delivered_too(
    ward: Ward,
    engine: Any,  # noqa: ANN401
) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()
    with Session(engine) as session:
        row = Prescription(id=1, dose=1, note=None)

        def annotate(_: Session) -> None:
            row.note = "by the hook"

        event.listen(session, "before_commit", annotate)
        with store.transaction(session) as tx:
            session.add(row)
            tx.changed("prescription", id=1)
    held = ward.held(1)
    assert held is not None
    assert held.body == {"id": 1, "dose": "1.000", "note": "by the hook"}


def test_a_session_that_fails_is_rolled_back(ward: Ward, engine: Any) -> None:  # noqa: ANN401
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()

    def fail(session: Session) -> None:
        session.add(Prescription(id=1, dose=1, note=None))
        session.flush()
        raise LookupError

    with Session(engine) as session, pytest.raises(LookupError), store.transaction(session):
        fail(session)
    assert ward.run("SELECT count(*) FROM prescription") == [(0,)]


def test_asyncio_goes_through_threads(ward: Ward) -> None:
    ward.move(Phase.BOTH_READ_OLD)
    store = ward.store()

    def prescribe(number: int) -> None:
        with store.transaction() as tx:
            tx.execute("INSERT INTO prescription VALUES (%s, 1, NULL)", (number,))
            tx.changed("prescription", id=number)

    async def serve() -> list[Any]:
        await asyncio.gather(*(asyncio.to_thread(prescribe, number) for number in range(8)))
        return await asyncio.gather(
            *(asyncio.to_thread(store.get, "prescription", id=number) for number in range(8))
        )

    with ThreadPoolExecutor(1) as another:  # in this one a loop may run already: a browser's, of other tests
        answers = another.submit(asyncio.run, serve()).result()
    assert [answer.value["id"] for answer in answers] == list(range(8))
    assert store.counts.now()["direct_writes"] == 8
