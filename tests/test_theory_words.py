"""The word calculus against sampled Gaussian matrices: slopes of RMS sizes."""

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
import pytest
from helpers import assert_slope
from widelimit.theory.space import Space
from widelimit.theory.words import Algebra, Gauss, Piece, agree

SCALES = (16, 32, 64, 128)
M, N, E, K = 1, 2, 4, 8  # bits of the dimensions m, n, e (an index) and k


class World:
    """Dimensions with their powers of the scale, and matrices W (m x n), V (m x n), both per e or not, with unit std."""

    def __init__(self, m=1, n=1, e=1, k=1):
        self.powers = {"m": Fraction(m), "n": Fraction(n), "e": Fraction(e), "k": Fraction(k)}
        self.space = Space(list(self.powers.values()), [])
        self.algebra = Algebra(self.space)
        self.base = Piece(0, 0, self.algebra.empty, 1)
        self.W, self.V, self.U = Gauss(0, M, N, 0, (0, 0)), Gauss(1, M, N, 0, (0, 0)), Gauss(2, N, K, 0, (0, 0))
        self.We, self.Ve = Gauss(3, M, N, E, (0, 0)), Gauss(4, N, M, E, (0, 0))

    def apply(self, weight: Gauss, flipped: bool, pieces: Iterable[Piece], over: int) -> list[Piece]:
        return [q for p in pieces for q in self.algebra.apply(weight, flipped, p, over)]

    def exponent(self, pieces: Iterable[Piece]) -> Fraction:
        return Fraction(max(p.size for p in pieces), self.space.unit)

    def sizes(self, scale: int) -> dict[str, int]:
        return {d: round(scale ** float(p)) for d, p in self.powers.items()}

    def check(self, pieces: Iterable[Piece], sample: Callable, *, draws: int = 4, tolerance: float = 0.1) -> None:
        """Sizes of the pieces against RMS over draws and entries of what ``sample(rng, **sizes)`` returns."""
        self.check_exponent(self.exponent(pieces), sample, draws=draws, tolerance=tolerance)

    def check_exponent(self, exponent: Fraction, sample: Callable, *, draws: int = 4, tolerance: float = 0.1) -> None:
        values = []
        for scale in SCALES:
            rng = np.random.default_rng([7, scale])
            values.append(np.sqrt(np.mean([np.mean(np.square(sample(rng, **self.sizes(scale)))) for _ in range(draws)])))
        assert_slope(SCALES, values, exponent, tolerance)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


RECTANGLES = [("1", "1"), ("1", "3/2"), ("3/2", "1/2"), ("1/2", "3/2"), ("1", "0")]


@pytest.mark.parametrize(("m", "n"), RECTANGLES)
def test_transpose_of_the_same_matrix(m: str, n: str):
    # W W^T x: coherent n x beside a fluctuation sqrt(n m): the operator-norm rule is both together
    w = World(m=Fraction(m), n=Fraction(n))
    x = [w.base]
    back = w.apply(w.W, True, x, M)
    both = w.apply(w.W, False, back, N)
    assert w.exponent(back) == Fraction(m) / 2
    assert w.exponent(both) == max(Fraction(n), (Fraction(m) + Fraction(n)) / 2)

    def sample(rng, m, n, **_):
        W = normal(rng, m, n)
        return W @ (W.T @ normal(rng, m))

    w.check(both, sample, tolerance=0.1 if n != "0" else 0.15)


@pytest.mark.parametrize(("m", "n"), [("1", "1"), ("3/2", "1/2"), ("1/2", "3/2")])
def test_three_times_the_same_matrix(m: str, n: str):
    w = World(m=Fraction(m), n=Fraction(n))
    pieces = w.apply(w.W, True, w.apply(w.W, False, w.apply(w.W, True, [w.base], M), N), M)

    def sample(rng, m, n, **_):
        W = normal(rng, m, n)
        return W.T @ (W @ (W.T @ normal(rng, m)))

    w.check(pieces, sample)


def test_another_matrix_does_not_cancel():
    w = World(m="1/2", n="3/2")
    pieces = w.apply(w.V, False, w.apply(w.W, True, [w.base], M), N)
    assert w.exponent(pieces) == 1  # W would give 3/2

    def sample(rng, m, n, **_):
        return normal(rng, m, n) @ (normal(rng, m, n).T @ normal(rng, m))

    w.check(pieces, sample)


def test_a_coherent_letter_under_another_does_not_cancel():
    # W^T V x with V on top of W's own x: the head letter is V
    w = World()
    pieces = w.apply(w.W, False, w.apply(w.V, True, w.apply(w.W, False, [w.base], N), M), N)
    assert w.exponent(pieces) == Fraction(3, 2)

    def sample(rng, m, n, **_):
        W = normal(rng, m, n)
        return W @ (normal(rng, m, n).T @ (W @ normal(rng, n)))

    w.check(pieces, sample)


