from animacy.testing import check

report = check("stt", "stopwatch", {"unit": "milliseconds"})
print(report)
report.raise_if_failed()
