"""What compose's MySQL is given at its first start, on a real one: each account may what it needs."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import yaml
from pydantic import SecretStr
from pymysql.constants import ER

from changeover.demo.mysql8 import PrivateMySQL
from changeover.mysql import grants
from changeover.mysql.connection import Connection
from changeover.mysql.control import ControlSchema
from changeover.mysql.grants import Kind, Role, Scope
from changeover.settings import SourceSettings
from tests.support.accounts import run

ROOT = Path(__file__).parents[2]
SERVICE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["mysql"]
FIRST = "/docker-entrypoint-initdb.d/"
SECRETS = "/run/secrets"
ROLES = {"changeover": Role.CAPTURE, "application": Role.APPLICATION, "operator": Role.OPERATOR}
OWN = {"application": {Scope("records"): ("SELECT", "INSERT", "DELETE")}}
"""What an application has for its own work, beside what the library needs."""

ENTRYPOINT = """
set -eo pipefail
docker_process_sql() { mariadb --no-defaults --protocol=tcp "$@"; }
for file in "$@"; do
    case $file in
        *.sh) . "$file" ;;
        *.sql) docker_process_sql <"$file" ;;
    esac
done
"""
"""How the image goes through what is mounted there: in the order of names, and a shell's file is sourced."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMySQL]:
    """A server with compose's options, after its first start."""
    given = dict(option.removeprefix("--").split("=") for option in SERVICE["command"])
    folder = tmp_path_factory.mktemp("secrets")
    for secret in SERVICE["secrets"]:
        (folder / secret).write_text(f"of {secret}")
    with PrivateMySQL(options=given) as server:
        password = f"IDENTIFIED BY '{(folder / 'source_password').read_text()}'"
        run(server, f"CREATE USER '{SERVICE['environment']['MYSQL_USER']}'@'%' {password}")
        _first_start(server, folder)
        yield server


def _first_start(server: PrivateMySQL, secrets: Path) -> None:
    mounted = [volume.split(":") for volume in SERVICE["volumes"] if FIRST in volume]
    copies = secrets.with_name("first")
    copies.mkdir()
    for here, there, *_ in mounted:
        text = (ROOT / here).read_text().replace(SECRETS, str(secrets))
        (copies / Path(there).name).write_text(text)
    client = {"MYSQL_HOST": server.host, "MYSQL_TCP_PORT": str(server.port), "MYSQL_PWD": server.password}
    subprocess.run(
        ["bash", "-c", ENTRYPOINT, "entrypoint", *sorted(map(str, copies.iterdir()))],
        env={**os.environ, "USER": server.user, **client},
        check=True,
    )


@pytest.mark.parametrize("user", ROLES)
def test_each_account_has_what_it_needs_and_no_more(server: PrivateMySQL, user: str) -> None:
    kind = Kind(is_mariadb=False, version=(8, 4))
    needs = grants.needs_of(ROLES[user], kind, ("records.*",), "changeover")
    held = grants.parse((line for (line,) in run(server, f"SHOW GRANTS FOR {user}")), is_mariadb=False)
    own = {scope: privileges - grants.NOTHING for scope, privileges in held.own.items()}
    assert {scope: had for scope, had in own.items() if had} == {
        scope: frozenset(needed) for scope, needed in {**needs, **OWN.get(user, {})}.items()
    }


@pytest.mark.parametrize("user", ROLES)
def test_each_account_logs_in_with_its_secret(server: PrivateMySQL, user: str) -> None:
    secret = {"changeover": "source"}.get(user, user) + "_password"
    server.connect(user=user, password=f"of {secret}").close()


def test_the_application_may_write_two_tables_of_the_control_schema_that_capture_makes(
    server: PrivateMySQL,
) -> None:
    url = f"mysql://changeover@{server.host}:{server.port}"
    password = SecretStr("of source_password")
    with Connection(SourceSettings(url=url, password=password, include=("records.*",))) as connection:
        ControlSchema(connection, "records").make()
    tables = {table for (table,) in run(server, "SHOW TABLES FROM changeover")}
    assert tables > set(grants.WRITTEN_BY_PROCESSES)
    assert {table for table in tables if _may_write(server, table)} == set(grants.WRITTEN_BY_PROCESSES)


def _may_write(server: PrivateMySQL, table: str) -> bool:
    application = server.connect(user="application", password="of application_password")
    with application, application.cursor() as cursor:
        try:
            cursor.execute(f"INSERT INTO changeover.{table} SELECT * FROM changeover.{table} WHERE FALSE")
        except pymysql.err.OperationalError as error:
            assert error.args[0] == ER.TABLEACCESS_DENIED_ERROR  # noqa: PT017 - anything else is a fault
            return False
    return True
