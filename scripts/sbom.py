"""Writes what usgland is made of, as CycloneDX, beside its wheel.

    python scripts/sbom.py dist/usgland-0.2.0-py3-none-any.whl [--lock FILE]

The components are the packages of a lock file, with exact versions and hashes; the
file is `NAME.cdx.json` beside the wheel, whose own hash it has.

Reference:
    [CycloneDX 1.6](https://cyclonedx.org/docs/1.6/json/)
"""

import argparse
import hashlib
import json
import re
from pathlib import Path
from typing import Any

PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components_of(lock: str) -> list[dict[str, Any]]:
    """The packages of a lock file, in their order."""
    starts = list(PINNED.finditer(lock))
    ends = [match.start() for match in starts[1:]] + [len(lock)]
    components = []
    for match, end in zip(starts, ends, strict=True):
        name, version = match["name"].lower().replace("_", "-"), match["version"]
        components.append(
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "bom-ref": f"pkg:pypi/{name}@{version}",
                # One for each file of the release: a machine installs one of them.
                "properties": [
                    {"name": "usgland:sha256", "value": digest}
                    for digest in HASH.findall(lock[match.start() : end])
                ],
            }
        )
    return components


def bill_of(wheel: Path, lock: Path) -> dict[str, Any]:
    """The bill of materials of a wheel."""
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
        },
        "components": components_of(lock.read_text(encoding="utf-8")),
    }


def main() -> None:
    """Writes the file and prints its name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--lock", type=Path, default=Path("requirements.lock"))
    arguments = parser.parse_args()
    path = arguments.wheel.with_suffix(".cdx.json")
    bill = bill_of(arguments.wheel, arguments.lock)
    path.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    print(f"Wrote {path}: {len(bill['components'])} packages")


if __name__ == "__main__":
    main()
