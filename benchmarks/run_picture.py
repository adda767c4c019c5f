"""Draw what a run shows: the events of one recording, and the network's evidence while they come in.

    python -m benchmarks.run_picture recordings/gesture/right_arm_clockwise.aedat4 docs/run.png

Needs the extra `plot`. Nothing is measured here; the figures are in docs/.
"""

import sys
from pathlib import Path

import numpy as np

from dvs_run.pipeline.binning import bin_events, to_frame
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.formats import open_recording
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.slicer import TimeSlicer

NETWORK = "recordings/networks/gesture.npz"
FRAMES, FRAME_SLICES = 8, 8  # so many pictures, each of so many slices
BACKGROUND, ON, OFF = (26, 26, 26), (255, 255, 255), (59, 110, 255)


def main(recording_path: str, out: str) -> None:
    """Run the network over the recording, then draw event frames above the scores of every class."""
    network = Network.load(NETWORK)
    engine = Engine(network)
    times, scores, counts = [], [], []
    with open_recording(recording_path) as recording:
        slicer = TimeSlicer(engine.timestep_us)
        for packet in recording:
            for piece in slicer.push(packet):
                binned = bin_events(piece.events, recording.sensor, piece.t_start_us, piece.t_stop_us)
                decision = engine.step(binned)
                times.append(decision.t_stop_us)
                scores.append(decision.scores)
                counts.append(to_frame(binned, network.input_shape))
        truth = recording.labels[0].label if recording.labels else ""
    elapsed = (np.array(times) - times[0]) / 1e6
    draw(elapsed, np.array(scores), np.array(counts), network.labels, truth, Path(recording_path).name, out)


def draw(
    elapsed: np.ndarray,
    scores: np.ndarray,
    counts: np.ndarray,
    labels: tuple[str, ...],
    truth: str,
    name: str,
    out: str,
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(10, 5.2))
    grid = figure.add_gridspec(2, FRAMES, height_ratios=(1, 2.3), hspace=0.12, wspace=0.05)
    for k, last in enumerate(np.linspace(FRAME_SLICES, len(elapsed) - 1, FRAMES).astype(int)):
        axes = figure.add_subplot(grid[0, k])
        axes.imshow(picture(counts[last - FRAME_SLICES : last].sum(axis=0)))
        axes.set_title(f"{elapsed[last]:.2f} s", fontsize=9)
        axes.axis("off")
    axes = figure.add_subplot(grid[1, :])
    for index in np.argsort(-scores[-1]):
        label = labels[index]
        right = label == truth
        style = {"color": "#d1495b", "linewidth": 2.5, "zorder": 3} if right else {"linewidth": 1, "alpha": 0.8}
        axes.plot(elapsed, scores[:, index], label=label, **style)
    axes.set_xlabel(f"seconds since the first event of {name}")
    axes.set_ylabel("evidence (membrane potential)")
    axes.set_xlim(0, elapsed[-1])
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=100, bbox_inches="tight")


def picture(counts: np.ndarray) -> np.ndarray:
    """Counts (polarity, height, width) as an RGB picture: ON white, OFF blue, both white."""
    image = np.full((*counts.shape[1:], 3), BACKGROUND, np.uint8)
    image[counts[0] > 0] = OFF
    image[counts[1] > 0] = ON
    return image


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
