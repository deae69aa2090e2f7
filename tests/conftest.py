"""What all tests share: how hypothesis runs, and one private MariaDB for those that need a server."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from changeover.demo.server import PrivateMariaDB

# Without a deadline for a single example, since machines of CI are slow now and then.
settings.register_profile("changeover", deadline=None, print_blob=True)
settings.load_profile("changeover")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[PrivateMariaDB]:
    with PrivateMariaDB() as server:
        yield server
