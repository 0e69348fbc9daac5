"""Drawing textured triangles, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Pixels = NDArray[np.uint8]
Packed = NDArray[np.uint32]

_RB = np.uint32(0x00FF00FF)
_HALF = np.uint32(0x00800080)
_EIGHT = np.uint32(8)
_ONE = np.uintp(1)


def packed(texture: Pixels) -> Packed:
    """The same texture memory with a texel in one number, (h, w); red is the lowest byte."""
    return texture.view("<u4")[..., 0]


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba
def draw_mesh(frame: Pixels, texture: Packed, points: F32, texels: F32, triangles: I32, solid: Pixels) -> None:
    """Draw triangles over the frame, in order.

    frame: (h, w, 3). texture: (th, tw), packed RGBA, colour premultiplied by its alpha. points, texels: (n, 2), x and y
    of each vertex in the frame and in the texture (pixel centres at integers). triangles: (m, 3). solid: (m,), 1 where
    the texture is opaque throughout. Spans are half open, so triangles that share an edge share no pixel. Texels are
    read bilinearly, two channels in one multiplication.
    """
    height, width = frame.shape[0], frame.shape[1]
    u_max, v_max = np.float32(texture.shape[1] - 1.001), np.float32(texture.shape[0] - 1.001)
    zero = np.float32(0)
    for t in range(triangles.shape[0]):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        # sorted by y (then by index): the same edge is then always computed from the same end
        if points[i1, 1] < points[i0, 1] or (points[i1, 1] == points[i0, 1] and i1 < i0):
            i0, i1 = i1, i0
        if points[i2, 1] < points[i0, 1] or (points[i2, 1] == points[i0, 1] and i2 < i0):
            i0, i2 = i2, i0
        if points[i2, 1] < points[i1, 1] or (points[i2, 1] == points[i1, 1] and i2 < i1):
            i1, i2 = i2, i1
        x0, y0 = points[i0, 0], points[i0, 1]
        x1, y1 = points[i1, 0], points[i1, 1]
        x2, y2 = points[i2, 0], points[i2, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-6 or y2 < 0 or y0 >= height:
            continue
        inverse = np.float32(1.0) / area
        u0, v0 = texels[i0, 0], texels[i0, 1]
        du1, dv1 = texels[i1, 0] - u0, texels[i1, 1] - v0
        du2, dv2 = texels[i2, 0] - u0, texels[i2, 1] - v0
        u_x = np.float32((du1 * (y2 - y0) - du2 * (y1 - y0)) * inverse)
        u_y = (du2 * (x1 - x0) - du1 * (x2 - x0)) * inverse
        v_x = np.float32((dv1 * (y2 - y0) - dv2 * (y1 - y0)) * inverse)
        v_y = (dv2 * (x1 - x0) - dv1 * (x2 - x0)) * inverse
        long_slope = (x2 - x0) / max(y2 - y0, np.float32(1e-9))
        top_slope = (x1 - x0) / max(y1 - y0, np.float32(1e-9))
        low_slope = (x2 - x1) / max(y2 - y1, np.float32(1e-9))
        opaque = solid[t] == 1
        for y in range(max(0, int(np.ceil(y0))), min(height, int(np.ceil(y2)))):
            xa = x0 + (y - y0) * long_slope
            xb = x0 + (y - y0) * top_slope if y < y1 else x1 + (y - y1) * low_slope
            if xb < xa:
                xa, xb = xb, xa
            begin, end = max(0, int(np.ceil(xa))), min(width, int(np.ceil(xb)))
            u = np.float32(u0 + (begin - x0) * u_x + (y - y0) * u_y)
            v = np.float32(v0 + (begin - x0) * v_x + (y - y0) * v_y)
            row = frame[np.uintp(y)]
            for column in range(begin, end):
                x = np.uintp(column)  # unsigned: no check for counting from the end
                uc = min(max(u, zero), u_max)
                vc = min(max(v, zero), v_max)
                u += u_x
                v += v_x
                left, top = np.int32(uc), np.int32(vc)
                fu = np.uint32((uc - left) * np.float32(256))
                fv = np.uint32((vc - top) * np.float32(256))
                w11 = np.uint32((fu * fv) >> _EIGHT)
                w10 = np.uint32(fu - w11)
                w01 = np.uint32(fv - w11)
                w00 = np.uint32(np.uint32(256) - fu - w01)
                i, j = np.uintp(left), np.uintp(top)
                a, b = texture[j, i], texture[j, i + _ONE]
                c, d = texture[j + _ONE, i], texture[j + _ONE, i + _ONE]
                rb = np.uint32((a & _RB) * w00 + (b & _RB) * w10 + (c & _RB) * w01 + (d & _RB) * w11 + _HALF)
                ga = np.uint32(
                    ((a >> _EIGHT) & _RB) * w00
                    + ((b >> _EIGHT) & _RB) * w10
                    + ((c >> _EIGHT) & _RB) * w01
                    + ((d >> _EIGHT) & _RB) * w11
                    + _HALF
                )
                red, blue = (rb >> 8) & 255, (rb >> 24) & 255
                green, alpha = (ga >> 8) & 255, (ga >> 24) & 255
                if opaque or alpha == 255:
                    row[x, 0] = red
                    row[x, 1] = green
                    row[x, 2] = blue
                elif alpha > 0:
                    rest = 256 - alpha
                    row[x, 0] = min(red + ((row[x, 0] * rest) >> 8), 255)
                    row[x, 1] = min(green + ((row[x, 1] * rest) >> 8), 255)
                    row[x, 2] = min(blue + ((row[x, 2] * rest) >> 8), 255)
