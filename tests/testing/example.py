from animacy.testing import check

report = check("video", "robot", {"light": "#ffcc00"})
print(report)
report.raise_if_failed()
