"""With Riak as the new database: objects instead of rows, through all phases."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from changeover.demo.server import PrivateMariaDB
from changeover.dualwrite import DualStore, Origin
from changeover.mapping import Body
from changeover.phase import Phase
from changeover.riak.client import Client
from changeover.targets.riak.control import Control
from tests.riak.double.running import Running, running
from tests.support.ward import Ward

ORDERINGS = {"merge": "plain3", "siblings": "mult"}
MAPPED = """
[mapping.tables."ward.prescription"]
bucket = "scripts"
rename = { note = "remark" }
index = ["dose"]
"""


@pytest.fixture
def either(mariadb: PrivateMariaDB) -> PrivateMariaDB:
    """One kind of source is enough here: what differs is the target."""
    return mariadb


@pytest.fixture
def riak() -> Iterator[Running]:
    with running(3) as riak:
        yield riak


@pytest.fixture(params=ORDERINGS)
def settings(request: pytest.FixtureRequest, riak: Running) -> dict[str, Any]:
    """The settings of a store whose target is the double, which was found to order."""
    ordering: str = request.param
    nodes = ",".join(str(node.address) for node in riak.nodes)
    with Client(riak.access) as client:
        control = Control(client, "test", ORDERINGS[ordering], ordering)
        control.keep_proof("3.2.3", {"by": "the tests of the proof itself"})
    target = f'url = "riak://{nodes}"\nbucket_type = "{ORDERINGS[ordering]}"\nordering = "{ordering}"'
    return {"target": target, "extra": MAPPED}


def write(store: DualStore, dose: str, value: object) -> None:
    with store.transaction() as tx:
        tx.old.execute("REPLACE INTO prescription VALUES (1, %s, 'daily')", (dose,))
        tx.put("prescription", 1, value)


def test_the_same_code_goes_through_all_phases(ward: Ward, settings: dict[str, Any]) -> None:
    store = ward.store(**settings)
    origins = {}
    for dose, phase in enumerate((Phase.OLD, Phase.BOTH_READ_OLD, Phase.BOTH_READ_NEW, Phase.NEW)):
        ward.move(phase, **settings)
        said = {"id": 1, "dose": f"{dose}.000", "remark": "daily"}
        write(store, str(dose), Body(orjson.dumps(said), indexes=(("dose_bin", f"{dose}.000"),)))
        answer = store.get("prescription", id=1)
        assert answer.value == said
        origins[phase] = answer.origin
    assert list(origins.values()) == [Origin.OLD, Origin.OLD, Origin.NEW, Origin.NEW]
    assert store.counts.now()["put_mismatch"] == 0
    assert store.counts.now()["direct_failed"] == 0
    with store.transaction() as tx:
        tx.delete("prescription", 1)
    assert store.get("prescription", id=1).value is None


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1, "dose": "1.000", "remark": "daily"},  # without its index
        Body(b'{"id":1,"dose":1.0,"remark":"daily"}', indexes=(("dose_bin", "1.000"),)),
        Body(b'{"id":1,"dose":"1.000"}', indexes=(("dose_bin", "1.000"),)),
    ],
)
def test_an_object_that_is_not_what_the_mapping_makes_is_counted(
    ward: Ward, settings: dict[str, Any], value: object
) -> None:
    store = ward.store(**settings)
    write(store, "1", value)
    assert store.counts.now()["put_mismatch"] == 1


def test_the_order_of_an_objects_members_is_no_mismatch(ward: Ward, settings: dict[str, Any]) -> None:
    store = ward.store(**settings)
    value = b'{"remark": "daily", "dose": "1.000", "id": 1}'
    write(store, "1", Body(value, indexes=(("dose_bin", "1.000"),)))
    assert (store.counts.now()["puts"], store.counts.now()["put_mismatch"]) == (1, 0)
