"""Parts of the stress program in which whole processes run: kills, failing writes, pairs, repeats.

A process runs the command line under a hook that sees each file being opened for writing, renamed
or removed, and ends the process there, or fails there, as a full disk would.
"""

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 300  # seconds of one command
# Counts what happens to files under a folder; at event number `stop` it kills the process or
# raises `error`. Prints how many there were.
DRIVER = """
import errno, os, signal, sys
folder, stop, error, every_step = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
seen, names, busy = 0, [], False
def hook(event, args):
    global seen, busy
    if busy or event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        return
    if event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        return
    if not isinstance(args[0], str) and not hasattr(args[0], "__fspath__"):
        return
    path = os.fspath(args[0])
    if not os.path.abspath(path).startswith(folder):
        return
    seen += 1
    names.append(f"{event} {os.path.relpath(path, folder)}")
    if seen == stop:
        busy = True
        print("stopped at", names[-1], file=sys.stderr, flush=True)
        if error == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(getattr(errno, error), os.strerror(getattr(errno, error)), path)
sys.addaudithook(hook)
from tfmodels import cli
from tfmodels.runs.environment import import_quietly
if every_step:
    import_quietly("tfmodels.training.callbacks").LONGEST_UNSAVED = -1.0
code = cli.main(sys.argv[5:])
print("events", seen, file=sys.stderr)
sys.exit(code)
"""

# All networks, ways of training and what a recipe can set, on little data. The number says whether
# the state is saved after each step.
_SMALL = "--data sample --limit 64 --batch-size 24 --epochs 3"
_TINY = "--data land-sample --limit 32 --batch-size 12 --epochs 2"
CONFIGS: dict[str, tuple[int, str]] = {
    "vgg, study": (1, f"{_SMALL} --step-size 2"),
    "vgg, augment, ema, cosine, adamw": (
        1,
        f"{_SMALL} --augment --ema 0.9 --schedule cosine --warmup-epochs 1 --optimizer adamw",
    ),
    "vgg, early stopping, class weights, smoothing": (
        1,
        f"{_SMALL} --early-stopping 1 --class-weights --label-smoothing 0.1 --clip-norm 1",
    ),
    "vgg, bfloat16, sgd, deterministic": (
        1,
        f"{_SMALL} --precision mixed_bfloat16 --optimizer sgd --deterministic",
    ),
    "vgg, float16, ema, early stopping": (
        1,
        f"{_SMALL} --precision mixed_float16 --ema 0.9 --early-stopping 1",
    ),
    "airbench-small, muon, linear, views": (
        1,
        f"{_SMALL} --model airbench-small --optimizer muon --schedule linear --lr 0.1 "
        "--views shifts",
    ),
    "airbench-medium": (0, f"{_TINY} --model airbench-medium --image-size 16 --views turns"),
    "airbench-large": (0, f"{_TINY} --model airbench-large --image-size 16"),
    "airbench-dense": (0, f"{_TINY} --model airbench-dense --image-size 16"),
    "mobilenetv2": (1, f"{_TINY} --model mobilenetv2 --image-size 32 --augment"),
    "mobilenetv2, head": (
        1,
        f"{_TINY} --model mobilenetv2 --image-size 32 --train head --weights WEIGHTS",
    ),
    "mobilenetv2, head-then-all": (
        1,
        f"{_TINY} --model mobilenetv2 --image-size 32 --train head-then-all --weights WEIGHTS "
        "--augment",
    ),
    "mobilenetv3-small": (0, f"{_TINY} --model mobilenetv3-small --image-size 32"),
    "resnet50v2": (0, f"{_TINY} --model resnet50v2 --image-size 32"),
    "efficientnetv2-b0": (0, f"{_TINY} --model efficientnetv2-b0 --image-size 32"),
    "convnext-tiny": (0, f"{_TINY} --model convnext-tiny --image-size 32"),
    "alexnet": (0, f"{_TINY} --model alexnet --image-size 63"),
    "alexnet-bvlc": (0, f"{_TINY} --model alexnet-bvlc --image-size 67"),
}


