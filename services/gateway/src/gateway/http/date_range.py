"""Ranges of days in queries."""

from datetime import date, timedelta


def days_before(day: date, count: int) -> date:
    """Return the day `count` days earlier, or the first day there is."""
    return day - timedelta(days=min(count, (day - date.min).days))
