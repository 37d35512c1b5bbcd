"""The reading page as a reader uses it: in Chromium, on a stand-in's answers."""

import io
import json
import math
import shutil
import struct
import threading
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from usgland.serving.server.front import front_of
from usgland.serving.server.server_options import ServerOptions

pytestmark = pytest.mark.slow

SECONDS = 40  # until something must have happened
# Contrast of every text with its ground, by WCAG 2's formula: [ratio, text].
CONTRASTS = """
const rgb = (text) => {
  const numbers = text.match(/[\\d.]+/g).map(Number);
  const whole = (n, i) => i < 3 ? 255 * n : n;
  return text.startsWith("color(srgb") ? numbers.map(whole) : numbers;
};
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => v / 255).map(
    (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const colour = rgb(getComputedStyle(node).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if ((!own && !node.matches("input")) || !node.checkVisibility()) continue;
  const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.push([ratio, node.textContent.trim().slice(0, 40)]);
}
return found;
"""
KEPT = """
const done = arguments[0];
(async () => done([
  localStorage.length, sessionStorage.length, document.cookie.length,
  (await indexedDB.databases()).length, (await caches.keys()).length,
  (await navigator.serviceWorker.getRegistrations()).length,
]))();
"""


class Page:
    """What a reader does and sees."""

    def __init__(self, driver, url, model="standin, version 1"):
        self.driver = driver
        driver.get(url)
        if model:
            self.until(lambda: model in self.texts("#model option"))
            self.pick("model", model)
            self.until(lambda: self.shown("#case"))

    def until(self, happened):
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.wait import WebDriverWait

        # The form may be built anew while it is looked at.
        passing = [StaleElementReferenceException]
        wait = WebDriverWait(self.driver, SECONDS, 0.03, passing)
        return wait.until(lambda _: happened())

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def shown(self, selector):
        return any(element.is_displayed() for element in self.all(selector))

    def text(self, selector):
        return self.find(selector).text

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def pick(self, name, word):
        from selenium.webdriver.support.select import Select

        Select(self.find(f"#{name}")).select_by_visible_text(word)

    def type(self, column, text):
        field = self.find(f"#field-{column}")
        field.clear()
        field.send_keys(text)

    def give(self, path):
        """Chooses a file; returns what is then said under the field."""
        self.find("#file").send_keys(str(path))
        name = str(path).rpartition("/")[2]
        self.until(
            lambda: self.text("#picture-error") or self.text("#drop-title") == name
        )
        return self.text("#picture-error")

    def ask(self):
        self.find("#ask").click()
        self.until(lambda: self.text("#ask") == "Ask the model")
        return self.text("#ask-error")

    def answer(self):
        assert self.ask() == ""
        return self.texts(".scale strong")

    def stale(self):
        classes = self.find("#result").get_attribute("class").split()
        assert ("stale" in classes) == self.shown("#stale")
        return "stale" in classes

    def inputs(self):
        return dict(
            zip(self.texts(".inputs dt"), self.texts(".inputs dd"), strict=True)
        )


@pytest.fixture
def url(page_server):
    return f"http://127.0.0.1:{page_server.rest_port}/"


@pytest.fixture
def page(browser, url):
    return Page(browser, url)


@pytest.fixture
def image(tmp_path, stand_in):
    """A file of a mean grey level of 150."""
    path = tmp_path / "case one.png"
    path.write_bytes(stand_in.picture(150))
    return path


def percent(logit):
    return f"{100 / (1 + math.exp(-logit)):.1f}%"


def test_a_case_is_answered_as_by_hand(page, image):
    assert page.give(image) == ""
    page.type("age_years", "70")
    page.pick("field-margin", "clear")
    alone = (150 - 128) / 64
    assert page.answer() == [percent(alone + 1 - 0.5), percent(alone)]
    assert page.texts(".scale h3") == [
        *("Image and clinical form", "The same case, image alone")
    ]
    called = "At or above the operating point of 42.0%: called malignant."
    assert page.texts(".verdict") == [called, called]
    assert page.texts("tbody tr") == [
        "Age 70 years\n+1.00",
        "Margin clear\n\N{MINUS SIGN}0.50",
    ]
    assert page.text("tfoot .number") == "+0.50"
    inputs = page.inputs()
    assert inputs.pop("Answered at")
    assert inputs == {
        "Image": "case one.png, 120 \N{MULTIPLICATION SIGN} 90 pixels",
        "Age": "70 years",
        "Margin": "clear",
        "Not known": "BMI, Smoking",
        "Model": "standin/1",
    }
    assert page.find("#status").get_attribute("textContent") == (
        f"Probability of malignancy {percent(alone + 0.5)}. {called}"
    )


