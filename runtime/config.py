"""One TOML file a process, decoded into frozen structs: an unknown key is an error with its line and a suggestion."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct, structs

from runtime.errors import UserError

T = TypeVar("T", bound=Struct)
Place = tuple[str | int, ...]  # keys and positions from the top of the file down
# What msgspec says, in the words of the file.
_WORDS = {"str": "text in quotes", "bool": "true or false", "int": "a whole number", "float": "a number",
          "object": "a [table]", "array": "a list"}  # fmt: skip


def load(path: Path, kind: type[T]) -> T:
    """Read a configuration. Paths in it are relative to its folder, the top level's defaults too. Raises UserError."""
    return decode(read_text(path), kind, str(path), path.parent)


def read_text(path: Path) -> str:
    """The text of a configuration file; raises UserError."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: name it with --config, or begin with `vitalwire config sample`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}") from None


def decode(text: str, kind: type[T], where: str, folder: Path = Path()) -> T:
    """Decode a configuration's text; `where` names it in errors."""
    defaults = {f.encode_name: str(f.default) for f in structs.fields(kind) if isinstance(f.default, Path)}
    return _decode(text, defaults | _toml(text, where), kind, (), where, folder)


def decode_table(text: str, place: Place, kind: type[T], where: str, folder: Path = Path()) -> T:
    """Decode one table of a configuration's text, which `decode` took as it is; empty where it is not there."""
    table: Any = _toml(text, where)
    for step in place:
        table = table.get(step, {}) if isinstance(table, dict) else table[step]
    return _decode(text, table, kind, place, where, folder)


def convert(table: Mapping[str, Any], kind: type[T]) -> T:
    """A table that was decoded as it is, in its own struct; raises UserError without the line."""
    try:
        found: T = _convert(table, kind)
        return found
    except msgspec.ValidationError as error:
        _, what = _blame(dict(table), kind, (), kind) or ((), str(error))
        raise UserError(what) from None


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: not TOML: {error}") from None


def _decode(text: str, data: dict[str, Any], kind: type[T], at: Place, where: str, folder: Path) -> T:
    try:
        found: T = _convert(data, kind, folder)
        return found
    except msgspec.ValidationError as error:
        place, what = _blame(data, kind, at, kind) or _blame_values(data, kind, at, error)
        raise UserError(f"{where}: line {_line_of(text, place)}: {what}") from None


def _convert(data: object, kind: Any, folder: Path = Path()) -> Any:
    def hook(expected: type, value: object) -> Path:
        if expected is Path and isinstance(value, str):
            return folder / Path(value).expanduser()
        raise msgspec.ValidationError(f"Expected `str`, got `{type(value).__name__}`")

    return msgspec.convert(data, kind, dec_hook=hook)


# --- tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """What a key holds that is a table: one struct, or several that a tag tells apart; `many`: [[...]] in the file."""

    kinds: tuple[type[Struct], ...]
    many: bool

    @property
    def tag_field(self) -> str | None:
        return self.kinds[0].__struct_config__.tag_field

    def tags(self) -> list[str]:
        return [str(kind.__struct_config__.tag) for kind in self.kinds]


