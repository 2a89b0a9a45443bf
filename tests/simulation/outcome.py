"""What a seed came to; knows nothing of Django, so that it passes between processes."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What a seed came to."""

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
