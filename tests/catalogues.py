"""What the source says: metrics, log events, and codes of the edge's events, as `docs/` is to list them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from emr_store.look_minutes import MINUTE
from evidence.act import LOG_BEGIN, MAPPING_CHANGE
from schemas.errors import LayoutReason

ROOT = Path(__file__).parent.parent
PACKAGES = ("adapters", "edge_agent", "emr_store", "evidence", "gateway", "runtime", "stream_processors", "vitalwire")
METRIC_TYPES = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram", "Summary": "summary"}
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EMITTERS = {"emit", "_emit", "on_event", "_on_event"}


@dataclass(frozen=True)
class Metric:
    """As a scrape names it."""

    name: str
    type: str
    labels: tuple[str, ...]


def calls(*packages: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call in these packages, with its file."""
    for package in packages:
        yield from _calls(package)


@lru_cache
def _calls(package: str) -> list[tuple[str, ast.Call]]:
    return [
        (str(path.relative_to(ROOT)), node)
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]


def called(call: ast.Call) -> str:
    """The last name of what is called: `error` of `_log.error`."""
    function = call.func.body if isinstance(call.func, ast.IfExp) else call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def is_log(call: ast.Call) -> bool:
    """Whether it is a call of a module's `_log`."""
    function = call.func.body if isinstance(call.func, ast.IfExp) else call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id == "_log"
    )


def text(node: ast.expr) -> str | None:
    """A string as it is written, `*` where something is filled in; None where only the program knows it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return None


def constant(file: str, name: ast.expr) -> str:
    """The string that a module of ours gives this name."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    assigned = [each for each in tree.body if isinstance(each, ast.Assign)]
    values = [text(each.value) for each in assigned if ast.unparse(each.targets[0]) == ast.unparse(name)]
    assert len(values) == 1, (file, ast.unparse(name))
    assert values[0] is not None, file
    return values[0]


@lru_cache
def metrics() -> set[Metric]:
    """All that is registered with prometheus_client."""
    found = set()
    for _, call in calls(*PACKAGES):
        name = text(call.args[0]) if call.args else None
        if called(call) in METRIC_TYPES and name is not None and name.startswith("vitalwire_"):
            type_ = METRIC_TYPES[called(call)]
            labels = call.args[2].elts if len(call.args) > 2 and isinstance(call.args[2], ast.List) else []
            total = "_total" if type_ == "counter" else ""
            found.add(Metric(name + total, type_, tuple(text(label) or "?" for label in labels)))
    return found


@lru_cache
def log_events() -> tuple[set[str], set[str]]:
    """What is logged; and the calls whose event only the program knows, as `file: argument`."""
    events, unknown = set(), set()
    for file, call in calls(*PACKAGES):
        if called(call) == "keep_doing":  # logs what is named by a constant of the module
            events |= {constant(file, each.value) for each in call.keywords if each.arg == "waits_as"}
        if not is_log(call) and called(call) != "log_bug":
            continue
        event = text(call.args[0])
        if event is None:
            unknown.add(f"{file}: {ast.unparse(call.args[0])}")
        else:
            events.add(event)
    return events, unknown


@lru_cache
def edge_events() -> tuple[set[str], set[str]]:
    """Codes of the events that the edge keeps as reports; and the calls whose code only the program knows."""
    codes, unknown = set(), set()
    for file, call in calls("edge_agent"):
        place = {"event": 1} if called(call) == "event" else dict.fromkeys(EMITTERS, 0)
        if called(call) not in place or len(call.args) <= place[called(call)]:
            continue
        argument = call.args[place[called(call)]]
        code = text(argument)
        if code is None:
            unknown.add(f"{file}: {ast.unparse(argument)}")
        else:
            codes.add(code)
    return codes, unknown


def act_kinds() -> set[str]:
    """Kinds of acts that are recorded, the platform's own included."""
    kinds = {LOG_BEGIN, MAPPING_CHANGE, MINUTE}
    for _, call in calls("emr_store", "stream_processors", "vitalwire"):
        # `_write` of chart_acts.py records the act that it is told.
        place = {"act": 0, "record_change": 1, "_write": 1}.get(called(call))
        if place is not None and len(call.args) > place and (kind := text(call.args[place])) is not None:
            kinds.add(kind)
    return kinds


@lru_cache
def rejection_reasons() -> set[str]:
    """Words that a frame is rejected with."""
    reasons = set()
    for _, call in calls("adapters", "edge_agent"):
        if called(call) in {"FrameError", "Refused"} and call.args:
            argument = call.args[0]
            choices = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
            reasons |= {reason for choice in choices if (reason := text(choice)) is not None}
    return reasons | _encoding_reasons()


def _encoding_reasons() -> set[str]:
    """Words of a report that no batch takes: `adapters.driver.fitting` rejects its frame with them."""
    source = ast.parse((ROOT / "schemas" / "batch.py").read_text("utf-8"))
    (encode_report,) = (
        node for node in source.body if isinstance(node, ast.FunctionDef) and node.name == "encode_report"
    )
    raised = [node for node in ast.walk(encode_report) if isinstance(node, ast.Call) and called(node) == "LayoutError"]
    return {LayoutReason[ast.unparse(call.args[0]).removeprefix("LayoutReason.")] for call in raised}


def table(page: str, heading: str = "") -> list[list[str]]:
    """The rows of the table under this heading of a page of `docs/`, without its head; code marks are taken off."""
    content = (ROOT / "docs" / page).read_text("utf-8")
    if heading:
        content = content.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in content.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [[cell.replace("`", "").replace("\\|", "|") for cell in row] for row in cells[2:]]