def _table_of(kind: Any) -> _Table | None:
    """What table a key of this type holds, None where it holds something else."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _Table((kind,), many=False)
    found = [table for inner in get_args(kind) if (table := _table_of(inner))]
    if not found:
        return None
    kinds = tuple(each for table in found for each in table.kinds)
    return _Table(kinds, many=any(table.many for table in found) or get_origin(kind) in (tuple, list))


def _blame(data: dict[str, Any], kind: type[Struct], at: Place, top: type[Struct]) -> tuple[Place, str] | None:
    """Where a table is wrong, and how: each key is tried alone, because msgspec does not say which of many tables."""
    fields = {field.encode_name: field for field in structs.fields(kind)}
    tag_field = kind.__struct_config__.tag_field
    for name, value in data.items():
        place = (*at, name)
        if name == tag_field:
            continue
        if name not in fields:
            return place, _unknown(name, kind, at, top)
        if wrong := _blame_tables(value, _table_of(fields[name].type), place, top):
            return wrong
        try:
            _convert(value, fields[name].type)
        except msgspec.ValidationError as error:
            return place, f"{name}: {_in_words(str(error), value, fields[name].type)}"
    missing = next((name for name, field in fields.items() if field.required and name not in data), None)
    return (at, f"{_table_name(at) or 'the file'} needs the key {missing!r}") if missing else None


def _blame_values(
    data: dict[str, Any], kind: type[Struct], at: Place, error: msgspec.ValidationError
) -> tuple[Place, str]:
    """Of keys that are right, each by itself, what the struct's own look at them says: "key = value is ..."."""
    what = str(error).split(" - at ")[0]
    name = what.split(" ")[0]
    return ((*at, name) if name in data and name in kind.__struct_fields__ else at), what


def _blame_tables(value: Any, table: _Table | None, at: Place, top: type[Struct]) -> tuple[Place, str] | None:
    """What is wrong in the table, or the tables, that a key holds."""
    if table is None or not isinstance(value, list if table.many else dict):
        return None
    for place, each in [((*at, i), v) for i, v in enumerate(value)] if table.many else [(at, value)]:
        if not isinstance(each, dict):
            continue
        kind = table.kinds[0]
        if table.tag_field is not None:
            tag = each.get(table.tag_field)
            if tag is None:
                choices = ", ".join(map(repr, table.tags()))
                return place, f"{_table_name(place)} needs the key {table.tag_field!r}, one of {choices}"
            if tag not in table.tags():
                return (*place, table.tag_field), f"{table.tag_field}: {_none_of(tag, table.tags())}"
            kind = table.kinds[table.tags().index(tag)]
        if wrong := _blame(each, kind, place, top):
            return wrong
    return None


def _unknown(name: str, kind: type[Struct], at: Place, top: type[Struct]) -> str:
    known = [field.encode_name for field in structs.fields(kind)]
    tag_field = kind.__struct_config__.tag_field
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join([tag_field or '', *known]).lstrip(', ')}"
    if not near and (inner := _inner_table_with(name, kind)):
        hint = f"it belongs in {_table_name((*at, inner))}"
    elif at and not near and name in (field.encode_name for field in structs.fields(top)):
        hint = "it belongs above the first [table]"
    return f"unknown key {name!r}{f' in {_table_name(at)}' if at else ''}: {hint}"


def _inner_table_with(name: str, kind: type[Struct]) -> str | None:
    """The key of a table in this one that knows the name."""
    for field in structs.fields(kind):
        table = _table_of(field.type)
        if table and not table.many and any(name in each.__struct_fields__ for each in table.kinds):
            return field.encode_name
    return None


def _table_name(at: Place) -> str:
    names = ".".join(step for step in at if isinstance(step, str))
    return f"[[{names}]]" if at and isinstance(at[-1], int) else f"[{names}]" if at else ""


def _in_words(message: str, value: object, kind: Any) -> str:
    if choices := _choices(kind):
        return _none_of(value, choices)
    if (table := _table_of(kind)) and table.many and isinstance(value, dict):
        return "write it with two brackets, [[...]]: there may be many"
    message = message.split(" - at ")[0].replace(" | null", "")
    words = re.sub(r"`(\w+)`", lambda m: _WORDS.get(m[1], m[1]), message)
    return words[0].lower() + words[1:]


def _none_of(value: object, choices: Sequence[object]) -> str:
    near = get_close_matches(value, [str(c) for c in choices], 1) if isinstance(value, str) else []
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"{value!r} is none of {', '.join(map(repr, choices))}{hint}"


