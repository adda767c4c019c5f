"""Settings of filters: every fault at once, a sentence each, from Python and from plain values."""

import re
from pathlib import Path

import pytest

from dvs_run.pipeline.errors import FilterError
from dvs_run.pipeline.filters import FILTERS, describe_settings, load_filter, make_filters
from dvs_run.pipeline.filters.correlation import Correlation
from dvs_run.pipeline.filters.refractory import Refractory

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")


def faults(*entries):
    with pytest.raises(FilterError) as caught:
        make_filters(entries)
    return dict(caught.value.faults)


def test_every_fault_of_every_filter_is_told_at_once():
    found = faults(
        {"kind": "refractory", "period_us": -5, "sinc": "any"},
        {"kind": "corelation", "window_us": 5_000},
        {"kind": "transpose"},
        17,
        {"kind": "crop", "x": 0, "y": 0.5, "width": True},
    )
    assert found == {
        "filters[0].sinc": "unknown setting; did you mean 'since'?",
        "filters[0].period_us": "found -5, want a whole number (at least 0, at most 3,600,000,000)",
        "filters[1].kind": "there is no filter 'corelation'; did you mean 'correlation'?",
        "filters[3]": f"found 17, want kind: one of {', '.join(sorted(FILTERS))}, and its settings",
        "filters[4].y": "found 0.5, want a whole number (at least 0, at most 65,534)",
        "filters[4].width": "found true, want a whole number (at least 1, at most 65,535)",
        "filters[4].height": "is missing, want a whole number (at least 1, at most 65,535)",
    }


@pytest.mark.parametrize(
    ("entry", "where", "text"),
    [
        ({"kind": "polarity"}, "polarity", "keeps both polarities as they are"),
        ({"kind": "polarity", "keep": "ON"}, "keep", "found 'ON', want both or on or off"),
        ({"kind": "flip", "axis": "up"}, "axis", "found 'up', want horizontal or vertical or both"),
        ({"kind": "rotate", "degrees": 45}, "degrees", "found 45, want 90 or 180 or 270"),
        ({"kind": "random_drop", "keep": 1.5}, "keep", "found 1.5, want a number (at least 0, at most 1)"),
        ({"kind": "random_drop", "keep": float("nan")}, "keep", "found nan, want a number"),
        ({"kind": "hot_pixel", "above_hz": 0}, "above_hz", "found 0, want a number (above 0, at most 1,000,000)"),
        ({"kind": "hot_pixel", "again": 1}, "again", "found 1, want true or false"),
        ({"kind": "hot_pixel", "path": 3}, "path", "found 3, want text or nothing"),
        ({"kind": "hot_pixel", "learn_us": None}, "hot_pixel", "neither learns nor has a list"),
        ({"kind": "correlation", "window_us": 5, "witnesses": 9}, "correlation", "but only 8 pixels are around"),
        ({"kind": "integrate", "columns": 200, "rows": 100}, "integrate", "20,000, want a threshold"),
        ({"kind": "crop", "x": 65000, "y": 0, "width": 600, "height": 5}, "crop", "x + width is 65600"),
        ({"kind": "undistort", "fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0, "distortion": "k"}, "distortion",
         "found 'k', want a list, each a number"),
        ({"kind": "undistort", "fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0, "distortion": [0.1]}, "undistort",
         "distortion has 1 coefficients, want 4 or 5 or 8 for pinhole"),
        ({"x": 1}, "filters[0]", "want kind: one of"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_with_what_is_wanted(entry, where, text):
    ((found, sentence),) = faults(entry).items()
    assert found.endswith(where)
    assert text in sentence


def test_a_filter_made_in_python_checks_its_settings_too():
    with pytest.raises(FilterError, match=r"refractory\.period_us: found -1, want a whole number \(at least 0"):
        Refractory(period_us=-1)
    with pytest.raises(FilterError, match=r"correlation\.window_us: found '5'.*; correlation\.witnesses: found 0"):
        Correlation(window_us="5", witnesses=0)


def test_whole_numbers_will_do_for_real_ones():
    (made,) = make_filters([{"kind": "random_drop", "keep": 1}])
    assert made.keep == 1


@pytest.mark.parametrize("kind", FILTERS)
def test_the_page_names_every_filter_with_its_settings_and_defaults(kind):
    settings = next(line for line in PAGE.splitlines() if line.startswith(f"| `{kind}` |")).split("|")[2]
    names = re.findall(r"`(\w+)`", settings)
    described = describe_settings(load_filter(kind))
    assert names == [name for name, *_ in described]
    assert all(meaning and wanted for _, wanted, meaning, _ in described)
    for name, _, _, default in described:
        if isinstance(default, (bool, int, float, str)):
            written = str(default).lower() if isinstance(default, bool) else f"{default}".removesuffix(".0")
            assert f"`{name}` ({written})" in settings
