"""`rnnscope <command> key=value ...`: finds the command, and turns every error into one line.

Only the module of that command is imported, and nothing heavy before it.
"""

import contextlib
import gc
import importlib
import io
import os
import shlex
import sys
from typing import Any, cast

from rnnscope.config.options import HELP, check_arguments
from rnnscope.config.overrides import as_typed, overrides_of, verbatim_of
from rnnscope.cores import OtherWork, core_count
from rnnscope.errors import UserError
from rnnscope.interrupts import ended_by_signals, ignore_signals, say_so
from rnnscope.text_io import Output, check_argument, check_text, prepare_output

COMMANDS = {
    "train": "train a model and leave a run folder       rnnscope train text=my_book.txt",
    "resume": "continue a run that stopped                rnnscope resume run=latest trainer.max_steps=4000",
    "reproduce": "train a run again, compare each step       rnnscope reproduce run=latest until=100",
    "sample": "generate text from a run                   rnnscope sample prompt='def main(' temperature=0.7",
    "evaluate": "score a run on its data or on any text     rnnscope evaluate split=test",
    "compare": "compare runs, the best first               rnnscope compare html=report.html",
    "visualize": "look inside a run, as an HTML page         rnnscope visualize text=chapter.txt",
    "gradcheck": "check gradients by finite differences      rnnscope gradcheck model=gru",
    "runs": "list, mark, rename, trash, restore         rnnscope runs trash filter=status=failed",
    "export": "write ONNX graphs or a model card           rnnscope export run=latest format=onnx",
    "bench": "measure the speed of this machine          rnnscope bench",
}
WORKING = ("train", "resume", "reproduce", "visualize", "runs", "export")  # commands that do more than print
ACTIONS = ("mark", "rename", "trash", "restore", "purge")  # of `rnnscope runs`, which lists runs without one
USAGE = """usage: rnnscope <command> [key=value ...]

{commands}

rnnscope <command> --help       list the keys of a command
rnnscope <command> --cfg job    print the config of a command without running it
rnnscope -sc install=bash       print the script for shell completion (bash, zsh or fish); see docs/getting_started.md
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit status: 0, 1 after an error of the user, 130 after Ctrl-C."""
    others, closed = OtherWork(), sys.stdout is None
    prepare_output()
    if sys.platform == "win32":
        return complain("rnnscope runs on Linux and macOS: on Windows, use it inside WSL (https://aka.ms/wsl)")
    arguments = sys.argv[1:] if argv is None else argv
    with ended_by_signals():
        if closed and only_prints(arguments):
            return complain("stdout is closed: send the output to a file, or to /dev/null")
        status = run_line(arguments, others)
    if argv is None:  # Python exits next
        ignore_signals()
        gc.freeze()  # nothing is left to collect in the modules of torch: 0.4 s
    return status


def answer(arguments: list[str], others: OtherWork) -> int:
    """Do what a command line asks for, and return the exit status."""
    if arguments and arguments[0] in ("-sc", "--shell-completion", "--shell_completion"):
        return complete(arguments[1:])
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        from rnnscope import __version__

        print(f"rnnscope {__version__}")
        return 0
    if arguments[0] not in COMMANDS:
        return complain(f"unknown command {arguments[0]!r}{closest(arguments[0], list(COMMANDS))} See rnnscope --help")
    return run_command(command_of(arguments), arguments[1:], others)


def command_of(arguments: list[str]) -> str:
    """Return the command of a line, `train` where it has none; `train from=` is one of its own."""
    command = arguments[0] if arguments and arguments[0] in COMMANDS else "train"
    warm = command == "train" and any(argument.startswith("from=") for argument in arguments)
    return "train_from" if warm else command


def only_prints(arguments: list[str]) -> bool:
    """Whether a command line has no effect but what it prints."""
    return command_of(arguments).partition("_")[0] not in WORKING


def usage() -> str:
    """Return the page that `rnnscope --help` prints."""
    return USAGE.format(commands="\n".join(f"  {name:<11}{what}" for name, what in COMMANDS.items()))


def run_command(command: str, arguments: list[str], others: OtherWork) -> int:
    """Run `command` and return its exit status."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # which Lightning imports; it speaks if HOME cannot be written
    logging.raiseExceptions = False  # no traceback for each line that nobody reads in `rnnscope train --info | head`
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing several lines and exiting
    check_folder()
    try:
        return hand_over(command, with_action(arguments) if command == "runs" else arguments, others)
    except SystemExit as left:  # how Hydra ends --help
        if left.code:
            raise
        return 0


def run_line(arguments: list[str], others: OtherWork) -> int:
    """Do what a command line asks for, and turn what goes wrong into one line."""
    output = Output(sys.stdout, needed=only_prints(arguments))
    with contextlib.redirect_stdout(cast(Any, output)):
        try:
            status = answer(arguments, others)
            output.flush()
            return status
        except KeyboardInterrupt:
            return say_so()
        except BrokenPipeError:  # the reader has seen enough
            output.discard()
            return 0
        except Exception as error:
            from rnnscope.config.hydra_errors import advice

            command = command_of(arguments)
            message = unwritten(output, error) or advice(error, command)
            if message is None or os.environ.get("RNNSCOPE_TRACEBACK"):
                raise
            return complain(as_typed(message, arguments))


def unwritten(output: Output, error: Exception) -> str | None:
    """Return the message for output that cannot be written; None if `error` is about something else."""
    try:
        output.flush()
        if error is not output.failure:
            return None
    except OSError as stuck:
        error = stuck
    output.discard()
    return f"the output cannot be written ({getattr(error, 'strerror', error)}): send it somewhere else"


def with_action(arguments: list[str]) -> list[str]:
    """Return the arguments of `rnnscope runs` with a leading action, such as `trash`, written as a key.

    Raises:
        UserError: for an unknown action.
    """
    word = arguments[0] if arguments else ""
    if not word or "=" in word or word.startswith("-"):
        return arguments
    if word not in ACTIONS:
        known = ", ".join(ACTIONS)
        raise UserError(
            f"unknown action {word!r} of runs{closest(word, list(ACTIONS))} Choose from {known}, or leave it out to list runs"
        )
    return [f"action={word}", *arguments[1:]]


def check_folder() -> None:
    """Refuse to work in a folder that was deleted: later errors would not name it.

    Raises:
        UserError: naming the folder.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        where = os.environ.get("PWD", "the current folder")
        raise UserError(f"{where}: the current folder was deleted; change to one that exists") from None


