"""Make the shipped samples again, bit for bit: python recordings/make.py [--check]

gesture/  one recording a class by people and in lightings whose seeds are kept for shipping (9000 and above)
nmnist/   drawn digits before the saccade scene, in the layout of N-MNIST: nmnist/DIGIT/NUMBER.bin
digits/   drawn digits as frame images, in the IDX container of MNIST

Needs the extra `compress`. README.md lists the checksums; --check makes all anew in a temporary folder and compares.
"""

import argparse
import hashlib
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

from dvs_run.pipeline.formats import open_writer, write_labels
from dvs_run.pipeline.simulate import gesture, saccade
from dvs_run.pipeline.simulate.digits import draw_digit
from dvs_run.pipeline.stream import LabelSpan

HERE = Path(__file__).resolve().parent
KEPT = 9_000  # people and lightings from this seed on are trained on by nobody
GESTURE_US = 1_600_000
BEGIN, END = "<!-- made by make.py -->\n", "<!-- end -->\n"


def make(folder: Path) -> list[str]:
    """Write all samples into `folder`; returns the rows of the README's table."""
    made = [*gestures(folder), *saccades(folder), *digits(folder)]
    rows = ["| file | bytes | sha256 | what |", "|---|---|---|---|"]
    for path, what in made:
        data = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        rows.append(f"| {name} | {len(data):,} | `{hashlib.sha256(data).hexdigest()}` | {what} |")
    return rows


def gestures(folder: Path) -> list[tuple[Path, str]]:
    made = []
    for label, name in enumerate(gesture.CLASSES):
        seed = KEPT + label
        events = gesture.simulate_gesture(label, seed, person=seed, lighting=seed, duration_us=GESTURE_US)
        path = folder / "gesture" / f"{name}.aedat4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_writer(path, gesture.SENSOR, compression="zstd") as writer:
            writer.write(events)
        labels = write_labels(path, [LabelSpan(name, 0, GESTURE_US)])
        what = f"{len(events):,} events in {GESTURE_US / 1e6} s; seed, person, lighting {seed}"
        made += [(path, what), (labels, "its label")]
    return made


def saccades(folder: Path) -> list[tuple[Path, str]]:
    made = []
    for number in range(20):
        digit, seed = number % 10, KEPT + number
        events = saccade.simulate_saccade(draw_digit(digit, seed), seed)
        path = folder / "nmnist" / str(digit) / f"{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_writer(path, saccade.SENSOR) as writer:
            writer.write(events)
        made.append((path, f"{len(events):,} events; draw_digit({digit}, {seed}), saccades of seed {seed}"))
    return made


def digits(folder: Path) -> list[tuple[Path, str]]:
    numbers = np.arange(20)
    images = np.stack([draw_digit(int(n % 10), KEPT + 100 + int(n)) for n in numbers])
    labels = (numbers % 10).astype(np.uint8)
    made = []
    for array, name in ((images, "images-idx3-ubyte"), (labels, "labels-idx1-ubyte")):
        path = folder / "digits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())
        made.append((path, f"uint8 {array.shape}; seeds {KEPT + 100} to {KEPT + 119}"))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the samples are as made")
    check = parser.parse_args().check
    readme = HERE / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    listed, _, after = rest.partition(END)
    if not check:
        readme.write_text(before + BEGIN + "\n".join(make(HERE)) + "\n" + END + after, "utf-8")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = make(Path(folder))
    differ = sorted(set(rows) ^ set(listed.splitlines()))
    print("\n".join(differ) if differ else f"{len(rows) - 2} files, all as listed")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
