"""Labelled inputs to search on."""

import numpy as np

from dvs_run.pipeline.convert.calibration import make_inputs

from ..sides import SHAPE, images

LABELS = ["right", "left"]


def inputs(n=600, labelled=True, copies=0):
    values, labels = images(n, seed=n)
    if copies:
        values, labels = np.concatenate([values, values[:copies]]), np.concatenate([labels, labels[:copies]])
    return make_inputs(values, SHAPE, labels if labelled else None, LABELS)
