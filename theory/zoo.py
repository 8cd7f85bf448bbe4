"""Architectures by name: multilayer perceptrons, residual networks with a depth axis, Transformers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial

from .architecture import Architecture
from .experts import Mixture, axes, moe, resmoe
from .graph import Graph
from .scales import Axis, Powers, Rational

WIDTH = Axis("n", base=64, meaning="width")


def mlp(
    *, hidden: int = 2, inputs: int = 64, outputs: int = 10, activation: str = "relu", bias: bool = False, base: int = 64
) -> Architecture:
    """A multilayer perceptron with ``hidden`` hidden layers of width n."""
    if hidden < 1:
        raise ValueError(f"`hidden` is {hidden}; a multilayer perceptron has at least one hidden layer")
    g = Graph("mlp", [Axis("n", base=base, meaning="width")])
    g.dims(x=inputs, y=outputs, **{f"h{i}": "n" for i in range(1, hidden + 1)})
    h = g.input("x")
    for i in range(1, hidden + 1):
        h = g.dense(f"W{i}", h, f"h{i}")
        h = g.map(activation, g.bias(f"b{i}", h) if bias else h)
    h = g.dense(f"W{hidden + 1}", h, "y")
    return g.build(g.bias(f"b{hidden + 1}", h) if bias else h)


def resmlp(
    *, branch: Rational | None = -1, inputs: int = 64, outputs: int = 10, activation: str = "relu", norm: str = "rms"
) -> Architecture:
    """A pre-norm residual perceptron with L two-matrix blocks; branches are multiplied by L^branch (None: unknown)."""
    g = Graph("resmlp", [WIDTH, Axis("L", base=4, meaning="depth")])
    g.dims(x=inputs, y=outputs, n="n", m="n", layer="L")
    with g.stack("layer", g.dense("embed", g.input("x"), "n")) as stack:
        h = g.map(activation, g.dense("up", g.norm(stack.stream, kind=norm), "m", index="layer"))
        h = g.dense("down", h, "n", index="layer")
        power = None if branch is None else Powers(L=branch)
        x = stack.add(g.scale(h, power, kind="residual", at_base=Powers(L="-1/2"), name="branch"))
    return g.build(g.dense("readout", g.norm(x, kind=norm), "y"))


def resnet(
    *, branch: Rational | None = "-1/2", inputs: int = 64, outputs: int = 10, activation: str = "relu", base: int = 64
) -> Architecture:
    """A residual perceptron of L one-matrix branches without a norm, ``h <- h + L^branch W phi(h)``, read out behind an activation."""
    g = Graph("resnet", [Axis("n", base=base, meaning="width"), Axis("L", base=1, meaning="depth")])
    g.dims(x=inputs, y=outputs, n="n", m="n", layer="L")
    with g.stack("layer", g.dense("embed", g.input("x"), "n")) as stack:
        h = g.dense("hidden", g.map(activation, stack.stream), "m", index="layer")
        power = None if branch is None else Powers(L=branch)
        x = stack.add(g.scale(g.rename(h, "m", "n"), power, kind="residual", name="branch"))
    return g.build(g.dense("readout", g.map(activation, x), "y"))


def prenorm(
    *, blocks: int = 2, vocab: int | None = None, classes: int = 64, expansion: int = 2, activation: str = "relu",
    frozen: bool = False, post_norm: bool = False, base: int = 64,
) -> Architecture:  # fmt: skip
    """Residual pre-norm blocks of two matrices without gains, a final norm and a readout that starts at zero.

    Args:
        blocks: of ``blocks.i.up``, ``blocks.i.down``; no two share a weight.
        vocab: the input is the sum of two tokens' embeddings, the second token's larger by ``vocab``; without, it is a vector of width n.
        classes: outputs.
        expansion: width of a branch over that of the stream.
        activation: inside a branch.
        frozen: embeddings are not trained.
        post_norm: branches are normalised before they are added, so that the size of ``down`` has no effect.
        base: of the width.
    """
    g = Graph("prenorm", [Axis("n", base=base, meaning="width")])
    g.dims(n="n", y=classes, **{f"m{i}": (expansion, "n") for i in range(blocks)})
    if vocab is None:
        x = g.input("n")
    else:
        g.dims(place=2, vocab=2 * vocab)
        x = g.sum(g.dense("embedding", g.input("place", "vocab", token=True), "n", trained=not frozen), "place")
    for i in range(blocks):
        h = g.map(activation, g.dense(f"blocks.{i}.up", g.norm(x, kind="rms"), f"m{i}"))
        h = g.dense(f"blocks.{i}.down", h, "n")
        x = g.add(x, g.norm(h, kind="rms") if post_norm else h)
    return g.build(g.dense("readout", g.norm(x, kind="rms"), "y", init="zero"))


def _attention(g: Graph, i: int, x: str, *, kv_heads: int | None, bias: bool, rotary: bool, logits: Rational | None) -> str:
    """Causal multi-head attention; the multiplier of the logits stands on the queries, before the sum it normalises."""
    label = lambda w: f"blocks.{i}.attention.{w}"  # noqa: E731
    shared = (f"head{i}", f"d{i}") if kv_heads is None else (f"kv{i}", f"d{i}")
    every = shared if kv_heads is None else (f"kv{i}", f"repeat{i}", f"d{i}")
    heads = {}
    for w in ("query", "key", "value"):
        made = every if w == "query" else shared
        h = g.dense(label(w), x, made)
        if bias and w != "key":  # the softmax cancels what a bias on the keys adds
            h = g.bias(label(w) + ".bias", h, over=made)
        heads[w] = g.rotary(h, f"d{i}", "time") if rotary and w != "value" else h
    d = Powers(n=1, heads=-1)
    power = None if logits is None else d ** (logits)
    q = g.scale(heads["query"], power, at_base=d ** "-1/2", kind="attention logits", name=label("logits"))
    k, v = (g.rename(heads[w], "time", "source") for w in ("key", "value"))
    scores = g.product(q, k, over=f"d{i}")
    mixed = g.product(g.softmax(scores, "source", causal=("time", "source")), v, over="source")
    out = g.dense(label("output"), mixed, "n", over=every)
    return g.bias(label("output.bias"), out) if bias else out


def _feed_forward(g: Graph, i: int, x: str, *, bias: bool, gated: bool) -> str:
    label = lambda w: f"blocks.{i}.mlp.{w}"  # noqa: E731
    if gated:
        h = g.map("silu", g.dense(label("gate"), x, f"m{i}"))
        h = g.product(h, g.dense(label("up"), x, f"m{i}"))
    else:
        h = g.dense(label("up"), x, f"m{i}")
        h = g.map("gelu", g.bias(label("up.bias"), h) if bias else h)
    out = g.dense(label("down"), h, "n")
    return g.bias(label("down.bias"), out) if bias else out


def _transformer(
    name: str, *, blocks: int, vocab: int, positions: int, heads: int, tied: bool, bias: bool, gains: bool,
    gated: bool, rotary: bool, norm: str, logits: Rational | None, kv_heads: int | None = None, mixture: Mixture | None = None,
) -> Architecture:  # fmt: skip
    if blocks < 1:
        raise ValueError(f"`blocks` is {blocks}; a Transformer has at least one block")
    g = Graph(name, [WIDTH, Axis("heads", base=heads, power=Fraction(0), meaning="heads at fixed n"), *(axes()[1:] if mixture else ())])
    g.dims(vocab=vocab, time=positions, source=positions, n="n")
    if mixture is not None:
        mixture.declare(g)
    for i in range(blocks):
        groups = {f"head{i}": "heads"} if kv_heads is None else {f"kv{i}": kv_heads, f"repeat{i}": (Fraction(1, kv_heads), "heads")}
        g.dims(**groups, **{f"d{i}": Powers(n=1, heads=-1), f"m{i}": (4, "n")})

    def normed(x: str, label: str) -> str:
        x = g.norm(x, kind=norm)
        x = g.gain(f"{label}.gain", x) if gains else x
        return g.bias(f"{label}.bias", x) if gains and bias else x

    x = g.dense("embedding", g.input("time", "vocab", token=True), "n", over="vocab")
    if not rotary:
        x = g.add(x, g.dense("position", g.one(), ("time", "n"), over=()))
    for i in range(blocks):
        h = normed(x, f"blocks.{i}.attention_norm")
        x = g.add(x, _attention(g, i, h, kv_heads=kv_heads, bias=bias, rotary=rotary, logits=logits))
        h = normed(x, f"blocks.{i}.mlp_norm")
        if mixture is None:
            x = g.add(x, _feed_forward(g, i, h, bias=bias, gated=gated))
        else:
            x = g.add(x, mixture.add(g, h, label=f"blocks.{i}.experts."))
    x = normed(x, "final_norm")
    if tied:
        x = g.scale(x, None, kind="output", name="output")
    return g.build(g.dense("embedding" if tied else "readout", x, "vocab"))


def gpt(
    *, blocks: int = 1, vocab: int = 64, positions: int = 16, heads: int = 4, tied: bool = False, bias: bool = True,
    gains: bool = True, logits: Rational | None = None,
) -> Architecture:  # fmt: skip
    """A GPT-like pre-norm Transformer: learned positions, LayerNorm, GELU; ``logits``: power of the head dimension."""
    return _transformer(
        "gpt", blocks=blocks, vocab=vocab, positions=positions, heads=heads, tied=tied, bias=bias, gains=gains,
        gated=False, rotary=False, norm="layer", logits=logits,
    )  # fmt: skip


def llama(
    *, blocks: int = 1, vocab: int = 64, positions: int = 16, heads: int = 4, kv_heads: int | None = None, tied: bool = False,
    gains: bool = True, logits: Rational | None = None,
) -> Architecture:  # fmt: skip
    """A LLaMA-like pre-norm Transformer: rotary positions, RMSNorm, gated SiLU; ``logits``: power of the head dimension.

    ``kv_heads``: grouped-query attention with so many heads of keys and values however many heads there are (None: as many).
    """
    if kv_heads is not None and (kv_heads < 1 or heads % kv_heads):
        raise ValueError(f"`kv_heads` is {kv_heads}; it must divide the {heads} heads")
    return _transformer(
        "llama", blocks=blocks, vocab=vocab, positions=positions, heads=heads, tied=tied, bias=False, gains=gains,
        gated=True, rotary=True, norm="rms", logits=logits, kv_heads=kv_heads,
    )  # fmt: skip


def gpt_moe(
    *, blocks: int = 1, vocab: int = 64, positions: int = 16, heads: int = 4, gains: bool = False, gate: str = "sigmoid",
    active: Rational | None = "1/2", activation: str = "gelu", tied: bool = False, dense: bool = False, logits: Rational | None = None,
) -> Architecture:  # fmt: skip
    """A GPT-like pre-norm Transformer whose feed-forward layers are mixtures of experts: learned positions, RMSNorm, no biases.

    ``gate``, ``active``, ``activation``, ``tied`` (experts that start equal) and ``dense`` are those of `Mixture`.
    """
    return _transformer(
        "gpt-moe", blocks=blocks, vocab=vocab, positions=positions, heads=heads, tied=False, bias=False, gains=gains,
        gated=False, rotary=False, norm="rms", logits=logits, mixture=Mixture(gate, active, activation, tied=tied, dense=dense),
    )  # fmt: skip


ARCHITECTURES: dict[str, Callable[..., Architecture]] = {
    "mlp": mlp, "resmlp": resmlp, "gpt": gpt, "transformer": gpt, "llama": llama,
    "moe": moe, "moe-softmax": partial(moe, gate="softmax"), "moe-top": partial(moe, active="1/2"), "moe-dense": partial(moe, dense=True),
    "resmoe": resmoe, "gpt-moe": gpt_moe,
}  # fmt: skip


def find_architecture(name: str) -> Architecture:
    """The architecture of the zoo with this name.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture `{name}`; choose from {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]()
