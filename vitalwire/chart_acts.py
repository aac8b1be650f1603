"""`vitalwire chart enter`, `take`, `confirm`, `correct`, `accept`, `withdraw`: by the gateway, as who signed in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from clinical.chart import Entry, Status
from clinical.chart_items import Item, ItemForm, item_of
from emr_store.instants import moment, us_of
from gateway.command_reading import CHART, ENTRY, ChartShown
from runtime.errors import UserError
from schemas.errors import VitalwireError
from vitalwire.chart_words import print_entry
from vitalwire.gateway_client import Gateway, RefusedError, signed_in_gateway
from vitalwire.record import Json
from vitalwire.whose import instant_or_now

Encounter = Annotated[str, typer.Argument(help="a visit's number, or its key in `patients list --json`")]
EntryId = Annotated[str, typer.Argument(metavar="ENTRY", help="its id in `chart show`, or the beginning of it")]
Value = Annotated[str, typer.Argument(help="a number, a choice or words, as the item is written")]
Remark = Annotated[str, typer.Option("--why", help="a remark, kept with the act")]
Reason = Annotated[str, typer.Option("--why", help="why, kept with the entry")]
ACT = "/chart-act"
REFUSED = {
    "not_possible": "this value is not possible",
    "ahead": "it lies ahead, by the gateway's clock: write it when it has happened",
    "before_the_stay": "it lies before the stay began",
    "taken": "there is an entry of this item at this time already: correct it",
    "confirmed_already": "it is confirmed already: correct it, or withdraw it",
    "in_error": "it was entered in error: write it anew",
    "says_so_already": "it says so already",
    "changed": "it is not any more what it was a moment ago: `vitalwire chart show` it, and try again",
    "not_on_demand": "no policy of the ward says that it is taken on demand",
    "nothing_measured": "nothing was measured that may be taken",
    "archived": "the stay is archived: medical affairs reopen it",
}


def chart_enter(
    encounter: Encounter,
    item: Annotated[str, typer.Argument(help="what it is: pain, urine, acvpu, ..., or a metric's reference id")],
    value: Value,
    at: Annotated[str, typer.Option(help="when it was measured: 2026-11-24T10:00Z, or now")] = "now",
    why: Remark = "",
    json: Json = False,
) -> None:
    """Write a value by hand: vitalwire chart enter V4711 urine 120 --at 2026-11-24T10:00Z."""
    kind = item_of(item)
    number, text = _value(kind, value)
    kind.check(number, text)
    wish = {"act": "enter", "encounter": encounter, "item": item, "value": number, "text": text, "why": why}
    print_entry(_written(signed_in_gateway(), wish, instant_or_now(at)), json=json)


def chart_take(
    encounter: Encounter,
    metric: Annotated[str, typer.Argument(help="a metric's reference id")],
    at: Annotated[str, typer.Option(help="as it was measured by then; else now")] = "now",
    why: Remark = "",
    json: Json = False,
) -> None:
    """Chart what a device measures now: vitalwire chart take V4711 MDC_TEMP.

    Which value counts is as the policy of the ward says.
    """
    wish = {"act": "take", "encounter": encounter, "item": metric, "why": why}
    print_entry(_written(signed_in_gateway(), wish, instant_or_now(at)), json=json)


def chart_confirm(entry: EntryId, why: Remark = "", json: Json = False) -> None:
    """Stand behind what an entry says: vitalwire chart confirm 0198c2f1-77aa."""
    gateway = signed_in_gateway()
    print_entry(_changed(gateway, _found(gateway, entry), {"act": "confirm", "why": why}), json=json)


def chart_correct(entry: EntryId, value: Value, why: Reason, json: Json = False) -> None:
    """Say that it was otherwise: vitalwire chart correct 0198c2f1-77aa 118 --why 'by hand, cuff too small'."""
    gateway = signed_in_gateway()
    shown = _found(gateway, entry)
    kind = item_of(shown.entries[0].key.item)
    number, text = _value(kind, value)
    kind.check(number, text)
    wish = {"act": "correct", "value": number, "text": text, "why": why}
    print_entry(_changed(gateway, shown, wish), json=json)


def chart_accept(entry: EntryId, why: Remark = "", json: Json = False) -> None:
    """Take the device's value that is proposed: vitalwire chart accept 0198c2f1-77aa.

    It is a correction whose value and sources are the proposal's.
    """
    gateway = signed_in_gateway()
    shown = _found(gateway, entry)
    proposal = shown.proposals.get(shown.entries[0].entry)
    if proposal is None:
        raise UserError("no other value is proposed for it: `vitalwire chart correct` says what it should say")
    if proposal.chosen is None:
        raise UserError("no value of a device stands for it any more: confirm, correct or withdraw it")
    source = proposal.chosen.sources[0]
    identity = {"batch": source.batch_id.hex(), "leaf": source.leaf, "record": source.record}
    print_entry(_changed(gateway, shown, {"act": "accept", "why": why, "source": identity}), json=json)


def chart_withdraw(entry: EntryId, why: Reason, json: Json = False) -> None:
    """Say that it should not stand there: vitalwire chart withdraw 0198c2f1-77aa --why 'of the next bed'.

    It stays readable, as entered in error.
    """
    gateway = signed_in_gateway()
    print_entry(_changed(gateway, _found(gateway, entry), {"act": "withdraw", "why": why}), json=json)


def _value(item: Item, text: str) -> tuple[float | None, str]:
    """As the item is written: a number, or words. Raises VitalwireError."""
    if item.form is not ItemForm.NUMBER:
        return None, text
    try:
        return float(text), ""
    except ValueError:
        raise VitalwireError(f"{item.en}: {text!r} is no number") from None


def _found(gateway: Gateway, entry: str) -> ChartShown:
    return gateway.get(ENTRY, ChartShown, {"entry": entry})


def _changed(gateway: Gateway, shown: ChartShown, wish: dict[str, Any]) -> Entry:
    """The entry after the act: what is confirmed or changed is the version that was just read."""
    before = shown.entries[0]
    _act(gateway, {**wish, "entries": [{"entry": before.entry, "version": before.now.number}]})
    return _found(gateway, before.entry).entries[0]


def _written(gateway: Gateway, wish: dict[str, Any], at: datetime) -> Entry:
    """The entry that the act makes; the gateway counts in milliseconds."""
    at_ms = us_of(at) // 1000
    _act(gateway, {**wish, "at": at_ms})
    then = moment(at_ms * 1000)
    asked = {"encounter": wish["encounter"], "since": then, "until": then}
    standing = [
        each for each in gateway.get(CHART, ChartShown, asked).entries if each.now.status is not Status.ENTERED_IN_ERROR
    ]
    written = [each for each in standing if each.key.item == wish["item"]]
    if not written:
        raise UserError("it is written, and stands there no more: `vitalwire chart show` says what does")
    return written[-1]


def _act(gateway: Gateway, wish: dict[str, Any]) -> None:
    try:
        gateway.post(ACT, wish)
    except RefusedError as refused:
        raise UserError(REFUSED.get(refused.word, str(refused))) from None
