"""`rnnscope visualize`: one HTML page on the inside of a run's network, or on how it learned."""

import os
import sys
from pathlib import Path
from typing import Any

from rnnscope.config.schema import VisualizeConfig, refuse_without_effect
from rnnscope.errors import UserError, check_choice

LEAST = 4  # tokens of a text


def run(config: VisualizeConfig) -> None:
    """Write the page and say what is on it."""
    from rnnscope.commands.compare import write_file
    from rnnscope.format import printable

    check_choice("page", config.page, ["inside", "evolution"])
    if config.text is not None:
        refuse_without_effect(config, ["split"], "to text=")
    output = config.output or f"{config.page}.html"
    if Path(output).is_dir() or not os.access(Path(output).parent, os.W_OK):  # before minutes of work
        raise UserError(f"output={output} cannot be written: give a file in a folder that exists and can be written")
    text = inside(config) if config.page == "inside" else evolution(config)
    write_file("output", output, text)
    print(printable(f"wrote {output}: {len(text.encode()) / 1e6:.2f} MB; open it in a browser"))


def inside(config: VisualizeConfig) -> str:
    """Return the page `inside`: a text as the network reads it."""
    from rnnscope.analysis.inside import inside_page
    from rnnscope.analysis.reading import Reading, find_unit
    from rnnscope.format import plural
    from rnnscope.runs.load import load

    refuse_without_effect(config, ["steps"], "to page=inside")
    loaded = load(config.run, config.checkpoint)
    model = loaded.model
    unit = None if config.unit is None else find_unit(config.unit, model.sizes)
    reading = Reading(loaded, chosen_text(config, loaded))
    if len(reading.ids) < LEAST:
        raise UserError(f"the text has {plural(len(reading.ids), 'token')}, and at least {LEAST} are needed: give a longer one")
    page, found = inside_page(reading, unit, sections(config, reading))
    print(found.sentence())
    return page


def evolution(config: VisualizeConfig) -> str:
    """Return the page `evolution`: how the run learned."""
    from rnnscope.analysis.chosen_text import training_words
    from rnnscope.analysis.evolution import evolution_page, kept_steps
    from rnnscope.runs.load import load

    refuse_without_effect(config, ("unit", "checkpoint", "memory", "causal"), "to page=evolution")
    loaded = load(config.run)
    kept = kept_steps(loaded.folder)
    if not kept:
        say("this run kept no checkpoints to rank units in; train with trainer.keep_every=100 to keep some")
    text = chosen_text(config, loaded) if kept else ""
    return evolution_page(loaded, config.steps, text, training_words(loaded, config.data))


def chosen_text(config: VisualizeConfig, loaded: Any) -> Any:
    """Return the text to examine, and say which it is."""
    from rnnscope.analysis.chosen_text import choose_text
    from rnnscope.format import plural

    chosen = choose_text(loaded, config.text, config.split, config.data, config.characters)
    size = chosen.characters
    counted = f"the first {size:,} characters" if chosen.cut else plural(size, "character")
    say(f"reading {counted} of {chosen.source}")
    return chosen.text


def sections(config: VisualizeConfig, reading: Any) -> dict[str, Any]:
    """Return the sections below the text, by name."""
    from rnnscope.analysis.inside_sections import causal_section, memory_section
    from rnnscope.analysis.small_net import drawing, is_small

    found: dict[str, Any] = {}
    if is_small(reading.run.model):
        found["net"] = drawing(reading.run.model, reading.run.vocabulary, reading.ids)
    if reading.run.samples and (config.memory or config.causal):
        say("memory and causal are left out: this run reads each sample from a zero state, so nothing is remembered for long")
        return found
    if config.memory:
        say("measuring how far the model remembers (memory=false leaves this out)")
        found["memory"] = memory_section(reading)
        print(found["memory"]["horizon"])
    if config.causal:
        say("measuring what each unit is needed for (causal=false leaves this out)")
        found["causal"] = causal_section(reading)
    return found


def say(line: str) -> None:
    """Print a line on stderr."""
    from rnnscope.format import printable

    print(printable(line), file=sys.stderr)
