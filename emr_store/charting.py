"""The charter: from values and whose they are to entries of charts. One works at a time.

What waits leaves its queue in the transaction that charts it, so that after a crash it is taken again. A slot is
always computed from all that is known of it, so that late values and changes of attribution end at the same chart as
everything in true order; a version is written only where its value, sources or reason are others than before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime

import psycopg

from clinical import chart_versions
from clinical.chart import Belonging, Chosen, Entry, EntryKey, Origin, Status, Version
from clinical.chart_choice import choose
from clinical.chart_policy import Choice, Policies
from clinical.chart_versions import Proposal
from emr_store import chart_disputes, chart_entries, chart_proposals, chart_queue
from emr_store.chart_entries import Kept, NewVersion, new_entry_id
from emr_store.chart_plan import DAY_US, SPREAD_US, Plan, Task
from emr_store.chart_queue import Touched, TouchedWhose
from emr_store.chart_windows import Span, ValueReader, belongings_of_devices, merged_spans, wards_of
from emr_store.instants import moment, us_of
from emr_store.rows import MINUTE_US
from emr_store.session_lock import held_alone

_LOCK = 0x76_77_63_68  # one charter at a time
STEP_US = 15 * MINUTE_US  # of what became due, in one transaction
READ_S = 20_000  # of devices' time, read at once: at 1 Hz and 12 values some 100 MB
# Of the last valid value so much of the window's end is looked at first, and so on: most often it is in the first.
LAST_VALID_US = (MINUTE_US, 10 * MINUTE_US)
PIECE_US = 6 * 60 * MINUTE_US  # of a long time that values are looked for in
FINAL = 1000  # entries that become final by time, at once


@dataclass
class Charted:
    """What one transaction did."""

    taken: int = 0  # of a queue
    slots: int = 0
    versions: int = 0

    @property
    def worked(self) -> bool:
        """Whether anything waited: more may."""
        return bool(self.taken)


def alone(conn: psycopg.Connection) -> AbstractContextManager[bool]:
    """Whether we are the one that works; see `held_alone`."""
    return held_alone(conn, _LOCK)


@dataclass(frozen=True)
class _Progress:
    began_us: int
    charted_until_us: int


@dataclass
class Charter:
    """Charts by a site's policies; the caller is `alone`."""

    conn: psycopg.Connection
    policies: Policies
    plan: Plan = field(init=False)
    reader: ValueReader = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self.plan, self.reader = Plan(self.policies), ValueReader(self.conn)

    def begin(self, now_us: int) -> None:
        """Where nobody charted yet: no slot is charted that was over before this moment."""
        self.conn.execute(
            "INSERT INTO chart_progress (began_at, charted_until) VALUES (%(now)s, %(now)s) ON CONFLICT DO NOTHING",
            {"now": moment(now_us)},
        )

    def chart_due(self, now_us: int) -> Charted:
        """Slots that became due, up to STEP_US of them; nothing is taken once all are charted."""
        with self.conn.transaction():
            progress = self._progress()
            until_us = min(now_us, progress.charted_until_us + STEP_US)
            if until_us <= progress.charted_until_us:
                return Charted()
            self.conn.execute("UPDATE chart_progress SET charted_until = %s", (moment(until_us),))
            # A slot is charted this much after its end at the latest, and begins with its window.
            before_us = 2 * SPREAD_US + self.plan.longest_window_us
            encounters = self._measured_encounters(progress.charted_until_us - before_us, until_us)
            wards = wards_of(self.conn, encounters)
            tasks = [
                task
                for encounter in encounters
                for task in self.plan.due(encounter, wards[encounter], progress.charted_until_us, until_us)
            ]
            return self._chart(tasks, progress, taken=1)

    def chart_each(self) -> Charted:
        """Values that are charted at once."""
        with self.conn.transaction():
            touched = chart_queue.take_each(self.conn)
            if not touched:  # as most times, and this is asked several times a second
                return Charted()
            progress = self._progress()
            return self._chart(self._tasks_of_values([Span(*each) for each in touched]), progress, len(touched))

    def chart_late(self) -> Charted:
        """Slots that late values touch."""
        with self.conn.transaction():
            touched = chart_queue.take_late(self.conn)
            progress = self._progress()
            return self._chart(self._tasks_touched(touched, progress), progress, len(touched))

    def chart_whose(self, now_us: int) -> Charted:
        """Slots whose values became another encounter's."""
        with self.conn.transaction():
            progress, touched = self._progress(), chart_queue.take_whose(self.conn)
            earliest_us = progress.began_us - self.plan.longest_window_us
            latest_us = now_us + DAY_US  # of a device whose clock is ahead
            spans = [
                (each, Touched(each.device, max(each.from_us, earliest_us), _at_most(each.until_us, latest_us)))
                for each in touched
            ]
            spans = [(each, span) for each, span in spans if span.from_us < span.until_us]
            tasks = self._tasks_touched([span for _, span in spans], progress)
            tasks += self._tasks_of_values([Span(*span) for _, span in spans])
            keys = self._keys_of(spans) - {task.asked.key for task in tasks}
            return self._chart(tasks, progress, len(touched), other_keys=keys)

    def chart_acted(self) -> Charted:
        """Slots in which a person wrote a version: what was disputed or proposed may be settled."""
        with self.conn.transaction():
            progress, keys = self._progress(), chart_queue.take_acted(self.conn)
            return self._chart([], progress, len(keys), other_keys=keys)

    def chart_corrected(self) -> Charted:
        """Ask about corrections and withdrawals of no value, or of several; what they change is charted elsewhere."""
        with self.conn.transaction():
            touched = chart_queue.take_corrected(self.conn)
            recorded_at_us = self._recorded_at_us()
            for encounter, span in self._encounters_in(merged_spans([Span(*each) for each in touched])):
                readings = self.reader.read([span], self.plan.metrics)
                for metric in sorted(self.plan.metrics):
                    values = readings.between(span.device, metric, span.from_us, span.until_us)
                    chart_disputes.note_corrections(self.conn, encounter, values, recorded_at_us)
            return Charted(taken=len(touched))

    def chart_final(self, now_us: int) -> Charted:
        """Entries that their ward lets become final by time."""
        with self.conn.transaction():
            rows = self.conn.execute(_FINAL_SQL, {"now": moment(now_us), "take": FINAL}).fetchall()
            recorded_at_us = self._recorded_at_us()
            versions = []
            for (ident,) in rows:
                kept = chart_entries.entry_with_id(self.conn, ident)
                version = chart_versions.by_time(kept.entry, recorded_at_us)
                if version is not None:
                    versions.append(NewVersion(kept.entry.entry, kept.entry.key, kept.ordinal, version))
            chart_entries.append(self.conn, versions)
            return Charted(taken=len(rows), versions=len(versions))

    # --- which slots -------------------------------------------------------------------------------------------------

    def _measured_encounters(self, from_us: int, until_us: int) -> list[str]:
        rows = self.conn.execute(_MEASURED_SQL, {"since": moment(from_us), "until": moment(until_us)})
        return sorted(row[0] for row in rows)

    def _tasks_touched(self, touched: Collection[Touched], progress: _Progress) -> list[Task]:
        by_encounter = list(self._encounters_in(merged_spans([Span(*each) for each in touched])))
        wards = wards_of(self.conn, {encounter for encounter, _ in by_encounter})
        return [
            task
            for encounter, span in by_encounter
            for task in self.plan.touched(
                encounter, wards[encounter], span.from_us, span.until_us, progress.charted_until_us
            )
        ]

    def _tasks_of_values(self, spans: Sequence[Span]) -> list[Task]:
        metrics = self.policies.each_metrics()
        if not metrics or not spans:
            return []
        tasks: list[Task] = []
        for piece in _pieces(merged_spans(spans)):
            by_encounter = list(self._encounters_in([piece]))
            if not by_encounter:
                continue
            readings = self.reader.read([piece], metrics)
            wards = wards_of(self.conn, {encounter for encounter, _ in by_encounter})
            for encounter, span in by_encounter:
                values = [
                    value for metric in metrics
                    for value in readings.between(span.device, metric, span.from_us, span.until_us)
                ]  # fmt: skip
                tasks += self.plan.of_values(encounter, wards[encounter], values)
        return tasks

    def _encounters_in(self, spans: Sequence[Span]) -> Iterator[tuple[str, Span]]:
        """Whose these spans are, each as far as it is."""
        if not spans:
            return
        devices = {span.device for span in spans}
        first_us, last_us = min(span.from_us for span in spans), max(span.until_us for span in spans)
        by_device: dict[str, list[Belonging]] = defaultdict(list)
        for belonging in belongings_of_devices(self.conn, devices, first_us, last_us):
            by_device[belonging.device].append(belonging)
        for device, from_us, until_us in spans:
            for each in by_device[device]:
                if each.encounter is None:
                    continue
                begins_us, ends_us = max(from_us, each.from_us), _at_most(each.until_us, until_us)
                if begins_us < ends_us:
                    yield each.encounter, Span(device, begins_us, ends_us)

    def _keys_of(self, spans: Iterable[tuple[TouchedWhose, Touched]]) -> set[EntryKey]:
        """Entries that those have whose the values were, or are."""
        keys: set[EntryKey] = set()
        for whose, span in spans:
            encounters = whose.encounters or self._every_encounter_of(span)
            until_us = span.until_us + self.plan.longest_window_us
            keys.update(chart_entries.keys_between(self.conn, encounters, span.from_us, until_us))
        return keys

    def _every_encounter_of(self, span: Touched) -> list[str]:
        return sorted({encounter for encounter, _ in self._encounters_in([Span(*span)])})

    # --- what they say -----------------------------------------------------------------------------------------------

    def _chart(
        self, tasks: Iterable[Task], progress: _Progress, taken: int, other_keys: Collection[EntryKey] = ()
    ) -> Charted:
        """`other_keys`: slots that have an entry, and that may be no policy's any more."""
        gone = self._dropped()
        by_key = {
            task.asked.key: task for task in tasks
            if task.asked.key.at_us > progress.began_us and not _is_gone(task, gone)
        }  # fmt: skip
        wards = wards_of(self.conn, {key.encounter for key in other_keys})
        orphans = []
        for key in sorted(other_keys):
            if key in by_key:
                continue
            task = self.plan.at(key, wards[key.encounter])
            if task is None or _is_gone(task, gone):
                orphans.append(key)
            else:
                by_key[key] = task
        done = Charted(taken=taken, slots=len(by_key) + len(orphans))
        for some in _chunks(sorted(by_key.values(), key=_order)):
            done.versions += self._chart_chunk(some)
        if orphans:
            done.versions += self._withdraw_orphans(orphans)
        return done

    def _chart_chunk(self, tasks: Sequence[Task]) -> int:
        writing = _Writing(self.conn, self._recorded_at_us(), [task.asked.key for task in tasks])
        rest = list(tasks)
        for first_us in (*LAST_VALID_US, None):
            rest = self._compute(writing, rest, first_us)
        return writing.write()

    def _compute(self, writing: _Writing, tasks: Sequence[Task], last_us: int | None) -> list[Task]:
        """Look at so much of the windows' ends (None: at all); those in whose end no last valid value was found.

        Of what is told by the newest value alone nothing before it counts.
        """
        narrowed = [_narrowed(task, last_us) for task in tasks]
        rest = []
        for some in _chunks(narrowed):
            for task, window in zip(some, self.reader.windows([task.asked for task in some]), strict=True):
                chosen = choose(task.policy, window)
                if isinstance(chosen, Chosen):
                    writing.computed(task, chosen)
                elif task.is_narrowed:
                    rest.append(task.whole())
                else:
                    writing.computed(task, None)
        return rest

    def _withdraw_orphans(self, keys: Sequence[EntryKey]) -> int:
        """Entries of no policy of today, or whose values retention took: they stand as long as theirs are the
        encounter's, and as long as nobody can know."""
        writing = _Writing(self.conn, self._recorded_at_us(), keys)
        for key in keys:
            kept = writing.kept.get(key)
            if kept is not None and chart_disputes.is_anothers(self.conn, kept.entry):
                writing.next(key, None)
        return writing.write()

    def _progress(self) -> _Progress:
        row = self.conn.execute("SELECT began_at, charted_until FROM chart_progress").fetchone()
        if row is None:
            raise RuntimeError("the charter has not begun: Charter.begin")
        return _Progress(us_of(row[0]), us_of(row[1]))

    def _dropped(self) -> list[tuple[int, int]]:
        """Of which times retention took reports: nothing of them can be computed anew."""
        rows = self.conn.execute("SELECT since, until FROM dropped WHERE what = 'report'")
        return [(us_of(since), us_of(until)) for since, until in rows]

    def _recorded_at_us(self) -> int:
        row = self.conn.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        recorded_at: datetime = row[0]
        return us_of(recorded_at)


