"""ROS 2's first kind of bag: an SQLite file with the tables `topics` and `messages`."""

import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from ..errors import RecordingError
from .ros_records import LARGEST, Bag, Found, Topic, whole_message

_STEPS = 1 << 26  # of SQLite between two rows; more are a trap


class Db3(Bag):
    """One .db3 file. Places are numbers of messages."""

    def walk(self, position: int) -> Iterator[Found]:
        try:
            connection = sqlite3.connect(f"file:{quote(str(self.path.resolve()))}?mode=ro&immutable=1", uri=True)
        except sqlite3.Error as error:
            raise RecordingError(f"{self.path}: cannot be opened as SQLite: {error}", self.path) from None
        at, steps = position, [0]
        connection.set_progress_handler(lambda: _count(steps), 1 << 16)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('topics', 'messages')"
            if len(connection.execute(tables).fetchall()) < 2:
                raise RecordingError(
                    f"{self.path}: an SQLite file, but no ROS 2 bag: no topics, no messages", self.path
                )
            for number, name, kind, form in connection.execute(
                "SELECT id, name, type, serialization_format FROM topics"
            ):
                yield Found(-1, int(number), Topic(str(name), str(kind).replace("/msg/", "/"), form != "ros1"))
            rows = connection.execute("SELECT id, topic_id, data FROM messages WHERE id > ? ORDER BY id", (position,))
            for row, number, data in rows:
                at, steps[0] = int(row), 0
                message, trouble = _of_row(data)
                if trouble:
                    yield Found(-1, fault=f"message {at}: {trouble}", is_last=False)
                else:
                    yield Found(-1, number if isinstance(number, int) else -1, message=message)
                yield Found(-1, following=at)
        except (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError) as error:
            yield Found(-1, fault=f"the SQLite file cannot be read further than message {at} ({error})")
        finally:
            connection.close()


def _count(steps: list[int]) -> int:
    """Called by SQLite now and then; ends what does not end."""
    steps[0] += 1 << 16
    return int(steps[0] > _STEPS)


def _of_row(data: Any) -> tuple[memoryview, str]:
    if not isinstance(data, bytes):
        return memoryview(b""), f"a message that is {type(data).__name__}, want bytes"
    return whole_message(memoryview(data))
