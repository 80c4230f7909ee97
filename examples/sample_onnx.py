"""Samples from what `rnnscope export format=onnx` wrote, with onnxruntime and numpy alone: python sample_onnx.py FOLDER."""

import json
import sys

import numpy as np
import onnxruntime

START, END = 1, 2  # begins a text, and so does a state of zeros; ends one
folder, length, temperature = sys.argv[1], 300, 0.8
with open(f"{folder}/vocabulary.json", encoding="utf-8") as file:
    vocabulary = json.load(file)
model = onnxruntime.InferenceSession(f"{folder}/step.onnx")
names = [entry.name for entry in model.get_inputs()]
state = [np.zeros((1, entry.shape[1]), np.float32) for entry in model.get_inputs()[1:]]
draw = np.random.default_rng(1)
raw = vocabulary["level"] == "byte"  # all 256 tokens are bytes, and a text begins like a line
token, drawn = 10 if raw else START, []
for _ in range(length):
    logits, *state = model.run(None, dict(zip(names, [np.array([token]), *state], strict=True)))
    scores = logits[0] / temperature
    scores[:2] = scores[:2] if raw else -np.inf  # neither UNK nor START
    chances = np.exp(scores - scores.max())
    token = int(draw.choice(len(chances), p=chances / chances.sum()))
    if token == END and not raw:
        break
    drawn.append(token)
apart = " " if vocabulary["level"] == "word" and vocabulary["words"] != "lossless" else ""  # the spaces that words lack
print(bytes(drawn).decode("utf-8", "replace") if raw else apart.join(vocabulary["tokens"][token] for token in drawn))
