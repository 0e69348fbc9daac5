"""Rasterise Juno:  python render.py source.svg image.png   (needs `chromium` on PATH)"""

import os
import subprocess
import sys
import tempfile

src, out = map(os.path.abspath, sys.argv[1:3])
with tempfile.TemporaryDirectory() as t:
    page = os.path.join(t, "p.html")
    open(page, "w").write('<!doctype html><body style="margin:0">' + open(src).read())
    subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            "--user-data-dir=" + t,
            "--window-size=1536,1024",
            "--screenshot=" + out,
            "file://" + page,
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
