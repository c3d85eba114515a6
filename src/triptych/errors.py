"""The one error that a user can mend: what is wrong, where, the value seen, and how to mend it."""

from __future__ import annotations


class InputError(Exception):
    """Something the user handed us is wrong; the command line prints it as one message and exits with 2.

    `what` is the complaint, `where` the file and field, `value` what was found there (omitted when None),
    `mend` what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", value: object = None, mend: str = "") -> None:
        self.what, self.where, self.value, self.mend = what, where, value, mend
        got = "" if value is None else f" (got {value!r})"
        super().__init__(f"{where + ': ' if where else ''}{what.rstrip('.')}{got}.{' ' + mend if mend else ''}")
