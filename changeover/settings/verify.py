"""The settings of verification."""

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from changeover.settings.section import Section


class VerifySettings(Section):
    """How source and target are compared while everything runs."""

    chunk_rows: PositiveInt = Field(
        1_000, le=100_000, description="Rows read at a time at most; fewer where rows are large."
    )
    rows_per_s: PositiveFloat | None = Field(
        None, description="Rows compared a second at most. Default: as fast as both sides allow."
    )
    lag_s_max: PositiveFloat = Field(
        10.0, description="Seconds that the target may lag behind before the scan waits for it."
    )
    wait_s_max: PositiveFloat = Field(
        60.0, description="Seconds to wait for the target to apply what was read, before that is a gap."
    )
    pause_s: NonNegativeFloat = Field(
        3_600.0, description="Seconds between two full scans under --continuous."
    )
    recent_s: PositiveFloat = Field(
        10.0, description="Seconds between two looks at recently changed keys under --continuous."
    )
