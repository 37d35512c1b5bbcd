"""A whole study in Chromium: three readers, two sessions, a server that is killed."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import usgland.evaluation as ev
from tests.commands import call
from usgland.study.study_folder import read_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECONDS = 40  # until something must have happened
# A server whose day is moved on by what a file says.
SERVER = """
import sys, time
from pathlib import Path
from usgland.steps.study_folders import serve_study
from usgland.study.seats import Clock
folder, port, later = sys.argv[1:]
clock = Clock(lambda: time.time() + float(Path(later).read_text()), time.monotonic)
serve_study(
    Path(folder), lambda text: print(text, flush=True), clock=clock, rest_port=int(port)
)
"""
SIZES = ((60, 90), (200, 60), (64, 64), (40, 300))  # of the images, height and width
BOXES = """
return ["#stage", "#store", ".call.benign", "#confidence", "#case"].map((name) => {
  const box = document.querySelector(name).getBoundingClientRect();
  return [box.x, box.y, box.width, box.height].map(Math.round);
});
"""


HIDDEN, AWAY = (1, "R3", 2), 1.5  # when another tab is looked at; seconds


class Reader:
    """What a reader does, by the keyboard alone."""

    def __init__(self, driver, port, key):
        from selenium.webdriver.common.keys import Keys

        self.driver, self.keys = driver, Keys
        driver.get(f"http://127.0.0.1:{port}/")
        self.until(lambda: self.shown("#enter"))
        self.press(key + Keys.ENTER)

    def press(self, text):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(text).perform()

    def until(self, happened):
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, SECONDS, 0.03).until(lambda _: happened())

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def shown(self, selector):
        return self.find(selector).is_displayed()

    def text(self, selector):
        return self.find(selector).text

    def wait_for_case(self, position):
        """Until the case stands there and can be answered."""
        self.until(
            lambda: (
                self.text("#case").startswith(f"Case {position} ")
                and self.shown("#picture")
                and not self.find("#said").get_property("inert")
            )
        )

    def say(self, word, sure):
        self.press(f"{word[0]}{sure}")
        assert self.text("#sure") == str(sure)

    def begin(self):
        self.until(lambda: self.text("#between-title").startswith("Session"))
        self.press(self.keys.ENTER)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def look_elsewhere(driver):
    """Another tab before this one, for some time."""
    [reading] = driver.window_handles
    driver.switch_to.new_window("tab")
    time.sleep(AWAY)
    driver.close()
    driver.switch_to.window(reading)


class Server:
    """The server as a process of its own, which can be killed and started again."""

    def __init__(self, folder, later):
        self.arguments = [str(folder), str(free_port()), str(later)]
        self.port = self.arguments[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *self.arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        assert self.process.stdout.readline().startswith("Page  http://127.0.0.1")

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory, studies):
    folder = tmp_path_factory.mktemp("browser")
    manifest = studies.make_manifest(folder / "images", patients=4)
    rng = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        pixels = rng.integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"doe{number}_0.png")
    text = manifest.read_text().replace("P1,benign", "P1,malignant")
    manifest.write_text(text)
    call("study", "new", manifest, "--output", folder / "study")
    lines = (folder / "study-private" / "keys.txt").read_text().splitlines()
    return folder / "study", dict(line.split() for line in lines)


def told(design, reader, number, position):
    """The call and confidence that a reader is told to give: made up, but known."""
    name = design.sessions[reader][number - 1].cases[position - 1]
    case, which = int(name[1:]), int(reader[1:])
    arm = len(design.sessions[reader][number - 1].arm)
    malignant = (3 * case + 5 * which + arm) % 4 < 2
    return "malignant" if malignant else "benign", (13 * case + 7 * which + arm) % 101


def test_three_readers_two_sessions_and_a_server_that_is_killed(study, chromium):
    folder, keys = study
    design = read_study(folder).design
    later = folder.with_name("later")
    later.write_text("0")
    server = Server(folder, later)
    driver = chromium(width=1366, height=768)
    boxes = set()
    try:
        for number in (1, 2):
            for reader, key in keys.items():
                page = Reader(driver, server.port, key)
                page.begin()
                form = design.sessions[reader][number - 1].arm == "clinical"
                for position in range(1, 5):
                    page.wait_for_case(position)
                    assert page.shown("#form") == form
                    assert not page.shown("#model")
                    boxes.add(str(driver.execute_script(BOXES)[:4]))
                    body = page.text("body")
                    assert "doe" not in body and "c00" not in body
                    word, sure = told(design, reader, number, position)
                    page.press(page.keys.ENTER)
                    assert page.text("#answer-error") == "Missing: call, how sure"
                    page.say(word, sure)
                    if (number, reader, position) == HIDDEN:
                        look_elsewhere(driver)
                    if (number, reader, position) == (1, "R2", 3):
                        server.end(signal.SIGKILL)
                        page.press(page.keys.ENTER)
                        page.until(lambda p=page: p.shown("#notice"))
                        assert "tries again by itself" in page.text("#notice")
                        assert page.text("#sure") == str(sure)
                        server.start()
                    else:
                        page.press(page.keys.ENTER)
                    if (number, reader, position) == (2, "R1", 2):
                        page.wait_for_case(3)
                        page = Reader(driver, server.port, key)  # It was loaded anew.
                ended = "All cases of this session" if number == 1 else "You have read"
                page.until(lambda p=page, e=ended: e in p.text("#between-title"))
                page.until(lambda p=page: not p.shown("#notice"))
            if number == 1:
                assert "begins 28 days after the last one" in page.text("#between")
                later.write_text(str(29 * 86400))
        assert len(boxes) == 1, "something moved"
        errors = [line["message"] for line in driver.get_log("browser")]
        assert [e for e in errors if "ERR_CONNECTION_REFUSED" not in e] == []
    finally:
        driver.quit()
        server.end(signal.SIGTERM)
    assert "nothing has changed" in call("study", "status", folder)
    call("study", "export", folder)
    table = folder.with_name("study-private") / "export" / "readers.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    with (table.parents[1] / "cases.csv").open(newline="") as file:
        truth = {row["case"]: row for row in csv.DictReader(file)}
    expected = {}
    for reader, sessions in design.sessions.items():
        for number, session in enumerate(sessions, start=1):
            for position, name in enumerate(session.cases, start=1):
                said = told(design, reader, number, position)
                expected[reader, session.arm, truth[name]["image"]] = said
    assert expected == {
        (row["reader"], row["arm"], row["image"]): (
            row["call"],
            int(row["confidence"]),
        )
        for row in rows
    }
    assert all(0 < float(row["seconds"]) < 60 for row in rows)
    arm = design.sessions["R3"][0].arm
    [apart] = [
        float(row["server_seconds"]) - float(row["seconds"])
        for row in rows
        if (row["reader"], row["arm"], row["order"]) == ("R3", arm, "2")
    ]
    assert apart >= AWAY
    measures = ev.reader_study(ev.read_readers(table), resamples=20).measures
    for (reader, condition, measure), value in measures.set_index(
        ["reader", "condition", "measure"]
    )["value"].items():
        arm = "clinical" if condition == "with" else "unaided"
        label = {"sensitivity": "malignant", "specificity": "benign"}.get(measure)
        if label:
            calls = [
                expected[reader, arm, row["image"]][0] == label
                for row in truth.values()
                if row["label"] == label
            ]
            assert value == pytest.approx(sum(calls) / len(calls)), (reader, arm)
