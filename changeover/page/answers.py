"""Answers: what the facts mean for whoever looks at them at three in the morning."""

from changeover.page.facts import Facts
from changeover.page.picture import Answers, Said, Tone
from changeover.page.wording import count, duration, percent
from changeover.phase import LEFT_STANDING, Phase
from changeover.phases.gates import failing
from changeover.phases.transitions import Step, after
from changeover.verify.verdicts import State, whole

LAG_MS_CALM = 10_000
"""Lag that needs no attention: some seconds are a large transaction, or a restart."""

LAG_MS_WARN = 60_000
"""Lag of minutes does not go away by itself unless something is catching up."""


def unknown(why: str) -> Answers:
    """The answers while nothing is known."""
    said = Said(Tone.UNKNOWN, "Unknown", why)
    return Answers(how_far=said, how_far_behind=said, is_it_right=said, may_i_go_on=said, can_i_go_back=said)


def answers_of(facts: Facts, eta_s: int | None) -> Answers:
    """The five answers."""
    return Answers(
        how_far=how_far(facts, eta_s),
        how_far_behind=how_far_behind(facts),
        is_it_right=is_it_right(facts),
        may_i_go_on=may_i_go_on(facts),
        can_i_go_back=can_i_go_back(facts),
    )


def headline_of(facts: Facts, answers: Answers) -> Said:
    """The whole in a few words, without a figure: a screen reader says them each time that they change."""
    if facts.phase.is_left_standing(facts.now_ms):
        return Said(Tone.BAD, "The fence was left standing, and writers wait")
    if answers.is_it_right.tone is Tone.BAD:
        return Said(Tone.BAD, "Source and target differ")
    match facts.phase.phase:
        case Phase.FENCED:
            return Said(Tone.BUSY, "On the way into NEW, and writers wait")
        case Phase.NEW:
            return Said(Tone.GOOD, "The new database has taken over")
        case _:
            return _in_step(answers)


def _in_step(answers: Answers) -> Said:
    """Whether the new database follows the old one."""
    match answers.how_far_behind.tone:
        case Tone.BAD | Tone.WARN:
            return Said(answers.how_far_behind.tone, "Behind")
        case Tone.UNKNOWN:
            return Said(Tone.UNKNOWN, "Starting")
        case Tone.BUSY:
            return Said(Tone.BUSY, "Copying, and following every change")
        case Tone.GOOD:
            return Said(Tone.GOOD, "In step")


def how_far(facts: Facts, eta_s: int | None) -> Said:
    """How far the import is, and with it the move."""
    status = facts.status
    rows = f"{count(status.rows_copied)} of about {count(status.rows_total)} rows"
    if not facts.imports and not status.tables:
        return Said(Tone.GOOD, "No import", "Another tool makes the copy; changes are captured.")
    if not status.tables:
        return Said(Tone.BUSY, "Not begun", "No table has been enrolled for the import yet.")
    if not status.is_import_logged:
        left = f"about {duration(eta_s)} left" if eta_s is not None else "time left unknown"
        return Said(Tone.BUSY, f"{percent(status.rows_copied, status.rows_total)} copied", f"{rows}, {left}")
    copied = f"{count(status.rows_copied)} rows of {count(len(status.tables))} tables"
    if not status.is_import_applied:
        return Said(Tone.BUSY, "All copied", f"{copied} are in the log, and are being applied.")
    return Said(Tone.GOOD, "All rows copied", f"{copied} were copied; every change follows.")


def how_far_behind(facts: Facts) -> Said:
    """The age of what the target has applied through."""
    if facts.phase.phase is Phase.NEW:  # where the daemons may be ended, and the last lag says nothing
        return Said(Tone.GOOD, "Not at all", "All of the old database was applied before NEW; it is frozen.")
    lag_ms = facts.status.lag_ms
    if lag_ms is None:
        return Said(Tone.UNKNOWN, "Unknown", "The target has not applied through any moment yet.")
    detail = "All that was committed longer ago is in the new database."
    if not facts.status.is_import_applied and facts.status.tables:
        return Said(Tone.BUSY, duration(lag_ms / 1000), f"{detail} The import is still being applied.")
    tone = Tone.GOOD if lag_ms <= LAG_MS_CALM else Tone.WARN if lag_ms <= LAG_MS_WARN else Tone.BAD
    return Said(tone, duration(lag_ms / 1000), detail)


TONES = {
    State.CLEAN: Tone.GOOD,
    State.DIFFERENCES: Tone.BAD,
    State.GAP: Tone.BAD,
    State.NOT_FINISHED: Tone.UNKNOWN,
}


def is_it_right(facts: Facts) -> Said:
    """What verification says of all tables together."""
    found = whole(facts.verdicts)
    tone = TONES[found.state]
    match found.state:
        case State.CLEAN:
            age_s = (facts.now_ms - (found.as_of_ms or 0)) / 1000
            return Said(tone, "Clean", f"Each of {count(found.rows)} rows was equal {duration(age_s)} ago.")
        case State.DIFFERENCES:
            rows = "row differs" if found.findings_open == 1 else "rows differ"
            return Said(tone, f"{count(found.findings_open)} {rows}", "changeover findings list shows them.")
        case State.GAP:
            return Said(tone, "Gap", f"{found.why}.")
        case State.NOT_FINISHED:
            return Said(tone, "Not known", f"{found.why}. changeover verify compares every row.")


def may_i_go_on(facts: Facts) -> Said:
    """Whether the gates of the next step hold."""
    to = after(facts.phase.phase, Step.ADVANCE)
    if to is None:
        return Said(
            Tone.GOOD, "Arrived", "NEW is the last phase. What is left: verify once more, and finish."
        )
    if facts.phase.is_left_standing(facts.now_ms):
        return Said(Tone.BAD, "Left standing", f"{LEFT_STANDING.capitalize()}.")
    if facts.phase.phase is Phase.FENCED:
        return Said(Tone.BUSY, "On the way", "The new database gets the last of the old one; nobody writes.")
    if facts.gates is None:
        return Said(Tone.UNKNOWN, "Unknown", f"The gates to {to.value} could not be judged.")
    shut = failing(facts.gates)
    if not shut:
        return Said(Tone.GOOD, "Yes", f"All {len(facts.gates)} gates to {to.value} are open.")
    some = f"{len(shut)} of {len(facts.gates)} gates to {to.value} are shut"
    return Said(Tone.WARN, "Not yet", f"{some}; {shut[0].name}: {shut[0].reason}.")


def can_i_go_back(facts: Facts) -> Said:
    """Whether the application can go back to the old database, and what it would lose."""
    match facts.phase.phase:
        case Phase.OLD:
            return Said(Tone.GOOD, "Yes", "The application still uses the old database alone.")
        case Phase.BOTH_READ_OLD:
            return Said(Tone.GOOD, "Yes", "The old database has every write, and answers every read.")
        case Phase.BOTH_READ_NEW:
            return Said(Tone.GOOD, "Yes", "The old database has every write; going back copies nothing.")
        case Phase.FENCED if facts.phase.is_left_standing(facts.now_ms):
            return Said(
                Tone.WARN, "Perhaps", "If the new database was not told to take over: changeover phase back."
            )
        case Phase.FENCED:
            return Said(Tone.WARN, "Until it is decided", "The mover undoes its fence if its time is over.")
        case Phase.NEW:
            return Said(Tone.WARN, "No", "The old database is frozen; the new one is the only one in use.")
