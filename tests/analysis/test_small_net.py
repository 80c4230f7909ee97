"""The drawing of a network of a few units."""

from collections import Counter

import numpy as np
import torch

from rnnscope.analysis.small_net import drawing
from rnnscope.data.config import DatasetConfig
from rnnscope.data.vocabulary import Vocabulary
from rnnscope.model.config import ModelConfig
from rnnscope.model.language_model import LanguageModel


def test_it_ends_with_the_first_sample():
    vocabulary = Vocabulary.build(Counter("abc"), DatasetConfig())
    torch.manual_seed(1)
    model = LanguageModel(ModelConfig(cell="rnn", num_layers=1, hidden_size=3), len(vocabulary)).eval()
    first = [*vocabulary.encode("ab").tolist(), vocabulary.end]
    both = [*first, vocabulary.start, *vocabulary.encode("c").tolist(), vocabulary.end]
    found = drawing(model, vocabulary, np.array(both))
    assert found == drawing(model, vocabulary, np.array(first))
    assert found["tokens"] == ["a", "b"]
