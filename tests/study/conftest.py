"""Small studies of made-up pictures, a clock that tests turn, and whole readings."""

import asyncio
import csv
import http.client
import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from usgland.study import study_folder
from usgland.study.answer_store import AnswerStore
from usgland.study.design import Asked, Case, Design, ModelAnswer, cross, digest
from usgland.study.seats import Clock, Seats
from usgland.study.sittings import Sittings
from usgland.study.study_app import run_study, study_options

DAY = 86400.0
FORM = {
    **{"gender": "m", "age_years": "54", "bmi_kg_m2": "22,5", "smoking": "yes"},
    **{"drinking": "no", "location": "deep", "distribution": "single"},
    **{"shape": "round", "capsule": "present", "regularity": "regular"},
    **{"margin": "clear", "density": "low", "cystic_degeneration": "absent"},
    **{"calcification": "absent"},
}


class Hand:
    """A clock that is turned by hand; `steady` goes on where `now` is set back."""

    def __init__(self):
        self.day_time, self.steady_time = 1_900_000_000.0, 1000.0

    def on(self, seconds=0.0, days=0.0):
        self.day_time += seconds + days * DAY
        self.steady_time += max(0.0, seconds + days * DAY)

    @property
    def clock(self):
        return Clock(lambda: self.day_time, lambda: self.steady_time)


def make_manifest(folder, patients=8, form=True, images=1):
    """Every fourth patient is malignant; the files have a name in their metadata."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(patients):
        for image in range(images):
            told = PngImagePlugin.PngInfo()
            told.add_text("PatientName", "Doe")
            name = f"doe{number}_{image}.png"
            pixels = rng.integers(0, 256, (40, 48), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name, pnginfo=told)
            label = "malignant" if number % 4 == 0 else "benign"
            row = {"image": name, "patient_id": f"P{number}", "label": label}
            rows.append({**row, **(FORM if form else {})})
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_study(folder, arms=("unaided", "clinical"), readers=2, cases=3, **changed):
    """A study without a manifest; gives it and the keys of its readers."""
    images, made = {}, []
    for number in range(cases):
        name = f"images/{number}.png"
        images[name] = bytes([number]) * 9
        made.append(
            Case(
                name=f"c{number}",
                file=name,
                sha256=digest(images[name]),
                form=(("Age, years", f"{40 + number}"),),
                model=ModelAnswer(probability=0.25 * number, malignant=number > 1),
            )
        )
    study = changed.pop("study", "k7mp")
    names = [f"R{number}" for number in range(1, readers + 1)]
    keys = {name: study_folder.new_key(study) for name in names}
    truth = "case,image,patient_id,label\n" + "".join(
        f"c{number},doe{number}.png,P{number},{'malignant' if number else 'benign'}\n"
        for number in range(cases)
    )
    fields = {
        "study": study,
        "made": "2026-05-04",
        "arms": arms,
        "washout_days": 28,
        "way_back": False,
        "seed": 0,
        "synthetic": False,
        "cases": tuple(made),
        "sessions": cross(names, arms, [case.name for case in made], 0),
        "keys": {name: digest(key) for name, key in keys.items()},
        "truth_sha256": digest(truth),
    }
    design = Design(**{**fields, **changed})
    private = {study_folder.TRUTH: truth, study_folder.PROTOCOL: "# Protocol\n"}
    study_folder.write_study(folder, design, images, private)
    return study_folder.read_study(folder), keys


class Opened:
    """A study with a database and a clock, and readers who read."""

    def __init__(self, folder, **changed):
        self.study, self.keys = make_study(folder, **changed)
        self.hand = Hand()
        self.open()

    def open(self):
        """What a server does when it starts."""
        path = self.study.folder / study_folder.ANSWERS
        self.store = AnswerStore(path, self.study.design.study)
        self.sittings = Sittings(self.study, self.store, self.hand.clock)
        self.seats = Seats(self.study, self.store, self.hand.clock)

    def answer(self, reader, call="benign", confidence=60, seconds=5.0, **more):
        shown = self.sittings.show(reader)
        self.hand.on(seconds)
        self.sittings.answer(
            reader,
            shown["view"],
            call=call,
            confidence=confidence,
            descriptors=more.pop("descriptors", {}),
            seconds=seconds,
        )
        return shown

    def read_session(self, reader, calls=None):
        """Reads a whole session; `calls` is a case's name -> call."""
        session = self.sittings.where(reader).session
        self.sittings.begin(reader, session)
        for name in self.study.design.sessions[reader][session - 1].cases:
            self.answer(reader, (calls or {}).get(name, "benign"))


class Running:
    """A server of an opened study in a thread, and what a program asks it."""

    def __init__(self, study, **chosen):
        self.study, self.port, self.seat = study, 0, ""
        self.chosen = {"rest_port": 0, **chosen}
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._serve)

    def _serve(self):
        async def main():
            self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
            options = study_options(self.study.study.folder, **self.chosen)
            work = run_study(self.study.sittings, options, self._started, self.stop)
            await work

        try:
            asyncio.run(main())
        finally:
            self.ready.set()

    def _started(self, port):
        self.port = port
        self.ready.set()

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(30) and self.port
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(30)
        assert not self.thread.is_alive()

    def call(self, method, path, body=None, **headers):
        """Status, headers and content of an answer, JSON where it is JSON."""
        sent = {"Content-Type": "application/json"} if method == "POST" else {}
        if self.seat:
            sent["Authorization"] = f"Bearer {self.seat}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = body if isinstance(body, str | bytes) else json.dumps(body or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, text if method == "POST" else None, sent)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        if headers.get("content-type") == "application/json":
            content = json.loads(content)
        return answer.status, headers, content

    def ask(self, path, **body):
        """Status and content of what the page asks for."""
        status, _, content = self.call("POST", f"/study/{path}", body)
        return status, content

    def enter(self, reader):
        """Takes a seat for a reader."""
        status, place = self.ask("enter", key=self.study.keys[reader])
        assert status == 200, place
        self.seat = place["seat"]
        return place


@pytest.fixture
def running(opened):
    """Opens a study and serves it, until the test ends."""
    servers = []

    def run(chosen=None, **changed):
        server = Running(opened(**changed), **(chosen or {}))
        servers.append(server.__enter__())
        return server

    yield run
    for server in servers:
        server.__exit__()


@pytest.fixture(scope="session")
def seated(tmp_path_factory):
    """A server with R1 in a seat, for tests that change nothing."""
    study = Opened(tmp_path_factory.mktemp("seated") / "study")
    with Running(study) as server:
        server.enter("R1")
        yield server
    study.store.close()


@pytest.fixture
def opened(tmp_path):
    """Opens studies, and closes them again."""
    made = []

    def open_study(name="study", **changed):
        made.append(Opened(tmp_path / name, **changed))
        return made[-1]

    yield open_study
    for study in made:
        study.store.close()


@pytest.fixture(scope="session")
def studies():
    """The names above, as test files cannot import one another."""
    return SimpleNamespace(
        Hand=Hand,
        Opened=Opened,
        Running=Running,
        make_manifest=make_manifest,
        make_study=make_study,
        Asked=Asked,
    )
