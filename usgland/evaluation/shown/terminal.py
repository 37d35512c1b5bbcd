"""Tables and texts on a terminal of 80 columns or more, without a broken word."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import rich.table
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from usgland.evaluation.shown.table import Document, Paragraph, Table
from usgland.evaluation.shown.text import SYNTHETIC

INDENT = 3  # characters


class Layout(NamedTuple):
    """How a table may be drawn: the roomiest of `LAYOUTS` that fits is taken."""

    gap: int  # characters between columns; 3 hold a line of a frame
    heads_wrapped: bool = True  # between words
    words_wrapped: bool = False  # cells that do not begin with a number, likewise
    # An interval stands below its value, with two digits; so do a percent, a deviation
    # and quartiles where a column gives them no room.
    stacked: bool = False

    def parts(self, text: str, *, head: bool, name: bool) -> list[list[str]]:
        """Lines of a cell, each in the parts between which it may be wrapped.

        `head` is whether it heads its column, `name` whether it is the first of a row.
        """
        between = WORDS if self.words_wrapped else NOWHERE
        if head:
            between = WORDS if self.heads_wrapped else NOWHERE
        elif not name and text.lstrip("+-<")[:1].isdigit():
            between = BRACKETS if self.stacked else NOWHERE
            text = _stacked(text) if self.stacked else text
        return [between.split(line) for line in text.split("\n")]

    def lost(self, columns: int) -> int:
        """Characters of a line that hold no text."""
        return self.gap * (columns - 1) + (4 if self.gap == FRAMED else 0)


FRAMED = 3
# Where a line may end: between words and after : and ;, before brackets and ±, nowhere.
WORDS = re.compile(r"(?<= )(?! )|(?<=[:;])(?=[^ ])")
BRACKETS = re.compile(r"(?<= )(?=[(\[±])")
NOWHERE = re.compile(r"(?!)")
LAYOUTS = (
    Layout(FRAMED, heads_wrapped=False),
    Layout(FRAMED),
    Layout(FRAMED, words_wrapped=True),
    Layout(2),
    Layout(2, words_wrapped=True),
    Layout(2, stacked=True),
    Layout(2, words_wrapped=True, stacked=True),
    Layout(1, words_wrapped=True, stacked=True),
)


def show(document: Document, console: Console) -> None:
    """Prints it all."""
    if document.synthetic:
        text = Text(SYNTHETIC, justify="center")
        console.print(Panel(text, style="bold white on red", box=box.HEAVY))
    if document.lead:
        _show_paragraph(Paragraph(document.lead, bold=True), console)
    for number, block in enumerate(document.blocks):
        is_list = isinstance(block, Paragraph) and not block.bold
        if number and not is_list:
            console.print()
        if isinstance(block, Table):
            show_table(block, console)
        else:
            _show_paragraph(block, console)
    if document.notes and document.blocks:
        console.print()
    _show_notes(document.notes, console)


def show_table(table: Table, console: Console) -> None:
    """Prints one table, with its title and notes."""
    if table.title:
        _show_paragraph(Paragraph(table.title, bold=True), console)
    for number, part in enumerate(_parts(table, console.width)):
        if number:
            console.print()
        console.print(_rich_table(part, console.width))
    _show_notes(table.lines_below(), console)


def _show_paragraph(paragraph: Paragraph, console: Console) -> None:
    text = f"- {paragraph.text}" if paragraph.depth > 1 else paragraph.text
    style = "bold" if paragraph.bold else "dim" if paragraph.depth > 1 else ""
    left = INDENT if paragraph.depth else 0
    console.print(Padding(Text(text, style=style), (0, 0, 0, left), expand=False))


def _show_notes(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(note, highlight=False, markup=False)


def _parts(table: Table, room: int) -> list[Table]:
    """The table, or its columns in tables below each other where they do not fit.

    Each part has the first column: a number that is cut is another number.
    """
    columns = len(table.heads)
    if columns < 3 or _choose_layout(table, room)[3] >= 0:
        return [table]
    starts, parts, first = table.span_starts(), [], 1
    heads = list(table.heads)
    if table.spans:  # each part would need its own: they stand in the heads instead
        above = [""] * columns
        for column in range(columns):
            above[column] = starts.get(column, above[column - 1])
        heads = [f"{span}\n{head}" for span, head in zip(above, heads, strict=True)]
    while first < columns:
        for last in range(columns, first, -1):
            chosen = [0, *range(first, last)]
            part = Table(
                tuple(heads[column] for column in chosen),
                tuple(
                    tuple(row._replace(cells=_of(row.cells, chosen)) for row in section)
                    for section in table.sections
                ),
                align="".join(_of(tuple(table.alignment()), chosen)),
            )
            if _choose_layout(part, room)[3] >= 0:
                break
        parts.append(part)
        first = last
    return parts


def _of(texts: tuple[str, ...], chosen: Sequence[int]) -> tuple[str, ...]:
    return tuple(texts[column] for column in chosen)


def _rich_table(table: Table, room: int) -> rich.table.Table:
    layout, (heads, *texts), widths, _ = _choose_layout(table, room)
    drawn = rich.table.Table()
    if layout.gap != FRAMED:
        # The line below the heads has a column of its own between columns.
        padding = (0, layout.gap - 1, 0, 0)
        drawn = rich.table.Table(
            box=box.SIMPLE_HEAD, padding=padding, show_edge=False, pad_edge=False
        )
    for head, letter, width in zip(heads, table.alignment(), widths, strict=True):
        drawn.add_column(
            Text(head),
            justify="right" if letter == "r" else "left",
            width=width,
            overflow="fold",
        )
    above = None
    remaining = iter(texts)
    for section in table.sections:
        for row, (name, *cells) in zip(section, remaining, strict=False):
            # What stands above is not said again.
            shown = Text("" if (name, row.indent) == above else name)
            above = name, row.indent
            drawn.add_row(
                Padding(shown, (0, 0, 0, INDENT * row.indent)), *map(Text, cells)
            )
        drawn.add_section()
    return drawn


def _choose_layout(
    table: Table, room: int
) -> tuple[Layout, list[list[str]], list[int], int]:
    """The roomiest layout that fits, the wrapped heads and cells, a width a column.

    Also the characters to spare; below 0 where none fits, and words are cut.
    """
    starts = table.span_starts()
    heads = list(table.heads)
    if table.spans:
        heads = [f"{starts.get(i, '')}\n{head}" for i, head in enumerate(heads)]
    indents = [0, *(INDENT * row.indent for row in table.rows())]
    for layout in LAYOUTS:
        texts = [
            [layout.parts(cell, head=not number, name=not column) for column, cell in
             enumerate(cells)]
            for number, cells in enumerate([heads, *(r.cells for r in table.rows())])
        ]  # fmt: skip
        least = _widths(texts, indents, lambda line: max(map(_length, line)))
        spare = room - sum(least) - layout.lost(len(heads))
        if spare >= 0:
            break
    widths, most = least, _widths(texts, indents, lambda line: _length("".join(line)))
    for _ in range(spare):
        lacking = [wanted - width for wanted, width in zip(most, widths, strict=True)]
        if max(lacking) > 0:
            widths[lacking.index(max(lacking))] += 1
    # A single word is longer than its column can be: the widest columns give way.
    for _ in range(-spare):
        widths[widths.index(max(widths))] -= max(widths) > 1
    wrapped = [
        ["\n".join(_filled(line, width) for line in cell) for cell, width in
         zip(row, [widths[0] - indent, *widths[1:]], strict=True)]
        for row, indent in zip(texts, indents, strict=True)
    ]  # fmt: skip
    return layout, wrapped, widths, spare


def _widths(
    texts: list[list[list[list[str]]]],
    indents: Sequence[int],
    measure: Callable[[list[str]], int],
) -> list[int]:
    """The largest measure of a line in each column, with what its row is set in."""
    return [
        max(
            measure(line) + (0 if column else indent)
            for indent, row in zip(indents, texts, strict=True)
            for line in row[column]
        )
        for column in range(len(texts[0]))
    ]


def _filled(parts: Sequence[str], width: int) -> str:
    """Lines that hold as many parts as fit."""
    lines = [""]
    for part in parts:
        if lines[-1] and _length(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(map(str.rstrip, lines))


def _length(text: str) -> int:
    return cell_len(text.rstrip())


def _stacked(cell: str) -> str:
    """An interval below its value: six of them stand side by side in 80 columns."""
    value, _, rest = cell.partition(" (")
    low, between, high = rest.rstrip(")").partition(" to ")
    dash = " to " if "-" in rest else "-"
    if between:
        return f"{value}\n{float(low):.2f}{dash}{float(high):.2f}"
    if rest == "no interval)":
        return f"{value}\n({rest}"
    quartiles = cell.partition("[")[2]
    return cell if "-" in quartiles else cell.replace(" to ", "-")
