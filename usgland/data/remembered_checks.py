"""What is known of image files that were checked before, so that none is read twice.

Each manifest has a file of its own in the cache folder. A file of images is known by
its path, size, inode and times, of which the system sets one at every change.
"""

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from usgland.cache import cache_folder, make_private
from usgland.errors import UserError
from usgland.files import write_whole

FOLDER = "checks"
FORMAT = "usgland checks 3"
# A file that has just been written may change again within a tick of its clock.
SETTLED_NS = 2_000_000_000
UNUSED = 30 * 86_400  # seconds after which what is known of a manifest is removed


class Stamp(NamedTuple):
    """What changes when a file does."""

    size: int
    changed_ns: int  # st_mtime_ns
    # st_ctime_ns, which no program can set on Linux file systems. A folder or a link
    # that is put in the place of another keeps it: the inode tells these apart.
    touched_ns: int
    place: tuple[int, int]  # device and inode, the same of several names of a file

    def known_by(self) -> list[int]:
        """What is compared with later; device numbers change when a disk is mounted."""
        return [*self[:3], self.place[1]]


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file, links followed; None where there is no regular one."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    place = (status.st_dev, status.st_ino)
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, place)


class RememberedChecks:
    """What checks of the images of a manifest, or of its masks, have found.

    Args:
        manifest: The table that names the files.
        what: `"images"` or `"masks"`: a file may be both.
        version: Of the code that checks; what another one found is forgotten.
    """

    def __init__(self, manifest: Path, what: str, version: str):
        name = hashlib.sha256(os.fsencode(manifest.absolute())).hexdigest()[:16]
        self._path = cache_folder() / FOLDER / f"{name}-{what}.json"
        self._version = version
        self._now_ns = time.time_ns()
        self._checks = self._read()
        self._changed = False

    def find(self, path: str, stamp: Stamp | None) -> list | None:
        """What the check of a file found that is as it was; None where it is not."""
        known = self._checks.get(path)
        if stamp is None or known is None:
            return None
        known_by = stamp.known_by()
        cut = len(known_by)
        return known[cut:] if known[:cut] == known_by else None

    def note(self, path: str, stamp: Stamp | None, check: Sequence[str | int]) -> None:
        """Keeps what a check has found, if the file was read and has settled.

        The first of it is the digest of the file's bytes, "" if it was not read.
        """
        if stamp is None or not check[0]:
            return
        if max(stamp.changed_ns, stamp.touched_ns) < self._now_ns - SETTLED_NS:
            self._checks[path] = [*stamp.known_by(), *check]
            self._changed = True

    def save(self) -> None:
        """Writes all of it, whole or not at all; without room or rights, not."""
        if not self._changed:
            return
        body = json.dumps(self._checks).encode()
        header = json.dumps([FORMAT, self._version, zlib.crc32(body)]).encode()
        try:
            make_private(self._path.parent)
            with write_whole(self._path) as temporary:
                temporary.write_bytes(header + b"\n" + body)
            for path in self._path.parent.iterdir():
                if time.time() - path.stat().st_mtime > UNUSED:
                    path.unlink()
        except (UserError, OSError):
            # What could not be kept is checked again next time, as it is anyway.
            return

    def _read(self) -> dict[str, list]:
        try:
            header, _, body = self._path.read_bytes().partition(b"\n")
            if json.loads(header) != [FORMAT, self._version, zlib.crc32(body)]:
                return {}
            checks = json.loads(body)
        except (OSError, ValueError):
            return {}
        with contextlib.suppress(OSError):  # It can be read and not written to.
            os.utime(self._path)
        return checks
