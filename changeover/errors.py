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


class CrashPointReached(Unavailable):
    """A crash point was reached that the environment has armed to fail as an outage does."""

    hint = "Unset CHANGEOVER_CRASH to run as usual."


class CutShort(Unavailable):
    """The work was asked to stop before it was done."""

    hint = "Started again, it goes on where it was."


# -- settings ---------------------------------------------------------------------------------------------


class SettingsInvalid(Refused):
    """The settings cannot be read, or name something that does not exist."""


class ListenRefused(Refused):
    """The address for watchers cannot be listened at."""

    hint = "Another program has the port, or the address is not of this host: change metrics.listen."


class KeyUnreadable(Refused):
    """What was given as a key is none of the table."""


class StateNewer(Refused):
    """What is kept was written by a newer release, in a format that this one does not know."""

    hint = "Run that release, or one that is newer still: this one would misread it."


# -- the source -------------------------------------------------------------------------------------------


class SourceUnavailable(Unavailable):
    """The source did not answer, or the connection to it broke."""

    hint = "Check source.url, and that the server runs; a pipeline that runs goes on by itself."


class RowLocked(SourceUnavailable):
    """Another transaction holds a row, and has not let go of it within the session's patience."""

    hint = "Try again; it is let go of with that transaction's end."


class SourceRefused(Refused):
    """The source refused us: wrong password, missing privilege, unknown host."""


class TableMissing(SourceRefused):
    """The source has no such table."""


class SourceUnfit(Refused):
    """The source, as it is set up, would lose or misread changes."""


class StartRefused(Refused):
    """Capture cannot start, or replay begin, at the place that was named."""


class TableUnfit(Refused):
    """A captured table has a type or a shape that cannot be moved exactly."""


class BinlogUnreadable(Stopped):
    """The binlog holds something that cannot be read exactly."""


class SchemaChanged(Stopped):
    """A captured table is not as it was, on a server whose binlog does not say how it was."""

    hint = "Rows behind the checkpoint would be misread: start a pipeline under a new name with a new import."


class ValueUnreadable(Stopped):
    """A table holds a value that cannot be read exactly. The words never show it."""

    hint = "Mend the value in the source; the work goes on from the chunk that it is in."


class PositionPurged(Stopped):
    """The binlog no longer holds the place that we must resume from."""

    hint = (
        "Changes are missing: start a pipeline under a new name with a new import, and raise "
        "binlog_expire_logs_seconds."
    )


class EpochTaken(Unavailable):
    """Another capture has just opened the epoch, as another one than we found."""

    hint = "Started again, it finds that epoch; only one of two captures goes on."


class EpochsClosed(Stopped):
    """The source became another server, after the new database has taken over."""

    hint = (
        "What is written there was not in the move: the new database goes on, and the old one is of the past."
    )


class OrderBroken(Stopped):
    """The source's commit order is not what the versions rest on."""


class RepairRefused(Refused):
    """What is asked of repair, or of explain, cannot be done; nothing was touched."""


# -- the phase --------------------------------------------------------------------------------------------


class MoveRefused(Refused):
    """There is no such step from the phase that the pipeline is in."""


class PhaseHeld(Unavailable):
    """Transactions of the application, or another mover, hold the phase."""

    hint = "Nothing was moved. Try again, or end what holds it."


class PhaseMoved(Unavailable):
    """Another mover came first."""

    hint = "See `changeover phase show`, and decide anew."


class FenceLate(Unavailable):
    """The fence took longer than writers may wait, or did not hold."""

    hint = "It is undone, and the old phase goes on."


class HandoverUnsettled(Unavailable):
    """The new database has taken over, but it does not remember yet that the old one knows."""

    hint = (
        "Run `changeover phase advance` once more: processes that start while the old one is down need that."
    )


class FenceStands(Unavailable):
    """The fence could not be undone, and writers still wait."""

    hint = "Run `changeover phase back` as soon as source and target answer."


# -- the mapping ------------------------------------------------------------------------------------------


class MappingUnfit(Refused):
    """The rules of a mapping do not fit their table, or its function cannot be used."""

    hint = "Mend the table's rules under mapping.tables."


class KeysCollide(Refused):
    """Rows of two tables would go to one object: each would be lost under the other."""

    hint = "Give one of them another bucket under mapping.tables, or each a key_prefix of its own."


class MappingFailed(Stopped):
    """A mapping function failed, or gave no body."""

    hint = "Mend the function. It stops here, and nothing of the row was written."


class MappingChanged(Refused):
    """The target holds objects that were made by another mapping."""

    hint = (
        "Put the old mapping back; or begin again with the new one under a new pipeline name and into a new "
        "bucket type, so that its import writes every object anew."
    )


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

    hint = "Check target.url, and that the target runs; a pipeline that runs goes on by itself."


class NotApplied(Unavailable):
    """The target has not applied through a place of the source in time: nothing can be said of it."""

    hint = "See with `changeover status` whether capture and consumer run, and how far behind they are."


class TargetUnusable(Refused):
    """The target cannot be opened or written, or belongs to something else."""


class TargetClosed(Refused):
    """The move into this target is finished: what the application writes there has no order that we know."""

    hint = "Stop `changeover run`: there is nothing left for it to do."


class UnversionedObject(Stopped):
    """The target holds an object that changeover did not write, under a key that it must write."""

    hint = "Remove it, or move into an empty target."


class OrderUnproven(Refused):
    """Whether this Riak orders writes by their versions was not proved for the release that it runs."""

    hint = "Run `changeover doctor`, which proves it; it must find nothing against the target."


class OrderFailed(Refused):
    """A Riak cluster does not order writes by their versions."""

    hint = 'Set target.ordering = "siblings", and target.bucket_type to a type with allow_mult = true.'


class ObjectTooLarge(Stopped):
    """A row makes a larger object than the settings allow."""

    hint = "Leave a column out (mapping.tables), or raise target.object_bytes_max."


class ChangeUnreadable(Stopped):
    """A record of the log cannot be read as a change, or as what else should lie there."""


# -- the application's library ----------------------------------------------------------------------------


class TableUnknown(Refused):
    """The application named a table or a key that is not captured."""


class ValueRefused(Refused):
    """The application gave a value whose form in the databases is not certain."""

    hint = "Give it as the column's own type; dates and times with a time zone where the column has one."


class PhaseForbids(Refused):
    """The application asked for something that its phase does not have."""


class WritesFenced(Unavailable):
    """The pipeline is on its way into NEW, and nobody may write until it is there, or back."""

    hint = "Nothing was written: try again."


class TransactionBroken(Unavailable):
    """The transaction did not stay one transaction, and the phase moved in between."""

    hint = (
        "What was not committed before is rolled back: try again, and keep COMMIT and statements that commit "
        "(CREATE, ALTER, LOCK TABLES) out of the block."
    )


class CommitUnknown(Unavailable):
    """The old database did not answer a COMMIT: nobody knows whether it happened."""

    hint = "Look at the old database before the work is done again."
