"""optimizer=muon: against the singular value decomposition, torch's own Muon and AdamW, and gate by gate."""

import pytest
import torch
from conftest import train
from messages import user_error

from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel
from rnnscope.pipeline.resume import resume_run
from rnnscope.training.muon import orthogonalized
from rnnscope.training.optimizers import make_optimizer

V, H = 11, 6


def model_of(cell: str, **options) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel.from_config(ModelConfig(cell, H, 2, **options), V)


def give_gradients(model: torch.nn.Module) -> None:
    for number, value in enumerate(model.parameters()):
        torch.manual_seed(number)
        value.grad = torch.randn_like(value)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 12), (2, 12, 5)])
def test_the_result_has_the_singular_vectors_of_the_matrix_and_values_near_one(shape):
    torch.manual_seed(0)
    left, values, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrices = left * (values + values.mean() / 2).unsqueeze(1) @ right  # none of its values is tiny
    found = left.mT @ orthogonalized(matrices) @ right.mT
    on_diagonal = found.diagonal(dim1=1, dim2=2)
    assert (on_diagonal > 0.6).all()
    assert (on_diagonal < 1.3).all()
    torch.testing.assert_close(found, torch.diag_embed(on_diagonal), atol=1e-5, rtol=0)


def test_with_one_gate_it_is_torchs_muon_and_the_rest_is_torchs_adamw():
    ours, theirs = model_of("rnn"), model_of("rnn")
    optimizer = make_optimizer(ours, "muon", 0.02, precision="bf16", betas=[0.9, 0.99], weight_decay=0.1)
    matrices = [value for name, value in theirs.named_parameters() if name.startswith("cells.") and value.dim() == 2]
    rest = [value for value in theirs.parameters() if not any(value is matrix for matrix in matrices)]
    assert (len(matrices), len(rest)) == (4, 7)
    both = (
        torch.optim.Muon(matrices, 0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, 0.02, betas=(0.9, 0.99), weight_decay=0.1),
    )
    for _ in range(3):
        for model in (ours, theirs):
            give_gradients(model)
        optimizer.step()
        for one in both:
            one.step()
    for (name, value), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(value, other, atol=2e-4, rtol=0, msg=name)  # bf16 in products of other shapes


def test_each_gate_is_a_matrix_of_its_own():
    lstm = model_of("lstm")
    give_gradients(lstm)
    before = lstm.cells[0].weight_hh_l0.detach().clone()
    make_optimizer(lstm, "muon", 0.02).step()
    change = (before - lstm.cells[0].weight_hh_l0) / (0.02 * 0.2 * H**0.5)
    for gate, gradient in zip(change.chunk(4), lstm.cells[0].weight_hh_l0.grad.chunk(4), strict=True):
        torch.testing.assert_close(gate, orthogonalized(gradient.unsqueeze(0))[0], atol=1e-5, rtol=0)


def test_what_is_left_to_adamw():
    named = model_of("lstm", input="one_hot").stacked_gates()
    assert named == {"cells.0.weight_hh_l0": 4, "cells.1.weight_ih_l0": 4, "cells.1.weight_hh_l0": 4}
    named = model_of("mogrifier_lstm", rounds=2, rank=2).stacked_gates()
    assert {name for name, gates in named.items() if gates == 1} == {name for name in named if "rounds" in name}
    assert len(named) == 2 * (2 + 2 * 2)


def test_a_wrong_momentum():
    with user_error("muon", "momentum"):
        make_optimizer(model_of("lstm"), "muon", 0.02, momentum=1.0)


def test_a_run_goes_on_exactly(story, outputs):
    words = ["dataset=text_files", f"dataset.corpus.path={story}", "optimizer=muon", "trainer.max_steps=20"]
    whole = train(*words, "schedule=constant")
    half = train(*words, "schedule=constant", "trainer.max_steps=10")
    assert resume_run(half.run, {"trainer.max_steps": 20}).weights_hash == whole.weights_hash
    assert whole.weights_hash != half.weights_hash
