"""``transfer``: do the best hyperparameters transfer on a case, and how fast?"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...synthetic.engines import find_engine
from ..cases.catalogue import Case, Measured, find_case
from ..progress import progress_bar
from ..targets import choose

if TYPE_CHECKING:
    from ...synthetic.engines import Engine
    from ...synthetic.store import Store
    from ...theory.verdict import Verdict


def transfer(case: str, *, preset: str, form: str, engine: str, jobs: int, estimate: bool) -> int:
    """Measure a case and print its gaps, rates and verdict; the exit status is 1 if a theory says otherwise."""
    from ...synthetic.store import Store

    choose("format", form, ("text", "json"))
    executor = find_engine(engine, jobs=jobs)
    found, store = find_case(case), Store.default()
    found.settings(preset)
    if estimate:
        print(_estimate(found, preset, store, executor, form))
        return 0
    more = {"engine": executor} if found.trains else {}
    with progress_bar(f"transfer {case}") as bar:
        measured = found.load().measure(case, preset, store_home=store.root, progress=bar.say, **more)
    if form == "json":
        print(json.dumps(as_json(case, preset, measured), indent=2, allow_nan=False))
    else:
        print(f"{found.title} ({found.source})\n\n{as_text(measured)}")
    return 1 if measured.contradicted else 0


def _estimate(case: Case, preset: str, store: Store, engine: Engine, form: str) -> str:
    """What the case would train and how long that takes."""
    from ...synthetic.estimating import Estimate, estimate

    if not case.trains:
        ensembles, found = (), Estimate(0, 0, 0.0, 0.0, ())
        lines = [f"{case.name} ({preset}) is solved exactly: nothing is trained"]
    else:
        plan, device = case.load().plan_sweep(case.name, preset)
        ensembles, found = plan.ensembles, estimate(plan, store, device=device, engine=engine)
        lines = [f"{case.name} ({preset}): {plan}", f"to do: {found}", ""]
    for ensemble, cost in zip(ensembles, found.costs):
        lines.append(f"{f'{cost:8.1f} s' if cost else '    stored'}  {ensemble.label}: {len(ensemble.replicas)} runs")
    if form == "text":
        return "\n".join(lines)
    numbers = {name: value for name, value in asdict(found).items() if name != "costs"}
    return json.dumps({"schema": 1, "case": case.name, "preset": preset, **numbers}, indent=2, allow_nan=False)


def as_text(measured: Measured) -> str:
    """The gaps at each size, the rates with their intervals, the prediction, the verdict."""
    verdict, head = measured.verdict, {"size": measured.axis, "optimum": f"best {measured.hyperparameter}"}
    cells = [[head.get(c, c) for c in map(str, measured.table)]]
    cells += [[f"{value:.4g}" for value in row] for row in measured.table.itertuples(index=False)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths)) for line in cells]
    return "\n".join([*lines, "", *_rates(measured), f"transfer: {verdict.kind} ({verdict.reason})"])


def _rates(measured: Measured) -> list[str]:
    verdict, predicted, lines = measured.verdict, measured.predicted, []
    if verdict.rates is not None:
        rows = (("loss gap a", "loss", verdict.loss), ("HP gap b", "hyperparameter", verdict.hyperparameter))
        for what, name, (low, high) in rows:
            line = f"{what:10} ~ {measured.axis}^{-getattr(verdict.rates, name):.2f}  [{-high:.2f}, {-low:.2f}]"
            lines.append(line + (f"  predicted {-getattr(predicted, name):g}" if predicted else ""))
        lines.append(_search(verdict))
    if measured.why:
        lines.append(f"theory: {measured.expected}; {measured.why}" if measured.expected else measured.why)
    return [*lines, ""] if lines else []


def _search(verdict: Verdict) -> str:
    """What the rates mean for a search on a budget, at quadratic cost and one hyperparameter."""
    from ...theory.grid_search import Search

    assert verdict.rates is not None
    if not (verdict.rates.loss > 0 and verdict.rates.hyperparameter > 0):
        return "a search on a budget: no powers, the rates are not positive"
    search = Search(verdict.rates.loss, verdict.rates.hyperparameter)
    direct, moved = f"F^-{search.direct:.2f}", f"F^-{search.transfer:.2f}"
    return f"a search with budget F (runs cost n^2): excess loss {direct} if tuned directly, {moved} by transfer"


def as_json(case: str, preset: str, measured: Measured) -> dict[str, Any]:
    """Everything that the text shows."""
    verdict = {key: _plain(value) for key, value in asdict(measured.verdict).items()}
    return {
        "schema": 1,
        "case": case,
        "preset": preset,
        "axis": measured.axis,
        "hyperparameter": measured.hyperparameter,
        "rows": [{key: _plain(value) for key, value in row.items()} for row in measured.table.to_dict("records")],
        **verdict,
        "predicted": None if measured.predicted is None else asdict(measured.predicted),
        "expected": measured.expected,
        "theory": measured.why,
    }


def _plain(value: Any) -> Any:
    """What JSON can hold: what is not finite is null."""
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
