"""Table 1, shown and written."""

from pathlib import Path

from rich.console import Console

from usgland.errors import UserError
from usgland.evaluation.table_one import TableOne
from usgland.evaluation.table_one_texts import (
    print_table_one,
    table_one_csv,
    table_one_latex,
    table_one_markdown,
)
from usgland.runs import write_text

STEM = "table1"


def show_table_one(
    found: TableOne,
    console: Console,
    *,
    synthetic: bool,
    output: Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Prints the table and writes table1.md, .csv and .tex.

    Args:
        found: The table.
        console: Where it is shown.
        synthetic: Whether the patients are phantoms.
        output: Folder of the files; None: nothing is written.
        overwrite: Whether they may be replaced.

    Returns:
        The files written.

    Raises:
        UserError: If they exist.
    """
    texts = {
        ".csv": table_one_csv(found, synthetic=synthetic),
        ".tex": table_one_latex(found, synthetic=synthetic),
        ".md": table_one_markdown(found, synthetic=synthetic),
    }
    paths = [] if output is None else [output / f"{STEM}{kind}" for kind in texts]
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        raise UserError(
            f"Table 1 is not overwritten. Received {existing[0]}, which exists. Add "
            "--overwrite to make it again"
        )
    print_table_one(found, console, synthetic=synthetic)
    for path, text in zip(paths, texts.values(), strict=False):
        write_text(path, text)
    return paths
