"""`audit`: checks a file of published measures and writes what was found."""

from pathlib import Path

from rich.console import Console

from usgland.evaluation.audit.findings import find_all
from usgland.evaluation.audit.findings_text import audit_document
from usgland.evaluation.audit.published_file import (
    TEMPLATE,
    paper_path,
    read_audit_file,
)
from usgland.evaluation.shown.terminal import show
from usgland.files import check_unwritten, write_json, write_text

STEM = "audit"


def write_template(
    path: Path | None, console: Console, *, overwrite: bool = False
) -> list[Path]:
    """Writes the example of a file of published measures; without a path, prints it.

    Returns the files written.
    """
    text = paper_path(TEMPLATE).read_text(encoding="utf-8")
    if path is None:
        console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        return []
    check_unwritten("file of published measures", [path], overwrite=overwrite)
    write_text(path, text)
    return [path]


def audit_file(
    path: Path | None,
    console: Console,
    *,
    output: Path | None = None,
    overwrite: bool = False,
    docx: bool = False,
) -> list[Path]:
    """Checks a file of published measures, or the paper's, and shows what was found.

    Writes audit.md and audit.json into the folder `output`, if there is one, and
    returns the files written.
    """
    written = [output / f"{STEM}{kind}" for kind in (".md", ".json")] if output else []
    check_unwritten("audit", written, overwrite=overwrite)
    findings = find_all(read_audit_file(path or paper_path()))
    document = audit_document(findings)
    show(document, console)
    if output is None:
        return []
    files = document.write(output / STEM, ("md",), docx=docx)
    write_json(written[-1], findings)
    return [*files, written[-1]]
