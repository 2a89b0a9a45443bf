"""The same formats as in English: numbers and dates on pages equal those of the API."""

from mlengine_project.formats.en.formats import (  # noqa: F401  # a format is one by being named here
    DATE_FORMAT,
    DATETIME_FORMAT,
    SHORT_DATE_FORMAT,
    SHORT_DATETIME_FORMAT,
    TIME_FORMAT,
)

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
