"""Freezing by REVOKE: the named accounts write no more, and get back exactly what they had."""

from collections.abc import Iterator
from contextlib import closing

import pymysql
import pytest

from changeover.demo.sql import SQLServer
from changeover.errors import SourceUnfit
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.revoking import Revoker
from tests.support.accounts import HOST, USER, account, run, source_of
from tests.support.pipeline import schema_of

NAME = f"{USER}@{HOST}"
SCHEMA = "revoked_1"


@pytest.fixture
def server(either: SQLServer) -> Iterator[SQLServer]:
    with schema_of(either, SCHEMA, "CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(50))"):
        with Connection(source_of(either, SCHEMA)) as connection:
            ControlSchema(connection, "test").make()
        yield either


def revoker(server: SQLServer) -> Revoker:
    return Revoker(source_of(server, SCHEMA), "test", [NAME])


def grants(server: SQLServer) -> set[str]:
    return {line for (line,) in run(server, f"SHOW GRANTS FOR {NAME}")}


@pytest.mark.parametrize(
    "given",
    [
        rf"GRANT SELECT, INSERT, UPDATE ON `revoked\_1`.* TO {NAME} WITH GRANT OPTION",
        rf"GRANT ALL ON `revoked\_1`.* TO {NAME}",
        rf"GRANT SELECT, INSERT, DELETE ON `revoked%`.* TO {NAME}",
        f"GRANT SELECT, INSERT, TRIGGER ON {SCHEMA}.item TO {NAME}",
        f"GRANT SELECT, INSERT, EXECUTE ON *.* TO {NAME}",
        f"GRANT SELECT, INSERT (id), UPDATE (name) ON {SCHEMA}.item TO {NAME}",
    ],
)
def test_what_is_taken_is_given_back_as_it_was(server: SQLServer, given: str) -> None:
    with account(server, given) as writer:
        before = grants(server)
        revoker(server).freeze()
        assert revoker(server).is_frozen()
        with pytest.raises(pymysql.Error, match="denied"):
            run(writer, f"INSERT INTO {SCHEMA}.item (id) VALUES (1)")
        assert run(writer, f"SELECT count(*) FROM {SCHEMA}.item") == ((0,),)
        revoker(server).freeze()  # as after a mover that died: nothing is forgotten of what was taken
        for _ in range(2):
            revoker(server).thaw()
            assert grants(server) == before
        assert not revoker(server).is_frozen()
        run(writer, f"INSERT INTO {SCHEMA}.item (id) VALUES (1)")


def test_open_transactions_are_ended_and_nothing_of_them_stays(server: SQLServer) -> None:
    with (
        account(server, rf"GRANT SELECT, INSERT ON `revoked\_1`.* TO {NAME}") as writer,
        closing(writer.connect(database=SCHEMA)) as client,
        client.cursor() as cursor,
    ):
        client.begin()
        cursor.execute("INSERT INTO item (id) VALUES (7)")
        revoker(server).freeze()
        with pytest.raises(pymysql.Error):
            client.commit()
        assert run(server, f"SELECT count(*) FROM {SCHEMA}.item") == ((0,),)
        revoker(server).thaw()


def test_another_database_is_left_alone(server: SQLServer) -> None:
    with (
        schema_of(server, "elsewhere", "CREATE TABLE item (id INT PRIMARY KEY)"),
        account(
            server, rf"GRANT INSERT ON `revoked\_1`.* TO {NAME}", f"GRANT INSERT ON elsewhere.* TO {NAME}"
        ) as it,
    ):
        revoker(server).freeze()
        run(it, "INSERT INTO elsewhere.item VALUES (1)")
        revoker(server).thaw()


def test_a_role_that_lets_it_write_is_refused_before_anybody_relies_on_it(server: SQLServer) -> None:
    role = ("CREATE ROLE scribe", r"GRANT INSERT ON `revoked\_1`.* TO scribe", f"GRANT scribe TO {NAME}")
    with account(server, *role):
        try:
            with pytest.raises(SourceUnfit, match="has roles"):
                revoker(server).freeze()
            assert run(server, f"SELECT count(*) FROM {SCHEMA}_control.revoked") == ((0,),)
        finally:
            run(server, "DROP ROLE scribe")


def test_a_routine_that_it_may_run_by_itself_is_refused(server: SQLServer) -> None:
    run(server, f"CREATE PROCEDURE {SCHEMA}.sell() INSERT INTO {SCHEMA}.item (id) VALUES (9)")
    with account(server, f"GRANT EXECUTE ON PROCEDURE {SCHEMA}.sell TO {NAME}") as seller:
        run(seller, f"CALL {SCHEMA}.sell()")
        with pytest.raises(SourceUnfit, match=r"EXECUTE on revoked_1\.sell"):
            revoker(server).freeze()


def test_an_account_that_is_not_there_is_refused(server: SQLServer) -> None:
    with pytest.raises(SourceUnfit, match="is there such an account"):
        revoker(server).freeze()
