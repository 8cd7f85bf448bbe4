"""Exponent tables: rows of powers, the symmetry between multiplier and weight, gauges, comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .chain import Chain
from .optimizers import Optimizer, find_optimizer
from .scales import Powers, Regime

if TYPE_CHECKING:
    from .refutation import Certificate
    from .symbolic import Case

SCHEMA = 1
COLUMNS = ("multiplier", "init_std", "learning_rate", "epsilon", "weight_decay", "damping")


@dataclass(frozen=True)
class Shape:
    """Sizes of a weight as monomials: fan-out, fan-in, and the product of its index dimensions."""

    out: Powers = Powers()
    inn: Powers = Powers()
    stack: Powers = Powers()


@dataclass(frozen=True)
class Row:
    """How one weight scales; every column is a power of the axes (positive grows).

    ``epsilon`` and ``damping`` are the first and the second constant that the optimizer adds to something (see `Damping`).

    ``weight_decay`` is lambda in ``w <- w - rate * lambda * w``. ``zero_init`` weights start at zero, and
    their ``init_std`` has no meaning; nor has the ``weight_decay`` of weights that are not ``decayed``: theirs is zero at every size.
    """

    weight: str
    shape: Shape
    multiplier: Powers = Powers()
    init_std: Powers = Powers()
    learning_rate: Powers = Powers()
    epsilon: Powers = Powers()
    weight_decay: Powers = Powers()
    damping: Powers = Powers()
    zero_init: bool = False
    shared_init: bool = False
    trained: bool = True
    decayed: bool = True
    parts: tuple[Row, ...] = ()
    reason: str = ""

    def regauged(self, multiplier: Powers, optimizer: Optimizer) -> Row:
        """The same parameterisation with this multiplier: the factor moves out of the weight."""
        theta = multiplier / self.multiplier
        rate = theta ** (-1 - optimizer.degree)
        if optimizer.relative and not self.zero_init:
            rate = Powers()
        epsilon, damping = (theta**degree for degree in _degrees(optimizer))
        return replace(
            self,
            multiplier=multiplier,
            init_std=self.init_std / theta,
            learning_rate=self.learning_rate * rate,
            epsilon=self.epsilon * epsilon,
            weight_decay=self.weight_decay / rate if optimizer.decay == "coupled" else self.weight_decay,
            damping=self.damping * damping,
            parts=tuple(part.regauged(multiplier, optimizer) for part in self.parts),
        )

    def invariants(self, optimizer: Optimizer) -> dict[str, Powers]:
        """What the symmetry leaves alone: initial weight, update, epsilon relative to the gradient, decay per step."""
        m = self.multiplier
        found = {} if self.zero_init else {"init": m * self.init_std}
        if not self.trained:
            return found
        relative = optimizer.relative and not self.zero_init
        found["update"] = (m * self.init_std if relative else m ** (1 + optimizer.degree)) * self.learning_rate
        added = {"epsilon": self.epsilon, "damping": self.damping}
        for (name, value), damping in zip(added.items(), optimizer.damping, strict=False):
            found[name] = value / m**damping.degree
        if optimizer.decay and self.decayed:
            found["decay"] = self.weight_decay * (self.learning_rate if optimizer.decay == "coupled" else Powers())
        return found


def _degrees(optimizer: Optimizer) -> tuple[Fraction, Fraction]:
    """Degrees in the stored gradient of what epsilon and the second damping are added to."""
    first, second, *_ = (*(d.degree for d in optimizer.damping), Fraction(0), Fraction(0))
    return first, second


@dataclass(frozen=True)
class Operation:
    """A multiplier that sits on no weight (attention logits, a residual branch)."""

    name: str
    kind: str
    multiplier: Powers
    reason: str = ""


@dataclass(frozen=True)
class ExponentTable:
    """A parameterisation: how every weight's initialisation, multiplier and optimizer settings scale.

    ``verdict`` is ``unique`` (modulo symmetry), ``family`` (``free`` names the directions), ``infeasible``
    (``clash`` names the relations that contradict each other), ``not decided`` (``clash`` says why) or ``given`` (not derived).
    Under a regime that ties axes powers are those of ``scale``, and ``per_axis`` has those of each axis where they exist.
    Where one axis grows and there is no table, ``nearest`` is where the search ended: stable, with some other relations unmet.
    Where alignment exponents are symbols, ``cases`` has the pieces of the table, and its rows are those of full alignment.
    ``certificates`` (one per axis that grows alone) say why: the relations that bind and how every exponent follows from them, or
    where there is no table a refutation; both have a method ``holds`` that checks them from nothing but themselves.
    """

    target: str
    optimizer: str
    rows: tuple[Row, ...]
    operations: tuple[Operation, ...] = ()
    desiderata: str = ""
    regime: Regime | None = None
    gauge: str = "multiplier-free"
    verdict: str = "given"
    free: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    clash: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    per_axis: ExponentTable | None = None
    nearest: ExponentTable | None = None
    certificates: tuple[Chain | Certificate, ...] = field(default=(), compare=False, repr=False)

    def row(self, weight: str) -> Row:
        """The row of a weight.

        Raises:
            KeyError: if the table has no such weight.
            ValueError: if the derivation found no table; the reason is given.
        """
        if (row := self.find(weight)) is not None:
            return row
        if not self.rows and self.clash:
            raise ValueError(f"there is no table for `{self.target}`: {self.verdict} ({'; '.join(self.clash)})")
        raise KeyError(f"the table of `{self.target}` has no weight `{weight}` (it has {', '.join(r.weight for r in self.rows)})")

    def find(self, weight: str) -> Row | None:
        """The row of a weight or of a slice of it, or None."""
        for row in self.rows:
            for own in (row, *row.parts):
                if own.weight == weight:
                    return own
            if not row.parts and weight.startswith(f"{row.weight}["):  # a slice of a parameter of which all slices scale alike
                return row
        return None

    def operation(self, name: str) -> Operation | None:
        """The multiplier of this name, or None."""
        return next((o for o in self.operations if o.name == name), None)

    def changed(self, weight: str, **columns: Powers | bool) -> ExponentTable:
        """A copy with some columns of one row replaced."""
        self.row(weight)
        rows = tuple(replace(r, **columns) if r.weight == weight else r for r in self.rows)
        return replace(self, rows=rows, verdict="given")

    def in_regime(self, regime: Regime) -> ExponentTable:
        """The same table with powers of what the regime's are powers of (`Regime.key`), where it has powers of single axes."""
        if self.regime == regime:
            return self
        at = lambda powers: Powers({regime.key: powers.at(regime)})  # noqa: E731
        rows = tuple(_mapped(row, at) for row in self.rows)
        return replace(self, regime=regime, rows=rows, operations=tuple(replace(o, multiplier=at(o.multiplier)) for o in self.operations))

    def in_gauge(self, gauge: str) -> ExponentTable:
        """The same table with the freedom between multiplier and weight used as the named gauge says."""
        if gauge not in GAUGES:
            raise ValueError(f"unknown gauge `{gauge}`; choose from {', '.join(GAUGES)}")
        optimizer, rule = find_optimizer(self.optimizer), GAUGES[gauge]
        inner = {name: part.in_gauge(gauge) for name in ("per_axis", "nearest") if (part := getattr(self, name)) is not None}
        cases = tuple(replace(case, table=case.table and case.table.in_gauge(gauge)) for case in self.cases)
        return replace(self, gauge=gauge, rows=tuple(r.regauged(rule(r), optimizer) for r in self.rows), cases=cases, **inner)

    def as_json(self, *, explain: bool = False) -> dict[str, Any]:
        """The schema of the command line: exponents as exact rationals in strings, keyed by axis; to explain, with certificates."""
        scaled = self.regime is not None
        return {
            "schema": SCHEMA,
            "target": self.target,
            "optimizer": self.optimizer,
            "desiderata": self.desiderata,
            "regime": {a: str(p) for a, p in self.regime.items()} if scaled and self.regime is not None else {},
            "gauge": self.gauge,
            "verdict": self.verdict,
            "rows": [_row_json(r) for r in self.rows],
            "operations": [
                {"name": o.name, "kind": o.kind, "multiplier": o.multiplier.as_json(), "reason": o.reason} for o in self.operations
            ],
            "free": list(self.free),
            "cases": [case.as_json() for case in self.cases],
            "clash": list(self.clash),
            "notes": list(self.notes),
            **({"certificates": [found.as_json() for found in self.certificates]} if explain else {}),
            **({"per_axis": {key: self.per_axis.as_json()[key] for key in ("rows", "operations")}} if self.per_axis else {}),
        }

    @property
    def chains(self) -> tuple[Chain, ...]:
        """Those of the certificates that say why there is a table."""
        return tuple(c for c in self.certificates if isinstance(c, Chain))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExponentTable:
        """Read what `as_json` wrote.

        Raises:
            ValueError: if a field is missing or no rational number; the message names it.
        """
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise ValueError(f"not a table of schema {SCHEMA}: expected a JSON object with `schema`, `target`, `optimizer`, `rows`")
        for key in ("target", "optimizer", "rows"):
            if key not in data:
                raise ValueError(f"the table lacks the field `{key}`")
        find_optimizer(data["optimizer"])
        operations = (
            Operation(o["name"], o.get("kind", ""), Powers(o.get("multiplier", {})), o.get("reason", ""))
            for o in data.get("operations", ())
        )
        return cls(
            target=data["target"],
            optimizer=data["optimizer"],
            rows=tuple(_row_from_json(r) for r in data["rows"]),
            operations=tuple(operations),
            desiderata=data.get("desiderata", ""),
            regime=Regime(data["regime"]) if data.get("regime") else None,
            gauge=data.get("gauge", "multiplier-free"),
            free=tuple(data.get("free", ())),
            clash=tuple(data.get("clash", ())),
            certificates=tuple(_certificate(found) for found in data.get("certificates", ())),
        )

    def __str__(self) -> str:
        from .printing import as_text

        return as_text(self)

    def _repr_markdown_(self) -> str:
        from .printing import as_markdown

        return as_markdown(self)

    def _latex(self, printer: Any) -> str:
        from .printing import as_latex

        return as_latex(self, printer)


