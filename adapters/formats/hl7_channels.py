"""Which of a device's like values a value is: the containment tree of one OBR, and the number of its channel.

A channel is known by the sender's own words: the nodes above it by OBX-4 (IHE PCD TF-2 B.8), its label, its body site.
Ordinals of OBX-4 are not normative and only part siblings that are otherwise alike. What nobody can tell is marked
AMBIGUOUS, in the message where it shows and ever after:

- twins: the same device, moment, code and words (where OBX-4 does not part them, their place in the message does);
- one thing under fewer or more nodes than it was first seen: a node that comes and goes moves no value silently;
- a place in the tree that two nodes claim;
- two word lists with one number.

A dialect that declares its ordinals stable has them among the words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from msgspec.structs import replace

from adapters.formats.hl7_observation import Observation
from adapters.formats.hl7_remembered import RecordsOfChannel
from schemas.report import ChannelWords, Kind, Mark

DEVICES_MAX = 10_000  # of a source; the one that was first seen longest ago is forgotten
WORDS_MAX = 5_000  # of a device; beyond it all are forgotten
RESOLVED_MAX = 500  # groups of a device whose channels are remembered
PATHS_MAX = 16  # of one thing
SHARED_MDS_MAX = 64  # of a place; beyond it, all of the place's
ANY_MDS = "*"
AMBIGUOUS = int(Mark.AMBIGUOUS)
_word_number = lru_cache(16_384)(lambda words: words.number)


@dataclass(frozen=True, eq=False, slots=True)
class ChannelEntry:
    """An observation in its OBR: its words, but for ordinals that part it from a twin."""

    what: Observation
    kind: Kind
    code: int  # of the metric
    words: ChannelWords
    ambiguous: bool = False
    condition: str = ""  # of an alarm: two conditions of one thing are no twins


@dataclass(frozen=True, slots=True)
class ResolvedChannel:
    """Where an entry belongs; `marks` is AMBIGUOUS or nothing."""

    number: int
    words: ChannelWords
    marks: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Resolved:
    """The channels of what a device says at one moment; `records` are those that were made before of each."""

    channels: Sequence[ResolvedChannel]
    records: Sequence[RecordsOfChannel]


class Tree:
    """The nodes of one OBR: their words, and the equipment that they and their values name (OBX-18).

    `shared_mds` are those in which several devices were seen before: their values lend one another nothing.
    """

    def __init__(self, observations: Sequence[Observation], shared_mds: frozenset[str] = frozenset()) -> None:
        self._shared_mds = shared_mds
        self.asks_neighbours = False  # whether a value has the equipment of its neighbours unless their MDS is shared
        self._words: dict[tuple[str, ...], set[str]] = {}
        self._equipment: dict[tuple[str, ...], set[str]] = {}
        self._equipment_of_mds: dict[str, set[str]] = {}
        for what in observations:
            if what.node_word:
                self._words.setdefault(what.path, set()).add(what.node_word)
                if what.equipment:
                    self._equipment.setdefault(what.path, set()).add(what.equipment)
            if what.equipment:
                self._equipment_of_mds.setdefault(_mds(what), set()).add(what.equipment)

    def words_of(self, what: Observation, *, stable_ordinals: bool) -> tuple[ChannelWords, bool]:
        """An observation's words; whether a node above it is in doubt."""
        path, doubtful = [], False
        for length in range(1, len(what.path) + 1):
            words = self._words.get(what.path[:length], set())
            if words and not (length == len(what.path) and what.node_word):  # not the node itself
                path.append("+".join(sorted(words)))
                doubtful = doubtful or len(words) > 1
        ordinals = what.sub_id if stable_ordinals else ""
        return ChannelWords(tuple(path), what.label, what.body_site, "", ordinals), doubtful

    def equipment_of(self, what: Observation) -> str:
        """OBX-18 as sent: its own, else that of the nearest node above it, else the only one that its MDS has.

        What stands at no place in the tree is not lent that of its neighbours.
        """
        if what.equipment or not what.path:
            return what.equipment
        for length in range(len(what.path), 0, -1):
            named = self._equipment.get(what.path[:length])
            if named:
                return next(iter(named)) if len(named) == 1 else ""
        named = self._equipment_of_mds.get(_mds(what), set())
        if len(named) != 1:
            return ""
        self.asks_neighbours = True
        return "" if self._shared_mds & {_mds(what), ANY_MDS} else next(iter(named))

    def equipment_by_mds(self) -> list[tuple[str, str]]:
        """Each MDS that has a place in the tree, with each OBX-18 in it as sent."""
        return [(mds, sent) for mds, named in self._equipment_of_mds.items() if mds for sent in sorted(named)]

    def only_equipment(self) -> str:
        """OBX-18 as sent, where all of the OBR that name one name the same; else ""."""
        named = set[str]().union(*self._equipment_of_mds.values())
        return next(iter(named)) if len(named) == 1 else ""


