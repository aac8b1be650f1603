"""One TOML file a process, decoded into frozen structs: an unknown key is an error with its line and a suggestion."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
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
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: name it with --config, or begin with `vitalwire config sample`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}") from None
    return decode(text, kind, str(path), path.parent)


def decode(text: str, kind: type[T], where: str, folder: Path = Path()) -> T:
    """Decode a configuration's text; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: not TOML: {error}") from None
    data = {f.encode_name: str(f.default) for f in structs.fields(kind) if isinstance(f.default, Path)} | data
    try:
        found: T = _convert(data, kind, folder)
        return found
    except msgspec.ValidationError as error:
        place, what = _blame(data, kind, (), kind) or ((), str(error))
        raise UserError(f"{where}: line {_line_of(text, place)}: {what}") from None


def _convert(data: object, kind: Any, folder: Path = Path()) -> Any:
    def hook(wanted: type, value: object) -> Path:
        if wanted is Path and isinstance(value, str):
            return folder / Path(value).expanduser()
        raise msgspec.ValidationError(f"Expected `str`, got `{type(value).__name__}`")

    return msgspec.convert(data, kind, dec_hook=hook)


def _struct_of(kind: Any) -> tuple[type[Struct], bool] | None:
    """The struct that a key holds, and whether it holds many: [[...]] in the file."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind, False
    for inner in get_args(kind):
        if found := _struct_of(inner):
            return found[0], found[1] or get_origin(kind) in (tuple, list)
    return None


def _blame(data: dict[str, Any], kind: type[Struct], at: Place, top: type[Struct]) -> tuple[Place, str] | None:
    """Where a table is wrong, and how: each key is tried alone, because msgspec does not say which of many tables."""
    fields = {field.encode_name: field for field in structs.fields(kind)}
    for name, value in data.items():
        place = (*at, name)
        if name not in fields:
            return place, _unknown(name, list(fields), at, top)
        found = _struct_of(fields[name].type)
        if found and isinstance(value, list if found[1] else dict):
            for table_at, table in [((*place, i), v) for i, v in enumerate(value)] if found[1] else [(place, value)]:
                if isinstance(table, dict) and (wrong := _blame(table, found[0], table_at, top)):
                    return wrong
        try:
            _convert(value, fields[name].type)
        except msgspec.ValidationError as error:
            return place, f"{name}: {_in_words(str(error), value, fields[name].type)}"
    missing = next((name for name, field in fields.items() if field.required and name not in data), None)
    return (at, f"{_table_name(at) or 'the file'} needs the key {missing!r}") if missing else None


def _unknown(name: str, known: list[str], at: Place, top: type[Struct]) -> str:
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    if at and not near and name in (field.encode_name for field in structs.fields(top)):
        hint = "it belongs above the first [table]"
    return f"unknown key {name!r}{f' in {_table_name(at)}' if at else ''}: {hint}"


def _table_name(at: Place) -> str:
    names = ".".join(step for step in at if isinstance(step, str))
    return f"[[{names}]]" if at and isinstance(at[-1], int) else f"[{names}]" if at else ""


def _in_words(message: str, value: object, kind: Any) -> str:
    if choices := _choices(kind):
        return f"{value!r} is none of {', '.join(map(repr, choices))}"
    if (found := _struct_of(kind)) and found[1] and isinstance(value, dict):
        return "write it with two brackets, [[...]]: there may be many"
    message = message.split(" - at ")[0].replace(" | null", "")
    words = re.sub(r"`(\w+)`", lambda m: _WORDS.get(m[1], m[1]), message)
    return words[0].lower() + words[1:]


def _choices(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((found for inner in get_args(kind) if (found := _choices(inner))), ())


def _line_of(text: str, place: Place) -> int:
    """The line of a key: one that spells its name, and the file up to there (or to its value's end) has the key."""
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
    return 1


def sample(kind: type[Struct], title: str) -> str:
    """A configuration with every key, its default and a comment, out of the struct itself.

    `#key` without a space is a key, or a table, that is left out: without its # it is in use.
    """
    head = f"# {title}\n# Every key with its default. What begins with # and no space is left out: take the # away.\n\n"
    return head + "\n".join(_sample(kind, "", "")) + "\n"


def _sample(kind: type[Struct], parents: str, mark: str) -> list[str]:
    keys, tables = list[str](), list[str]()
    for field in structs.fields(kind):
        meta = next((m for m in get_args(field.type)[1:] if isinstance(m, msgspec.Meta)), msgspec.Meta())
        about = meta.description or ""
        name = parents + field.encode_name
        if found := _struct_of(field.type):
            head = f"[[{name}]]" if found[1] else f"[{name}]"
            tables += ["", f"# {about}", f"#{head}", *_sample(found[0], f"{name}.", "#")]
            continue
        value = None if field.required else field.default
        left_out = mark or ("#" if value is None and not field.required else "")
        shown = (meta.examples or [_example(field.type, field.encode_name)])[0] if value is None else value
        toml = json.dumps(shown, default=str, ensure_ascii=False)  # of these types TOML's notation is JSON's
        keys.append(f"{left_out}{field.encode_name} = {toml}  # {about}")
    return keys + tables


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
