"""model.safetensors, which opens without running any code, and the hash by which weights are compared."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from rnnscope.errors import UserError, reason
from rnnscope.model.language_model import LanguageModel
from rnnscope.runs.files import replace_file


def weights_file(parameters: Mapping[str, torch.Tensor], vocabulary: str) -> bytes:
    """Return the contents of a safetensors file of a model's parameters.

    Args:
        parameters: by name; a tied matrix is there once, as the embedding.
        vocabulary: the digest of the vocabulary that the model was trained on, for `load_weights`.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in parameters.items()}
    # one entry: of several, safetensors writes a random one first; and its save_file makes a file that only its owner can read
    return save(tensors, metadata={"vocabulary": vocabulary})


def save_weights(contents: bytes, path: Path) -> None:
    """Write what `weights_file` returned."""
    replace_file(path, lambda temporary: temporary.write_bytes(contents))


def load_weights(model: LanguageModel, path: Path, vocabulary: str) -> None:
    """Fill the model from a file that `save_weights` wrote.

    Args:
        vocabulary: the digest of the vocabulary that the model is used with.

    Raises:
        UserError: if the file is missing, damaged, or belongs to a different model or vocabulary.
    """
    try:
        tensors = load(path.read_bytes())  # load_file calls missing what may not be read
        with cast(Any, safe_open)(path, "pt") as file:  # which has no types
            metadata: dict[str, str] = file.metadata() or {}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: the run has no weights yet") from None
    except (SafetensorError, OSError) as error:
        remedy = "use checkpoint=last, or restore it from a copy of the run folder"
        raise UserError(f"{path} cannot be read as weights ({reason(error)}): {remedy}") from error
    if metadata.get("vocabulary", vocabulary) != vocabulary:  # older versions did not write it
        raise UserError(
            f"{path} was trained with a different vocabulary from the one in vocabulary.json, which was replaced or changed:"
            " restore the two files that belong together"
        )
    fill_model(model, tensors, path)


def fill_model(model: LanguageModel, tensors: dict[str, torch.Tensor], source: Path) -> None:
    """Copy `tensors` into the model's parameters.

    Raises:
        UserError: if names or shapes do not match; nothing is copied then.
    """
    own = dict(model.named_parameters())
    if own.keys() != tensors.keys() or any(own[name].shape != tensors[name].shape for name in own):
        raise UserError(f"{source} holds the weights of a different model from the one in config.yaml and vocabulary.json")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def hash_weights(model: LanguageModel) -> str:
    """Return the SHA-256 over the names and bits of all parameters, sorted by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
