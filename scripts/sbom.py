"""Write what the catalogue is made of: a CycloneDX bill of materials and a list of licences.

``python -m scripts.sbom`` reads the lock, which names every package with its hashes, and the metadata of what is
installed, which has the licences. It asks nobody.
"""

from __future__ import annotations

import re
import sys
import tomllib
from argparse import ArgumentParser
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).parent.parent
LOCKS = ("base.txt", "sources.txt", "scale.txt")
"""What a deployment may install; tools for working on the project are not part of it."""


@dataclass
class Package:
    """One line of a lock. ``needed_by`` names packages, and ``*.in`` files with ``-r`` before them."""

    name: str
    version: str
    hashes: set[str] = field(default_factory=set)
    needed_by: set[str] = field(default_factory=set)

    @property
    def licence(self) -> str:
        """What its metadata says: an SPDX expression, or the words of its classifiers; empty when neither is known."""
        try:
            told: Any = metadata.metadata(self.name)
        except metadata.PackageNotFoundError:  # for another platform
            return ""
        if expression := told.get("License-Expression"):
            return str(expression)
        classified = [text.rpartition(" :: ")[2] for text in told.get_all("Classifier", []) if "License ::" in text]
        short = str(told.get("License") or "").strip()
        return " OR ".join(classified) or (short if "\n" not in short and len(short) < 80 else "")


def packages(folder: Path = ROOT / "requirements") -> list[Package]:
    """Every package that a deployment may install; some in two versions, for different Pythons."""
    found: dict[tuple[str, str], Package] = {}
    for lock in LOCKS:
        for package in read((folder / lock).read_text()):
            known = found.setdefault((package.name, package.version), package)
            known.hashes |= package.hashes
            known.needed_by |= package.needed_by
    return [found[key] for key in sorted(found)]


def read(lock: str) -> list[Package]:
    """The packages of a compiled requirements file."""
    found: list[Package] = []
    for line in lock.splitlines():
        if named := re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", line):
            found.append(Package(named[1], named[2]))
        elif hashed := re.search(r"--hash=sha256:([0-9a-f]{64})", line):
            found[-1].hashes.add(hashed[1])
        elif needed := re.match(r"    #(?: via|  ) +(-[rc] \S+|[a-z0-9._-]+)", line):
            found[-1].needed_by.add(needed[1])
    return found


def bill(found: list[Package]) -> Bom:
    """The packages as CycloneDX has them, with who needs whom."""
    licences = LicenseFactory()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    whole = Component(name=project["name"], version=project["version"], type=ComponentType.APPLICATION, bom_ref="self")
    parts = {
        (package.name, package.version): Component(
            name=package.name,
            version=package.version,
            type=ComponentType.LIBRARY,
            bom_ref=f"{package.name}@{package.version}",
            purl=PackageURL("pypi", name=package.name, version=package.version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in sorted(package.hashes)],
            licenses=[licences.make_from_string(package.licence)] if package.licence else [],
        )
        for package in found
    }
    bom = Bom(components=parts.values())
    bom.metadata.component = whole
    for package in found:
        part = parts[package.name, package.version]
        if any(needer.startswith("-r") for needer in package.needed_by):
            bom.register_dependency(whole, [part])
        for (name, _), needer in parts.items():
            if name in package.needed_by:
                bom.register_dependency(needer, [part])
    return bom


def main(arguments: list[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m scripts.sbom", description=str(__doc__))
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="The folder to write to (%(default)s).")
    folder = parser.parse_args(arguments).to
    found = packages()
    folder.mkdir(parents=True, exist_ok=True)
    JsonV1Dot6(bill(found)).output_to_file(str(folder / "sbom.json"), allow_overwrite=True, indent=1)
    lines = [f"{package.name} {package.version}: {package.licence or 'not installed here'}" for package in found]
    (folder / "licences.txt").write_text("\n".join([*lines, ""]))
    print(f"{len(found)} packages are in {folder / 'sbom.json'}, their licences in licences.txt beside it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
