"""How users of MySQL 8 log in by default."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from changeover.demo.mysql8 import PrivateMySQL
from changeover.errors import SourceRefused
from changeover.mysql.connection import Connection
from changeover.settings import SourceSettings


@pytest.fixture(scope="module")
def mysql() -> Iterator[PrivateMySQL]:
    with PrivateMySQL() as server:
        with server.connect() as root, root.cursor() as cursor:
            cursor.execute("CREATE USER modern IDENTIFIED WITH caching_sha2_password BY 'correct horse'")
        yield server


def source(server: PrivateMySQL, password: str) -> SourceSettings:
    return SourceSettings(
        url=f"mysql://modern@{server.host}:{server.port}",
        password=SecretStr(password),
        include=("any.*",),
    )


def test_the_default_login_of_mysql_8_works_with_and_without_its_cache(mysql: PrivateMySQL) -> None:
    for _ in ("the server knows no password yet", "it has it in its cache"):
        with Connection(source(mysql, "correct horse")) as connection:
            assert connection.value("SELECT 1") == "1"


def test_a_wrong_password_is_refused_by_name_of_the_user_and_not_shown(mysql: PrivateMySQL) -> None:
    with pytest.raises(SourceRefused, match="modern") as caught:
        Connection(source(mysql, "wrong horse"))
    assert "horse" not in str(caught.value)
