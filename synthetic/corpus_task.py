"""A language to model: the characters of the King James Bible, a committed text (origin and licence: `corpus/README.md`)."""

from __future__ import annotations

import hashlib
import lzma
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from .streams import stream
from .tasks import Task

TEXT = Path(__file__).parent / "corpus" / "kjv.txt.xz"
SHA256 = "376f0fd8429cec6cc77659d428b2debd01f069dbfb3917776a09a36a7cfed5c4"
ALPHABET = "\n !'(),-.:;?ABCDEFGHIJKLMNOPQRSTUVWYZabcdefghijklmnopqrstuvwxyz"
TRAIN_SHARE = 0.9  # of the text, from its beginning


def corpus(*, positions: int = 64, samples: int = 2**14, validation: int = 2**8, seed: int = 0) -> Task:
    """Windows of the text; the target is the next character (`ALPHABET` has 63), the loss is in nats a character.

    Windows begin at random places: those for training within the first nine tenths of the text, those for validation within the
    last. With ``samples = steps * batch`` every batch is fresh.

    Args:
        positions: characters that are read, and predicted, in a window.
        samples: windows for training.
        validation: windows for validation.
        seed: of the places.

    Raises:
        ValueError: if there are no windows, if they are longer than a tenth of the text, or if the text is damaged.
    """
    if min(positions, samples, validation) < 1:
        raise ValueError(f"`positions`, `samples` and `validation` are {positions}, {samples} and {validation}; each must be at least 1")
    tokens, rng = load_tokens(), stream(seed, "corpus")
    split = int(TRAIN_SHARE * tokens.size)
    longest = tokens.size - split - 1
    if positions > longest:
        raise ValueError(f"`positions` is {positions}; a window for validation has at most {longest}")
    starts = [rng.integers(low, high - positions, count) for low, high, count in ((0, split, samples), (split, tokens.size, validation))]
    windows = np.lib.stride_tricks.sliding_window_view(tokens, positions + 1)[np.concatenate(starts)].astype(np.int64)
    return Task("corpus", windows[:, :-1], windows[:, 1:], "cross-entropy", samples)


@cache
def load_tokens() -> UInt8[np.ndarray, " character"]:
    """The whole text as places in `ALPHABET`.

    Raises:
        ValueError: if the file is damaged or missing.
    """
    text = read_text(TEXT)
    codes = np.zeros(128, np.uint8)
    codes[np.frombuffer(ALPHABET.encode(), np.uint8)] = np.arange(len(ALPHABET))
    tokens = codes[np.frombuffer(text, np.uint8)]
    tokens.setflags(write=False)
    return tokens


def read_text(path: Path) -> bytes:
    """The uncompressed text, checked against `SHA256`.

    Raises:
        ValueError: if it is not that text.
    """
    try:
        text = lzma.decompress(path.read_bytes())
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise ValueError(f"the corpus `{path}` cannot be read ({error}); install the package again") from error
    found = hashlib.sha256(text).hexdigest()
    if found != SHA256:
        raise ValueError(f"the corpus `{path}` is damaged: its text has the sha256 {found}, not {SHA256}; install the package again")
    return text
