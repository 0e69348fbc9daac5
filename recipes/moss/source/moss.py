"""Model, groom and render "Moss" from scratch.

    python moss.py --out moss_rgba.png [--scale 100] [--samples 64] [--fuzz 140000]

Needs: pip install bpy==5.0.1 numpy scikit-image
"""

import argparse
import math
import os

import bpy
import numpy as np
from mathutils import Vector
from skimage.measure import marching_cubes

ap = argparse.ArgumentParser()
ap.add_argument("--out", required=True)
ap.add_argument("--scale", type=int, default=100)
ap.add_argument("--samples", type=int, default=64)
ap.add_argument("--threads", type=int, default=1)
ap.add_argument("--fuzz", type=int, default=140000)
ap.add_argument("--voxel", type=float, default=0.0125)
A = ap.parse_args()
rng = np.random.default_rng(3)

# ---------------------------------------------------------------- shape: a signed distance field
EYE, ER = np.array([0.40, -0.56, 0.33]), 0.285
MOUTH_Z, MOUTH_W = -0.335, 0.60


def smin(a, b, k):
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b * (1 - h) + a * h - k * h * (1 - h)


def ell(P, c, r):
    q = (P - np.array(c)) / np.array(r)
    k0 = np.linalg.norm(q, axis=-1)
    k1 = np.linalg.norm(q / np.array(r), axis=-1)
    return k0 * (k0 - 1) / (k1 + 1e-9)


def mouth_dist(P):
    x, z = P[..., 0], P[..., 2]
    ax = np.minimum(np.abs(x), MOUTH_W)
    zc = MOUTH_Z + 0.115 * (ax / MOUTH_W) ** 2.6 + 0.012 * np.cos(ax * 9) * np.exp(-((ax / 0.25) ** 2))
    return np.hypot(z - zc, np.maximum(0, np.abs(x) - MOUTH_W)), z - zc


def sdf(P):
    M = P.copy()
    M[..., 0] = np.abs(M[..., 0])
    f = ell(P, (0, 0.05, -0.02), (0.98, 0.80, 0.78))
    f = smin(f, ell(P, (0, -0.34, -0.34), (0.66, 0.52, 0.40)), 0.22)
    f = smin(f, ell(M, (0.52, -0.25, -0.30), (0.42, 0.42, 0.36)), 0.2)
    f = smin(f, ell(P, (0, 0.25, -1.30), (0.95, 0.66, 0.80)), 0.22)
    f = smin(f, ell(M, (0.86, 0.22, -1.42), (0.36, 0.40, 0.50)), 0.2)
    f = smin(f, ell(P, (0, -0.10, -1.40), (0.66, 0.60, 0.60)), 0.15)
    f = smin(f, ell(M, EYE + [0, 0.10, 0.02], (ER * 1.22,) * 3), 0.14)
    f = smin(f, ell(P, (0, -0.86, -0.02), (0.165, 0.13, 0.10)), 0.07)  # nose
    lid = ell(M, EYE, (ER + 0.035,) * 3)
    f = smin(f, lid, 0.03)
    ap_ = ell(M, EYE + [0.005, -0.34, -0.030], (0.226, 0.36, 0.156))
    f = -smin(-f, ap_, 0.035)  # lids opening
    front = 1 / (1 + np.exp((P[..., 1] + 0.35) / 0.05))
    d, s = mouth_dist(P)
    taper = 1 - 0.55 * np.clip((np.abs(P[..., 0]) / MOUTH_W) ** 3, 0, 1)
    f = f - front * 0.052 * taper * np.exp(-(((d - 0.052) / 0.036) ** 2)) * np.where(s > 0, 0.85, 1.15)
    f = f + front * 0.034 * np.exp(-((d / 0.013) ** 2))
    f = f + front * 0.020 * np.exp(
        -(((np.abs(P[..., 0]) - MOUTH_W - 0.03) / 0.05) ** 2) - ((P[..., 2] - MOUTH_Z - 0.13) / 0.07) ** 2
    )  # dimples
    f = f + front * 0.045 * np.exp(
        -(((M[..., 0] - 0.075) / 0.030) ** 2) - ((P[..., 2] + 0.015) / 0.022) ** 2
    )  # nostrils
    return f


