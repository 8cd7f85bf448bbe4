"""What a parameterisation should achieve, as named relations on the sizes of terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .decay_desiderata import check_decay, is_of_decay
from .observables import Observable
from .propagate import Net, Report, Site
from .space import Term

OF_ALPHA = "of matrices alone, the others do not decay; :ALPHA (noise 1/2, coherent 1) in place of 3/4, observed on text"


@dataclass(frozen=True)
class Desideratum:
    """A named property; a set of them is written ``"stable+maximal-update"`` or by a short name such as ``"mup"``."""

    name: str
    description: str


ATOMS = {
    d.name: d
    for d in (
        Desideratum("stable", "every forward tensor stays O(1) during training"),
        Desideratum("maximal-update", "every weight's own output is Theta(1) at initialisation, and its update changes it by Theta(1)"),
        Desideratum("layerwise-update", "the update of a weight in a stack changes its own output by Theta(1) in every layer"),
        Desideratum("diverse-branches", "the branches of a stack together are Theta(1) at initialisation"),
        Desideratum("kernel", "every output is Theta(1) at initialisation, and every update changes the network's output by Theta(1)"),
        Desideratum(
            "scale-stable",
            "every atomic term of every weight, forward and backward, has the size of what it is part of, or is identically zero (MSSP)",
        ),
        Desideratum("faithful", "epsilon scales as the gradient that it is added to"),
        Desideratum("equal-timescale", "the fraction of a weight that decay removes per step does not scale"),
        Desideratum("constant-decay", "one decay for all weights and sizes"),
        Desideratum("gain-invariant", f"the size of what a weight makes over that of what it reads does not scale, {OF_ALPHA}"),
        Desideratum("equal-top-singular-value", f"the largest singular value does not scale, {OF_ALPHA}"),
        Desideratum("balanced", f"equal timescale and equal gain, at rates above those of maximal updates, {OF_ALPHA}"),
        Desideratum("no-decay", "nothing decays"),
    )
}

DESIDERATA = {
    **ATOMS,
    "mup": Desideratum("stable+maximal-update+faithful+equal-timescale", "maximal update parameterisation"),
    "complete": Desideratum(
        "stable+maximal-update+layerwise-update+faithful+equal-timescale",
        "maximal updates inside every layer of a stack as well, which no layer leaves linear (CompleteP)",
    ),
    "depth-mup": Desideratum(
        "stable+maximal-update+diverse-branches+faithful+equal-timescale", "maximal updates, with branches that differ most (Depth-muP)"
    ),
    "mssp": Desideratum("stable+scale-stable+faithful+equal-timescale", "maximally scale-stable parameterisation"),
    "ntk": Desideratum("stable+kernel+faithful+equal-timescale", "neural tangent (kernel) parameterisation"),
}


ORDER = (
    "norm",
    "init",
    "diverse",
    "update",
    "layerwise",
    "kernel",
    "back",
    "atom",
    "first",
)  # in which relations are met: what is there at initialisation first


def find_desiderata(name: str) -> tuple[str, ...]:
    """The names of the atomic desiderata of a set; those of decay may have an exponent, as ``gain-invariant:1/2``.

    What is said of decay alone, or with a short name, replaces what that set (`mup`, where there is none) says of it.

    Raises:
        ValueError: if one is unknown, or if none of them fixes the updates.
    """
    parts = [part.strip() for part in name.split("+")]
    sets = [part for part in parts if part in DESIDERATA and part not in ATOMS]
    decay = [part for part in parts if is_of_decay(part)]
    if len(decay) == len(parts):
        sets, parts = ["mup"], ["mup", *parts]
    names: list[str] = []
    for part in parts:
        if part in sets:
            names += [one for one in DESIDERATA[part].name.split("+") if not (decay and is_of_decay(one))]
        elif part in ATOMS or part in decay:
            names.append(part)
        else:
            raise ValueError(f"unknown desideratum `{part}`; choose from {', '.join(DESIDERATA)}, or join some with +")
    if sum(one in names for one in ("maximal-update", "kernel", "scale-stable")) != 1:
        raise ValueError(f"`{name}` must contain one of maximal-update, kernel and scale-stable: they say how large updates are")
    check_decay(names)
    return tuple(dict.fromkeys(names if "stable" in names else ("stable", *names)))


@dataclass
class Relations:
    """Terms that must be O(1) (``bounded``) and groups whose largest must be Theta(1) (``attained``), by label."""

    bounded: dict[str, list[Term]] = field(default_factory=dict)
    attained: dict[str, list[Term]] = field(default_factory=dict)


def relations(net: Net, report: Report, names: Iterable[str]) -> Relations:
    """The relations of the desiderata for what one propagation found."""
    found = Relations()
    unseen = net.unseen if "scale-stable" in names else set()
    for site, pieces in ((s, p) for s, p in zip(net.sites, report.acts, strict=True) if s.judged and s.node.name not in unseen):
        found.bounded[f"stable {site.node.name}"] = [(p.size, p.form) for p in pieces]
    _normalisers(net, report, found)
    if "maximal-update" in names:
        _initial(net, report, found, outputs=False)
        _maximal_update(net, report, found)
    if "layerwise-update" in names:
        _layerwise(net, report, found)
    if "diverse-branches" in names:
        _diverse(net, report, found)
    if "kernel" in names:
        _initial(net, report, found, outputs=True)
        _kernel(net, report, found)
    if "scale-stable" in names:
        _scale_stable(net, report, found)
    return found


def _scale_stable(net: Net, report: Report, found: Relations) -> None:
    """Forward every atomic term is Theta(1); backward it has the size of the gradient that it is part of.

    Both from the first update on after which it is there: one that only later updates bring to its size starts vanishing.
    """
    for name in (n.partition(":")[2] for n in net.space.unknowns if n.startswith("back:")):
        size, form = net.space.letter(f"back:{name}")
        pieces = report.grads[net.position[name]]
        if pieces:
            found.attained[f"back {name}"] = [(p.size - size, p.form - form) for p in pieces]
    for observable, noted in report.terms.items():
        summed = replace(observable, summed=True) in report.terms if observable.backward else observable.node in net.summed
        if observable.summed != summed:
            continue
        terms = [(size, form, order) for size, form, order in noted]
        if observable.backward and net.architecture.node(net.architecture.node(observable.node).args[0]).op in ("input", "one"):
            continue
        if terms and observable.backward:
            size, form = net.space.letter(f"back:{net.architecture.node(observable.node).args[0]}")
            terms = [(s - size, f - form, order) for s, f, order in terms]
        if terms:
            found.attained[f"atom {observable}"] = [(s, f) for s, f, _ in terms]
            fewest = min(order for _, _, order in terms)
            layers = observable.summed and net.architecture.node(observable.node).stack  # independent at first, under any table
            if not layers and any(order > fewest for _, _, order in terms):
                found.attained[f"first {observable}"] = [(s, f) for s, f, order in terms if order == fewest]


def _normalisers(net: Net, report: Report, found: Relations) -> None:
    """What a normalisation divides by is the size of its input."""
    for site in net.sites:
        if site.node.op == "norm":
            size, form = net.space.letter(f"norm:{site.node.name}")
            pieces = report.acts[site.args[0]]
            found.attained[f"norm {site.node.name}"] = [(p.size - size, p.form - form) for p in pieces]


def _initial(net: Net, report: Report, found: Relations, *, outputs: bool) -> None:
    """What a weight makes is Theta(1) at initialisation where its own fan-out grows (``outputs``: everywhere).

    Where its input has to start small (behind a finite waist that is read coherently later), it keeps its input's size; where
    that is zero at first, it counts what the first changes become.
    """
    for site in net.sites:
        node = site.node
        gaussian = node.op == "dense" and net.architecture.weights[node.weight].init == "gaussian"
        if gaussian and node.weight not in net.small and (outputs or net.widens(site)):
            before = [(p.size, p.form) for p in report.acts[site.args[0]] if not p.via]
            terms = _terms(report, node.name, "W0 x0" if before else "W0 dx")
            if before and not outputs and max(before)[0] < 0:
                size, form = max(before)
                terms = [(s - size, f - form) for s, f in terms]
            found.attained[f"init {node.name}"] = terms


def _maximal_update(net: Net, report: Report, found: Relations) -> None:
    """An update changes its weight's own output by Theta(1), or the sum over its index where that is summed later."""
    for i, name in enumerate(net.names):
        if not net.architecture.weights[name].trained:
            continue
        terms: list[Term] = []
        for site in (s for s in net.sites if s.weight == i):
            terms += _terms(report, site.node.name, "dW x0") + _terms(report, site.node.name, "dW dx")
            index = net.mask(net.architecture.weights[name].index) & site.dims
            if index:
                terms += [(p.size, p.form) for p in report.acts[_hub(net, site, index)] if p.via == 2 + i]
        found.attained[f"update {name}"] = terms


