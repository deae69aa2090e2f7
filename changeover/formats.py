"""Formats: the number of what a store's content means, kept in the store itself.

It rises where an older release would misread what is kept, and is raised before anything of the new kind is
written. So whoever looks at the number behind what he has read has seen all that he must know.
"""

from changeover.errors import StateNewer


def require_known(store: str, found: object, known: int) -> None:
    """Return if the store's format is not newer than the one we know, else raise `StateNewer`.

    What is no number at all is none of ours, and for its store to refuse.
    """
    if isinstance(found, int) and found > known:
        raise StateNewer(f"{store} is of format {found}; this release knows {known}")