def inner(w: World, left: list[Piece], right: list[Piece], over: int) -> Fraction:
    return Fraction(max(s for p in left for q in right for s, _, _ in w.algebra.inner(p, q, over)), w.space.unit)


@pytest.mark.parametrize(("m", "n"), [("1", "1"), ("1/2", "3/2"), ("3/2", "1/2")])
def test_inner_products(m: str, n: str):
    w = World(m=Fraction(m), n=Fraction(n))
    other = Piece(0, 0, w.algebra.empty, 2)
    Wx, Wy, Vx = (w.apply(g, False, [b], N) for g, b in ((w.W, w.base), (w.W, other), (w.V, w.base)))
    m, n = Fraction(m), Fraction(n)
    assert inner(w, Wx, Wx, M) == m + n
    assert inner(w, Wx, Vx, M) == m / 2 + n

    def same(rng, m, n, **_):
        h = normal(rng, m, n) @ np.ones(n)
        return h @ h

    def heads(rng, m, n, **_):  # two inputs with the overlap 0.6 n
        W, x = normal(rng, m, n), np.ones(n)
        return (W @ x) @ (W @ (0.6 * x + 0.8 * (-1.0) ** np.arange(n)))

    def different(rng, m, n, **_):
        x = normal(rng, n)
        return (normal(rng, m, n) @ x) @ (normal(rng, m, n) @ x)

    w.check_exponent(inner(w, Wx, Wx, M), same, draws=60)
    w.check_exponent(inner(w, Wx, Wy, M), heads, draws=60, tolerance=0.15)
    w.check_exponent(inner(w, Wx, Vx, M), different, draws=200)


@pytest.mark.parametrize(("m", "n", "k"), [("1", "1", "1"), ("1/2", "1", "3/2"), ("3/2", "1/2", "1")])
def test_inner_product_of_a_chain_under_equal_heads(m: str, n: str, k: str):
    # <W U x, W V' x>: equal heads cancel, and what is under them is contracted over n
    w = World(m=Fraction(m), n=Fraction(n), k=Fraction(k))
    left = w.apply(w.W, False, w.apply(w.U, False, [w.base], K), N)
    right = w.apply(w.W, False, w.apply(Gauss(9, N, K, 0, (0, 0)), False, [w.base], K), N)

    def sample(rng, m, n, k, **_):
        W, x = normal(rng, m, n), normal(rng, k)
        return (W @ (normal(rng, n, k) @ x)) @ (W @ (normal(rng, n, k) @ x))

    w.check_exponent(inner(w, left, right, M), sample, draws=120, tolerance=0.15)


def test_entrywise_product_of_equal_vectors_has_a_mean():
    w = World()
    Wx, Vx = (w.apply(g, False, [w.base], N)[0] for g in (w.W, w.V))
    square, cross = (list(w.algebra.product(Wx, q)) for q in (Wx, Vx))
    one = np.ones
    summed = [[w.algebra.sum(p, M) for p in pieces] for pieces in (square, cross)]
    assert [w.exponent(p) for p in summed] == [2, Fraction(3, 2)]
    w.check(summed[0], lambda rng, m, n, **_: np.sum((normal(rng, m, n) @ one(n)) ** 2), draws=20)
    w.check(summed[1], lambda rng, m, n, **_: np.sum((normal(rng, m, n) @ one(n)) * (normal(rng, m, n) @ one(n))), draws=200)


def test_a_product_under_a_letter_comes_out_again():
    # g = W^T((V x) * (W y)) against W y: the factor V x stays a random sign, so that <W y, (V x) * (W y)> is of size sqrt(m)
    w = World()
    other = Piece(0, 0, w.algebra.empty, 2)
    Vx, Wy = w.apply(w.V, False, [w.base], N)[0], w.apply(w.W, False, [other], N)[0]
    gated = list(w.algebra.product(Vx, Wy))
    pieces = w.apply(w.W, True, gated, M)

    def sample(rng, m, n, **_):
        W, V = normal(rng, m, n), normal(rng, m, n)
        return W.T @ ((V @ np.ones(n)) * (W @ normal(rng, n)))

    w.check(pieces, sample, draws=20)


@pytest.mark.parametrize(("e", "m"), [("1", "1"), ("1/2", "1"), ("1", "1/2")])
def test_sum_over_an_index_of_independent_and_of_shared_letters(e: str, m: str):
    w = World(m=Fraction(m), n="1/2", e=Fraction(e))
    independent = [w.algebra.sum(p, E) for p in w.apply(w.We, False, [w.base], N)]
    shared = [w.algebra.sum(p, E) for p in w.apply(w.W, False, [w.base], N)]
    assert w.exponent(shared) - w.exponent(independent) == Fraction(e) / 2
    w.check(independent, lambda rng, m, n, e, **_: np.einsum("emn,n->m", normal(rng, e, m, n), np.ones(n)), draws=20, tolerance=0.12)
    w.check(shared, lambda rng, m, n, e, **_: e * normal(rng, m, n) @ np.ones(n), draws=20, tolerance=0.12)


