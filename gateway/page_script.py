"""A page's script as one file: its modules one after the other, so that a browser asks once and not for each of them.

What a module exports stands outside of it under the same name, the rest of it in a function of its own. Of JavaScript
this reads lines that begin with `import` or `export`, as the modules here write them and no others:

    import { make, set } from "/elements.mjs";     one line, no other names
    export function draw() {                       and `async function`
    export let picture = null;                     and `const`: one name a statement

No two modules of a page export one name, and none has the name of something that every window has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_IMPORT = re.compile(r'^import \{ ([\w$]+(?:, [\w$]+)*) \} from "/([a-z-]+\.mjs)";$', re.MULTILINE)
_EXPORTED_FUNCTION = re.compile(r"^export ((?:async )?function ([\w$]+)\()", re.MULTILINE)
_EXPORTED_VALUE = re.compile(r"^export (?:const|let) (([\w$]+) = )", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


@dataclass(frozen=True)
class _Module:
    name: str
    text: str  # without what it imports and that it exports
    imports: Mapping[str, tuple[str, ...]]  # names by module
    functions: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def script(self) -> str:
        """Its functions are there before its first statement runs, as an exported one is."""
        values = f"let {', '.join(self.values)};\n" if self.values else ""
        functions = ", ".join(self.functions)
        names = f"const {{ {functions} }} = " if functions else ""
        gives = f"return {{ {functions} }};\n" if functions else ""
        return f"// {self.name}\n{values}{names}(() => {{\n{self.text}{gives}}})();\n"


def imported_names(content: bytes) -> list[str]:
    """The files that a module imports."""
    return [name for _, name in _IMPORT.findall(content.decode())]


def page_script(first: str, found: Mapping[str, bytes]) -> bytes:
    """The module `first` behind all that it imports, at any depth.

    Raises ValueError where one of them is not written as above, and KeyError where one is missing.
    """
    modules = [_module(name, found[name].decode()) for name in _in_order(first, found)]
    _check(modules)
    return "".join(module.script for module in modules).encode()


def _in_order(first: str, found: Mapping[str, bytes]) -> list[str]:
    """As a browser runs them: each behind what it imports, but for those that import each other."""
    met: set[str] = set()
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in met:
            return
        met.add(name)
        for imported in imported_names(found[name]):
            visit(imported)
        ordered.append(name)

    visit(first)
    return ordered


def _module(name: str, text: str) -> _Module:
    functions = tuple(name for _, name in _EXPORTED_FUNCTION.findall(text))
    values = tuple(name for _, name in _EXPORTED_VALUE.findall(text))
    imports = {origin: tuple(names.split(", ")) for names, origin in _IMPORT.findall(text)}
    text = _EXPORTED_VALUE.sub(r"\1", _EXPORTED_FUNCTION.sub(r"\1", _IMPORT.sub("", text)))
    left = _LEFT.search(text)
    if left is not None:
        raise ValueError(f"{name}: cannot be joined with the page's other modules: {left.group()}")
    return _Module(name, text, imports, functions, values)


def _check(modules: Iterable[_Module]) -> None:
    exports = {module.name: {*module.functions, *module.values} for module in modules}
    owners: dict[str, str] = {}
    for module, exported in exports.items():
        for name in exported:
            if name in owners:
                raise ValueError(f"{owners[name]} and {module} export {name}: on one page a name is one module's")
            owners[name] = module
    for each in modules:
        for origin, names in each.imports.items():
            missing = set(names) - exports[origin]
            if missing:
                raise ValueError(f"{each.name}: {origin} exports no {', '.join(sorted(missing))}")
