"""What people read: tables and texts between them, as Markdown, CSV, LaTeX and Word.

`usgland.evaluation.shown.terminal` prints the same on a terminal.
"""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from usgland.evaluation.shown.text import SYNTHETIC
from usgland.files import write_text

# Of footnotes, in their order: as they stand in texts, and their letters.
MARKS = dict(zip("ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖ", "abcdefghijklmnop", strict=True))
FILES = ("md", "csv")  # what a command writes unless it says otherwise
LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "%_&#${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "<": "$<$",
        ">": "$>$",
        "\n": " ",
        **{mark: f"$^{letter}$" for mark, letter in MARKS.items()},
    }
)


class Row(NamedTuple):
    """A row of texts; its first cell is its name, set in by some steps."""

    cells: tuple[str, ...]
    indent: int = 0


def rows(texts: Iterable[Sequence[str]], *, indent: int = 0) -> tuple[Row, ...]:
    """One row a sequence of texts, all set in alike."""
    return tuple(Row(tuple(cells), indent) for cells in texts)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        heads: One a column; lines are parted by a line feed.
        sections: Rows, in parts between which a line may be drawn.
        title: Stands above it; "" for none.
        notes: Stand below it.
        footnote: What the marks in its cells stand for; "" for none. Stands right
            below it, and is a part of it in LaTeX, too.
        align: "l" or "r" a column; "" for the first left and all others right.
        spans: Heads above the heads: each with the number of columns it covers. They
            cover all columns, or there are none.
    """

    heads: tuple[str, ...]
    sections: tuple[tuple[Row, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    align: str = ""
    spans: tuple[tuple[str, int], ...] = ()
    footnote: str = ""

    def __post_init__(self) -> None:
        counts = {len(row.cells) for row in self.rows()}
        counts |= {sum(count for _, count in self.spans)} if self.spans else set()
        counts |= {len(self.align)} if self.align else set()
        if counts - {len(self.heads)}:
            raise ValueError(
                f"`rows`, `spans` and `align` must have {len(self.heads)} columns, as "
                f"`heads` has. Received: {sorted(counts)}"
            )

    def rows(self) -> list[Row]:
        """All rows, without the sections."""
        return [row for section in self.sections for row in section]

    def lines_below(self) -> list[str]:
        """The footnote and the notes."""
        return [*filter(None, [self.footnote]), *self.notes]

    def alignment(self) -> str:
        """One letter a column."""
        return self.align or "l" + "r" * (len(self.heads) - 1)

    def span_starts(self) -> dict[int, str]:
        """First column of a head above the heads -> its text."""
        starts = accumulate((count for _, count in self.spans), initial=0)
        return dict(zip(starts, (text for text, _ in self.spans), strict=False))

    def markdown(self) -> list[str]:
        """Its lines, with the title and the notes."""
        starts = self.span_starts()
        heads = [
            f"{starts[column]}<br>{head}" if starts.get(column) else head
            for column, head in enumerate(self.heads)
        ]
        rules = ("---" if letter == "l" else "---:" for letter in self.alignment())
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += [_markdown_row(heads), f"|{'|'.join(rules)}|"]
        for row in self.rows():
            name, *cells = row.cells
            lines.append(_markdown_row([f"{'&emsp;' * row.indent}{name}", *cells]))
        below = _items(self.lines_below())
        return [*lines, *(["", *below] if below else [])]


class Paragraph(NamedTuple):
    """A text among tables; `depth` 1 or 2 makes it an item of a list."""

    text: str
    bold: bool = False
    depth: int = 0


@dataclasses.dataclass(frozen=True)
class Document:
    """What a command shows and writes.

    Attributes:
        blocks: Tables and texts, in their order.
        synthetic: Whether the numbers are of phantoms; every kind of file says so.
        notes: What holds for all of it, below.
        lead: A sentence above everything, also above the mark of phantoms in
            Markdown; "" for none.
        columns: Of the CSV.
        records: Its rows, in full precision; what has no column is left out.
    """

    blocks: tuple[Table | Paragraph, ...]
    synthetic: bool
    notes: tuple[str, ...] = ()
    lead: str = ""
    columns: tuple[str, ...] = ()
    records: tuple[Mapping[Any, Any], ...] = ()

    def markdown(self) -> str:
        lines = [self.lead, ""] if self.lead else []
        lines += [f"**{SYNTHETIC}**", ""] if self.synthetic else []
        for block in self.blocks:
            if isinstance(block, Table):
                lines += [*_ended(lines), *block.markdown(), ""]
            elif block.depth:
                lines.append(f"{'  ' * (block.depth - 1)}- {block.text}")
            else:
                text = f"**{block.text}**" if block.bold else block.text
                lines += [*_ended(lines), text, ""]
        lines += [*_ended(lines), *_items(self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def csv(self) -> str:
        """One line a record; empty where undefined."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        for record in self.records:
            writer.writerow({key: _csv_cell(record.get(key)) for key in self.columns})
        return text.getvalue()

    def latex(self) -> str:
        """Every table as a `tabular`; its title and the notes are comments."""
        lines = []
        if self.synthetic:
            lines = [f"% {SYNTHETIC}", rf"\textbf{{{SYNTHETIC}}} \\"]
        for block in self.blocks:
            if isinstance(block, Table):
                lines += _latex_table(block)
            else:
                lines.append(f"% {block.text}")
        return "\n".join([*lines, *(f"% {note}" for note in self.notes)]) + "\n"

    def write(
        self, stem: Path, kinds: Sequence[str] = FILES, *, docx: bool = False
    ) -> list[Path]:
        """Writes it, each file whole or not at all.

        A Word file beside earlier files that are replaced is removed where it is not
        written again: it would show numbers that are no longer true.

        Args:
            stem: Path of the files, without what their kind adds.
            kinds: Of `md`, `csv` and `tex`.
            docx: Whether a Word file is written as well.

        Raises:
            UserError: If one cannot be written, or python-docx is missing.
        """
        texts = {"md": self.markdown, "csv": self.csv, "tex": self.latex}
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
        word = stem.with_name(f"{stem.name}.docx")
        if docx:
            from usgland.evaluation.shown.word import save_docx

            save_docx(self, word)
        elif any(path.exists() for path in paths):
            word.unlink(missing_ok=True)
        for kind, path in zip(kinds, paths, strict=True):
            write_text(path, texts[kind]())
        return [*paths, word] if docx else paths


def _ended(lines: Sequence[str]) -> list[str]:
    """The empty line that ends what stands above, where none does yet."""
    return [""] if lines and lines[-1] else []


def _items(notes: Iterable[str]) -> list[str]:
    return [f"- {note}" for note in notes]


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", r"\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _latex_table(table: Table) -> list[str]:
    lines = [f"% {table.title}"] if table.title else []
    lines.append(rf"\begin{{tabular}}{{{table.alignment()}}}")
    if table.spans:
        spans = [
            rf"\multicolumn{{{count}}}{{c}}{{{text.translate(LATEX)}}}"
            for text, count in table.spans
        ]
        lines.append(" & ".join(spans) + r" \\")
    lines.append(_latex_row(table.heads) + r" \hline")
    for row in table.rows():
        lines.append(r"\quad " * row.indent + _latex_row(row.cells))
    if table.footnote:
        width = rf"\multicolumn{{{len(table.heads)}}}{{p{{\linewidth}}}}"
        lines.append(rf"\hline {width}{{{table.footnote.translate(LATEX)}}} \\")
    return [*lines, r"\end{tabular}", *(f"% {note}" for note in table.notes)]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value != value else value
