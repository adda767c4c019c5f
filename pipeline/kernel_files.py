"""Files of compiled kernels: where they may be kept, whether one can be trusted, read and written whole.

What is read here is executed, so a file counts only if nobody else can have written it and if its digest is right; the
digest is compared before anything looks inside. kernel_cache.py says what is in a file and which files belong together.

Places, in this order: NUMBA_CACHE_DIR where it is set; beside the package (a folder that is copied elsewhere takes its
kernels along); the user's cache folder; a private folder under the temporary one. A kernel is read from the first place
that has it and written to the first that takes it, so kernels in a read-only image are used and new ones go home.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import uuid
import warnings
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
MAGIC = b"dvs-run kernel 1\n"
FOLDER = "kernels-"  # and the key: group-digest
KEPT = 6  # folders of other keys of a group that stay: other sources, another processor, SIMD switched off
_USER = os.geteuid() if hasattr(os, "geteuid") else None  # None: no such thing here (Windows), nothing is asked


class DamageError(Exception):
    """A file that cannot be used, and why."""


class KernelFolders:
    """The folders of one key, in all places. Every complaint is a warning, one of a kind for all that share `said`."""

    def __init__(self, key: str, said: set[str] | None = None) -> None:
        self.key = key
        self._temporary = _temporary_place()
        places = _places() + ([self._temporary] if self._temporary else [])
        self._folders = [place / f"{FOLDER}{key}" for place in places]
        self._said = set() if said is None else said
        self._used: set[Path] = set()

    def __str__(self) -> str:
        return str(self._folders[0])

    def load(self, name: str) -> bytes | None:
        """What was saved under that name, or None."""
        for folder in self._folders:
            if not os.path.lexists(folder):
                continue
            try:
                _check_owner(folder)
                payload = self._read(folder / name)
            except FileNotFoundError:
                continue
            except (OSError, DamageError) as error:
                self.complain("file", f"a compiled kernel is not used and made anew: {folder / name}: {_reason(error)}")
                continue
            self._mark_used(folder)
            return payload
        return None

    def save(self, name: str, payload: bytes) -> None:
        """Keep it in the first place that takes it."""
        reasons = []
        for folder in self._folders:
            try:
                self._write(folder, name, payload)
            except (OSError, DamageError) as error:
                reasons.append(f"{folder.parent} ({_reason(error)})")
                continue
            self._mark_used(folder)
            return
        self.complain(
            "nowhere",
            f"compiled kernels can be kept nowhere, so every start compiles anew; tried {', '.join(reasons)}. "
            "Set NUMBA_CACHE_DIR to a folder that can be written",
        )

    def discard(self, start: str) -> None:
        """Forget what was saved under names that start so."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                for path in folder.glob(f"{start}*"):
                    path.unlink()

    def complain(self, kind: str, sentence: str) -> None:
        """Say so, once a kind: a broken disk breaks many files."""
        if kind not in self._said:
            self._said.add(kind)
            warnings.warn(sentence, RuntimeWarning, stacklevel=2)

    def _mark_used(self, folder: Path) -> None:
        if folder not in self._used:
            self._used.add(folder)
            with contextlib.suppress(OSError):
                os.utime(folder)  # so that prune takes others first
        if folder.parent == self._temporary:
            self.complain(
                "temporary",
                f"compiled kernels are kept in {folder.parent}, which may not last: neither the package's folder "
                "nor the user's cache can be written. Set NUMBA_CACHE_DIR to a folder that stays",
            )

    def _read(self, path: Path) -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
        try:
            _judge(os.fstat(descriptor), stat.S_ISREG)
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(descriptor)
        start = len(MAGIC) + hashlib.sha256().digest_size
        payload = content[start:]
        if content[:start] != self._header(path.name, payload):
            raise DamageError("it is damaged or of another kind")
        return payload

    def _write(self, folder: Path, name: str, payload: bytes) -> None:
        """Written beside and moved into place: whoever reads meanwhile finds all of it or nothing."""
        if folder.parent == self._temporary:
            folder.parent.mkdir(0o700, exist_ok=True)
            _check_owner(folder.parent)
        if not os.path.lexists(folder):
            folder.parent.mkdir(0o755, parents=True, exist_ok=True)
            folder.mkdir(0o755, exist_ok=True)
            prune(folder.parent, spare=folder)
        _check_owner(folder)
        unfinished = folder / f"{name}.{uuid.uuid4().hex[:16]}"
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
                file.write(self._header(name, payload) + payload)
            os.replace(unfinished, folder / name)
        except BaseException:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise

    def _header(self, name: str, payload: bytes) -> bytes:
        """The digest covers the name and the key, so that a file moved to another's place is noticed too."""
        return MAGIC + hashlib.sha256(f"{self.key}/{name}\n".encode() + payload).digest()


def prune(place: Path, spare: Path, kept: int = KEPT) -> None:
    """Remove the folders of compiled kernels of the same group in a place, but the newest few."""
    with contextlib.suppress(OSError):
        group = spare.name.rpartition("-")[0]
        others = [path for path in place.glob(f"{group}-*") if path != spare]
        others.sort(key=lambda path: path.lstat().st_mtime, reverse=True)
        for path in others[kept:]:
            shutil.rmtree(path, ignore_errors=True)


def _places() -> list[Path]:
    """Where kernels stay."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    places = [Path(chosen)] if chosen else []
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    places += [PACKAGE / "__pycache__", Path(home) / "dvs-run"]
    return [place for place in places if place.is_absolute()]


def _temporary_place() -> Path | None:
    try:
        return Path(tempfile.gettempdir()) / f"dvs-run-kernels-{_USER or 0}"
    except OSError:
        return None


def _check_owner(folder: Path) -> None:
    """Refuse a folder in which somebody else can put files."""
    _judge(folder.lstat(), stat.S_ISDIR)


def _judge(found: os.stat_result, right_kind) -> None:  # type: ignore[no-untyped-def]
    if not right_kind(found.st_mode):
        raise DamageError("it is no plain file or folder")
    if _USER is None:
        return
    # Root and the owner of this very file could have us run anything anyway.
    if found.st_uid not in (_USER, 0, PACKAGE.stat().st_uid):
        raise DamageError("it belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DamageError("others can write it")


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