class Workshop:
    """A folder in which processes run, with data and weights that they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.weights = self.folder / "weights" / "mobilenetv2.weights.h5"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "TFDS_DATA_DIR": str(self.folder / "data"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def command(self, case: str, out: Path) -> list[str]:
        """Return the command line of a case, which writes the run `out/run`."""
        line = CONFIGS[case][1].replace("WEIGHTS", str(self.weights))
        return ["train", *line.split(), "--out", str(out), "--name", "run"]

    def start(
        self, arguments: list[str], out: Path, stop: int = 0, error: str = "kill", often: int = 0
    ) -> "subprocess.Popen[str]":
        """Start a command under the hook; it stops at event number `stop`."""
        command = [sys.executable, "-c", DRIVER, str(out), str(stop), error, str(often)]
        return subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def run(self, arguments: list[str], out: Path, **options: Any) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it wrote to standard error."""
        process = self.start(arguments, out, **options)
        try:
            _, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            return -1, "it did not end"
        return process.returncode, err

    def prepare_weights(self) -> None:
        """Write weights to start from, once."""
        if not self.weights.exists():
            self.weights.parent.mkdir(parents=True, exist_ok=True)
            code = (
                "import keras; from tfmodels.models.catalog import build; "
                "keras.utils.set_random_seed(1); "
                f"build('mobilenetv2', (64, 64, 3), 10, 32).save_weights({str(self.weights)!r})"
            )
            subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    def reference(self, case: str) -> tuple[Path, int, float]:
        """Return an uninterrupted run of a case, its file events and its seconds; made once."""
        self.prepare_weights()
        out = self.folder / "references" / case.replace(" ", "-").replace(",", "")
        if not (out / "facts").exists():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            arguments = self.command(case, out)
            self.run(arguments, out)  # fills the cache, so that times are those of later runs
            shutil.rmtree(out / "run")
            started = time.monotonic()
            code, err = self.run(arguments, out, often=CONFIGS[case][0])
            if code:
                raise RuntimeError(f"{case} fails without any kill: {err}")
            events = int(err.rsplit("events ", 1)[1])
            (out / "facts").write_text(f"{events} {time.monotonic() - started}")
        facts = (out / "facts").read_text().split()
        return out / "run", int(facts[0]), float(facts[1])


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, which is removed afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def differences(run: Path, reference: Path) -> str:
    """Return in what a run differs from another: arrays, history, metrics; empty if in nothing."""
    for path in reference.rglob("history.csv"):
        name = path.relative_to(reference)
        if _history(run / name) != _history(path):
            return str(name)
    if (run / "metrics.json").read_bytes() != (reference / "metrics.json").read_bytes():
        return "metrics.json"
    for file in ("predictions.npz", "mistakes.npz", "state.npz", "model.keras", "best.keras"):
        ours, theirs = _arrays(run / file), _arrays(reference / file)
        for key in ours.keys() | theirs.keys():
            if key not in ours or key not in theirs or not np.array_equal(ours[key], theirs[key]):
                return f"{key} in {file}"
    return ""