def _mapped(row: Row, function: Callable[[Powers], Powers]) -> Row:
    """The row with a function applied to all of its powers."""
    columns: dict[str, Any] = {c: function(getattr(row, c)) for c in COLUMNS}
    return replace(row, **columns, parts=tuple(_mapped(part, function) for part in row.parts))


def _row_json(row: Row) -> dict[str, Any]:
    shape = {"out": str(row.shape.out), "in": str(row.shape.inn), "stack": str(row.shape.stack)}
    columns = {c: getattr(row, c).as_json() for c in COLUMNS}
    flags = {"zero_init": row.zero_init, "shared_init": row.shared_init, "trained": row.trained, "decayed": row.decayed}
    parts = [_row_json(p) for p in row.parts]
    return {"weight": row.weight, "shape": shape, **columns, **flags, "parts": parts, "reason": row.reason}


def _certificate(data: Any) -> Chain | Certificate:
    from .refutation import Certificate

    return Certificate.from_json(data) if isinstance(data, Mapping) else Chain.from_json(data)


def _row_from_json(data: Mapping[str, Any]) -> Row:
    if "weight" not in data:
        raise ValueError("a row of the table lacks the field `weight`")
    shape = data.get("shape", {})
    try:
        sides = Shape(*(_monomial(shape.get(side, "1")) for side in ("out", "in", "stack")))
        columns: dict[str, Any] = {c: Powers(data.get(c, {})) for c in COLUMNS}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"row `{data['weight']}` of the table: {error}") from None
    flags: dict[str, Any] = {f: bool(data.get(f, False)) for f in ("zero_init", "shared_init")}
    flags |= {f: bool(data.get(f, True)) for f in ("trained", "decayed")}
    parts = tuple(_row_from_json(p) for p in data.get("parts", ()))
    return Row(data["weight"], sides, **columns, **flags, parts=parts, reason=data.get("reason", ""))