def test_the_scale_and_the_bars_stand_where_they_must(page, image):
    page.give(image)
    page.type("age_years", "40")
    page.pick("field-margin", "unclear")
    page.answer()
    places = page.run(
        """
        const box = (s) => document.querySelector(s).getBoundingClientRect();
        const line = box(".scale .line");
        const middle = (b) => ((b.left + b.right) / 2 - line.left) / line.width;
        const axis = box(".axis");
        const bars = [...document.querySelectorAll(".bar")].map((bar) => {
          const b = bar.getBoundingClientRect();
          return [b.left, b.right].map((x) => (x - axis.left) / axis.width);
        });
        return [middle(box(".marker")), middle(box(".threshold")), bars];
        """
    )
    probability = 1 / (1 + math.exp(-((150 - 128) / 64 - 0.5 + 1)))
    assert places[0] == pytest.approx(probability, abs=0.01)
    assert places[1] == pytest.approx(0.42, abs=0.01)
    # Unclear margin +1: the whole way right; age -0.5: half the way left.
    assert places[2][0] == pytest.approx([0.5, 1], abs=0.02)
    assert places[2][1] == pytest.approx([0.25, 0.5], abs=0.02)


def test_an_image_or_a_form_alone_is_a_case(page, image):
    assert "There is no case yet: choose an image or fill in a value" in page.ask()
    page.type("age_years", "30")
    assert page.answer() == [percent(-1)]
    assert page.texts(".scale h3, .verdict") == [
        *("Clinical form alone", "Below the operating point of 42.0%: called benign.")
    ]
    assert not page.shown(".stack")
    page.find("#clear").click()
    assert page.text("#status") == "No case has been read yet."
    assert page.find("#field-age_years").get_attribute("value") == ""
    page.give(image)
    assert page.answer() == [percent((150 - 128) / 64)]
    assert page.texts(".scale h3") == ["Image alone"]
    assert not page.shown("table")


def test_the_heat_map_lies_over_the_image_and_fades(page, image):
    page.give(image)
    page.answer()
    pixels = page.run(
        """
        const map = document.querySelector(".map");
        const at = (x) => [...map.getContext("2d").getImageData(x, 45, 1, 1).data];
        return [map.dataset.source, at(0), at(map.width - 1), map.style.opacity];
        """
    )
    assert pixels[0] == "120x90"
    assert pixels[1][3] == 0  # nothing there: the image shows through
    assert pixels[2] == [252, 244, 170, 255]
    assert pixels[3] == "0.6"
    boxes = page.run(
        """return [...document.querySelectorAll(".stack canvas")].map((c) => {
          const b = c.getBoundingClientRect(); return [b.x, b.y, b.width, b.height];
        })"""
    )
    assert boxes[0] == boxes[1]
    slider = page.find("#opacity")
    slider.send_keys("\ue011")  # Home
    assert page.run("return document.querySelector('.map').style.opacity") == "0"
    assert page.text("output") == "0%"
    slider.send_keys("\ue014")  # right
    assert page.text("output") == "5%"


def test_the_lesion_that_was_found_is_boxed_and_can_be_hidden(
    page, image, tmp_path, stand_in
):
    page.give(image)
    page.answer()
    places = page.run(
        """
        const box = (s) => document.querySelector(s).getBoundingClientRect();
        const [canvas, lesion] = [box(".stack canvas"), box(".stack .lesion")];
        return [
          (lesion.left - canvas.left) / canvas.width,
          (lesion.top - canvas.top) / canvas.height,
          lesion.width / canvas.width,
          lesion.height / canvas.height,
        ];
        """
    )
    assert places == pytest.approx([30 / 120, 22 / 90, 30 / 120, 23 / 90], abs=0.01)
    assert page.text(".lesion-line label") == (
        "Lesion that the model found, 92.5% sure"
    )
    page.find("#lesion-shown").send_keys(" ")
    assert not page.shown(".stack .lesion")
    page.find(".lesion-line label").click()
    assert page.shown(".stack .lesion")
    dark = tmp_path / "dark.png"
    dark.write_bytes(stand_in.picture(90))
    page.give(dark)
    page.answer()
    assert page.text(".lesion-line") == (
        "The model found no lesion in this image (25.0% sure of one; from 50.0% on one "
        "is found)."
    )
    assert not page.shown(".stack .lesion") and not page.shown("#lesion-shown")


