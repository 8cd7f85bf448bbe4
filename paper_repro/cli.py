"""The command line: arguments in, text out; exit status 0 done, 1 missed, 2 wrong input, 130 interrupted."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="widelimit", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
diagnosis = typer.Typer(rich_markup_mode=None)

Target = Annotated[str, typer.Argument(metavar="TARGET", help="A name of the zoo (see `widelimit list`), or path/to/file.py:factory.")]
Optimizer = Annotated[str, typer.Option(metavar="NAME", help="sgd, adam, adamw ... (see `widelimit list optimizers`).")]
Format = Annotated[str, typer.Option("--format", metavar="text|markdown|latex|json", help="How to print it.")]
ShortFormat = Annotated[str, typer.Option("--format", metavar="text|json", help="How to print it.")]
Preset = Annotated[str, typer.Option(metavar="smoke|laptop|gpu", help="Seconds, minutes on two cores, or near the paper's size.")]
EngineName = Annotated[str, typer.Option("--engine", metavar="local|ray", help="Who trains the networks of a sweep.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the report: index.html, figures, claims.json.")]


@app.callback()
def widelimit() -> None:
    """How must a neural network scale as it grows, what is its limit, and does a real network agree?

    \b
    Start here:
      widelimit derive mlp                 the exponents of a perceptron, derived
      widelimit derive mlp --explain       and the term that fixes each of them
      widelimit check mlp                  measured on finite networks
      widelimit diagnose weight-decay mlp  how its weight decay has to grow
      widelimit reproduce core             figures and verdicts, into report/index.html
      widelimit list                       all names that the commands understand

    `widelimit COMMAND --help` explains a command by examples.

    Exit status: 0 done; 1 a prediction missed its measurement, a figure crashed or a verdict is not the one on record;
    2 wrong input; 130 interrupted.
    """


@app.command(short_help="Derive how each weight must scale.")
def derive(
    target: Target,
    optimizer: Optimizer = "adamw",
    desiderata: Annotated[str | None, typer.Option(metavar="NAME", help="What is demanded of the limit.  [default: mup]")] = None,
    regime: Annotated[str | None, typer.Option(metavar="AXIS=POWER,...", help="Axes as powers of one scale, such as n=1,heads=0.")] = None,
    gauge: Annotated[
        str, typer.Option(metavar="NAME", help="Where factors stand that multiplier and weight can share.")
    ] = "multiplier-free",
    alignment: Annotated[
        str | None,
        typer.Option(
            metavar="words|full|none|symbolic|...",
            help="How updates align: derived, or given, as full,W3=none or 3/4:1/2:3/4, or left open with symbolic (the table is "
            "then piecewise).  [default: words]",
        ),
    ] = None,
    parameterization: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Classify this table instead of deriving one.")] = None,
    fix: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Part of the table is given; derive the rest.")] = None,
    form: Format = "text",
    explain: Annotated[bool, typer.Option("--explain", help="Print the term that fixed each exponent.")] = False,
) -> int:
    """Derive how each weight's initialisation, multiplier and rates scale.

    \b
    Examples:
      widelimit derive mlp --optimizer adam
      widelimit derive transformer --regime n=1,heads=0 --explain
      widelimit derive transformer --desiderata gain-invariant:1/2     weight decay that keeps gains, not the timescale
      widelimit derive mlp --format json > mup.json
      widelimit derive mlp --parameterization ntp        classify a known table
      widelimit derive mlp --fix init.json               JSON with rows or columns left out: they are derived
      widelimit derive nets/mine.py:build                a network of your own

    \b
    A factory's keyword arguments are its axes (called with 64, 4, 4 ... where they have no default):
      from widelimit.theory import Axis, Graph
      def build(*, n):
          g = Graph("mine", [Axis("n", base=n)])
          g.dims(x=8, hidden="n", y=2)
          h = g.map("relu", g.dense("read", g.input("x"), "hidden"))
          return g.build(g.dense("write", h, "y"))
    \b
    or a torch.nn.Module with an example of its input (rows are then named as in named_parameters()):
      def build(*, n):
          return nn.Sequential(nn.Linear(8, n), nn.ReLU(), nn.Linear(n, 2)), torch.randn(4, 8)
    """
    from .commands import tables

    return tables.derive(
        target,
        optimizer=optimizer,
        desiderata=desiderata,
        regime=regime,
        gauge=gauge,
        alignment=alignment,
        parameterization=parameterization,
        fix=fix,
        form=form,
        explain=explain,
    )


@app.command(short_help="Measure every exponent on finite networks.")
def check(
    target: Target,
    optimizer: Optimizer = "adamw",
    parameterization: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Check this table.  [default: the derived one]")] = None,
    sizes: Annotated[str | None, typer.Option(metavar="64,128,...", help="Sizes of the axis that grows.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="T", help="Training steps at which terms are measured.")] = None,
    desiderata: Annotated[str, typer.Option(metavar="NAME", help="Of the derived table.")] = "mup",
    regime: Annotated[str | None, typer.Option(metavar="AXIS=POWER,...", help="Axes that grow together.")] = None,
    form: ShortFormat = "text",
) -> int:
    """Train finite networks at several sizes and hold every term's slope against its exponent.

    \b
    Examples:
      widelimit check mlp
      widelimit check mlp --parameterization sp --optimizer sgd
      widelimit check transformer --sizes 64,128,256 --steps 3 --format json
      widelimit check moe --regime II --desiderata mssp --optimizer sgd

    Exit status 1 if a slope misses its exponent.
    """
    from .commands import check as command

    return command.check(
        target,
        optimizer=optimizer,
        parameterization=parameterization,
        sizes=sizes,
        steps=steps,
        desiderata=desiderata,
        regime=regime,
        form=form,
    )


@app.command(short_help="Compare two tables cell by cell, modulo symmetry.")
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="TABLE.json, or TARGET[/PARAMETERIZATION[/OPTIMIZER]].")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    optimizer: Annotated[str, typer.Option(metavar="NAME", help="For a side that names none.")] = "adamw",
    regime: Annotated[str | None, typer.Option(metavar="AXIS=POWER,...", help="In which the tables are compared.")] = None,
    form: ShortFormat = "text",
) -> int:
    """Are two tables the same parameterisation, and if not, which cells differ?

    \b
    Factors that may move between multiplier and weight do not count. TARGET alone is its derived muP table.
    Examples:
      widelimit compare mlp/mup mlp/sp --optimizer adam
      widelimit compare mlp mlp/mup                      derived against published
      widelimit compare mlp/mup/sgd mlp/mup/adam
      widelimit compare moe/jiang moe/mup --optimizer adam --regime III
      widelimit compare mine.json nets/mine.py:build
    """
    from .commands import tables

    return tables.compare(first, second, optimizer=optimizer, regime=regime, form=form)


@app.command(short_help="The infinite-width limit of training, with error bars.")
def limit(
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="See: widelimit list problems; or path/to/file.py:factory.")],
    compare_widths: Annotated[str, typer.Option(metavar="64,256,...", help="Train finite networks of these widths beside it.")] = "",
    seeds: Annotated[int, typer.Option(metavar="N", help="Networks of every width.")] = 32,
    error: Annotated[float, typer.Option(metavar="E", help="Accuracy of the training loss: bias and standard error together.")] = 1e-3,
    key: Annotated[int, typer.Option(metavar="K", min=0, help="Of all randomness of the solve.")] = 0,
    form: ShortFormat = "text",
) -> int:
    """Solve the dynamical mean-field theory of training: the network of infinite width, for the exact discrete algorithm.

    \b
    Examples:
      widelimit limit tanh
      widelimit limit relu --error 3e-3 --compare-widths 64,256
      widelimit limit digits --error 0.01 --format json
      widelimit limit mine.py:make                       a problem of your own

    \b
    A factory returns a widelimit.dmft.Problem:
      def make():
          net = mlp(hidden=2, inputs=3, outputs=1, activation="tanh")
          return Problem(net, inputs, targets, steps=40)

    Trained networks are kept in $WIDELIMIT_HOME, else ./.widelimit. Exit status 1 if training diverges or the accuracy is out of reach.
    """
    from .commands import limit as command

    return command.limit(problem, widths=compare_widths, seeds=seeds, error=error, key=key, form=form)


@app.command(short_help="Do the best hyperparameters transfer, and how fast?")
def transfer(
    case: Annotated[str, typer.Argument(metavar="CASE", help="See: widelimit list cases.")],
    preset: Preset = "laptop",
    engine: EngineName = "local",
    jobs: Annotated[int, typer.Option(metavar="J", min=1, help="Ensembles of networks at a time, on this machine.")] = 1,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say what would be trained and how long it takes; train nothing.")] = False,
    form: ShortFormat = "text",
) -> int:
    """Measure how fast the best hyperparameter and the loss settle as a network grows, and say whether transfer is fast.

    \b
    The loss gap closes as n^-alpha, the best hyperparameter settles as n^-beta; transfer is fast if beta > alpha/2.
    Examples:
      widelimit transfer ridge
      widelimit transfer single-eigenvalue --preset smoke
      widelimit transfer shallow-linear --format json
      widelimit transfer digits --estimate               what it trains, and how long that takes
      widelimit transfer digits --jobs 2                 two ensembles of networks at a time

    \b
    Trained networks are kept in $WIDELIMIT_HOME, else ./.widelimit: killed at any time and run again, it goes on.
    --engine ray trains on a Ray cluster (extra `cluster`): that of $RAY_ADDRESS, else one started on this machine.
    All its nodes have widelimit installed and see the same $WIDELIMIT_HOME.

    Exit status 1 if the verdict is another than the case's theory has it.
    """
    from .commands import transfer as command

    return command.transfer(case, preset=preset, form=form, engine=engine, jobs=jobs, estimate=estimate)


app.add_typer(diagnosis, name="diagnose", short_help="Which decay exponent does this module want?")


@diagnosis.callback()
def diagnose() -> None:
    """Train a network of your own at small sizes, and say how one of its settings has to scale.

    \b
    Example:
      widelimit diagnose weight-decay nets/mine.py:build
    """


@diagnosis.command(name="weight-decay", short_help="The power of the width with which decay has to grow.")
def weight_decay(
    target: Target,
    data: Annotated[str, typer.Option(metavar="FILE.py:FUNCTION", help="Makes inputs and targets (see below).  [default: random]")] = "",
    sizes: Annotated[
        str, typer.Option(metavar="32,64,...", help="Of the axis; two at least.  [default: the first three powers of two]")
    ] = "",
    seeds: Annotated[int, typer.Option(metavar="N", help="Runs of every size.")] = 4,
    learning_rate: Annotated[float, typer.Option(metavar="RATE", help="At the smallest size; muP says how it scales.")] = 0.005,
    decay: Annotated[float, typer.Option(metavar="LAMBDA", help="Of matrices at the smallest size, w <- w - rate lambda w.")] = 1.0,
    steps: Annotated[int | None, typer.Option(metavar="T", help="Updates.  [default: until stationary]")] = None,
    batch: Annotated[int, typer.Option(metavar="B", help="Samples of an update.")] = 64,
    loss: Annotated[str, typer.Option(metavar="squared|cross-entropy|logistic", help="Of the data.  [default: what suits targets]")] = "",
    match: Annotated[str, typer.Option(metavar="top|gain", help="What is to stay: top singular values, or gains |W x| / |x|.")] = "top",
    axis: Annotated[str, typer.Option(metavar="AXIS", help="The size that grows.  [default: the first]")] = "",
    optimizer: Annotated[str, typer.Option(metavar="adamw", help="Whose steady state it is.")] = "adamw",
    form: ShortFormat = "text",
) -> int:
    """Measure how matrices grow at the steady state of AdamW, and say with which power of the width their decay has to grow.

    \b
    At small sizes, under muP with lambda ~ n (all sizes equally stationary), until 2 sum(rate lambda) is 6 or more, before any
    decay of the rate. Then size ~ sqrt(rate / lambda) n^alpha, and beside rates of 1/n it stays where lambda ~ n^(2 alpha - 1).
    alpha is measured, and predicted from the spectra of what each matrix reads and gets back. It is a property of your data and
    your network: 1/2 for white noise, 1 for one coherent direction, 3/4 where the square root of Fan et al. (2510.15262) is right.

    \b
    Examples:
      widelimit diagnose weight-decay nets/mine.py:build                       random inputs and targets
      widelimit diagnose weight-decay nets/mine.py:build --data nets/mine.py:batches --sizes 64,128,256
      widelimit diagnose weight-decay gpt --match gain --format json

    \b
    --data names a function that returns (inputs, targets): numpy arrays or tensors with as many samples in front. It is called
    with those of the keywords seed, samples (how many make every update fresh) and the factory's axes that it takes:
      def batches(*, seed, samples):
          x = ...                                    (samples, ...) as your module reads it; a tuple or dict if it takes several
          return x, y                                integers: classes, cross-entropy; real numbers: squared error
    With fewer samples than asked for they are used again. Samples in front: positions of a sequence come after.

    Exit status 2 where there is no result: not stationary, diverged, nothing to measure. A GPU is not used.
    """
    from .commands import diagnose as command

    return command.weight_decay(
        target,
        data=data,
        sizes=sizes,
        seeds=seeds,
        learning_rate=learning_rate,
        decay=decay,
        steps=steps,
        batch=batch,
        loss=loss,
        match=match,
        axis=axis,
        optimizer=optimizer,
        form=form,
    )


@app.command(short_help="Run papers or figures; verdicts and report.")
def reproduce(
    what: Annotated[list[str] | None, typer.Argument(metavar="[PAPER[/FIGURE]]...", help="What to reproduce.  [default: core]")] = None,
    preset: Preset = "laptop",
    jobs: Annotated[int, typer.Option(metavar="J", min=1, help="Figures at a time; the sweep of a single one has as many processes.")] = 1,
    out: Out = Path("report"),
    engine: EngineName = "local",
) -> int:
    """Run papers or single figures, hold each claim against its measurement, and write the report.

    \b
    Finished parts are kept in $WIDELIMIT_HOME, else ./.widelimit: run it again after an interruption and it goes on.
    Examples:
      widelimit reproduce core --preset smoke            seconds
      widelimit reproduce core                           at most ten minutes on two cores; report/index.html
      widelimit reproduce core/coordinate-check --out /tmp/report
      RAY_ADDRESS=head:6379 widelimit reproduce core/transfer --preset gpu --engine ray

    \b
    --engine ray executes sweeps on a Ray cluster (extra `cluster`): that of $RAY_ADDRESS, else one started on this machine.
    All its nodes have widelimit installed and see the same $WIDELIMIT_HOME.
    """
    from .commands import reproduce as command

    return command.reproduce(what or ["core"], preset=preset, jobs=jobs, out=out, engine=engine)


@app.command(short_help="Write the report again from finished results.")
def report(out: Out = Path("report")) -> int:
    """Write the report again from finished results, without computing anything.

    \b
    Example:
      widelimit report --out /tmp/report
    """
    from .commands import reproduce as command

    return command.report(out=out)


@app.command(name="list", short_help="List the names that the commands understand.")
def list_names(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[architectures|optimizers|parameterizations|desiderata|gauges|problems|cases|papers]", help="One kind of name."
        ),
    ] = None,
) -> int:
    """List the names that the other commands understand.

    \b
    Examples:
      widelimit list
      widelimit list optimizers
    """
    from .commands import listing

    return listing.list_names(kind)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; a user's mistake is one line on stderr, never a traceback."""
    given = sys.argv[1:] if arguments is None else arguments
    gc.set_threshold(50_000)  # a derivation makes many small objects and no cycles; looking for them often costs a tenth of it
    try:
        status = app(given or ["--help"], prog_name="widelimit", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except (ValueError, OSError) as error:
        status = _refuse(str(error))
    except Exception as error:
        message = getattr(error, "format_message", None)  # click's errors, which typer brings along under changing names
        if message is None:
            raise
        status = _refuse(message())
    if status == 130:
        print("widelimit: interrupted", file=sys.stderr)
    sys.exit(status or 0)


def _refuse(message: str) -> int:
    print(f"widelimit: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
