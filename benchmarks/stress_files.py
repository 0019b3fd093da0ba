"""Parts of the stress program about files: damaged artefacts, hostile files, wrong command lines.

They run in one process, but for the wrong command lines, on a tiny network and a small data set.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stress_processes import ROOT, Workshop, fresh
from tests.hostile import DAMAGES, HOSTILE, damage, peak_growth, ran
from tests.toys import TOY_NETWORK
from tfmodels import cli
from tfmodels.models.catalog import NETWORKS
from tfmodels.runs.manifest import write_manifest

TRAIN = "train --data sample --limit 40 --model toy --batch-size 16 --out OUT --seed 0"
# MiB of memory that refusing a file may take: weights may take twice as much as AlexNet, which is
# built first, and an image what Pillow's largest takes.
LARGEST_GROWTH = {"weights": 3 * 238, "image": 268}
OTHER_GROWTH = 64
SECONDS = 0.3  # for a wrong command line to be answered
Answer = tuple[int, str, str]


def call(*arguments: str) -> Answer:
    """Run a command in this process; return its exit code, output and error output."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(arguments)
    return code, out.getvalue(), err.getvalue()


def fault(answer: Answer, *paths: Path) -> str:
    """Return what is wrong with the answer to damaged files: one must be refused by name."""
    code, _, err = answer
    last = err.strip().splitlines()[-1] if err.strip() else ""
    if code not in (1, 2) or "unexpected" in err or "Traceback" in err:
        return f"exit {code}: {err[-300:]}"
    if not last.startswith("tfmodels: "):
        return f"more than one line: {err[-300:]}"
    names = [name for path in paths for name in (path.name, str(path.parent))]
    return "" if any(name in last for name in names) else f"unnamed: {last}"


@contextlib.contextmanager
def environment(**values: Path) -> Iterator[None]:
    """Set environment variables for a block."""
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def prepare(workshop: Workshop) -> Path:
    """Return a folder with two runs, a fusion, an unfinished run, a data set and a cache."""
    NETWORKS["toy"] = TOY_NETWORK
    base = workshop.folder / "base"
    if not (base / "ready").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        with environment(XDG_CACHE_HOME=base / "cache", TFDS_DATA_DIR=base / "data"):
            for name, more in (("a", []), ("b", ["--augment"])):
                done = call(*train(base), "--epochs", "2", "--name", name, *more)
                assert done[0] == 0, done[2]
            done = call("fuse", str(base / "a"), str(base / "b"), "--out", str(base), "--name", "f")
            assert done[0] == 0, done[2]
        shutil.copytree(base / "a", base / "c.incomplete")
        for name in ("manifest.json", "predictions.npz", "metrics.json", "report.html"):
            (base / "c.incomplete" / name).unlink()
        (base / "ready").touch()
    return base


def train(base: Path) -> list[str]:
    """Return the command line of a training in a folder."""
    return TRAIN.replace("OUT", str(base)).split()


def readers(path: Path, copy: Path) -> dict[str, Callable[[], Answer]]:
    """Return the commands that read a file of the folder, by name."""
    a, b, f = (str(copy / name) for name in "abf")

    def go_on(name: str) -> Answer:
        """Train a run, or go on with it, and return its predictions in place of words."""
        answer = call(*train(copy), "--epochs", "2", "--name", name)
        return answer if answer[0] else (0, predictions(copy / name), "")

    def report(*runs: Path) -> Answer:
        """Write a report, which is the answer."""
        page = copy / "page.html"
        answer = call("report", *map(str, runs), "--out", str(page))
        return answer if answer[0] else (0, page.read_text(), "")

    top = path.relative_to(copy).parts[0]
    if top == "c.incomplete":
        return {"page": lambda: report(copy / top), "continue": lambda: go_on("c")}
    if top in ("cache", "data"):
        return {"train": lambda: go_on("new")}
    return {
        "report": lambda: report(*(copy / name for name in "abf")),
        "fuse": lambda: call("fuse", a, b, "--out", str(copy), "--name", "g"),
        "verify": lambda: call("verify", a, f),
    }


def predictions(run: Path) -> str:
    """Return the predictions of a run as text, to be compared."""
    with np.load(run / "predictions.npz") as arrays:
        return str({name: arrays[name].tobytes().hex() for name in arrays})


