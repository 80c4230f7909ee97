"""Samples from what `rnnscope export format=onnx` wrote, with onnxruntime and numpy alone: python sample_onnx.py FOLDER."""

import json
import sys

import numpy as np
import onnxruntime

START = 1  # begins a text, and so does a state of zeros
folder, length, temperature = sys.argv[1], 300, 0.8
with open(f"{folder}/vocabulary.json", encoding="utf-8") as file:
    vocabulary = json.load(file)
model = onnxruntime.InferenceSession(f"{folder}/step.onnx")
names = [entry.name for entry in model.get_inputs()]
state = [np.zeros((1, entry.shape[1]), np.float32) for entry in model.get_inputs()[1:]]
draw = np.random.default_rng(1)
token, text = START if vocabulary["level"] != "byte" else 10, []
for _ in range(length):
    logits, *state = model.run(None, dict(zip(names, [np.array([token]), *state], strict=True)))
    scores = logits[0] / temperature
    scores[:2] = -np.inf if vocabulary["level"] != "byte" else scores[:2]  # neither UNK nor START
    chances = np.exp(scores - scores.max())
    token = int(draw.choice(len(chances), p=chances / chances.sum()))
    text.append(vocabulary["tokens"][token])
print((" " if vocabulary["level"] == "word" else "").join(text))
