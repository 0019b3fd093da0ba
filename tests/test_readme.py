"""What the README promises is so."""

import re

import pytest

from tests.conftest import ROOT
from tfmodels import cli
from tfmodels.config import ARCHITECTURES

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_flag_is_listed_with_its_default():
    rows = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \| ([^|]*?) ?\|", README, re.MULTILINE))
    parsers = [cli.training_parser(part) for part in (cli.CIFAR, cli.EUROSAT)]
    parsers.append(cli.fusing_parser())
    actions = [action for parser in parsers for action in parser._actions if action.option_strings]
    assert set(rows) == {action.option_strings[-1] for action in actions}
    for action in actions:
        flag = action.option_strings[-1]
        if isinstance(action.default, int | float) and not isinstance(action.default, bool):
            assert rows[flag] == str(action.default)


def test_every_module_is_listed():
    modules = {
        str(path.relative_to(ROOT / "tfmodels").with_suffix("")).replace("/", ".")
        for path in (ROOT / "tfmodels").rglob("*.py")
        if path.name != "__init__.py"
    }
    table = README[README.index("| module of `tfmodels`") :]
    assert (
        set(re.findall(r"`([a-z0-9_.]+)`", table[: table.index("\n\n")])) - {"tfmodels"} == modules
    )


def test_the_five_lines_of_python_work(sample_dir, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(sample_dir.parent))
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in block.splitlines() if line]) == 5
    exec(compile(block, "README.md", "exec"), {})
    assert float(capsys.readouterr().out.splitlines()[-1]) > 0.8


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_every_networks_image_size_is_named():
    row = next(line for line in README.splitlines() if line.startswith("| `--image-size`"))
    for name, known in ARCHITECTURES.items():
        assert re.search(rf"{known.image_size} for [^,|]*`{name}`", row)
        assert f"{known.smallest} for `{name}`" in README
