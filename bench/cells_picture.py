"""Draws the result of bench/cells: the share of the FMA peak over H, a line for each B."""
from compare_picture import line, text

STYLE = """<style>
.cells{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:12px}
.cells text{fill:#57606a;font-variant-numeric:tabular-nums}
.cells .paper{fill:#fff}
.cells .title{fill:#1f2328;font-size:20px;font-weight:600}
.cells .group{fill:#1f2328;font-weight:600}
.cells .grid{stroke:#e7eaee}
.cells polyline{fill:none;stroke-width:2}
.cells circle{stroke:none}
@media (prefers-color-scheme:dark){
.cells text{fill:#9ea7b3}
.cells .paper{fill:#0d1117}
.cells .title,.cells .group{fill:#f0f3f6}
.cells .grid{stroke:#21262d}
}
</style>
"""
PIECES = {"forward": "forward, inference", "training": "forward, training", "backward": "backward",
          "weights": "weight gradient"}
COLOURS = ["#8250df", "#0969da", "#1b7c83", "#2da44e", "#bf8700", "#cf222e", "#6e7781"]
LEFT, TOP, WIDE, HIGH, GAP_X, GAP_Y = 64, 112, 200, 150, 26, 62


def shares(entries, piece, batch):
    """{H: share of the peak} of layers with their input product."""
    found = {}
    for entry in entries:
        what = entry["what"].split()
        if what[0] == "layer" and what[2:] == [str(batch), "with", piece]:
            found[int(what[1])] = entry["share_of_peak"]
    return found


def panel(x, y, title, hidden, lines, first):
    """One piece: lines is {colour: {H: share}}. `first` has the axis' numbers at its side."""
    out = [text(x, y - 10, "group", "start", title)]
    top = max([1.0] + [share for points in lines.values() for share in points.values()])
    step = WIDE / max(1, len(hidden) - 1)
    for tick in [0, 0.25, 0.5, 0.75, 1]:
        level = y + HIGH * (1 - tick / top)
        out.append(line(x, level, x + WIDE, level, "grid"))
        if first:
            out.append(text(x - 8, level + 4, "", "end", f"{tick:.0%}"))
    for i, size in enumerate(hidden):
        out.append(text(x + i * step, y + HIGH + 18, "", "middle", str(size)))
    for colour, points in lines.items():
        places = [(x + hidden.index(size) * step, y + HIGH * (1 - share / top))
                  for size, share in sorted(points.items())]
        out.append('<polyline style="stroke:{}" points="{}"/>\n'.format(
            colour, " ".join(f"{a:.1f},{b:.1f}" for a, b in places)))
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" style="fill:{colour}"/>\n' for a, b in places]
    return "".join(out)


def picture(report):
    """The SVG, as text. `report` is what cells.json holds."""
    layers = [entry["what"].split() for entries in report["cells"].values() for entry in entries
              if entry["what"].startswith("layer")]
    hidden = sorted({int(what[1]) for what in layers})
    batch = sorted({int(what[2]) for what in layers})
    width = LEFT + len(PIECES) * (WIDE + GAP_X) + 10
    height = TOP + len(report["cells"]) * (HIGH + GAP_Y) - 10
    machine = report["machine"]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" class="cells" viewBox="0 0 {width} {height}" '
           f'width="{width}" height="{height}" role="img">\n<title>Share of the FMA peak by size</title>\n',
           STYLE, f'<rect class="paper" width="{width}" height="{height}"/>\n',
           text(20, 34, "title", "start", "A layer's step: share of the peak, over hidden units H"),
           text(20, 58, "", "start", f"{machine['processor']}, one core, {report['peak_gflops']:.0f} GFLOP/s; "
                f"{machine['date']}; {report['inputs']} inputs; samples B:")]
    for i, size in enumerate(batch):
        x = 20 + i * 62
        colour = COLOURS[i % len(COLOURS)]
        out.append(f'<rect x="{x}" y="70" width="14" height="4" style="fill:{colour}"/>\n')
        out.append(text(x + 19, 76, "", "start", str(size)))
    for row, (cell, entries) in enumerate(report["cells"].items()):
        for column, (piece, title) in enumerate(PIECES.items()):
            lines = {COLOURS[i % len(COLOURS)]: shares(entries, piece, size)
                     for i, size in enumerate(batch)}
            out.append(panel(LEFT + column * (WIDE + GAP_X), TOP + row * (HIGH + GAP_Y),
                             f"{cell.upper()}: {title}", hidden, lines, column == 0))
    return "".join(out) + "</svg>\n"
