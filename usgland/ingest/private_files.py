"""The private folder: the key, what was skipped, whose a picture is, what to see."""

import csv
import html
import io
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from usgland.cache import make_private
from usgland.errors import UserError
from usgland.files import write_text
from usgland.ingest.pseudonyms import Key

KEY, FINGERPRINT = "key", "key_fingerprint"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first signs that a spreadsheet computes
SHEET_HEAD = (
    '<!doctype html><meta charset="utf-8"><title>Pictures to look at</title>'
    "<style>body{font-family:sans-serif}figure{display:inline-block;margin:8px;"
    "max-width:320px;vertical-align:top}img{max-width:320px;background:#888}"
    "figcaption{font-size:12px;overflow-wrap:anywhere}</style>"
)


def open_private(folder: Path) -> None:
    """Makes the private folder; no other user may read one that is made here.

    Raises:
        UserError: If it cannot be made.
    """
    try:
        make_private(folder)
    except OSError as error:
        raise UserError(
            f"Cannot make the private folder {folder}: {error.strerror}. Choose "
            "another with --private"
        ) from error
    if not folder.is_dir():
        raise UserError(f"--private: expected a folder. Received: {folder}, a file")


def check_key(folder: Path, key: Key, path: Path) -> None:
    """Checks that earlier runs with this private folder had the same key."""
    kept = folder / FINGERPRINT
    if kept.exists():
        key.check_fits(kept.read_text(encoding="ascii").strip(), path)
    else:
        write_private_text(kept, f"{key.fingerprint}\n")


def write_private_text(path: Path, text: str) -> None:
    """Writes a text file that its owner alone can read."""
    write_text(path, text)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def write_rows(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    private: bool = True,
) -> None:
    """Writes a CSV whose cells no spreadsheet computes."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([plain_cell(cell) for cell in row] for row in rows)
    (write_private_text if private else write_text)(path, lines.getvalue())


def plain_cell(cell: Any) -> str:
    """A cell that a spreadsheet shows and does not compute."""
    text = str(cell)
    return f"'{text}" if text.startswith(FORMULA) else text


def write_sheet(path: Path, pictures: Iterable[tuple[Path, str]]) -> None:
    """Writes an HTML page of pictures, where they are now, and why each is shown."""
    figures = [
        f'<figure><a href="{link}"><img loading="lazy" src="{link}"></a>'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
        for picture, text in pictures
        for link in [html.escape(os.path.relpath(picture, path.parent))]
    ]
    note = (
        f"<p>{len(figures)} pictures with a reason to look at them. That a picture is "
        "not here does not mean that it is free of text: no program can tell.</p>"
    )
    write_private_text(path, "\n".join([SHEET_HEAD, note, *figures, ""]))
