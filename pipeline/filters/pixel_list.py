"""Lists of pixels in text files: a line "x, y" each; what follows a # is for people."""

from collections.abc import Iterable
from pathlib import Path

from ..errors import FilterError

Pixel = tuple[int, int]  # x, y


def read_pixels(path: str | Path) -> list[Pixel]:
    """The pixels of a list. Raises FilterError that names the line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FilterError(f"there is no list of pixels {path}; want a text file with a line x, y for each") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FilterError(f"{path}: cannot be read: {error}") from None
    pixels = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        if len(words) != 2 or not all(word.isascii() and word.isdigit() and int(word) < 65_535 for word in words):
            raise FilterError(f"{path}, line {number}: found {line.strip()[:60]!r}, want x, y of a pixel")
        pixels.append((int(words[0]), int(words[1])))
    return pixels


def write_pixels(path: str | Path, pixels: Iterable[Pixel]) -> None:
    """A list that read_pixels and the filter hot_pixel read."""
    lines = ["# x, y of a pixel", *(f"{x}, {y}" for x, y in pixels)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
