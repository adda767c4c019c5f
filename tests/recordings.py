"""Real recordings that nobody in this project made, and what a right decoder finds in them.

Counts, times and ranges are those of the collection's own README. Digests are the first 12 hexadecimal digits of the
SHA-256 of the columns t (<i8), x, y (<u2) and p (one byte): a change of one event cannot hide. The three AEDAT 4 files
of one recording were written by three writers and agree; the others were checked against tests/naive.
The files are not part of the repository: see SHARED.
"""

import os
from pathlib import Path
from typing import NamedTuple

import pytest

SHARED = Path(os.environ.get("DVS_SHARED") or Path(__file__).resolve().parents[1] / ".." / "shared" / "data").resolve()
needs_shared = pytest.mark.skipif(
    not (SHARED / "recordings").is_dir(), reason="the real recordings are not here: set DVS_SHARED to their folder"
)


class Sample(NamedTuple):
    """One file and what is in it."""

    file: str  # below SHARED / "recordings"
    container: str
    sensor: tuple[int, int]
    events: int
    on: int
    t_range: tuple[int, int]  # µs, first and last
    x_range: tuple[int, int]
    y_range: tuple[int, int]
    digests: str  # t, x, y, p
    defects: dict[str, int] = {}  # noqa: RUF012  read only

    @property
    def path(self) -> Path:
        return SHARED / "recordings" / self.file


