"""Pages of headings, tables and figures. Every text that enters is escaped here; what is ``Html`` already is not."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING, NewType

from .. import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..support.circumstances import Circumstances

Html = NewType("Html", str)

# Series colours are told apart by people who see red and green alike; both themes keep the contrast of text above 4.5.
STYLE = """
:root{color-scheme:light dark;--paper:#fbfbfa;--card:#fff;--ink:#1d2329;--soft:#5d6770;--line:#dfe3e6;--grid:#e9ecee;
--s0:#2467a8;--s1:#c4610a;--s2:#2a7f62;--s3:#8a5a9e;--s4:#8b6d1f;--good:#2a7f62;--bad:#b3373a}
@media(prefers-color-scheme:dark){:root{--paper:#15181b;--card:#1c2024;--ink:#e4e8eb;--soft:#9aa5ae;--line:#333a40;
--grid:#282e33;--s0:#6aa9e4;--s1:#eb9a4b;--s2:#5dbb98;--s3:#bd94d0;--s4:#cdb35f;--good:#5dbb98;--bad:#e8797b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:36px 24px 64px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:40px 0 4px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:14px;margin:0 0 4px;font-weight:600;overflow-wrap:anywhere}
p{margin:4px 0 12px;max-width:76ch}
.soft,figcaption,.note{color:var(--soft)}
.note{font-size:13px}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0 8px;padding:0;list-style:none}
.cards li{flex:1 1 150px;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}
.cards b{display:block;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums;line-height:1.3}
.cards span{color:var(--soft);font-size:13px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:8px 0 16px;min-width:50%}
th,td{padding:4px 14px 4px 0;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
th{font-weight:600;font-size:13px;color:var(--soft);vertical-align:bottom}
td.n,th.n{text-align:right}
td.good{color:var(--good)}td.bad{color:var(--bad)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 20px;margin:8px 0 16px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
figure{margin:10px 0 18px}
figcaption{font-size:13px;margin-bottom:4px}
.grid{display:grid;gap:18px 24px;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr))}
.grid.wide{grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr))}
.grid figure{margin:0}
.shots{display:grid;gap:10px;grid-template-columns:repeat(auto-fit,minmax(240px,1fr));margin:6px 0 26px}
.shots figure{margin:0}
img{display:block;max-width:100%;border-radius:4px}
svg{display:block;max-width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"DejaVu Sans",sans-serif;fill:var(--ink)}
svg .axis{stroke:var(--soft);stroke-width:1}svg .rule{stroke:var(--grid);stroke-width:1}
svg .tick{fill:var(--soft);font-size:11px}svg .small{font-size:9px}
svg .mark{stroke:var(--ink);stroke-width:1.3;stroke-dasharray:4 3}
svg path{fill:none;stroke-width:1.8;stroke-linejoin:round}
.key{display:inline-block;width:11px;height:11px;border-radius:2px;margin:0 5px 0 0;vertical-align:-1px}
.legend{font-size:13px;margin:4px 0 6px}.legend span{margin-right:16px;white-space:nowrap}
details{margin:8px 0 16px}summary{cursor:pointer;color:var(--soft)}
footer{margin-top:48px;padding-top:12px;border-top:1px solid var(--line);color:var(--soft);font-size:13px}
@media print{main{max-width:none;padding:0}.cards li{break-inside:avoid}figure{break-inside:avoid}}
"""


def text(value: object) -> Html:
    """Any value as text, escaped for elements and attributes. Characters that HTML forbids become a replacement."""
    plain = "".join(letter if letter.isprintable() or letter in "\n\t " else "\ufffd" for letter in str(value))
    return Html(html.escape(plain, quote=True))


def join(parts: Iterable[Html]) -> Html:
    """Parts one after the other."""
    return Html("\n".join(parts))


def page(title: str, subtitle: str, sections: Iterable[Html], made: Circumstances | None = None) -> bytes:
    """The whole file, UTF-8; ``made`` stands at its end."""
    body = join([*sections, *([] if made is None else [_circumstances(made)])])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n<title>{text(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{text(title)}</h1>\n"
        f'<p class="soft">{text(subtitle)}</p>\n{body}\n<footer>mlu-export {text(__version__)}</footer>\n'
        "</main>\n</body>\n</html>\n"
    ).encode("utf-8", "replace")


def _circumstances(made: Circumstances) -> Html:
    digests = [(f"sha256 of {what}", digest) for what, digest in made.digests.items()]
    values = [("date", made.date), ("host", made.host), ("command", made.command), *digests]
    return section("How this was made", pairs(values))


def section(heading: str, *parts: Html, about: str = "") -> Html:
    """A heading, a sentence about what follows, and the parts."""
    note = f'<p class="note">{text(about)}</p>\n' if about else ""
    return Html(f"<section>\n<h2>{text(heading)}</h2>\n{note}{join(parts)}\n</section>")


def cards(values: Iterable[tuple[str, str]]) -> Html:
    """Large figures, each with its name: (name, value)."""
    items = "".join(f"<li><b>{text(value)}</b><span>{text(name)}</span></li>" for name, value in values)
    return Html(f'<ul class="cards">{items}</ul>')


def table(header: Sequence[str], rows: Iterable[Sequence[object]], names: int = 1) -> Html:
    """A table whose first ``names`` columns are texts and whose others are figures; a cell may be (text, class)."""
    head = "".join(f"<th{_number(index, names)}>{text(cell)}</th>" for index, cell in enumerate(header))
    lines = "".join(
        f"<tr>{''.join(_cell(cell, index, names) for index, cell in enumerate(row))}</tr>\n" for row in rows
    )
    return Html(
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table></div>'
    )


def _number(index: int, names: int) -> str:
    return "" if index < names else ' class="n"'


def _cell(cell: object, index: int, names: int) -> str:
    if isinstance(cell, tuple):
        value, kind = cell
        return f'<td class="n {text(kind)}">{text(value)}</td>'
    return f"<td{_number(index, names)}>{text(cell)}</td>"


def pairs(values: Iterable[tuple[str, object]]) -> Html:
    """Names and what they are."""
    return Html("<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in values) + "</dl>")


def figure(caption: str, body: Html, heading: str = "") -> Html:
    """A drawing with its caption."""
    title = f"<h3>{text(heading)}</h3>" if heading else ""
    under = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Html(f"<figure>{title}{under}{body}</figure>")


def grid(parts: Iterable[Html], *, wide: bool = False) -> Html:
    """Small drawings side by side, three in a row, or two ``wide`` ones."""
    return Html(f'<div class="{"grid wide" if wide else "grid"}">{join(parts)}</div>')


def details(summary: str, body: Html) -> Html:
    """Something long that opens when asked to."""
    return Html(f"<details><summary>{text(summary)}</summary>{body}</details>")


def legend(names: Sequence[str], colours: Sequence[int] = (0, 1, 2, 3, 4, 5, 6, 7)) -> Html:
    """The series' names with their colours."""
    keys = (
        f'<span><i class="key" style="background:{colour(index)}"></i>{text(name)}</span>'
        for index, name in zip(colours, names)
    )
    return Html(f'<p class="legend">{"".join(keys)}</p>')


def colour(series: int) -> str:
    """The colour of a series, in both themes."""
    return f"var(--s{series % 5})"


def picture(jpeg: bytes, about: str) -> Html:
    """A picture inside the page; ``about`` is read out where it is not seen."""
    return Html(f'<img alt="{text(about)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode("ascii")}">')
