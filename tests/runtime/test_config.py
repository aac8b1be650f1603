import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import pytest
from msgspec import Meta

from runtime.config import decode, load, read_secret, sample
from runtime.errors import UserError
from stream_processors.config import ProcessorsConfig


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cert: Annotated[Path, Meta(description="certificate")]


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: Annotated[str, Meta(description="path", min_length=1)]
    baud: Annotated[int | None, Meta(description="speed")] = None
    bits: Annotated[int, Meta(description="bits", ge=5)] = 8
    parity: Annotated[Literal["N", "E"] | None, Meta(description="bit")] = None
    slow: Annotated[bool | None, Meta(description="waits")] = None
    tls: Annotated[Tls | None, Meta(description="TLS")] = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    edge: Annotated[str, Meta(description="this edge")]
    spool: Annotated[Path, Meta(description="folder")] = Path("spool")
    limit_s: Annotated[float, Meta(description="at most", gt=0)] = 0.5
    topics: Annotated[tuple[str, ...], Meta(description="filters")] = ('a"\\#',)
    port: Annotated[tuple[Port, ...], Meta(description="ports")] = ()


GOOD = 'edge = "x"\n'
TWO_PORTS = GOOD + '[[port]]\ndevice = "a"\nbaud = 9600\n[[port]]\ndevice = "b"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "spol = 'x'\n", r"line 2: unknown key 'spol': did you mean 'spool'\?"),
        # The same key stands in both tables: the line is the wrong one's.
        (TWO_PORTS + "baud = 'x'\n", r"line 7: baud: expected a whole number, got text in quotes"),
        (TWO_PORTS + "buad = 1\n", r"line 7: unknown key 'buad' in \[\[port\]\]: did you mean 'baud'\?"),
        (TWO_PORTS + "spool = 'y'\n", r"line 7: unknown key 'spool' in \[\[port\]\]: it belongs above the first"),
        (TWO_PORTS + "bits = 0\n", r"line 7: bits: expected a whole number >= 5"),
        (TWO_PORTS + "parity = 'Q'\n", r"line 7: parity: 'Q' is none of 'N', 'E'"),
        (TWO_PORTS + "[port.tls]\ncrt = 'x'\n", r"line 8: unknown key 'crt' in \[port.tls\]: did you mean 'cert'\?"),
        (TWO_PORTS + "[[port]]\nbaud = 1\n", r"line 7: \[\[port\]\] needs the key 'device'"),
        (GOOD + "[port]\ndevice = 'a'\n", r"line 2: port: write it with two brackets"),
        (GOOD + "# limit_s = 1\nlimit_s = true\n", r"line 3: limit_s: expected a number, got true or false"),
        (GOOD + "topics = [\n  'a',\n  1,\n]\n", r"line 2: topics: expected text in quotes, got a whole number"),
        (GOOD + 'spool = """\nlimit_s = 1\n"""\nlimit_s = 0\n', r"line 5: limit_s: expected a number > 0.0"),
        ("port = [{device = 'a', bad = 1}]\nedge = 'x'\n", r"line 1: unknown key 'bad'"),
        (GOOD.replace("\n", "\r\n") + "spool = 3\r\n", r"line 2: spool: expected text in quotes, got a whole number"),
        ("", "line 1: the file needs the key 'edge'"),
        (GOOD + "spool = \n", r"not TOML: .*line 2"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_its_mend(text: str, words: str) -> None:
    with pytest.raises(UserError, match=f"^edge.toml: {words}") as caught:
        decode(text, Config, "edge.toml")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_paths_are_relative_to_the_file_defaults_too(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_bytes(b"\xef\xbb\xbf" + TWO_PORTS.encode() + b"tls.cert = 'c'\n")  # a BOM, as Windows writes it
    config = load(file, Config)
    assert config.spool == tmp_path / "spool"
    assert [p.tls and p.tls.cert for p in config.port] == [None, tmp_path / "c"]
    assert decode(GOOD + "spool = '/var/spool'\n", Config, "x", tmp_path).spool == Path("/var/spool")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"edge = '\xfc'\n")
    for name, words in {"none": "vitalwire config sample", "": "directory", "latin": "not UTF-8"}.items():
        with pytest.raises(UserError, match=words):
            load(tmp_path / name, Config)


def all_in_use(text: str) -> str:
    return re.sub(r"(?m)^#(?=[\[\w])", "", text)


def test_the_sample_holds_the_defaults() -> None:
    text = sample(Config, "an edge")
    assert decode(text, Config, "sample") == Config("EDGE")
    assert all_in_use(text) != text
    assert decode(all_in_use(text), Config, "sample") == Config(
        "EDGE", port=(Port("DEVICE", 1, 8, "N", False, Tls(Path("CERT"))),)
    )


def names(kind: Any) -> set[str]:
    """Of the keys of a struct, and of all that it holds."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return {f.encode_name for f in fields}.union(*(names(f.type) for f in fields))
    return set[str]().union(*(names(inner) for inner in get_args(kind)))


@pytest.mark.parametrize("kind", [ProcessorsConfig, Config])  # the edge's: tests/edge_agent/test_sources.py
def test_every_key_is_in_the_sample_with_a_comment_and_can_be_used(kind: type[msgspec.Struct]) -> None:
    text = sample(kind, "all")
    decode(text, kind, "sample")
    decode(all_in_use(text), kind, "sample")
    for name in names(kind):
        assert re.search(rf"(?m)^#?{name} = .+  # \S|^# \S.*\n#\[+([\w.]+\.)?{name}\]+$", text), name


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("geheim\n")
    for mode in (0o640, 0o604, 0o620):
        file.chmod(mode)
        with pytest.raises(UserError, match=f"chmod 600 {file}") as caught:
            read_secret(file)
        assert "geheim" not in str(caught.value)
    file.chmod(0o600)
    assert read_secret(file) == "geheim"
    with pytest.raises(UserError, match="cannot be read"):
        read_secret(tmp_path / "none")
