"""What each chart means and what its healthy range is: the text that TensorBoard shows with it."""

CHARTS = {
    "train/loss": "Nats per token, averaged since the last point. It starts near ln(vocabulary size) and falls fast, then "
    "slowly. If it rises or jumps, lower optimizer.lr.",
    "train/bits_per_character": "The training loss in bits per character: comparable across levels and vocabularies.",
    "train/accuracy": "Share of tokens that the model ranked first, in the window of this step.",
    "val/loss": "Nats per token on text that is never trained on. If it falls with train/loss, keep training. If it rises "
    "while train/loss falls, the model overfits: try more model.dropout, a smaller model or more text. If both stay equal, a "
    "larger model may help.",
    "val/bits_per_character": "The validation loss in bits per character. Compare runs on the same text by this number.",
    "val/accuracy": "Share of validation tokens that the model ranked first.",
    "val/perplexity": "e to the power of val/loss: the number of equally likely words that the model chooses from.",
    "best/loss": "The lowest validation loss so far. best.ckpt and model.safetensors hold the weights that reached it.",
    "best/bits_per_character": "The lowest validation loss so far, in bits per character.",
    "learning_rate": "The learning rate of this step, from optimizer.lr and the schedule.",
    "gradient_norm/all": "Norm of the gradient before clipping. Spikes are normal at first; a steady rise is not.",
    "gradient_norm/clipped_fraction": "Share of steps that were clipped since the last point (share of elements with "
    "trainer.clip_value). If it stays near 1, clipping decides the step size instead of the gradient.",
    "update_size/all": "log10 of RMS(update) / RMS(parameter) over all parameters. About -3 is healthy. Above -2 the steps are "
    "too large; below -4 hardly anything is learned.",
    "throughput/tokens_per_second": "Training tokens per second since the last point, including callbacks.",
    "throughput/seconds": "Seconds of training since the run began, without the pauses between sessions.",
    "throughput/memory_gigabytes": "Peak memory in GB, of the GPU if there is one, else of the process.",
}
UPDATE_SIZE = (
    "log10 of RMS(update) / RMS(parameter) of this step. About -3 is healthy. Above -2 the steps are too large; below -4 "
    "hardly anything is learned. Biases start near zero, so their values are higher at first."
)


def meaning(tag: str) -> str:
    """Return the description of a tag; every `update_size/<parameter>` shares one."""
    return CHARTS.get(tag, UPDATE_SIZE if tag.startswith("update_size/") else "")


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
    }
