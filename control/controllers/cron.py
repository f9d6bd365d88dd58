"""Cron schedules: when one is due.

Invariant: pure; moments are seconds since the epoch, evaluated on the wall clock of the schedule's time zone.
Source: the five fields of crontab(5) with names, ranges, steps and @macros, as robfig/cron reads them.
"""

from __future__ import annotations

import datetime
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: str(number) for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: str(number) for number, name in enumerate(_DAY_NAMES)}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
# Parts that restrict nothing; a step does.
_STARS = frozenset({"*", "?", "*/1", "?/1"})
_YEARS_AHEAD = 5


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes, hours, days, months and weekdays of a schedule; days are alternatives if both are restricted."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    every: float = 0.0

    def next_after(self, moment: float, zone: str = "") -> float | None:
        """The first due time after `moment`, or None if there is none in five more years. Raises ValueError."""
        if self.every:
            return moment - moment % 1 + self.every
        where = time_zone(zone)
        local = datetime.datetime.fromtimestamp(moment, where).replace(second=0, microsecond=0)
        candidate = local.replace(tzinfo=None) + datetime.timedelta(minutes=1)
        limit = datetime.datetime(candidate.year + _YEARS_AHEAD + 1, 1, 1)
        while candidate < limit:
            if candidate.month not in self.months:
                first = candidate.replace(day=1, hour=0, minute=0)
                candidate = (first + datetime.timedelta(days=32)).replace(day=1)
            elif not self._on_day(candidate):
                candidate = candidate.replace(hour=0, minute=0) + datetime.timedelta(days=1)
            elif candidate.hour not in self.hours:
                candidate = candidate.replace(minute=0) + datetime.timedelta(hours=1)
            elif candidate.minute not in self.minutes:
                candidate += datetime.timedelta(minutes=1)
            else:
                found = candidate.replace(tzinfo=where).timestamp()
                if found > moment and _exists(candidate, where):
                    return found
                candidate += datetime.timedelta(minutes=1)
        return None

    def _on_day(self, moment: datetime.datetime) -> bool:
        day = moment.day in self.days
        weekday = (moment.weekday() + 1) % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


@lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """Read a schedule. Raises ValueError."""
    written = text.strip()
    if written.startswith("@every "):
        return _every(written.removeprefix("@every ").strip())
    fields = _MACROS.get(written, written).lower().split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text}")
    vocabularies: tuple[dict[str, str], ...] = ({}, {}, {}, _MONTHS, _DAYS)
    sets = [_field(one, *bounds, names) for one, bounds, names in zip(fields, _BOUNDS, vocabularies)]
    stars = [not _STARS.isdisjoint(one.split(",")) for one in fields]
    minutes, hours, days, months, weekdays = sets
    return Schedule(minutes, hours, days, months, weekdays, any_day=stars[2], any_weekday=stars[4])


def time_zone(name: str) -> datetime.tzinfo:
    """The zone of that name, UTC without one. Raises ValueError."""
    if not name:
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"unknown time zone {name}") from error


def _exists(local: datetime.datetime, where: datetime.tzinfo) -> bool:
    """Whether clocks show that time on that day at all: in spring an hour is left out."""
    back = datetime.datetime.fromtimestamp(local.replace(tzinfo=where).timestamp(), where)
    return back.replace(tzinfo=None) == local


def _field(text: str, low: int, high: int, names: dict[str, str]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, names) if slash else 1
        if step < 1:
            raise ValueError(f"step of {part} must be positive")
        if span in ("*", "?"):
            first, last = low, high
        else:
            first_text, dash, last_text = span.partition("-")
            first = _number(first_text, names)
            last = _number(last_text, names) if dash else (high if slash else first)
        if first < low or last > high or first > last:
            raise ValueError(f"{part} is not within {low}-{high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, names: dict[str, str]) -> int:
    value = names.get(text, text)
    if not value.isdigit():
        raise ValueError(f"{text} is not a number")
    return int(value)


def _every(text: str) -> Schedule:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    total, number = 0.0, ""
    for letter in text:
        if letter in units and number:
            total, number = total + float(number) * units[letter], ""
        else:
            number += letter
    if number or total < 1:
        raise ValueError(f"{text} is not a duration such as 1h30m")
    nothing: frozenset[int] = frozenset()
    return Schedule(nothing, nothing, nothing, nothing, nothing, True, True, every=total)
