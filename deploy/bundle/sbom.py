"""The bill of materials: CycloneDX 1.6 with the licence of each package, as its own wheel states it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.bundle.advisories import Advisory
from deploy.bundle.wheels import BuildError, Wheel

# Where a wheel states its licence by a whole text or in words of its own.
SPDX = {
    "BSD": "BSD-3-Clause", "MIT License": "MIT", "BSD License": "BSD-3-Clause", "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0", "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC", "ISC License": "ISC", "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}  # fmt: skip
_ONE_LINE = 60  # characters; a longer field is the licence's text


def licence(wheel: Wheel) -> str:
    """An SPDX expression; raises BuildError for a package that states none."""
    metadata = wheel.metadata
    stated = metadata.get("License-Expression") or metadata.get("License", "").strip()
    if stated and "\n" not in stated and len(stated) < _ONE_LINE and stated != "UNKNOWN":
        return SPDX.get(stated, stated)
    classified = [
        line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if line.startswith("License :: ")
    ]
    if not classified:
        raise BuildError(f"{wheel.path.name} states no licence: look it up, and name it in deploy/bundle/sbom.py")
    return " OR ".join(SPDX.get(each, each) for each in classified)


def bill(
    name: str, version: str, commit: str, epoch: int, wheels: Iterable[Wheel], found: Sequence[Advisory] | None
) -> str:
    """The document. `found`: what advisories say; None: there was no database at hand, which the document says."""
    by_package: dict[tuple[str, str], list[Wheel]] = {}
    for wheel in sorted(wheels, key=lambda wheel: wheel.path.name):
        by_package.setdefault((wheel.name, wheel.version), []).append(wheel)
    said = "not checked: no database at hand" if found is None else f"{len(found)} found"
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{commit}"),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(epoch, UTC),
            component=Component(name="vitalwire", version=version, type=ComponentType.APPLICATION, bom_ref=name),
            properties=[
                Property(name="vitalwire:commit", value=commit),
                Property(name="vitalwire:advisories", value=said),
                *(
                    Property(name="vitalwire:advisory", value=f"{a.package} {a.version}: {a.ident}")
                    for a in found or ()
                ),
            ],
        ),
        components=[_component(*package, same) for package, same in by_package.items()],
    )
    assert bom.metadata.component is not None
    bom.register_dependency(bom.metadata.component, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _component(name: str, version: str, wheels: Sequence[Wheel]) -> Component:
    purl = PackageURL("pypi", None, name, version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=purl.to_string(),
        licenses=[LicenseFactory().make_from_string(licence(wheels[0]))],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION, url=XsUri(f"wheels/{wheel.path.name}"),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.digest)],
            )
            for wheel in wheels
        ],
    )  # fmt: skip
