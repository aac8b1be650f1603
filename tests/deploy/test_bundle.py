"""`make bundle`: the same bytes each time, a licence for each package, advisories of the disk."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from deploy.bundle import advisories, debian, sbom, write
from deploy.bundle.locked import ROOT, TARGETS, Target, box_packages, read_lock
from deploy.bundle.wheels import BuildError, Wheel, own_wheel
from deploy.bundle.write import HERE, Release
from edge_agent.spool import schema
from runtime import keys
from runtime.bundle import open_bundle
from tests import bundling

LOCK = [*read_lock(ROOT / "requirements.lock"), *read_lock(HERE / "pip.lock")]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return own_wheel(tmp_path_factory.mktemp("own"), bundling.EPOCH)


def made(folder: Path, own: Wheel) -> tuple[Path, Path]:
    """A bundle and its package, of our own wheel and two small ones."""
    release = Release(own.version, "c0ffee", bundling.EPOCH)
    wheels = [bundling.wheel(folder / "wheels", name, "1.0", metadata="License: MIT\n") for name in ("one", "two")]
    bill = sbom.bill(release.name, release.version, release.commit, release.epoch, wheels, None)
    targets = write.gather(folder / "tree", own, {"cp313-x86_64": wheels}, LOCK, bill)
    path = write.write(
        folder / "tree", folder / "to", release, targets, write.ReleaseKey(folder.parent / "release.key")
    )
    return path, debian.write(path, folder / "to", release, folder)


def test_a_bundle_and_its_package_are_the_same_bytes_each_time(own: Wheel, tmp_path: Path) -> None:
    bundling.release_key(tmp_path)
    first = made(tmp_path / "first", own)
    umask = os.umask(0o077)
    try:
        again = own_wheel(tmp_path / "own", bundling.EPOCH)
        second = made(tmp_path / "second", again)
    finally:
        os.umask(umask)
    assert again.path.read_bytes() == own.path.read_bytes()
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    manifest = open_bundle(first[0], keys.read_public(tmp_path / "release.pub")).manifest
    assert manifest.spool_form == schema.VERSION
    assert manifest.files["install"].executable
    assert manifest.files.keys() >= {"NOTES.md", "sbom.cdx.json", "requirements.lock", "docs/install-a-box.md",
                                     "docs/downtime.md", "systemd/vitalwire-edge.service",
                                     "systemd/vitalwire-downtime.service"}  # fmt: skip
    shown = subprocess.run(["dpkg-deb", "--contents", first[1]], capture_output=True, text=True, check=True).stdout
    assert "root/root" in shown
    assert f"{first[0].name}\n" in shown


def test_installing_scripts_are_well_formed(tmp_path: Path) -> None:
    named = {"place": "p", "bundle": "b", "name": "n"}
    (tmp_path / "postinst").write_text(debian.POSTINST.format(**named))
    (tmp_path / "prerm").write_text(debian.PRERM)
    for script in (HERE / "install", tmp_path / "postinst", tmp_path / "prerm"):
        assert subprocess.run(["sh", "-n", script], capture_output=True, text=True).stderr == ""


def test_all_that_a_box_runs_is_locked_for_each_python_and_machine() -> None:
    for target in TARGETS:
        held = {each.name for each in LOCK if each.holds(target)}
        assert {*box_packages(), "pip"} <= held
    versions = {target.name: {each.version for each in LOCK if each.name == "numpy" and each.holds(target)}
                for target in TARGETS}  # fmt: skip
    assert all(len(found) == 1 for found in versions.values())
    assert versions["cp311-x86_64"] != versions["cp313-x86_64"]
    assert {"manylinux_2_28_aarch64", "manylinux2014_aarch64"} <= {*Target("3.13", "aarch64").platforms}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("License-Expression: Apache-2.0\nLicense: other\n", "Apache-2.0"),
        ("License: MIT License\n", "MIT"),
        ("License: A text\n of several\n lines\nClassifier: License :: OSI Approved :: BSD License\n", "BSD-3-Clause"),
        ("Classifier: License :: OSI Approved :: MIT License\n", "MIT"),
    ],
)
def test_a_licence_is_what_the_wheel_states(tmp_path: Path, metadata: str, expected: str) -> None:
    assert sbom.licence(bundling.wheel(tmp_path, "one", "1", metadata=metadata)) == expected


def test_a_package_without_a_licence_is_not_bundled(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"one-1-py3-none-any.whl states no licence"):
        sbom.licence(bundling.wheel(tmp_path, "one", "1"))


def test_the_bill_names_each_package_with_its_licence_and_checksum(tmp_path: Path) -> None:
    wheel = bundling.wheel(tmp_path, "one", "1.5", metadata="License-Expression: MIT\n")
    found = [advisories.Advisory("PYSEC-1", "one", "1.5", "bad")]
    bill = json.loads(sbom.bill("vitalwire-1", "1", "c0ffee", bundling.EPOCH, [wheel], found))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    (component,) = bill["components"]
    assert (component["purl"], component["licenses"][0]["license"]["id"]) == ("pkg:pypi/one@1.5", "MIT")
    assert component["externalReferences"][0]["hashes"] == [{"alg": "SHA-256", "content": wheel.digest}]
    said = {each["name"]: each["value"] for each in bill["metadata"]["properties"]}
    assert said == {"vitalwire:commit": "c0ffee", "vitalwire:advisories": "1 found",
                    "vitalwire:advisory": "one 1.5: PYSEC-1"}  # fmt: skip
    unchecked = json.loads(sbom.bill("vitalwire-1", "1", "c0ffee", bundling.EPOCH, [wheel], None))
    assert "not checked: no database at hand" in json.dumps(unchecked)


def advisory(*events: dict[str, str], name: str = "One_", **more: object) -> str:
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return json.dumps({"id": "GHSA-1", "summary": "bad", "affected": [affected], **more})


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (advisory({"introduced": "0"}, {"fixed": "1.6"}), True),
        (advisory({"introduced": "0"}, {"fixed": "1.5"}), False),
        (advisory({"introduced": "1.5"}), True),
        (advisory({"introduced": "1.6"}), False),
        (advisory({"introduced": "0"}, {"last_affected": "1.5"}), True),
        (advisory({"introduced": "0"}, {"last_affected": "1.4"}), False),
        (advisory({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.2"}, {"fixed": "1.10"}), True),
        (advisory({"introduced": "0"}, name="other"), False),
        (advisory({"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"), False),
    ],
)
def test_an_advisory_is_found_for_the_versions_that_it_names(tmp_path: Path, text: str, is_found: bool) -> None:
    (tmp_path / "a.json").write_text(text)
    found = advisories.find(tmp_path, {("one-", "1.5")})
    assert [each.ident for each in found] == ["GHSA-1"] * is_found


def test_a_folder_without_advisories_is_no_clean_bill(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="holds no advisory"):
        advisories.find(tmp_path, {("one", "1")})