def _mds(what: Observation) -> str:
    return what.path[0] if what.path else ""


@dataclass
class KnownEquipment:
    """Which devices were seen in an MDS of a place (the claim of a bed or a connection), from all messages so far.

    A message may name one of them alone: whose the values are that name none cannot be told from that message.
    """

    first: dict[tuple[str, str], str] = field(default_factory=dict)  # by place and MDS: the first device
    shared: dict[str, frozenset[str]] = field(default_factory=dict)  # by place: the MDS in which there was a second

    def shared_mds(self, place: str) -> frozenset[str]:
        """The MDS of a place in which several devices were seen."""
        return self.shared.get(place, frozenset())

    def learn(self, place: str, named: Iterable[tuple[str, str]]) -> bool:
        """Learn the devices of each MDS; whether one that had a single device has several now."""
        changed = False
        for mds, device in named:
            first = self.first.get((place, mds))
            if first is None:
                if len(self.first) >= DEVICES_MAX:
                    del self.first[next(iter(self.first))]
                self.first[place, mds] = device
            elif first != device and not self.shared_mds(place) & {mds, ANY_MDS}:
                self._share(place, mds)
                changed = True
        return changed

    def _share(self, place: str, mds: str) -> None:
        known = self.shared_mds(place)
        if place not in self.shared and len(self.shared) >= DEVICES_MAX:
            del self.shared[next(iter(self.shared))]
        self.shared[place] = known | {mds} if len(known) < SHARED_MDS_MAX else frozenset({ANY_MDS})


_TwinKey = tuple[Kind, int, str, ChannelWords]
_Thing = tuple[Kind, int, str, str, str]  # kind, metric, label, body site, ordinals
_Path = tuple[str, ...]


