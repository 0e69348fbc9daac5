"""Put the rendered character in front of a procedural museum-hall bokeh:  python compose.py iris_rgba.png image.jpg"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

src, out = sys.argv[1:3]
fg = Image.open(src).convert("RGBA")
W, H = fg.size
k = W / 1536
rng = np.random.default_rng(11)
y, x = np.mgrid[0:H, 0:W].astype(np.float32)
x /= W
y /= H


def col(h):
    return np.array([int(h[i : i + 2], 16) for i in (0, 2, 4)], np.float32)


t = y[..., None]
bg = col("8c6f55") * (1 - t) + col("3a2f29") * t
bg = (
    bg * (1 - 0.0)
    + col("a98a66") * np.exp(-(((x - 0.24) / 0.20) ** 2 + ((y - 0.34) / 0.42) ** 2))[..., None] * 0.75
    + col("8fa0a3") * np.exp(-(((x - 0.86) / 0.14) ** 2 + ((y - 0.40) / 0.5) ** 2))[..., None] * 0.30
)
im = Image.fromarray(np.clip(bg, 0, 255).astype(np.uint8))
d = ImageDraw.Draw(im, "RGBA")


def box(x0, y0, x1, y1, c, a):
    d.rectangle([x0 * W, y0 * H, x1 * W, y1 * H], fill=tuple(int(v) for v in col(c)) + (a,))


for x0 in (0.0, 0.31, 0.62, 0.93):
    box(x0, 0, x0 + 0.045, 1, "3a3029", 150)  # pilasters
for x0, y0, x1, y1, c in (
    (0.075, 0.16, 0.205, 0.56, "c9a15a"),
    (0.235, 0.24, 0.295, 0.48, "b98a4a"),
    (0.70, 0.12, 0.80, 0.50, "c79d57"),
    (0.835, 0.20, 0.90, 0.46, "b58c50"),
):
    box(x0, y0, x1, y1, c, 190)
    box(x0 + 0.010, y0 + 0.015, x1 - 0.010, y1 - 0.015, "4c4a47" if x0 < 0.5 else "3c5157", 235)  # framed pictures
    box(x0 + 0.02, y0 + 0.06, x1 - 0.03, y0 + 0.18, "8d7b66", 130)
box(0, 0.80, 1, 1, "231c19", 150)
im = im.filter(ImageFilter.GaussianBlur(26 * k))
lay = Image.new("RGB", (W, H))
dd = ImageDraw.Draw(lay, "RGBA")
lamps = [
    (
        0.02 + 0.085 * i + rng.normal(0, 0.008),
        0.07 + 0.035 * abs(i - 5.5) / 5.5 + rng.normal(0, 0.010),
        rng.uniform(24, 40),
    )
    for i in range(12)
]  # ceiling spots, in a row
lamps += [(0.04 + 0.13 * i + rng.normal(0, 0.015), 0.20 + rng.normal(0, 0.02), rng.uniform(12, 22)) for i in range(8)]
lamps += [
    (rng.choice([rng.uniform(0.0, 0.27), rng.uniform(0.73, 1.0)]), rng.uniform(0.30, 0.66), rng.uniform(14, 34))
    for _ in range(14)
]
for cx, cy, R in lamps:  # out-of-focus lamps
    cx, cy, R = cx * W, cy * H, R * k
    a = int(rng.uniform(30, 105))
    c = [(255, 214, 150), (255, 190, 110), (255, 232, 196), (210, 226, 235)][rng.choice(4, p=[0.4, 0.25, 0.25, 0.1])]
    disc = Image.new("L", (W, H))
    e = ImageDraw.Draw(disc)
    e.ellipse([cx - R, cy - R, cx + R, cy + R], fill=a, outline=min(255, int(a * 1.35)), width=max(1, int(2 * k)))
    lay.paste(Image.new("RGB", (W, H), c), (0, 0), disc.filter(ImageFilter.GaussianBlur(1.6 * k)))
B = np.asarray(im, np.float32) / 255
L = np.asarray(lay, np.float32) / 255
B = 1 - (1 - B) * (1 - L * 0.75)
B *= (1 - 0.38 * np.clip(np.hypot((x - 0.5) * 1.25, y - 0.45) - 0.25, 0, 1))[..., None]
F = np.asarray(fg, np.float32) / 255
a = F[..., 3:]
R = F[..., :3] * a + B * (1 - a)
bloom = (
    np.asarray(
        Image.fromarray((np.clip(R - 0.72, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(14 * k)),
        np.float32,
    )
    / 255
)
R = np.clip(R + bloom * 0.35, 0, None) ** 0.88  # bloom and a gentle lift
g = rng.normal(0, 0.009, (H, W, 1)) + rng.normal(0, 0.004, (H, W, 3))
R = R + g * (1 - 0.5 * R)  # film grain
import cv2  # retouch: larger eyes, a faint smile, no dip at the parting

yy, xx = np.mgrid[0:H, 0:W].astype(np.float32)
mx, my = xx.copy(), yy.copy()
for cx, cy in ((700 * k, 446 * k), (836 * k, 446 * k)):
    fall = np.clip(1 - (np.hypot(xx - cx, (yy - cy) * 1.15) / (64 * k)) ** 2, 0, 1) ** 2
    z = 1 - 0.20 * fall
    mx = np.where(fall > 0, cx + (mx - cx) * z, mx)
    my = np.where(fall > 0, cy + (my - cy) * z, my)
for cx, cy, sx, sy, up in ((704, 584, 26, 20, 5), (831, 584, 26, 20, 5), (858, 176, 52, 46, 24), (905, 205, 60, 60, 6)):
    my += up * k * np.exp(-(((xx / k - cx) / sx) ** 2 + ((yy / k - cy) / sy) ** 2))
R = cv2.remap(np.ascontiguousarray(R, np.float32), mx, my, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
Image.fromarray((np.clip(R, 0, 1) * 255 + 0.5).astype(np.uint8)).save(out, quality=94, subsampling=0)