def test_it_is_used_with_the_keyboard_alone(browser, url, image):
    from selenium.webdriver import ActionChains, Keys

    page, driver = Page(browser, url, model=None), browser

    def press(*keys):
        actions = ActionChains(driver)
        for key in keys:
            actions.send_keys(key)
        actions.perform()

    driver.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": True})
    page.until(lambda: page.shown("#case"))
    page.run(  # Without a click, from which the next Tab would start.
        """const model = document.getElementById("model");
        model.value = "1";
        model.dispatchEvent(new Event("change"));"""
    )
    page.until(lambda: page.texts("legend")[0] == "Known before the image")
    seen = []
    for _ in range(10):
        press(Keys.TAB)
        node = driver.switch_to.active_element
        seen.append(node.get_attribute("id") or node.get_attribute("class"))
        ring = page.run("return getComputedStyle(arguments[0]).outlineStyle", node)
        assert ring == "solid", seen
        if seen[-1] == "drop":
            for key in (Keys.ENTER, Keys.SPACE):
                driver.get_log("performance")
                press(key)
                page.until(
                    lambda: any(
                        "Page.fileChooserOpened" in entry["message"]
                        for entry in driver.get_log("performance")
                    )
                )
            page.give(image)
        if seen[-1] == "field-age_years":
            press("70")
        if seen[-1] == "field-margin":
            press("u")
        if seen[-1] == "ask":
            press(Keys.SPACE)
            page.until(lambda: page.shown("#opacity"))
    driver.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": False})
    assert seen == [
        *("skip", "model", "drop", "remove", "field-age_years", "field-bmi_kg_m2"),
        *("field-smoking", "field-margin", "ask", "clear"),
    ]
    press(Keys.TAB)
    assert driver.switch_to.active_element.get_attribute("id") == "opacity"
    assert page.texts(".scale strong")[0] == percent((150 - 128) / 64 + 2)
    field = page.find("#field-age_years")
    field.send_keys(Keys.BACKSPACE, "1", Keys.ENTER)  # Enter asks, too.
    page.until(lambda: page.inputs()["Age"] == "71 years")


def test_every_field_has_a_name_and_its_words(page):
    unnamed = page.run(
        """return [...document.querySelectorAll("input:not([hidden]), select, button")]
          .filter((n) => n.checkVisibility() && n.type !== "file")
          .filter((n) => !(n.labels?.length || n.textContent.trim()))
          .map((n) => n.id)"""
    )
    assert unnamed == []
    assert page.texts("fieldset legend") == [
        *("Known before the image", "Read from the image")
    ]
    assert page.texts("#fields label") == ["Age", "BMI", "Smoking", "Margin"]
    assert page.texts("#field-smoking option") == ["not known", "yes", "no"]
    assert page.texts("#field-margin option") == ["not known", "clear", "unclear"]
    assert page.text("#field-bmi_kg_m2-note") == "10 to 80 kg/m2"


@pytest.mark.parametrize("text", ["111", "0", "-5", "old", "1e2", "0x10", "1,2,3", "."])
def test_a_number_out_of_range_is_refused_at_its_field(page, image, text):
    page.give(image)
    page.type("age_years", text)
    error = page.ask()
    assert error == "A value of the form is not as expected."
    field = page.find("#field-age_years")
    assert page.driver.switch_to.active_element == field
    assert field.get_attribute("aria-invalid") == "true"
    assert "field-age_years-error" in field.get_attribute("aria-describedby")
    wanted = "Expected 1 to 110 years, or nothing if it is not known."
    assert page.text("#field-age_years-error") == wanted
    assert page.texts(".scale") == []
    page.type("age_years", " 70,5 ")
    assert page.text("#field-age_years-error") == ""
    assert page.answer()[0] == percent((150 - 128) / 64 + 20.5 / 20)


