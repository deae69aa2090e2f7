"""The link to the source: off this machine nothing is said before the server has proved who it is."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from changeover.demo.server import PrivateMariaDB
from changeover.errors import SettingsInvalid, SourceRefused
from changeover.mysql.connection import Connection, parameters
from changeover.mysql.dump import BinlogDump, Request
from changeover.settings import SourceSettings
from tests.riak.certificates import Authority
from tests.support.proxy import proxied

OFFERS_TLS = 0x08
"""In the second byte of what a server says it can do."""


@dataclass(frozen=True)
class Secured:
    """A MariaDB whose certificate names 127.0.0.1, and the file of its authority."""

    server: PrivateMariaDB
    authority: Path

    def source(self, **other: object) -> SourceSettings:
        """How to reach it with certificates looked at, unless it is said otherwise."""
        known: dict[str, object] = {
            "url": f"mysql://root@127.0.0.1:{self.server.port}",
            "password": SecretStr(self.server.password),
            "ca_file": self.authority,
            "include": ("any.*",),
        }
        return SourceSettings.model_validate(known | other)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority("source")
    certificate, key = authority.issue(folder)
    with PrivateMariaDB(options={"ssl_cert": str(certificate), "ssl_key": str(key)}) as server:
        yield Secured(server, authority.write(folder))


def refusal(source: SourceSettings) -> str:
    with pytest.raises(SourceRefused) as caught:
        Connection(source)
    return str(caught.value)


def test_statements_and_the_binlog_go_over_tls(secured: Secured) -> None:
    with Connection(secured.source()) as connection:
        assert connection.records("SHOW STATUS LIKE 'Ssl_cipher'")[0]["Value"]
        connection.execute("CREATE DATABASE IF NOT EXISTS over_tls")
    with closing(BinlogDump(secured.source(), Request())) as dump:
        assert isinstance(dump._connection._sock, ssl.SSLSocket)
        assert any(b"over_tls" in event for event in dump.all())


def test_a_certificate_of_an_unknown_authority_is_refused(secured: Secured, tmp_path: Path) -> None:
    stranger = Authority("source").write(tmp_path)
    said = refusal(secured.source(ca_file=stranger))
    assert "shows a certificate that does not count" in said
    assert "source.ca_file" in said


def test_a_certificate_for_another_name_is_refused(secured: Secured) -> None:
    said = refusal(secured.source(url=f"mysql://root@localhost:{secured.server.port}"))
    assert "Hostname mismatch" in said


def test_whoever_strips_the_offer_of_tls_on_the_way_learns_nothing(secured: Secured) -> None:
    """As a server without TLS looks, too."""
    with proxied(secured.server.port, stripped()) as port:
        said = refusal(secured.source(url=f"mysql://root@127.0.0.1:{port}"))
    assert "offers no TLS" in said
    assert "source.allow_plain_text = true" in said


def test_the_same_on_the_way_is_not_noticed_where_plain_text_is_allowed(secured: Secured) -> None:
    """So the test before this one sees a link that would have been there."""
    with proxied(secured.server.port, stripped()) as port:
        plain = secured.source(url=f"mysql://root@127.0.0.1:{port}", ca_file=None, allow_plain_text=True)
        with Connection(plain) as connection:
            assert connection.value("SELECT 1") == "1"


@pytest.mark.parametrize("host", ["db.internal", "10.0.0.1", "[2001:db8::1]", "127.0.0.1.example"])
def test_a_server_on_another_machine_must_show_a_certificate(host: str) -> None:
    source = SourceSettings(url=f"mysql://mover@{host}:3306", include=("any.*",))
    context = parameters(source)["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_a_server_on_this_machine_need_not(host: str) -> None:
    assert "ssl" not in parameters(SourceSettings(url=f"mysql://mover@{host}:3306", include=("any.*",)))


def test_plain_text_is_allowed_by_name_alone() -> None:
    source = SourceSettings(url="mysql://mover@db.internal:3306", include=("any.*",), allow_plain_text=True)
    assert "ssl" not in parameters(source)


def test_an_authority_s_file_that_cannot_be_read_is_named(secured: Secured, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"the source's authority in .*missing\.pem cannot be read"):
        Connection(secured.source(ca_file=tmp_path / "missing.pem"))


def stripped() -> Callable[[bytes], bytes]:
    """Takes the offer of TLS out of the first thing that a server says."""
    greeted = False

    def change(chunk: bytes) -> bytes:
        nonlocal greeted
        if greeted:
            return chunk
        greeted = True
        # Behind header, protocol, version, number of the session and half the salt: two bytes of abilities.
        place = chunk.index(b"\0", 5) + 1 + 4 + 8 + 1 + 1
        assert chunk[place] & OFFERS_TLS
        return chunk[:place] + bytes([chunk[place] & ~OFFERS_TLS]) + chunk[place + 1 :]

    return change