def _is_gone(task: Task, gone: Iterable[tuple[int, int]]) -> bool:
    return any(since < task.asked.until_us and task.asked.from_us < until for since, until in gone)


def _order(task: Task) -> EntryKey:
    return task.asked.key


def _narrowed(task: Task, last_us: int | None) -> Task:
    """To the end of its window, where the newest value alone is asked for."""
    if last_us is None or task.policy.choice is not Choice.LAST_VALID:
        return task
    from_us = max(task.asked.from_us, task.asked.until_us - last_us)
    return task if from_us == task.asked.from_us else replace(task, asked=task.asked._replace(from_us=from_us))


def _chunks(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Together no more than READ_S of time, in which the slots of one encounter that end at once count once."""
    some: list[Task] = []
    counted: set[tuple[str, int]] = set()
    time_us = 0
    for task in tasks:
        slot = (task.asked.key.encounter, task.asked.until_us)
        takes_us = 0 if slot in counted else task.asked.until_us - task.asked.from_us
        if some and time_us + takes_us > READ_S * 1_000_000:
            yield some
            some, counted, time_us = [], set(), 0
            takes_us = task.asked.until_us - task.asked.from_us
        some.append(task)
        counted.add(slot)
        time_us += takes_us
    if some:
        yield some


def _pieces(spans: Iterable[Span]) -> Iterator[Span]:
    """The same time in pieces of PIECE_US at the most."""
    for device, from_us, until_us in spans:
        for begins_us in range(from_us, until_us, PIECE_US):
            yield Span(device, begins_us, min(begins_us + PIECE_US, until_us))


class _Writing:
    """What some slots come to, beside what their entries say now."""

    def __init__(self, conn: psycopg.Connection, recorded_at_us: int, keys: Collection[EntryKey]) -> None:
        self.conn, self.recorded_at_us = conn, recorded_at_us
        self.kept = chart_entries.entries_at(conn, keys)
        self._versions: list[NewVersion] = []
        self._final: list[tuple[str, datetime]] = []
        self._proposals: dict[tuple[str, int], Proposal | None] = {}
        self._disputable: list[Entry] = []

    def computed(self, task: Task, chosen: Chosen | None) -> None:
        """A slot of a policy."""
        began = self.next(task.asked.key, chosen)
        if began is not None and task.policy.auto_final_after_min is not None:
            final_at_us = task.asked.key.at_us + task.policy.auto_final_after_min * MINUTE_US
            self._final.append((began, moment(final_at_us)))

    def next(self, key: EntryKey, chosen: Chosen | None) -> str | None:
        """What `chosen` makes of the slot's entry; the id of an entry that begins."""
        kept = self.kept.get(key)
        result = _next(kept, chosen, self.recorded_at_us)
        if kept is not None and _is_a_persons(kept.entry):
            self._proposals[kept.entry.entry, kept.entry.now.number] = _proposed(kept.entry, result)
            self._disputable.append(kept.entry)
        if not isinstance(result, Version):
            return None
        if kept is None or kept.entry.now.status is Status.ENTERED_IN_ERROR:
            ordinal = 1 if kept is None else kept.ordinal + 1
            began = new_entry_id()
            self._versions.append(NewVersion(began, key, ordinal, result))
            return began
        self._versions.append(NewVersion(kept.entry.entry, key, kept.ordinal, result))
        return None

    def write(self) -> int:
        """All of it, in the caller's transaction; how many versions."""
        if self._versions:
            chart_entries.append(self.conn, self._versions)
        if self._final:
            with self.conn.cursor() as cursor:
                cursor.executemany("INSERT INTO chart_auto_final VALUES (%s, %s)", self._final)
        chart_proposals.write(self.conn, self._proposals, self.recorded_at_us)
        for entry in self._disputable:
            chart_disputes.write(self.conn, entry, self.recorded_at_us)
        return len(self._versions)


def _proposed(entry: Entry, result: Version | Proposal | None) -> Proposal | None:
    """What a person has not said already."""
    if not isinstance(result, Proposal):
        return None
    newest, chosen = entry.now, result.chosen
    if newest.status is Status.ENTERED_IN_ERROR or chosen is None:
        return result
    return None if (newest.value, newest.text) == (chosen.value, chosen.text) else result


def _is_a_persons(entry: Entry) -> bool:
    """Whether a person stands behind what it says, a withdrawal included."""
    newest = entry.now
    return newest.confirmed or newest.origin is Origin.HAND or newest.act_id is not None


def _next(kept: Kept | None, chosen: Chosen | None, at_us: int) -> Version | Proposal | None:
    """What a person withdrew does not come back by itself: it is proposed, where it is not what was withdrawn."""
    entry = None if kept is None else kept.entry
    if entry is not None and entry.now.status is Status.ENTERED_IN_ERROR and entry.now.act_id is not None:
        withdrawn = {version.sources for version in entry.versions}
        return Proposal(chosen) if chosen is not None and chosen.sources not in withdrawn else None
    return chart_versions.next_version(entry, chosen, at_us)


def _at_most(until_us: int | None, limit_us: int) -> int:
    return limit_us if until_us is None else min(until_us, limit_us)


_MEASURED_SQL = """
SELECT encounter FROM whose WHERE upper_inf(valid) AND upper_inf(recorded) AND encounter IS NOT NULL
    AND lower(valid) < %(until)s
UNION SELECT encounter FROM whose WHERE upper(valid) > %(since)s AND upper_inf(recorded) AND encounter IS NOT NULL
    AND lower(valid) < %(until)s
"""
_FINAL_SQL = """
DELETE FROM chart_auto_final WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM chart_auto_final WHERE final_at <= %(now)s ORDER BY final_at LIMIT %(take)s))
RETURNING entry
"""
