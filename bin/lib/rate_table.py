"""Rates per folder: reads JSON lines of `hzc bitrate`, prints a table or comma-separated values.

usage: rate_table.py table|csv TOP < LINES
"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import sys

form, top = sys.argv[1:]
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
sys.stdout.reconfigure(errors="surrogateescape", newline="\n")
folders: dict[str, list[tuple[int, float]]] = {}
for line in sys.stdin:
    found = json.loads(line)
    if "error" not in found:
        folder = os.path.relpath(os.path.dirname(found["path"]), top)
        folders.setdefault(folder, []).append((found["n_bytes"], found["duration_s"]))
rows = sorted(folders.items())
rows.append(("total", [file for files in folders.values() for file in files]))
cells = []
for folder, files in rows:
    n_bytes, seconds = sum(file[0] for file in files), math.fsum(file[1] for file in files)
    kbps = 8 * n_bytes / seconds / 1000 if seconds else None
    if form == "csv":
        rate = "" if kbps is None else f"{kbps:.4f}"
        cells.append((folder, len(files), n_bytes, f"{seconds:.3f}", rate))
    else:
        name = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in folder)
        rate = "-" if kbps is None else f"{kbps:.3f}"
        cells.append((name, f"{len(files):,}", f"{n_bytes:,}", f"{seconds:,.2f}", rate))
if form == "csv":
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("folder", "files", "n_bytes", "duration_s", "bitrate_kbps"))
    writer.writerows(cells)
else:
    cells.insert(0, ("folder", "files", "bytes", "seconds", "kbit/s"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print(first.ljust(widths[0]), *numbers, sep="  ")
