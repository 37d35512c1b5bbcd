"""The one exception that reaches a user as a single line."""


class UserError(Exception):
    """A mistake in a file, a setting or a command that its user can mend.

    The message says what was expected, what was received and, where that is not
    obvious, what to do. The command line shows it without a traceback.
    """