def damaged(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Damage a file of a run, fusion, state, data set or cache, and read it by every command."""
    base = prepare(workshop)
    with fresh(workshop.folder / f"damaged{os.getpid()}") as folder:
        copy = folder / "copy"
        shutil.copytree(base, copy)
        path, other, kind = choose(copy, rng)
        if kind in DAMAGES:
            damage(path, kind, rng, other)
        else:
            change(path, kind, rng)
        with environment(XDG_CACHE_HOME=copy / "cache", TFDS_DATA_DIR=copy / "data"):
            faults = []
            for name, reader in readers(path, copy).items():
                answer = reader()
                problem = fault(answer, path, other) if answer[0] else ""
                # What a stranger wrote can be shown as it is, but for predictions; and no manifest
                # tells what the page of an unfinished run should be.
                compared = name != "page" and (kind in DAMAGES or name != "report")
                if not answer[0] and compared and not same(name, answer, path, copy, base):
                    problem = "another result"
                faults += [f"{name}: {problem}"] * bool(problem)
        return f"{kind}: {path.relative_to(copy)}", "; ".join(faults)


def choose(copy: Path, rng: np.random.Generator) -> tuple[Path, Path, str]:
    """Return a file, another of its kind, and a damage that there is for such files."""
    tops = ("a", "b", "f", "c.incomplete", "cache")
    files = [path for path in (copy / str(rng.choice(tops))).rglob("*") if path.is_file()]
    files = sorted(path for path in files if path.suffix != ".lock")
    path = files[int(rng.integers(len(files)))]
    others = sorted(
        other
        for other in copy.rglob(f"*{path.suffix}")
        if other.is_file() and other.read_bytes() != path.read_bytes()
    )
    kinds = [kind for kind in DAMAGES if others or kind != "swap"]
    if path.suffix == ".npz":
        kinds += ["other arrays"] * 3
    if path.suffix == ".json" and path.name != "manifest.json":
        kinds += ["other JSON"] * 8
    other = others[int(rng.integers(len(others)))] if others else path
    return path, other, str(rng.choice(kinds))


EXPECTED: dict[str, str] = {}


def same(name: str, answer: Answer, path: Path, copy: Path, base: Path) -> bool:
    """Return whether a command that succeeded gave what it gives of good files."""
    if name not in EXPECTED:
        with fresh(copy.parent / "good") as folder:
            good = folder / copy.name
            shutil.copytree(base, good)
            with environment(XDG_CACHE_HOME=good / "cache", TFDS_DATA_DIR=good / "data"):
                found = readers(good / path.relative_to(copy), good)[name]()[1]
            EXPECTED[name] = found.replace(str(good), "")
    return answer[1].replace(str(copy), "") == EXPECTED[name]


def change(path: Path, kind: str, rng: np.random.Generator) -> None:
    """Write other content, as a stranger would who makes the manifest anew."""
    if kind == "other JSON":
        content = json.loads(path.read_text())
        mutate(content, rng)
        path.write_text(json.dumps(content))
    else:
        with np.load(path) as arrays:
            content = dict(arrays)
        key = str(rng.choice(list(content)))
        array = content.pop(key)
        changed = [
            array.reshape(-1)[:1].reshape(()) if array.size else array[None],
            array[None],
            array.astype("S8"),
            np.zeros(array.shape, "complex64"),
            np.full(array.shape, -1),
        ]
        number = int(rng.integers(len(changed) + 1))
        np.savez(path, **content, **({key: changed[number]} if number < len(changed) else {}))
    run = next((folder for folder in path.parents if (folder / "manifest.json").exists()), None)
    if run is not None:
        write_manifest(run)


def mutate(content: Any, rng: np.random.Generator) -> None:
    """Remove a key somewhere in a JSON value, or put a value of another type there."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        if rng.random() < 0.3 and isinstance(place, dict):
            del place[key]
        else:
            values: list[Any] = [None, -1, 10**30, 1.5, "text", [], {}, [[["x"]]], True, "\x1b[31m"]
            place[key] = values[int(rng.integers(len(values)))]
        return


def hostile(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Give each kind of hostile file to each command that reads a file, and measure memory."""
    base = prepare(workshop)
    kinds = list(HOSTILE)
    places = ("weights", "archive", "image", "run file", "list")
    kind, place = kinds[number // len(places) % len(kinds)], places[number % len(places)]
    with fresh(workshop.folder / f"hostile{os.getpid()}") as folder:
        path, line = given(place, kind, folder, base)
        HOSTILE[kind](path)
        before = set(folder.rglob("*"))
        answers: list[Answer] = []
        with environment(XDG_CACHE_HOME=base / "cache", TFDS_DATA_DIR=base / "data"):
            call(*line)  # imports what it needs
            grown = peak_growth(lambda: answers.append(call(*line))) / 2**20
        problem = fault(answers[0], path, path.parent)
        written = set(folder.rglob("*")) - before
        if ran(path).exists():
            problem = "it was executed"
        elif written:
            problem = f"written: {sorted(map(str, written))[:3]}"
        elif grown > LARGEST_GROWTH.get(place, OTHER_GROWTH):
            problem = f"took {grown:.0f} MiB"
        return f"{kind} as {place}", problem


def given(place: str, kind: str, folder: Path, base: Path) -> tuple[Path, list[str]]:
    """Return where a hostile file goes, and the command that reads it."""
    out = ["--out", str(base), "--name", "hostile", "--epochs", "1", "--limit", "20"]
    if place == "weights":
        endings = {"h5": ".weights.h5", "pth": ".pth", "npy": ".npy", "npz": ".npz"}
        endings |= {"keras": ".keras", "safetensors": ".safetensors"}
        path = folder / f"w{endings.get(kind.split('_', maxsplit=1)[0], '.weights.h5')}"
        network = "alexnet-bvlc" if path.suffix == ".npy" else "alexnet"
        return path, f"train --data sample --model {network} --weights {path}".split() + out
    if place == "archive":
        path = folder / "EuroSAT.zip"
        data = ["--data-dir", str(folder)]
        return path, ["train", "--data", "eurosat", "--archive", str(path), *data, *out]
    if place == "image":
        images = folder / "images"
        for name in ("x", "y"):
            (images / name).mkdir(parents=True)
        return images / "x" / "1.png", ["train", "--data", str(images), "--model", "vgg", *out]
    if place == "run file":
        shutil.copytree(base / "a", folder / "a")
        path = folder / "a" / ("predictions.npz" if kind.startswith("npz") else "config.json")
        path.unlink()
        return path, ["report", str(folder / "a"), "--out", str(base / "page.html")]
    for name in ("train", "val"):
        (folder / f"{name}.txt").write_text("disc_0\n")
    path = folder / "test.txt"
    return path, ["train", "--data", "land-sample", "--split", str(folder), *out]


BAD_VALUES = (
    *("", "-1", "0", "x", "nan", "inf", "1e999", "9" * 5000, "--", "../x", "a/b", "\x1b[0m"),
    *("\udcff", "1,000", "0x10", "None", "[]", "$(id)", "%s%n", " ", "\n", "-", "/dev/null", "{}"),
    "é" * 300,
)
SCRIPTS = ("train_cifar.py", "train_eurosat.py", "fuse.py", "-m tfmodels", "-m tfmodels.report")


def wrong_line(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Generate a command line with at least one wrong argument, over every flag of each command."""
    script = SCRIPTS[number % len(SCRIPTS)]
    verb = (
        [str(rng.choice(["train", "fuse", "report", "verify"]))] if script == "-m tfmodels" else []
    )
    flags = flags_of(script, verb)
    line = list(verb)
    for _ in range(int(rng.integers(0, 6))):
        flag = str(rng.choice(flags))
        value = str(rng.choice(BAD_VALUES))
        line += [[flag], [flag, value], [f"{flag}={value}"]][int(rng.integers(3))]
    # Last and never right, so that nothing is trained if all others are.
    line += [["--no-such-flag"], ["--epochs", "0"], ["--name", "a/b"]][int(rng.integers(3))]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, *script.split(), *line],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=workshop.environment,
        timeout=60,
        check=False,
    )
    seconds = time.monotonic() - started
    help_asked = any(argument in ("-h", "--help", "--version") for argument in line)
    good = done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout
    if help_asked and done.returncode == 0:
        good = True
    what = f"{script} {line} in {seconds:.2f} s"[:300]
    if "unexpected" in done.stderr or not good:
        return what, f"exit {done.returncode}: {done.stderr[-300:]}"
    return what, f"took {seconds:.2f} s" if seconds > SECONDS else ""


def flags_of(script: str, verb: list[str]) -> list[str]:
    """Return all flags of a command, from its help."""
    key = " ".join([script, *verb])
    if key not in _FLAGS:
        command = [sys.executable, *script.split(), *verb, "--help"]
        text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        words = (word.strip(" ,[]") for word in text.split())
        _FLAGS[key] = sorted(
            {word for word in words if word.startswith("--") and len(word) > 2} - {"--debug"}
        )
    return _FLAGS[key]


_FLAGS: dict[str, list[str]] = {}
PARTS = {
    "damaged": (damaged, 1000),
    "hostile": (hostile, 5 * len(HOSTILE)),
    "lines": (wrong_line, 5000),
}
