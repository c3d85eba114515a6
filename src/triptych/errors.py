"""The one error that a user can fix: what is wrong, where, the value seen, and how to fix it."""

from __future__ import annotations


class InputError(Exception):
    """Something the user handed us is wrong; the command line prints it as one message and exits with 2.

    `what` is the complaint, `where` the file and field, `value` what was found there (omitted when None),
    `hint` what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", value: object = None, hint: str = "") -> None:
        self.what, self.where, self.value, self.hint = what, where, value, hint
        got = "" if value is None else f" (got {value!r})"
        super().__init__(f"{where + ': ' if where else ''}{what.rstrip('.')}{got}.{' ' + hint if hint else ''}")