def test_a_result_is_marked_out_of_date_at_once(page, image, tmp_path, stand_in):
    page.give(image)
    page.type("age_years", "70")
    page.answer()
    assert not page.stale()
    page.find("#field-age_years").send_keys("\ue003")  # backspace: 7
    assert page.stale()
    assert "Out of date" in page.text("#stale")
    page.find("#field-age_years").send_keys("0")  # It is the same case again.
    assert not page.stale()
    page.pick("field-margin", "clear")
    assert page.stale()
    page.pick("field-margin", "not known")
    assert not page.stale()
    page.find("#remove").click()
    assert page.stale()
    page.give(image)  # The same name says nothing of what is in it.
    assert page.stale()
    page.answer()
    assert not page.stale()
    text = tmp_path / "notes.png"
    text.write_text("hello")
    page.give(text)
    assert page.stale()
    assert page.inputs()["Age"] == "70 years"


def jpeg(orientation=1, cut=None):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (200, 300), np.uint8)
    Image.fromarray(pixels).save(buffer, "jpeg", exif=exif)
    return buffer.getvalue()[:cut]


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + check


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.png", b"Dear colleague,", "notes.png is not a PNG, JPEG or BMP image."),
        ("empty.png", b"", "is not a PNG, JPEG or BMP image."),
        ("a.gif", b"GIF89a" + bytes(50), "is not a PNG, JPEG or BMP image."),
        ("a.dcm", bytes(128) + b"DICM" + bytes(50), "is a DICOM file, which this page"),
        ("huge.png", png_header(30_000, 30_000), "at most 16 megapixels"),
        ("cut.png", png_header(100, 100), "is damaged or incomplete"),
        ("turned.jpg", jpeg(6), "is turned by its EXIF data"),
        (
            "large.png",
            b"\x89PNG\r\n\x1a\n" + bytes(50 * 2**20),
            "server accepts (about",
        ),
    ],
)
def test_a_file_that_is_no_case_is_refused_in_one_line(
    page, image, tmp_path, name, content, message
):
    page.give(image)
    path = tmp_path / name
    path.write_bytes(content)
    page.run("document.getElementById('file').accept = ''")
    error = page.give(path)
    assert message in error
    assert "\n" not in error
    # The image before it must not be asked about under the new one's error.
    assert page.text("#drop-title") == "Choose an image, or drop it here"
    assert "There is no case yet" in page.ask()


def test_a_truncated_jpeg_is_an_error_in_one_line(page, tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(jpeg(cut=3000))
    error = page.give(path) or page.ask()
    assert "damaged" in error or "is the file whole?" in error
    assert "\n" not in error
    assert page.texts(".scale") == []


@pytest.mark.parametrize("kind", ["jpeg", "bmp", "png"])
def test_the_formats_are_taken_whatever_the_name(page, tmp_path, stand_in, kind):
    path = tmp_path / "IMG 0001.JPG"
    path.write_bytes(stand_in.picture(150, kind=kind))
    assert page.give(path) == ""
    (shown,) = page.answer()
    exact = 1 / (1 + math.exp(-(150 - 128) / 64))
    assert float(shown.rstrip("%")) / 100 == pytest.approx(exact, abs=0.003)


def test_an_image_of_sixteen_megapixels_is_read(page, tmp_path, stand_in):
    path = tmp_path / "large.png"
    path.write_bytes(stand_in.picture(140, size=(4000, 4000)))
    assert page.give(path) == ""
    assert page.answer() == [percent((140 - 128) / 64)]
    drawn = page.run(
        "const m = document.querySelector('.map'); return [m.width, m.height]"
    )
    assert drawn == [1200, 1200]


def test_files_are_dropped_anywhere_but_one_at_a_time(page):
    drop = """
      const data = new DataTransfer();
      for (const name of arguments[0]) data.items.add(new File(["text"], name));
      const options = { dataTransfer: data, bubbles: true, cancelable: true };
      const event = new DragEvent("drop", options);
      return !document.querySelector("h1").dispatchEvent(event);
    """
    assert page.run(drop, ["a.png", "b.png"])  # the browser must not open them
    page.until(lambda: page.text("#picture-error"))
    assert page.text("#picture-error") == "Expected one image. Received 2 files."
    page.run(drop, ["a.png"])
    page.until(lambda: "a.png is not a PNG" in page.text("#picture-error"))


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (
            400,
            {"error": "Trying to decode PNG: no"},
            "is the file whole? (Trying to de",
        ),
        (400, {"error": "bad\nvalue"}, "does not accept this case. (bad value)"),
        (408, {"error": ""}, "The answer took too long. Try again."),
        (413, {"error": ""}, "The image is larger than the server accepts."),
        (429, {"error": ""}, "The server is busy. Try again in a moment."),
        (500, {"error": "x" * 900}, "The server failed (status 500). xxx"),
        (500, "<html>", "The server failed (status 500). no reason given"),
        (503, {"error": ""}, "The server cannot answer now."),
        (504, {"error": ""}, "The answer took too long."),
        (200, "", "The server's answer could not be read."),
        (200, {"outputs": []}, "The server's answer holds no prediction."),
        (200, {"predictions": [{"logit": 1}]}, "holds no probability"),
        (200, '{"predictions": [{"probability": NaN}]}', "holds no probability"),
        (
            200,
            {"predictions": [{"probability": 0.5, "heatmap_bytes": {"b64": "AAAA"}}]},
            "The answer could not be shown.",
        ),
    ],
)
def test_each_failure_of_the_server_is_one_line(
    browser, upstream, image, status, answer, message
):
    page = Page(browser, upstream.url)
    page.give(image)
    upstream.script["predict"] = (status, answer)
    error = page.ask()
    assert message in error
    assert "\n" not in error
    assert len(error) < 250
    assert page.text("#status") == "No case has been read yet."


