"""Draw what a camera looks at: bodies made of shaded capsules, and images that slide.

A capsule is the shape swept by a disc that changes its radius from one end to the other: limbs, hands, heads and trunks
are all made of them. Edges are anti-aliased over one pixel, so that slow movement changes intensities smoothly.
"""

import math

from ..kernel_cache import kernel

# Columns of a capsule: both ends and radii in pixels, surface in intensity, cloth as stripes along the axis.
X0, Y0, R0, X1, Y1, R1, ALBEDO, STRIPES, PHASE, CONTRAST, COLUMNS = range(11)


@kernel
def draw_capsules(background, capsules, light, ambient, gain, frames):
    """frames[k] = gain[k] * (background with capsules[k] drawn over it, first to last).

    `background` (H, W), `capsules` (K, N, COLUMNS), `light` unit vector towards the light (x right, y down, z to the
    viewer), `ambient` share of light without direction, `gain` (K,), `frames` (K, H, W) is written.
    """
    for k in range(capsules.shape[0]):
        for y in range(frames.shape[1]):
            for x in range(frames.shape[2]):
                frames[k, y, x] = background[y, x] * gain[k]
        for n in range(capsules.shape[1]):
            draw_capsule(capsules[k, n], light, ambient, gain[k], frames[k])


@kernel
def draw_capsule(capsule, light, ambient, gain, frame):
    """frame = (1 - coverage) * frame + coverage * gain * albedo * cloth * lambert, in the capsule's bounding box."""
    x0, y0, r0 = capsule[X0], capsule[Y0], capsule[R0]
    dx, dy, dr = capsule[X1] - x0, capsule[Y1] - y0, capsule[R1] - r0
    length2 = dx * dx + dy * dy
    widest = max(r0, r0 + dr) + 1.0
    left = max(0, int(math.floor(min(x0, x0 + dx) - widest)))
    right = min(frame.shape[1] - 1, int(math.ceil(max(x0, x0 + dx) + widest)))
    top = max(0, int(math.floor(min(y0, y0 + dy) - widest)))
    bottom = min(frame.shape[0] - 1, int(math.ceil(max(y0, y0 + dy) + widest)))
    albedo, stripes, contrast = capsule[ALBEDO] * gain, capsule[STRIPES], capsule[CONTRAST]
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            px, py = x - x0, y - y0
            along = 0.0
            if length2 > 0.0:
                along = min(max((px * dx + py * dy) / length2, 0.0), 1.0)
            px -= along * dx
            py -= along * dy
            radius = r0 + along * dr
            off2 = px * px + py * py
            if off2 >= (radius + 0.5) * (radius + 0.5):
                continue
            coverage = min(radius + 0.5 - math.sqrt(off2), 1.0)
            nx, ny = px / radius, py / radius
            nz = math.sqrt(max(0.0, 1.0 - nx * nx - ny * ny))
            lambert = max(0.0, nx * light[0] + ny * light[1] + nz * light[2])
            colour = albedo * (ambient + (1.0 - ambient) * lambert)
            if contrast > 0.0:
                wave = stripes * along + capsule[PHASE]
                wave -= math.floor(wave)
                colour *= 1.0 + contrast * (4.0 * abs(wave - 0.5) - 1.0)
            frame[y, x] += coverage * (colour - frame[y, x])


@kernel
def slide(image, left, top, outside, frames):
    """frames[k, y, x] = image at (x - left[k], y - top[k]), bilinear; `outside` beyond the image's border."""
    height, width = image.shape
    for k in range(frames.shape[0]):
        x_whole, y_whole = int(math.floor(left[k])), int(math.floor(top[k]))
        fx, fy = left[k] - x_whole, top[k] - y_whole  # the image lies fx, fy further right and down than whole pixels
        for y in range(frames.shape[1]):
            for x in range(frames.shape[2]):
                u, v = x - x_whole, y - y_whole
                here, west, north, northwest = outside, outside, outside, outside
                if 0 <= v < height:
                    if 0 <= u < width:
                        here = image[v, u]
                    if 0 <= u - 1 < width:
                        west = image[v, u - 1]
                if 0 <= v - 1 < height:
                    if 0 <= u < width:
                        north = image[v - 1, u]
                    if 0 <= u - 1 < width:
                        northwest = image[v - 1, u - 1]
                low = here + fx * (west - here)
                high = north + fx * (northwest - north)
                frames[k, y, x] = low + fy * (high - low)
