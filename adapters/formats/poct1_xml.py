"""POCT1-A's messages as XML: elements whose values are attributes (CLSI POCT1-A2, appendix B, as makers write it).

The root names the message (`OBS.R01`); each object is an element (`SVC`), each of its fields a child `SVC.role_cd` with
its value in V, the unit in U, the coding system in SN. Declarations of types and entities are refused: no message has
one, and they are the ways in which XML is dangerous to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from schemas.errors import FrameError

DEPTH_MAX = 30
ELEMENTS_MAX = 100_000


@dataclass
class Element:
    """An element with its attributes and children, in order; its text means nothing here."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """The children of a name."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        """The first child of a name."""
        return next(self.all(name), None)

    def value(self, attribute: str, of: str = "V") -> str:
        """What a field of this object says: `value("role_cd")` is V of SVC.role_cd; "" where it is not there."""
        found = self.first(f"{self.name}.{attribute}")
        return found.attributes.get(of, "").strip() if found is not None else ""


@dataclass(frozen=True)
class Message:
    """A message by its root, and the control id by which it is acknowledged."""

    root: Element

    @property
    def type(self) -> str:
        """The root's name, OBS.R01: what else names the message may be wrong."""
        return self.root.name

    @property
    def header(self) -> Element:
        """HDR, empty where there is none."""
        return self.root.first("HDR") or Element("HDR")

    @property
    def control_id(self) -> str:
        """HDR.control_id."""
        return self.header.value("control_id")

    def value(self, object_name: str, attribute: str) -> str:
        """A field of the first object of a name."""
        found = self.root.first(object_name)
        return found.value(attribute) if found is not None else ""


def read_message(data: bytes) -> Message:
    """A whole message; FrameError where it is no XML, or one that should not be read."""
    above: list[Element] = [Element("")]
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(above) > DEPTH_MAX or count > ELEMENTS_MAX:
            raise FrameError("xml-too-large", f"{count} elements, {len(above)} deep")
        element = Element(name, attributes)
        above[-1].children.append(element)
        above.append(element)

    def end(name: str) -> None:
        above.pop()

    def refuse(*_: object) -> None:
        raise FrameError("xml-declarations", "types and entities are not declared in a message")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise FrameError("not-xml", str(error)[:100]) from None
    return Message(above[0].children[0])


def written(name: str, control_id: int, at: str, objects: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]) -> bytes:
    """A message of ours: its header, and objects with their fields."""
    header = ("HDR", (("control_id", str(control_id)), ("version_id", "POCT1"), ("creation_dttm", at)))
    parts = [f"<{name}>"]
    for object_name, fields in (header, *objects):
        inner = "".join(f"<{object_name}.{each} V={quoteattr(value)}/>" for each, value in fields)
        parts.append(f"<{object_name}>{inner}</{object_name}>")
    return "".join([*parts, f"</{name}>"]).encode("utf-8", "replace")