def test_numbers_that_json_does_not_know_do_not_break_the_answer(
    browser, upstream, image
):
    """TensorFlow Serving writes NaN; a text that holds the word stays as it is."""
    page = Page(browser, upstream.url)
    page.give(image)
    page.type("age_years", "70")
    row = (
        '{"probability": 0.25, "logit": -Infinity, "label": "benign", '
        '"model_version": "NaN \\" NaN/1", "contribution_age_years": NaN}'
    )
    upstream.script["predict"] = (200, f'{{"predictions": [{row}]}}')
    assert page.answer() == ["25.0%", "25.0%"]
    assert page.inputs()["Model"] == 'NaN " NaN/1'
    _, _, body = max(upstream.asked, key=lambda asked: len(asked[2]))
    sent = json.loads(body)["instances"][0]  # Python reads NaN.
    assert sorted(sent) == [
        *("age_years", "bmi_kg_m2", "image_bytes", "margin", "smoking")
    ]
    assert sent["age_years"] == 70
    assert math.isnan(sent["bmi_kg_m2"])
    assert (sent["smoking"], sent["margin"]) == ("", "")


def test_a_slow_answer_can_be_stopped_and_asked_again(browser, upstream, image):
    page = Page(browser, upstream.url)
    page.give(image)
    event = threading.Event()
    upstream.script["predict"] = (200, event)
    page.find("#ask").click()
    page.until(lambda: page.text("#status") == "The model is working…")
    assert page.text("#ask") == "Working…"
    assert page.find("#ask").get_attribute("aria-disabled") == "true"
    assert page.find("#result").get_attribute("aria-busy") == "true"
    before = len(upstream.asked)
    page.find("#ask").click()  # does nothing now
    page.find("#stop").click()
    page.until(lambda: page.text("#ask") == "Ask the model")
    assert page.text("#status") == "Stopped: there is no answer to this case."
    assert not page.shown("#stop")
    event.set()
    assert len(upstream.asked) == before
    upstream.script["predict"] = (200, {"predictions": [{"probability": 0.5}]})
    assert page.answer() == ["50.0%"]


def test_an_answer_to_an_older_case_is_marked_when_it_comes(browser, upstream, image):
    page = Page(browser, upstream.url)
    page.give(image)
    event = threading.Event()
    upstream.script["predict"] = (429, event)
    page.find("#ask").click()
    page.until(lambda: page.text("#ask") == "Working…")
    page.type("age_years", "33")
    upstream.script["predict"] = (200, {"predictions": [{"probability": 0.5}]})
    event.set()
    page.until(lambda: page.text("#ask") == "Ask the model")
    assert page.answer() == ["50.0%", "50.0%"]
    page.type("age_years", "34")
    assert page.stale()
    assert page.inputs()["Age"] == "33 years"


def test_a_server_that_has_gone_is_told(browser, page_models, serving, image):
    options = ServerOptions(page_models, page=True)
    with serving.RunningServer(options) as running:
        page = Page(browser, f"http://127.0.0.1:{running.rest_port}/")
        page.give(image)
        page.answer()
    page.type("age_years", "70")
    assert page.ask() == "The server does not answer. Is it still running?"
    assert page.stale()


