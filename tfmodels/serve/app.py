"""The page's server: one image is uploaded or chosen, and all networks answer."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, request
from PIL import Image
from werkzeug.exceptions import RequestEntityTooLarge

from tfmodels.errors import RunError
from tfmodels.report.templates import TEMPLATES
from tfmodels.runs.contents import Run
from tfmodels.serve.explaining import Explainer

LARGEST_UPLOAD = 20 * 2**20  # bytes
EXAMPLES = 12


Response = tuple[str, int]  # page and status


def create_app(runs: Sequence[Run], hosts: list[str] | None) -> Flask:
    """Return the application of the page for some runs.

    Args:
        runs: that answer.
        hosts: names by which the page may be asked for, so that pages of other sites can't; None
            allows all.

    Raises:
        RunError: as of `Explainer`.
    """
    site = _Site(runs)
    app = Flask("tfmodels", static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_UPLOAD, TRUSTED_HOSTS=hosts)
    app.add_url_rule("/", "start", site.page)
    app.add_url_rule("/", "upload", site.upload, methods=["POST"])
    app.add_url_rule("/example/<int:number>", "example", site.example)
    app.register_error_handler(RequestEntityTooLarge, site.too_large)
    return app


class _Site:
    """What the page answers."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.explainer = Explainer(runs)
        self.examples = _examples([network.run for network in self.explainer.networks])
        self.dataset = runs[0].config["dataset"]

    def page(self, status: int = 200, **found: Any) -> Response:
        """Return the page with its form, and with answers or an error."""
        values: dict[str, Any] = {"name": "", "image": None, "answers": [], "error": ""} | found
        page = TEMPLATES.get_template("serve.html").render(
            **values,
            examples=self.examples,
            dataset=self.dataset,
        )
        return page, status

    def upload(self) -> Response:
        """Answer for an uploaded image, which is kept only meanwhile."""
        file = request.files.get("image")
        if file is None or not file.filename:
            return self.page(400, error="choose an image first")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image"
            file.save(path)
            return self._answer(file.filename, path)

    def example(self, number: int) -> Response:
        """Answer for a test image."""
        if number >= len(self.examples):
            return self.page(404, error=f"there is no example {number}")
        name, image = list(self.examples.items())[number]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image.png"
            Image.fromarray(image).save(path)
            return self._answer(name, path)

    def too_large(self, error: RequestEntityTooLarge) -> Response:
        """Say how large a file may be."""
        return self.page(413, error=f"the file has more than {LARGEST_UPLOAD // 2**20} MiB")

    def _answer(self, name: str, path: Path) -> Response:
        try:
            image, answers = self.explainer.answer(path)
        except RunError as error:
            return self.page(400, error=f"{name}: {str(error).removeprefix(f'{path}: ')}")
        return self.page(name=name, image=image, answers=answers)


def _examples(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """Return some test images that runs hold, by their names."""
    for run in runs:
        if run.has("sample.npz"):
            found = run.images("sample.npz")
            names = sorted(found)  # by class, where names begin with it
            rows = np.unique(np.linspace(0, len(names) - 1, EXAMPLES).round().astype(int))
            return {names[row]: found[names[row]] for row in rows}
    return {}