def _layerwise(net: Net, report: Report, found: Relations) -> None:
    """Updates of weights with an index: Theta(1) at their own outputs, and in the sum over the index as well.

    Then no layer stays linear in its updates (Dey et al., 2505.01618, section 3).
    """
    for i, site in ((s.weight, s) for s in net.sites if s.weight >= 0):
        weight = net.architecture.weights[net.names[i]]
        index = net.mask(weight.index) & site.dims
        if weight.trained and index:
            own = _terms(report, site.node.name, "dW x0") + _terms(report, site.node.name, "dW dx")
            found.attained[f"layerwise {site.node.name}"] = own
            summed = [(p.size, p.form) for p in report.acts[_hub(net, site, index)] if p.via == 2 + i]
            found.attained[f"layerwise {site.node.name} (in the sum)"] = summed


def _diverse(net: Net, report: Report, found: Relations) -> None:
    """What the branches of a stack add up to at initialisation (Yang et al., 2310.02244: then layers differ most)."""
    for site in net.sites:
        if site.node.op == "collect" and site.over:
            size, form = net.space.half(site.over)
            before = [p for p in report.acts[site.args[1]] if not p.via]
            terms = [(p, 2 - bool(p.random & site.over)) for p in before]
            found.attained[f"diverse {site.node.name}"] = [(p.size + k * size, p.form + k * form) for p, k in terms]


def _terms(report: Report, node: str, kind: str) -> list[Term]:
    return [(size, form) for size, form, _ in report.terms.get(Observable(node, kind), [])]


def _hub(net: Net, site: Site, index: int) -> int:
    """The first tensor downstream in which the index axes have been summed."""
    queue = [net.position[site.node.name]]
    while queue:
        at = queue.pop(0)
        if not net.sites[at].dims & index:
            return at
        queue += [i for i, s in enumerate(net.sites) if at in s.args]
    return len(net.sites) - 1


def _kernel(net: Net, report: Report, found: Relations) -> None:
    """To first order in each update alone, the network's output changes by Theta(1)."""
    for i, name in enumerate(net.names):
        if net.architecture.weights[name].trained:
            first = [(p.size, p.form) for p in report.acts[-1] if p.order == 1 and p.via == 2 + i]
            found.attained[f"kernel {name}"] = first