# fmt: off
SAMPLES = (
    Sample(
        "aedat2/davis240c_rotating_disk_aps_imu.aedat", "aedat2", (240, 180), 374296, 163098,
        (341678, 3508437), (0, 239), (0, 179),
        "5200955085b7 092d1979d336 646770f40c4a 1378c84f55ed",
        {"frame_words": 51688},
    ),
    Sample(
        "aedat2/dvs128_foam_t_above_2e31.aedat", "aedat2", (128, 128), 1575, 1247,
        (2693326797, 2698248407), (0, 127), (0, 127),
        "62c3e74eace1 c02a1e0be5cf d23736521d50 6e2ab8d5929a",
    ),
    Sample(
        "aedat2/dvs128_moving_dark_box.aedat", "aedat2", (128, 128), 489834, 246923,
        (946459683, 986269729), (0, 127), (0, 127),
        "a909dc7cd30b 7500421af5a8 35e0604917fa 43b05b877fa2",
    ),
    Sample(
        "aedat4/davis346_frames_imu_lz4.aedat4", "aedat4", (346, 260), 6676, 3563,
        (1589163147368868, 1589163147538809), (14, 334), (8, 245),
        "d129946b4980 a06620a35ddf 7668c9cc7973 6d34a18ccd13",
        {"other_packets": 33},
    ),
    Sample(
        "aedat4/dvxplorer_320x240_lz4.aedat4", "aedat4", (320, 240), 111954, 55023,
        (1605537493718345, 1605537494308262), (0, 319), (0, 239),
        "4501ef229eb5 8e7f13a5c461 04379e968d5f 70e5618909d2",
        {"other_packets": 59},
    ),
    Sample(
        "aedat4/reencoded_none.aedat4", "aedat4", (320, 240), 111954, 55023,
        (1605537493718345, 1605537494308262), (0, 319), (0, 239),
        "4501ef229eb5 8e7f13a5c461 04379e968d5f 70e5618909d2",
    ),
    Sample(
        "aedat4/reencoded_reference.npz", "npz", (320, 240), 111954, 55023,
        (0, 589917), (0, 319), (0, 239),
        "37fcafd6bcfa 8e7f13a5c461 04379e968d5f 70e5618909d2",
    ),
    Sample(
        "aedat4/reencoded_zstd.aedat4", "aedat4", (320, 240), 111954, 55023,
        (1605537493718345, 1605537494308262), (0, 319), (0, 239),
        "4501ef229eb5 8e7f13a5c461 04379e968d5f 70e5618909d2",
    ),
    Sample(
        "csv/txyp_seconds.txt", "csv", (240, 180), 17, 0,
        (0, 5748), (30, 181), (9, 145),
        "4670451d81e6 a5ca5316aa15 f5a72f394da1 0a8811185209",
    ),
    Sample(
        "csv/xypt_640x480.csv", "csv", (640, 480), 21436, 14323,
        (134217690, 135541940), (0, 639), (0, 479),
        "4b8aad17b447 31d73e49ccce db57d15ad3ce 097d69ecf6ee",
    ),
    Sample(
        "dat/cd_v2_reencoded.dat", "dat", (320, 240), 111954, 55023,
        (0, 589917), (0, 319), (0, 239),
        "37fcafd6bcfa 8e7f13a5c461 04379e968d5f 70e5618909d2",
    ),
    Sample(
        "dat/ncars_type0.dat", "dat", (304, 240), 2009, 1350,
        (0, 99952), (0, 77), (0, 41),
        "e9e618b87bd7 ecb2896c9516 cc3a2f3b608d bc21cc783fb7",
    ),
    Sample(
        "dvs128_people/standing_up.aedat", "aedat2", (128, 128), 209564, 114089,
        (314384738, 335182415), (0, 127), (0, 127),
        "f47ab73c7000 3b1386c943cc 6616a26e9e7d 33264aba410d",
    ),
    Sample(
        "dvs128_people/walking.aedat", "aedat2", (128, 128), 125028, 55976,
        (262847757, 270891631), (0, 127), (0, 127),
        "f79c6b5003fc 2ec4c0ff940f 1595be50b25e 2cf3fa4b3da2",
    ),
    Sample(
        "es/dvs_320x240.es", "es", (320, 240), 473225, 270001,
        (0, 999000), (0, 319), (0, 239),
        "a40868f58735 622118e8556d 1f43f71b424b 24c933e5d75f",
    ),
    Sample(
        "evt2/gen3_640x480.raw", "evt2", (640, 480), 521252, 185861,
        (913716224, 913812095), (0, 639), (0, 479),
        "ecac3caf317a dde6627c570e 4af0861c7c00 04394c7572cc",
    ),
    Sample(
        "evt3/gen3_640x480_triggers.raw", "evt3", (640, 480), 343474, 125183,
        (7139845, 9218023), (0, 639), (0, 479),
        "dac2ac92549d e88c6492bd68 d4dda6730e92 2416b1ba339a",
        {"special_words": 1800, "trigger_words": 4157},
    ),
    Sample(
        "hdf5/raw_events.hdf5", "hdf5", (346, 260), 17, 0,
        (0, 5748), (9, 145), (30, 181),
        "4670451d81e6 f5a72f394da1 a5ca5316aa15 0a8811185209",
    ),
    Sample(
        "mnist_dvs_digit0/mnist_0_scale04_0001.aedat", "aedat2", (128, 128), 15744, 7870,
        (0, 2210588), (1, 127), (0, 126),
        "7d1a06838d05 e4c22a0fb119 96cdaba572e1 11bdbef538f8",
    ),
    Sample(
        "mnist_dvs_digit0/mnist_0_scale04_0002.aedat", "aedat2", (128, 128), 16738, 8426,
        (0, 2381690), (0, 127), (0, 126),
        "cf168c958887 fbea689dd5de a809b0e44c4e df736809348b",
    ),
    Sample(
        "mnist_dvs_digit0/mnist_0_scale04_0003.aedat", "aedat2", (128, 128), 12596, 6429,
        (0, 2070750), (0, 127), (0, 126),
        "ad6f4b5bb4e1 398dd911c2d0 95750adb0285 ada0c42f3e27",
    ),
    Sample(
        "nmnist/sample_nmnist.bin", "nmnist", (34, 34), 4325, 2145,
        (654, 311175), (0, 33), (0, 33),
        "f1b839132258 56ee246ecc27 4ea2c2247151 d850ef116dc3",
    ),
    Sample(
        "rosbag/event_camera_msgs_evt3_640x480.bag", "rosbag", (640, 480), 343474, 125183,
        (7139845, 9218023), (0, 639), (0, 479),
        "dac2ac92549d e88c6492bd68 d4dda6730e92 2416b1ba339a",
        {"special_words": 1800, "trigger_words": 4157},
    ),
)
# fmt: on

REFUSED = (  # (file, what the sentence says)
    ("aedat2/not_a_camera_cochlea.aedat", "cochlea"),
    ("es/generic_not_dvs.es", "Event Stream of generic events"),
    ("aedat31/gesture_mapping.csv", "text"),
    ("dvs128_objects.tar.xz", "xz"),
)
