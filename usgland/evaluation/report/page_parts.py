"""The pieces of a self-contained HTML page: texts, tables, pictures, one style."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image

from usgland.evaluation.shown.text import SYNTHETIC

# Widest picture, pixels: sharp on a page of 18 cm at 150 dots an inch.
PICTURE_PIXELS = 1100
THUMBNAIL_PIXELS = 260
STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff;
  max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; } h2 { border-bottom: 2px solid #0072B2; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .92rem; }
th, td { border: 1px solid #aaa; padding: .25rem .55rem; vertical-align: top; }
th { background: #eef2f5; text-align: left; }
img, svg { max-width: 100%; height: auto; }
figure { margin: 1rem 0; max-width: 42rem; }
figcaption { font-size: .88rem; color: #333; }
.row { display: flex; flex-wrap: wrap; gap: .8rem; } .row figure { margin: 0; }
.synthetic { background: #B00000; color: #fff; font-weight: bold; font-size: 1.4rem;
  text-align: center; padding: .5rem; }
.warning { border-left: 6px solid #D55E00; background: #fff4ec; padding: .5rem .8rem; }
pre { background: #f4f6f8; padding: .6rem; overflow-x: auto; white-space: pre-wrap; }
.todo { color: #8a3d00; } nav li { display: inline-block; margin-right: 1rem; }
@media print {
  body { font-size: 10pt; max-width: none; } nav { display: none; }
  figure, table, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .synthetic { position: fixed; top: 0; left: 0; right: 0; padding: 2pt;
    font-size: 11pt; print-color-adjust: exact; }
}
"""


def page(title: str, sections: Sequence[tuple[str, str]], *, synthetic: bool) -> str:
    """Puts sections together into one page that needs no other file.

    Sections are headings and their HTML; one without content is left out. A red band
    stands on every printed page of what is `synthetic`.
    """
    band = f'<div class="synthetic">{SYNTHETIC}</div>' if synthetic else ""
    known = [(name, content) for name, content in sections if content]
    links = "".join(
        f'<li><a href="#s{number}">{escape(name)}</a></li>'
        for number, (name, _) in enumerate(known)
    )
    body = "".join(
        f'<section id="s{number}"><h2>{escape(name)}</h2>{content}</section>'
        for number, (name, content) in enumerate(known)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{band}"
        f"<h1>{escape(title)}</h1><nav><ul>{links}</ul></nav>{body}{band}"
        "</body></html>\n"
    )


def markdown(text: str) -> str:
    """HTML of Markdown with tables; HTML inside it is shown, not run, but `<br>`."""
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return html.replace("&lt;br&gt;", "<br>")


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """An HTML table of texts."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{top}</tr>' if head else ''}{body}</table>"


def picture(path: Path, caption: str, *, pixels: int = PICTURE_PIXELS) -> str:
    """A picture inside the page, made smaller where a side is longer than `pixels`.

    The file is PNG, JPEG or BMP; the caption is also the text for screen readers.
    """
    with Image.open(path) as opened:
        image = opened.convert("L" if opened.mode in ("L", "I;16", "I") else "RGB")
    image.thumbnail((pixels, pixels))
    file = io.BytesIO()
    is_photo = pixels <= THUMBNAIL_PIXELS
    if is_photo:
        image.save(file, "JPEG", quality=80)
    else:
        # A plot has few colours: a palette is a quarter of the size.
        image.convert("RGB").quantize(128).save(file, "PNG", optimize=True)
    kind = "jpeg" if is_photo else "png"
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