def hand_over(command: str, arguments: list[str], others: OtherWork) -> int:
    """Check the arguments, print the help that was asked for, or start the command."""
    from rnnscope.config.compose import help_page

    for argument in arguments:
        check_argument(argument)
    for name in ("RNNSCOPE_OUTPUTS", "RNNSCOPE_DATA"):
        check_text(os.environ.get(name, ""), name)
    check_arguments(command, arguments)
    if command != "train" and HELP & {*arguments}:
        print(help_page(command))
        return 0
    share_cores(others)
    return start(command, overrides_of(command, arguments), arguments)


def share_cores(others: OtherWork) -> None:
    """Let threads that wait for each other sleep instead of spin if other processes need the cores.

    Training beside one busy process is then twice as fast; on a quiet machine it would be a third slower. No result depends
    on it. OpenMP reads the setting when torch is imported.
    """
    if others.free() < core_count() - 0.5 and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "0")


def start(command: str, overrides: list[str], arguments: list[str]) -> int:
    """Run the module of a command: `run` takes its config; `main`, of commands that may sweep, the command line.

    `train_from` is a form of `train`.
    """
    from rnnscope.config.compose import CommandLine, hydra_main

    name = command.partition("_")[0]
    line = CommandLine(command, overrides, [sys.argv[0], name, *arguments])
    module = importlib.import_module(f"rnnscope.commands.{name}")
    return module.main(line) if hasattr(module, "main") else hydra_main(line, module.run)


def complete(arguments: list[str]) -> int:
    """Print the completion script of a shell, or answer its query: commands are completed here, keys and values by Hydra."""
    what, _, shell = arguments[0].partition("=") if arguments else ("", "", "")
    if what not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        return complain("-sc takes install=, uninstall= or query=, followed by bash, zsh or fish, as in -sc install=bash")
    program, *words = split_line(os.environ.get("COMP_LINE", ""))
    if what != "query":
        print(ask_hydra("train", arguments), end="")
    elif len(words) < 2:
        print(" ".join(name for name in COMMANDS if name.startswith(words[-1] if words else "")))
    elif words[0] in COMMANDS:
        print(" ".join(complete_word(program, words[0], words[1:], arguments)))
    return 0


def split_line(line: str) -> list[str]:
    """Return the words of an unfinished command line as the shell reads them; the last one is empty after a space."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, words = True, "", []
    try:
        words += lexer
    except ValueError:  # an open quote: what follows it is the last word
        words.append(line.rpartition(" ")[2])
    return [*words, ""] if not line or line.endswith(" ") else words


def complete_word(program: str, command: str, words: list[str], arguments: list[str]) -> list[str]:
    """Return the completions of the last of the words after a command."""
    from rnnscope.config.completion import offers

    verbatim = verbatim_of(command)
    before = [word for word in words[:-1] if word.partition("=")[0] not in verbatim and word not in ACTIONS]
    os.environ["COMP_LINE"] = " ".join([program, *before, words[-1]])
    found = ask_hydra("train" if command == "resume" else command, arguments)
    actions = [word for word in ACTIONS if command == "runs" and len(words) == 1 and word.startswith(words[-1])]
    return [*actions, *offers(command, words[-1], found.split(), verbatim)]


def ask_hydra(command: str, arguments: list[str]) -> str:
    """Return what Hydra prints for a completion."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        start(command, ["--shell-completion", *arguments], arguments)
    return "" if printed.getvalue().startswith("Error") else printed.getvalue()  # a line that Hydra cannot read


def closest(word: str, right: list[str]) -> str:
    """Return `. Did you mean ...?` with the closest of `right`, or a full stop if none is close."""
    from difflib import get_close_matches

    found = get_close_matches(word, right, n=1, cutoff=0.6)
    return f". Did you mean {found[0]!r}?" if found else "."


def complain(message: str) -> int:
    """Print one line to stderr and return the exit status of an error."""
    from rnnscope.format import printable

    print(f"rnnscope: error: {printable(message)}", file=sys.stderr)  # it may quote an untrusted file
    return 1
