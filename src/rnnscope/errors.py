"""The one exception whose message is meant for the person at the terminal."""


class UserError(ValueError):
    """Something the user can mend. The message is one line: what was found, where, what to do.

    The command line prints it without a traceback; every other exception is a defect of rnnscope and keeps its own.
    """
