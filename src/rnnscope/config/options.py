"""The options of a command line, beside its `key=value`: Hydra's own messages about them have many lines.

Every command line imports this module, even `--help`, so it imports nothing heavy.
"""

import os

from rnnscope.config.overrides import FOLDER, SWEEP, TAKING, check_word
from rnnscope.errors import UserError

OPTIONS = ("-h", "--help", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--info", "-i")
HELP = {"-h", "--help"}
SHOWING = ("--cfg", "-c", "--info", "-i")  # options that print something instead of running the command
ALONE = (*SWEEP, "-h", "--help", "--hydra-help", "--version", "--resolve")  # options without a value
CONFIGS = ("job", "hydra", "all")
INFOS = ("all", "aliases", "config", "defaults", "defaults-tree", "plugins", "searchpath")
CHOICES = {"--cfg": CONFIGS, "-c": CONFIGS, "--info": INFOS, "-i": INFOS}  # values of Hydra's options


def check_arguments(command: str, arguments: list[str]) -> None:
    """Refuse what is neither `key=value` nor an option: Hydra's own message for it has many lines.

    Raises:
        UserError: for the first such argument, saying how to write it.
    """
    check_options(command, arguments)
    for before, argument in zip(["", *arguments], arguments, strict=False):
        key, equals, _ = argument.partition("=")
        if not argument.startswith("-"):
            if equals or before not in TAKING:
                check_word(argument)
        elif key not in (*OPTIONS, *SWEEP, *(FOLDER if command.startswith("train") else ())):
            plain = argument.lstrip("-") if equals else f"{key.lstrip('-')}=..."
            raise UserError(f"unknown option {key}; write keys as key=value, as in {plain}")


def check_options(command: str, arguments: list[str]) -> None:
    """Refuse options of Hydra that do not go together, or whose value is missing or wrong: Hydra would print its own usage.

    Raises:
        UserError: naming the options, or the values that an option takes.
    """
    given = [option for option in (argument.partition("=")[0] for argument in arguments) if option in (*SHOWING, *SWEEP)]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} cannot be given together: leave one of them out")
    if given and given[0] in SWEEP and not command.startswith("train"):
        raise UserError(f"{given[0]} sweeps over trainings only, as in: rnnscope train -m seed=1,2")
    if "--resolve" in arguments and not {*given, *arguments} & {"--cfg", "-c", *HELP}:
        raise UserError("--resolve goes with --cfg, as in --cfg job --resolve")
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=False):
        option, equals, value = argument.partition("=")
        value = value if equals else after
        choices = CHOICES.get(option, ())
        if equals and option in ALONE:
            raise UserError(f"{argument}: {option} takes no value: write {option} alone")
        alone = option in ("--info", "-i") and (not value or value.startswith("-"))
        if choices and value not in choices and not alone:
            raise UserError(f"{option} takes one of {', '.join(choices)}{f', not {value}' if value else ''}")
        if option in FOLDER and not os.path.isdir(value):
            raise UserError(f"{option}={value} is not a folder: give the folder with your config files")
        if option in ("--package", "-p"):
            from rnnscope.config.hydra_errors import check_section

            check_section(command, value, option)
