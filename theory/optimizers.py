"""Optimizers as data: what the calculus needs to know of an update rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from .scales import Rational, as_fraction

ZERO, HALF, ONE = Fraction(0), Fraction(1, 2), Fraction(1)
RANKS, DECAYS = ("finite", "full"), ("coupled", "independent", "")


@dataclass(frozen=True)
class Damping:
    """A constant that is added to ``d^back * x^forward * fan_out^out * fan_in^inn``, and has to scale as that does.

    ``degree`` is the degree of that quantity in the stored gradient: it says how the constant moves with a multiplier.
    """

    back: Fraction = ONE
    forward: Fraction = ONE
    out: Fraction = ZERO
    inn: Fraction = ZERO
    degree: Fraction = ONE

    def exponent(self, back: Fraction, forward: Fraction, out: Fraction, inn: Fraction) -> Fraction:
        """Its exponent, from those of the gradient's two factors and of the two fans."""
        return self.back * back + self.forward * forward + self.out * out + self.inn * inn


@dataclass(frozen=True)
class Optimizer:
    """An update rule by its degrees in the two factors of the gradient.

    A gradient of finite rank has entries ``d x`` (backward factor times forward factor); the update has entries ``rate *
    d^degree_back * x^degree_forward * fan_out^offset_out * fan_in^offset_in * max(fan_out, fan_in)^offset_max``.

    Args:
        name: as on the command line.
        degree_back: degree in the backward factor (1 for SGD, 0 for an entrywise normalised update).
        degree_forward: degree in the forward factor.
        offset_out: power of the fan-out.
        offset_in: power of the fan-in.
        offset_max: power of the larger fan.
        relative: the update is multiplied by the RMS entry of the parameter (weights that start at zero: by 1).
        frobenius: the update is normalised by its own RMS entry, so that its aligned part depends on its rank.
        rank: ``finite`` (the batch is, so is the rank of an update) or ``full`` (all singular values are alike).
        damping: the constants that it adds to something; the first is the table's epsilon, a second its damping.
        stored: degree of the update in the stored gradient, where its factors see something else.
        decay: ``coupled`` (``w <- w - rate * lambda * w``), ``independent`` (``w <- w - lambda * w``) or empty.
        noise: powers of fan-out, fan-in and the larger fan where the gradient is noise of full rank, if they are others then.
        flat: its updates move all directions alike, whatever the spectrum of the gradients' covariance.
    """

    name: str
    degree_back: Fraction = ZERO
    degree_forward: Fraction = ZERO
    offset_out: Fraction = ZERO
    offset_in: Fraction = ZERO
    offset_max: Fraction = ZERO
    relative: bool = False
    frobenius: bool = False
    rank: str = "finite"
    damping: tuple[Damping, ...] = (Damping(),)
    decay: str = "coupled"
    stored: Fraction | None = None
    noise: tuple[Fraction, Fraction, Fraction] | None = None
    flat: bool = False

    def __post_init__(self) -> None:
        for what, value, known in (("rank", self.rank, RANKS), ("decay", self.decay, DECAYS)):
            if value not in known:
                raise ValueError(f"optimizer `{self.name}`: unknown {what} `{value}`; choose from {', '.join(map(repr, known))}")

    @property
    def degree(self) -> Fraction:
        """Degree k of the update in the stored gradient; it fixes the symmetry between multiplier and rate."""
        return (self.degree_back + self.degree_forward) / 2 if self.stored is None else self.stored

    def offset(self, out: Fraction, inn: Fraction) -> Fraction:
        """Exponent of the factor that depends on the shape alone, from those of fan-out and fan-in."""
        rank = -min(out, inn) / 2 if self.frobenius and self.rank == "full" else ZERO
        return self.offset_out * out + self.offset_in * inn + self.offset_max * max(out, inn) + rank


def spectral(name: str, **changes: object) -> Optimizer:
    """An update whose singular values are all one: a rank-one piece has entries ``1 / sqrt(fan_out * fan_in)``.

    One of full rank has ``1 / sqrt(max(fan_out, fan_in))``.
    """
    own = Optimizer(name, offset_out=-HALF, offset_in=-HALF, damping=(Damping(out=HALF, inn=HALF),), flat=True)
    own = replace(own, **changes)  # type: ignore[arg-type]
    return own if own.noise else replace(own, noise=(own.offset_out + HALF, own.offset_in + HALF, own.offset_max - HALF))


def shampoo(left: Rational = "1/4", right: Rational = "1/4", *, blocked: bool = False) -> Optimizer:
    """``(G G^T)^-left G (G^T G)^-right`` (Gupta et al., arXiv 1802.09568); in blocks of a fixed size the fans drop out."""
    total = as_fraction(left, "Shampoo's left exponent") + as_fraction(right, "Shampoo's right exponent")
    share, fan = 1 - 2 * total, ZERO if blocked else -total
    damping = Damping(Fraction(2), Fraction(2), -fan and ONE, -fan and ONE, Fraction(2))
    name = f"{'blocked-' if blocked else ''}shampoo"
    name = name if (left, right) == ("1/4", "1/4") else f"{name}:{left},{right}"
    noise = None if blocked else (-as_fraction(right), -as_fraction(left), ZERO)  # G G^T ~ fan-in, G^T G ~ fan-out
    return Optimizer(name, share, share, fan, fan, damping=(damping,), noise=noise)


