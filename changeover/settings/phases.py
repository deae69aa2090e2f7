"""The settings of the phases: what must hold before a move, and how long a move may take."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from changeover.settings.section import Section


class PhasesSettings(Section):
    """What must hold before the application's phase moves, and how long a move may take."""

    lag_ms_max: PositiveInt = Field(
        5_000, description="Milliseconds of lag at most: the age of what the target has applied through."
    )
    verdict_age_h_max: PositiveFloat = Field(
        24.0, description="Hours since the state that the last verification has proved, at most."
    )
    retention_left_h_min: NonNegativeFloat = Field(
        24.0, description="Hours for which the binlog still keeps what capture has yet to read, at least."
    )
    processes_min: NonNegativeInt = Field(
        1, description="Processes with the dual-write library that must have been seen."
    )
    process_age_s_max: PositiveFloat = Field(
        30.0, description="Seconds since a process was last seen, at most: longer, and it counts as silent."
    )
    process_forgotten_h: PositiveFloat = Field(
        1.0, description="Hours after which a process that is not seen any more counts as ended."
    )
    compared_min: NonNegativeInt = Field(
        100, description="Reads that were compared by the application's processes, at least."
    )
    mismatch_per_million_max: NonNegativeInt = Field(
        0, description="Mismatches in a million compared reads, or values of tx.put, at most."
    )
    direct_success_percent_min: NonNegativeFloat = Field(
        99.0, le=100, description="Per cent of direct writes that succeed, at least."
    )
    lock_tries: PositiveInt = Field(
        10, le=1_000, description="Tries of a second each to get past the transactions of writers."
    )
    revoke_from: tuple[str, ...] = Field(
        (),
        description="Accounts (name@host) that lose the right to write on the way into NEW, where read_only "
        "cannot be set. Default: none, and the server is made read_only.",
    )
    fence_s: PositiveFloat = Field(
        10.0, le=3_600, description="Seconds that writers may have to wait on the way into NEW, at most."
    )
    lease_s: PositiveFloat = Field(
        2.0, le=60, description="Seconds for which a process may go by the phase that it has read."
    )
