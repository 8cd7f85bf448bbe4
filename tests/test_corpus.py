"""The committed text: what it is, how it is cut into windows, and what a damaged file says."""

import lzma
from dataclasses import replace

import numpy as np
import pytest
from widelimit.synthetic import corpus
from widelimit.synthetic.corpus_task import ALPHABET, SHA256, TEXT, TRAIN_SHARE, load_tokens, read_text


def decoded(tokens: np.ndarray) -> str:
    return "".join(ALPHABET[t] for t in tokens)


def test_the_text_is_the_one_in_the_readme_and_small():
    text = read_text(TEXT).decode("ascii")
    assert TEXT.stat().st_size < 2**20
    assert SHA256 in TEXT.with_name("README.md").read_text()
    assert text.count("\n") == 31102 and text.startswith("In the beginning God created") and text.endswith("Amen.\n")
    assert "".join(sorted(set(text))) == ALPHABET
    assert decoded(load_tokens()[:1000]) == text[:1000]


def test_windows_are_text_and_targets_the_next_character():
    task, text = corpus(positions=40, samples=30, validation=20), read_text(TEXT).decode()
    assert task.inputs.shape == task.targets.shape == (50, 40) and task.train == 30 and task.inputs.dtype == np.int64
    assert np.array_equal(task.inputs[:, 1:], task.targets[:, :-1])
    split = int(TRAIN_SHARE * len(text))
    windows = [decoded(row) for row in np.concatenate([task.inputs, task.targets[:, -1:]], axis=1)]
    assert all(window in text[:split] for window in windows[:30])
    assert all(window in text[split:] for window in windows[30:])


def test_windows_reach_the_ends_of_their_parts_and_no_further():
    longest = len(load_tokens()) - int(TRAIN_SHARE * len(load_tokens())) - 1
    task = corpus(positions=longest, samples=1, validation=1)
    assert np.array_equal(np.append(task.inputs[1], task.targets[1, -1]), load_tokens()[-longest - 1 :])
    with pytest.raises(ValueError, match=f"`positions` is {longest + 1}; a window for validation has at most {longest}"):
        corpus(positions=longest + 1)


def test_windows_are_made_from_the_seed():
    settings = {"positions": 8, "samples": 50, "validation": 10}
    assert corpus(**settings).digest == corpus(**settings).digest
    assert corpus(**settings).digest != corpus(**settings, seed=1).digest != replace(corpus(**settings), train=49).digest


@pytest.mark.parametrize("name", ["positions", "samples", "validation"])
def test_empty_windows_are_refused(name: str):
    with pytest.raises(ValueError, match="each must be at least 1"):
        corpus(**{name: 0})


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (lzma.compress(b"In the beginning was the Word."), "is damaged: its text has the sha256 [0-9a-f]{64}, not 376f0fd8"),
        (TEXT.read_bytes()[:-1000], "cannot be read"),
        (b"no archive", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_damaged_file_is_named(content: bytes | None, match: str, tmp_path):
    path = tmp_path / "kjv.txt.xz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as raised:
        read_text(path)
    assert str(path) in str(raised.value) and "install the package again" in str(raised.value)