def _history(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file, or the weights of a `.keras` file."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:  # but for the position, which holds seconds
            return {name: arrays[name] for name in arrays if name != "position"}
    found: dict[str, np.ndarray] = {}

    def collect(name: str, item: h5py.HLObject) -> None:
        """Read a weight."""
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file:
        h5py.File(file).visititems(collect)
    return found


def kill(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Kill a run up to three times, by the clock and at file events, and let it end."""
    case = list(CONFIGS)[number % len(CONFIGS)]
    reference, events, seconds = workshop.reference(case)
    done: list[str] = []
    with fresh(workshop.folder / "kills" / str(number)) as out:
        arguments = workshop.command(case, out)
        for _ in range(3):
            if rng.random() < 0.5:
                stop = int(rng.integers(1, events + 1))
                code, err = workshop.run(arguments, out, stop=stop, often=CONFIGS[case][0])
                where = err.rsplit("stopped at ", 1)[-1].split("\n")[0]
            else:
                delay = rng.uniform(0.3, 1) * seconds
                process = workshop.start(arguments, out, often=CONFIGS[case][0])
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(delay)
                process.kill()
                _, err = process.communicate()
                code, where = process.returncode, f"{delay:.1f} s"
            if code == 0:
                break
            if code != -signal.SIGKILL:
                return case, f"exit {code} after {done}: {err[-300:]}"
            done.append(where)
            if (out / "run").exists():
                break
        if not (out / "run").exists():
            code, err = workshop.run(arguments, out)
            if code:
                return case, f"exit {code} after kills at {done}: {err[-300:]}"
        fault = differences(out / "run", reference)
        left = sorted(entry.name for entry in out.iterdir() if entry.name != "run")
        left = [name for name in left if not name.endswith(".lock")]
        if fault or left:
            return case, f"{fault or left} after kills at {done}"
    return f"{case}: {len(done)} kills ({'; '.join(done)})", ""


ERRORS = ("ENOSPC", "EROFS", "ENOENT", "EIO", "EACCES")


def fail_write(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Let the write number `number` of a run fail, and run it again with room."""
    case, error = "vgg, study", ERRORS[number % len(ERRORS)]
    reference, events, _ = workshop.reference(case)
    if number >= events:
        return "no such write", ""
    with fresh(workshop.folder / "writes" / str(number)) as out:
        arguments = workshop.command(case, out)
        code, err = workshop.run(arguments, out, stop=number + 1, error=error, often=1)
        where = f"{error} at {err.rsplit('stopped at ', 1)[-1].split(chr(10))[0]}"
        last = err.strip().splitlines()[-1]
        if code == 0:  # what may fail, such as flushing a folder or removing the lock
            return where, differences(out / "run", reference)
        if code not in (1, 2) or "Traceback" in err or "unexpected" in err:
            return where, f"exit {code}: {err[-400:]}"
        code, err = workshop.run(arguments, out, often=1)
        if code:
            return where, f"after {last}, the next: {err[-300:]}"
        return where, differences(out / "run", reference)


def fill_disk(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Run on a disk that is too small, then on one that has room; needs root, on Linux."""
    case, size = "vgg, study", 1 + 4 * number
    reference, _, _ = workshop.reference(case)
    with fresh(workshop.folder / "disks" / str(number)) as out:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(out)]
        subprocess.run(mount, check=True)
        try:
            arguments = workshop.command(case, out)
            code, err = workshop.run(arguments, out)
            if code == 0:
                return f"{size} MiB: enough", differences(out / "run", reference)
            if code != 1 or "Traceback" in err or "unexpected" in err:
                return f"{size} MiB", f"exit {code}: {err[-400:]}"
            subprocess.run(["mount", "-o", "remount,size=500m", str(out)], check=True)
            code, err = workshop.run(arguments, out)
            return f"{size} MiB", f"{err[-300:]}" if code else differences(out / "run", reference)
        finally:
            subprocess.run(["umount", str(out)], check=True)


def repeat(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Run a case twice more than its reference, every other one with --deterministic."""
    case = list(CONFIGS)[number // 2 % len(CONFIGS)]
    reference, _, _ = workshop.reference(case)
    also = ["--deterministic"] * (number % 2)
    with fresh(workshop.folder / "repeats" / str(number)) as folder:
        runs = [] if also else [reference]
        while len(runs) < 3:
            out = folder / str(len(runs))
            code, err = workshop.run([*workshop.command(case, out), *also], out)
            if code:
                return case, f"exit {code}: {err[-300:]}"
            runs.append(out / "run")
        faults = [differences(run, runs[0]) for run in runs[1:]]
    return " ".join([case, *also]), "; ".join(filter(None, faults))


def pair(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Start two processes at once: on one run, one empty cache, or one data set."""
    kind = ("run", "cache", "data set")[number % 3]
    case = "vgg, study"
    reference, _, _ = workshop.reference(case)
    with fresh(workshop.folder / "pairs" / str(number)) as folder:
        own = Workshop(folder)
        own.environment["XDG_CACHE_HOME"] = str(folder / "cache")
        shared = workshop.environment["TFDS_DATA_DIR"]
        own.environment["TFDS_DATA_DIR"] = str(folder / "data") if kind == "data set" else shared
        outs = [folder / name for name in (("a", "a") if kind == "run" else ("a", "b"))]
        processes = [own.start(own.command(case, out), out) for out in outs]
        results = [(process.communicate()[1], process.returncode) for process in processes]
        codes = sorted(code for _, code in results)
        told = any("is being trained by process" in err for err, _ in results)
        if codes != ([0, 2] if kind == "run" else [0, 0]) or (kind == "run" and not told):
            return kind, "; ".join(f"exit {code}: {err[-200:]}" for err, code in results)
        faults = [differences(out / "run", reference) for out in set(outs)]
        return kind, "; ".join(filter(None, faults))


def memory(number: int, rng: np.random.Generator, workshop: Workshop) -> tuple[str, str]:
    """Train for 50 epochs, and compare memory and open files after 10 and at the end; on Linux."""
    with fresh(workshop.folder / "memory") as out:
        line = "--data sample --limit 256 --epochs 50 --batch-size 32 --name run --augment"
        process = workshop.start(["train", *line.split(), "--out", str(out)], out)
        history, samples = out / "run.incomplete" / "history.csv", {}
        while process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                epochs = len(history.read_text().splitlines()) - 1
                status = Path(f"/proc/{process.pid}/status").read_text()
                anonymous = int(status.split("RssAnon:")[1].split()[0]) / 1024
                samples[epochs] = anonymous, len(os.listdir(f"/proc/{process.pid}/fd"))
            time.sleep(0.05)
        err = process.communicate()[1]
        if process.returncode:
            return "50 epochs", err[-300:]
    (first, files), (last, files_at_end) = samples[10], samples[49]
    what = f"{first:.0f} MiB after 10 epochs, {last:.0f} after 49; files {files}, {files_at_end}"
    return what, "" if last < 1.05 * first and files_at_end <= files else "it grows"


PARTS = {
    "kills": (kill, 42),
    "writes": (fail_write, 200),
    "disks": (fill_disk, 8),
    "repeats": (repeat, 2 * len(CONFIGS)),
    "pairs": (pair, 9),
    "memory": (memory, 1),
}
