"""The delivered alert rules with less patience, for real causes: nothing else of them changes.

They are made from the file that is delivered, so that there is no second copy of a rule. Times that must pass
(`for:`) are 300 times shorter, a quarter of an hour is three seconds; and the limits that would take a real
pipeline too long to reach, or too much of a machine, are lower. `test_rules.py` has the rules as they are, by
the clock.
"""

import re
from collections.abc import Mapping

FASTER = 300

UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}

LIMITS: Mapping[str, str] = {
    "changeover_lag_seconds > 300": "changeover_lag_seconds > 6",
    "progress_age_seconds > 120": "progress_age_seconds > 3",
    "observed_age_seconds > 60": "observed_age_seconds > 6",
    "verdict_age_seconds > 24 * 3600": "verdict_age_seconds > 10",
    "report_age_seconds > 60": "report_age_seconds > 6",
    # A replay window is whole hours: one of six is too short as soon as the consumers are six seconds behind.
    "changeover_log_retention_left_seconds < 6 * 3600": "changeover_log_retention_left_seconds < 21600 - 6",
    "> 1.5e9": "> 2e8",
}
"""What stands in the file, once, and what takes its place."""


def hastened(text: str) -> str:
    """The file of rules with shorter times and lower limits.

    >>> hastened_times("for: 15m") + hastened_times(", for: 1h") + hastened_times(", [15m]")
    'for: 3s, for: 12s, [15m]'
    """
    for limit, lower in LIMITS.items():
        assert text.count(limit) == 1, f"{limit} stands {text.count(limit)} times in the rules: mend LIMITS"
        text = text.replace(limit, lower)
    return hastened_times(text)


def hastened_times(text: str) -> str:
    """The same with shorter times alone; at least a second, and ranges such as `[15m]` stay."""

    def faster(found: re.Match[str]) -> str:
        return f"for: {max(1, int(found[1]) * UNITS_S[found[2]] // FASTER)}s"

    return re.sub(r"\bfor: (\d+)([mhd])\b", faster, text)