def kfac(forward: Rational = 1, back: Rational = 1) -> Optimizer:
    """``B^-back G A^-forward`` with ``A = E x x^T`` and ``B = E d d^T`` (Martens and Grosse, arXiv 1503.05671).

    Both factors are seen before the multiplier acts, so the update is linear in the stored gradient.
    """
    a, b = as_fraction(forward, "K-FAC's exponent of A"), as_fraction(back, "K-FAC's exponent of B")
    damping = (Damping(Fraction(2), ZERO, ONE, ZERO, ZERO), Damping(ZERO, Fraction(2), ZERO, ONE, ZERO))
    name = "kfac" if (a, b) == (1, 1) else f"kfac:{forward},{back}"
    return Optimizer(name, 1 - 2 * b, 1 - 2 * a, -b, -a, damping=damping, stored=ONE, noise=(ZERO, ZERO, ZERO))


# What is added to the size of an entry, to its square, and to the norms of rows, columns and the whole matrix.
SQUARE = Damping(Fraction(2), Fraction(2), degree=Fraction(2))
ROWS, COLUMNS, NORM = Damping(inn=HALF), Damping(out=HALF), Damping(out=HALF, inn=HALF)

SGD = Optimizer("sgd", ONE, ONE, damping=())
ADAM = Optimizer("adam")
ADAMW = Optimizer("adamw")
MUON = spectral("muon")

OPTIMIZERS = {
    optimizer.name: optimizer
    for optimizer in (
        SGD,
        replace(SGD, name="momentum"),
        replace(SGD, name="nesterov"),
        Optimizer("sign", damping=()),
        Optimizer("lion", damping=()),
        Optimizer("adagrad"),
        Optimizer("rmsprop"),
        ADAM,
        ADAMW,
        Optimizer("adamw-independent", decay="independent"),
        Optimizer("adopt"),
        Optimizer("adafactor", relative=True, damping=(SQUARE,)),
        Optimizer("adafactor-unscaled", damping=(SQUARE,)),
        Optimizer("lamb", relative=True, frobenius=True),
        Optimizer("lars", relative=True, frobenius=True, damping=(NORM,)),
        MUON,
        spectral("muon-scaled", offset_out=ZERO, offset_in=-ONE),  # times sqrt(fan-out / fan-in)
        spectral("muon-rms", offset_max=HALF),  # times 0.2 sqrt(max(fan-out, fan-in)) (arXiv 2502.16982)
        spectral("muon-keller-jordan", offset_in=-ONE, offset_max=HALF),  # times sqrt(max(1, fan-out / fan-in))
        spectral("muon-matched", offset_out=ZERO, offset_in=ZERO, frobenius=True),  # to the RMS entry of Adam's update
        Optimizer("adamuon"),  # Adam on top of Muon
        spectral("dion"),
        spectral("soap", noise=(ZERO, ZERO, ZERO)),  # Adam in the eigenbasis of both factors: a rank-one gradient is one entry there
        Optimizer("soap-one-sided", offset_out=-HALF, noise=(ZERO, ZERO, ZERO)),
        shampoo(),
        shampoo(blocked=True),
        kfac(),
        Optimizer("row-normalised", offset_in=-HALF, damping=(ROWS,)),
        Optimizer("column-normalised", offset_out=-HALF, damping=(COLUMNS,)),  # SCALE (arXiv 2506.16659)
        Optimizer("swan", frobenius=True, damping=(ROWS,)),
        Optimizer("hyperball", relative=True, frobenius=True, decay=""),  # Adam on a Frobenius sphere
        spectral("muonh", offset_out=ZERO, offset_in=ZERO, relative=True, frobenius=True, decay=""),
        Optimizer("learned", damping=(), decay=""),  # entrywise output of order one (muLO)
    )
}
FAMILIES: dict[str, Callable[..., Optimizer]] = {
    "shampoo": shampoo,
    "blocked-shampoo": lambda left, right: shampoo(left, right, blocked=True),
    "kfac": kfac,
}


def find_optimizer(name: str | Optimizer) -> Optimizer:
    """The optimizer of this name; ``shampoo:1/2,1/2`` and ``kfac:1,1/2`` give exponents. One that is handed in is remembered.

    Raises:
        ValueError: if there is none, or a different one of this name; the message says which there are.
    """
    if isinstance(name, Optimizer):
        if ":" in name.name and find_optimizer(name.name) == name:
            return name
        if OPTIMIZERS.setdefault(name.name, name) != name:
            raise ValueError(f"there is another optimizer `{name.name}`; give yours a different name")
        return name
    family, colon, exponents = name.partition(":")
    if colon and family in FAMILIES and exponents.count(",") == 1:
        return FAMILIES[family](*exponents.split(","))
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer `{name}`; choose from {', '.join(OPTIMIZERS)}, or shampoo:LEFT,RIGHT and kfac:A,B")
    return OPTIMIZERS[name]
