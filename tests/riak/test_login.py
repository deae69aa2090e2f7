"""Riak's security: TLS to a node that proves who it is, then a user and its password; all else is refused."""

import ssl
import time
from dataclasses import replace
from pathlib import Path

import pytest

from changeover.errors import ChangeoverError, SettingsInvalid, TargetUnavailable, TargetUnusable
from changeover.riak import session
from changeover.riak.access import Access, Login
from changeover.riak.client import Client
from changeover.riak.objects import Content, Get, Put
from changeover.riak.request import Bucket
from changeover.riak.session import ServerInfo
from changeover.riak.wire import frame
from tests.riak.certificates import Authority
from tests.riak.double.faults import Cut, Faults
from tests.riak.double.running import Running
from tests.riak.double.security import Security, User
from tests.riak.listening import listening

PASSWORD = "correct horse"
PAUSE_S = 2.0
"""Half of it must do for a handshake."""

IN_TIME_S = 15


class Secured:
    """A node of the double whose security is on, and how to reach it rightly."""

    def __init__(self, double: Running, folder: Path) -> None:
        self.folder = folder
        self.node = double.nodes[0]
        self.authority = Authority("authority")
        users = {"ann": User("ann", PASSWORD), "eve": User("eve", PASSWORD, frozenset({"riak_kv.get"}))}
        self.security = self.node.security = Security(
            server_tls(*self.authority.issue(folder)), users, PAUSE_S
        )
        self.access = replace(
            double.access, login=Login(user="ann", password=PASSWORD, ca_file=self.authority.write(folder))
        )

    def show(self, certificate: tuple[Path, Path]) -> None:
        """Let the node show another certificate."""
        self.security.tls = server_tls(*certificate)

    def with_login(self, **changed: object) -> Access:
        """The access with another login."""
        assert self.access.login is not None
        return replace(self.access, login=replace(self.access.login, **changed))  # type: ignore[arg-type]


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture
def secured(double: Running, tmp_path: Path) -> Secured:
    return Secured(double, tmp_path)


def refusal(access: Access) -> ChangeoverError:
    """What a client says that is not let in; one line, in time, and nothing secret in it."""
    began = time.monotonic()
    with Client(access) as client, pytest.raises(ChangeoverError) as raised:
        client.call(ServerInfo())
    assert time.monotonic() - began < IN_TIME_S
    assert "\n" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    return raised.value


def test_a_user_with_its_password_is_let_in_over_tls(secured: Secured, bucket: Bucket) -> None:
    with Client(secured.access) as client:
        wanted = [Put(bucket, b"%d" % number, Content(b"v%d" % number)) for number in range(500)]
        client.call_many(wanted)
        found = client.call_many([Get(bucket, put.key) for put in wanted])
    assert [one.contents[0].value for one in found] == [put.content.value for put in wanted]


def test_large_values_go_both_ways_over_tls(secured: Secured, bucket: Bucket) -> None:
    value = bytes(range(256)) * 8_000
    with Client(secured.access) as client:
        echoed = [Put(bucket, b"%d" % number, Content(value), return_body=True) for number in range(20)]
        assert {answer.contents[0].value for answer in client.call_many(echoed)} == {value}


def test_a_certificate_of_another_authority_is_refused(secured: Secured) -> None:
    secured.show(Authority("authority").issue(secured.folder))
    error = refusal(secured.access)
    assert isinstance(error, TargetUnusable)
    assert f"the certificate that Riak at {secured.node.address} shows is refused" in str(error)
    assert "authority" in error.mend


def test_a_certificate_that_the_machine_does_not_trust_is_refused_where_no_authority_is_named(
    secured: Secured,
) -> None:
    assert isinstance(refusal(secured.with_login(ca_file=None)), TargetUnusable)


def test_a_certificate_for_another_host_is_refused(secured: Secured) -> None:
    secured.show(secured.authority.issue(secured.folder, address="127.0.0.2"))
    error = refusal(secured.access)
    assert isinstance(error, TargetUnusable)
    assert "127.0.0.1" in str(error)
    assert "address that its certificate holds" in error.mend


def test_a_certificate_that_has_expired_is_refused(secured: Secured) -> None:
    secured.show(secured.authority.issue(secured.folder, until_days=-1))
    error = refusal(secured.access)
    assert isinstance(error, TargetUnusable)
    assert "expired" in error.mend


@pytest.mark.parametrize("changed", [{"password": "wrong"}, {"user": "nobody"}])
def test_a_wrong_user_or_password_is_refused_however_long_riak_takes_to_say_so(
    secured: Secured, changed: dict[str, object]
) -> None:
    access = replace(secured.with_login(**changed), connect_timeout_s=PAUSE_S / 2)
    error = refusal(access)
    assert isinstance(error, TargetUnusable)
    assert "Authentication failed" in str(error)
    assert "user and its password" in error.mend


def test_what_a_user_may_not_do_is_refused_with_the_grant_that_lacks(
    secured: Secured, bucket: Bucket
) -> None:
    with Client(secured.with_login(user="eve")) as client:
        client.call(Get(bucket, b"k"))
        with pytest.raises(TargetUnusable, match=r"'eve' does not have 'riak_kv.put'.*security grant"):
            client.call(Put(bucket, b"k", Content(b"")))


def test_a_node_with_security_refuses_a_client_without_a_login(secured: Secured) -> None:
    error = refusal(replace(secured.access, login=None))
    assert isinstance(error, TargetUnusable)
    assert "Give the user and its password" in error.mend


def test_a_node_without_security_is_told_no_password(secured: Secured) -> None:
    secured.node.security = None
    error = refusal(secured.access)
    assert isinstance(error, TargetUnusable)
    assert "Leave user and password out" in error.mend


def test_an_authority_s_file_that_cannot_be_read_is_named_before_anything_is_sent(
    secured: Secured, tmp_path: Path
) -> None:
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("no certificate")
    for path in (tmp_path / "missing.pem", no_pem):
        with pytest.raises(SettingsInvalid, match=str(path)):
            Client(secured.with_login(ca_file=path))
    assert secured.node.connections == 0


def test_what_is_slipped_in_before_tls_is_never_taken_for_what_was_said_within(secured: Secured) -> None:
    answers = frame(session.START_TLS) + frame(session.AUTH_DONE) + frame(session.PONG)
    with listening(answers) as node:
        error = refusal(replace(secured.access, nodes=(node,)))
    assert isinstance(error, TargetUnusable)
    assert "more than it was asked" in str(error)


def test_a_connection_that_is_cut_within_tls_is_an_outcome_that_nobody_knows(
    secured: Secured, bucket: Bucket
) -> None:
    secured.node.links.append(Faults(cut=Cut.INSIDE, cut_after=3))
    with Client(secured.access) as client:
        with pytest.raises(TargetUnavailable, match="broke off"):
            client.call_many([Get(bucket, b"k")] * 8)
        client.call_many([Get(bucket, b"k")] * 8)


def test_a_login_does_not_show_its_password(secured: Secured) -> None:
    assert PASSWORD not in repr(secured.access)