h = A.voxel
xs, ys, zs = np.arange(-1.4, 1.4, h), np.arange(-1.1, 1.1, h), np.arange(-1.95, 1.0, h)
G = np.stack(np.meshgrid(xs, ys, zs, indexing="ij"), -1)
F = sdf(G)
v, f, n, _ = marching_cubes(F, 0, spacing=(h,) * 3)
v = v + [xs[0], ys[0], zs[0]]


def normals(P, e=2e-3):
    g = np.stack([sdf(P + d) - sdf(P - d) for d in np.eye(3) * e], -1)
    return g / np.linalg.norm(g, axis=-1, keepdims=True)


bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene


def make(name, verts, faces, level=0):
    me = bpy.data.meshes.new(name)
    me.from_pydata([tuple(map(float, p)) for p in verts], [], [tuple(map(int, q)) for q in faces])
    me.update()
    me.polygons.foreach_set("use_smooth", [True] * len(me.polygons))
    ob = bpy.data.objects.new(name, me)
    scene.collection.objects.link(ob)
    if level:
        s = ob.modifiers.new("s", "SUBSURF")
        s.levels = s.render_levels = level
    return ob


def attr(ob, name, vals):
    ob.data.attributes.new(name, "FLOAT", "POINT").data.foreach_set("value", np.asarray(vals, np.float32))


for _ in range(2):
    v = v - normals(v) * sdf(v)[:, None] * 0.8
body = make("body", v, f[:, ::-1])


def masks(P):
    d, s = mouth_dist(P)
    fr = P[:, 1] < -0.25
    M = np.abs(P[:, :1]) * [1, 0, 0] + P * [0, 1, 1]
    lips = fr * np.exp(-((np.clip(d - 0.045, 0, 9) / 0.030) ** 2))
    line = fr * np.exp(-((d / 0.011) ** 2))
    lid = np.clip(1 - (np.linalg.norm(M - EYE, axis=1) - ER - 0.035) / 0.03, 0, 1)
    muz = 1 / (1 + np.exp((np.linalg.norm((P - [0, -0.75, -0.33]) / [0.72, 0.6, 0.40], axis=1) - 1) / 0.07))
    belly = 1 / (1 + np.exp((np.linalg.norm((P - [0, -0.75, -1.5]) / [0.55, 0.7, 0.55], axis=1) - 1) / 0.07))
    nose = fr * np.exp(-((P[:, 0] / 0.165) ** 6) - ((P[:, 2] + 0.02) / 0.095) ** 6)
    cheek = fr * np.exp(-(((M[:, 0] - 0.66) / 0.14) ** 2) - ((P[:, 2] + 0.12) / 0.11) ** 2)
    return lips, line, lid, np.maximum(muz, belly), nose, cheek


for nme, val in zip(("lips", "line", "lid", "light", "nose", "cheek"), masks(v)):
    attr(body, nme, val)


# ---------------------------------------------------------------- materials
class N:
    def __init__(s, name):
        s.m = bpy.data.materials.new(name)
        s.m.use_nodes = True
        s.t = s.m.node_tree
        s.t.nodes.clear()
        s.out = s.add("ShaderNodeOutputMaterial")
        s.tc = s.add("ShaderNodeTexCoord").outputs["Object"]

    def add(s, typ, inp=None, **kw):
        n = s.t.nodes.new(typ)
        for k, v in kw.items():
            setattr(n, k, v)
        for k, v in (inp or {}).items():
            s.set(n, k, v)
        return n

    def set(s, n, k, v):
        if isinstance(v, bpy.types.NodeSocket):
            s.t.links.new(v, n.inputs[k])
        else:
            n.inputs[k].default_value = v

    def mix(s, f, a, b):
        n = s.add("ShaderNodeMix", data_type="RGBA")
        for i, v in ((0, f), (6, a), (7, b)):
            s.set(n, i, v)
        return n.outputs[2]

    def math(s, op, a, b=0.0):
        n = s.add("ShaderNodeMath", operation=op)
        s.set(n, 0, a)
        s.set(n, 1, b)
        return n.outputs[0]

    def noise(s, scale, detail=3.0, vec=None):
        return s.add("ShaderNodeTexNoise", {"Scale": scale, "Detail": detail, "Vector": vec or s.tc}).outputs[0]

    def ramp(s, v, lo, hi):
        return s.add(
            "ShaderNodeMapRange", {"Value": v, "From Min": lo, "From Max": hi}, interpolation_type="SMOOTHSTEP"
        ).outputs[0]

    def at(s, n):
        return s.add("ShaderNodeAttribute", attribute_name=n).outputs["Fac"]

    def done(s, sh):
        s.t.links.new(sh.outputs[0], s.out.inputs[0])
        return s.m


