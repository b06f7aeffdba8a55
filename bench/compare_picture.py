"""Draws the result of bench/compare: how many times as fast as the fastest peer, bar by bar."""
import html

STYLE = """<style>
.compare{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:13px}
.compare text{fill:#57606a;font-variant-numeric:tabular-nums}
.compare .paper{fill:#fff}
.compare .title{fill:#1f2328;font-size:20px;font-weight:600}
.compare .group{fill:#1f2328;font-weight:600}
.compare .bar{fill:#0969da}.compare .slower{fill:#c4500a}
.compare .spread{stroke:#1f2328;stroke-width:1.5;opacity:.55}
.compare .grid{stroke:#e7eaee}.compare .one{stroke:#57606a;stroke-dasharray:4 4}
@media (prefers-color-scheme:dark){
.compare text{fill:#9ea7b3}
.compare .paper{fill:#0d1117}
.compare .title,.compare .group{fill:#f0f3f6}
.compare .bar{fill:#58a6ff}.compare .slower{fill:#ffa657}
.compare .spread{stroke:#f0f3f6}
.compare .grid{stroke:#21262d}.compare .one{stroke:#9ea7b3}
}
</style>
"""
WIDTH, LEFT, RIGHT, STEP, BAR = 860, 190, 190, 24, 15


def text(x, y, style, anchor, content):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">'
            f"{html.escape(content)}</text>\n")


def line(x1, y1, x2, y2, style):
    return f'<path class="{style}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>\n'


def picture(report):
    """The SVG, as text. `report` is what compare.json holds."""
    groups = []
    for threads, work in report["runs"].items():
        rows = [entry for entry in work.values() if entry["summary"]]
        if rows:
            groups.append((f"{threads} thread{'s' if threads != '1' else ''}", rows))
    ratios = [row["summary"]["ratio"] for _, rows in groups for row in rows]
    top = max([1.5] + [1.05 * ratio for ratio in ratios])
    names = {key: about.split(",")[0] for key, about in report.get("contestants", {}).items()}
    scale = (WIDTH - LEFT - RIGHT) / top
    height = 96 + sum((len(rows) + 1.5) * STEP for _, rows in groups) + 24
    machine = report["machine"]
    bottom = height - 24
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" class="compare" viewBox="0 0 {WIDTH} {height:.0f}" '
           f'width="{WIDTH}" height="{height:.0f}" role="img">\n<title>Speed beside the fastest '
           f"peer</title>\n", STYLE, f'<rect class="paper" width="{WIDTH}" height="{height:.0f}"/>\n',
           text(20, 34, "title", "start", "Times as fast as the fastest peer"),
           text(20, 58, "", "start", "{processor}, {cores} cores; {date}; medians of {rounds} rounds, "
                "lines: quartiles by round".format(**machine, rounds=report["rounds"]))]
    tick = 1 if top < 8 else 2 if top < 16 else 5
    value = 0
    while value <= top:
        x = LEFT + value * scale
        out.append(line(x, 76, x, bottom, "one" if value == 1 else "grid"))
        out.append(text(x, bottom + 16, "", "middle", str(value)))
        value += tick
    if tick > 1:
        out.append(line(LEFT + scale, 76, LEFT + scale, bottom, "one"))
    y = 76
    for heading, rows in groups:
        y += STEP
        out.append(text(20, y, "group", "start", heading))
        for row in rows:
            y += STEP
            summary = row["summary"]
            ratio, (low, high) = summary["ratio"], summary["quartiles"]
            style = "bar" if ratio >= 1 else "slower"
            out.append(text(LEFT - 10, y, "", "end", row["title"].replace(" (us)", "")))
            out.append(f'<rect class="{style}" x="{LEFT}" y="{y - BAR + 3:.1f}" rx="2" '
                       f'width="{ratio * scale:.1f}" height="{BAR}"/>\n')
            high = min(high, top)
            middle = y - BAR / 2 + 3
            out.append(line(LEFT + low * scale, middle, LEFT + high * scale, middle, "spread"))
            end = LEFT + max(ratio, high) * scale + 8
            out.append(text(end, y, "", "start", f"{ratio:.2f} × {names[summary['fastest']]}"))
        y += STEP / 2
    return "".join(out) + "</svg>\n"
