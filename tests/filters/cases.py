"""Settings with which each filter is tried: one row and more a filter. A filter of its own has its own test besides."""

from dvs_run.pipeline.events import SensorSize

SENSOR = SensorSize(11, 7)
LENS = {"fx": 6.0, "fy": 5.5, "cx": 5.2, "cy": 2.9}

CASES = [  # kind, settings, size of the sensor afterwards
    ("polarity", {"keep": "on"}, (11, 7)),
    ("polarity", {"keep": "off", "become": "swapped"}, (11, 7)),
    ("polarity", {"become": "off"}, (11, 7)),
    ("region", {"x": 2, "y": 1, "width": 6, "height": 4}, (11, 7)),
    ("region", {"x": 0, "y": 3, "width": 11, "height": 4, "keep": "outside"}, (11, 7)),
    ("crop", {"x": 3, "y": 2, "width": 8, "height": 5}, (8, 5)),
    ("flip", {"axis": "horizontal"}, (11, 7)),
    ("flip", {"axis": "vertical"}, (11, 7)),
    ("flip", {"axis": "both"}, (11, 7)),
    ("rotate", {"degrees": 90}, (7, 11)),
    ("rotate", {"degrees": 180}, (11, 7)),
    ("rotate", {"degrees": 270}, (7, 11)),
    ("transpose", {}, (7, 11)),
    ("downsample", {"columns": 4, "rows": 2}, (3, 4)),
    ("integrate", {"columns": 2, "rows": 3}, (6, 3)),
    ("integrate", {"columns": 3, "rows": 3, "threshold": 2, "leak_hz": 700, "polarities": "apart"}, (4, 3)),
    ("integrate", {"columns": 5, "rows": 2, "threshold": 1, "leak_hz": 3}, (3, 4)),
    ("integrate", {"columns": 11, "rows": 7, "threshold": 3, "leak_hz": 9_000}, (1, 1)),
    ("refractory", {"period_us": 6_000}, (11, 7)),
    ("refractory", {"period_us": 6_000, "since": "any"}, (11, 7)),
    ("refractory", {"period_us": 0}, (11, 7)),
    ("background", {"window_us": 700}, (11, 7)),
    ("background", {"window_us": 700, "neighbours": 4}, (11, 7)),
    ("correlation", {"window_us": 1_500}, (11, 7)),
    ("correlation", {"window_us": 1_500, "witnesses": 3, "polarity": "any"}, (11, 7)),
    ("correlation", {"window_us": 1_500, "witnesses": 4, "radius": 2}, (11, 7)),
    ("hot_pixel", {"learn_us": 20_000, "above_hz": 150.0, "times": 1.0}, (11, 7)),
    ("hot_pixel", {"learn_us": 20_000, "above_hz": 150.0, "times": 1.0, "again": False}, (11, 7)),
    ("rate_limit", {"events_per_s": 4_000, "burst": 3}, (11, 7)),
    ("rate_limit", {"events_per_s": 1, "burst": 50}, (11, 7)),
    ("random_drop", {"keep": 0.3, "seed": 5}, (11, 7)),
    ("undistort", {**LENS, "distortion": [-0.2, 0.05, 0.01, -0.02]}, (11, 7)),
    ("undistort", {**LENS, "distortion": [0.1, 0.02, 0.0, 0.0, 0.01]}, (11, 7)),
    ("undistort", {**LENS, "distortion": [0.02, -0.01, 0.004, 0.0], "model": "fisheye"}, (11, 7)),
]
