"""What all tests share: how hypothesis runs, and a private server of each kind for those that need one."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from changeover.demo.mysql8 import PrivateMySQL
from changeover.demo.server import PrivateMariaDB
from changeover.demo.sql import SQLServer
from tests.support.odd_servers import PrivateMySQL57

# An assertion of a contract that fails then shows its values, as one in a test file does.
pytest.register_assert_rewrite("tests.contracts")

# Without a bound on the time of an example, or of drawing the first ones: machines of CI are slow at times.
settings.register_profile(
    "new-examples", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples each time, so that a change is judged by what it changes; `make test-full` draws new ones.
settings.register_profile("changeover", settings.get_profile("new-examples"), derandomize=True)
settings.load_profile("changeover")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[PrivateMariaDB]:
    with PrivateMariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[PrivateMySQL]:
    with PrivateMySQL() as server:
        yield server


@pytest.fixture(scope="session")
def mysql57() -> Iterator[PrivateMySQL57]:
    with PrivateMySQL57() as server:
        yield server


@pytest.fixture(scope="session", params=["mariadb", "mysql"])
def either(request: pytest.FixtureRequest) -> SQLServer:
    """Each of the two, for what must be alike on both."""
    found: SQLServer = request.getfixturevalue(request.param)
    return found
