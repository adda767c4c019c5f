"""Random changes to frame images while training: mirrored, cropped, shifted, turned, scaled."""

import math
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional


class Augment(BaseModel):
    """Limits of the changes; each image draws its own, uniform within them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of images that are mirrored left to right
    crop_pixels: Annotated[int, Field(ge=0)] = 0  # moved by up to so many whole pixels; black comes in from outside
    shift_pixels: Annotated[float, Field(ge=0)] = 0.0  # moved by fractions of a pixel, interpolated
    rotate_degrees: Annotated[float, Field(ge=0)] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0  # 0.1: between 0.9 and 1.1 times as large


def augment(images: torch.Tensor, how: Augment, draw: torch.Generator) -> torch.Tensor:
    """Each image (n, channel, height, width) changed by its own random amounts; `draw` decides."""
    if how.flip:
        mirrored = torch.rand(len(images), generator=draw) < how.flip
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    if how.crop_pixels:
        images = _crop(images, how.crop_pixels, draw)
    if how.shift_pixels or how.rotate_degrees or how.scale:
        images = _warp(images, how, draw)
    return images


def _crop(images: torch.Tensor, limit: int, draw: torch.Generator) -> torch.Tensor:
    n, channels, height, width = images.shape
    padded = functional.pad(images, (limit, limit, limit, limit))
    top, left = torch.randint(0, 2 * limit + 1, (2, n, 1), generator=draw)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    return padded[
        torch.arange(n)[:, None, None, None],
        torch.arange(channels)[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def _warp(images: torch.Tensor, how: Augment, draw: torch.Generator) -> torch.Tensor:
    n, _, height, width = images.shape

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(n, generator=draw) * 2 - 1) * limit

    angle, size = uniform(math.radians(how.rotate_degrees)), 1 + uniform(how.scale)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos() / size
    matrix[:, 1, 0] = angle.sin() / size
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    matrix[:, 0, 2] = uniform(how.shift_pixels) * 2 / width
    matrix[:, 1, 2] = uniform(how.shift_pixels) * 2 / height
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