def _monomial(text: str) -> Powers:
    factors = (f.split("^") for f in text.split() if f != "1")
    return Powers({f[0]: f[1] if len(f) > 1 else 1 for f in factors})


@dataclass(frozen=True)
class Difference:
    """One invariant in which two tables differ."""

    weight: str
    invariant: str
    first: Powers | None
    second: Powers | None

    def __str__(self) -> str:
        show = lambda p: "absent" if p is None else str(p)  # noqa: E731
        return f"{self.weight}: {self.invariant} {show(self.first)} against {show(self.second)}"


def differences(first: ExponentTable, second: ExponentTable, *, decay: bool = True, epsilon: bool = True) -> list[Difference]:
    """The cells in which two tables differ modulo the symmetry of their optimizer (none: the same parameterisation)."""
    one, two = find_optimizer(first.optimizer), find_optimizer(second.optimizer)
    found = []
    rows = (*first.rows, *second.rows)
    sliced = {row.weight for row in rows if row.parts}  # by either table: the other's slices scale alike
    for name in dict.fromkeys(own.weight for row in rows for own in row.parts or (row,) if own.weight not in sliced):
        sides = [r.invariants(o) if (r := t.find(name)) else None for t, o in ((first, one), (second, two))]
        if None in sides:
            found.append(Difference(name, "weight", *(None if s is None else Powers() for s in sides)))
            continue
        a, b = (s or {} for s in sides)
        for key in dict.fromkeys((*a, *b)):
            skip = (key == "decay" and not decay) or (key in ("epsilon", "damping") and not epsilon)
            if not skip and a.get(key) != b.get(key):
                found.append(Difference(name, key, a.get(key), b.get(key)))
    for name in dict.fromkeys(o.name for o in (*first.operations, *second.operations)):
        powers = [o.multiplier if (o := t.operation(name)) else None for t in (first, second)]
        if powers[0] != powers[1]:
            found.append(Difference(name, "multiplier", *powers))
    return found


def _multiplier_free(row: Row) -> Powers:
    """No multipliers: everything is in the initialisation and the rate."""
    return Powers()


def _unit_init(row: Row) -> Powers:
    """Every initial weight of size one; its size is in the multiplier."""
    return Powers() if row.zero_init else row.multiplier * row.init_std


def _table_8(row: Row) -> Powers:
    """Tensor Programs V, Table 8: the output weight carries a multiplier 1/fan-in."""
    return row.shape.inn**-1 if row.shape.inn and not row.shape.out else Powers()


def _table_9(row: Row) -> Powers:
    """Tensor Programs V, Table 9: multipliers sqrt(fan-out/fan-in)."""
    return (row.shape.out / row.shape.inn) ** "1/2"


GAUGES: dict[str, Callable[[Row], Powers]] = {
    "multiplier-free": _multiplier_free,
    "unit-init": _unit_init,
    "tp5-table-3": _multiplier_free,
    "tp5-table-8": _table_8,
    "tp5-table-9": _table_9,
}