def _choices(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((found for inner in get_args(kind) if (found := _choices(inner))), ())


def _line_of(text: str, place: Place) -> int:
    """The line of a key: one that spells its name, and the file up to there (or to its value's end) has the key.

    Of a table that is not there it is the line of the one that it belongs in.
    """
    name = next((step for step in reversed(place) if isinstance(step, str)), "")
    lines, begin = text.split("\n"), 0
    for number, line in enumerate(lines, 1):
        begin = begin or (number if name in line else 0)
        try:
            found: Any = tomllib.loads("\n".join(lines[:number]) + "\n") if begin else None
            for step in place:
                found = found[step]
        except tomllib.TOMLDecodeError:
            continue  # a value of many lines is not yet at its end
        except (LookupError, TypeError):
            begin = 0
        else:
            return begin or 1
    return _line_of(text, place[:-1]) if place else 1


# --- samples ----------------------------------------------------------------------------------------------------------


def sample(kind: type[Struct], title: str, tables: Mapping[str, Sequence[str]] | None = None) -> str:
    """A configuration with every key, its default and a comment, out of the struct itself.

    `#key` without a space is a key, or a table, that is left out: without its # it is in use. `tables` has the lines of
    tables that the struct cannot show by itself (`sample_table`), by key.
    """
    head = f"# {title}\n# Every key with its default. What begins with # and no space is left out: take the # away.\n\n"
    lines = _sample(kind, "", "", {}, tables or {})
    return head + "\n".join(lines) + "\n"


def sample_table(
    kind: type[Struct], head: str, about: str, shown: Mapping[str, Any], tables: Mapping[str, Sequence[str]]
) -> list[str]:
    """The lines of one table that is left out, under `head` ("[[source]]"); `shown` are values for keys without any."""
    name = head.strip("[]")
    tag = kind.__struct_config__
    lines = ["", f"# {about}", f"#{head}"]
    if tag.tag_field:
        lines.append(f"#{tag.tag_field} = {to_toml(tag.tag)}  # of this table")
    return lines + _sample(kind, f"{name}.", "#", shown, tables)


def _sample(
    kind: type[Struct], parents: str, mark: str, shown: Mapping[str, Any], instead: Mapping[str, Sequence[str]]
) -> list[str]:
    keys, tables = list[str](), list[str]()
    for field in structs.fields(kind):
        meta = next((m for m in get_args(field.type)[1:] if isinstance(m, msgspec.Meta)), msgspec.Meta())
        about = meta.description or ""
        name = parents + field.encode_name
        if field.encode_name in instead:
            tables += instead[field.encode_name]
            continue
        if table := _table_of(field.type):
            head = f"[[{name}]]" if table.many else f"[{name}]"
            tables += sample_table(table.kinds[0], head, about, {}, {})
            continue
        value = None if field.required else field.default if field.default_factory is msgspec.NODEFAULT else None
        if value is None and field.default_factory is not msgspec.NODEFAULT:
            value = field.default_factory()
        left_out = mark or ("#" if value is None and not field.required else "")
        if field.encode_name in shown:
            value = shown[field.encode_name]
        elif value is None:
            value = (meta.examples or [_example(field.type, field.encode_name)])[0]
        keys.append(f"{left_out}{field.encode_name} = {to_toml(value)}  # {about}")
    return keys + tables


def to_toml(value: Any) -> str:
    """A value as TOML writes it: for text, numbers and lists its notation is JSON's."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {to_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Struct):
        return to_toml(structs.asdict(value))
    if isinstance(value, list | tuple | frozenset | set):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    return json.dumps(value, default=str, ensure_ascii=False)


def _example(kind: Any, name: str) -> Any:
    """A value that fits a key which has none; text is the key's name in capitals."""
    for value in (*_choices(kind), name.upper(), 1, False, [name.upper()]):
        try:
            _convert(value, kind)
        except msgspec.ValidationError:
            continue
        return value
    raise TypeError(f"no example for {name}")


def read_secret(path: Path) -> str:
    """A secret from its file. Raises UserError where others may read it."""
    try:
        with path.open(encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UserError(f"{path} can be read by others: chmod 600 {path}")
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', 'it is not text')}") from None
