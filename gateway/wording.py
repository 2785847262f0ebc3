"""Times and opening hours in the words people use, in Russian, Ukrainian and English.

Pure functions. A promised time is rounded down to five minutes, so that nobody is told a later one than was
agreed; "today" and "tomorrow" are those of the zone that the time is shown in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from router.policy import DAY_MINUTES, Calendar, Span

Language: TypeAlias = Literal["ru", "uk", "en"]

STEP = timedelta(minutes=5)
SOON = timedelta(minutes=10)
"""Less than this is "within a few minutes"."""
FAR = timedelta(days=180)
"""From here on the year is said."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What one language needs. Patterns are filled with `str.format`."""

    soon: str
    by: str
    """Before a time of day: {time}."""
    midnight: str
    today: str
    """{by}."""
    tomorrow: str
    later: str
    """{weekday}, {date}, {by}."""
    short: str
    """{date}, {by}."""
    between: str
    """A window within a day: {start}, {end}."""
    days_between: str
    """A window over several days: {start}, {end}."""
    on_today: str
    on_tomorrow: str
    on_day: str
    """{weekday}, {date}."""
    weekdays: tuple[str, ...]
    """As in "on Monday", Monday first."""
    from_days: tuple[str, ...]
    """With the preposition, which follows the sound of the day."""
    to_days: tuple[str, ...]
    months: tuple[str, ...]
    """As in "24 November"."""
    short_months: tuple[str, ...]
    """Empty where dates are written 24.11."""
    year: str
    """{year}, after a date."""
    workdays: str
    weekend: str
    daily: str
    day_range: str
    """{first}, {last}."""
    hours: str
    """{days}, {spans}."""
    span: str
    """{start}, {end}."""
    and_: str
    always: str
    zone: str
    """{name}."""


