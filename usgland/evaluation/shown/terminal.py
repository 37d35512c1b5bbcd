"""Tables and texts on a terminal of 80 columns or more, without a broken word."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from usgland.evaluation.shown.table import Document, Line, Table
from usgland.evaluation.shown.text import SYNTHETIC

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

INDENT = 3  # characters


class Layout(NamedTuple):
    """How a table may be drawn: the roomiest of `LAYOUTS` that fits is taken.

    Attributes:
        gap: Characters between columns; 3 hold a line of a frame.
        heads_wrapped: Heads are wrapped between words.
        words_wrapped: So are cells that do not begin with a number.
        stacked: An interval stands below its value, with two digits.
    """

    gap: int
    heads_wrapped: bool = True
    words_wrapped: bool = False
    stacked: bool = False

    def lost(self, columns: int) -> int:
        """Characters of a line that hold no text."""
        return self.gap * (columns - 1) + (4 if self.gap == FRAMED else 0)


FRAMED = 3
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


def show(document: Document, console: "Console") -> None:
    """Prints it all.

    Args:
        document: To print.
        console: Where to.
    """
    show_synthetic(document.synthetic, console)
    if document.lead:
        _show_line(Line(document.lead, bold=True), console)
    for number, block in enumerate(document.blocks):
        is_list = isinstance(block, Line) and not block.bold
        if number and not is_list:
            console.print()
        if isinstance(block, Table):
            show_table(block, console)
        else:
            _show_line(block, console)
    if document.notes and document.blocks:
        console.print()
    _show_notes(document.notes, console)


def show_synthetic(synthetic: bool, console: "Console") -> None:
    """Says in large letters that measures are of phantoms, where they are."""
    from rich import box
    from rich.panel import Panel
    from rich.text import Text

    if synthetic:
        text = Text(SYNTHETIC, justify="center")
        console.print(Panel(text, style="bold white on red", box=box.HEAVY))


def show_table(table: Table, console: "Console") -> None:
    """Prints one table, with its title and notes."""
    if table.title:
        _show_line(Line(table.title, bold=True), console)
    if table.heads:
        console.print(_rich_table(table, console.width))
    _show_notes(table.notes, console)


def _show_line(line: Line, console: "Console") -> None:
    from rich.padding import Padding
    from rich.text import Text

    text = f"- {line.text}" if line.depth > 1 else line.text
    shown = Text(text, style="bold" if line.bold else "")
    left = INDENT if line.depth else 0
    console.print(Padding(shown, (0, 0, 0, left), expand=False))


def _show_notes(notes: Sequence[str], console: "Console") -> None:
    for note in notes:
        console.print(note, highlight=False, markup=False)


def _rich_table(table: Table, room: int) -> "RenderableType":
    from rich import box
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    layout, heads, cells, widths = _choose_layout(table, room)
    drawn = RichTable()
    if layout.gap != FRAMED:
        # The line below the heads has a column of its own between columns.
        padding = (0, layout.gap - 1, 0, 0)
        drawn = RichTable(
            box=box.SIMPLE_HEAD, padding=padding, show_edge=False, pad_edge=False
        )
    for head, letter, width in zip(heads, table.alignment(), widths, strict=True):
        drawn.add_column(
            Text(head),
            justify="right" if letter == "r" else "left",
            width=width,
            overflow="fold",
        )
    above = ""
    lines = iter(cells)
    for section in table.sections:
        for row in section:
            name, *texts = next(lines)
            # What stands above is not said again.
            shown = "" if name == above else name
            above = name
            drawn.add_row(
                Padding(Text(shown), (0, 0, 0, INDENT * row.indent)), *map(Text, texts)
            )
        drawn.add_section()
    return drawn


def _choose_layout(
    table: Table, room: int
) -> tuple[Layout, list[str], list[list[str]], list[int | None]]:
    """The roomiest layout that fits, its heads and cells, and a width a column."""
    from rich.cells import cell_len

    count = len(table.heads)
    starts = table.span_starts()
    for layout in LAYOUTS:
        heads = list(table.heads)
        if table.spans:
            heads = [f"{starts.get(i, '')}\n{head}" for i, head in enumerate(heads)]
        cells = [list(row.cells) for row in table.rows()]
        if layout.stacked:
            cells = [[_stacked(cell) for cell in row] for row in cells]
        least, most = [], []
        for column in range(count):
            left = [INDENT * row.indent if not column else 0 for row in table.rows()]
            parts = [(0, part) for part in _parts(heads[column], layout.heads_wrapped)]
            lines = [(0, line) for line in heads[column].split("\n")]
            for indent, row in zip(left, cells, strict=True):
                wrapped = layout.words_wrapped and not _is_number(row[column])
                parts += [(indent, part) for part in _parts(row[column], wrapped)]
                lines += [(indent, line) for line in row[column].split("\n")]
            least.append(max(indent + cell_len(part) for indent, part in parts))
            most.append(max(indent + cell_len(line) for indent, line in lines))
        spare = room - sum(least) - layout.lost(count)
        if spare >= 0:
            break
    else:
        return layout, heads, cells, [None] * count
    widths = list(least)
    for _ in range(spare):
        lacking = [wanted - width for wanted, width in zip(most, widths, strict=True)]
        if max(lacking) > 0:
            widths[lacking.index(max(lacking))] += 1
    return layout, heads, cells, list(widths)


def _parts(text: str, wrapped: bool) -> list[str]:
    """What must stand on one line each."""
    return (text.split() if wrapped else text.split("\n")) or [""]


def _is_number(text: str) -> bool:
    return text.lstrip("+-<")[:1].isdigit()


def _stacked(cell: str) -> str:
    """An interval below its value: six of them stand side by side in 80 columns."""
    value, bracket, rest = cell.partition(" (")
    if not bracket or not _is_number(cell):
        return cell
    low, between, high = rest.rstrip(")").partition(" to ")
    if not between:
        return f"{value}\n({low})"
    dash = " to " if "-" in rest else "-"
    return f"{value}\n{float(low):.2f}{dash}{float(high):.2f}"
