"""Kafka behind TLS and passwords: what is wrong is said in one line, at once, and without the secret."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.demo.broker import PrivateKafka
from changeover.demo.private import free_ports
from changeover.errors import ChangeoverError, LogUnavailable, LogUnusable
from changeover.log.kafka import client
from changeover.log.kafka.client import Cluster
from changeover.log.kafka.log import KafkaLog, make_log
from tests.contracts.log import TABLES, entry, take
from tests.log.pipelines import WANTED

PASSWORD = "s3cret-pässword"
WRONG = "wr0ng-s3cret"
STORE = "ascii-0nly"
REFUSED_S_MAX = 25.0
"""Of 10 s that the first question may take, and a busy machine; later ones may take 30 s."""

LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    f'username="admin" password="{PASSWORD}" user_admin="{PASSWORD}";'
)


def certificate(folder: Path, name: str) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, by Java's own tool; the key lies beside it."""
    store, pem = folder / f"{name}.p12", folder / f"{name}.pem"
    common = ["-keystore", str(store), "-storepass", STORE, "-alias", name]
    made = ["-genkeypair", "-keyalg", "RSA", "-dname", f"CN={name}", "-ext", "SAN=IP:127.0.0.1"]
    subprocess.run(["keytool", *made, *common], check=True, capture_output=True)
    subprocess.run(
        ["keytool", "-exportcert", "-rfc", "-file", str(pem), *common], check=True, capture_output=True
    )
    return pem


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> str:
    return str(certificate(folder, "broker"))


@pytest.fixture(scope="module")
def broker(authority: str) -> Iterator[PrivateKafka]:
    options = {
        "ssl.keystore.location": authority.replace(".pem", ".p12"),
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.password": STORE,
        "ssl.key.password": STORE,
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": LOGIN,
    }
    with PrivateKafka(options=options, listeners=["SSL", "SASL_SSL"]) as kafka:
        make_log(Cluster(servers=kafka.bootstrap), "moving", TABLES, WANTED)
        yield kafka


def tls(authority: str) -> dict[str, str]:
    return {"security.protocol": "SSL", "ssl.ca.location": authority}


def login(authority: str, password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": authority,
        "sasl.mechanism": "PLAIN",
        "sasl.username": "admin",
        "sasl.password": password,
    }


def refusal(servers: str, options: dict[str, str], error: type[ChangeoverError] = LogUnusable) -> str:
    """What opening the log says, in one line, soon, without a secret; the same for the making of one."""
    said = []
    for act in (
        lambda cluster: KafkaLog(cluster, "moving"),
        lambda cluster: make_log(cluster, "moving", TABLES, WANTED),
    ):
        begun = time.monotonic()
        with pytest.raises(error) as raised:
            act(Cluster(servers=servers, options=options))
        assert time.monotonic() - begun < REFUSED_S_MAX
        said.append(str(raised.value))
    for line in said:
        assert "\n" not in line
        assert servers in line or error is LogUnusable
        assert not any(secret in line for secret in (PASSWORD, WRONG))
    return said[0]


def test_with_the_right_authority_the_log_is_written_and_read(broker: PrivateKafka, authority: str) -> None:
    with KafkaLog(Cluster(servers=broker.address("SSL"), options=tls(authority)), "moving") as log:
        log.append([entry(1)])
        assert len(take(log.reader("tls"), 1)) == 1


def test_with_the_right_password_the_log_is_written_and_read(broker: PrivateKafka, authority: str) -> None:
    options = login(authority, PASSWORD)
    with KafkaLog(Cluster(servers=broker.address("SASL_SSL"), options=options), "moving") as log:
        log.append([entry(2)])
        assert log.checkpoint() is None


def test_another_authority_is_refused(broker: PrivateKafka, folder: Path) -> None:
    said = refusal(broker.address("SSL"), tls(str(certificate(folder, "stranger"))))
    assert "certificate" in said


def test_a_host_name_that_is_not_in_the_certificate_is_refused(broker: PrivateKafka, authority: str) -> None:
    servers = broker.address("SSL").replace("127.0.0.1", "localhost")
    assert "certificates must name the hosts as log.url does" in refusal(servers, tls(authority))


def test_a_wrong_password_is_refused(broker: PrivateKafka, authority: str) -> None:
    said = refusal(broker.address("SASL_SSL"), login(authority, WRONG))
    assert "Authentication failed" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sasl.pasword": WRONG}, "sasl.pasword"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"}, "ssl.ca.location"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(
    broker: PrivateKafka, options: dict[str, str], says: str
) -> None:
    assert says in refusal(broker.bootstrap, options)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For where nobody will answer: twice 10 s would be waited in vain."""
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 2.0)


@pytest.mark.usefixtures("impatient")
def test_where_nobody_listens_it_is_said_that_nobody_answers() -> None:
    said = refusal(f"127.0.0.1:{next(iter(free_ports(1)))}", {}, LogUnavailable)
    assert "did not answer" in said


@pytest.mark.usefixtures("impatient")
def test_a_broker_that_speaks_tls_does_not_answer_who_does_not(broker: PrivateKafka) -> None:
    refusal(broker.address("SSL"), {}, LogUnavailable)


def test_options_are_not_shown_with_the_cluster() -> None:
    assert WRONG not in repr(Cluster(servers="kafka:9092", options={"sasl.password": WRONG}))
