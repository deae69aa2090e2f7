import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.version import ROW_MAX, TEXT_LENGTH, Version
from tests.support.tables import versions


@given(versions, versions)
def test_the_order_of_texts_is_the_order_of_versions(one: Version, other: Version) -> None:
    assert (one < other) == (one.text < other.text)
    assert (one == other) == (one.text == other.text)


@given(versions)
def test_a_version_survives_its_text(version: Version) -> None:
    assert Version.parse(version.text) == version
    assert len(version.text) == TEXT_LENGTH


@given(st.text("0123456789abcdefABCDEF_+- \n\u0663", max_size=34))
def test_only_what_text_would_have_made_is_a_version(text: str) -> None:
    try:
        version = Version.parse(text)
    except ValueError:
        return
    assert version.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 31,
        "0" * 33,
        "00000001000000000000002A00000001",  # upper case sorts before lower case
        "+0000001000000000000002a00000001",
        "0000_001000000000000002a00000001",
        " 0000001000000000000002a00000001",
        "\u0660" * 32,  # int() reads these digits too
    ],
)
def test_what_looks_like_a_version_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Version.parse(text)


@pytest.mark.parametrize(
    "parts", [(2**32, 0, 0), (0, 2**64, 0), (0, 0, 2**32), (-1, 0, 0), (0, -1, 0), (0, 0, -1)]
)
def test_a_part_that_does_not_fit_has_no_text(parts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no version has the parts"):
        _ = Version(*parts).text


def test_a_read_ranks_above_the_changes_that_it_saw_and_below_the_next() -> None:
    seen, later = Version.of_change(1, 41), Version.of_change(1, 42)
    assert seen < Version.of_read(1, 41) < later


def test_a_direct_write_ranks_below_the_binlogs_word_on_the_same_commit() -> None:
    assert Version(1, 41, 0) < Version.of_change(1, 41)


def test_a_new_epoch_ranks_above_all_of_the_old_one() -> None:
    assert Version(1, 2**64 - 1, ROW_MAX) < Version(2, 0, 0)