@pytest.mark.parametrize(("e", "m"), [("1", "1/2"), ("1/2", "1"), ("1", "1")])
def test_experts_are_coherent_over_the_index(e: str, m: str):
    # sum_e V_e V_e^T x: each is m x plus a fluctuation; the sum adds the means fully and the fluctuations by the root
    w = World(m=Fraction(m), n="1/2", e=Fraction(e))
    inside = w.apply(w.Ve, True, [w.base], N)
    pieces = [w.algebra.sum(p, E) for p in w.apply(w.Ve, False, inside, M)]

    def sample(rng, m, n, e, **_):
        V = normal(rng, e, n, m)
        return np.einsum("enm,ekm,k->n", V, V, normal(rng, n), optimize=True)

    w.check(pieces, sample, draws=6, tolerance=0.12)


def test_contraction_over_the_index_itself():
    # sum over (e, n) at once of independent W_e x_e: one letter with both axes, half of each
    w = World(m="1/2", n="1/2", e="1")
    pieces = w.apply(w.We, False, [w.base], N | E)
    w.check(pieces, lambda rng, m, n, e, **_: np.einsum("emn,n->m", normal(rng, e, m, n), np.ones(n)), draws=20, tolerance=0.12)


def test_forms_are_the_sizes():
    space = Space([Fraction(1), Fraction(1, 2)], ["std:W"])
    space.move({"std:W": Fraction(-1, 3)})
    algebra = Algebra(space)
    W = Gauss(0, 1, 2, 0, space.letter("std:W"))
    piece = Piece(0, 0, algebra.empty, 1)
    for p in algebra.apply(W, True, piece, 1):
        for q in algebra.apply(W, False, p, 2):
            assert Fraction(q.size, space.unit) == space.value(q.form)
            assert space.unpack(q.form)[1] == 2  # two stds
    with pytest.raises(ValueError, match="needs a finer unit"):
        space.constant(Fraction(1, 7))


def test_equal_products_square_to_a_mean():
    # p = (V x) * (W y), one word and one random factor: p * p has neither
    w = World()
    Vx, Wx = (w.apply(g, False, [w.base], N)[0] for g in (w.V, w.W))
    p = next(iter(w.algebra.product(Vx, Wx)))
    assert p.signs and p.word.free
    squares = [w.algebra.sum(q, M) for q in w.algebra.product(p, p)]
    assert w.exponent(squares) == 3

    def sample(rng, m, n, **_):  # sums of n normal numbers, drawn as such
        return np.sum((n**0.5 * normal(rng, m) * n**0.5 * normal(rng, m)) ** 2)

    w.check(squares, sample, draws=400, tolerance=0.15)  # its own fluctuation adds 8/m


# -- pieces at different indices of a dimension along which a weight is shared
TOKENS = 3  # a finite dimension has no bit
F, S, T = (Gauss(i, out, 0, 0, (0, 0)) for i, out in ((10, M), (11, E), (12, E)))


def test_inner_products_of_features_at_different_indices():
    """``F s_e`` at two indices e: equal heads that do not vary along it cancel; those that do are independent."""
    w = World()
    shared, own = (w.apply(F, False, w.apply(S, False, [w.base], 0), 0), w.apply(w.We, False, [w.base], N))
    for pieces, expected in ((shared, 1), (own, Fraction(1, 2) + 1)):  # `own` sums over n as well
        found = [t for p in pieces for q in pieces for t in w.algebra.apart(p, q, M, E)]
        assert Fraction(max(found)[0], w.space.unit) == expected and all(axes & E for _, _, axes in found)

    def sample(rng: np.random.Generator, m: int, n: int, e: int, k: int) -> np.ndarray:
        f, s = rng.standard_normal((m, TOKENS)), rng.standard_normal((TOKENS, 2))
        return (f @ s[:, 0]) @ (f @ s[:, 1])

    w.check_exponent(Fraction(1), sample, draws=64)


def test_products_with_one_carrier_add_up():
    """``sum_e (F s_e) s_e`` is coherent, though both vary with e; with another ``t_e`` it is not."""
    w = World()
    made, same, other = (w.apply(g, False, [w.base], 0)[0] for g in (S, S, T))
    (seen,) = w.apply(F, False, [made], 0)
    mean = w.algebra.averaged(seen, E)
    assert mean.word.free == M and mean.size == seen.size
    for partner in (same, other):

        def sample(rng: np.random.Generator, m: int, n: int, e: int, k: int, partner=partner) -> np.ndarray:
            f, s, t = rng.standard_normal((m, TOKENS)), rng.standard_normal((TOKENS, e)), rng.standard_normal((TOKENS, e))
            return f @ s @ (s if partner is same else t).T

        power = Fraction(1, 1 if agree(seen, partner, E) else 2)
        w.check_exponent(power, sample, draws=64, tolerance=0.15)  # what fluctuates adds a share of TOKENS / e
