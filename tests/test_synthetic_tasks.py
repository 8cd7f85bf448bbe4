"""Tasks are made from seeds, fit their networks, and batches go through the data in epochs."""

from dataclasses import replace

import numpy as np
import pytest
from widelimit.synthetic import Task, batch_index, default_task, digits, markov, teacher
from widelimit.theory.graph import Graph
from widelimit.theory.scales import Axis
from widelimit.theory.zoo import gpt, mlp


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
