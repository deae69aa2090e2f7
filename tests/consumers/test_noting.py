"""How far the group is, noted in the target for applications."""

from pathlib import Path

from changeover.progress import Watermark
from changeover.targets.applied import applied_through
from changeover.targets.sqlite import SQLiteTarget
from changeover.version import Version
from consumers.noting import EVERY_S, Noting


def test_what_the_group_has_applied_through_is_noted_in_the_target_now_and_then(tmp_path: Path) -> None:
    now_s, asked = [0.0], []
    through: list[Watermark | None] = [None]

    def ask() -> Watermark | None:
        asked.append(now_s[0])
        return through[0]

    with SQLiteTarget(tmp_path / "target.db", "test") as target:
        noting = Noting(target, ask, lambda: now_s[0])
        noting.look()
        assert applied_through(target) is None
        through[0] = Watermark(Version.of_change(1, 5), 1, {})
        noting.look()
        assert applied_through(target) is None  # it is not time yet
        now_s[0] += EVERY_S
        noting.look()
        assert applied_through(target) == Version.of_change(1, 5)
    assert asked == [0.0, EVERY_S]
