"""Result of one simulated day, independent of Django to be passed between processes."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Result of the day of one seed."""

    seed: int
    hash: str
    counts: dict
    findings: list = field(default_factory=list)
    seconds: float = 0.0
    figures: dict = field(default_factory=dict)
    control: dict = field(default_factory=dict)
    planted: str = ""

    @property
    def is_red(self):
        return any(self.counts.values())
