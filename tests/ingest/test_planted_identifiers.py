"""No identifier that is planted survives, and the search for survivors sees them."""

import base64
import hashlib
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from usgland.steps.ingestion import _remove_strangers

SCRIPT = Path(__file__).parents[2] / "scripts/plant_identifiers.py"


@pytest.fixture(scope="module")
def planting():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[SCRIPT.stem]


def test_none_of_many_identifiers_survives(planting, tmp_path):
    tokens, alive, pictures = planting.run(tmp_path, 12, seed=1)
    assert len(tokens) >= 500
    assert len({token.kind for token in tokens}) > 40
    assert pictures == 16  # none was skipped for what was planted in it
    assert alive == []
    # Nor the order in which files were read, which is that of their names.
    files = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert len({path.stat().st_mtime for path in files}) == 1


def test_what_a_killed_run_has_left_is_not_given_away(planting, tmp_path):
    (tmp_path / "images").mkdir()
    for name in (".manifest-abcdefgh.csv", "manifest.csv", "images/a.png", "images/b"):
        (tmp_path / name).touch()
    _remove_strangers(tmp_path, {"images/a.png"})
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["a.png"]


def png(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", **options)
    return stream.getvalue()


def test_the_search_sees_every_form(planting, tmp_path):
    word, date = b"QWERTZUIOP", b"19810523"
    row = np.zeros((8, 32), np.uint8)
    row[3, 4:14] = np.frombuffer(word, np.uint8)
    bits = np.zeros((8, 32), np.uint8)
    bits.reshape(-1)[:80] = np.unpackbits(np.frombuffer(word, np.uint8)) << 7
    note = PngImagePlugin.PngInfo()
    note.add_text("a", word.decode(), zip=True)
    column = row.T.copy()
    files = {
        "a.csv": b"x," + word.lower(),
        "b.csv": b"x,qwert-zuiop",
        "c.bin": word[::-1],
        "d.bin": word.decode().encode("utf-16-le"),
        "e.txt": word.hex().encode(),
        "f.txt": base64.b64encode(b"x" + word + b"yz"),
        "g.txt": hashlib.md5(word).hexdigest().encode(),
        "h.txt": hashlib.sha256(word.lower()).hexdigest()[:16].encode(),
        "i.txt": base64.b64encode(hashlib.sha1(word).digest()),
        "j.png": png(row),
        "k.png": png(column),
        "l.png": png(bits),
        "m.png": png(row * 0, pnginfo=note),
        "QWERTZUIOP.txt": b"",
    }
    for name, data in files.items():
        folder = tmp_path / name.replace("QW", "z")
        folder.mkdir()
        (folder / name).write_bytes(data)
        assert planting.survivors(folder, [planting.Token(word.decode(), "")]), name
        assert not planting.survivors(folder, [planting.Token("YXCVBNMASD", "")]), name
    for number, form in enumerate(("1981-05-23", "23.05.1981", "23 May 1981")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.csv").write_text(form)
        assert planting.survivors(folder, [planting.Token(date.decode(), "")]), form
