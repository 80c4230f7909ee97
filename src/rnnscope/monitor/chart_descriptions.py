"""The meaning and healthy range of each chart, as TensorBoard shows them."""

import re

CHARTS = {
    "train/loss": "Nats per token, averaged since the last point. It starts near ln(vocabulary size) and falls fast, then "
    "slowly. If it rises or jumps, lower optimizer.lr.",
    "train/bits_per_character": "The training loss in bits per character: comparable across levels and vocabularies.",
    "train/penalty": "What trainer.activation_penalty and trainer.temporal_penalty add to the loss of this step, per token; "
    "train/loss is without it. Well below train/loss is healthy: else the penalties decide what is learned.",
    "train/accuracy": "Share of tokens that the model ranked first, in the window of this step.",
    "val/loss": "Nats per token on text that the model is not trained on. If it falls with train/loss, keep training. If it "
    "rises while train/loss falls, the model overfits: try more model.dropout, a smaller model or more text. If both stay "
    "equal, a larger model may help.",
    "val/bits_per_character": "The validation loss in bits per character. Compare runs on the same text by this number.",
    "val/accuracy": "Share of validation tokens that the model ranked first.",
    "val/perplexity": "e to the power of val/loss: the number of equally likely words that the model chooses from.",
    "best/loss": "The lowest validation loss so far. best.ckpt and model.safetensors hold the weights that reached it.",
    "best/bits_per_character": "The lowest validation loss so far, in bits per character.",
    "learning_rate": "The learning rate of this step, from optimizer.lr and the schedule.",
    "gradient_norm/all": "Norm of the gradient before clipping. Spikes are normal at first; a steady rise is not.",
    "gradient_norm/clipped_fraction": "Share of steps with a clipped gradient since the last point (with trainer.clip_value, "
    "share of clipped elements). If it stays near 1, clipping decides the step size, not the gradient.",
    "update_size/all": "log10 of RMS(update) / RMS(parameter) over all parameters. About -3 is healthy. Above -2 the steps are "
    "too large; below -4 hardly anything is learned.",
    "throughput/tokens_per_second": "Training tokens per second since the last point, including callbacks.",
    "throughput/seconds": "Seconds of training since the run began, without the pauses between sessions.",
    "throughput/memory_gigabytes": "Peak memory in GB: of the GPU if training uses one, else of the process.",
    "update_size/<parameter>": "log10 of RMS(update) / RMS(parameter) of this step. About -3 is healthy. Above -2 the steps "
    "are too large; below -4 hardly anything is learned. Biases start near zero, so their values are higher at first.",
    "activations/<layer>/mean": "Mean of a layer's output, over its units and the tokens of up to 8 columns. Near 0 is "
    "healthy. Below -0.3 or above 0.3, most units have settled on one side.",
    "activations/<layer>/spread": "Standard deviation of a layer's output. 0.1 to 0.7 is healthy. Near 0 the output is the "
    "same for every token; near 1 the units are saturated.",
    "activations/<layer>/state_size": "Root mean square of the state (in an LSTM, of h and c). 0.1 to 2 is healthy. If it "
    "grows without end in an LSTM, its cells add up and never forget: lower optimizer.lr or set trainer.state_reset.",
    "gates/<layer>/<gate>_mean": "How much a gate lets through on average, from 0 to 1. The forget gate of an LSTM and the "
    "update gate of a GRU set the share of the memory that is kept at each token: at 0.9 it lasts for about 10 tokens, at "
    "0.99 for about 100. For these gates, 0.5 to 0.95 is healthy.",
    "gates/<layer>/<gate>_saturated": "Share of a gate's values below 0.1 or above 0.9. It starts near 0. Up to 0.6 is healthy "
    "in a trained network. Above 0.9 the gate is stuck: hardly any gradient moves it.",
    "gradient_through_time/lag_<k>": "How far back the loss reaches: log10 of the norm of dL/dh, the gradient of the last "
    "token's loss with respect to the hidden states k tokens earlier, relative to lag 0. A slow fall is healthy, such as from "
    "-1 at lag 8 to -3 at lag 64. Below -4 at lag 8 the gradient vanishes, and nothing that far back is learned. Above 0 at "
    "long lags it explodes: set trainer.clip_norm.",
}
CARD = "charts"  # the tag of the text that explains all charts


def meaning(tag: str) -> str:
    """Return the description of a tag; all tags of a pattern, such as `update_size/<parameter>`, share one."""
    return next((text for pattern, text in CHARTS.items() if _fits(pattern, tag)), "")


def _fits(pattern: str, tag: str) -> bool:
    return re.fullmatch(re.sub("<[a-z]+>", "[^/]+", re.escape(pattern)), tag) is not None


def card() -> str:
    """Return the Markdown that explains every chart: a list, because TensorBoard breaks the tags in a narrow column."""
    return "\n".join(f"- `{tag}`: {text}" for tag, text in CHARTS.items())


def layout() -> dict[str, dict[str, list]]:
    """Return TensorBoard's custom-scalars layout: train beside val on one chart, update sizes on another."""
    return {
        "learning": {
            "loss: train and val": ["Multiline", ["train/loss", "val/loss"]],
            "bits per character: train and val": ["Multiline", ["train/bits_per_character", "val/bits_per_character"]],
            "accuracy: train and val": ["Multiline", ["train/accuracy", "val/accuracy"]],
        },
        "update sizes (log10; about -3 is healthy)": {
            "all parameters together": ["Multiline", ["update_size/all"]],
            "each parameter": ["Multiline", ["update_size/.*"]],
        },
        "inside": {
            "spread of activations": ["Multiline", ["activations/.*/spread"]],
            "share of saturated gates": ["Multiline", ["gates/.*_saturated"]],
            "gradient through time (log10, by lag)": ["Multiline", ["gradient_through_time/.*"]],
        },
    }
