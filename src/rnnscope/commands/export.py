"""`rnnscope export`: a run's model as ONNX graphs, or as a folder with a model card."""

import os
import shutil
from pathlib import Path

from rnnscope.config.schema import ExportConfig
from rnnscope.errors import UserError, check_choice

FORMATS = ("onnx", "card")


def run(config: ExportConfig) -> None:
    """Write the files to a new folder and list them."""
    from rnnscope.format import printable
    from rnnscope.runs.card import write_card
    from rnnscope.runs.load import load
    from rnnscope.runs.onnx_export import export_onnx, onnx_package

    check_choice("format", config.format, FORMATS)
    if config.format == "onnx":
        onnx_package()
    loaded = load(config.run, config.checkpoint)
    folder = new_folder(config, loaded.folder.path)
    try:
        if config.format == "card":
            paths = write_card(loaded, folder)
        else:
            shutil.copy(loaded.folder.vocabulary, folder)
            paths = [*export_onnx(loaded.model, folder), folder / loaded.folder.vocabulary.name]
    except BaseException:
        shutil.rmtree(folder)  # created above: leave no incomplete export
        raise
    for path in paths:
        print(printable(f"{path}  {path.stat().st_size:,} bytes"))


def new_folder(config: ExportConfig, run: Path) -> Path:
    """Create the folder for the files: exports/<name>/<time of the run>-<format> in the outputs folder, or `output=`.

    Raises:
        UserError: if it exists already, or cannot be created.
    """
    from rnnscope.paths import outputs_folder

    run = run.absolute()
    usual = outputs_folder() / "exports" / run.parent.name / f"{run.name}-{config.format}"
    if config.output == "":
        raise UserError("output= is empty: give a new folder, or leave it out")
    folder = usual if config.output is None else Path(os.path.expanduser(config.output))
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UserError(f"{folder} exists already: remove it, or give a new folder with output=") from None
    except OSError as error:
        raise UserError(f"output={folder} cannot be created: {error.strerror}") from error
    return folder
