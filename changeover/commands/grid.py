"""Tables of the commands."""

from rich.table import Table


def grid(*names: str, title: str | None = None) -> Table:
    """A table with these columns, whose cells are folded where a terminal is narrow, and never cut."""
    made = Table(box=None, title=title, title_justify="left", show_header=any(names))
    for name in names:
        made.add_column(name, overflow="fold")
    return made
