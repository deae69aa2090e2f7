"""Which links of the settings cross a network in plain text, because they are allowed to."""

from collections.abc import Iterator

from changeover.finding import Finding, Severity
from changeover.settings import Settings
from changeover.settings.links import leaving

MEND = "rows and passwords can be read and changed on the way; set up TLS, and take allow_plain_text out"


def plain_text_findings(settings: Settings) -> Iterator[Finding]:
    """A warning for each link that leaves this machine, maybe in plain text: the settings let no other."""
    source, log, target = settings.source, settings.log, settings.target
    plain = {
        "source": source.allow_plain_text and not source.needs_tls and leaving([source.host]),
        "log": log.allow_plain_text and leaving(log.hosts),
        "target": target.allow_plain_text and not target.user and leaving(host for host, _ in target.nodes),
    }
    for subject in (name for name, away in plain.items() if away):
        what = f"{subject}.allow_plain_text: the link to the {subject} may be in plain text"
        yield Finding(severity=Severity.WARN, subject=subject, what=what, mend=MEND)
