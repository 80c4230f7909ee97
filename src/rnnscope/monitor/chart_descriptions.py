"""What each chart means and where its healthy range lies, in the words that TensorBoard shows beside it."""

CHARTS = {
    "train/loss": "Nats per token, the mean since the last point. Starts at ln(vocabulary size); falls fast, then slowly. "
    "Rising or jumping: lower optimizer.lr.",
    "train/bits_per_character": "The training loss in bits per character of text: comparable across levels and vocabularies.",
    "train/accuracy": "Share of tokens that were the model's first guess, on the window of this step.",
    "val/loss": "Nats per token on text never trained on. Falling with train/loss: keep going. Rising while train/loss falls: "
    "overfitting, so more model.dropout, a smaller model or more text. Equal to train/loss: a larger model may help.",
    "val/bits_per_character": "The validation loss in bits per character of text: the number to compare runs by.",
    "val/accuracy": "Share of validation tokens that were the model's first guess.",
    "val/perplexity": "e to the validation loss: among how many equally likely words the model chooses.",
    "best/loss": "The lowest validation loss so far; best.ckpt and model.safetensors hold its weights.",
    "best/bits_per_character": "The same in bits per character.",
    "learning_rate": "The rate of the last step, as optimizer.lr and the schedule set it.",
    "gradient_norm/all": "Length of the gradient before clipping. Spikes are normal early; a steady climb is not.",
    "gradient_norm/clipped_fraction": "Share of steps clipped since the last point (of elements, with clip_value). "
    "Near 1 all the time: the clip sets the step size, not the gradient.",
    "update_size/all": "log10 of RMS(update) / RMS(parameter), all parameters together. About -3 is healthy; above -2 the "
    "steps are too large, below -4 hardly anything is learnt.",
    "throughput/tokens_per_second": "Training tokens per second since the last point, callbacks included.",
    "throughput/seconds": "Seconds since the run began, pauses between sessions left out.",
    "throughput/memory_gigabytes": "Peak memory of the process, or of the GPU.",
}
UPDATE_SIZE = (
    "log10 of RMS(update) / RMS(parameter) of this step. About -3 is healthy; above -2 too large, below -4 hardly learning. "
    "Biases start near zero and read higher at first."
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
