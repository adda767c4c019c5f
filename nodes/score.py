"""Node `score`: how often decisions are right, per recording at its end and per decision, where labels are known."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..pipeline.errors import counted
from ..pipeline.interval import wilson
from ..pipeline.stream import Classification, LabelSpan, StreamInfo
from .messages import Payload
from .node import Node, Row


@dataclass(frozen=True)
class ScoreConfig:
    matrix: Annotated[bool, Field(description="true: the whole confusion matrix in the summary")] = False


class Score(Node):
    """Decisions in, accuracy out at the end.

    A decision belongs to the label span that it overlaps longest; what counts for a span is its last decision. A span
    without any decision counts as wrong: the stream reached it, the network said nothing.
    """

    Config, accepts = ScoreConfig, Classification

    def open(self) -> None:
        self._confusion: Counter[tuple[str, str]] = Counter()  # (label, what was said): spans
        self._decisions = self._right = self._recordings = self._unlabelled = 0
        self._said: dict[int, str] = {}
        self._spans: tuple[LabelSpan, ...] = ()

    def begin(self, stream: StreamInfo) -> StreamInfo:
        self._spans, self._said = stream.labels, {}
        self._recordings += 1
        self._unlabelled += not stream.labels
        return stream

    def process(self, decision: Classification) -> Iterator[Payload]:
        number = _span_of(decision, self._spans)
        if number is not None:
            self._said[number] = decision.label
            self._decisions += 1
            self._right += decision.label == self._spans[number].label
        return iter(())

    def finish(self) -> Iterator[Payload]:
        for number, span in enumerate(self._spans):
            self._confusion[span.label, self._said.get(number, "")] += 1
        self._spans = ()
        return iter(())

    def report(self) -> list[Row]:
        n = self._confusion.total()
        if not n:
            if self._unlabelled < self._recordings:
                return [("accuracy", "unknown: no labelled recording came to its end")]
            return [("accuracy", f"unknown: no labels in {counted(self._recordings, 'recording')}")]
        right = sum(count for (label, said), count in self._confusion.items() if label == said)
        rows = [
            ("accuracy", f"{_share(right, n)} of labelled recordings"),
        ]
        if self._decisions:
            share = _share(self._right, self._decisions)
            rows.append(("accuracy of decisions", f"{share}; not independent of each other"))
        if self._unlabelled:
            rows.append(("without labels", f"{self._unlabelled} of {counted(self._recordings, 'recording')}"))
        wrong = Counter({pair: count for pair, count in self._confusion.items() if pair[0] != pair[1]})
        if wrong:
            text = ", ".join(
                f"{label} as {said or 'undecided'} {count}x" for (label, said), count in wrong.most_common(8)
            )
            rows.append(("mistaken", text + (", ..." if len(wrong) > 8 else "")))
        return rows + (self._matrix() if self.config.matrix else [])

    def _matrix(self) -> list[Row]:
        labels = sorted({name for pair in self._confusion for name in pair}, key=lambda name: (name == "", name))
        width = max(3, *(len(str(count)) for count in self._confusion.values()))
        head = " ".join(f"{number:{width}}" for number in range(len(labels)))
        rows = [("confusion", f"{head}   columns: what was said, in the order of the rows")]
        for number, label in enumerate(labels):
            line = " ".join(f"{self._confusion[label, said] or '.':>{width}}" for said in labels)
            rows.append((f"  {number} {label or 'undecided'}", line))
        return rows


def _span_of(decision: Classification, spans: tuple[LabelSpan, ...]) -> int | None:
    overlaps = [
        (min(decision.t_stop_us, span.t_stop_us) - max(decision.t_start_us, span.t_start_us), -number)
        for number, span in enumerate(spans)
    ]
    longest, number = max(overlaps, default=(0, 0))
    return -number if longest > 0 else None


def _share(right: int, n: int) -> str:
    low, high = wilson(right, n)
    share = right / n if n else 0.0
    return f"{share:.2%}  ({right:,} of {n:,}; 95 % interval {low:.2%} to {high:.2%})"