def test_the_token_is_asked_for_and_kept_nowhere(browser, page_models, serving, image):
    token = "a-token-of-some-length"
    options = ServerOptions(page_models, page=True, token=token)
    with serving.RunningServer(options) as running:
        address = f"http://127.0.0.1:{running.rest_port}/"
        page = Page(browser, address, model=None)
        page.until(lambda: page.shown("#token-form"))
        assert page.text("#notice") == "This server asks for a token."
        for wrong in ("wrong", "wröng ✓"):
            page.find("#token").send_keys(wrong + "\n")
            page.until(lambda: "token" in page.text("#notice").lower())
            assert not page.shown("#case")
        page.find("#token").clear()
        page.find("#token").send_keys(token + "\n")
        page.until(lambda: page.shown("#case"))
        assert not page.shown("#token-form")
        page.pick("model", "standin, version 1")
        page.until(lambda: page.all("#field-margin"))
        page.give(image)
        assert page.answer() == [percent((150 - 128) / 64)]
        assert page.driver.execute_async_script(KEPT) == [0] * 6
        assert token not in page.driver.page_source
        page.driver.refresh()
        page.until(lambda: page.shown("#token-form"))


def test_nothing_leaves_the_origin_and_nothing_is_kept(page, url, image):
    page.give(image)
    page.type("age_years", "70")
    page.answer()
    messages = [
        json.loads(entry["message"])["message"]
        for entry in page.driver.get_log("performance")
    ]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) > 10
    assert [address for address in asked if not address.startswith(url)] == []
    assert page.driver.execute_async_script(KEPT) == [0] * 6
    cookies = page.driver.execute_cdp_cmd("Network.getAllCookies", {})
    assert cookies["cookies"] == []
    assert page.driver.get_log("browser") == []  # nor a report of the policy
    # The policy would not let it, either.
    reached = page.driver.execute_async_script(
        """const done = arguments[0];
        fetch("http://localhost:1/").then(() => done("reached"), () => {});
        document.addEventListener("securitypolicyviolation", (e) => done(e.blockedURI));
        """
    )
    assert reached == "http://localhost:1/"


def test_two_readers_at_once_get_the_answers_to_their_own_cases(
    chromium, browser, url, tmp_path, stand_in
):
    pages = [Page(browser, url), Page(chromium(), url)]
    for turn in range(4):
        cases = []
        for number, page in enumerate(pages):
            grey, age = 60 + 40 * turn + 15 * number, 40 + 10 * turn + 5 * number
            path = tmp_path / f"case {turn} of {number}.png"
            path.write_bytes(stand_in.picture(grey))
            page.give(path)
            page.type("age_years", str(age))
            logit = (grey - 128) / 64
            cases.append((path.name, age, logit))
        for page in pages:
            page.find("#ask").click()
        for page, (name, age, logit) in zip(pages, cases, strict=True):
            page.until(lambda p=page, n=name: n in p.inputs().get("Image", ""))
            assert page.texts(".scale strong") == [
                *(percent(logit + (age - 50) / 20), percent(logit))
            ]
            assert page.inputs()["Age"] == f"{age} years"


def emulate(page, width, height=450, dark=False):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": False}
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


# 640: a window of 1280 at 200%. 320: one of 1280 at 400%, as WCAG 1.4.10 asks.
@pytest.mark.parametrize("width", [320, 640, 820, 1280, 1920])
def test_it_is_readable_without_scrolling_sideways(page, image, width):
    emulate(page, width)
    page.give(image)
    page.type("age_years", "70")
    page.type("bmi_kg_m2", "500")
    page.ask()
    page.type("bmi_kg_m2", "25")
    page.answer()
    page.type("bmi_kg_m2", "500")
    wide = """
      const page = document.documentElement;
      const beyond = (n) => n.getBoundingClientRect().right > page.clientWidth + 1;
      const out = [...document.querySelectorAll("body *")].filter(
        (n) => n.checkVisibility() && !n.matches(".skip") && beyond(n));
      const names = out.map((n) => n.className || n.tagName);
      return [page.scrollWidth - page.clientWidth, names];
    """
    assert page.run(wide) == [0, []]


