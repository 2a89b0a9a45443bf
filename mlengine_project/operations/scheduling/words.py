"""Schedules in words, and warnings about those that would run too often. Pure."""

from itertools import pairwise

from django.utils.translation import gettext

TRAININGS_A_DAY = 4
"""More trainings a day than this take the machine from the live path, and each candidate is a further trial."""
TRAINING_TASK = "mlengine_project.operations.tasks.request_daily_training"
MINUTES, HOURS = 60, 24
MAX_TIMES = 6
"""More times of a day than this are not listed."""


def times(field: str, size: int) -> list[int] | None:
    """Values that a field of a crontab names, ascending; None if it is not of the simple forms.

    Examples
    --------
    >>> times("*/20", 60), times("1-11/5", 60), times("5,50", 60), times("MON", 7)
    ([0, 20, 40], [1, 6, 11], [5, 50], None)
    """
    found: set[int] = set()
    for part in field.replace(" ", "").split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = "0", str(size - 1)
        elif not last:
            last = str(size - 1) if step else first
        if not all(text.isascii() and text.isdigit() for text in (first, last, step or "1")) or int(step or 1) == 0:
            return None
        found.update(range(int(first), min(int(last), size - 1) + 1, int(step or 1)))
    return sorted(found) or None


def schedule_words(minute: str, hour: str, weekday: str = "*", day: str = "*", month: str = "*") -> str:
    """A crontab in UTC as a phrase; as it is written where no simple phrase says it.

    Examples
    --------
    >>> schedule_words("20", "0"), schedule_words("*", "*"), schedule_words("1-59/5", "*")
    ('every day at 00:20 UTC', 'every minute', 'every 5 minutes, from minute 1 of the hour')
    >>> schedule_words("*/5", "*"), schedule_words("50", "*"), schedule_words("0", "*/6")
    ('every 5 minutes', 'every hour at minute 50', 'every day at 00:00, 06:00, 12:00, 18:00 UTC')
    >>> schedule_words("20", "0", weekday="mon-fri")
    'crontab 20 0 * * mon-fri'
    """
    minutes, hours = times(minute, MINUTES), times(hour, HOURS)
    words = ""
    if (weekday, day, month) == ("*", "*", "*") and minutes is not None and hours is not None:
        if len(hours) == HOURS:
            words = _within_the_hour(minutes)
        elif len(minutes) * len(hours) <= MAX_TIMES:
            at = ", ".join(f"{h:02d}:{m:02d}" for h in hours for m in minutes)
            words = gettext("every day at %(times)s UTC") % {"times": at}
    return words or f"crontab {minute} {hour} {day} {month} {weekday}"


def _within_the_hour(minutes: list[int]) -> str:
    """A phrase for the same minutes of every hour, empty if they are uneven."""
    if len(minutes) == MINUTES:
        return gettext("every minute")
    if len(minutes) == 1:
        return gettext("every hour at minute %(minute)d") % {"minute": minutes[0]}
    steps = {later - earlier for earlier, later in pairwise([*minutes, minutes[0] + MINUTES])}
    if len(steps) != 1:
        return ""
    if minutes[0] == 0:
        return gettext("every %(step)d minutes") % {"step": steps.pop()}
    words = gettext("every %(step)d minutes, from minute %(minute)d of the hour")
    return words % {"step": steps.pop(), "minute": minutes[0]}


def interval_words(seconds: float) -> str:
    """An interval as a phrase.

    Examples
    --------
    >>> interval_words(60), interval_words(90), interval_words(600), interval_words(172_800)
    ('every minute', 'every 90 seconds', 'every 10 minutes', 'every 2 days')
    """
    whole = round(seconds)
    for size, one, many in (
        (86_400, gettext("every day"), gettext("every %(step)d days")),
        (3_600, gettext("every hour"), gettext("every %(step)d hours")),
        (60, gettext("every minute"), gettext("every %(step)d minutes")),
    ):
        if whole >= size and whole % size == 0:
            return one if whole == size else many % {"step": whole // size}
    return gettext("every %(step)g seconds") % {"step": seconds}


def schedule_warning(task: str, minute: str, hour: str) -> str:
    """Warning before a training is run too often, else empty.

    Examples
    --------
    >>> schedule_warning(TRAINING_TASK, "20", "0"), schedule_warning("other", "*/5", "*")
    ('', '')
    >>> schedule_warning(TRAINING_TASK, "*/5", "*")
    'This asks for a training 288 times a day. Once a day is enough; a request of the same day is not repeated.'
    """
    return runs_warning(task, len(times(minute, MINUTES) or []) * len(times(hour, HOURS) or []))


def runs_warning(task: str, runs: int) -> str:
    """Warning before a training that is asked for `runs` times a day, else empty.

    Examples
    --------
    >>> runs_warning(TRAINING_TASK, 1), runs_warning(TRAINING_TASK, 24)[:40]
    ('', 'This asks for a training 24 times a day.')
    """
    if task != TRAINING_TASK or runs <= TRAININGS_A_DAY:
        return ""
    words = gettext(
        "This asks for a training %(runs)d times a day. Once a day is enough; a request of the same day is not "
        "repeated."
    )
    return words % {"runs": runs}