def rgb(h):
    c = [int(h[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    return tuple(((x + 0.055) / 1.055) ** 2.4 if x > 0.04045 else x / 12.92 for x in c) + (1.0,)


m = N("skin")
c = m.mix(m.ramp(m.noise(3.2, 4), 0.35, 0.68), rgb("6f9a43"), rgb("8fb456"))
c = m.mix(m.at("light"), c, m.mix(m.noise(5, 3), rgb("cdd58e"), rgb("dbe0a6")))
c = m.mix(m.math("MULTIPLY", m.at("cheek"), 0.45), c, rgb("e59a72"))
spots = m.add("ShaderNodeTexVoronoi", {"Vector": m.tc, "Scale": 7.5}).outputs[0]
c = m.mix(m.math("MULTIPLY", m.ramp(spots, 0.20, 0.12), 0.0), c, rgb("4f7a34"))
c = m.mix(m.math("MULTIPLY", m.at("lid"), 0.65), c, m.mix(m.noise(14, 3), rgb("7aa14b"), rgb("93b660")))
c = m.mix(m.math("MULTIPLY", m.at("nose"), 0.85), c, rgb("4a3a2c"))
c = m.mix(
    m.math("MULTIPLY", m.at("lips"), 0.92), c, m.mix(m.ramp(m.noise(9, 4), 0.3, 0.7), rgb("b8695a"), rgb("a2584c"))
)
c = m.mix(m.at("line"), c, rgb("3a1f1c"))
bmp = m.math(
    "ADD",
    m.math("MULTIPLY", m.noise(60, 4), 0.5),
    m.math(
        "MULTIPLY", m.ramp(m.add("ShaderNodeTexVoronoi", {"Vector": m.tc, "Scale": 48.0}).outputs[0], 0.0, 0.6), 0.7
    ),
)
b = m.add(
    "ShaderNodeBsdfPrincipled",
    {
        "Base Color": c,
        "Roughness": m.math("SUBTRACT", 0.55, m.math("MULTIPLY", m.math("MAXIMUM", m.at("lips"), m.at("nose")), 0.22)),
        "Subsurface Weight": 0.8,
        "Subsurface Radius": (0.9, 0.8, 0.35),
        "Subsurface Scale": 0.045,
        "Normal": m.add("ShaderNodeBump", {"Height": bmp, "Strength": 0.28, "Distance": 0.012}).outputs[0],
    },
)
body.data.materials.append(m.done(b))


# eyes
def ball(c, R, name, fn, n=96, k=72):
    vs, fs = [], []
    for i in range(k + 1):
        r, y = fn(math.pi * i / k, R)
        for j in range(n):
            a = 2 * math.pi * j / n
            vs.append((c[0] + r * math.cos(a), c[1] - y, c[2] + r * math.sin(a)))
    for i in range(k):
        for j in range(n):
            fs.append((i * n + j, i * n + (j + 1) % n, (i + 1) * n + (j + 1) % n, (i + 1) * n + j))
    return make(name, vs, fs)


IR = 0.168
IA = math.asin(IR / ER)


def inner(th, R):
    if th < IA:
        t = th / IA
        return R * math.sin(IA) * t, R * math.cos(IA) - 0.03 * (1 - t * t)
    return R * math.sin(th), R * math.cos(th)


def outer(th, R):
    R2 = R + 0.003 + 0.028 * max(0, 1 - (th / (IA * 1.1)) ** 2) ** 1.4
    return R2 * math.sin(th), R2 * math.cos(th)


for s in (1, -1):
    c0 = EYE * [s, 1, 1]
    e, w = ball(c0, ER, "eye", inner), ball(c0, ER, "wet", outer)
    m = N("eye")
    sub = m.add("ShaderNodeVectorMath", operation="SUBTRACT")
    m.set(sub, 0, m.add("ShaderNodeNewGeometry").outputs["Position"])
    m.set(sub, 1, tuple(c0 + [-s * 0.012, 0, 0]))
    X, Y, Z = m.add("ShaderNodeSeparateXYZ", {0: sub.outputs[0]}).outputs
    r = m.math("SQRT", m.math("ADD", m.math("MULTIPLY", X, X), m.math("MULTIPLY", Z, Z)))
    t = m.math("DIVIDE", r, IR)
    a = m.math("ARCTAN2", Z, X)
    pol = m.add(
        "ShaderNodeCombineXYZ",
        {
            0: m.math("MULTIPLY", m.math("COSINE", a), 6.0),
            1: m.math("MULTIPLY", m.math("SINE", a), 6.0),
            2: m.math("MULTIPLY", r, 6.0),
        },
    ).outputs[0]
    fib = m.noise(2.2, 5, pol)
    col = m.mix(m.ramp(t, 0.45, 0.95), rgb("e8a62c"), rgb("a8611a"))
    col = m.mix(m.ramp(fib, 0.4, 0.68), col, rgb("f7d065"))
    col = m.mix(m.ramp(t, 0.80, 0.98), col, rgb("3b1c0a"))
    col = m.mix(m.ramp(t, 0.50, 0.46), col, rgb("070504"))
    col = m.mix(m.ramp(t, 0.98, 1.05), col, m.mix(m.ramp(r, 0.18, 0.28), rgb("f3ecdc"), rgb("d9bd9c")))
    e.data.materials.append(
        m.done(m.add("ShaderNodeBsdfPrincipled", {"Base Color": col, "Roughness": 0.4, "Specular IOR Level": 0.2}))
    )
    k = N("wet")
    mx = k.add(
        "ShaderNodeMixShader",
        {
            0: k.add("ShaderNodeFresnel", {"IOR": 1.4}).outputs[0],
            1: k.add("ShaderNodeBsdfTransparent").outputs[0],
            2: k.add("ShaderNodeBsdfGlossy", {"Roughness": 0.03, "Color": (1, 1, 1, 1)}).outputs[0],
        },
    )
    w.data.materials.append(k.done(mx))
    w.visible_shadow = False

# horns and leaf ears
hm = N("horn")
z = hm.add("ShaderNodeSeparateXYZ", {0: hm.tc}).outputs[2]
band = hm.add(
    "ShaderNodeTexWave", {"Vector": hm.tc, "Scale": 9.0, "Distortion": 2.0, "Detail": 3.0}, bands_direction="Z"
).outputs[1]
hm.done(
    hm.add(
        "ShaderNodeBsdfPrincipled",
        {
            "Base Color": hm.mix(hm.ramp(z, 0.72, 1.12), rgb("7d5a3c"), rgb("ead9b5")),
            "Roughness": 0.5,
            "Subsurface Weight": 0.4,
            "Subsurface Scale": 0.04,
            "Normal": hm.add("ShaderNodeBump", {"Height": band, "Strength": 0.5, "Distance": 0.02}).outputs[0],
        },
    )
)
lm = N("leaf")
uvx = lm.at("u")
uvy = lm.at("w")
vein = lm.math(
    "MAXIMUM",
    lm.ramp(lm.math("ABSOLUTE", uvx), 0.06, 0.0),
    lm.math(
        "MULTIPLY",
        lm.ramp(
            lm.math(
                "ABSOLUTE",
                lm.math(
                    "SUBTRACT",
                    lm.math(
                        "FRACT",
                        lm.math(
                            "MULTIPLY",
                            lm.math("SUBTRACT", uvy, lm.math("MULTIPLY", lm.math("ABSOLUTE", uvx), 0.22)),
                            7.0,
                        ),
                    ),
                    0.5,
                ),
            ),
            0.09,
            0.0,
        ),
        0.7,
    ),
)
lc = lm.mix(lm.ramp(lm.noise(4, 4), 0.3, 0.7), rgb("5f8f3a"), rgb("8fbb4e"))
lc = lm.mix(lm.math("MULTIPLY", lm.ramp(uvy, 0.55, 1.0), 0.7), lc, rgb("c9a24a"))
lc = lm.mix(lm.math("MULTIPLY", vein, 0.75), lc, rgb("cfe08c"))
lb = lm.add(
    "ShaderNodeBsdfPrincipled",
    {
        "Base Color": lc,
        "Roughness": 0.45,
        "Normal": lm.add("ShaderNodeBump", {"Height": vein, "Strength": 0.5, "Distance": 0.012}).outputs[0],
    },
)
lt = lm.add("ShaderNodeBsdfTranslucent", {"Color": lm.mix(0.5, lc, rgb("d8ee70"))})
lm.done(lm.add("ShaderNodeMixShader", {0: 0.35, 1: lb.outputs[0], 2: lt.outputs[0]}))
for s in (1, -1):
    vs, fs = [], []
    K, J = 18, 24
    for i in range(K + 1):
        t = i / K
        c0 = np.array([s * (0.43 + 0.10 * t + 0.10 * t * t), 0.10 - 0.03 * t, 0.62 + 0.52 * t - 0.06 * t * t])
        rr = 0.150 * (1 - t) ** 0.75 + 0.004
        ax = np.array([s * 0.3, 0, 1])
        ax /= np.linalg.norm(ax)
        u = np.cross(ax, [0, 1, 0])
        w = np.cross(ax, u)
        for j in range(J):
            a = 2 * math.pi * j / J
            vs.append(c0 + rr * (1 + 0.025 * math.sin(t * 34)) * (u * math.cos(a) + w * math.sin(a)))
    for i in range(K):
        for j in range(J):
            fs.append((i * J + j, i * J + (j + 1) % J, (i + 1) * J + (j + 1) % J, (i + 1) * J + j))
    make("horn", vs, fs, 1).data.materials.append(hm.m)
    vs, fs, U, W = [], [], [], []
    K, J = 30, 16
    d = np.array([s * 0.93, -0.06, 0.36])
    d /= np.linalg.norm(d)
    side = np.array([-s * 0.34, -0.20, 0.93])
    side -= d * (side @ d)
    side /= np.linalg.norm(side)
    nn = np.cross(d, side) * s
    for i in range(K + 1):
        t = i / K
        wd = 0.235 * math.sin(math.pi * min(1, 0.06 + 0.94 * t) ** 0.72) ** 0.85
        for j in range(J + 1):
            u = 2 * j / J - 1
            p = (
                np.array([s * 0.80, 0.05, 0.20])
                + d * (0.86 * t)
                + side * (wd * u)
                + nn * (0.10 * u * u * math.sin(math.pi * t) - 0.02 - 0.07 * t * t)
                + np.array([0, 0, -0.13]) * t**2.2
            )
            vs.append(p)
            U.append(u)
            W.append(t)
    for i in range(K):
        for j in range(J):
            fs.append((i * (J + 1) + j, i * (J + 1) + j + 1, (i + 1) * (J + 1) + j + 1, (i + 1) * (J + 1) + j))
    leaf = make("leaf", vs, fs)
    attr(leaf, "u", U)
    attr(leaf, "w", W)
    so = leaf.modifiers.new("t", "SOLIDIFY")
    so.thickness = 0.018
    so.offset = 0
    ss = leaf.modifiers.new("s", "SUBSURF")
    ss.levels = ss.render_levels = 1
    leaf.data.materials.append(lm.m)


# two little mushrooms on the head
def lathe(name, prof, at, tilt, mat):
    vs, fs = [], []
    J = 40
    R = np.array(__import__("mathutils").Euler(tilt).to_matrix())
    for r_, z_ in prof:
        for j in range(J):
            a = 2 * math.pi * j / J
            vs.append(R @ np.array([r_ * math.cos(a), r_ * math.sin(a), z_]) + at)
    for i in range(len(prof) - 1):
        for j in range(J):
            fs.append((i * J + j, i * J + (j + 1) % J, (i + 1) * J + (j + 1) % J, (i + 1) * J + j))
    make(name, vs, fs, 2).data.materials.append(mat)


cm = N("cap")
vo = cm.add("ShaderNodeTexVoronoi", {"Vector": cm.tc, "Scale": 13.0}).outputs[0]
cm.done(
    cm.add(
        "ShaderNodeBsdfPrincipled",
        {
            "Base Color": cm.mix(cm.ramp(vo, 0.30, 0.25), rgb("c2482f"), rgb("f5ead2")),
            "Roughness": 0.35,
            "Subsurface Weight": 0.3,
            "Subsurface Scale": 0.04,
        },
    )
)
sm = N("stem")
sm.done(
    sm.add(
        "ShaderNodeBsdfPrincipled",
        {"Base Color": rgb("efe2c6"), "Roughness": 0.6, "Subsurface Weight": 0.5, "Subsurface Scale": 0.05},
    )
)
for at_, sc, ti in (((0.07, -0.22, 0.70), 1.0, (0.18, 0.10, 0)), ((-0.10, -0.20, 0.70), 0.66, (0.2, -0.28, 0))):
    stem = [(0.050 * sc, -0.05), (0.045 * sc, 0.05 * sc), (0.038 * sc, 0.20 * sc), (0.03 * sc, 0.24 * sc)]
    cap = [
        (0.02 * sc, 0.205 * sc),
        (0.12 * sc, 0.20 * sc),
        (0.150 * sc, 0.205 * sc),
        (0.152 * sc, 0.225 * sc),
        (0.135 * sc, 0.275 * sc),
        (0.09 * sc, 0.325 * sc),
        (0.04 * sc, 0.345 * sc),
        (0.001, 0.35 * sc),
    ]
    lathe("stem", stem, np.array(at_), ti, sm.m)
    lathe("cap", cap, np.array(at_), ti, cm.m)

# ---------------------------------------------------------------- moss fuzz
tri = v[f]
area = np.linalg.norm(np.cross(tri[:, 1] - tri[:, 0], tri[:, 2] - tri[:, 0]), axis=1)
vis = tri.mean(1)[:, 1] < 0.55
area = area * vis
k = rng.choice(len(f), A.fuzz, p=area / area.sum())
u = rng.random((A.fuzz, 2))
fl = u.sum(1) > 1
u[fl] = 1 - u[fl]
P = tri[k, 0] + u[:, :1] * (tri[k, 1] - tri[k, 0]) + u[:, 1:] * (tri[k, 2] - tri[k, 0])
lips, line, lid, light, nose, cheek = masks(P)
d, _ = mouth_dist(P)
inside = sdf(P + normals(P) * 0.03) < 0.0
M = np.abs(P[:, :1]) * [1, 0, 0] + P * [0, 1, 1]
rim = np.linalg.norm((M - EYE - [0.005, 0, -0.03])[:, [0, 2]] / [0.236, 0.166], axis=1)
ring = np.clip((rim - 1.0) / 0.35, 0, 1)
ring = np.where((M[:, 1] < -0.35), ring, 1)
nd = np.where(P[:, 1] < -0.4, np.linalg.norm(P[:, [0, 2]] / [0.17, 0.105] + [0, 0.19], axis=1), 9)
grow = (
    np.clip(1 - 1.6 * lips, 0, 1)
    * np.clip(nd - 1.15, 0, 1)
    * (0.12 + 0.88 * ring)
    * np.where(
        (P[:, 1] < -0.25) & (d < 0.105), 0, np.where(P[:, 1] < -0.25, 0.35 + 0.65 * np.clip((d - 0.10) / 0.12, 0, 1), 1)
    )
)
grow *= 1 - 0.45 * light * (P[:, 2] > -0.85)
keep = (grow > 0.13) & ~inside
P, grow, light, cheek = P[keep], grow[keep], light[keep], cheek[keep]
nrm = normals(P)


def vnoise(P, sc, seed):
    r = np.random.default_rng(seed)
    o = np.zeros(len(P))
    for _ in range(6):
        w = r.normal(0, sc, 3)
        o += np.sin(P @ w + r.uniform(0, 6.28))
    return o / 2.4


flow = np.stack(
    [
        vnoise(P, 4, 1) * 0.35 + np.sign(P[:, 0]) * 0.25 * np.abs(P[:, 0]),
        vnoise(P, 4, 2) * 0.3,
        -0.75 + vnoise(P, 5, 3) * 0.35,
    ],
    1,
)
flow -= nrm * (flow * nrm).sum(1, keepdims=True)
fine = np.stack([vnoise(P, 26, s) for s in (4, 5, 6)], 1) * 0.28
L = grow * (0.085 + 0.045 * np.clip(vnoise(P, 5, 7), -1, 1)) * rng.uniform(0.65, 1.1, len(P))
L *= np.where(P[:, 2] > 0.3, 1.12, 1.0)
tt = np.linspace(0, 1, 5)
base = nrm * 0.72 + fine + rng.normal(0, 0.10, P.shape)
path = P[:, None] + L[:, None, None] * (
    base[:, None] * tt[None, :, None] + flow[:, None] * (tt**1.6)[None, :, None] * 0.85
)
tone = np.clip(0.5 + 0.32 * vnoise(P, 2.6, 8) + 0.18 * vnoise(P, 9, 9) + rng.normal(0, 0.09, len(P)), 0, 1)
cu = bpy.data.hair_curves.new("fuzz")
cu.add_curves([5] * len(P))
cu.position_data.foreach_set("vector", path.astype(np.float32).ravel())
ra = cu.attributes.get("radius") or cu.attributes.new("radius", "FLOAT", "POINT")
ra.data.foreach_set(
    "value", np.outer(rng.uniform(0.0020, 0.0034, len(P)), [1, 1, 0.85, 0.55, 0.12]).astype(np.float32).ravel()
)
for nme, val in (("tone", tone), ("light", light), ("cheek", cheek)):
    cu.attributes.new(nme, "FLOAT", "POINT").data.foreach_set("value", np.repeat(val, 5).astype(np.float32))
cu.attributes.new("tip", "FLOAT", "POINT").data.foreach_set("value", np.tile(tt, len(P)).astype(np.float32))
ob = bpy.data.objects.new("fuzz", cu)
scene.collection.objects.link(ob)
m = N("fuzz")
c = m.mix(m.at("tone"), rgb("47702c"), rgb("93b858"))
c = m.mix(m.at("light"), c, m.mix(m.at("tone"), rgb("c3cf80"), rgb("ecedb8")))
c = m.mix(m.math("MULTIPLY", m.at("cheek"), 0.5), c, rgb("e8a070"))
c = m.mix(m.math("MULTIPLY", m.ramp(m.at("tip"), 0.7, 0.0), 0.55), c, rgb("2c4a1c"))
c = m.mix(m.math("MULTIPLY", m.ramp(m.at("tip"), 0.5, 1.0), 0.30), c, rgb("dcea98"))
p = m.add(
    "ShaderNodeBsdfPrincipled", {"Base Color": c, "Roughness": 0.7, "Specular IOR Level": 0.2, "Sheen Weight": 0.3}
)
tl = m.add("ShaderNodeBsdfTranslucent", {"Color": c})
cu.materials.append(m.done(m.add("ShaderNodeMixShader", {0: 0.35, 1: p.outputs[0], 2: tl.outputs[0]})))


# ---------------------------------------------------------------- light, camera, render
def light_(loc, size, power, col, tgt=(0, -0.2, 0)):
    l = bpy.data.lights.new("a", "AREA")
    l.shape = "DISK"
    l.size = size
    l.energy = power
    l.color = rgb(col)[:3]
    o = bpy.data.objects.new("a", l)
    scene.collection.objects.link(o)
    o.location = loc
    o.rotation_euler = (Vector(tgt) - Vector(loc)).to_track_quat("-Z", "Y").to_euler()


light_((-3.2, -4.2, 3.4), 2.4, 680, "fff0d6")
light_((4.2, -3.6, 0.6), 3.5, 120, "d8ecd0")
light_((0, -3.5, -2.6), 3, 70, "dff0c0")
light_((2.8, 3.4, 2.8), 1.8, 620, "ffe9a8")
light_((-3.2, 3.0, 2.0), 1.8, 330, "d8f5ff")
w = bpy.data.worlds.new("w")
scene.world = w
w.use_nodes = True
w.node_tree.nodes["Background"].inputs[0].default_value = (0.20, 0.30, 0.16, 1)
w.node_tree.nodes["Background"].inputs[1].default_value = 0.5
cam = bpy.data.cameras.new("c")
co = bpy.data.objects.new("c", cam)
scene.collection.objects.link(co)
scene.camera = co
cam.sensor_fit = "VERTICAL"
cam.sensor_height = 24
D, FH = 14.0, 3.05
cam.lens = 24 * D / FH
co.location = (0, EYE[1] - D, EYE[2])
co.rotation_euler = (math.pi / 2, 0, 0)
cam.shift_y = -(0.5 - 0.43) / 1.5
r = scene.render
r.engine = "CYCLES"
r.resolution_x, r.resolution_y, r.resolution_percentage = 1536, 1024, A.scale
r.threads_mode = "FIXED"
r.threads = A.threads
r.film_transparent = True
cy = scene.cycles
cy.samples = A.samples
cy.use_denoising = True
cy.device = "CPU"
cy.adaptive_threshold = 0.02
cy.max_bounces = 6
scene.cycles_curves.shape = "RIBBONS"
scene.view_settings.view_transform = "AgX"
scene.view_settings.look = "AgX - Medium High Contrast"
scene.view_settings.exposure = 0.2
r.image_settings.file_format = "PNG"
r.image_settings.color_mode = "RGBA"
r.filepath = os.path.abspath(A.out)
bpy.ops.render.render(write_still=True)
