"""Tasks are made from seeds, fit their networks, and batches go through the data in epochs."""

from dataclasses import replace

import numpy as np
import pytest
from widelimit.synthetic import Ensemble, Task, batch_index, default_task, digits, markov, noise, teacher, train, zipf
from widelimit.theory.derivation import derive
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis
from widelimit.theory.zoo import gpt, mlp, prenorm


def test_digits_are_standardised_on_their_training_half():
    task = digits()
    train = task.inputs[: task.train]
    assert (task.train, len(task.inputs), task.inputs.shape[1]) == (898, 1797, 64)
    assert np.allclose(train.mean(0), 0, atol=1e-12) and np.isclose(np.mean(train**2), 1)
    assert set(task.targets) == set(range(10))


def entropy(p: np.ndarray) -> float:
    return float(-np.sum(p * np.log(np.where(p > 0, p, 1))))


def test_markov_targets_are_the_next_tokens_and_need_two_positions():
    task = markov(vocab=5, positions=8, samples=4000)
    assert np.array_equal(task.inputs[:, 1:], task.targets[:, :-1])
    counts = np.zeros((5, 5, 5))
    np.add.at(counts, (task.inputs[:, -2], task.inputs[:, -1], task.targets[:, -1]), 1)
    joint = counts / counts.sum()
    one_back, two_back = (entropy(p) - entropy(p.sum(-1)) for p in (joint.sum(0), joint))
    assert two_back < 0.9 * one_back < 0.9 * np.log(5)


def test_teacher_outputs_are_of_order_one_and_shaped():
    task = teacher(inputs=(3, 4), outputs=(3, 2), samples=500)
    assert task.inputs.shape == (500, 3, 4) and task.targets.shape == (500, 3, 2)
    assert 0.3 < task.targets.std() < 3
    assert set(teacher(inputs=4, outputs=3, loss="cross-entropy").targets) == {0, 1, 2}


def test_the_digest_sees_data_loss_and_split():
    task = teacher(inputs=3, outputs=1, samples=20)
    others = [replace(task, train=9), replace(task, inputs=task.inputs + 1e-9), teacher(inputs=3, outputs=1, samples=20, seed=1)]
    assert task.digest == teacher(inputs=3, outputs=1, samples=20).digest == replace(task, name="other").digest
    assert len({task.digest, *(o.digest for o in others)}) == 4


def test_batches_are_epochs_without_repetition_and_repeat_with_the_seed():
    index = batch_index(3, 7, 10, 3)
    assert index.shape == (7, 3) and index.max() < 10
    assert len(set(index[:3].ravel())) == 9
    assert np.array_equal(index, batch_index(3, 7, 10, 3)) and not np.array_equal(index, batch_index(4, 7, 10, 3))
    assert np.array_equal(index[:4], batch_index(3, 4, 10, 3))


def test_the_default_task_fits_the_network():
    assert default_task(mlp()).name == "digits"
    assert default_task(mlp(inputs=7, outputs=2)).targets.shape[1:] == (2,)
    task = default_task(gpt(vocab=9, positions=5))
    assert task.inputs.shape[1:] == (5,) and task.inputs.max() < 9


def test_a_network_without_a_default_task_is_named():
    g = Graph("classifier", [Axis("n")])
    g.dims(t=4, vocab=5, n="n", y=3)
    x = g.dense("embed", g.input("t", "vocab", token=True), "n", over="vocab")
    with pytest.raises(ValueError, match="`classifier` reads tokens but does not predict the next one"):
        default_task(g.build(g.dense("W", g.sum(x, "t"), "y")))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Task("a", np.zeros((3, 2)), np.zeros(3), "hinge", 2), "unknown loss `hinge`"),
        (lambda: Task("a", np.zeros((3, 2)), np.zeros(4), "squared", 2), "3 inputs and 4 targets"),
        (lambda: Task("a", np.zeros((3, 2)), np.zeros(3), "squared", 4), "`train` is 4"),
        (lambda: Task("a", np.zeros((3, 2)), np.zeros(3), "cross-entropy", 2), "needs integers"),
        (lambda: batch_index(0, 5, 10, 11), "`batch` is 11"),
        (lambda: markov(vocab=1), "`vocab` is 1"),
    ],
)
def test_errors_name_the_culprit(make, match: str):
    with pytest.raises(ValueError, match=match):
        make()


def test_noise_has_the_covariance_that_was_asked_for_and_labels_of_no_meaning():
    task = noise(inputs=6, decay=0.5, classes=3, samples=2**16, validation=2**8)
    values = np.linalg.eigvalsh(np.cov(task.inputs, rowvar=False))[::-1]
    expected = np.arange(1, 7) ** -0.5
    assert np.allclose(values, expected / expected.mean(), rtol=0.03) and np.isclose(np.mean(task.inputs**2), 1, rtol=0.02)
    assert np.isclose(task.floor, np.log(3)) and len(task.expected) == 2**8
    assert abs(np.corrcoef(task.inputs[:, 0], task.targets)[0, 1]) < 0.02


def test_zipf_has_the_frequencies_and_the_classes_of_its_teacher():
    task = zipf(vocab=8, classes=5, samples=2**15, validation=2**12)
    first, second = task.inputs.T
    assert first.max() == 7 and second.min() == 8 and second.max() == 15
    assert np.allclose(np.bincount(first, minlength=8) / len(first) * np.arange(1, 9) * np.sum(1 / np.arange(1, 9)), 1, rtol=0.1)
    held, answers = task.inputs[task.train :], task.targets[task.train :]
    said = task.expected[(held == [0, 8]).all(1)]
    drawn = np.bincount(answers[(held == [0, 8]).all(1)], minlength=5) / len(said)
    assert np.allclose(said[0].sum(), 1, atol=1e-6) and np.allclose(drawn, said[0], atol=0.06)


def test_the_exact_validation_of_zipf_counts_every_input_by_its_probability():
    drawn, exact = (zipf(vocab=8, classes=5, samples=64, validation=2**14, exact=each) for each in (False, True))
    assert np.isclose(drawn.floor, exact.floor, atol=0.02) and len(exact.expected) == 2**14 + 64
    assert np.isclose(exact.expected.sum(1).mean(), 1, atol=1e-6) and exact.digest != drawn.digest


def test_the_validation_loss_of_distributions_is_their_mean_and_not_below_the_floor():
    net, task = prenorm(vocab=8, classes=5, base=8), zipf(vocab=8, classes=5, samples=64, validation=32, exact=True)
    frame = train(Ensemble(net, derive(net), task, {"n": 8}, (0.01,), (0,), 2, 32))
    losses = frame[frame["term"] == "validation loss"].set_index("step")["value"]
    assert np.isclose(losses[0], np.log(5), rtol=1e-5)  # the readout starts at zero
    assert losses[0] > losses[2] > task.floor


def test_distributions_need_one_for_every_validation_sample():
    task = zipf(vocab=8, samples=64, validation=32)
    with pytest.raises(ValueError, match=r"`expected` of the task `zipf` .* has 31 distributions for 32"):
        replace(task, expected=task.expected[1:])
