"""Two tokens with Zipf's frequencies, and a class that a random network gives them: language, made small."""

from __future__ import annotations

import numpy as np

from .streams import stream
from .tasks import Task

RANK, STRENGTH = 32, 2.0
_PIECE = 2**14  # samples at a time


def zipf(*, vocab: int = 256, classes: int = 64, samples: int = 2**16, validation: int = 2**12, exact: bool = False, seed: int = 0) -> Task:
    """Pairs of tokens, each of the probability ``1/rank``, of which the second's number is larger by ``vocab``.

    The class is drawn from ``softmax(2 U relu(W (a[i] + b[j])))`` with Gaussian a and b of 32 entries, 128 hidden units. With
    ``samples = steps * batch`` every batch is fresh. The validation loss has no noise of labels: it is the mean of the expected one.

    Args:
        vocab: of each token.
        classes: of labels.
        samples: to train.
        validation: samples drawn in the same way.
        exact: the validation loss is that over all ``vocab^2`` inputs, each counted by its probability; they follow the drawn ones.
        seed: of everything.
    """
    rng = stream(seed, "zipf")
    teacher = _Teacher(vocab, classes, rng)
    odds = 1 / np.arange(1.0, vocab + 1)
    odds /= odds.sum()
    pairs = rng.choice(vocab, size=(samples + validation, 2), p=odds)
    drawn = np.concatenate([teacher.draw(part, rng) for part in _split(pairs)])
    expected = np.concatenate([teacher.say(part) for part in _split(pairs[samples:])])
    if exact:
        every = np.stack(np.meshgrid(np.arange(vocab), np.arange(vocab), indexing="ij"), -1).reshape(-1, 2)
        answers = np.concatenate([teacher.say(part) for part in _split(every)])
        weights = odds[every].prod(1, keepdims=True) * (len(every) + validation)  # the mean is over all of them
        expected = np.concatenate([0 * expected, answers * weights])
        drawn = np.concatenate([drawn, answers.argmax(1)])
        pairs = np.concatenate([pairs, every])
    inputs = pairs + np.array([0, vocab])
    return Task("zipf", inputs, drawn, "cross-entropy", samples, expected.astype(np.float32))


class _Teacher:
    """A random network that says how probable every class of a pair is."""

    def __init__(self, vocab: int, classes: int, rng: np.random.Generator):
        self.tables = rng.standard_normal((2, vocab, RANK))
        self.hidden = rng.standard_normal((RANK, 4 * RANK)) / np.sqrt(RANK)
        self.last = rng.standard_normal((4 * RANK, classes)) * STRENGTH / np.sqrt(4 * RANK)

    def logits(self, pairs: np.ndarray) -> np.ndarray:
        first, second = pairs.T
        return np.maximum((self.tables[0, first] + self.tables[1, second]) @ self.hidden, 0) @ self.last

    def say(self, pairs: np.ndarray) -> np.ndarray:
        """Probabilities, (sample, class)."""
        odds = np.exp(self.logits(pairs))
        return odds / odds.sum(1, keepdims=True)

    def draw(self, pairs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One class of each."""
        logits = self.logits(pairs)
        return (logits + rng.gumbel(size=logits.shape)).argmax(1)


def _split(pairs: np.ndarray) -> list[np.ndarray]:
    return np.array_split(pairs, max(1, len(pairs) // _PIECE))
