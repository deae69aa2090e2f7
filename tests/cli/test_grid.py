"""Tables of the commands: on a narrow terminal nothing of a name is lost."""

from io import StringIO

from rich.console import Console

from changeover.commands.grid import grid

NAME = "a_long_schema.a_table_of_a_long_name"


def test_what_does_not_fit_is_folded_and_not_cut() -> None:
    listed = grid("table", "verdict")
    listed.add_row(NAME, "clean")
    shown = StringIO()
    Console(file=shown, width=24).print(listed)
    assert "".join(line.split()[0] for line in shown.getvalue().splitlines()[1:]) == NAME
