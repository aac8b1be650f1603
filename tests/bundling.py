"""Small bundles, in no time: a package of a few lines, and what the real one has beside it."""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from deploy.bundle.wheels import Wheel
from deploy.bundle.write import Release, ReleaseKey, write
from runtime import keys
from runtime.bundle import this_target

EPOCH = 1_790_000_000


def wheel(folder: Path, name: str, version: str, files: dict[str, str] | None = None, metadata: str = "") -> Wheel:
    """A pure wheel with these files, well formed enough for pip."""
    info = f"{name}-{version}.dist-info"
    contents = dict(files or {f"{name}.py": f'VERSION = "{version}"\n'})
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{metadata}"
    contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{each},,\n" for each in (*contents, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for each, text in {**contents, f"{info}/RECORD": record}.items():
            archive.writestr(ZipInfo(each), text)  # 1980: the same bytes each time
    return Wheel(path)


def release_key(folder: Path, name: str = "release") -> ReleaseKey:
    """A new one; its `.pub` lies beside it."""
    keys.generate(folder / f"{name}.key")
    return ReleaseKey(folder / f"{name}.key")


def bundle(
    folder: Path, key: ReleaseKey, version: str = "1.0", spool_form: int = 3, wheels: tuple[Wheel, ...] = (),
    targets: tuple[str, ...] = (), unit: str = "[Service]\n",
) -> Path:  # fmt: skip
    """A bundle with a small `vitalwire` of this version and these wheels; its folder lies in `tree`."""
    tree = folder / f"tree-{version}"
    own = wheel(tree / "wheels", "vitalwire", version)
    for each in wheels:
        (tree / "wheels" / each.path.name).write_bytes(each.path.read_bytes())
    lock = [f"{each.name}=={each.version} --hash=sha256:{sha256(each.path.read_bytes()).hexdigest()}"
            for each in (own, *wheels) if each.name != "pip"]  # fmt: skip
    (tree / "requirements.lock").write_text("\n".join(lock) + "\n")
    (tree / "install").write_text("#!/bin/sh\n")
    (tree / "NOTES.md").write_text(f"notes of {version}\n")
    (tree / "systemd").mkdir()
    for name in ("edge", "downtime"):
        (tree / "systemd" / f"vitalwire-{name}.service").write_text(f"# {version}\n{unit}")
    names = [f"wheels/{each.path.name}" for each in (own, *wheels)]
    release = Release(version, "c0ffee", EPOCH, spool_form)
    return write(tree, folder, release, dict.fromkeys(targets or (this_target(),), names), key)


def pip_wheel(folder: Path) -> Wheel:
    """pip as a wheel, of the files that this environment has of it: nothing is fetched."""
    found = distribution("pip")
    path = folder / f"pip-{found.version}-py3-none-any.whl"
    if not path.exists():
        with ZipFile(path, "w") as archive:
            for each in found.files or ():
                if each.parts[0].startswith("pip") and "__pycache__" not in each.parts:
                    archive.write(each.locate(), each.as_posix())
    return Wheel(path)