RU = Words(
    soon="в течение нескольких минут",
    by="до {time}",
    midnight="до полуночи",
    today="сегодня {by}",
    tomorrow="завтра {by}",
    later="{weekday}, {date}, {by}",
    short="{date} {by}",
    between="с {start} до {end}",
    days_between="с {start} до {end}",
    on_today="сегодня {window}",
    on_tomorrow="завтра {window}",
    on_day="{weekday}, {date}, {window}",
    weekdays=("в понедельник", "во вторник", "в среду", "в четверг", "в пятницу", "в субботу", "в воскресенье"),
    from_days=("с понедельника", "со вторника", "со среды", "с четверга", "с пятницы", "с субботы", "с воскресенья"),
    to_days=("понедельник", "вторник", "среду", "четверг", "пятницу", "субботу", "воскресенье"),
    months=("января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября",
            "ноября", "декабря"),
    short_months=(),
    year=" {year} года",
    workdays="по будням",
    weekend="по выходным",
    daily="ежедневно",
    day_range="{first} по {last}",
    hours="{days} {spans}",
    span="с {start} до {end}",
    and_=" и ",
    always="круглосуточно",
    zone=" по {name} времени",
)  # fmt: skip
UK = Words(
    soon="протягом кількох хвилин",
    by="до {time}",
    midnight="до опівночі",
    today="сьогодні {by}",
    tomorrow="завтра {by}",
    later="{weekday}, {date}, {by}",
    short="{date} {by}",
    between="з {start} до {end}",
    days_between="з {start} до {end}",
    on_today="сьогодні {window}",
    on_tomorrow="завтра {window}",
    on_day="{weekday}, {date}, {window}",
    weekdays=("у понеділок", "у вівторок", "у середу", "у четвер", "у п’ятницю", "у суботу", "у неділю"),
    from_days=("з понеділка", "з вівторка", "із середи", "із четверга", "з п’ятниці", "із суботи", "з неділі"),
    to_days=("понеділок", "вівторок", "середу", "четвер", "п’ятницю", "суботу", "неділю"),
    months=("січня", "лютого", "березня", "квітня", "травня", "червня", "липня", "серпня", "вересня", "жовтня",
            "листопада", "грудня"),
    short_months=(),
    year=" {year} року",
    workdays="у будні",
    weekend="у вихідні",
    daily="щодня",
    day_range="{first} по {last}",
    hours="{days} {spans}",
    span="з {start} до {end}",
    and_=" і ",
    always="цілодобово",
    zone=" за {name} часом",
)  # fmt: skip
EN_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EN = Words(
    soon="within a few minutes",
    by="by {time}",
    midnight="by midnight",
    today="{by} today",
    tomorrow="{by} tomorrow",
    later="{by} {weekday}, {date}",
    short="{by} {date}",
    between="between {start} and {end}",
    days_between="between {start} and {end}",
    on_today="today {window}",
    on_tomorrow="tomorrow {window}",
    on_day="{weekday}, {date}, {window}",
    weekdays=tuple(f"on {day}" for day in EN_DAYS),
    from_days=EN_DAYS,
    to_days=EN_DAYS,
    months=("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
            "November", "December"),
    short_months=("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    year=" {year}",
    workdays="Monday to Friday",
    weekend="Saturday and Sunday",
    daily="every day",
    day_range="{first} to {last}",
    hours="{days}, {spans}",
    span="{start} to {end}",
    and_=" and ",
    always="round the clock",
    zone=" ({name} time)",
)  # fmt: skip
WORDS: Mapping[str, Words] = {"ru": RU, "uk": UK, "en": EN}

ZONES: Mapping[str, tuple[str, str, str]] = {
    "Europe/Kyiv": ("киевскому", "київським", "Kyiv"),
    "Europe/Kiev": ("киевскому", "київським", "Kyiv"),
    "Europe/Warsaw": ("варшавскому", "варшавським", "Warsaw"),
    "Europe/Berlin": ("берлинскому", "берлінським", "Berlin"),
    "Europe/Prague": ("пражскому", "празьким", "Prague"),
    "Europe/London": ("лондонскому", "лондонським", "London"),
    "Europe/Vilnius": ("вильнюсскому", "вільнюським", "Vilnius"),
    "Europe/Riga": ("рижскому", "ризьким", "Riga"),
    "Europe/Tallinn": ("таллинскому", "таллінським", "Tallinn"),
    "Europe/Chisinau": ("кишинёвскому", "кишинівським", "Chisinau"),
    "Europe/Minsk": ("минскому", "мінським", "Minsk"),
    "Europe/Moscow": ("московскому", "московським", "Moscow"),
    "Europe/Istanbul": ("стамбульскому", "стамбульським", "Istanbul"),
    "Asia/Tbilisi": ("тбилисскому", "тбіліським", "Tbilisi"),
    "Asia/Yerevan": ("ереванскому", "єреванським", "Yerevan"),
    "Asia/Baku": ("бакинскому", "бакинським", "Baku"),
    "Asia/Almaty": ("алматинскому", "алматинським", "Almaty"),
    "Asia/Tashkent": ("ташкентскому", "ташкентським", "Tashkent"),
    "America/New_York": ("нью-йоркскому", "нью-йоркським", "New York"),
}
"""Zone -> its name in the case that the sentence wants, in ru, uk, en. Others are shown as UTC+3."""


# -- promised times -----------------------------------------------------------------------


def due(language: str, at: datetime, now: datetime, zone: str, reader_zone: str = "") -> str:
    """A promised time: "сегодня до 15:00", "by 15:00 on Monday, 24 November".

    `zone` is an IANA name; it is named when the reader's clock shows another time. "by" is part of the text.
    """
    words = WORDS[language]
    if at - now < SOON:
        return words.soon
    day, time = _day_and_time(at, zone)
    by = _by(words, time) + zone_name(language, at, zone, reader_zone)
    today = now.astimezone(ZoneInfo(zone)).date()
    if day <= today:
        return words.today.format(by=by)
    if day == today + DAY:
        return words.tomorrow.format(by=by)
    return words.later.format(weekday=words.weekdays[day.weekday()], date=_date(words, day, today), by=by)


def due_short(language: str, at: datetime, now: datetime, zone: str) -> str:
    """The same for an SMS: "сегодня до 15:00", "24.11 до 15:00", "by 15:00 24 Nov"."""
    words = WORDS[language]
    day, time = _day_and_time(max(at, now), zone)
    if day <= now.astimezone(ZoneInfo(zone)).date():
        return words.today.format(by=_by(words, time))
    return words.short.format(date=_short_date(words, day), by=_by(words, time))


def _day_and_time(at: datetime, zone: str) -> tuple[date, str]:
    """The local day and time, rounded down to five minutes; midnight belongs to the day that ends ("")."""
    since = at - datetime(2000, 1, 1, tzinfo=UTC)
    local = (at - since % STEP).astimezone(ZoneInfo(zone))
    if (local.hour, local.minute) == (0, 0):
        return local.date() - DAY, ""
    return local.date(), f"{local.hour}:{local.minute:02}"


def _by(words: Words, time: str) -> str:
    return words.by.format(time=time) if time else words.midnight


# -- days and moments ---------------------------------------------------------------------


def day(language: str, at: datetime, now: datetime, zone: str) -> str:
    """A date: "24 ноября", "24 November"; with the year when it is far off."""
    local, today = (moment.astimezone(ZoneInfo(zone)).date() for moment in (at, now))
    return _date(WORDS[language], local, today)


def moment(language: str, at: datetime, now: datetime, zone: str) -> str:
    """A date with the time, to the minute: "24 ноября, 15:04"."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{day(language, at, now, zone)}, {local.hour}:{local.minute:02}"


def window(language: str, start: datetime, end: datetime, now: datetime, zone: str, reader_zone: str = "") -> str:
    """When somebody will come: "сегодня с 10:00 до 12:00", "on Monday, 24 November, between 10:00 and 12:00"."""
    words = WORDS[language]
    first, last, today = (at.astimezone(ZoneInfo(zone)) for at in (start, end, now))
    named = zone_name(language, start, zone, reader_zone)
    if first.date() != last.date():
        return words.days_between.format(
            start=moment(language, start, now, zone), end=moment(language, end, now, zone)
        ) + named  # fmt: skip
    span = words.between.format(start=f"{first:%-H:%M}", end=f"{last:%-H:%M}") + named
    away = (first.date() - today.date()).days
    if away in (0, 1):
        return (words.on_tomorrow if away else words.on_today).format(window=span)
    weekday, shown = words.weekdays[first.weekday()], _date(words, first.date(), today.date())
    return words.on_day.format(weekday=weekday, date=shown, window=span)


def window_short(language: str, start: datetime, end: datetime, zone: str) -> str:
    """The same for a text message: "24.11 10:00-12:00", "24 Nov 10:00-12:00", "24.11 15:00 - 25.11 12:00"."""
    first, last = (at.astimezone(ZoneInfo(zone)) for at in (start, end))
    words = WORDS[language]
    if first.date() == last.date():
        return f"{_short_date(words, first.date())} {first:%-H:%M}-{last:%-H:%M}"
    return " - ".join(f"{_short_date(words, at.date())} {at:%-H:%M}" for at in (first, last))


def zone_name(language: str, at: datetime, zone: str, reader_zone: str) -> str:
    """The name of the zone with what joins it to the time; "" when the reader's clock shows the same."""
    offset = at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta(0)
    if not reader_zone or offset == at.astimezone(ZoneInfo(reader_zone)).utcoffset():
        return ""
    if zone in ZONES:
        names = dict(zip(WORDS, ZONES[zone], strict=True))
        return WORDS[language].zone.format(name=names[language])
    minutes = int(offset.total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    shift = f"{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "") if minutes else ""
    return f" (UTC{shift})"


def _date(words: Words, when: date, today: date) -> str:
    year = words.year.format(year=when.year) if abs(when - today) > FAR else ""
    return f"{when.day} {words.months[when.month - 1]}{year}"


def _short_date(words: Words, when: date) -> str:
    return f"{when.day} {words.short_months[when.month - 1]}" if words.short_months else f"{when:%d.%m}"


# -- opening hours ------------------------------------------------------------------------


def hours(language: str, calendar: Calendar) -> str:
    """The usual week of a calendar: "по будням с 9:00 до 18:00"; "" when it is never open. Holidays are left out."""
    words = WORDS[language]
    if all(spans == ((0, DAY_MINUTES),) for spans in calendar.week):
        return words.always
    runs = (
        words.hours.format(days=_days(words, first, last), spans=_spans(words, spans))
        for first, last, spans in _runs(calendar.week)
    )
    return "; ".join(runs)


def _runs(week: Sequence[tuple[Span, ...]]) -> Iterator[tuple[int, int, tuple[Span, ...]]]:
    """Stretches of days with the same hours, closed days left out."""
    first = 0
    for number in range(1, len(week) + 1):
        if number == len(week) or week[number] != week[first]:
            if week[first]:
                yield first, number - 1, week[first]
            first = number


def _days(words: Words, first: int, last: int) -> str:
    named = {(0, 4): words.workdays, (5, 6): words.weekend, (0, 6): words.daily}
    if (first, last) in named:
        return named[first, last]
    if first == last:
        return words.weekdays[first].removeprefix("on ")
    return words.day_range.format(first=words.from_days[first], last=words.to_days[last])


def _spans(words: Words, spans: Sequence[Span]) -> str:
    if tuple(spans) == ((0, DAY_MINUTES),):
        return words.always
    shown = [words.span.format(start=_clock(start), end=_clock(end)) for start, end in spans]
    return words.and_.join((", ".join(shown[:-1]), shown[-1])) if len(shown) > 1 else shown[0]


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02}"
