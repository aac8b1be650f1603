"""What holds for the whole tree, whatever stands in its packages."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from schemas import layout

ROOT = Path(__file__).parent.parent
TABLES = {
    "schemas/nomenclature.py": "the nomenclature: one row a line, as the public tables have it",
    "emr_store/migrations/0003_record.sql": "the schema: one table after another, with what each column means",
}
FUNCTION_LINES_MAX, FILE_LINES_MAX = 70, 500


def git_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


FILES = git_files()
SOURCES = [name for name in FILES if name.endswith(".py")]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["root_packages"]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]


def nodes(name: str) -> Iterator[ast.AST]:
    return ast.walk(ast.parse((ROOT / name).read_text("utf-8"), name))


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name in SOURCES
        for node in nodes(name)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_file_is_long_unless_it_is_a_table() -> None:
    code = [n for n in FILES if n.endswith((".py", ".sql", ".mjs", ".js", ".css", ".html", "services"))]
    long = {n for n in code if len((ROOT / n).read_text("utf-8").splitlines()) > FILE_LINES_MAX}
    assert long <= TABLES.keys()
    assert all((ROOT / name).is_file() for name in TABLES)


def test_only_the_batch_indexes_numpy_fields_by_name() -> None:
    dtypes = [value for value in vars(layout).values() if isinstance(value, np.dtype)]
    fields = {name for dtype in dtypes for name in dtype.names or ()}
    found = {
        name
        for name in SOURCES
        if name.partition("/")[0] in PACKAGES
        for node in nodes(name)
        # dtype.fields is about the layout, not about a batch
        if isinstance(node, ast.Subscript)
        and not (isinstance(node.value, ast.Attribute) and node.value.attr == "fields")
        for inner in ast.walk(node.slice)
        if isinstance(inner, ast.Constant) and inner.value in fields
    }
    assert found == {"schemas/batch.py"}


def test_faust_is_known_in_three_files() -> None:
    found = {
        name
        for name in SOURCES
        if name.partition("/")[0] in PACKAGES
        for node in nodes(name)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for imported in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if imported.partition(".")[0] in {"faust", "mode"}
    }
    assert found <= {f"stream_processors/{name}.py" for name in ("app", "fetch", "__main__")}


ADDRESSES = re.compile(
    r"py[p]i\.org|python[h]osted|repo1?\.m[a]ven|registry\.n[p]m|deb\.deb[i]an"
    r"|(?<!emit-)(?:index-url|find-links)[ =]\S"
    r"|(?<![\w.$~}])/(?:root|work|farm|opt/wheels|home/\w+|Users/\w+)/\w"
)


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = [
        f"{name}:{number}: {match[0]}"
        for name in FILES
        if name != "tests/test_boundaries.py" and not name.endswith((".png", ".gz", ".woff2"))
        for number, line in enumerate((ROOT / name).read_text("utf-8", "replace").splitlines(), 1)
        if (match := ADDRESSES.search(line))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["--find-links /x", "index-url = y", "https://py" + "pi.org/simple", "cp a /root/b", "/home/me/x"]
)
def test_what_is_forbidden_would_be_found(line: str) -> None:
    assert ADDRESSES.search(line)


# Contract -> an import that it must catch, and where. A contract without a line here is one that nobody saw at work.
BREAKS = {
    "The boundaries between the packages": ("schemas/__init__.py", "evidence"),
    "The edge never touches the store": ("edge_agent/__init__.py", "emr_store"),
    "schemas, evidence, clinical and adapters do no I/O": ("adapters/__init__.py", "socket"),
    "runtime knows no vital sign": ("runtime/__init__.py", "schemas"),
    "Simulators import nothing of ours": ("simulators/__init__.py", "runtime"),
    "Drivers never import each other": ("adapters/devices/nonin.py", "adapters.devices.mqtt_json"),
    "Stages never import each other": ("stream_processors/signed_validation.py", "stream_processors.store"),
    "Only the store knows psycopg": ("gateway/__init__.py", "psycopg"),
    "The paper is drawn from data alone": ("clinical/sheet/__init__.py", "clinical.census"),
    "Only the paper knows reportlab": ("gateway/__init__.py", "reportlab"),
    "Nobody but the processors knows faust": ("evidence/__init__.py", "faust"),
    "The port doctor judges without I/O": ("vitalwire/doctor/port/words.py", "socket"),
}


def test_each_import_contract_catches_what_it_is_for(tmp_path: Path) -> None:
    assert BREAKS.keys() == {contract["name"] for contract in CONTRACTS}
    for name in [n for n in SOURCES if n.partition("/")[0] in PACKAGES] + ["pyproject.toml"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]

    def kept_or_broken() -> dict[str, str]:
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return dict(re.findall(rf"(?m)^({'|'.join(map(re.escape, BREAKS))}) (KEPT|BROKEN)", ran.stdout))

    assert kept_or_broken() == dict.fromkeys(BREAKS, "KEPT")
    for file, module in BREAKS.values():
        with (tmp_path / file).open("a", encoding="utf-8") as source:
            source.write(f"\nimport {module}\n")
    assert kept_or_broken() == dict.fromkeys(BREAKS, "BROKEN")
