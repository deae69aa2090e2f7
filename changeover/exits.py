"""Exit statuses of every program here: what a supervisor, a script or a person can rely on."""

from changeover.errors import ChangeoverError, Stopped, Unavailable

OK = 0
DIFFERENT = 1  # a comparison found differences, or a wait ran out: the answer is no
USAGE = 2  # the command line is wrong (also what typer says)
REFUSED = 3  # settings, source, log or target cannot be worked with; nothing was touched
STOPPED = 4  # a loud stop: a person must decide; a supervisor must not restart
UNAVAILABLE = 75  # a part outside did not answer (sysexits' EX_TEMPFAIL); start again later

NOT_RESTARTED = frozenset({OK, USAGE, REFUSED, STOPPED})
"""After these a supervisor leaves a daemon alone."""


def status_of(error: ChangeoverError) -> int:
    """The exit status that tells this error to a supervisor."""
    if isinstance(error, Unavailable):
        return UNAVAILABLE
    if isinstance(error, Stopped):
        return STOPPED
    return REFUSED
