"""The operations that a token takes in training."""

import pytest

from rnnscope.bench.limit import operations_per_token
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_operations_of_a_token_by_hand(cell, gates):
    hidden, layers, vocabulary = 12, 2, 30
    model = LanguageModel.from_config(ModelConfig(cell, hidden, layers), vocabulary)
    multiplications = layers * gates * hidden * 2 * hidden + hidden * vocabulary
    assert operations_per_token(model) == 3 * 2 * multiplications  # forward, the gradient of the input, that of the weights