def test_an_answer_below_the_form_is_brought_into_view(page, image):
    emulate(page, 640, 360)
    page.give(image)
    page.answer()
    title = page.run(
        """const box = document.getElementById("result-title").getBoundingClientRect();
        return [box.top, innerHeight - box.bottom]"""
    )
    assert min(title) > 0


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_its_ground(page, image, tmp_path, dark):
    emulate(page, 1280, 900, dark=dark)
    page.give(image)
    page.type("age_years", "70")
    page.answer()
    page.type("age_years", "700")
    text = tmp_path / "notes.png"
    text.write_text("hello")
    page.give(text)
    page.ask()
    contrasts = page.run(CONTRASTS)
    assert len(contrasts) > 50
    assert [contrast for contrast in contrasts if contrast[0] < 4.5] == []


def test_words_of_others_are_shown_as_words(browser, upstream, tmp_path, stand_in):
    page = Page(browser, upstream.url)
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_bytes(stand_in.picture(150))
    page.give(path)
    row = {"probability": 0.5, "model_version": "<script>alert(1)</script>"}
    upstream.script["predict"] = (200, {"predictions": [row]})
    page.answer()
    assert page.inputs()["Image"].startswith(path.name)
    assert page.inputs()["Model"] == row["model_version"]
    assert page.all("main img, main script") == []


def test_a_model_without_a_sheet_is_asked_all_the_same(page, image):
    page.give(image)
    page.type("age_years", "70")
    page.pick("model", "older, version 1")
    page.until(lambda: "has no model sheet" in page.text("#about-text"))
    page.until(lambda: page.texts("legend") == ["Further values"])
    assert not page.shown("#synthetic")
    labels = ["Age years", "BMI kg m2", "Margin", "Smoking"]
    assert page.texts("#fields label") == labels
    page.type("margin", "clear")
    assert page.find("#field-age_years").get_attribute("value") == "70"
    assert page.answer() == [percent((150 - 128) / 64 + 1 - 0.5)]
    assert page.texts(".verdict") == [
        "The model stores no operating point, so the case is not called."
    ]
    assert not page.shown(".threshold")
    assert page.text("#answer").count("This model gives no heat map.") == 1


@contextmanager
def page_of_sheets(browser, upstream, serving, stand_in, folder, *versions, keep=None):
    """The page on models of these sheets; the scripted upstream answers for all."""
    for number, changes in enumerate(versions, start=1):
        version = folder / "mine" / str(number)
        version.mkdir(parents=True)
        stand_in.write_sheet(version, {**stand_in.SHEET, **changes})
    options = ServerOptions(
        folder, rest_port=serving.free_port(), page=True, keep_versions=keep
    )
    with front_of(options, upstream.server_address[1]):
        newest = f"mine, version {len(versions)}"
        yield Page(browser, options.url(options.rest_port), newest)


def about(page):
    pairs = zip(page.texts("#about dt"), page.texts("#about dd"), strict=True)
    return dict(pairs)


def test_a_synthetic_model_says_so_loudly(page):
    assert page.text("#synthetic").startswith("SYNTHETIC This model has learned from")
    assert about(page) == {
        "Model": "standin, version 1, written on 2026-03-04",
        "Trained on": "SYNTHETIC, no patients: phantoms v1, seed 0",
        "Synthetic patients": (
            "72 to train (24 malignant), 18 to choose settings (6 malignant), "
            "30 to test (10 malignant)"
        ),
        "Images": "144 to train, 36 to choose settings, 60 to test",
        "AUC on test": "0.912 (95% interval 0.831 to 0.957), on 30 synthetic patients",
        "Operating point": "42.0%; Youden's index on validation",
        "There, on test": (
            "sensitivity 90.0% (95% interval 59.6% to 98.2%), specificity 100.0% "
            "(no interval)"
        ),
    }
    assert "It does not diagnose" in page.text("#about")


