"""One self-contained page with every figure, claim, verdict and the provenance of each number."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from .claims import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Claim
from .papers import Figure, Paper
from .results import Result

if TYPE_CHECKING:
    import pandas as pd

TEMPLATE = Path(__file__).parent / "templates" / "report.html"
TITLE = "widelimit: what was reproduced"
BADGES = {REPRODUCED: ("good", "✓"), NOT_REPRODUCED: ("finding", "✗"), NOT_TESTED: ("none", "○")}
TABLE_ROWS = 200
SVG_LIMIT = 1_500_000

Gathered = Sequence[tuple[Paper, Figure, Result]]


def write_report(gathered: Gathered, folder: Path) -> Path:
    """Write ``index.html`` and ``claims.json``.

    Args:
        gathered: what `papers.gather` returns.
        folder: made if it does not exist.

    Returns:
        The path of the page.

    Raises:
        ValueError: if there is nothing to report, or the folder cannot be written; the message names it.
    """
    if not gathered:
        raise ValueError("there is nothing to report yet; run `widelimit reproduce` first")
    page, claims = render(gathered), json.dumps(claims_table(gathered), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("claims.json", claims + "\n"), ("index.html", page)):
            draft = folder / f".{name}.{os.getpid()}"
            draft.write_text(text, encoding="utf-8")
            draft.replace(folder / name)
    except OSError as error:
        raise ValueError(f"cannot write the report to `{folder}`: {error.strerror}; choose another folder with --out") from None
    return folder / "index.html"


def claims_table(gathered: Gathered) -> list[dict[str, Any]]:
    """Every claim with its configuration hash and device; what is not finite is the text ``inf`` or ``nan``."""
    rows = []
    for paper, figure, result in gathered:
        run = {key: result.provenance.get(key, "") for key in ("config", "device", "preset", "commit", "command")}
        rows += [_strict({**claim.as_json(), "figure": f"{paper.name}/{figure.name}", **run}) for claim in result.claims]
    return rows


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def render(gathered: Gathered) -> str:
    """The page, as text."""
    claims = [claim for _, _, result in gathered for claim in result.claims]
    papers = list(dict.fromkeys(paper for paper, _, _ in gathered))
    sections = "\n".join(_paper(paper, [(f, r) for p, f, r in gathered if p == paper]) for paper in papers)
    links = (f'<li><a href="#{_anchor(p, f)}">{escape(f.title)}</a></li>' for p, f, _ in gathered)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=TITLE,
        summary=_summary(claims),
        counts=_counts(claims),
        contents="".join(links),
        papers=sections,
        footer="Claims with all their numbers are in <code>claims.json</code> beside this page, which needs no network.",
    )


def _summary(claims: Sequence[Claim]) -> str:
    failed = [claim for claim in claims if claim.failure]
    if failed:
        return f'<span class="verdict bad">! failed</span> {len(failed)} of {len(claims)} claims came out otherwise than they must.'
    return "Every prediction that could be tested at this size holds, and every published claim came out as on record."


def _counts(claims: Sequence[Claim]) -> str:
    cells = []
    for verdict, (style, mark) in BADGES.items():
        number = sum(claim.verdict == verdict for claim in claims)
        cells.append(f'<li class="{style}">{mark} <b>{number}</b>{verdict}</li>')
    turned = sum(claim.control_turns for claim in claims)
    tested = sum(claim.verdict != NOT_TESTED for claim in claims)
    cells.append(f'<li class="none"><b>{turned} of {tested}</b>negative controls turn their verdict</li>')
    return "".join(cells)


def _anchor(paper: Paper, figure: Figure) -> str:
    return f"{paper.name}-{figure.name}"


def _paper(paper: Paper, figures: Iterable[tuple[Figure, Result]]) -> str:
    inner = "\n".join(_figure(paper, figure, result) for figure, result in figures)
    reasons = "".join(f"<li>{escape(what)}: {escape(why)}</li>" for what, why in paper.absent)
    absent = f'\n<p class="soft">Not made here:</p>\n<ul class="soft">{reasons}</ul>' if reasons else ""
    return f'<h2>{escape(paper.title)}</h2>\n<p class="soft">{escape(paper.source)}</p>\n{inner}{absent}'


def _figure(paper: Paper, figure: Figure, result: Result) -> str:
    parts = [f"<h3>{escape(figure.title)}</h3>", f'<p class="soft"><code>{paper.name}/{figure.name}</code>{_age(result)}</p>']
    parts += [f'<div class="image"><img alt="{escape(figure.title)}" src="{_data_uri(image)}"></div>' for image in _shown(result.images)]
    parts += [_claim(claim) for claim in result.claims]
    parts += [_table(name, table) for name, table in result.tables.items()]
    parts.append(_provenance(result))
    return f'<section class="figure" id="{_anchor(paper, figure)}">\n' + "\n".join(parts) + "\n</section>"


def _age(result: Result) -> str:
    preset = f" · preset {escape(str(result.provenance.get('preset', '')))}"
    return preset + (' · <span class="verdict none">made by an earlier version of the code</span>' if result.stale else "")


def _shown(images: Iterable[Path]) -> list[Path]:
    """One file per picture: the SVG, unless it is very large."""
    best: dict[str, Path] = {}
    for image in images:
        sharp = image.suffix == ".svg" and image.stat().st_size < SVG_LIMIT
        if image.stem not in best or sharp:
            best[image.stem] = image
    return list(best.values())


def _data_uri(image: Path) -> str:
    kind = {".svg": "svg+xml", ".png": "png"}[image.suffix]
    return f"data:image/{kind};base64,{base64.b64encode(image.read_bytes()).decode()}"


def _claim(claim: Claim) -> str:
    style, mark = BADGES[claim.verdict]
    kind = "prediction of this package" if claim.kind == "prediction" else "published claim"
    failure = f'<p><span class="verdict bad">! {escape(claim.failure)}</span></p>' if claim.failure else ""
    record = claim.on_record + (f": {claim.record_reason}" if claim.record_reason else "")
    control = claim.control
    changed = [
        f"{word} {_number(value)}" for word, value in (("measured", control.measured), ("expected", control.expected)) if value is not None
    ]
    turned = "turns the verdict" if claim.control_turns else "does not turn the verdict"
    expected = f"{_relation(claim)}{_number(claim.expected)} ± {_number(claim.tolerance, 2)}"
    rows = {
        "expected": f"{expected} {escape(claim.unit)} <span class='soft'>(tolerance: {escape(claim.reason)})</span>",
        "measured": f"<b>{_number(claim.measured)}</b>{_interval(claim.interval)} {escape(claim.unit)}",
        "on record": escape(record),
        "control": f"{escape(control.statement)}: {', '.join(changed) or 'same numbers'} → {claim.control_verdict}, {turned}",
        "source": f"{escape(claim.source)} <span class='soft'>({kind}; <code>{escape(claim.id)}</code>)</span>",
    }
    cells = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items())
    badge = f'<span class="verdict {style}">{mark} {claim.verdict}</span>'
    return f'<article class="claim"><p>{badge}{escape(claim.statement)}</p>{failure}<dl>{cells}</dl></article>'


def _relation(claim: Claim) -> str:
    return {"=": "", ">=": "at least ", "<=": "at most "}[claim.relation]


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}".replace("-", "−")


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" [{_number(ends[0])}, {_number(ends[1])}]"


def _table(name: str, table: pd.DataFrame) -> str:
    head = table.head(TABLE_ROWS)
    more = f"<p class='soft'>first {TABLE_ROWS} of {len(table)} rows</p>" if len(table) > TABLE_ROWS else ""
    body = head.to_html(index=False, border=0, na_rep="", float_format=lambda x: f"{x:.5g}")
    return f'<details><summary>Table: {escape(name)} ({len(table)} rows)</summary><div class="scroll">{body}</div>{more}</details>'


def _provenance(result: Result) -> str:
    def show(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{escape(str(k))} {show(v)}" for k, v in value.items())
        return escape(", ".join(map(str, value)) if isinstance(value, list) else str(value))

    rows = "".join(f"<dt>{escape(name)}</dt><dd>{show(value)}</dd>" for name, value in result.provenance.items())
    return f"<details><summary>Provenance</summary><dl>{rows}</dl></details>"
