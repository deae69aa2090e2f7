"""How long a part that may not go on stays, so that its reason can be seen."""

import threading
from pathlib import Path

import pytest

from changeover.daemon import Duty, _hold
from changeover.errors import ChangeoverError, Fenced, SourceUnfit
from changeover.notify import Notifier
from changeover.settings import Settings


class Waited(threading.Event):
    """A request to stop that never comes; it notes how long somebody wanted to wait for it."""

    s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.s = timeout or 0.0
        return False


@pytest.mark.parametrize(
    ("error", "held_s"), [(Fenced("another one"), 31_536_000), (SourceUnfit("no binlog"), 60)]
)
def test_a_loud_stop_is_held_as_long_as_it_is_told_to_and_a_refusal_for_a_minute(
    tmp_path: Path, error: ChangeoverError, held_s: float
) -> None:
    """Kubernetes would start it again at its exit: for a stop that is for a person, a refusal may be over."""
    config = tmp_path / "changeover.toml"
    config.write_text(
        'pipeline = "shop"\n[source]\nurl = "mysql://u@127.0.0.1"\ninclude = ["shop.*"]\n'
        '[log]\nurl = "sqlite:log.db"\n[target]\nurl = "sqlite:target.db"\n'
        '[metrics]\nlisten = "127.0.0.1:0"\nhold_stop_s = 31_536_000\n'
    )
    duty, waited = Duty(Settings.load(config), "capture", lambda: False), Waited()
    _hold(duty, error, Notifier({}), waited)
    assert waited.s == held_s
    assert (list(duty.health.illness()), len(list(duty.health.unreadiness()))) == ([], 1)
