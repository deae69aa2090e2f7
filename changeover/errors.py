"""What can go wrong, by who failed; each error's `hint` says what to do about it.

Three kinds matter to who runs a daemon, and each has an exit status of its own (`exits.py`):
refused (nothing was done), unavailable (start again, it will go on), stopped (a person must decide).
"""

from typing import ClassVar


class ChangeoverError(Exception):
    """Anything this product refuses or fails to do, in one line."""

    hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.mend = hint or self.hint

    def __str__(self) -> str:
        """The message and its mend, in one line."""
        message = super().__str__().rstrip(".")
        return f"{message}. {self.mend}" if self.mend else f"{message}."


class Refused(ChangeoverError):
    """The input cannot be worked with; nothing was touched."""


class Unavailable(ChangeoverError):
    """A part outside did not answer; nothing is lost, and the work goes on from the last checkpoint."""


class Stopped(ChangeoverError):
    """Going on could lose or falsify data; a person must decide. Never restarted in a loop."""


# -- settings ---------------------------------------------------------------------------------------------


class SettingsInvalid(Refused):
    """The settings cannot be read, or name something that does not exist."""


# -- the source -------------------------------------------------------------------------------------------


class SourceUnavailable(Unavailable):
    """The source did not answer, or the connection to it broke."""

    hint = "Check that the server runs and can be reached from here; the work goes on by itself."


class SourceRefused(Refused):
    """The source refused us: wrong password, missing privilege, unknown host."""


class SourceUnfit(Refused):
    """The source, as it is set up, would lose or misread changes."""


class StartRefused(Refused):
    """Capture cannot start, or replay begin, at the place that was named."""


class TableUnfit(Refused):
    """A captured table has a type or a shape that cannot be moved exactly."""


class BinlogUnreadable(Stopped):
    """The binlog holds something that cannot be read exactly."""


class PositionPurged(Stopped):
    """The binlog no longer holds the place that we must resume from."""

    hint = (
        "Changes are missing: start a pipeline under a new name with a new import, and raise "
        "binlog_expire_logs_seconds."
    )


class OrderBroken(Stopped):
    """The source's commit order is not what the versions rest on."""


# -- the log ----------------------------------------------------------------------------------------------


class LogUnavailable(Unavailable):
    """The log did not take or give records."""

    hint = "Check the log's disk and that no other program holds its file locked."


class LogUnusable(Refused):
    """The log cannot be opened or written, or belongs to something else."""


class Fenced(Stopped):
    """Another process took over; whatever this one does now counts no more."""

    hint = "Run one of them only; the newer one goes on."


class LogTrimmed(Stopped):
    """The log no longer holds records that were never read: changes are missing in the target."""

    hint = "Import the tables again under a new pipeline name, and keep records for longer."


# -- the target -------------------------------------------------------------------------------------------


class TargetUnavailable(Unavailable):
    """The target did not answer."""

    hint = "Check the target; the work goes on by itself from the last committed offset."


class TargetUnusable(Refused):
    """The target cannot be opened or written, or belongs to something else."""


class UnversionedObject(Stopped):
    """The target holds an object that changeover did not write, under a key that it must write."""

    hint = "Remove it, or move into an empty target."


class ChangeUnreadable(Stopped):
    """A record of the log cannot be read as a change."""
