"""What README and docs promise is so."""

import argparse
import dataclasses
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tfmodels.commands import fusing, searching, training
from tfmodels.config import Config, flag, kind
from tfmodels.data.catalog import DATASETS, FOLDER, SPLIT_FOLDER
from tfmodels.models.catalog import NETWORKS

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
README, REFERENCE, EXTENDING = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/REFERENCE.md", "docs/EXTENDING.md")
)
FLAGS = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| ([^|]*?) ?\|", REFERENCE, re.MULTILINE))


def options() -> list[argparse.Action]:
    parsers = []
    for fill, values in (
        (training.fill_training, {"table": training.TABLE1}),
        (training.fill_training, {"table": training.TABLE3}),
        (fusing.fill_fusing, {}),
        (searching.fill_searching, {}),
    ):
        parser = argparse.ArgumentParser()
        fill(parser, **values)
        parsers.append(parser)
    return [action for parser in parsers for action in parser._actions if action.option_strings]


def test_every_flag_is_listed() -> None:
    longs = [[name for name in action.option_strings if name[1] == "-"] for action in options()]
    assert set(FLAGS) == {names[0] for names in longs}


def test_every_default_is_listed() -> None:
    for field in dataclasses.fields(Config):
        if kind(field) is not bool and field.default is not None and field.name != "data":
            assert FLAGS[flag(field.name)] == str(field.default)


def test_every_network_is_listed_with_its_image_sizes() -> None:
    for name, spec in NETWORKS.items():
        row = next(
            line for line in REFERENCE.splitlines() if re.match(rf"\| .*`{name}`.*\| ", line)
        )
        assert f"| {spec.image_size}, {spec.smallest} |" in row


def test_every_data_set_is_listed_with_its_split_schemes() -> None:
    for name in DATASETS:
        assert re.search(rf"^\| .*`{name}`", REFERENCE, re.MULTILINE)
    for spec in (*DATASETS.values(), FOLDER, SPLIT_FOLDER):
        for scheme in spec.split_schemes:
            assert f"`{scheme}`" in REFERENCE


def test_every_module_is_listed() -> None:
    modules = {
        str(path.relative_to(ROOT / "tfmodels").with_suffix("")).replace("/", ".")
        for path in (ROOT / "tfmodels").rglob("*.py")
        if not path.name.startswith("__")
    }
    table = EXTENDING[EXTENDING.index("| module of `tfmodels`") :]
    named = set(re.findall(r"`([a-z0-9_.]+)`", table[: table.index("\n\n")]))
    assert named - {"tfmodels"} == modules


def test_the_lines_of_python_work(
    cache: Path, sample_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    first = blocks[0].replace('data="sample"', f'data="sample", data_dir={str(sample_dir)!r}')
    exec(compile(first, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1].lower() == "<!doctype html>"
    exec(compile(blocks[1], "README.md", "exec"), {})
    assert (tmp_path / "runs" / "own" / "report.html").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {
                re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings
            }