def test_what_is_known_of_a_model_follows_its_sheet(
    browser, upstream, serving, stand_in, tmp_path, image
):
    real = {**stand_in.SHEET["trained_on"], "synthetic": False, "source": "clinic.csv"}
    auc = {"value": 1.0, "low": None, "high": None, "level": 0.9}
    undefined = {"roc_auc": {**auc, "value": None}, "patients": 2}
    versions = [
        {"test": undefined},
        {"trained_on": real, "test": {"roc_auc": auc, "patients": 4}},
        {"trained_on": real, "test": None, "operating_point": None},
    ]
    with page_of_sheets(
        browser, upstream, serving, stand_in, tmp_path, *versions
    ) as page:
        assert not page.shown("#synthetic")
        assert about(page)["Trained on"] == "clinic.csv"
        assert "Patients" in about(page)
        assert about(page)["AUC on test"] == "never evaluated on test patients"
        assert about(page)["Operating point"].startswith("none is stored")
        page.pick("model", "mine, version 2")
        assert about(page)["AUC on test"] == "1.000 (no interval), on 4 patients"
        page.pick("model", "mine, version 1")
        assert about(page)["AUC on test"] == "undefined, on 2 synthetic patients"
        assert page.shown("#synthetic")
        # A result says it of the model that gave it.
        upstream.script["predict"] = (200, {"predictions": [{"probability": 0.5}]})
        page.give(image)
        page.answer()
        page.pick("model", "mine, version 2")
        page.until(lambda: page.shown("#stale"))
        assert not page.shown("#synthetic")
        assert page.text(".tag").startswith("SYNTHETIC")
        page.answer()
        assert not page.shown(".tag")


def test_a_version_that_is_gone_is_followed_by_the_newest(
    browser, upstream, serving, stand_in, tmp_path, image
):
    with page_of_sheets(
        browser, upstream, serving, stand_in, tmp_path, {}, keep=1
    ) as page:
        page.give(image)
        page.type("age_years", "70")
        (tmp_path / "mine" / "2").mkdir()
        stand_in.write_sheet(tmp_path / "mine" / "2", stand_in.SHEET)
        upstream.script["predict"] = (404, {"error": "Servable not found"})
        assert page.ask() == (
            "mine, version 1, is no longer served. Now chosen: mine, version 2. Ask "
            "again."
        )
        assert page.find("#field-age_years").get_attribute("value") == "70"
        upstream.script["predict"] = (200, {"predictions": [{"probability": 0.5}]})
        assert page.answer() == ["50.0%", "50.0%"]
        assert upstream.asked[-1][1] == "/v1/models/mine/versions/2:predict"


def test_a_model_that_the_page_cannot_ask_is_refused_clearly(
    browser, upstream, serving, stand_in, tmp_path
):
    _, metadata = upstream.script["metadata"]
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    text = {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "-1"}]}}
    pixels = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{}, {}, {}]}}
    for found, message in (
        ({}, "neither the signature `explain` nor `serving_default`"),
        ({"explain": {"inputs": {"x": text}, "outputs": {"y": text}}}, "`probability`"),
        (
            {"explain": {"inputs": {"x": pixels}, "outputs": {"probability": text}}},
            "wants “x”",
        ),
    ):
        signatures.clear()
        signatures.update(found)
        page = Page(browser, upstream.url, model=None)
        page.until(lambda p=page: p.shown("#notice"))
        assert message in page.text("#notice")
        assert not page.shown("#ask")
    upstream.script["metadata"] = (503, {"error": ""})
    page = Page(browser, upstream.url, model=None)
    page.until(lambda: page.shown("#notice"))
    assert page.text("#notice").startswith("The server cannot answer now.")


def test_a_model_of_the_form_alone_asks_for_no_image(
    browser, upstream, serving, stand_in, tmp_path
):
    _, metadata = upstream.script["metadata"]
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    del signatures["image_only"]
    for signature in signatures.values():
        signature["inputs"].pop("image_bytes", None)
    with page_of_sheets(
        browser, upstream, serving, stand_in, tmp_path, {"inputs": "clinical"}
    ) as page:
        assert not page.shown("#drop")
        assert page.ask() == "There is no case yet: fill in a value."
        page.type("age_years", "70")
        row = {"probability": 0.5, "contribution_age_years": 0.25}
        upstream.script["predict"] = (200, {"predictions": [row]})
        assert page.answer() == ["50.0%"]
        assert page.texts("#answer h3") == [
            *("Clinical form alone", "What each clinical value contributed"),
            "Inputs of this result",
        ]
        assert b"image_bytes" not in upstream.asked[-1][2]


def test_without_a_model_the_page_says_so(browser, upstream, serving, tmp_path):
    (tmp_path / "mine" / "1").mkdir(parents=True)
    options = ServerOptions(tmp_path, rest_port=serving.free_port(), page=True)
    with front_of(options, upstream.server_address[1]):
        shutil.rmtree(tmp_path / "mine")
        page = Page(browser, options.url(options.rest_port), model=None)
        page.until(lambda: page.shown("#notice"))
        assert page.text("#notice").startswith("No model is served now.")
