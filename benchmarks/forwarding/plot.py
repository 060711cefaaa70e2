"""A bar chart as SVG, readable on light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape

BAR, GAP, GROUP_GAP, LEFT, TOP, WIDTH, LINE = 15, 3, 22, 190, 64, 760, 18
COLOURS = ("#2563eb", "#0e9f6e", "#d97706", "#9333ea")


def bars(title: str, series: Sequence[str], groups: Mapping[str, Sequence[float | None]], mark: float = 1.0) -> str:
    """groups: name -> a value for each of `series`, None for none. A line stands at `mark`."""
    greatest = max([mark, *(value for values in groups.values() for value in values if value is not None)]) * 1.12
    left = max(LEFT, 24 + 6 * max(map(len, groups), default=0))  # names end there
    scale = (WIDTH - left - 30) / greatest
    height = TOP + sum(len(series) * (BAR + GAP) + GROUP_GAP for _ in groups) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="12" role="img">',
        f"<title>{escape(title)}</title><style>text {{ font-family: sans-serif }}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="bold" fill="#111827">{escape(title)}</text>',
    ]
    x = 16
    for colour, name in zip(COLOURS, series, strict=False):
        parts.append(f'<rect x="{x}" y="36" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16}" y="46" fill="#374151">{escape(name)}</text>')
        x += 34 + 7 * len(name)
    y = TOP
    for group, values in groups.items():
        middle = y + len(series) * (BAR + GAP) / 2 + 4
        parts.append(f'<text x="{left - 12}" y="{middle}" text-anchor="end" fill="#111827">{escape(group)}</text>')
        for colour, value in zip(COLOURS, values, strict=False):
            if value is not None:
                width = round(value * scale, 1)
                parts.append(f'<rect x="{left}" y="{y}" width="{width}" height="{BAR}" fill="{colour}"/>')
                parts.append(
                    f'<text x="{left + width + 5}" y="{y + 12}" font-size="11" fill="#374151">{value:.2f}</text>'
                )
            else:
                parts.append(f'<text x="{left + 5}" y="{y + 12}" font-size="11" fill="#9ca3af">none</text>')
            y += BAR + GAP
        y += GROUP_GAP
    line = left + mark * scale
    parts.append(f'<line x1="{line}" y1="{TOP - 8}" x2="{line}" y2="{y - GROUP_GAP + 4}" stroke="#6b7280" '
                 'stroke-dasharray="4 3"/>')  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])
