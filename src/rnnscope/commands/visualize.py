"""`rnnscope visualize`: one HTML page of what a run's network sees and keeps."""

import sys
from typing import Any

from rnnscope.config.schema import VisualizeConfig
from rnnscope.errors import UserError

LEAST = 4  # tokens of a text


def run(config: VisualizeConfig) -> None:
    """Write the page that `config` asks for and say what is on it."""
    from rnnscope.commands.compare import write_file
    from rnnscope.format import printable

    if config.page not in ("inside", "evolution"):
        raise UserError(f"page={config.page} is unknown: choose inside or evolution")
    text = inside(config) if config.page == "inside" else evolution(config)
    output = config.output or f"{config.page}.html"
    write_file("output", output, text)
    print(printable(f"wrote {output}: {len(text.encode()) / 1e6:.2f} MB; open it in a browser"))


def inside(config: VisualizeConfig) -> str:
    """Return the page of a text."""
    from rnnscope.analysis.inside import inside_page
    from rnnscope.analysis.reading import Reading, find_unit
    from rnnscope.runs.load import load

    loaded = load(config.run, config.checkpoint)
    model = loaded.model
    unit = None if config.unit is None else find_unit(config.unit, model.sizes)
    reading = Reading(loaded, chosen_text(config, loaded))
    if len(reading.ids) < LEAST:
        raise UserError(f"the text has {len(reading.ids)} tokens, and at least {LEAST} are needed")
    page, found = inside_page(reading, unit, sections(config, reading))
    print(found.sentence())
    return page


def evolution(config: VisualizeConfig) -> str:
    """Return the page of how the run learned."""
    from rnnscope.analysis.chosen_text import training_words
    from rnnscope.analysis.evolution import evolution_page, kept_steps
    from rnnscope.runs.load import load

    for key in ("unit", "checkpoint"):
        if getattr(config, key) != getattr(VisualizeConfig, key):
            raise UserError(f"{key}= does not apply to page=evolution; leave it out")
    loaded = load(config.run)
    kept = kept_steps(loaded.folder)
    if not kept:
        say("this run kept no checkpoints in which to rank units; trainer.keep_every=100 keeps some")
    text = chosen_text(config, loaded) if kept else ""
    return evolution_page(loaded, config.steps, text, training_words(loaded, config.data))


def chosen_text(config: VisualizeConfig, loaded: Any) -> str:
    """Return the text to look at, and say which it is."""
    from rnnscope.analysis.chosen_text import choose_text

    chosen = choose_text(loaded, config.text, config.split, config.data, config.characters)
    say(f"looking at {'the first ' if chosen.cut else ''}{len(chosen.text):,} characters of {chosen.source}")
    return chosen.text


def sections(config: VisualizeConfig, reading: Any) -> dict[str, Any]:
    """Return what stands below the text, by name."""
    from rnnscope.analysis.inside_sections import causal_section, memory_section
    from rnnscope.analysis.small_net import drawing, is_small

    found: dict[str, Any] = {}
    if is_small(reading.run.model):
        found["net"] = drawing(reading.run.model, reading.run.vocabulary, reading.ids)
    if config.memory:
        say("measuring how far the model remembers (memory=false leaves this out)")
        found["memory"] = memory_section(reading)
        print(found["memory"]["horizon"])
    if config.causal:
        say("measuring what each unit is needed for (causal=false leaves this out)")
        found["causal"] = causal_section(reading)
    return found


def say(line: str) -> None:
    """Say on stderr what is going on."""
    from rnnscope.format import printable

    print(printable(line), file=sys.stderr)