@dataclass
class Channels:
    """What is known of one device's channels, from all its messages so far."""

    twins: set[_TwinKey] = field(default_factory=set)
    paths: dict[_Thing, list[_Path]] = field(default_factory=dict)  # under which a thing is known
    ambiguous_paths: dict[_Thing, list[_Path]] = field(default_factory=dict)  # under which it is not
    words: dict[int, ChannelWords] = field(default_factory=dict)  # by their number
    shared_numbers: set[int] = field(default_factory=set)
    resolved: dict[object, Resolved] = field(default_factory=dict)  # by group, as long as nothing is learned
    described: frozenset[tuple[int, int]] | None = None  # the codes and channels of which the groups below are part
    described_groups: set[object] = field(default_factory=set)

    def resolve(self, entries: Sequence[ChannelEntry]) -> Sequence[ResolvedChannel]:
        """The channel of each of the entries, which are all that the device says at one moment."""
        if len(self.words) + len(self.twins) > WORDS_MAX:
            self._forget()
        keys = [(e.kind, e.code, e.condition, e.words) for e in entries]
        counts = Counter(keys)
        twins = {key for key, count in counts.items() if count > 1} - self.twins
        self._learn(bool(twins))
        self.twins |= twins
        self._mark_ambiguous_paths(entries)
        ordinals = Counter((key, e.what.sub_id) for key, e in zip(keys, entries, strict=True))
        seen: Counter[tuple[_TwinKey, str]] = Counter()
        found = []
        for key, entry in zip(keys, entries, strict=True):
            ambiguous = self._path_is_ambiguous(entry) or entry.ambiguous
            words = entry.words
            if key in self.twins or (entry.condition and self._is_of_a_twin(entry)):
                place = (key, entry.what.sub_id)
                seen[place] += 1
                alone = ordinals[place] == 1 and entry.what.sub_id != ""
                number = "" if alone else f"#{seen[place]}"
                words, ambiguous = replace(words, ordinals=entry.what.sub_id + number), True
            number = _word_number(words)
            if not ambiguous:
                ambiguous = self._number_is_shared(number, words)
            found.append(ResolvedChannel(number, words, AMBIGUOUS if ambiguous else 0))
        # Two word lists may have met in this very group.
        return [replace_marks(c) if c.number in self.shared_numbers else c for c in found]

    def learn_twins(self, entries: Sequence[ChannelEntry]) -> None:
        """Learn which of the entries are twins, of one OBR but of several moments.

        Two places in the tree are two things, whenever they were measured; without places they may be one thing's
        values one after another.
        """
        places: dict[_TwinKey, str] = {}
        twins = set()
        for e in entries:
            key = (e.kind, e.code, e.condition, e.words)
            if "." in e.what.sub_id and places.setdefault(key, e.what.sub_id) != e.what.sub_id:
                twins.add(key)
        self._learn(not twins <= self.twins)
        self.twins |= twins
        self._mark_ambiguous_paths(entries)

    def _is_of_a_twin(self, alarm: ChannelEntry) -> bool:
        """Whether what an alarm is about has a twin; alarms mostly come without the nodes above."""
        words = alarm.words
        return any(
            code == alarm.code and twin.label == words.label and twin.body_site == words.body_site
            for kind, code, _, twin in self.twins
            if kind is Kind.METRIC
        )

    def _forget(self) -> None:
        for known in (self.twins, self.paths, self.ambiguous_paths, self.words, self.shared_numbers, self.resolved):
            known.clear()

    def _learn(self, changed: bool) -> None:
        if changed or len(self.resolved) >= RESOLVED_MAX:
            self.resolved.clear()

    def _path_is_ambiguous(self, entry: ChannelEntry) -> bool:
        """Whether it stands under fewer or more nodes than the same thing did: which of them it is, nobody can tell."""
        thing, path = _thing(entry), entry.words.path
        known, ambiguous_paths = self.paths.setdefault(thing, []), self.ambiguous_paths.get(thing, [])
        if path in known:
            return False
        if path in ambiguous_paths or len(known) >= PATHS_MAX:
            return True
        if any(_is_subpath(path, other) for other in (*known, *ambiguous_paths)):
            self._mark_ambiguous(thing, path)
            return True
        known.append(path)
        return False

    def _mark_ambiguous_paths(self, entries: Sequence[ChannelEntry]) -> None:
        """Two like values, one under some of the other's nodes: when a node is missing the other looks like it."""
        paths: dict[_Thing, set[_Path]] = {}
        for entry in entries:
            paths.setdefault(_thing(entry), set()).add(entry.words.path)
        for thing, together in paths.items():
            for path in together if len(together) > 1 else ():
                if any(len(path) < len(other) and _is_subpath(path, other) for other in together):
                    self._mark_ambiguous(thing, path)

    def _mark_ambiguous(self, thing: _Thing, path: _Path) -> None:
        ambiguous_paths, known = self.ambiguous_paths.setdefault(thing, []), self.paths.get(thing, [])
        if path in known:
            known.remove(path)
            self._learn(True)
        if path not in ambiguous_paths and len(ambiguous_paths) < PATHS_MAX:
            ambiguous_paths.append(path)

    def _number_is_shared(self, number: int, words: ChannelWords) -> bool:
        if self.words.setdefault(number, words) != words:
            self.shared_numbers.add(number)
            self._learn(True)
        return number in self.shared_numbers


def replace_marks(channel: ResolvedChannel) -> ResolvedChannel:
    """The same channel, which is ambiguous."""
    return ResolvedChannel(channel.number, channel.words, AMBIGUOUS)


def _thing(entry: ChannelEntry) -> _Thing:
    words = entry.words
    return entry.kind, entry.code, words.label, words.body_site, words.ordinals


def _is_subpath(one: _Path, other: _Path) -> bool:
    """Whether one path is the other with some of its nodes left out."""
    short, long = sorted((one, other), key=len)
    rest = iter(long)
    return all(word in rest for word in short)


def channels_of(devices: dict[str, Channels], claim: str) -> Channels:
    """What is known of a device, as little as nothing."""
    found = devices.get(claim)
    if found is None:
        if len(devices) >= DEVICES_MAX:
            del devices[next(iter(devices))]
        found = devices[claim] = Channels()
    return found
