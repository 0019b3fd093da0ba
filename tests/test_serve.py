import html
import io
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import werkzeug.serving
from flask.testing import FlaskClient
from PIL import Image

from tests import toys
from tests.toys import TOY_DATA
from tfmodels import cli
from tfmodels.data.catalog import DATASETS
from tfmodels.prediction.networks import predictor
from tfmodels.runs.contents import open_run
from tfmodels.serve import explaining
from tfmodels.serve.app import create_app
from tfmodels.serve.explaining import Explainer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def client(toy_runs: list[Path]) -> FlaskClient:
    """A client of the page for two runs and their fusion."""
    return create_app([open_run(toy_runs[2])], ["localhost"]).test_client()


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def post(client: FlaskClient, content: bytes, name: str = "own.png") -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as own, mock.patch.object(tempfile, "tempdir", own):
        response = client.post("/", data={"image": (io.BytesIO(content), name)})
        assert list(Path(own).iterdir()) == []  # nothing stays
    return response.status_code, response.get_data(as_text=True)


def shares(text: str) -> list[dict[str, float]]:
    """Return the probabilities, in percent, in each of a page's sections."""
    sections = text.split("<section>")[1:]
    bar = r"<span>(\w+)</span><span>([\d.]+) %</span>"
    return [{name: float(share) for name, share in re.findall(bar, part)} for part in sections]


def test_members_and_their_fusion_answer_side_by_side(
    client: FlaskClient, toy_runs: list[Path]
) -> None:
    image = toys.arrays(1, 99)[0]
    status, text = post(client, png(image[0]))
    assert status == 200
    found = shares(text)
    assert len(found) == 3
    for path, answer in zip(toy_runs, found, strict=True):
        classify, _ = predictor(open_run(path))
        expected = classify({(8, 8, 3): image})[0]
        names = ("red", "green", "blue")
        for name, probability in zip(names, expected, strict=True):
            assert answer[name] == pytest.approx(100 * probability, abs=0.02)
        assert list(answer.values()) == sorted(answer.values(), reverse=True)
    assert text.count('alt="what speaks for') == 2
    assert f"Split of the training: {open_run(toy_runs[0]).config['dataset']['split']}" in text


def test_the_nearest_training_images(toy_runs: list[Path], tmp_path: Path) -> None:
    explainer = Explainer([open_run(toy_runs[0])])
    training = toys.arrays(60, 0)
    for row in (3, 40):
        path = tmp_path / "image.png"
        Image.fromarray(training[0][row]).save(path)
        _, (answer,) = explainer.answer(path)
        first, *others = answer.neighbours
        assert first.cosine == pytest.approx(1, abs=1e-5)
        assert first.image.tolist() == training[0][row].tolist()
        assert first.label == ("red", "green", "blue")[training[1][row]]
        assert [one.cosine for one in others] == sorted(
            (one.cosine for one in others), reverse=True
        )
        assert len(answer.neighbours) == 5


def test_without_the_training_data_all_else_is_there(
    toy_runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(DATASETS, "toy")
    runs = [open_run(path) for path in toy_runs[:2]]
    client = create_app(runs, ["localhost"]).test_client()
    monkeypatch.setitem(DATASETS, "toy", TOY_DATA)
    assert "no nearest training images" in capsys.readouterr().err
    _, text = post(client, png(toys.arrays(1, 99)[0][0]))
    assert "mean of all" in text
    assert "Nearest training images" not in text


def test_examples_are_test_images(client: FlaskClient, toy_runs: list[Path]) -> None:
    fused, members = open_run(toy_runs[2]), [open_run(path) for path in toy_runs[:2]]
    assert not fused.has("sample.npz")  # so the examples are those of its members
    names = sorted(members[0].images("sample.npz"))
    names = [names[round(i * (len(names) - 1) / 11)] for i in range(12)]
    text = client.get("/").get_data(as_text=True)
    assert re.findall(r'href="/example/(\d+)"', text) == [str(i) for i in range(len(names))]
    response = client.get("/example/2")
    assert response.status_code == 200
    assert f'<h2 id="answers">{names[2]}</h2>' in response.get_data(as_text=True)
    assert client.get("/example/99").status_code == 404
    assert client.get("/example/-1").status_code == 404


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no image", "not a JPEG, PNG, WebP or TIFF image"),
        (b"", "not a JPEG, PNG, WebP or TIFF image"),
        (b"<svg onload=alert(1)>", "not a JPEG, PNG, WebP or TIFF image"),
        (png(np.arange(10800, dtype=np.uint8).reshape(60, 60, 3) ** 2)[:120], "own.png: "),
    ],
)
def test_hostile_files_are_refused(client: FlaskClient, content: bytes, message: str) -> None:
    status, text = post(client, content)
    assert status == 400
    assert message in html.unescape(text)


def test_sizes_are_bounded(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MOST_PIXELS", 99)
    status, text = post(client, png(np.zeros((10, 10, 3), np.uint8)))
    assert status == 400
    assert "10x10 pixels" in text
    monkeypatch.setitem(client.application.config, "MAX_CONTENT_LENGTH", 100)
    status, text = post(client, bytes(1000))
    assert status == 413
    assert "the file has more than 20 MiB" in text


def test_names_are_text_and_other_sites_get_nothing(client: FlaskClient) -> None:
    _, text = post(client, b"x", name="<script>alert(1)</script>.png")
    assert "<script>alert" not in text
    assert client.post("/").status_code == 400
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{dir}", "is not a complete run directory"),
        ("{run} --port 0", "--port is 0: it must be from 1 to 65535"),
        ("{run} --port x", "invalid int value"),
    ],
)
def test_wrong_calls(
    line: str,
    message: str,
    toy_runs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["serve", *line.format(run=toy_runs[0], dir=tmp_path).split()]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def address(toy_runs: list[Path]) -> Iterator[str]:
    """The address of the page, served on loopback."""
    app = create_app([open_run(path) for path in toy_runs[:2]], ["127.0.0.1"])
    server = werkzeug.serving.make_server("127.0.0.1", 0, app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_in_a_browser(width: int, scheme: str, address: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    own = tmp_path / "own.png"
    own.write_bytes(png(toys.arrays(1, 99)[0][0]))
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        errors: list[object] = []
        for kind in ("pageerror", "requestfailed"):
            page.on(kind, lambda error: errors.append(error))  # noqa: PLW0108  # it asks for a def
        page.goto(address)
        page.set_input_files("#image", own)
        page.wait_for_selector("#answers")
        assert page.inner_text("#answers") == "own.png"
        assert page.locator("section").count() == 3
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator(".examples a").first.click()
        page.wait_for_url("**/example/0")
        assert page.locator("section .bar").count() == 9
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 300) == (scheme == "dark")
        assert errors == []
        browser.close()
