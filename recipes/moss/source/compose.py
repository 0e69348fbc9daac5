"""Put Moss in front of a procedural forest bokeh:  python compose.py moss_rgba.png image.jpg"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

src, out = sys.argv[1:3]
fg = Image.open(src).convert("RGBA")
W, H = fg.size
k = W / 1536
rng = np.random.default_rng(5)
y, x = np.mgrid[0:H, 0:W].astype(np.float32)
x /= W
y /= H


def col(h):
    return np.array([int(h[i : i + 2], 16) for i in (0, 2, 4)], np.float32)


t = y[..., None]
bg = col("3f6b56") * (1 - t) + col("16261c") * t
bg += (
    col("ffe9a0") * (np.exp(-(((x - 0.30) / 0.26) ** 2 + ((y - 0.12) / 0.38) ** 2)) * 0.48)[..., None]
    + col("8fd6b0") * (np.exp(-(((x - 0.80) / 0.20) ** 2 + ((y - 0.30) / 0.36) ** 2)) * 0.28)[..., None]
)
im = Image.fromarray(np.clip(bg, 0, 255).astype(np.uint8))
d = ImageDraw.Draw(im, "RGBA")
for x0, w, a in (
    (0.03, 0.05, 190),
    (0.15, 0.028, 130),
    (0.235, 0.02, 100),
    (0.70, 0.022, 110),
    (0.79, 0.036, 150),
    (0.91, 0.065, 200),
    (0.60, 0.014, 80),
    (0.40, 0.016, 70),
):
    j = rng.uniform(-0.012, 0.012)
    d.polygon(
        [((x0 + j) * W, 0), ((x0 + w + j) * W, 0), ((x0 + w * 1.15) * W, H), ((x0 - w * 0.1) * W, H)],
        fill=(28, 34, 24, a),
    )
for _ in range(260):
    cx, cy = rng.random() * W, (0.62 + 0.42 * rng.random() ** 0.7) * H
    r = rng.uniform(14, 60) * k
    g = rng.uniform(0.4, 1)
    d.ellipse([cx - r, cy - r * 0.6, cx + r, cy + r * 0.6], fill=(int(40 * g), int(78 * g), int(38 * g), 120))
im = im.filter(ImageFilter.GaussianBlur(20 * k))
B = np.asarray(im, np.float32) / 255
shaft = np.zeros((H, W), np.float32)
for o, w, s in ((0.10, 0.035, 0.16), (0.22, 0.05, 0.2), (0.36, 0.03, 0.12), (0.50, 0.045, 0.10)):
    shaft += s * np.exp(-(((x - y * 0.42 - o) / w) ** 2)) * np.clip(1.05 - y, 0, 1)
B = 1 - (1 - B) * (1 - shaft[..., None] * np.array([1, 0.95, 0.68]) * 0.8)
lay = np.zeros((H, W, 3), np.float32)
for _ in range(70):
    cx, cy = rng.random() * W, rng.beta(1.3, 2.2) * H
    r = rng.uniform(9, 40) * k
    a = rng.uniform(0.06, 0.32)
    c = [(1.0, 0.86, 0.34), (0.66, 0.95, 0.30), (0.38, 0.86, 0.62)][rng.choice(3, p=[0.4, 0.4, 0.2])]
    disc = Image.new("L", (W, H))
    ImageDraw.Draw(disc).ellipse(
        [cx - r, cy - r, cx + r, cy + r], fill=int(a * 255), outline=min(255, int(a * 330)), width=max(1, int(2 * k))
    )
    lay = 1 - (1 - lay) * (
        1
        - (np.asarray(disc.filter(ImageFilter.GaussianBlur(1.4 * k)), np.float32) / 255)[..., None]
        * np.array(c, np.float32)
    )
B = 1 - (1 - B) * (1 - lay * 0.8)
B *= (1 - 0.45 * np.clip(np.hypot((x - 0.5) * 1.2, y - 0.45) - 0.28, 0, 1))[..., None]
F = np.asarray(fg, np.float32) / 255
a = F[..., 3:]
R = F[..., :3] * a + B * (1 - a)
bloom = (
    np.asarray(
        Image.fromarray((np.clip(R - 0.7, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(16 * k)),
        np.float32,
    )
    / 255
)
R = R + bloom * 0.4
R = R + rng.normal(0, 0.006, (H, W, 1)) * (1 - 0.5 * R)
Image.fromarray((np.clip(R, 0, 1) * 255 + 0.5).astype(np.uint8)).save(out, quality=94, subsampling=0)
