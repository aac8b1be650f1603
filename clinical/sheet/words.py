"""How values become the words of the paper."""

from __future__ import annotations

from datetime import datetime

from clinical.sheet.content import DayValue, Event, Pressure, Stool, Volume
from clinical.sheet.days import local
from clinical.sheet.style import Style

DIGITS = "零一二三四五六七八九"


def chinese_number(number: int) -> str:
    """0 to 99: 零, 九, 十五, 二十, 五十五."""
    tens, ones = divmod(number, 10)
    if not tens:
        return DIGITS[ones]
    return ("" if tens == 1 else DIGITS[tens]) + "十" + (DIGITS[ones] if ones else "")


def chinese_time(moment: datetime) -> str:
    """二十时三十分; on the hour 二十时."""
    minute = moment.minute
    if not minute:
        return f"{chinese_number(moment.hour)}时"
    return f"{chinese_number(moment.hour)}时{'零' if minute < 10 else ''}{chinese_number(minute)}分"


def event_text(event: Event, style: Style) -> str:
    """The word, with the time unless the site writes none; "|" is the bar between both."""
    word = style.word(event.kind)
    if event.kind in style.events.without_time:
        return word
    at = local(event.at, style)
    chinese = style.events.numerals == "chinese" and style.language == "zh"
    clock = chinese_time(at) if chinese else f"{at:%H:%M}"
    return f"{word}{'|' if style.events.separator == 'line' else style.word('at')}{clock}"


def number_text(value: float) -> str:
    """Without needless zeros: 36.8, 120, 62.5."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def celsius_text(value: float) -> str:
    """With one decimal, as thermometers show: 37.0."""
    return f"{value:.1f}"


def day_text(value: DayValue, style: Style) -> str:
    """What stands in a cell below the grid."""
    if isinstance(value, Pressure):
        return f"{value.systolic}/{value.diastolic}" + (f"({style.word('legs')})" if value.legs else "")
    if isinstance(value, Stool):
        return stool_text(value, style)
    if isinstance(value, Volume):
        text = number_text(value.ml) + (f"/{style.word('catheter')}" if value.catheter else "")
        return f"{text} ({value.incomplete[0]}–{value.incomplete[1]})" if value.incomplete else text
    return value


def stool_text(stool: Stool, style: Style) -> str:
    """0; 2; 1/E: one after an enema; 1 2/E: one before and two after; 3/2E: three after two enemas; ※ and ☆."""
    if stool.incontinent:
        return style.word("incontinent")
    if stool.stoma:
        return style.word("stoma")
    if not stool.enemas:
        return str(stool.own)
    times = str(stool.enemas) if stool.enemas > 1 else ""
    after = f"{stool.after_enema}{style.rows.stool_separator}{times}{style.word('enema')}"
    return f"{stool.own} {after}" if stool.own else after
