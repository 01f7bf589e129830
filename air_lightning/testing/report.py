"""What a check has found: laws kept, laws broken, laws that there was nothing to measure of."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One way in which one law is broken.

    Attributes:
        law: its name. measured: what was measured, with the values. remedy: what to do about it.
    """

    law: str
    measured: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.law}: {self.measured}: {self.remedy}"


class Report(NamedTuple):
    """Attributes:
    renderer: name of the class.
    kept: laws that hold. broken: findings, all of them. skipped: laws not measured, each with the reason.
    """

    renderer: str
    kept: tuple[str, ...]
    broken: tuple[Finding, ...]
    skipped: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        laws = {finding.law for finding in self.broken}
        lines = [f"{self.renderer} keeps {len(self.kept)} laws and breaks {len(laws)}"]
        lines += [f"  broken  {finding}" for finding in self.broken]
        lines += [f"  kept    {', '.join(self.kept)}"] if self.kept else []
        lines += [f"  skipped {law}: {reason}" for law, reason in self.skipped]
        return "\n".join(lines)


class BrokenLaws(ValueError):
    """A renderer breaks laws of the contract; the message lists every one of them. ``report`` has them as data."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


class Skipped(Exception):
    """Raised by a law that there is nothing to measure of; the message is the reason."""
