"""All of a training in a hundred lines of plain torch, as min-char-rnn was in numpy:  python hundred_lines.py my_book.txt

It gives the same weights, to the last bit, as
    rnnscope train text=my_book.txt schedule=constant trainer=cpu trainer.precision=float32 trainer.threads=1 \
        trainer.state_reset=0 trainer.max_steps=500 model.hidden_size=128
"""

import sys
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNK, START, END, IGNORE = 0, 1, 2, -100  # ids of special tokens; a target that is not scored
HIDDEN, COLUMNS, TIME, RATE, STEPS = 128, 32, 64, 4e-3, 500  # COLUMNS texts are read side by side, TIME characters at once
State = tuple[Tensor, Tensor] | None


class Model(nn.Module):
    """A character goes in, a score for each possible next one comes out."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, hidden)
        self.lstm = nn.LSTM(hidden, hidden)
        self.head = nn.Linear(hidden, size)
        with torch.no_grad():
            self.lstm.bias_ih_l0.chunk(4)[1].add_(1.0)  # begin by not forgetting

    def forward(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (time, columns, size) for ids (time, columns), and the state after the last."""
        hidden, state = self.lstm(self.embedding(ids), state)
        return self.head(hidden), state


def tokens_of(text: str) -> list[str]:
    """Return the characters, the most frequent first; a character's id is its place, after the special tokens."""
    counts = Counter(text)
    return ["", "", "", *sorted(counts, key=lambda character: (-counts[character], character))]


def columns_of(ids: Tensor, columns: int, time: int) -> tuple[Tensor, Tensor]:
    """Cut ids into columns: inputs and targets, (whole windows of time, columns); the first columns may be one longer."""
    short, longer = divmod(len(ids) - 1, columns)
    length = -(-(short + (longer > 0)) // time) * time
    inputs = torch.zeros(length, columns, dtype=torch.int64)
    targets = torch.full((length, columns), IGNORE)
    begin = 0
    for column in range(columns):
        end = begin + short + (column < longer)
        inputs[: end - begin, column] = ids[begin:end]
        targets[: end - begin, column] = ids[begin + 1 : end + 1]  # what comes next
        begin = end
    return inputs, targets


def train(text: str, hidden: int = HIDDEN, steps: int = STEPS, columns: int = COLUMNS, time: int = TIME) -> Model:
    """Train on the first nine tenths of a text; the state is carried from window to window, the gradient is not."""
    torch.set_num_threads(1)
    tokens = tokens_of(text := text[: int(0.9 * len(text))])
    numbers = {character: id for id, character in enumerate(tokens)}
    inputs, targets = columns_of(torch.tensor([START, *map(numbers.__getitem__, text)]), columns, time)
    torch.manual_seed(1)
    model = Model(len(tokens), hidden)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.05, fused=True)
    state: State = None
    for step in range(steps):
        begin = step * time % len(inputs)
        if begin == 0:  # the text begins again
            state = None
        wanted = targets[begin : begin + time]
        logits, state = model(inputs[begin : begin + time], state)
        state = (state[0].detach(), state[1].detach())
        nats = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORE, reduction="sum")
        count = int((wanted != IGNORE).sum())
        optimizer.zero_grad()
        nats.backward(torch.tensor(1 / count))  # of the mean
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}  loss {nats.item() / count:.4f}\n{sample(model, tokens)}\n")
    return model


@torch.no_grad()
def sample(model: Model, tokens: list[str], length: int = 200, temperature: float = 0.8) -> str:
    """Write some text; the random numbers are not those of training."""
    id, state, text, random = START, None, "", torch.Generator().manual_seed(1)
    for _ in range(length):
        logits, state = model(torch.tensor([[id]]), state)
        logits[..., : END + 1] = -torch.inf  # special tokens are never written
        id = int(torch.multinomial(F.softmax(logits.flatten() / temperature, 0), 1, generator=random))
        text += tokens[id]
    return text


if __name__ == "__main__":
    train(Path(sys.argv[1]).read_text(encoding="utf-8"))
