"""The one exception that a user is meant to see: what is wrong, where, and what to do."""


class UserError(Exception):
    """A mistake that the user can mend; the command prints it in one or two lines and exits with 2.

    `message` says what is wrong, `where` is the place (`foo.yaml:12: preflight.data[0].path`), `fix` starts with a
    verb.
    """

    def __init__(self, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        first = f"{self.where}: {self.message}" if self.where else self.message
        return f"{first}\n  {self.fix}" if self.fix else first
